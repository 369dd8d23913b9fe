/* The adaptive law against models of a working set, in simulated time.
 *
 * The model: a hot and a cold part, of each so much in memory and so much out of it. What is out comes back
 * with an exponential law (independent accesses), and waits for its device meanwhile. What is taken is cold
 * as long as there is some, but for a share of mistakes; where there is none, it is hot. */
#include "policy.h"

#include <math.h>
#include <stdlib.h>

#include "policy/offload.h"

struct part {
    double in, out;  /* bytes */
    double tau_usec; /* mean time between two accesses of a page */
};

struct device {
    double fault_usec;     /* for each read */
    double pages_per_read; /* with what is read ahead */
};

static const struct device ssd = {150, 4}, slow = {2000, 4}, zswap = {15, 1};

struct service {
    struct class_config class;
    struct offload_state s;
    struct offload_reading in;
    struct part hot, cold;
    struct device device;
    double taken, returned_hot, felt_seconds, seconds, waited_usec;
};

static struct service *service_new(const struct device *device, uint64_t hot_bytes, uint64_t cold_bytes)
{
    struct service *v = calloc(1, sizeof(*v));

    assert_non_null(v);
    class_config_init(&v->class, "t");
    v->class.offload = true;
    v->class.offload_ratio_permyriad = CONFIG_OFFLOAD_ADAPTIVE;
    v->class.offload_interval_usec = class_offload_interval_default_usec(CONFIG_OFFLOAD_ADAPTIVE);
    v->device = *device;
    v->hot = (struct part){.in = (double)hot_bytes, .tau_usec = 8e6};
    v->cold = (struct part){.in = (double)cold_bytes, .tau_usec = 4e9}; /* 1 % of the accesses */
    v->in = (struct offload_reading){.now_usec = USEC_PER_SEC,
                                     .swap_room_bytes = UINT64_MAX,
                                     .budget_bytes = UINT64_MAX,
                                     .file_only_possible = true};
    return v;
}

static double back(struct part *p, double usec)
{
    double bytes = p->out * (1 - exp(-usec / p->tau_usec));

    p->in += bytes;
    p->out -= bytes;
    return bytes;
}

static double take(struct service *v, double bytes)
{
    double mistakes = v->hot.in > 0 ? 0.02 * v->hot.in / (v->hot.in + v->cold.in) : 0;
    double cold = fmin(v->cold.in, bytes * (1 - mistakes)), hot = fmin(v->hot.in, bytes - cold);

    v->cold.in -= cold, v->cold.out += cold;
    v->hot.in -= hot, v->hot.out += hot;
    v->in.steal_pages += (uint64_t)((cold + hot) / OFFLOAD_PAGE);
    v->in.scan_pages +=
        (uint64_t)((cold * (1 + v->hot.in / (v->cold.in + v->hot.in + 1)) + hot * 40) / OFFLOAD_PAGE);
    v->taken += cold + hot;
    return cold + hot;
}

/* Half a second at a time. A second is felt where pages of the hot part have cost 1 % of it. */
static void run(struct service *v, unsigned seconds)
{
    for (unsigned i = 0; i < 2 * seconds; i++) {
        double hot = back(&v->hot, 5e5), cold = back(&v->cold, 5e5);
        double wait = (hot + cold) / OFFLOAD_PAGE / v->device.pages_per_read * v->device.fault_usec;
        double current = v->hot.in + v->cold.in;

        v->returned_hot += hot;
        v->waited_usec += fmin(wait, 5e5);
        v->seconds += 0.5;
        v->felt_seconds +=
            hot / OFFLOAD_PAGE / v->device.pages_per_read * v->device.fault_usec > 5e3 ? 0.5 : 0;
        v->in.now_usec += USEC_PER_SEC / 2;
        v->in.memory_some_usec += (uint64_t)fmin(wait, 5e5);
        v->in.io_some_usec += v->device.pages_per_read > 1 ? (uint64_t)fmin(wait, 5e5) : 0;
        v->in.refault_bytes += (uint64_t)(hot + cold);
        v->in.current_bytes = v->in.anon_bytes = (uint64_t)current;
        if (v->in.now_usec < v->s.due_usec)
            continue;
        struct offload_request r = offload_step(&v->class, &v->in, &v->s);

        if (r.bytes > 0) {
            double took = take(v, (double)r.bytes);

            offload_note_outcome(&v->s, r.bytes, r.bytes, (uint64_t)took, (uint64_t)took);
        }
    }
}

static void say(const struct service *v, const char *when)
{
    print_message(
        "%-34s %4.0f s: hot %3.0f+%-3.0f cold %3.0f+%-3.0f MiB, hot returned %5.1f MiB, felt %4.1f s, "
        "some %.2f %%, edge %3.0f, %s\n",
        when, v->seconds, v->hot.in / MIB, v->hot.out / MIB, v->cold.in / MIB, v->cold.out / MIB,
        v->returned_hot / MIB, v->felt_seconds, v->waited_usec / v->seconds / 1e4,
        (double)v->s.edge_bytes / MIB, offload_why_name(v->s.why));
}

static double saved_permille(const struct service *v)
{
    return 1000 * v->cold.out / (v->cold.in + v->cold.out);
}

static void forget_costs(struct service *v)
{
    v->returned_hot = v->felt_seconds = v->seconds = v->waited_usec = 0;
}

static void test_steady(void **state _unused_)
{
    static const struct {
        const char *name;
        const struct device *device;
        uint64_t hot, cold;
    } table[] = {
        {"SSD, 120 hot of 400", &ssd, 120 * MIB, 280 * MIB},
        {"zswap, 120 hot of 400", &zswap, 120 * MIB, 280 * MIB},
        {"zswap, 20 hot of 400", &zswap, 20 * MIB, 380 * MIB},
        {"zswap, 300 hot of 400", &zswap, 300 * MIB, 100 * MIB},
        {"SSD, 350 hot of 400", &ssd, 350 * MIB, 50 * MIB},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct service *v = service_new(table[i].device, table[i].hot, table[i].cold);

        run(v, 300);
        say(v, table[i].name);
        assert_true(saved_permille(v) >= 800);
        assert_true(v->felt_seconds <= 6 && v->waited_usec / v->seconds < 2000);
        forget_costs(v);
        run(v, 3600); /* and an hour of probing */
        say(v, "  and an hour later");
        assert_true(saved_permille(v) >= 800);
        assert_true(v->felt_seconds <= 36 && v->waited_usec / v->seconds < 2000);
        free(v);
    }
}

/* The same service gives more where its pages are had back sooner. */
static void test_slow_device(void **state _unused_)
{
    struct service *v = service_new(&slow, 120 * MIB, 280 * MIB);
    double out;

    run(v, 900);
    say(v, "slow disk, 120 hot of 400");
    out = v->cold.out;
    assert_true(v->felt_seconds <= 9 && v->waited_usec / v->seconds < 2000);
    free(v);
    v = service_new(&ssd, 120 * MIB, 280 * MIB);
    run(v, 900);
    assert_true(out > 10 * MIB && out < v->cold.out / 2);
    free(v);
}

/* Of each page of the hot part there is a use in forty seconds only, and it costs little to have it back:
 * what is taken of it is seen late. */
static void test_lukewarm(void **state _unused_)
{
    struct service *v = service_new(&zswap, 120 * MIB, 280 * MIB);
    double most = 0;

    v->hot.tau_usec = 40e6;
    for (unsigned i = 0; i < 1800; i++) {
        run(v, 1);
        most = fmax(most, v->hot.out);
        if (i == 299) {
            say(v, "zswap, used each 40 s");
            assert_true(saved_permille(v) >= 800);
        }
    }
    say(v, "  and half an hour later");
    print_message("  of the hot part, %.0f MiB at most were out\n", most / MIB);
    assert_true(most < 15 * MIB);
    free(v);
}

/* All of it is hot: nothing is to be had, and that is found out cheaply. */
static void test_all_hot(void **state _unused_)
{
    struct service *v = service_new(&ssd, 400 * MIB, 0);

    run(v, 3600);
    say(v, "SSD, all hot, an hour");
    assert_true(v->felt_seconds <= 36);
    assert_true(v->hot.out <= 8 * MIB);
    free(v);
}

/* The hot part is another one from one moment to the next. */
static void test_phase_change(void **state _unused_)
{
    static const struct device *const devices[] = {&ssd, &zswap};

    for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
        struct service *v = service_new(devices[i], 120 * MIB, 280 * MIB);
        double was_hot;

        run(v, 300);
        was_hot = v->hot.in + v->hot.out;
        v->cold.in += v->hot.in;
        v->hot = (struct part){.out = was_hot, .tau_usec = 8e6};
        v->cold.out -= was_hot;
        forget_costs(v);
        run(v, 30);
        say(v, "phase change, 30 s later");
        assert_true(v->hot.out < 0.05 * was_hot);
        assert_true(v->returned_hot < 1.1 * was_hot); /* no page went twice */
        run(v, 300);
        say(v, "  and 300 s");
        assert_true(saved_permille(v) >= 800);
        free(v);
    }
}

/* By day three times as much is hot as by night. */
static void test_diurnal(void **state _unused_)
{
    struct service *v = service_new(&zswap, 240 * MIB, 160 * MIB);

    run(v, 600);
    for (unsigned day = 0; day < 3; day++) {
        double move = 160 * MIB, part = v->hot.in / (v->hot.in + v->hot.out);

        v->hot.in -= move * part, v->hot.out -= move * (1 - part);
        v->cold.in += move * part, v->cold.out += move * (1 - part);
        run(v, 900);
        say(v, "night");
        assert_true(saved_permille(v) >= 800);
        part = v->cold.in / (v->cold.in + v->cold.out);
        v->cold.in -= move * part, v->cold.out -= move * (1 - part);
        v->hot.in += move * part, v->hot.out += move * (1 - part);
        forget_costs(v);
        run(v, 60);
        say(v, "morning");
        assert_true(v->hot.out < 8 * MIB);
        assert_true(v->returned_hot < 1.2 * move);
        run(v, 840);
        say(v, "day");
    }
    free(v);
}

/* What grows at full speed is let; what leaks slowly is not. */
static void test_growth(void **state _unused_)
{
    struct service *v = service_new(&zswap, 120 * MIB, 280 * MIB);

    run(v, 300);
    v->taken = 0;
    for (unsigned i = 0; i < 60; i++) {
        v->hot.in += 50 * MIB;
        run(v, 1);
    }
    say(v, "grew by 50 M/s for a minute");
    assert_true(v->taken < 0.002 * 3000 * MIB);
    free(v);

    v = service_new(&zswap, 120 * MIB, 280 * MIB);
    for (unsigned i = 0; i < 600; i++) {
        v->cold.in += 512 * KIB; /* leaked and never touched again */
        run(v, 1);
    }
    say(v, "leaks 0.5 M/s for ten minutes");
    assert_true(saved_permille(v) >= 800);
    free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steady),  cmocka_unit_test(test_slow_device),  cmocka_unit_test(test_lukewarm),
        cmocka_unit_test(test_all_hot), cmocka_unit_test(test_phase_change), cmocka_unit_test(test_diurnal),
        cmocka_unit_test(test_growth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
