#include "snapshot/watches.h"

#include "kernel/watch.h"

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

void watches_begin(struct snapshot_reader *r)
{
    r->watched = r->watch_fd >= 0 && r->watch_max > 0;
    if (!r->watched)
        return;
    (void)watch_drain(r->watch_fd); /* what comes from here on is news */
    for (unsigned i = 0; i < r->watch_max; i++)
        r->watches[i].seen = false;
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
}

void watches_end(struct snapshot_reader *r)
{
    for (unsigned i = 0; i < r->watch_max && r->watch_fd >= 0; i++)
        if (r->watches[i].id != 0 && !r->watches[i].seen)
            drop(r, &r->watches[i]);
}

static struct group_watch *find_or_take(struct snapshot_reader *r, uint64_t id)
{
    unsigned *first = place_of(r, id), self;
    struct group_watch *w;

    for (unsigned i = *first; i != 0; i = r->watches[i - 1].next)
        if (r->watches[i - 1].id == id)
            return &r->watches[i - 1];
    if (r->watch_free == 0)
        return NULL;
    self = r->watch_free;
    w = &r->watches[self - 1];
    r->watch_free = w->next;
    w->id = id;
    w->next = *first;
    *first = self;
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

bool watches_note(struct snapshot_reader *r, uint64_t id, int cgroup_fd, unsigned kinds)
{
    struct group_watch *w = r->watched && id != 0 ? find_or_take(r, id) : NULL;
    bool added = false;

    if (!w) {
        r->watched = false;
        return false;
    }
    w->seen = true;
    if (kinds & WATCH_EVENTS)
        added = add(r, &w->events, cgroup_fd, watch_add_events);
    if (kinds & WATCH_CHILDREN)
        added = add(r, &w->children, cgroup_fd, watch_add_children) || added;
    return added;
}

bool watches_tell_same(struct snapshot_reader *r)
{
    return r->watched && !watch_drain(r->watch_fd);
}
