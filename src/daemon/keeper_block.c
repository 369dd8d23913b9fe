#include <stddef.h>
#include <string.h>

#include "base/units.h"
#include "daemon/keeper.h"
#include "daemon/pacing.h"

/* What the loop and the keeper tell each other: pages that both share (keeper.h). */

bool keeper_is_asked_for(const struct config *c)
{
    for (unsigned i = 0; i < c->class_count; i++)
        if (c->classes[i].qos != QOS_UNSET && c->classes[i].unit == UNIT_CGROUP)
            return true;
    return false;
}

static void copy_config(struct config *to, const struct config *from)
{
    unsigned n = u64_min(from->class_count, CONFIG_CLASSES_MAX);

    memcpy(to, from, offsetof(struct config, classes));
    memcpy(to->classes, from->classes, n * sizeof(from->classes[0])); /* what is not used is not touched */
    to->class_count = n;
}

void keeper_publish(struct keeper_block *b, const struct config *c, bool wanted,
                    const char (*workloads)[CONFIG_PATH_MAX], unsigned workload_count)
{
    uint64_t sequence = b->sequence | 1;

    __atomic_store_n(&b->sequence, sequence, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    copy_config(&b->config, c);
    b->config.workload_auto = false;
    b->config.workload_count = workload_count;
    memcpy(b->config.workload, workloads, workload_count * sizeof(workloads[0]));
    b->wanted = wanted;
    __atomic_store_n(&b->sequence, sequence + 1, __ATOMIC_RELEASE);
}

bool keeper_read(const struct keeper_block *b, struct config *ret, bool *ret_wanted, uint64_t *ret_sequence)
{
    uint64_t sequence = __atomic_load_n(&b->sequence, __ATOMIC_ACQUIRE);

    if (sequence & 1)
        return false;
    copy_config(ret, &b->config);
    *ret_wanted = b->wanted;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&b->sequence, __ATOMIC_RELAXED) != sequence)
        return false;
    *ret_sequence = sequence;
    return true;
}

void keeper_publish_swap(struct keeper_block *b, const struct pacing *p, uint64_t sequence, uint64_t now_usec)
{
    for (unsigned i = 0; i < p->class_count; i++) {
        const struct pace_class *c = &p->classes[i].pace;

        __atomic_store_n(&b->swap[i].written_bytes, c->written_bytes, __ATOMIC_RELAXED);
        __atomic_store_n(&b->swap[i].minute_bytes, pace_minute(c, now_usec), __ATOMIC_RELAXED);
    }
    __atomic_store_n(&b->swap_sequence, sequence, __ATOMIC_RELEASE);
}

bool keeper_read_swap(const struct keeper_block *b, unsigned class_index, struct keeper_swap *ret)
{
    if (__atomic_load_n(&b->swap_sequence, __ATOMIC_ACQUIRE) != b->sequence)
        return false;
    *ret = (struct keeper_swap){__atomic_load_n(&b->swap[class_index].written_bytes, __ATOMIC_RELAXED),
                                __atomic_load_n(&b->swap[class_index].minute_bytes, __ATOMIC_RELAXED)};
    return true;
}
