#include "snapshot/watches.h"

#include "base/units.h"
#include "kernel/watch.h"

/* Into so many parts is divided what is looked at though nothing was told. */
#define AGE_PARTS 16
#define AGE_PARTS_MAX 4 /* at once */

/* As the table of handles: `first` of the place that an id belongs into begins the chain of those that do. */
static unsigned *place_of(struct snapshot_reader *r, uint64_t id)
{
    return &r->watches[(unsigned)(id * UINT64_C(0x9e3779b97f4a7c15) >> 32) % r->watch_max].first;
}

void watches_init(struct snapshot_reader *r, struct group_watch *watches, unsigned max)
{
    r->watch_fd = watch_open();
    if (r->watch_fd < 0)
        r->watch_fd = -1;
    r->watches = watches;
    r->watch_max = max;
    for (unsigned i = 0; i < max; i++)
        watches[i] = (struct group_watch){.events = -1, .children = -1, .next = i + 1 < max ? i + 2 : 0};
    r->watch_free = max > 0 ? 1 : 0;
}

void watches_deinit(struct snapshot_reader *r)
{
    close_fdp(&r->watch_fd);
    r->watched = false;
}

static void reset(struct group_watch *w)
{
    w->live = 0;
    w->state = WATCH_UNKNOWN;
}

void watches_begin(struct snapshot_reader *r)
{
    r->watched = r->watch_fd >= 0 && r->watch_max > 0;
    if (!r->watched)
        return;
    watch_drain(r->watch_fd); /* what comes from here on is news */
    for (unsigned i = 0; i < r->watch_top; i++)
        reset(&r->watches[i]);
}

static void doubt(struct group_watch *w)
{
    if (w->events >= 0)
        w->stale = true;
    else
        w->check = true;
}

/* Of those that are in use, the share that is due. */
static void doubt_some(struct snapshot_reader *r, uint64_t now_usec)
{
    uint64_t parts = u64_sub_floor(now_usec, r->turned_usec) / (WATCH_AGE_USEC / AGE_PARTS), due;

    if (parts == 0)
        return;
    r->turned_usec = now_usec;
    due = (r->watch_count * u64_min(parts, AGE_PARTS_MAX) + AGE_PARTS - 1) / AGE_PARTS;
    for (unsigned i = 0; i < r->watch_top && due > 0; i++) {
        if (r->watch_turn >= r->watch_top)
            r->watch_turn = 0;
        if (r->watches[r->watch_turn].id != 0) {
            doubt(&r->watches[r->watch_turn]);
            due--;
        }
        r->watch_turn++;
    }
}

bool watches_take_news(struct snapshot_reader *r, uint64_t now_usec)
{
    _uninitialized_ struct watch_news n;

    if (!r->watched || watch_read_news(r->watch_fd, &n) < 0 || n.moved)
        return false;
    for (unsigned i = 0; i < r->watch_top; i++) {
        struct group_watch *w = &r->watches[i];

        reset(w);
        if (w->id == 0 || !n.any)
            continue;
        if (n.lost)
            doubt(w);
        w->stale = w->stale || watch_news_has(&n, w->events);
        w->look = w->look || watch_news_has(&n, w->children);
    }
    doubt_some(r, now_usec);
    return true;
}

static void mark_above(struct snapshot_reader *r, const struct group_watch *w)
{
    for (unsigned at = w->parent; at != 0 && !r->watches[at - 1].below; at = r->watches[at - 1].parent)
        r->watches[at - 1].below = true;
}

bool watches_spread(struct snapshot_reader *r)
{
    bool any = false;

    for (unsigned i = 0; i < r->watch_top; i++) {
        struct group_watch *w = &r->watches[i];

        w->look = w->look || w->stale; /* of a group it would have been looked at already */
        if (w->id == 0 || !(w->look || w->check))
            continue;
        any = true;
        mark_above(r, w);
    }
    return any;
}

void watches_look_again(struct snapshot_reader *r, unsigned place)
{
    if (place == 0) {
        r->watched = false;
        return;
    }
    r->watches[place - 1].look = true;
    mark_above(r, &r->watches[place - 1]);
}

static void drop(struct snapshot_reader *r, struct group_watch *w)
{
    unsigned self = (unsigned)(w - r->watches) + 1, *first = place_of(r, w->id);

    if (*first == self) {
        *first = w->next;
    } else {
        struct group_watch *before = &r->watches[*first - 1];

        while (before->next != self)
            before = &r->watches[before->next - 1];
        before->next = w->next;
    }
    if (w->events >= 0)
        watch_remove(r->watch_fd, w->events);
    if (w->children >= 0)
        watch_remove(r->watch_fd, w->children);
    w->id = 0;
    w->events = w->children = -1;
    w->next = r->watch_free;
    r->watch_free = self;
    r->watch_count--;
}

static void settle(struct snapshot_reader *r, struct group_watch *w)
{
    struct group_watch *above = w->parent != 0 ? &r->watches[w->parent - 1] : NULL;

    if (w->state != WATCH_UNKNOWN)
        return;
    if (above)
        settle(r, above);
    w->state = above && above->state == WATCH_KEPT ? WATCH_KEPT : WATCH_GONE;
}

void watches_settle(struct snapshot_reader *r)
{
    for (unsigned i = 0; i < r->watch_top; i++)
        if (r->watches[i].id != 0)
            settle(r, &r->watches[i]);
}

void watches_end(struct snapshot_reader *r)
{
    for (unsigned i = 0; i < r->watch_top && r->watch_fd >= 0; i++)
        if (r->watches[i].id != 0 && r->watches[i].state == WATCH_GONE)
            drop(r, &r->watches[i]);
}

struct group_watch *watches_find(struct snapshot_reader *r, uint64_t id)
{
    for (unsigned i = *place_of(r, id); i != 0; i = r->watches[i - 1].next)
        if (r->watches[i - 1].id == id)
            return &r->watches[i - 1];
    return NULL;
}

static struct group_watch *find_or_take(struct snapshot_reader *r, uint64_t id)
{
    struct group_watch *w = watches_find(r, id);
    unsigned self, first;

    if (w || r->watch_free == 0)
        return w;
    self = r->watch_free;
    w = &r->watches[self - 1];
    r->watch_free = w->next;
    first = w->first;
    *w = (struct group_watch){.id = id, .events = -1, .children = -1, .first = first};
    w->next = *place_of(r, id);
    *place_of(r, id) = self;
    r->watch_top = self > r->watch_top ? self : r->watch_top;
    r->watch_count++;
    return w;
}

/* True where it was not there before. */
static bool add(struct snapshot_reader *r, int *watch, int cgroup_fd, int (*add_fn)(int, int))
{
    if (*watch >= 0)
        return false;
    *watch = add_fn(r->watch_fd, cgroup_fd);
    if (*watch < 0)
        r->watched = false;
    return true;
}

unsigned watches_note(struct snapshot_reader *r, uint64_t id, int cgroup_fd, unsigned kinds, unsigned parent,
                      bool *ret_new)
{
    struct group_watch *w = r->watched && id != 0 ? find_or_take(r, id) : NULL;
    bool added = false;

    *ret_new = false;
    if (!w) {
        r->watched = false;
        return 0;
    }
    if (w->state != WATCH_VISITED)
        w->stale = w->look = w->check = w->below = w->found = false;
    w->state = WATCH_VISITED;
    w->parent = parent;
    if (kinds & WATCH_EVENTS)
        added = add(r, &w->events, cgroup_fd, watch_add_events);
    if (kinds & WATCH_CHILDREN)
        added = add(r, &w->children, cgroup_fd, watch_add_children) || added;
    *ret_new = added;
    return (unsigned)(w - r->watches) + 1;
}
