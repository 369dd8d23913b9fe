#include "policy/claims.h"

#include "base/macros.h"

bool claims_one_owner(const struct snapshot *s)
{
    for (unsigned i = 1; i < s->group_count; i++)
        if (s->groups[i].owner_uid != s->groups[0].owner_uid)
            return false;
    return s->group_count > 0;
}

static uint64_t resolve_request(const struct config *c, const struct snapshot *s, const struct group *g,
                                bool trusted)
{
    uint64_t own = amount_bytes(&c->classes[g->class_index].request, s->node.total, GROUP_REQUEST_NONE);

    if (!g->claims.has_request)
        return own;
    /* Without a request a group counts as over it: any request lets it go later. */
    if (trusted || (own != GROUP_REQUEST_NONE && g->claims.request_bytes < own))
        return g->claims.request_bytes;
    return own;
}

static uint64_t resolve_progress(const struct snapshot *s, const struct group *g, bool trusted)
{
    uint64_t age = u64_sub_floor(u64_sub_floor(s->now_usec, g->birth_usec), g->paused_usec), claimed;

    if (g->claims.has_started) {
        claimed = u64_sub_floor(s->now_usec, g->claims.started_usec);
        if (claimed < age) /* how much of its CPU time came before, nobody knows: not counted */
            return claimed;
        if (trusted)
            age = claimed;
    }
    return u64_max(age, g->cpu_usec);
}

void claims_resolve(const struct config *c, const struct snapshot *s, const struct group *g, bool one_owner,
                    struct standing *ret)
{
    const struct class_config *class = &c->classes[g->class_index];
    const struct group_claims *claims = &g->claims;
    bool trusted = g->owner_uid == 0 || one_owner;
    uint64_t held = u64_add_cap(u64_add_cap(g->anon, g->kernel), g->shmem);

    ret->priority = class->priority;
    if (claims->has_priority && (trusted || claims->priority < class->priority))
        ret->priority = claims->priority;
    ret->retriable = class->retriable;
    if (claims->has_retriable && (trusted || claims->retriable))
        ret->retriable = claims->retriable;
    ret->omit = claims->omit && trusted;
    ret->last = trusted && (claims->avoid || (claims->task != 0 && g->lineage_kills >= CLAIMS_LINEAGE_KILLS));
    ret->request_bytes = resolve_request(c, s, g, trusted);
    ret->over_request = ret->request_bytes == GROUP_REQUEST_NONE || held > ret->request_bytes;
    ret->progress_usec = resolve_progress(s, g, trusted);
}
