#include "record/ring.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"

#define ROW_MAX (sizeof(struct record_row) + GROUP_PATH_MAX + 32)

static size_t round_up(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

void record_ring_init(struct record_ring *r)
{
    memset(r, 0, sizeof(*r));
    r->next_id = r->oldest_id = 1;
}

static struct record_head *at(struct record_ring *r, uint32_t offset)
{
    return (struct record_head *)(void *)((unsigned char *)r->data + offset);
}

static void drop_oldest(struct record_ring *r)
{
    r->begin += at(r, r->begin)->size;
    r->oldest_id++;
    if (r->wrap != 0 && r->begin >= r->wrap) {
        r->begin = 0;
        r->wrap = 0;
    }
}

static bool is_empty(const struct record_ring *r)
{
    return r->oldest_id == r->next_id;
}

/* Makes `size` bytes free in one piece at r->end; older records go. The records lie in [begin, end), or, once
 * wrapped, in [begin, wrap) and [0, end). */
static void make_room(struct record_ring *r, uint32_t size)
{
    while (!is_empty(r) && r->next_id - r->oldest_id >= RECORD_IDS_MAX)
        drop_oldest(r);
    for (;;) {
        if (is_empty(r)) {
            r->begin = r->end = r->wrap = 0;
            return;
        }
        if (r->wrap != 0 ? r->end + size <= r->begin : r->end + size <= RECORD_RING_BYTES)
            return;
        if (r->wrap == 0 && r->begin >= size) {
            r->wrap = r->end;
            r->end = 0;
            return;
        }
        drop_oldest(r);
    }
}

static size_t name_of(const struct group *g, char name[static ROW_MAX])
{
    int n = g->pid > 0 ? snprintf(name, ROW_MAX, "%s#%d %s", g->path, (int)g->pid, g->comm)
                       : snprintf(name, ROW_MAX, "%s", g->path);

    return n < 0 ? 0 : (size_t)n < ROW_MAX ? (size_t)n : ROW_MAX - 1;
}

static bool is_victim(const struct candidate *k)
{
    return k->verdict == VERDICT_CHOSEN || k->verdict == VERDICT_CULPRIT;
}

static size_t row_size(const struct group *g)
{
    char name[ROW_MAX];

    return round_up(sizeof(struct record_row) + name_of(g, name));
}

static unsigned char *put_row(unsigned char *to, const struct candidate *k, const struct snapshot *s)
{
    const struct group *g = &s->groups[k->group_index];
    struct record_row row = {
        .id = k->id,
        .freed_bytes = k->freed_bytes,
        .progress_usec = k->progress_usec,
        .growth_bytes = k->growth_bytes,
        .request_bytes = k->request_bytes,
        .age_usec = u64_sub_floor(s->now_usec, g->birth_usec),
        .pid = k->pid,
        .class_index = (uint16_t)k->class_index,
        .priority = (uint16_t)k->priority,
        .verdict = (uint8_t)k->verdict,
        .retriable = k->retriable,
        .over_request = k->over_request,
        .last = k->last,
    };
    char name[ROW_MAX];

    row.name_length = (uint16_t)name_of(g, name);
    memcpy(to, &row, sizeof(row));
    memcpy(to + sizeof(row), name, row.name_length);
    return to + round_up(sizeof(row) + row.name_length);
}

static void fill_head(struct record_head *h, const struct decision *d)
{
    h->time_usec = d->time_usec;
    h->wall_usec = d->wall_usec;
    h->room = d->room;
    h->trigger = d->trigger;
    h->reason = d->reason;
    h->method = d->method;
    h->why = d->victim_count > 0 ? d->victims[0].why : PAUSE_WHY_NONE;
    h->groups = d->groups;
    h->candidates = d->candidates;
    h->passed_over = d->passed_over;
    h->asked = d->asked;
    h->victim_count = d->victim_count;
    h->expected_bytes = d->expected_bytes;
    h->dry_run = d->dry_run;
}

static struct record_head *begin(struct record_ring *r, struct decision *d, uint32_t size, uint32_t rows,
                                 uint32_t rows_cut)
{
    struct record_head *h;

    make_room(r, size);
    h = at(r, r->end);
    memset(h, 0, sizeof(*h));
    h->id = d->id = r->next_id;
    h->size = size;
    h->row_count = rows;
    h->rows_cut = rows_cut;
    fill_head(h, d);
    return h;
}

static uint64_t keep(struct record_ring *r, struct record_head *h)
{
    r->offsets[h->id % RECORD_IDS_MAX] = r->end;
    r->end += h->size;
    r->next_id++;
    return h->id;
}

uint64_t record_ring_add(struct record_ring *r, struct decision *d, const struct candidate *candidates,
                         const struct snapshot *s)
{
    size_t size = round_up(sizeof(struct record_head));
    uint32_t kept = 0, limit = RECORD_RING_BYTES / 2;
    unsigned count = candidates ? s->group_count : 0;
    struct record_head *h;
    unsigned char *to;

    for (unsigned pass = 0; pass < 2; pass++) /* victims are kept whatever there is */
        for (unsigned i = 0; i < count; i++)
            if (is_victim(&candidates[i]) == (pass == 0)) {
                size_t row = row_size(&s->groups[candidates[i].group_index]);

                if (size + row > limit)
                    continue;
                size += row;
                kept++;
            }
    h = begin(r, d, (uint32_t)size, kept, count - kept);
    to = (unsigned char *)h + round_up(sizeof(*h));
    size = round_up(sizeof(*h));
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < count; i++)
            if (is_victim(&candidates[i]) == (pass == 0)) {
                size_t row = row_size(&s->groups[candidates[i].group_index]);

                if (size + row > limit)
                    continue;
                size += row;
                to = put_row(to, &candidates[i], s);
            }
    return keep(r, h);
}

static size_t asked_name(const struct victim *v, char name[static ROW_MAX])
{
    int n = v->pid > 0 ? snprintf(name, ROW_MAX, "%s#%d", v->path, (int)v->pid)
                       : snprintf(name, ROW_MAX, "%s", v->path);

    return n < 0 ? 0 : (size_t)n < ROW_MAX ? (size_t)n : ROW_MAX - 1;
}

uint64_t record_ring_add_asked(struct record_ring *r, struct decision *d)
{
    size_t size = round_up(sizeof(struct record_head));
    char name[ROW_MAX];
    struct record_head *h;
    unsigned char *to;

    for (unsigned i = 0; i < d->victim_count; i++)
        size += round_up(sizeof(struct record_row) + asked_name(&d->victims[i], name));
    h = begin(r, d, (uint32_t)size, d->victim_count, 0);
    to = (unsigned char *)h + round_up(sizeof(*h));
    for (unsigned i = 0; i < d->victim_count; i++) {
        const struct victim *v = &d->victims[i];
        struct record_row row = {.freed_bytes = v->gave_bytes,
                                 .request_bytes = v->held_bytes,
                                 .growth_bytes = v->expected_bytes,
                                 .pid = v->pid,
                                 .class_index = (uint16_t)v->class_index,
                                 .priority = (uint16_t)u64_min(v->programs, UINT16_MAX),
                                 .verdict = VERDICT_CHOSEN};

        row.name_length = (uint16_t)asked_name(v, name);
        memcpy(to, &row, sizeof(row));
        memcpy(to + sizeof(row), name, row.name_length);
        to += round_up(sizeof(row) + row.name_length);
    }
    return keep(r, h);
}

static size_t knob_name(const struct record_knob *k, char name[static ROW_MAX])
{
    int n = snprintf(name, ROW_MAX, "%s %s", k->knob, k->path);

    return n < 0 ? 0 : (size_t)n < ROW_MAX ? (size_t)n : ROW_MAX - 1;
}

uint64_t record_ring_add_knobs(struct record_ring *r, struct decision *d, const struct record_knob *knobs,
                               unsigned count)
{
    size_t size = round_up(sizeof(struct record_head));
    char name[ROW_MAX];
    struct record_head *h;
    unsigned char *to;

    for (unsigned i = 0; i < count; i++)
        size += round_up(sizeof(struct record_row) + knob_name(&knobs[i], name));
    h = begin(r, d, (uint32_t)size, count, 0);
    to = (unsigned char *)h + round_up(sizeof(*h));
    for (unsigned i = 0; i < count; i++) {
        const struct record_knob *k = &knobs[i];
        struct record_row row = {.id = k->id,
                                 .freed_bytes = k->found,
                                 .request_bytes = k->ours,
                                 .class_index = k->class_index,
                                 .verdict = VERDICT_CHOSEN,
                                 .priority = k->done};

        row.name_length = (uint16_t)knob_name(k, name);
        memcpy(to, &row, sizeof(row));
        memcpy(to + sizeof(row), name, row.name_length);
        to += round_up(sizeof(row) + row.name_length);
    }
    return keep(r, h);
}

const struct record_head *record_ring_get(const struct record_ring *r, uint64_t id)
{
    if (id < r->oldest_id || id >= r->next_id)
        return NULL;
    return (const struct record_head *)(const void *)((const unsigned char *)r->data +
                                                      r->offsets[id % RECORD_IDS_MAX]);
}

void record_ring_set_outcome(struct record_ring *r, const struct decision *d)
{
    struct record_head *h;

    if (d->id < r->oldest_id || d->id >= r->next_id)
        return;
    h = at(r, r->offsets[d->id % RECORD_IDS_MAX]);
    h->ended = d->ended;
    h->gone = d->gone;
    h->stuck = d->stuck;
    h->failed = d->failed;
    h->used_after = d->used_after;
    h->need_after = d->need_after;
    h->freed_bytes = d->freed_bytes;
    h->select_usec = d->select_usec;
    h->signal_usec = d->signal_usec;
    h->outcome_usec = d->outcome_usec;
    h->waited_usec = d->waited_usec;
}

const struct record_head *record_ring_last(const struct record_ring *r)
{
    return record_ring_get(r, r->next_id - 1);
}

uint64_t record_ring_oldest_id(const struct record_ring *r)
{
    return is_empty(r) ? 0 : r->oldest_id;
}

void record_ring_map_classes(struct record_ring *r, const uint16_t map[static CONFIG_CLASSES_MAX])
{
    for (uint64_t id = r->oldest_id; id < r->next_id; id++) {
        const struct record_head *h = record_ring_get(r, id);
        const struct record_row *row = NULL;
        const char *name;

        while ((row = record_next_row(h, row, &name)) != NULL) {
            struct record_row *mine = (struct record_row *)(uintptr_t)row; /* it lies in *r */

            if (mine->class_index < CONFIG_CLASSES_MAX)
                mine->class_index = map[mine->class_index];
        }
    }
}

const struct record_row *record_next_row(const struct record_head *h, const struct record_row *previous,
                                         const char **ret_name)
{
    const unsigned char *begin = (const unsigned char *)h, *next;
    const struct record_row *row;

    if (previous)
        next = (const unsigned char *)previous + round_up(sizeof(*previous) + previous->name_length);
    else
        next = begin + round_up(sizeof(*h));
    if (next >= begin + h->size)
        return NULL;
    row = (const struct record_row *)(const void *)next;
    *ret_name = (const char *)(next + sizeof(*row));
    return row;
}

const char *record_knob_done_name(unsigned done)
{
    static const char *const names[RECORD_KNOB_DONE_COUNT] = {"reapplied", "yielded", "raised"};

    return done < RECORD_KNOB_DONE_COUNT ? names[done] : "?";
}

int64_t record_knob_value(const char *knob, uint64_t value)
{
    return (int64_t)value - (strncmp(knob, "oom_score_adj", 13) == 0 ? 1000 : 0);
}
