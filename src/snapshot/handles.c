#include "snapshot/handles.h"

#include <string.h>

#include "base/units.h"

/* A newcomer's first pages come in a burst: its rate is not told from less than this. */
#define RATE_LEAST_USEC (300 * USEC_PER_MSEC)
/* Nor is anybody's share of a CPU told from less than this: the kernel gathers CPU time in ticks. */
#define CPU_LEAST_USEC (200 * USEC_PER_MSEC)

/* The table is its own hash table: `first` of the place that an id belongs into begins the chain of the
 * handles that do, wherever they are. Ids of cgroups are handed out one after the other, start times of
 * processes in ticks: a multiplication spreads both. */
static unsigned place_of(const struct snapshot_reader *r, uint64_t id, pid_t pid)
{
    uint64_t h = (id ^ (uint64_t)pid << 40) * UINT64_C(0x9e3779b97f4a7c15);

    return (unsigned)(h >> 32) % r->handle_max;
}

void handles_init(struct snapshot_reader *r)
{
    for (unsigned i = 0; i < r->handle_max; i++)
        r->handles[i] = (struct group_handle){.dir_fd = -1, .next = i + 1 < r->handle_max ? i + 2 : 0};
    r->handle_free = r->handle_max > 0 ? 1 : 0;
    r->handle_next = 0;
}

struct group_handle *handle_find(struct snapshot_reader *r, uint64_t id, pid_t pid)
{
    if (r->handle_max == 0)
        return NULL;
    for (unsigned i = r->handles[place_of(r, id, pid)].first; i != 0; i = r->handles[i - 1].next)
        if (r->handles[i - 1].id == id && r->handles[i - 1].pid == pid)
            return &r->handles[i - 1];
    return NULL;
}

void handle_drop(struct snapshot_reader *r, struct group_handle *h)
{
    unsigned self = (unsigned)(h - r->handles) + 1;
    unsigned *at = &r->handles[place_of(r, h->id, h->pid)].first;

    while (*at != 0 && *at != self)
        at = &r->handles[*at - 1].next;
    if (*at == self)
        *at = h->next;
    group_handle_close(h);
    h->next = r->handle_free;
    r->handle_free = self;
}

/* One that this walk has not come across (yet: one that is still there costs a second reading of its birth,
 * no more). Each is passed by once a walk, so that many newcomers do not cost a search each. */
static void drop_unseen_one(struct snapshot_reader *r)
{
    for (; r->handle_next < r->handle_max; r->handle_next++) {
        struct group_handle *h = &r->handles[r->handle_next];

        if (h->id == 0 || h->seen)
            continue;
        handle_drop(r, h);
        return;
    }
}

struct group_handle *handle_take(struct snapshot_reader *r, uint64_t id, pid_t pid)
{
    struct group_handle *h;
    unsigned *first, self;

    if (r->handle_free == 0)
        drop_unseen_one(r);
    if (r->handle_free == 0)
        return NULL;
    self = r->handle_free;
    h = &r->handles[self - 1];
    r->handle_free = h->next;
    *h = (struct group_handle){.id = id, .pid = pid, .dir_fd = -1, .was_empty = true, .first = h->first};
    first = &r->handles[place_of(r, id, pid)].first;
    h->next = *first;
    *first = self;
    return h;
}

void handles_unsee(struct snapshot_reader *r)
{
    for (unsigned i = 0; i < r->handle_max; i++)
        r->handles[i].seen = false;
    r->handle_next = 0;
}

void handle_note_end(const struct group_handle *h, struct snapshot *s)
{
    if (h->birth_usec == 0 || h->peak_bytes == 0 || s->ended_count >= SNAPSHOT_ENDED_MAX)
        return;
    s->ended[s->ended_count++] = (struct group_end){
        .id = h->id,
        .class_index = h->class_index,
        .peak_bytes = h->peak_bytes,
        .lived_usec = u64_sub_floor(u64_sub_floor(h->seen_usec, h->birth_usec), h->paused_usec),
    };
}

void handles_drop_unseen(struct snapshot_reader *r, struct snapshot *s)
{
    for (unsigned i = 0; i < r->handle_max; i++) {
        struct group_handle *h = &r->handles[i];

        if (h->id == 0 || h->seen)
            continue;
        if (!h->was_empty && !r->reconfigured)
            handle_note_end(h, s);
        handle_drop(r, h);
    }
    r->reconfigured = false;
}

void handle_reborn(struct group_handle *h, uint64_t birth_usec)
{
    h->birth_usec = birth_usec;
    h->peak_bytes = h->paused_usec = h->frozen_usec = h->seen_usec = 0;
    h->cpu_usec = h->measured_usec = h->age_due_usec = 0;
    h->stall_msec = 0;
    h->stall_known = false;
    h->cpu_permyriad = GROUP_CPU_UNKNOWN;
    memset(h->samples, 0, sizeof(h->samples));
    h->sample_next = 0;
}

/* What it held at the begin of the window: the latest sample that is at least as old as the window, else the
 * oldest of all; nothing, where it was not born yet. */
static uint64_t base_bytes(const struct group_handle *h, uint64_t now_usec, uint64_t bytes)
{
    uint64_t begin = u64_sub_floor(now_usec, GROUP_GROWTH_USEC);
    const struct group_sample *best = NULL;

    if (h->birth_usec >= begin)
        return 0;
    for (unsigned i = 0; i < GROUP_SAMPLES; i++) {
        const struct group_sample *s = &h->samples[i];

        if (s->at_usec == 0)
            continue;
        if (!best || (s->at_usec <= begin ? best->at_usec > begin || s->at_usec > best->at_usec
                                          : best->at_usec > begin && s->at_usec < best->at_usec))
            best = s;
    }
    return best ? best->bytes : bytes;
}

uint64_t handle_note_bytes(struct group_handle *h, uint64_t now_usec, uint64_t bytes)
{
    unsigned last = (h->sample_next + GROUP_SAMPLES - 1) % GROUP_SAMPLES;
    uint64_t growth = u64_sub_floor(bytes, base_bytes(h, now_usec, bytes));

    if (h->samples[last].at_usec == 0 || now_usec - h->samples[last].at_usec >= GROUP_SAMPLE_USEC) {
        h->samples[h->sample_next] = (struct group_sample){.at_usec = now_usec, .bytes = bytes};
        h->sample_next = (h->sample_next + 1) % GROUP_SAMPLES;
    }
    return growth;
}

/* Bytes per second over the last GROUP_RATE_USEC, or since its birth where that is less. */
static uint64_t rate_of(const struct group_handle *h, uint64_t now_usec, uint64_t bytes)
{
    const struct group_sample *best = NULL;

    for (unsigned i = 0; i < GROUP_SAMPLES; i++) {
        const struct group_sample *s = &h->samples[i];

        if (s->at_usec != 0 && s->at_usec + GROUP_RATE_USEC <= now_usec &&
            (!best || s->at_usec > best->at_usec))
            best = s;
    }
    if (best)
        return u64_mul_div(u64_sub_floor(bytes, best->bytes), USEC_PER_SEC, now_usec - best->at_usec);
    if (u64_add_cap(h->birth_usec, GROUP_GROWTH_USEC) < now_usec)
        return 0; /* an old one of which nothing is known yet */
    return u64_mul_div(bytes, USEC_PER_SEC, u64_max(u64_sub_floor(now_usec, h->birth_usec), RATE_LEAST_USEC));
}

/* Readings further apart than this do not tell of now. */
#define STALL_STALE_USEC (3 * USEC_PER_SEC)

static uint64_t stall_age_usec(const struct group_handle *h, uint64_t now_usec)
{
    return h->stall_msec == 0 ? UINT64_MAX
                              : (uint32_t)(now_usec / USEC_PER_MSEC - h->stall_msec) * USEC_PER_MSEC;
}

static uint16_t share_of(uint32_t stalled_usec, uint64_t elapsed_usec)
{
    return (uint16_t)u64_min(u64_mul_div(stalled_usec, PERMYRIAD, u64_max(elapsed_usec, 1)), PERMYRIAD);
}

bool handle_wants_stalls(const struct group_handle *h, uint64_t now_usec)
{
    return stall_age_usec(h, now_usec) >= GROUP_STALL_USEC;
}

void handle_note_stalls(struct group_handle *h, uint64_t now_usec, uint64_t memory_full_usec,
                        uint64_t io_full_usec)
{
    uint64_t elapsed = stall_age_usec(h, now_usec);

    h->stall_known = elapsed <= STALL_STALE_USEC;
    h->stall_permyriad = share_of((uint32_t)memory_full_usec - h->memory_full_usec, elapsed);
    h->io_stall_permyriad = share_of((uint32_t)io_full_usec - h->io_full_usec, elapsed);
    h->stall_msec = (uint32_t)u64_max((uint32_t)(now_usec / USEC_PER_MSEC), 1);
    h->memory_full_usec = (uint32_t)memory_full_usec;
    h->io_full_usec = (uint32_t)io_full_usec;
}

void handle_note_cpu(struct group_handle *h, uint64_t now_usec, uint64_t cpu_usec)
{
    uint64_t elapsed = u64_sub_floor(now_usec, h->measured_usec);

    if (h->measured_usec != 0 && elapsed < CPU_LEAST_USEC)
        return;
    h->cpu_permyriad = h->measured_usec == 0
                           ? GROUP_CPU_UNKNOWN
                           : u64_mul_div(u64_sub_floor(cpu_usec, h->cpu_usec), PERMYRIAD, elapsed);
    h->measured_usec = now_usec;
    h->cpu_usec = cpu_usec;
}

bool handle_is_aged(struct group_handle *h, uint64_t now_usec, bool frozen, uint32_t owner_uid)
{
    bool goes_on = h->frozen_usec != 0 && !frozen;

    if (goes_on) /* that it stood still says nothing of now */
        h->measured_usec = 0;
    if (now_usec < h->age_due_usec && !goes_on && owner_uid == h->owner_uid)
        return false;
    h->owner_uid = owner_uid;
    h->age_due_usec =
        now_usec + GROUP_AGE_USEC / 2 + (h->id * UINT64_C(0x9e3779b97f4a7c15) >> 32) % (GROUP_AGE_USEC / 2);
    return true;
}

void handle_observe(struct group_handle *h, uint64_t now_usec, struct group *g)
{
    /* What it grows by at its limit is in swap. */
    uint64_t held = u64_add_cap(u64_add_cap(u64_add_cap(g->anon, g->kernel), g->shmem), g->swap);

    if (g->frozen && h->frozen_usec != 0)
        h->paused_usec = u64_add_cap(h->paused_usec, u64_sub_floor(now_usec, h->frozen_usec));
    h->frozen_usec = g->frozen ? now_usec : 0;
    g->paused_usec = h->paused_usec;
    g->cpu_usec = h->cpu_usec;
    g->cpu_permyriad = h->cpu_permyriad;
    h->seen_usec = now_usec;
    h->peak_bytes = u64_max(h->peak_bytes, held);
    g->rate = rate_of(h, now_usec, held);
    g->stall_known = h->stall_known && stall_age_usec(h, now_usec) <= STALL_STALE_USEC;
    g->stall_permyriad = h->stall_permyriad;
    g->io_stall_permyriad = h->io_stall_permyriad;
    g->growth_bytes = handle_note_bytes(h, now_usec, held);
}
