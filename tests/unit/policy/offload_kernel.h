/* A kernel that reclaims from one service, page by page, in simulated time: what the laws of offload are held
 * against. Simple on purpose, but for what makes real ones hard to steer:
 *
 *  - with generations (MGLRU as of 6.12): a request is scanned for by total >> priority pages without a stop
 *    when there are enough; passes that only age bring nothing, and each makes the next one scan twice as
 *    much. Memory that was never looked at is all marked as used;
 *  - with two lists: what is at the end of the active one is moved to the inactive one whether it is used or
 *    not, as soon as that is the shorter one, and is taken unless it is used before it comes to the end;
 *  - huge pages go whole, and come back one by one;
 *  - who waits for a page waits for its device, behind those before him. */
#pragma once

#include "policy.h"

#include "policy/offload.h"

#define OBJECT_BYTES (UINT64_C(16) * KIB) /* what is used at once, goes at once and is read at once */
#define OBJECT_PAGES 4
#define HUGE_OBJECTS 128
#define OBJECTS_MAX 65536
#define REQUESTS_MAX 1024 /* a second */

struct sim_device {
    const char *name;
    unsigned least_usec, most_usec; /* for an object: evenly, but for one in a hundred, ten times as long */
    unsigned around;                /* objects that are read along with each */
    unsigned zswap_permyriad;       /* of what is out, what it still takes; 0: a disk */
};

struct sim_load {
    unsigned objects, hot;
    unsigned rate, uses; /* requests a second, objects of the hot part that each uses */
    unsigned cold_every; /* one request in so many goes anywhere */
    unsigned base_usec;  /* what a request takes where all is in memory */
};

struct sim_object {
    unsigned next, prev; /* index + 1; 0: none */
    unsigned char list;
    bool out, used, huge; /* huge: goes with the others of its huge page */
};

struct sim {
    uint64_t random, now_usec;
    const struct sim_device *device;
    struct sim_load load;
    unsigned hot_from;
    bool generations;
    unsigned wasted; /* passes of the first request that only age, beyond the model's own */
    bool looked_at;
    struct sim_object objects[OBJECTS_MAX];
    struct {
        unsigned head, tail, count;
    } lists[4];
    unsigned max_seq, min_seq;
    unsigned in;                    /* objects in memory */
    uint64_t free_usec;             /* the service is at an earlier request until then */
    uint64_t memory_usec;           /* stalls */
    uint64_t refaults, scan, steal; /* pages */
    unsigned spans[REQUESTS_MAX];
    unsigned p99_usec; /* of the last second */
};

void sim_init(struct sim *k, const struct sim_device *d, const struct sim_load *l, bool generations,
              bool huge, uint64_t seed);
void sim_second(struct sim *k);
/* Memory.reclaim. Returns bytes that have gone from memory. */
uint64_t sim_reclaim(struct sim *k, uint64_t bytes);
void sim_grow(struct sim *k, unsigned objects);
void sim_fill(const struct sim *k, struct offload_reading *in);
/* Of what is not hot, how much is out. */
unsigned sim_saved_permille(const struct sim *k);
unsigned sim_hot_out(const struct sim *k);
