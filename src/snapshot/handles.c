#include "snapshot/handles.h"

#include <string.h>

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

void handles_drop_unseen(struct snapshot_reader *r)
{
    for (unsigned i = 0; i < r->handle_max; i++)
        if (r->handles[i].id != 0 && !r->handles[i].seen)
            group_handle_close(&r->handles[i]);
}

void handle_reborn(struct group_handle *h, uint64_t birth_usec)
{
    h->birth_usec = birth_usec;
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
