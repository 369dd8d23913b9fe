#include "policy/pace.h"

#include "policy.h"

#define UNKNOWN UINT64_MAX
#define MSEC USEC_PER_MSEC

/* ---- what is counted ---- */

struct step {
    uint64_t msec;
    uint64_t charged, written, returned, kept; /* MiB */
    uint64_t wrote;
};

static void run_steps(const struct step *steps, size_t count, bool told, bool zswap, bool born)
{
    struct pace_group g = {0};

    for (size_t i = 0; i < count; i++) {
        const struct step *s = &steps[i];
        const struct pace_reading in = {.now_usec = USEC_PER_SEC + s->msec * MSEC,
                                        .charged_bytes = s->charged * MIB,
                                        .written_bytes = told ? s->written * MIB : UNKNOWN,
                                        .returned_bytes = s->returned * MIB,
                                        .kept_bytes = s->kept * MIB,
                                        .zswap = zswap,
                                        .born = born};
        uint64_t wrote = pace_note_group(&g, &in);

        if (wrote / MIB != s->wrote)
            fail_msg("step %zu: %ju MiB", i, (uintmax_t)(wrote / MIB));
    }
}

/* What was there at the first look is nobody's news; of a group that was not there at the look before, it is.
 */
static void test_first(void **state _unused_)
{
    const struct step old[] = {{0, 50, 70, 0, 0, 0}, {10, 50, 70, 0, 0, 0}};
    const struct step born[] = {{0, 50, 70, 0, 0, 50}, {10, 50, 70, 0, 0, 0}};
    const struct step again[] = {{0, 5, 7000, 0, 0, 5}}; /* the cgroup had another life */

    run_steps(old, ARRAY_SIZE(old), true, false, false);
    run_steps(born, ARRAY_SIZE(born), true, false, true);
    run_steps(again, ARRAY_SIZE(again), true, false, true);
    run_steps(born, ARRAY_SIZE(born), false, false, true);
}

/* Once, whether it is told before or after it is charged. */
static void test_told(void **state _unused_)
{
    const struct step late[] = {
        {0, 0, 0, 0, 0, 0},   {10, 8, 0, 0, 0, 8},
        {20, 8, 8, 0, 0, 0},  {30, 8, 12, 0, 0, 4}, /* in places that had become free */
        {40, 4, 12, 0, 0, 0},
    };
    /* What zswap keeps is not written; what is told is. */
    const struct step zswap[] = {{0, 0, 0, 0, 0, 0}, {10, 90, 0, 0, 90, 0}, {20, 95, 3, 0, 92, 3}};

    run_steps(late, ARRAY_SIZE(late), true, false, false);
    run_steps(zswap, ARRAY_SIZE(zswap), true, true, false);
}

static void test_not_told(void **state _unused_)
{
    const struct step steps[] = {
        {0, 10, 0, 5, 0, 0},   {10, 12, 0, 5, 0, 2},
        {20, 12, 0, 9, 0, 4},  /* came back, and as much took its place */
        {30, 9, 0, 9, 0, 0},   /* came back, which is not known yet */
        {40, 9, 0, 12, 0, 0},  /* now it is */
        {50, 19, 0, 12, 7, 2}, /* seven of ten are in zswap, and one was lacking a moment ago */
    };

    run_steps(steps, ARRAY_SIZE(steps) - 1, false, false, false);
}

/* What is freed by an exit is not lacking for ever. */
static void test_lack_is_forgotten(void **state _unused_)
{
    const struct step steps[] = {{0, 100, 0, 0, 0, 0},
                                 {10, 10, 0, 0, 0, 0},
                                 {20, 20, 0, 0, 0, 0},
                                 {5000, 20, 0, 0, 0, 0},
                                 {5010, 30, 0, 0, 0, 10}};

    run_steps(steps, ARRAY_SIZE(steps), false, false, false);
}

/* ---- what is shared ---- */

static void test_share(void **state _unused_)
{
    struct pace_class c = {.groups = 4};
    struct pace_group writer = {.charged_bytes = 100 * MIB}, idle = {.charged_bytes = 10 * MIB};

    pace_note_class(&c, 4 * MIB, USEC_PER_SEC, 0);
    assert_true(pace_swap_max(&c, &idle, 0) == 0); /* nothing is put by at first */
    pace_note_class(&c, 4 * MIB, 100 * USEC_PER_SEC, 0);
    assert_true(pace_is_full(&c, 4 * MIB)); /* two seconds' */
    assert_true(pace_swap_max(&c, &idle, 0) == 12 * MIB);
    writer.wrote_usec = 100 * USEC_PER_SEC - 1;
    c.wanting = 1;
    assert_true(pace_swap_max(&c, &writer, 0) == 106 * MIB);
    assert_true(pace_swap_max(&c, &idle, 0) == 10 * MIB + 2 * MIB / 3);
    writer.back_per_sec = 100 * MIB;
    assert_true(pace_swap_max(&c, &writer, 20 * MSEC) == 104 * MIB);
    assert_true(pace_swap_max(&c, &writer, 2 * USEC_PER_SEC) == 0);
    pace_note_class(&c, 4 * MIB, 100 * USEC_PER_SEC, 12 * MIB);
    assert_true(pace_swap_max(&c, &writer, 0) == 0);
    assert_true(pace_swap_max(&c, &idle, 0) == 0);
    assert_true(pace_closed_usec(&c, 4 * MIB) == USEC_PER_SEC);
    assert_true(pace_closed_usec(&c, 0) == UINT64_MAX);
}

/* What was written without a limit is not owed under one; nor is more than ten minutes' worth. */
static void test_debt(void **state _unused_)
{
    struct pace_class c = {.groups = 1};

    pace_note_class(&c, UINT64_MAX, USEC_PER_SEC, 500 * GIB);
    pace_note_class(&c, MIB, 2 * USEC_PER_SEC, GIB);
    pace_note_class(&c, MIB, 3 * USEC_PER_SEC, 0);
    assert_true(pace_closed_usec(&c, MIB) == 0);
    pace_note_class(&c, MIB, 4 * USEC_PER_SEC, 302 * MIB);
    assert_true(pace_closed_usec(&c, MIB) / USEC_PER_SEC == 300);
    pace_note_class(&c, MIB, 5 * USEC_PER_SEC, 9 * GIB);
    assert_true(pace_closed_usec(&c, MIB) / USEC_PER_SEC == 600);
}

static void test_minute(void **state _unused_)
{
    struct pace_class c = {0};

    pace_note_class(&c, MIB, 1000 * USEC_PER_SEC, 5 * MIB);
    pace_note_class(&c, MIB, 1000 * USEC_PER_SEC + 1, MIB);
    pace_note_class(&c, MIB, 1030 * USEC_PER_SEC, 2 * MIB);
    assert_true(pace_minute(&c, 1030 * USEC_PER_SEC) == 8 * MIB);
    assert_true(pace_minute(&c, 1059 * USEC_PER_SEC) == 8 * MIB);
    assert_true(pace_minute(&c, 1060 * USEC_PER_SEC) == 2 * MIB);
    pace_note_class(&c, MIB, 1061 * USEC_PER_SEC, 0);
    assert_true(pace_minute(&c, 1061 * USEC_PER_SEC) == 2 * MIB);
    assert_true(pace_minute(&c, 2000 * USEC_PER_SEC) == 0);
    pace_note_class(&c, MIB, 2000 * USEC_PER_SEC, MIB);
    assert_true(pace_minute(&c, 2000 * USEC_PER_SEC) == MIB);
    assert_true(c.written_bytes == 9 * MIB);
}

/* ---- over time ---- */

#define DEVICE (150 * MIB) /* a second */
#define TICK_MSEC 1
#define GROUPS 3

/* A group as the kernel has it: at its memory.high, with more memory than that; what it reads back frees its
 * place in swap at once, and needs another page to go. */
struct model {
    struct pace_group group;
    uint64_t charged, max, written, told, returned;
    uint64_t outside; /* what it still has to grow by */
    bool thrashes;
};

/* A millisecond of the device: what is new goes out first. */
static void model_run(struct model *m, uint64_t bytes)
{
    uint64_t out = u64_min(u64_min(u64_sub_floor(m->max, m->charged), m->outside), bytes);

    m->charged += out;
    m->outside -= out;
    m->written += out;
    bytes -= out;
    if (!m->thrashes || m->charged == 0)
        return;
    /* One page comes back, one goes, where there is a place. */
    out = u64_min(bytes / 2, m->charged);
    m->returned += out;
    if (m->charged - out + out <= m->max)
        m->written += out;
    else
        m->charged -= u64_min(out, m->charged - m->max); /* throttled soon: nothing can go */
}

/* Over any minute no more than a fifth above the limit, though looks are late and statistics later; and,
 * since somebody wants it all the time, a third of the limit at the least. */
static void pace_models(uint64_t seed, bool told)
{
    struct model models[GROUPS] = {0};
    struct pace_class c = {0};
    static uint64_t minutes[600];
    uint64_t written = 0, due = 0, first = seed;

    for (unsigned i = 0; i < GROUPS; i++)
        models[i] = (struct model){
            .max = 0, .outside = random_below(&seed, 2) * GIB, .thrashes = random_below(&seed, 2)};
    models[0].outside = 4 * GIB;
    for (uint64_t msec = 1000; msec < 301 * 1000; msec += TICK_MSEC) {
        uint64_t now = msec * MSEC, wrote = 0;

        written = 0;
        for (unsigned i = 0; i < GROUPS; i++) {
            struct model *m = &models[i];

            if (random_below(&seed, 20000) == 0)
                m->thrashes = !m->thrashes;
            model_run(m, DEVICE / 1000 * TICK_MSEC / GROUPS);
            written += m->written;
            if (msec % 500 == 0)
                m->told = m->written; /* statistics lag */
        }
        if (msec % 1000 == 0)
            minutes[msec / 1000] = written;
        if (msec < due)
            continue;
        due = msec + 20 + random_below(&seed, 10);
        c.groups = GROUPS;
        c.wanting = 0;
        for (unsigned i = 0; i < GROUPS; i++) {
            const struct pace_reading in = {.now_usec = now,
                                            .charged_bytes = models[i].charged,
                                            .written_bytes = told ? models[i].told : UNKNOWN,
                                            .returned_bytes = models[i].returned};

            wrote += pace_note_group(&models[i].group, &in);
            c.wanting += pace_wants(&models[i].group, now);
        }
        pace_note_class(&c, MIB, now, wrote);
        for (unsigned i = 0; i < GROUPS; i++)
            models[i].max = pace_swap_max(&c, &models[i].group, 25 * MSEC);
    }
    for (unsigned i = 1; i + 60 <= 300; i++) {
        uint64_t minute = minutes[i + 60] - minutes[i];

        if (minute > 72 * MIB)
            fail_msg("seed %ju: %ju bytes in the minute from %u s on", (uintmax_t)first, (uintmax_t)minute,
                     i);
    }
    assert_true(minutes[300] >= 100 * MIB);
}

static void test_minutes(void **state _unused_)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        pace_models(seed, true);
        pace_models(seed, false);
    }
}

/* Never more than is charged and put by; 0 while anything is owed; whatever is read. */
static void test_laws(void **state _unused_)
{
    uint64_t seed = 7;

    for (unsigned round = 0; round < 20000; round++) {
        struct pace_group g = {0};
        struct pace_class c = {0};
        uint64_t now = random_below(&seed, UINT64_C(1) << 40) + 1, limit = random_extreme(&seed);

        for (unsigned i = 0; i < 8; i++) {
            const struct pace_reading in = {.now_usec = now += random_below(&seed, UINT64_C(1) << 32),
                                            .charged_bytes = random_extreme(&seed) / 2,
                                            .written_bytes = random_extreme(&seed),
                                            .returned_bytes = random_extreme(&seed),
                                            .kept_bytes = random_extreme(&seed),
                                            .zswap = random_below(&seed, 2),
                                            .born = random_below(&seed, 2)};
            uint64_t max;

            c.groups = 1;
            c.wanting = pace_wants(&g, now);
            pace_note_class(&c, limit, now, pace_note_group(&g, &in));
            max = pace_swap_max(&c, &g, random_extreme(&seed));
            if (c.bucket.tokens_bytes <= 0)
                assert_true(max == 0);
            else
                assert_true(max <= in.charged_bytes + (uint64_t)c.bucket.tokens_bytes);
            assert_true(pace_minute(&c, now) <= c.written_bytes);
        }
    }
}

/* One writes all that it may, and keeps the bucket low; from the fifth second on others would write, too:
 * each of them gets its first page, and then its share. Also where the tokens are fewer than a page each. */
static void test_who_comes_late(void **state _unused_)
{
    static const unsigned counts[] = {2, 8, 20, 700};

    for (size_t row = 0; row < ARRAY_SIZE(counts); row++) {
        enum { STEP = 20 };
        static struct pace_group groups[700];
        static uint64_t written[700];
        struct pace_class c = {0};
        unsigned count = counts[row];

        memset(groups, 0, sizeof(groups));
        memset(written, 0, sizeof(written));
        for (uint64_t msec = 0; msec < 60000; msec += STEP) {
            uint64_t now = USEC_PER_SEC + msec * MSEC, sum = 0;

            c.groups = count;
            c.wanting = 0;
            for (unsigned i = 0; i < count; i++) {
                const struct pace_reading in = {
                    .now_usec = now, .charged_bytes = written[i], .written_bytes = written[i]};

                sum += pace_note_group(&groups[i], &in);
                c.wanting += pace_wants(&groups[i], now);
            }
            pace_note_class(&c, MIB, now, sum);
            for (unsigned i = 0; i < count; i++)
                if (i == 0 || msec >= 5000)
                    written[i] =
                        u64_max(written[i], pace_swap_max(&c, &groups[i], STEP * MSEC) / 4096 * 4096);
        }
        for (unsigned i = 0; i < count; i++)
            if (written[i] < (count < 100 ? MIB : 4096))
                fail_msg("%u groups: %u wrote %ju bytes", count, i, (uintmax_t)written[i]);
        if (c.written_bytes > 65 * MIB)
            fail_msg("%u groups: %ju bytes in 60 s", count, (uintmax_t)c.written_bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first),    cmocka_unit_test(test_told),
        cmocka_unit_test(test_not_told), cmocka_unit_test(test_lack_is_forgotten),
        cmocka_unit_test(test_share),    cmocka_unit_test(test_debt),
        cmocka_unit_test(test_minute),   cmocka_unit_test(test_minutes),
        cmocka_unit_test(test_laws),     cmocka_unit_test(test_who_comes_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
