#include "policy/cover.h"

#include <stddef.h>
#include <string.h>

#include "base/macros.h"
#include "base/sort.h"

/* Sums of any 64-bit numbers. */
typedef unsigned __int128 wide;
#define WIDE_MAX (~(wide)0)

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
    wide left = (wide)a->cost * b->bytes, right = (wide)b->cost * a->bytes;

    (void)user;
    if (left != right)
        return left < right;
    if (a->cost != b->cost)
        return a->cost < b->cost;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes;
    return a->tie != b->tie ? a->tie > b->tie : a->minor > b->minor;
}

struct search {
    struct cover_item *items;
    unsigned count;
    uint64_t need;
    wide best_cost;
    unsigned nodes;
};

/* One decision is made at a time, and its tables are too large for the stack. */
static uint64_t bin_cost[COVER_BINS + 1];
static unsigned char bin_taken[COVER_ITEMS_MAX][(COVER_BINS + 8) / 8];

static wide bytes_up_to(const struct cover_item *item)
{
    return item->bytes_before + item->bytes;
}

/* The least that covering `left` from item i on can cost: whole items in order of cost per byte, and a part
 * of the last one, rounded up, since costs are whole numbers. At `enough` or more it is not looked at closer;
 * WIDE_MAX: it cannot be covered. */
static wide lower_bound(const struct search *s, unsigned i, uint64_t left, wide enough)
{
    wide goal = s->items[i].bytes_before + left, cost;
    unsigned low = i, high = s->count - 1;
    const struct cover_item *last;

    if (bytes_up_to(&s->items[high]) < goal)
        return WIDE_MAX;
    while (low < high) { /* the first item with which it is covered */
        unsigned middle = low + (high - low) / 2;

        if (bytes_up_to(&s->items[middle]) >= goal)
            high = middle;
        else
            low = middle + 1;
    }
    last = &s->items[low];
    cost = last->cost_before - s->items[i].cost_before;
    if (cost >= enough)
        return cost;
    return cost + ((wide)last->cost * (uint64_t)(goal - last->bytes_before) + last->bytes - 1) / last->bytes;
}

static void keep(struct search *s, wide cost)
{
    s->best_cost = cost;
    for (unsigned i = 0; i < s->count; i++)
        s->items[i].taken = s->items[i].now;
}

/* Items that are not needed go back, the dearest per byte first. What stays cannot be left out: what goes
 * back later only makes the rest smaller. */
static void give_back(struct search *s)
{
    wide freed = 0, cost = 0;

    for (unsigned i = 0; i < s->count; i++) {
        freed += s->items[i].taken ? s->items[i].bytes : 0;
        cost += s->items[i].taken ? s->items[i].cost : 0;
    }
    for (unsigned i = s->count; i-- > 0;) {
        struct cover_item *item = &s->items[i];

        if (!item->taken || freed - item->bytes < s->need)
            continue;
        item->taken = false;
        freed -= item->bytes;
        cost -= item->cost;
    }
    s->best_cost = cost;
}

/* A first answer, at most twice as dear as the best: by cost per byte, where each item that would be enough
 * is tried as the last one, and one that is not is taken. */
static void search_greedy(struct search *s)
{
    wide freed = 0, cost = 0;
    unsigned last = s->count;

    s->best_cost = WIDE_MAX;
    for (unsigned i = 0; i < s->count; i++) {
        const struct cover_item *item = &s->items[i];

        if (freed + item->bytes < s->need) {
            freed += item->bytes;
            cost += item->cost;
        } else if (cost + item->cost < s->best_cost) {
            s->best_cost = cost + item->cost;
            last = i;
        }
    }
    freed = 0;
    for (unsigned i = 0; i < last; i++) {
        s->items[i].taken = freed + s->items[i].bytes < s->need;
        freed += s->items[i].taken ? s->items[i].bytes : 0;
    }
    s->items[last].taken = true; /* there is one: all together are more than enough */
    give_back(s);
}

/* Depth first, taking before leaving, without recursion: position i, and back to the last item taken. */
static bool search_exact(struct search *s)
{
    wide cost = 0, freed = 0;
    unsigned i = 0;

    for (;;) {
        bool enough = freed >= s->need;

        if (++s->nodes > COVER_NODES_MAX)
            return false;
        while (i < s->count && s->items[i].bytes == 0)
            i++;
        if (enough && cost < s->best_cost)
            keep(s, cost);
        if (!enough && i < s->count && cost < s->best_cost) {
            wide room = s->best_cost - cost;

            if (lower_bound(s, i, s->need - (uint64_t)freed, room) < room) {
                s->items[i].now = true;
                cost += s->items[i].cost;
                freed += s->items[i].bytes;
                i++;
                continue;
            }
        }
        while (i > 0 && !s->items[i - 1].now)
            i--;
        if (i == 0)
            return true;
        s->items[i - 1].now = false; /* the same prefix without it */
        cost -= s->items[i - 1].cost;
        freed -= s->items[i - 1].bytes;
    }
}

/* The cheapest cover over sizes rounded down to need / COVER_BINS, rounded up: what covers the rounded need
 * covers the true one. Taken only where it is better than what the search had found when it was cut short. */
static void search_quantised(struct search *s)
{
    uint64_t quantum = s->need / COVER_BINS + (s->need % COVER_BINS != 0);
    unsigned bins = (unsigned)(s->need / quantum + (s->need % quantum != 0)), b;
    unsigned count = s->count < COVER_ITEMS_MAX ? s->count : COVER_ITEMS_MAX;

    memset(bin_taken, 0, sizeof(bin_taken));
    bin_cost[0] = 0;
    for (b = 1; b <= bins; b++)
        bin_cost[b] = UINT64_MAX;
    for (unsigned i = 0; i < count; i++) {
        unsigned units = (unsigned)u64_min(s->items[i].bytes / quantum, bins);

        for (b = bins; units > 0 && b > 0; b--) {
            uint64_t before = bin_cost[b > units ? b - units : 0],
                     with = u64_add_cap(before, s->items[i].cost);

            if (with >= bin_cost[b])
                continue;
            bin_cost[b] = with;
            bin_taken[i][b / 8] |= (unsigned char)(1U << b % 8);
        }
    }
    if (bin_cost[bins] >= s->best_cost)
        return;
    for (unsigned i = 0; i < s->count; i++)
        s->items[i].taken = false;
    b = bins;
    for (unsigned i = count; i-- > 0 && b > 0;) {
        unsigned units = (unsigned)u64_min(s->items[i].bytes / quantum, bins);

        s->items[i].taken = (bin_taken[i][b / 8] & 1U << b % 8) != 0;
        if (s->items[i].taken)
            b = b > units ? b - units : 0;
    }
}

enum cover_method cover_choose(struct cover_item *items, unsigned count, uint64_t need_bytes)
{
    struct search s = {.items = items, .count = count, .need = need_bytes};
    wide bytes = 0, cost = 0;
    bool exact;

    for (unsigned i = 0; i < count; i++)
        items[i].taken = items[i].now = false;
    if (count == 0 || need_bytes == 0)
        return COVER_NONE;
    sort_array(items, count, sizeof(*items), goes_before, NULL);
    for (unsigned i = 0; i < count; i++) {
        items[i].bytes_before = bytes;
        items[i].cost_before = cost;
        bytes += items[i].bytes;
        cost += items[i].cost;
    }
    if (bytes <= need_bytes) {
        for (unsigned i = 0; i < count; i++)
            items[i].taken = items[i].bytes > 0;
        return COVER_ALL;
    }
    search_greedy(&s);
    exact = search_exact(&s);
    if (!exact)
        search_quantised(&s);
    give_back(&s);
    return exact ? COVER_EXACT : COVER_QUANTISED;
}
