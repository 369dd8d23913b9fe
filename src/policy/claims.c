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

static void resolve_progress(const struct snapshot *s, const struct group *g, bool trusted,
                             struct standing *ret)
{
    uint64_t age = u64_sub_floor(u64_sub_floor(s->now_usec, g->birth_usec), g->paused_usec), claimed;

    ret->age_usec = age;
    ret->progress_usec = u64_max(age, g->cpu_usec);
    if (!g->claims.has_started)
        return;
    claimed = u64_sub_floor(s->now_usec, g->claims.started_usec);
    if (claimed < age) { /* how much of its CPU time came before, nobody knows: not counted */
        ret->age_usec = ret->progress_usec = claimed;
    } else if (trusted) {
        ret->age_usec = claimed;
        ret->progress_usec = u64_max(claimed, g->cpu_usec);
    }
}

bool claims_trusted(const struct group *g, bool one_owner)
{
    return g->owner_uid == 0 || one_owner;
}

bool claims_unheard(const struct group *g, bool one_owner)
{
    const struct group_claims *claims = &g->claims;

    return !claims_trusted(g, one_owner) &&
           (claims->has_priority || claims->has_retriable || claims->has_request || claims->has_started);
}

void claims_resolve_silent(const struct config *c, const struct snapshot *s, const struct group *g,
                           bool one_owner, struct standing *ret)
{
    struct group silent;

    if (!claims_unheard(g, one_owner)) {
        claims_resolve(c, s, g, one_owner, ret);
        return;
    }
    silent = *g;
    silent.claims = (struct group_claims){0};
    claims_resolve(c, s, &silent, one_owner, ret);
}

uint64_t claims_held_bytes(const struct group *g)
{
    return u64_add_cap(u64_add_cap(g->anon, g->kernel), g->shmem);
}

void claims_resolve(const struct config *c, const struct snapshot *s, const struct group *g, bool one_owner,
                    struct standing *ret)
{
    const struct class_config *class = &c->classes[g->class_index];
    const struct group_claims *claims = &g->claims;
    bool trusted = claims_trusted(g, one_owner);

    ret->priority = class->priority;
    if (claims->has_priority && (trusted || claims->priority < class->priority))
        ret->priority = claims->priority;
    ret->retriable = class->retriable;
    if (claims->has_retriable && (trusted || claims->retriable))
        ret->retriable = claims->retriable;
    ret->omit = claims->omit && trusted;
    ret->last = trusted && (claims->avoid || (claims->task != 0 && g->lineage_kills >= CLAIMS_LINEAGE_KILLS));
    ret->request_bytes = resolve_request(c, s, g, trusted);
    ret->over_request = ret->request_bytes == GROUP_REQUEST_NONE || claims_held_bytes(g) > ret->request_bytes;
    resolve_progress(s, g, trusted, ret);
}
