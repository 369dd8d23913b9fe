#include "policy/victim.h"

#include <string.h>

#include "base/macros.h"
#include "base/sort.h"
#include "base/units.h"
#include "policy/claims.h"
#include "policy/numa.h"
#include "policy/order.h"

/* Growth below this is noise, and nobody is to blame for it. */
#define CULPRIT_LEAST_BYTES UINT64_C(4194304)

struct choice {
    const struct config *config;
    const struct snapshot *snapshot;
    struct victim_state *state;
    struct victim_scratch *scratch;
    struct decision *decision;
    uint64_t left;      /* of the need */
    unsigned last_tier; /* that was reached */
    bool one_owner;
    bool heard; /* what owners who are not root say counts, too */
};

static uint64_t freed_bytes(const struct room *r, const struct victim_state *state, const struct group *g)
{
    struct group_memory m = numa_counted(r, g);
    uint64_t shmem = u64_mul_div(m.shmem, state->shmem_permyriad[g->class_index], PERMYRIAD);

    return u64_add_cap(u64_add_cap(m.anon, m.kernel), shmem);
}

static bool is_elsewhere(const struct room *r, const struct group *g)
{
    return r->nodes != 0 && numa_held(r, g) < VICTIM_USEFUL_BYTES;
}

static enum verdict admit(const struct config *c, const struct room *r, const struct group *g,
                          const struct standing *st, uint64_t freed)
{
    const struct class_config *class = &c->classes[g->class_index];

    if (g->dying || !g->populated)
        return VERDICT_DYING;
    if (st->priority >= CONFIG_PRIORITY_PROTECTED || st->omit)
        return VERDICT_PROTECTED;
    if ((class->actions & ACTION_BIT(ACTION_KILL)) == 0)
        return VERDICT_ACTIONS;
    if (is_elsewhere(r, g))
        return VERDICT_ELSEWHERE;
    return freed < VICTIM_USEFUL_BYTES ? VERDICT_NOTHING : VERDICT_TIER;
}

static void resolve(const struct choice *ch, const struct group *g, struct standing *ret)
{
    if (ch->heard)
        claims_resolve(ch->config, ch->snapshot, g, ch->one_owner, ret);
    else
        claims_resolve_silent(ch->config, ch->snapshot, g, ch->one_owner, ret);
}

static void fill_row(struct choice *ch, unsigned index)
{
    const struct group *g = &ch->snapshot->groups[index];
    struct candidate *k = &ch->scratch->candidates[index];
    struct standing st;

    resolve(ch, g, &st);
    *k = (struct candidate){
        .id = g->id,
        .pid = g->pid,
        .group_index = index,
        .class_index = g->class_index,
        .priority = st.priority,
        .retriable = st.retriable,
        .over_request = st.over_request,
        .last = st.last,
        .request_bytes = st.request_bytes,
        .freed_bytes = freed_bytes(&ch->decision->room, ch->state, g),
        .progress_usec = st.progress_usec,
        .growth_bytes = numa_grown(&ch->decision->room, g, g->growth_bytes),
    };
    k->verdict = admit(ch->config, &ch->decision->room, g, &st, k->freed_bytes);
}

/* One row a group. Returns true while somebody is dying. */
static bool survey(struct choice *ch)
{
    const struct snapshot *s = ch->snapshot;
    struct decision *d = ch->decision;
    bool dying = false;

    ch->heard = false;
    d->candidates = d->passed_over = 0;
    for (unsigned i = 0; i < s->group_count; i++) {
        fill_row(ch, i);
        dying = dying || (s->groups[i].dying && !s->groups[i].stuck);
        d->candidates += ch->scratch->candidates[i].verdict == VERDICT_TIER;
        d->passed_over += ch->scratch->candidates[i].verdict == VERDICT_NOTHING;
    }
    return dying;
}

static enum order order_of(const struct choice *ch, const struct candidate *k)
{
    return ch->config->classes[k->class_index].order;
}

/* The tier as one number: smaller goes first. The kubelet asks first who is over his request, then for the
 * priority of the pod, and knows nothing of retries; the priority of the class is the operator's word, and
 * stays above that. */
static unsigned tier_of(const struct choice *ch, const struct candidate *k)
{
    if (order_of(ch, k) == ORDER_KUBELET)
        return ch->config->classes[k->class_index].priority * 8 + (k->over_request ? 0 : 2) +
               (k->last ? 1 : 0);
    return k->priority * 8 + (k->retriable ? 0 : 4) + (k->over_request ? 0 : 2) + (k->last ? 1 : 0);
}

static void take(struct choice *ch, struct candidate *k, enum verdict why)
{
    const struct group *g = &ch->snapshot->groups[k->group_index];
    struct decision *d = ch->decision;
    struct victim *v;

    if (d->victim_count >= DECISION_VICTIMS_MAX) {
        k->verdict = VERDICT_NO_ROOM;
        return;
    }
    v = &d->victims[d->victim_count++];
    *v = (struct victim){
        .id = g->id,
        .pid = g->pid,
        .class_index = g->class_index,
        .task = g->claims.task,
        .expected_bytes = k->freed_bytes,
        .shmem_bytes = numa_counted(&d->room, g).shmem,
        .age_usec = u64_sub_floor(ch->snapshot->now_usec, g->birth_usec),
        .progress_usec = k->progress_usec,
        .culprit = why == VERDICT_CULPRIT,
    };
    memcpy(v->path, g->path, sizeof(v->path));
    memcpy(v->comm, g->comm, sizeof(v->comm));
    k->verdict = why;
    d->expected_bytes = u64_add_cap(d->expected_bytes, k->freed_bytes);
    ch->left = u64_sub_floor(ch->left, k->freed_bytes);
}

/* ---- the culprit ---- */

static uint64_t fair_share(const struct choice *ch)
{
    uint64_t requests = 0, without = 0;

    for (unsigned i = 0; i < ch->snapshot->group_count; i++) {
        const struct candidate *k = &ch->scratch->candidates[i];

        if (is_elsewhere(&ch->decision->room, &ch->snapshot->groups[i]))
            continue;
        if (k->request_bytes == GROUP_REQUEST_NONE)
            without++;
        else
            requests = u64_add_cap(requests, k->request_bytes);
    }
    return u64_sub_floor(ch->decision->room.limit, requests) / u64_max(without, 1);
}

/* Then who still grows is only who was left running, which says little of who is to blame. */
static bool somebody_paused(const struct choice *ch)
{
    for (unsigned i = 0; i < ch->snapshot->group_count; i++)
        if (ch->snapshot->groups[i].paused || ch->snapshot->groups[i].frozen)
            return true;
    return false;
}

/* Without a declared request only the odd one out is to blame: over its share, and larger than its likes. */
static bool is_over_share(const struct choice *ch, const struct candidate *k, uint64_t share)
{
    const struct group *g = &ch->snapshot->groups[k->group_index];
    uint64_t held = numa_held(&ch->decision->room, g), lead;

    if (k->request_bytes != GROUP_REQUEST_NONE)
        return held > k->request_bytes;
    if (held <= share)
        return false;
    lead = somebody_paused(ch) ? 2 : 1;
    for (unsigned i = 0; i < ch->snapshot->group_count; i++) {
        const struct group *other = &ch->snapshot->groups[i];

        if (other != g && other->class_index == g->class_index &&
            numa_held(&ch->decision->room, other) >= held / lead)
            return false;
    }
    return true;
}

static struct candidate *find_culprit(struct choice *ch)
{
    struct candidate *most = NULL;
    unsigned lowest = CONFIG_PRIORITY_PROTECTED;
    uint64_t growth = 0;

    for (unsigned i = 0; i < ch->snapshot->group_count; i++) {
        struct candidate *k = &ch->scratch->candidates[i];

        growth = u64_add_cap(growth, order_growth_bytes(&ch->decision->room, &ch->snapshot->groups[i]));
        if (k->verdict != VERDICT_TIER && k->verdict != VERDICT_NOTHING)
            continue;
        if (k->verdict == VERDICT_TIER && k->priority < lowest)
            lowest = k->priority;
        if (!numa_grows_there(&ch->decision->room, &ch->snapshot->groups[i]))
            continue;
        if (!most || k->growth_bytes > most->growth_bytes)
            most = k;
    }
    if (!most || most->priority > lowest || most->growth_bytes < CULPRIT_LEAST_BYTES ||
        most->growth_bytes <= growth / 2)
        return NULL;
    return is_over_share(ch, most, fair_share(ch)) ? most : NULL;
}

/* ---- the tiers ---- */

static bool next_tier(const struct choice *ch, unsigned from, unsigned *ret)
{
    bool found = false;

    for (unsigned i = 0; i < ch->snapshot->group_count; i++) {
        const struct candidate *k = &ch->scratch->candidates[i];
        unsigned tier = tier_of(ch, k);

        if (k->verdict != VERDICT_TIER || tier < from || (found && tier >= *ret))
            continue;
        *ret = tier;
        found = true;
    }
    return found;
}

static bool frees_more(const void *va, const void *vb, const void *user _unused_)
{
    const struct cover_item *a = va, *b = vb;

    if (a->taken != b->taken)
        return a->taken;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes;
    return a->tie != b->tie ? a->tie > b->tie : a->minor > b->minor;
}

static enum decision_method method_of(enum cover_method m)
{
    return m == COVER_EXACT ? METHOD_EXACT : m == COVER_QUANTISED ? METHOD_QUANTISED : METHOD_ALL;
}

/* The groups of a tier as items, and the order of their class. Of several with orders of their own it is the
 * first one's: in one tier all are measured alike. */
static enum order collect(struct choice *ch, unsigned tier, unsigned *ret_count)
{
    struct cover_item *items = ch->scratch->items;
    enum order order = ORDER_LEAST_PROGRESS;
    unsigned n = 0;

    for (unsigned i = 0; i < ch->snapshot->group_count; i++) {
        const struct candidate *k = &ch->scratch->candidates[i];

        if (k->verdict != VERDICT_TIER || tier_of(ch, k) != tier)
            continue;
        if (order == ORDER_LEAST_PROGRESS)
            order = order_of(ch, k);
        /* One microsecond each, so that of two sets that cost the same the smaller one is taken. */
        items[n++] = (struct cover_item){
            .bytes = k->freed_bytes,
            .cost = u64_add_cap(k->progress_usec, 1),
            .tie = k->id,
            .minor = (uint32_t)k->pid,
            .index = i,
        };
    }
    for (unsigned i = 0; order != ORDER_LEAST_PROGRESS && i < n; i++) {
        const struct group *g = &ch->snapshot->groups[items[i].index];
        struct standing st;

        resolve(ch, g, &st);
        items[i].cost = order_rank(order, &ch->decision->room, g, &st);
    }
    *ret_count = n;
    return order;
}

static void choose_in_tier(struct choice *ch, unsigned tier)
{
    struct cover_item *items = ch->scratch->items;
    unsigned n, taken = 0;

    if (collect(ch, tier, &n) != ORDER_LEAST_PROGRESS) {
        order_choose(items, n, ch->left);
        ch->decision->method = METHOD_ORDER;
    } else {
        ch->decision->method = method_of(cover_choose(items, n, ch->left));
    }
    for (unsigned i = 0; i < n; i++)
        taken += items[i].taken;
    if (taken > DECISION_VICTIMS_MAX - ch->decision->victim_count) /* not all: those that free most */
        sort_array(items, n, sizeof(*items), frees_more, NULL);
    for (unsigned i = 0; i < n; i++) {
        struct candidate *k = &ch->scratch->candidates[items[i].index];

        if (items[i].taken)
            take(ch, k, VERDICT_CHOSEN);
        else
            k->verdict = VERDICT_NOT_NEEDED;
    }
}

static struct candidate *candidate_of(const struct choice *ch, const struct victim *v)
{
    for (unsigned i = 0; i < ch->snapshot->group_count; i++)
        if (ch->scratch->candidates[i].id == v->id && ch->scratch->candidates[i].pid == v->pid)
            return &ch->scratch->candidates[i];
    return NULL;
}

/* A later tier may have made an earlier one's small ones superfluous. Victims stand in the order of their
 * tiers: the last ones are given back first. */
static void give_back(struct choice *ch)
{
    struct decision *d = ch->decision;

    for (unsigned i = d->victim_count; i-- > 0;) {
        struct candidate *k;

        if (d->expected_bytes - d->victims[i].expected_bytes < d->room.need)
            continue;
        k = candidate_of(ch, &d->victims[i]);
        if (k)
            k->verdict = VERDICT_NOT_NEEDED;
        d->expected_bytes -= d->victims[i].expected_bytes;
        memmove(&d->victims[i], &d->victims[i + 1], (d->victim_count - i - 1) * sizeof(d->victims[0]));
        d->victim_count--;
    }
}

/* How much of the growth ends with the victims. */
static void note_growth(struct choice *ch)
{
    uint64_t all = 0, theirs = 0;

    for (unsigned i = 0; i < ch->snapshot->group_count; i++) {
        const struct candidate *k = &ch->scratch->candidates[i];

        all = u64_add_cap(all, k->growth_bytes);
        if (k->verdict == VERDICT_CHOSEN || k->verdict == VERDICT_CULPRIT)
            theirs = u64_add_cap(theirs, k->growth_bytes);
    }
    ch->decision->growth_permyriad = all == 0 ? 0 : u64_mul_div(theirs, PERMYRIAD, all);
}

static void choose_by_tiers(struct choice *ch)
{
    struct decision *d = ch->decision;
    unsigned tier = 0;

    d->victim_count = 0;
    d->expected_bytes = 0;
    d->method = METHOD_NONE;
    ch->left = d->room.need;
    while (ch->left > 0 && d->victim_count < DECISION_VICTIMS_MAX && next_tier(ch, tier, &tier)) {
        choose_in_tier(ch, tier);
        ch->last_tier = tier++;
    }
    give_back(ch);
}

/* ---- what owners say who are not root ---- */

static bool somebody_unheard(const struct choice *ch)
{
    for (unsigned i = 0; i < ch->snapshot->group_count; i++)
        if (claims_unheard(&ch->snapshot->groups[i], ch->one_owner))
            return true;
    return false;
}

/* Those that were chosen, and those that offer to go earlier, are candidates once more; all others stand
 * aside. Returns how many offer. */
static unsigned call_offers(struct choice *ch)
{
    unsigned offers = 0;

    ch->heard = true;
    for (unsigned i = 0; i < ch->snapshot->group_count; i++) {
        struct candidate *k = &ch->scratch->candidates[i], silent = *k;
        bool was_chosen = k->verdict == VERDICT_CHOSEN, offers_itself = false;

        if (claims_unheard(&ch->snapshot->groups[i], ch->one_owner)) {
            fill_row(ch, i);
            offers_itself =
                tier_of(ch, k) != tier_of(ch, &silent) || k->progress_usec != silent.progress_usec;
            offers += offers_itself && k->verdict == VERDICT_TIER;
            ch->decision->candidates +=
                k->verdict == VERDICT_TIER && (silent.verdict == VERDICT_PROTECTED); /* it was not counted */
        }
        if (was_chosen)
            k->verdict = VERDICT_TIER;
        else if (!offers_itself)
            k->verdict = silent.verdict == VERDICT_TIER ? VERDICT_NOT_NEEDED : silent.verdict;
    }
    return offers;
}

/* A group of an owner who is not root may offer to go earlier. It then takes the place of what was chosen by
 * what root says, so that an offer can save a neighbour and never draws one in: of groups that offer nothing
 * only those die that would have died had nobody offered anything. */
static void hear_offers(struct choice *ch)
{
    struct decision *d = ch->decision;
    uint64_t enough = u64_min(d->room.need, d->expected_bytes);

    if (!somebody_unheard(ch))
        return;
    if (call_offers(ch) > 0)
        choose_by_tiers(ch);
    else
        d->victim_count = 0;
    if (d->victim_count == 0 ||
        d->expected_bytes < enough) { /* many small offers: more than one decision takes */
        (void)survey(ch);
        choose_by_tiers(ch);
        return;
    }
    for (unsigned i = 0; i < ch->snapshot->group_count; i++) {
        struct candidate *k = &ch->scratch->candidates[i];

        if (k->verdict == VERDICT_NOT_NEEDED && tier_of(ch, k) > ch->last_tier)
            k->verdict = VERDICT_TIER;
    }
}

/* ---- what stops a kill ---- */

/* The record's victims are those whose verdict says so. */
static void let_off(struct choice *ch)
{
    struct decision *d = ch->decision;

    for (unsigned i = 0; i < d->victim_count; i++) {
        struct candidate *k = candidate_of(ch, &d->victims[i]);

        if (k)
            k->verdict = VERDICT_NO_ROOM;
    }
    d->victim_count = 0;
    d->expected_bytes = d->growth_permyriad = 0;
}

void victim_choose(const struct config *c, const struct snapshot *s, struct victim_state *state,
                   struct victim_scratch *scratch, struct decision *d)
{
    struct choice ch = {.config = c, .snapshot = s, .state = state, .scratch = scratch, .decision = d};
    struct candidate *culprit;

    d->groups = s->group_count;
    ch.one_owner = claims_one_owner(s);
    ch.left = d->room.need;
    if (survey(&ch)) {
        d->reason = DECISION_WAITING;
        return;
    }
    if (state->fruitless >= VICTIM_FRUITLESS_MAX && s->now_usec < state->fruitless_until_usec) {
        d->reason = DECISION_FRUITLESS;
        return;
    }
    culprit = find_culprit(&ch);
    if (culprit) {
        d->method = METHOD_CULPRIT;
        take(&ch, culprit, VERDICT_CULPRIT);
    } else {
        choose_by_tiers(&ch);
        hear_offers(&ch);
    }
    note_growth(&ch);
    d->reason = d->victim_count > 0 ? DECISION_KILL : DECISION_NO_CANDIDATE;
    if (d->victim_count > 0 && victim_is_limited(c, state, &d->room, s->now_usec)) {
        d->reason = DECISION_KILL_LIMIT;
        let_off(&ch);
    }
}

static bool is_victim(const struct decision *d, const struct group *g)
{
    for (unsigned i = 0; i < d->victim_count; i++)
        if (d->victims[i].id == g->id && d->victims[i].pid == g->pid)
            return true;
    return false;
}

uint64_t victim_next_bytes(const struct config *c, const struct snapshot *s, const struct victim_state *state,
                           const struct decision *d)
{
    bool one_owner = claims_one_owner(s);
    unsigned priority = 0;
    uint64_t bytes = 0;

    if (d->room.nodes != 0)
        return 0;
    for (unsigned i = 0; i < d->victim_count; i++)
        priority = (unsigned)u64_max(priority, c->classes[d->victims[i].class_index].priority);
    for (unsigned i = 0; i < s->group_count; i++) {
        const struct group *g = &s->groups[i];
        uint64_t frees = freed_bytes(&d->room, state, g);
        struct standing st;

        claims_resolve_silent(c, s, g, one_owner, &st);
        if (st.priority <= priority && admit(c, &d->room, g, &st, frees) == VERDICT_TIER && !is_victim(d, g))
            bytes = u64_add_cap(bytes, frees);
    }
    return bytes;
}
