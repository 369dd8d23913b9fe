#include "policy/cover.h"

#include <stddef.h>
#include <string.h>

#include "base/macros.h"
#include "base/sort.h"

const char *cover_method_name(enum cover_method m)
{
    static const char *const names[] = {"none", "all", "exact", "quantised"};

    return (size_t)m < ARRAY_SIZE(names) ? names[m] : "?";
}

/* Cheapest per byte first; ties by cost, size and the caller's order, so that the result does not depend on
 * theirs. */
static bool goes_before(const void *va, const void *vb, const void *user)
{
    const struct cover_item *a = va, *b = vb;
    unsigned __int128 left = (unsigned __int128)a->cost * b->bytes,
                      right = (unsigned __int128)b->cost * a->bytes;

    (void)user;
    if (left != right)
        return left < right;
    if (a->cost != b->cost)
        return a->cost < b->cost;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes;
    return a->tie > b->tie;
}

struct search {
    struct cover_item *items;
    unsigned count;
    uint64_t need;
    uint64_t best_cost;
    unsigned nodes;
    bool now[COVER_ITEMS_MAX];
    bool best[COVER_ITEMS_MAX];
};

/* One decision is made at a time, and its tables are too large for the stack. */
static struct search the_search;
static uint64_t bin_cost[COVER_BINS + 1];
static unsigned char bin_taken[COVER_ITEMS_MAX][(COVER_BINS + 8) / 8];

/* The least that covering `left` from item i on can cost: whole items in order of cost per byte, and a part
 * of the last one, rounded down. UINT64_MAX: it cannot be covered. */
static uint64_t lower_bound(const struct search *s, unsigned i, uint64_t left)
{
    uint64_t cost = 0;

    for (; i < s->count; i++) {
        const struct cover_item *item = &s->items[i];

        if (item->bytes >= left)
            return u64_add_cap(cost, u64_mul_div(item->cost, left, item->bytes));
        cost = u64_add_cap(cost, item->cost);
        left -= item->bytes;
    }
    return UINT64_MAX;
}

/* Depth first, taking before leaving, without recursion: position i, and back to the last item taken. */
static bool search_exact(struct search *s)
{
    uint64_t cost = 0, freed = 0;
    unsigned i = 0;

    for (;;) {
        bool enough = freed >= s->need;

        if (++s->nodes > COVER_NODES_MAX)
            return false;
        if (enough && cost < s->best_cost) {
            s->best_cost = cost;
            memcpy(s->best, s->now, s->count * sizeof(s->now[0]));
        }
        if (!enough && i < s->count) {
            uint64_t least = lower_bound(s, i, s->need - freed);

            if (least != UINT64_MAX && u64_add_cap(cost, least) < s->best_cost) {
                s->now[i] = true;
                cost += s->items[i].cost;
                freed += s->items[i].bytes;
                i++;
                continue;
            }
        }
        while (i > 0 && !s->now[i - 1])
            i--;
        if (i == 0)
            return true;
        s->now[i - 1] = false; /* the same prefix without it */
        cost -= s->items[i - 1].cost;
        freed -= s->items[i - 1].bytes;
    }
}

static void search_quantised(struct search *s)
{
    uint64_t quantum = u64_max(s->need / COVER_BINS, 1);
    unsigned b;

    memset(bin_taken, 0, sizeof(bin_taken));
    bin_cost[0] = 0;
    for (b = 1; b <= COVER_BINS; b++)
        bin_cost[b] = UINT64_MAX;
    for (unsigned i = 0; i < s->count; i++) {
        uint64_t units = u64_min(s->items[i].bytes / quantum, COVER_BINS);

        for (b = COVER_BINS; units > 0 && b > 0; b--) {
            uint64_t before = bin_cost[b > units ? b - units : 0], with;

            if (before == UINT64_MAX)
                continue;
            with = u64_add_cap(before, s->items[i].cost);
            if (with >= bin_cost[b])
                continue;
            bin_cost[b] = with;
            bin_taken[i][b / 8] |= (unsigned char)(1U << b % 8);
        }
    }
    if (bin_cost[COVER_BINS] == UINT64_MAX) { /* rounding ate too much: take by cost per byte */
        uint64_t freed = 0;

        for (unsigned i = 0; i < s->count; i++) {
            s->best[i] = freed < s->need;
            freed += s->best[i] ? s->items[i].bytes : 0;
        }
        return;
    }
    b = COVER_BINS;
    for (unsigned i = s->count; i-- > 0 && b > 0;) {
        uint64_t units = u64_min(s->items[i].bytes / quantum, COVER_BINS);

        s->best[i] = (bin_taken[i][b / 8] & 1U << b % 8) != 0;
        if (s->best[i])
            b = b > units ? b - (unsigned)units : 0;
    }
}

/* Rounding may have taken one too many: the dearest that are not needed go back. */
static void give_back(struct search *s)
{
    uint64_t freed = 0;

    for (unsigned i = 0; i < s->count; i++)
        freed += s->best[i] ? s->items[i].bytes : 0;
    for (;;) {
        unsigned worst = s->count;

        for (unsigned i = 0; i < s->count; i++)
            if (s->best[i] && freed - s->items[i].bytes >= s->need &&
                (worst == s->count || s->items[i].cost > s->items[worst].cost))
                worst = i;
        if (worst == s->count)
            return;
        s->best[worst] = false;
        freed -= s->items[worst].bytes;
    }
}

enum cover_method cover_choose(struct cover_item *items, unsigned count, uint64_t need_bytes)
{
    enum cover_method method = COVER_EXACT;
    struct search *s = &the_search;
    uint64_t all = 0;

    for (unsigned i = 0; i < count; i++) {
        items[i].taken = false;
        all = u64_add_cap(all, items[i].bytes);
    }
    if (count == 0 || need_bytes == 0)
        return COVER_NONE;
    sort_array(items, count, sizeof(*items), goes_before, NULL);
    if (all <= need_bytes) {
        for (unsigned i = 0; i < count; i++)
            items[i].taken = items[i].bytes > 0;
        return COVER_ALL;
    }
    count = count < COVER_ITEMS_MAX ? count : COVER_ITEMS_MAX;
    *s = (struct search){.items = items, .count = count, .need = need_bytes, .best_cost = UINT64_MAX};
    if (!search_exact(s)) {
        uint64_t found = s->best_cost;
        static bool incumbent[COVER_ITEMS_MAX];
        uint64_t cost = 0;

        method = COVER_QUANTISED;
        memcpy(incumbent, s->best, sizeof(incumbent));
        memset(s->best, 0, sizeof(s->best));
        search_quantised(s);
        give_back(s);
        for (unsigned i = 0; i < count; i++)
            cost = u64_add_cap(cost, s->best[i] ? items[i].cost : 0);
        if (found < cost) /* what the search had found when it was cut short is better */
            memcpy(s->best, incumbent, sizeof(incumbent));
    }
    give_back(s);
    for (unsigned i = 0; i < count; i++)
        items[i].taken = s->best[i];
    return method;
}
