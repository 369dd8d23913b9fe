/* The adaptive law against kernels that take what they like (offload_kernel.h), over a sweep of services,
 * devices and seeds. The same service with the same seed, without offload, is the measure. */
#include "policy.h"

#include <stdlib.h>

#include "offload_kernel.h"
#include "policy/offload.h"

#define ON_SECONDS 300
#define SEEDS 1 /* SIM_SEEDS=, SIM_SAY=1 and SIM_TRACE=1 in the environment ask for more */

static const struct sim_device devices[] = {
    {"zswap", 40, 120, 0, 2800}, /* an object is four faults */
    {"zswap, slow", 80, 240, 0, 4000},
    {"SSD", 200, 600, 1, 0},
    {"worn SSD", 500, 1500, 1, 0},
};
static const struct sim_device disk = {"disk", 4000, 10000, 1, 0};

static const struct sim_load loads[] = {
    {25600, 7680, 200, 8, 100, 800},  /* 120 of 400 MiB, each object in 5 s */
    {25600, 7680, 100, 4, 100, 800},  /* in 20 s */
    {25600, 1280, 200, 4, 200, 800},  /* 20 of 400 MiB */
    {25600, 19200, 400, 8, 400, 500}, /* 300 of 400 MiB */
    {51200, 12800, 500, 8, 500, 500}, /* 200 of 800 MiB */
};

struct run {
    struct sim k;
    struct class_config class;
    struct offload_state s;
    bool off; /* the measure */
    unsigned seconds, p99s[4096];
    uint64_t stalls_from;
    unsigned from; /* of what is looked at */
};

static struct run *run_new(const struct sim_device *d, const struct sim_load *l, bool generations, bool huge,
                           uint64_t seed, bool off)
{
    struct run *v = calloc(1, sizeof(*v));

    assert_non_null(v);
    class_config_init(&v->class, "t");
    v->class.offload = true;
    v->class.offload_ratio_permyriad = CONFIG_OFFLOAD_ADAPTIVE;
    v->class.offload_interval_usec = class_offload_interval_default_usec(CONFIG_OFFLOAD_ADAPTIVE);
    v->off = off;
    sim_init(&v->k, d, l, generations, huge, seed);
    return v;
}

static void step(struct run *v)
{
    struct offload_reading in;
    struct offload_request r;
    uint64_t took;

    sim_fill(&v->k, &in);
    r = offload_step(&v->class, &in, &v->s);
    if (r.bytes == 0)
        return;
    took = sim_reclaim(&v->k, r.bytes);
    offload_note_outcome(&v->s, r.bytes, r.bytes, took, took);
}

static void run(struct run *v, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        sim_second(&v->k);
        v->p99s[v->seconds++] = v->k.p99_usec;
        if (!v->off && v->k.now_usec >= v->s.due_usec)
            step(v);
        if (getenv("SIM_TRACE") && !v->off)
            print_message(
                "  %u s: in %u saved %u hot out %u p99 %u mem %u ratio %u edge %u came %u/s took %u/s %s\n",
                v->seconds, v->k.in / 64, sim_saved_permille(&v->k), sim_hot_out(&v->k) / 64, v->k.p99_usec,
                v->s.memory_ppm, v->s.ratio_ppm, (unsigned)(v->s.edge_bytes >> 20),
                (unsigned)(v->s.returned_per_sec >> 10), (unsigned)(v->s.taken_per_sec >> 10),
                offload_why_name(v->s.why));
    }
}

static int compare(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return (x > y) - (x < y);
}

static void look_from_here(struct run *v)
{
    v->from = v->seconds;
    v->stalls_from = v->k.memory_usec;
}

/* The median of the seconds' p99. */
static unsigned p99(const struct run *v)
{
    unsigned sorted[4096], n = v->seconds - v->from;

    memcpy(sorted, v->p99s + v->from, n * sizeof(sorted[0]));
    qsort(sorted, n, sizeof(sorted[0]), compare);
    return sorted[n / 2];
}

static unsigned some_ppm(const struct run *v)
{
    return (unsigned)((v->k.memory_usec - v->stalls_from) / (v->seconds - v->from));
}

/* Beyond three quarters of the threshold the law tapers off: what is rarely used costs that much. */
static unsigned possible_permille(const struct run *v)
{
    const struct sim_load *l = &v->k.load;
    uint64_t mean_usec = (v->k.device->least_usec + v->k.device->most_usec) / 2 * 109 / 100;
    uint64_t ppm = (uint64_t)l->rate * (l->objects - l->hot) * mean_usec / l->cold_every / l->objects;

    return ppm <= 750 ? 1000 : (unsigned)(750 * 1000 / ppm);
}

static bool say(const struct run *v, const struct run *alone, const char *what, unsigned saved_least)
{
    unsigned most = possible_permille(v), saved = sim_saved_permille(&v->k),
             ratio = p99(v) * 1000 / p99(alone);
    bool good = saved * 1000 >= saved_least * most && ratio <= 1100 && some_ppm(v) <= 2000;

    if (!good || getenv("SIM_SAY"))
        print_message("%s %-11s %s%s %-12s hot %3u of %3u MiB, %u/s: saved %3u of %4u ‰, %2u MiB of the hot "
                      "part out, p99 x %u.%03u, "
                      "some %u ppm, edge %3u MiB, %s\n",
                      good ? "   " : "bad", v->k.device->name, v->k.generations ? "generations" : "lists",
                      v->k.objects[0].huge ? " huge" : "", what, v->k.load.hot / 64, v->k.load.objects / 64,
                      v->k.load.rate, saved, most, sim_hot_out(&v->k) / 64, ratio / 1000, ratio % 1000,
                      some_ppm(v), (unsigned)(v->s.edge_bytes / MIB), offload_why_name(v->s.why));
    return good;
}

typedef bool (*scene_fn)(struct run *v, struct run *alone);

static bool steady(struct run *v, struct run *alone)
{
    bool good;

    run(v, ON_SECONDS);
    run(alone, ON_SECONDS);
    good = say(v, alone, "steady", 800);
    look_from_here(v);
    look_from_here(alone);
    run(v, 3 * ON_SECONDS);
    run(alone, 3 * ON_SECONDS);
    return say(v, alone, "later", 800) && good;
}

static void turn(struct run *v, unsigned from)
{
    v->k.hot_from = from;
}

static bool phase_change(struct run *v, struct run *alone)
{
    unsigned at = v->k.load.objects / 2;

    run(v, ON_SECONDS);
    run(alone, ON_SECONDS);
    turn(v, at);
    turn(alone, at);
    run(v, 30); /* what it turns to has to be read */
    run(alone, 30);
    look_from_here(v);
    look_from_here(alone);
    run(v, ON_SECONDS);
    run(alone, ON_SECONDS);
    return say(v, alone, "phase", 800);
}

static bool diurnal(struct run *v, struct run *alone)
{
    unsigned day = v->k.load.hot, night = day / 2;
    bool good = true;

    for (unsigned i = 0; i < 2; i++) {
        v->k.load.hot = alone->k.load.hot = night;
        look_from_here(v);
        look_from_here(alone);
        run(v, ON_SECONDS);
        run(alone, ON_SECONDS);
        good = say(v, alone, "night", 800) && good;
        v->k.load.hot = alone->k.load.hot = day;
        run(v, 30);
        run(alone, 30);
        look_from_here(v);
        look_from_here(alone);
        run(v, ON_SECONDS);
        run(alone, ON_SECONDS);
        good = say(v, alone, "day", 800) && good;
    }
    return good;
}

/* A quarter of a MiB a second that is never used again. */
static bool growing(struct run *v, struct run *alone)
{
    for (unsigned i = 0; i < ON_SECONDS; i++) {
        sim_grow(&v->k, 16);
        sim_grow(&alone->k, 16);
        run(v, 1);
        run(alone, 1);
    }
    return say(v, alone, "growing", 800);
}

static uint64_t seeds(void)
{
    const char *given = getenv("SIM_SEEDS");

    return given ? (uint64_t)atoi(given) : SEEDS;
}

static unsigned sweep(scene_fn scene, unsigned *ret_all)
{
    unsigned bad = 0;

    *ret_all = 0;
    for (unsigned d = 0; d < ARRAY_SIZE(devices); d++)
        for (unsigned l = 0; l < ARRAY_SIZE(loads); l++)
            for (unsigned kind = 0; kind < 4; kind++)
                for (uint64_t seed = 1; seed <= seeds(); seed++) {
                    struct run *v = run_new(&devices[d], &loads[l], kind & 1, kind & 2, seed, false);
                    struct run *alone = run_new(&devices[d], &loads[l], kind & 1, kind & 2, seed, true);

                    bad += !scene(v, alone);
                    ++*ret_all;
                    free(v);
                    free(alone);
                }
    return bad;
}

/* Not all of them can hold: some are at the very bounds, by what is rarely used there or by what a kernel
 * takes at once. Those that do not are printed. */
static void check_sweep(scene_fn scene, const char *name, unsigned least_permille)
{
    unsigned all, bad = sweep(scene, &all);

    print_message("%s: %u of %u hold\n", name, all - bad, all);
    assert_true((all - bad) * 1000 >= all * least_permille);
}

static void test_steady(void **state _unused_)
{
    check_sweep(steady, "steady", 900);
}

static void test_phase_change(void **state _unused_)
{
    check_sweep(phase_change, "phase change", 900);
}

static void test_diurnal(void **state _unused_)
{
    check_sweep(diurnal, "diurnal", 900);
}

/* Here the goal is met less often: what has just grown is marked as used, and comes last. */
static void test_growing(void **state _unused_)
{
    check_sweep(growing, "growing", 700);
}

/* What is rarely used costs more there than the threshold allows: little is to be had. What was taken before
 * that is felt stays out until it is used, so some pay more than they should: known weak, and bounded. */
static void test_slow_disk(void **state _unused_)
{
    unsigned good = 0, all = 0;

    for (unsigned l = 0; l < ARRAY_SIZE(loads); l++)
        for (uint64_t seed = 1; seed <= 2 * seeds(); seed++) {
            struct run *v = run_new(&disk, &loads[l], seed & 1, false, seed, false);
            struct run *alone = run_new(&disk, &loads[l], seed & 1, false, seed, true);

            run(v, ON_SECONDS); /* with what the kernel may take at once, before it has looked */
            run(alone, ON_SECONDS);
            look_from_here(v);
            look_from_here(alone);
            run(v, 3 * ON_SECONDS);
            run(alone, 3 * ON_SECONDS);
            good += say(v, alone, "slow disk", 0);
            assert_true(some_ppm(v) <= 3000);
            all++;
            free(v);
            free(alone);
        }
    print_message("slow disk: %u of %u hold\n", good, all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steady),  cmocka_unit_test(test_phase_change), cmocka_unit_test(test_diurnal),
        cmocka_unit_test(test_growing), cmocka_unit_test(test_slow_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
