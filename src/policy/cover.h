/* The cheapest set that is enough: of items that each free some bytes and cost some progress, those that
 * together free `need` with the least total cost (minimum knapsack cover). Pure, no allocation, and the same
 * for any input order.
 *
 * Exact by branch and bound with the fractional relaxation as lower bound (Dantzig), which on such inputs
 * visits a few hundred nodes, each in the time of a binary search over sums. Where it would visit more than
 * COVER_NODES_MAX, the better of two: what it has found so far (it starts from a greedy set that costs at
 * most twice the optimum), and dynamic programming over bytes quantised to need / COVER_BINS, of the
 * COVER_ITEMS_MAX items that are cheapest per byte. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define COVER_ITEMS_MAX 1024
#define COVER_BINS 256
#define COVER_NODES_MAX 12000

struct cover_item {
    uint64_t bytes;
    uint64_t cost;
    uint64_t tie; /* orders equal ones: the greater is taken first; then the greater `minor` */
    uint32_t minor;
    unsigned index; /* the caller's */
    bool taken;
    bool now; /* the rest is the search's */
    unsigned __int128 bytes_before;
    unsigned __int128 cost_before;
};

enum cover_method {
    COVER_NONE, /* nothing to choose */
    COVER_ALL,  /* everything together is not enough, or just enough */
    COVER_EXACT,
    COVER_QUANTISED,
};

/* Sorts the items and marks those that are taken. No taken one can be left out without the rest being too
 * little. */
enum cover_method cover_choose(struct cover_item *items, unsigned count, uint64_t need_bytes);
const char *cover_method_name(enum cover_method m);
