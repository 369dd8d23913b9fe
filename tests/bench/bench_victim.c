/* How long choosing takes: victim_choose() over 1,000 and 10,000 groups, in shapes that the search finishes
 * and in shapes that it cannot, so that the approximation has to. One line a shape:
 *
 *     victim groups=1000 shape=plain method=exact victims=5 median_us=… p99_us=… target_us=1000 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"
#include "base/sort.h"
#include "base/units.h"
#include "policy/victim.h"
#include "record/ring.h"

#define GROUPS_MAX 10000
#define RUNS_MAX 2000

enum shape {
    SHAPE_PLAIN,        /* ages and sizes have nothing to do with each other */
    SHAPE_EQUAL,        /* all as old: the sizes decide */
    SHAPE_PROPORTIONAL, /* the older the larger, by the byte: the search sees nothing but ties */
    SHAPE_SHIFTED,      /* nearly so */
    SHAPE_MANY,         /* small ones, and a need for most of them */
    SHAPE_TIERS,        /* a hundred priorities, each of them too little */
    SHAPE_NEWEST,       /* Order=newest */
    SHAPE_OFFERS,       /* a hundred owners, each with groups that offer to go earlier */
    SHAPE_COUNT,
};

static const char *const shape_names[SHAPE_COUNT] = {"plain", "equal", "proportional", "shifted",
                                                     "many",  "tiers", "newest",       "offers"};

static struct config the_config;
static struct group groups[GROUPS_MAX];
static struct candidate candidates[GROUPS_MAX];
static struct cover_item items[GROUPS_MAX];
static struct record_ring ring;
static uint64_t samples[RUNS_MAX];

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t random_below(uint64_t *state, uint64_t bound)
{
    return random_next(state) % bound;
}

static uint64_t now_nsec(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void fill_group(struct snapshot *s, enum shape shape, uint64_t *seed, unsigned i)
{
    struct group *g = &groups[i];
    uint64_t age = 1 + random_below(seed, 3600 * USEC_PER_SEC);

    memset(g, 0, sizeof(*g));
    g->id = 1000 + i * 7919 % 100003;
    g->populated = true;
    g->owner_uid = shape == SHAPE_OFFERS ? 1000 + i % 100 : 0;
    g->anon = 10 * MIB + random_below(seed, 290 * 256) * 4096;
    if (shape == SHAPE_MANY)
        g->anon = MIB + random_below(seed, 64) * 4096;
    if (shape == SHAPE_EQUAL)
        age = 60 * USEC_PER_SEC;
    if (shape == SHAPE_PROPORTIONAL)
        age = g->anon / 64;
    if (shape == SHAPE_SHIFTED)
        age = g->anon / 64 + 50 * USEC_PER_SEC;
    g->birth_usec = s->now_usec - age;
    if (shape == SHAPE_TIERS) {
        g->anon = 512 * KIB;
        g->claims.has_priority = true;
        g->claims.priority = i % 100;
    }
    if (shape == SHAPE_OFFERS && i % 3 == 0) {
        g->claims.has_priority = true;
        g->claims.priority = 400;
    }
    (void)snprintf(g->path, sizeof(g->path), "kubepods.slice/pod-%05u.slice/container-%05u.scope", i, i);
}

static uint64_t need_of(enum shape shape, unsigned count)
{
    return shape == SHAPE_MANY ? count * MIB : shape == SHAPE_TIERS ? 4 * GIB : 900 * MIB + 12345;
}

static bool is_less(const void *a, const void *b, const void *user _unused_)
{
    return *(const uint64_t *)a < *(const uint64_t *)b;
}

static void say(const char *what, unsigned count, enum shape shape, const struct decision *d, unsigned runs,
                uint64_t target_usec)
{
    sort_array(samples, runs, sizeof(samples[0]), is_less, NULL);
    printf("%s groups=%u shape=%s method=%s victims=%u median_us=%.1f p99_us=%.1f target_us=%ju\n", what,
           count, shape_names[shape], decision_method_name(d->method), d->victim_count,
           (double)samples[runs / 2] / 1000, (double)samples[runs * 99 / 100] / 1000, (uintmax_t)target_usec);
}

static void run(unsigned count, enum shape shape, unsigned runs, uint64_t target_usec)
{
    struct snapshot s = {.now_usec = 100000 * USEC_PER_SEC, .groups = groups, .group_count = count};
    struct victim_scratch scratch = {.candidates = candidates, .items = items};
    static struct victim_state state;
    static struct decision d;
    uint64_t seed = 1;

    s.node.total = 64 * GIB;
    the_config.classes[0].order = shape == SHAPE_NEWEST ? ORDER_NEWEST : ORDER_LEAST_PROGRESS;
    for (unsigned i = 0; i < runs; i++) {
        uint64_t begin;

        for (unsigned j = 0; j < count; j++)
            fill_group(&s, shape, &seed, j);
        memset(&state, 0, sizeof(state));
        memset(&d, 0, sizeof(d));
        d.room.limit = 60 * GIB;
        d.room.need = need_of(shape, count);
        d.room.margin = 512 * MIB;
        begin = now_nsec();
        victim_choose(&the_config, &s, &state, &scratch, &d);
        samples[i] = now_nsec() - begin;
    }
    say("victim", count, shape, &d, runs, target_usec);
    for (unsigned i = 0; i < runs; i++) {
        uint64_t begin = now_nsec();

        (void)record_ring_add(&ring, &d, candidates, &s);
        samples[i] = now_nsec() - begin;
    }
    if (shape == SHAPE_PLAIN)
        say("record", count, shape, &d, runs, target_usec);
}

int main(void)
{
    config_init_defaults(&the_config);
    record_ring_init(&ring);
    for (unsigned shape = 0; shape < SHAPE_COUNT; shape++)
        run(1000, (enum shape)shape, 500, 1000);
    for (unsigned shape = 0; shape < SHAPE_COUNT; shape++)
        run(10000, (enum shape)shape, 60, 10000);
    return 0;
}
