#include "policy/victim_state.h"

#include "base/units.h"

#define USEC_PER_MINUTE (60 * USEC_PER_SEC)

bool victim_is_limited(const struct config *c, struct victim_state *st, const struct room *r, uint64_t now)
{
    uint64_t full = (uint64_t)c->kill_limit_per_minute * PERMYRIAD;

    if (st->tokens_usec == 0)
        st->tokens_permyriad = full;
    else
        st->tokens_permyriad =
            u64_min(full, st->tokens_permyriad +
                              u64_mul_div(full, u64_sub_floor(now, st->tokens_usec), USEC_PER_MINUTE));
    st->tokens_usec = now;
    return st->tokens_permyriad < PERMYRIAD && r->need < r->margin / 2;
}

unsigned victim_lineage_kills(const struct victim_state *state, uint64_t task)
{
    for (unsigned i = 0; task != 0 && i < VICTIM_LINEAGES_MAX; i++)
        if (state->lineages[i].task == task)
            return state->lineages[i].kills;
    return 0;
}

static void note_lineage(struct victim_state *state, uint64_t task, uint64_t now_usec)
{
    unsigned slot = 0;

    if (task == 0)
        return;
    for (unsigned i = 0; i < VICTIM_LINEAGES_MAX; i++) {
        if (state->lineages[i].task == task) {
            state->lineages[i].kills++;
            state->lineages[i].last_usec = now_usec;
            return;
        }
        if (state->lineages[i].last_usec < state->lineages[slot].last_usec)
            slot = i;
    }
    state->lineages[slot].task = task; /* in place of the one that was not heard of for longest */
    state->lineages[slot].kills = 1;
    state->lineages[slot].last_usec = now_usec;
}

/* What came back beyond the private memory that was expected came from shmem. */
static void learn_shmem(const struct decision *d, struct victim_state *state)
{
    const struct victim *v = &d->victims[0];
    uint64_t *fraction = &state->shmem_permyriad[v->class_index];
    uint64_t counted = u64_mul_div(v->shmem_bytes, *fraction, PERMYRIAD);
    uint64_t owned = u64_sub_floor(v->expected_bytes, counted), came;

    if (d->victim_count != 1 || d->gone != 1 || v->shmem_bytes < u64_max(owned / 4, VICTIM_USEFUL_BYTES))
        return; /* too little to tell it from the growth of others */
    came = u64_min(u64_mul_div(u64_sub_floor(d->freed_bytes, owned), PERMYRIAD, v->shmem_bytes), PERMYRIAD);
    *fraction = (*fraction + came) / 2;
}

void victim_note_outcome(const struct decision *d, struct victim_state *state, uint64_t next_bytes)
{
    uint64_t grown = u64_sub_floor(next_bytes, d->next_bytes);
    uint64_t came = u64_max(d->freed_bytes, u64_sub_floor(u64_add_cap(d->room.used, grown), d->used_after));
    uint64_t now = d->time_usec + d->outcome_usec, spent;

    if (d->victim_count == 0)
        return;
    learn_shmem(d, state);
    for (unsigned i = 0; i < d->victim_count; i++)
        note_lineage(state, d->victims[i].task, now);
    spent = (uint64_t)d->victim_count * PERMYRIAD;
    state->tokens_permyriad = u64_sub_floor(state->tokens_permyriad, spent);
    if (d->need_after >= d->room.need && came < d->expected_bytes / 4 + VICTIM_USEFUL_BYTES)
        state->fruitless++;
    else
        state->fruitless = 0;
    if (state->fruitless >= VICTIM_FRUITLESS_MAX)
        state->fruitless_until_usec = now + VICTIM_FRUITLESS_USEC;
}

void victim_note_need(struct victim_state *state, uint64_t need_bytes)
{
    if (need_bytes == 0)
        state->fruitless = 0;
}
