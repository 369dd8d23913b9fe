/* The laws of offload, step by step. */
#include "policy.h"

#include "policy/offload.h"

#define GROUP (400 * MIB)

static struct class_config class_of(unsigned ratio_permyriad)
{
    struct class_config c;

    class_config_init(&c, "t");
    c.offload = true;
    c.offload_ratio_permyriad = ratio_permyriad;
    c.offload_interval_usec = class_offload_interval_default_usec(ratio_permyriad);
    return c;
}

static struct offload_reading reading(uint64_t current_bytes)
{
    return (struct offload_reading){.now_usec = 100 * USEC_PER_SEC,
                                    .current_bytes = current_bytes,
                                    .anon_bytes = current_bytes,
                                    .swap_room_bytes = UINT64_MAX,
                                    .budget_bytes = UINT64_MAX,
                                    .file_only_possible = true};
}

/* The formula of the paper, at the shares of a threshold of stalls, of memory and of I/O. */
static void test_formula(void **state _unused_)
{
    static const struct {
        uint64_t current;
        unsigned ratio;
        uint64_t memory_usec, io_usec; /* of 6 s; the threshold of 0.1 % is 6 ms */
        uint64_t wanted;
    } table[] = {
        {400 * MIB, 5, 0, 0, 209715},
        {400 * MIB, 5, 3000, 0, 104857},
        {400 * MIB, 5, 0, 3000, 104857},
        {400 * MIB, 5, 1500, 4500, 52428}, /* the greater one counts */
        {400 * MIB, 5, 6000, 0, 0},
        {400 * MIB, 5, 6000000, 6000000, 0},
        {GIB, 100, 0, 0, 10737418},
        {GIB, 100, 600, 0, 9663676},
        {UINT64_C(1) << 50, 5, 0, 0, UINT64_C(562949953421)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct class_config c = class_of(table[i].ratio);
        struct offload_reading in = reading(table[i].current);
        struct offload_state s = {0};

        assert_true(offload_step(&c, &in, &s).bytes == 0); /* nothing to compare with yet */
        in.now_usec += 6 * USEC_PER_SEC;
        in.memory_some_usec += table[i].memory_usec;
        in.io_some_usec += table[i].io_usec;
        (void)offload_step(&c, &in, &s);
        if (s.wanted_bytes != table[i].wanted)
            fail_msg("case %zu: %ju", i, (uintmax_t)s.wanted_bytes);
    }
}

/* Over any number of steps as much is asked for as the formula says, less what has gathered: and no request
 * is less than 64 pages. */
static void test_requests_gather(void **state _unused_)
{
    struct class_config c = class_of(5);
    struct offload_reading in = reading(GROUP);
    struct offload_state s = {0};
    uint64_t wanted = 0, asked = 0;

    for (unsigned i = 0; i <= 50; i++) {
        struct offload_request r = offload_step(&c, &in, &s);

        assert_true(r.bytes == 0 || r.bytes >= OFFLOAD_LEAST_BYTES);
        assert_true(r.bytes % OFFLOAD_PAGE == 0);
        wanted += i > 0 ? s.wanted_bytes : 0;
        asked += r.bytes;
        assert_true(wanted == asked + s.pending_bytes);
        if (r.bytes > 0)
            offload_note_outcome(&s, r.bytes, r.bytes, r.bytes, 0);
        in.now_usec += 6 * USEC_PER_SEC;
    }
    assert_true(asked >= 50 * UINT64_C(209715) - OFFLOAD_LEAST_BYTES);
}

static void test_debt_is_worked_off(void **state _unused_)
{
    struct class_config c = class_of(5);
    struct offload_reading in = reading(GIB); /* 131 pages a step */
    struct offload_state s = {0};
    struct offload_request r;

    (void)offload_step(&c, &in, &s);
    in.now_usec += 6 * USEC_PER_SEC;
    r = offload_step(&c, &in, &s);
    assert_true(r.bytes == 131 * OFFLOAD_PAGE);
    offload_note_outcome(&s, r.bytes, r.bytes, r.bytes + 300 * OFFLOAD_PAGE, 0);
    for (unsigned i = 0; i < 2; i++) {
        in.now_usec += 6 * USEC_PER_SEC;
        assert_true(offload_step(&c, &in, &s).bytes == 0);
        assert_int_equal(s.why, OFFLOAD_WHY_DEBT);
    }
    in.now_usec += 6 * USEC_PER_SEC;
    r = offload_step(&c, &in, &s);
    assert_true(r.bytes > 64 * OFFLOAD_PAGE && r.bytes < 131 * OFFLOAD_PAGE);
    offload_note_outcome(&s, r.bytes, r.bytes, r.bytes / 2, 0); /* less is no credit */
    assert_true(s.debt_bytes == 0);
}

/* What may not be taken is not asked for, whatever has gathered. */
static void test_floors(void **state _unused_)
{
    static const struct {
        struct offload_reading in;
        uint64_t most;
        bool file_only;
        enum offload_why why;
    } table[] = {
#define IN(current, protection, file, anon, swap, budget)                                                    \
    {.now_usec = USEC_PER_SEC,                                                                               \
     .current_bytes = current,                                                                               \
     .protection_bytes = protection,                                                                         \
     .file_bytes = file,                                                                                     \
     .anon_bytes = anon,                                                                                     \
     .swap_room_bytes = swap,                                                                                \
     .budget_bytes = budget,                                                                                 \
     .file_only_possible = true}
        {IN(GROUP, GROUP, GROUP, 0, 0, 0), 0, false, OFFLOAD_WHY_FLOOR},
        {IN(GROUP, GROUP - MIB, GROUP, 0, 0, 0), MIB, false, OFFLOAD_WHY_FLOOR},
        {IN(GROUP, 0, 0, GROUP, 0, 0), 0, false, OFFLOAD_WHY_FLOOR}, /* no swap */
        {IN(GROUP, 0, 0, GROUP, 2 * MIB, UINT64_MAX), 2 * MIB, false, OFFLOAD_WHY_FLOOR},
        {IN(GROUP, 0, MIB, GROUP, MIB, UINT64_MAX), 2 * MIB, false, OFFLOAD_WHY_FLOOR},
        {IN(GROUP, 0, 0, GROUP, GROUP, 3 * MIB), 3 * MIB, false, OFFLOAD_WHY_BUDGET},
        {IN(GROUP, 0, 2 * MIB, GROUP, GROUP, 0), 2 * MIB, true, OFFLOAD_WHY_BUDGET},
        {IN(17 * MIB, 0, 17 * MIB, 0, 0, 0), MIB, false, OFFLOAD_WHY_CAP},
        {IN(15 * MIB, 0, 15 * MIB, 0, 0, 0), 0, false, OFFLOAD_WHY_FLOOR},
        {{.now_usec = USEC_PER_SEC,
          .current_bytes = GROUP,
          .file_bytes = MIB,
          .anon_bytes = GROUP,
          .swap_pointless = true,
          .file_only_possible = true},
         MIB,
         true,
         OFFLOAD_WHY_INCOMPRESSIBLE},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct class_config c = class_of(100);
        struct offload_state s = {.pending_bytes = 4 * MIB};
        struct offload_reading in = table[i].in;
        struct offload_request r;

        (void)offload_step(&c, &in, &s);
        in.now_usec += 6 * USEC_PER_SEC;
        r = offload_step(&c, &in, &s);
        if (r.bytes > table[i].most || (r.bytes == 0) != (table[i].most == 0) ||
            (r.bytes > 0 && r.file_only != table[i].file_only) ||
            (s.why != table[i].why && table[i].why != OFFLOAD_WHY_CAP))
            fail_msg("case %zu: %ju %d %s", i, (uintmax_t)r.bytes, r.file_only, offload_why_name(s.why));
    }
}

/* Without swappiness= nothing is asked for that might go where it is not to. */
static void test_no_way_to_spare_anon(void **state _unused_)
{
    struct class_config c = class_of(100);
    struct offload_reading in = reading(GROUP);
    struct offload_state s = {0};

    in.file_bytes = GROUP / 2;
    in.budget_bytes = 0;
    in.file_only_possible = false;
    (void)offload_step(&c, &in, &s);
    in.now_usec += 6 * USEC_PER_SEC;
    assert_true(offload_step(&c, &in, &s).bytes == 0);
    assert_int_equal(s.why, OFFLOAD_WHY_BUDGET);
    in.budget_bytes = UINT64_MAX;
    in.zswapped_bytes = 100 * MIB;
    in.zswap_bytes = 90 * MIB;
    in.now_usec += 6 * USEC_PER_SEC;
    assert_true(offload_step(&c, &in, &s).bytes == 0);
    assert_int_equal(s.why, OFFLOAD_WHY_INCOMPRESSIBLE);
    in.zswap_bytes = 30 * MIB;
    in.now_usec += 6 * USEC_PER_SEC;
    assert_true(offload_step(&c, &in, &s).bytes > 0);
    in.zswapped_bytes = in.zswap_bytes = GROUP / 70; /* too little of it to tell */
    in.now_usec += 6 * USEC_PER_SEC;
    assert_true(offload_step(&c, &in, &s).bytes > 0);
}

/* What could not be asked for is not asked for while it is felt. */
static void test_backlog(void **state _unused_)
{
    struct class_config c = class_of(100);
    struct offload_reading in = reading(GROUP);
    struct offload_state s = {0};

    (void)offload_step(&c, &in, &s);
    in.now_usec += 6 * USEC_PER_SEC;
    in.budget_bytes = OFFLOAD_LEAST_BYTES;
    assert_true(offload_step(&c, &in, &s).bytes == OFFLOAD_LEAST_BYTES);
    assert_true(s.pending_bytes > OFFLOAD_LEAST_BYTES);
    in.budget_bytes = UINT64_MAX;
    in.now_usec += 6 * USEC_PER_SEC;
    in.memory_some_usec += USEC_PER_SEC;
    assert_true(offload_step(&c, &in, &s).bytes == 0);
    assert_int_equal(s.why, OFFLOAD_WHY_MEMORY);
    assert_true(s.pending_bytes == OFFLOAD_LEAST_BYTES);
}

/* An interval that has become shorter counts at once, but not in a hold. */
static void test_shorter_interval(void **state _unused_)
{
    struct class_config c = class_of(5);
    struct offload_reading in = reading(GROUP);
    struct offload_state s = {0};

    c.offload_interval_usec = 3600 * USEC_PER_SEC;
    (void)offload_step(&c, &in, &s);
    assert_true(offload_due_usec(&c, &s) == in.now_usec + 3600 * USEC_PER_SEC);
    c.offload_interval_usec = 6 * USEC_PER_SEC;
    assert_true(offload_due_usec(&c, &s) == in.now_usec + 6 * USEC_PER_SEC);
    offload_back_off(&s, in.now_usec, OFFLOAD_WHY_LEVEL);
    assert_true(offload_due_usec(&c, &s) == s.hold_until_usec);
}

/* No step takes more than 1 % of the group, nor asks at all in a hold. */
static void test_adaptive_bounds(void **state _unused_)
{
    struct class_config c = class_of(CONFIG_OFFLOAD_ADAPTIVE);
    struct offload_reading in = reading(GROUP);
    struct offload_state s = {0};
    uint64_t seed = 1;

    for (unsigned i = 0; i < 100000; i++) {
        struct offload_request r = offload_step(&c, &in, &s);

        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        assert_true(r.bytes <= u64_max(in.current_bytes / 100, OFFLOAD_LEAST_BYTES));
        assert_true(r.bytes == 0 || in.now_usec >= s.hold_until_usec);
        assert_true(s.hold_usec <= OFFLOAD_HOLD_MOST_USEC);
        assert_true(s.due_usec > in.now_usec);
        if (r.bytes > 0)
            offload_note_outcome(&s, r.bytes, r.bytes, (seed >> 40) % (2 * r.bytes + 1), 0);
        in.now_usec = s.due_usec + (seed >> 50);
        in.current_bytes = GROUP / 2 + (seed >> 36) % GROUP;
        in.memory_some_usec += (seed >> 33) % 8 == 0 ? (seed >> 48) : 0;
        in.refault_bytes += (seed >> 30) % 4 == 0 ? (seed >> 44) : 0;
    }
}

static void test_back_off(void **state _unused_)
{
    struct class_config c = class_of(CONFIG_OFFLOAD_ADAPTIVE);
    struct offload_reading in = reading(GROUP);
    struct offload_state s = {0};
    struct offload_request r = {0};

    for (unsigned i = 0; i < 10; i++, in.now_usec += USEC_PER_SEC) {
        r = offload_step(&c, &in, &s);
        offload_note_outcome(&s, r.bytes, r.bytes, r.bytes, r.bytes);
    }
    assert_true(r.bytes > MIB);
    offload_back_off(&s, in.now_usec, OFFLOAD_WHY_LEVEL);
    assert_true(s.due_usec == in.now_usec + OFFLOAD_HOLD_LEAST_USEC);
    assert_true(s.pending_bytes == 0);
    offload_note_outcome(&s, 3 * MIB, MIB, MIB, MIB); /* that of one that was under way */
    in.now_usec = s.due_usec;
    r = offload_step(&c, &in, &s);
    assert_true(r.bytes < MIB); /* from the beginning */
}

static void test_bucket(void **state _unused_)
{
    struct offload_bucket b = {0};
    uint64_t now = 5 * USEC_PER_SEC, written = 77 * MIB;

    offload_bucket_fill(&b, MIB, now, written);
    assert_true(offload_bucket_may_ask(&b) == 0); /* nothing is put by at first */
    offload_bucket_fill(&b, MIB, now += 100 * USEC_PER_SEC, written);
    assert_true(offload_bucket_may_ask(&b) == 4 * MIB); /* nor more than four seconds' */
    offload_bucket_note_asked(&b, 3 * MIB);
    assert_true(offload_bucket_may_ask(&b) == MIB);
    offload_bucket_fill(&b, MIB, now += USEC_PER_SEC, written += 10 * MIB); /* the kernel wrote more */
    assert_true(offload_bucket_may_ask(&b) == 0);
    offload_bucket_fill(&b, MIB, now += 5 * USEC_PER_SEC, written);
    assert_true(offload_bucket_may_ask(&b) == 0); /* 4 − 10 + 1 + 5 */
    offload_bucket_fill(&b, MIB, now += 2 * USEC_PER_SEC, written);
    assert_true(offload_bucket_may_ask(&b) == 2 * MIB);
    offload_bucket_fill(&b, 0, now += 2 * USEC_PER_SEC, written);
    assert_true(offload_bucket_may_ask(&b) == 0);
    /* Of a small limit the least request can be put by. */
    b = (struct offload_bucket){0};
    for (unsigned i = 0; i < 100; i++)
        offload_bucket_fill(&b, 10000, now += USEC_PER_SEC, written);
    assert_true(offload_bucket_may_ask(&b) == OFFLOAD_LEAST_BYTES);
    b = (struct offload_bucket){0};
    offload_bucket_fill(&b, MIB, now, written);
    /* What is asked for and not written lets more be asked for, four times as much at most. */
    for (unsigned i = 0; i < 50; i++) {
        offload_bucket_note_asked(&b, MIB);
        offload_bucket_fill(&b, MIB, now += USEC_PER_SEC, written);
    }
    assert_true(offload_bucket_may_ask(&b) == 16 * MIB);
    offload_bucket_fill(&b, UINT64_MAX, now + UINT64_MAX / 2, written);
    offload_bucket_fill(&b, UINT64_MAX, UINT64_MAX, UINT64_MAX);
}

/* A kernel that writes a burst for each nth request, whatever it was asked for, and 2 MiB for the others. */
static void check_minutes(uint64_t burst, unsigned nth)
{
    static uint64_t written[2400];
    struct offload_bucket b = {0};
    uint64_t total = 0, most = 0;
    unsigned requests = 0, seen = UINT32_MAX;

    for (unsigned s = 0; s < ARRAY_SIZE(written); s++) {
        offload_bucket_fill(&b, MIB, (s + 100) * USEC_PER_SEC, total);
        if (offload_bucket_may_ask(&b) >= OFFLOAD_LEAST_BYTES) {
            bool bursts = ++requests % nth == 0;

            offload_bucket_note_asked(&b, OFFLOAD_LEAST_BYTES);
            offload_bucket_note_swapped(&b, bursts ? burst : 2 * MIB);
            total += bursts ? burst : 2 * MIB;
            seen = bursts && seen == UINT32_MAX ? s : seen; /* the first one nobody can know of */
        }
        written[s] = total;
        if (s >= 60 && s - 60 >= seen)
            most = u64_max(most, total - written[s - 60]);
    }
    assert_true(most <= 72 * MIB);
    if (burst <= 36 * MIB) /* seen of a kernel; and of larger ones still something */
        assert_true(total >= ARRAY_SIZE(written) / 3 * MIB);
    assert_true(total >= ARRAY_SIZE(written) / 16 * MIB);
}

static void test_bursts_within_a_minute(void **state _unused_)
{
    for (uint64_t burst = 2 * MIB; burst <= 64 * MIB; burst += MIB)
        for (unsigned nth = 1; nth <= 24; nth++)
            check_minutes(burst, nth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formula),
        cmocka_unit_test(test_requests_gather),
        cmocka_unit_test(test_debt_is_worked_off),
        cmocka_unit_test(test_floors),
        cmocka_unit_test(test_no_way_to_spare_anon),
        cmocka_unit_test(test_adaptive_bounds),
        cmocka_unit_test(test_backlog),
        cmocka_unit_test(test_shorter_interval),
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_bucket),
        cmocka_unit_test(test_bursts_within_a_minute),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
