#include "snapshot/handles.h"

#include <string.h>

#include "base/units.h"

/* A newcomer's first pages come in a burst: its rate is not told from less than this. */
#define RATE_LEAST_USEC (300 * USEC_PER_MSEC)

struct group_handle *handle_find(struct snapshot_reader *r, uint64_t id, pid_t pid)
{
    for (unsigned i = 0; i < r->handle_max; i++)
        if (r->handles[i].id == id && r->handles[i].pid == pid)
            return &r->handles[i];
    return NULL;
}

struct group_handle *handle_take(struct snapshot_reader *r, uint64_t id, pid_t pid)
{
    struct group_handle *h = NULL;

    for (unsigned i = 0; i < r->handle_max; i++) {
        if (r->handles[i].id == 0) {
            h = &r->handles[i];
            break;
        }
        if (!r->handles[i].seen)
            h = &r->handles[i];
    }
    if (!h)
        return NULL;
    if (h->id != 0) /* one that is still there costs a second reading of its birth, no more */
        group_handle_close(h);
    *h = (struct group_handle){.id = id, .pid = pid, .stat_fd = -1, .was_empty = true};
    return h;
}

void handles_unsee(struct snapshot_reader *r)
{
    for (unsigned i = 0; i < r->handle_max; i++)
        r->handles[i].seen = false;
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
        group_handle_close(h);
    }
    r->reconfigured = false;
}

void handle_reborn(struct group_handle *h, uint64_t birth_usec)
{
    h->birth_usec = birth_usec;
    h->peak_bytes = h->paused_usec = h->frozen_usec = h->cpu_usec = h->seen_usec = 0;
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

void handle_observe(struct group_handle *h, uint64_t now_usec, struct group *g)
{
    uint64_t held = u64_add_cap(u64_add_cap(g->anon, g->kernel), g->shmem);

    if (g->frozen && h->frozen_usec != 0)
        h->paused_usec = u64_add_cap(h->paused_usec, u64_sub_floor(now_usec, h->frozen_usec));
    h->frozen_usec = g->frozen ? now_usec : 0;
    g->paused_usec = h->paused_usec;
    g->cpu_recent_usec = h->seen_usec == 0 ? 0 : u64_sub_floor(g->cpu_usec, h->cpu_usec);
    h->cpu_usec = g->cpu_usec;
    h->seen_usec = now_usec;
    h->peak_bytes = u64_max(h->peak_bytes, u64_add_cap(held, g->swap));
    g->rate = rate_of(h, now_usec, held);
    g->growth_bytes = handle_note_bytes(h, now_usec, held);
}
