#include "pauses.h"

/* Four that hold 3 GiB each; 8 GiB of memory, less its margin, have room for two of them. */
static struct pauses *crowd(unsigned stall_permyriad, unsigned io_permyriad, unsigned from_swap)
{
    struct pauses *t = pauses_new();

    for (unsigned i = 0; i < 4; i++) {
        struct group *g = pauses_add(t, CLASS_BATCH, 100 - i, GIB);

        g->swap = 2 * GIB;
        g->cpu_permyriad = PERMYRIAD / 10;
        g->stall_known = true;
        g->stall_permyriad = (uint16_t)stall_permyriad;
        g->io_stall_permyriad = (uint16_t)io_permyriad;
    }
    pauses_room(t, 100 * (int64_t)GIB);
    t->r.swap_left = 100 * GIB;
    t->r.strained = t->r.returns = true;
    t->r.paging_permyriad = 2000;
    t->r.paging_share_permyriad = from_swap;
    return t;
}

/* What is planned once it has been so for CROWD_AFTER_USEC. */
static const char *after_a_while(struct pauses *t)
{
    assert_string_equal(pauses_words(t), "");
    t->s.now_usec += CROWD_AFTER_USEC;
    return pauses_words(t);
}

/* Each works 4/10 of the time: 4.8 GiB of 12 GiB work, and 4.8 of the 6 GiB that fit would be enough. */
static void test_fewer_would_do_more(void **state _unused_)
{
    static const struct {
        const char *what;
        unsigned stall, io, from_swap;
        const char *words;
    } rows[] = {
        {"they work as much as two would", 5990, 0, 0, ""},
        {"they do not", 6010, 0, 0, "-4 thrash, -3 thrash"},
        {"they wait for reads that are not of swap", 0, 10000, 0, ""},
        {"half of them are", 0, 10000, 5000, ""},
        {"nearly all of them are", 0, 10000, 6100, "-4 thrash, -3 thrash"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct pauses *t = crowd(rows[i].stall, rows[i].io, rows[i].from_swap);

        if (strcmp(after_a_while(t), rows[i].words) != 0)
            fail_msg("%s: '%s'", rows[i].what, pauses_words(t));
        assert_int_equal(t->state.crowded, *rows[i].words ? CROWD_YES : CROWD_NO);
    }
}

static void test_left_alone(void **state _unused_)
{
    struct pauses *t = crowd(9000, 0, 0);

    t->r.strained = false; /* there is memory, or nobody waits for it */
    assert_string_equal(after_a_while(t), "");
    t = crowd(9000, 0, 0);
    t->groups[0].swap = t->groups[1].swap = t->groups[2].swap = t->groups[3].swap = 512 * MIB;
    assert_string_equal(after_a_while(t), ""); /* all have their place: their pages are on their way */
    t = crowd(9000, 0, 0);
    for (unsigned i = 0; i < 4; i++)
        t->groups[i].stall_known = i == 0;
    assert_string_equal(after_a_while(t), "");
    assert_int_equal(t->state.crowded, CROWD_NO); /* they are only just being read */
    t->s.now_usec += CROWD_UNKNOWN_USEC - CROWD_AFTER_USEC;
    assert_string_equal(pauses_words(t), "");
    assert_int_equal(t->state.crowded, CROWD_UNKNOWN);
    t = crowd(9000, 0, 0); /* a stall that ends in between */
    assert_string_equal(pauses_words(t), "");
    t->r.strained = false;
    t->s.now_usec += CROWD_AFTER_USEC / 2;
    assert_string_equal(pauses_words(t), "");
    t->r.strained = true;
    t->s.now_usec += CROWD_AFTER_USEC / 2;
    assert_string_equal(pauses_words(t), "");
}

/* What goes to zswap or zram, or has only begun to go, is given longer. */
static void test_first_wave(void **state _unused_)
{
    struct pauses *t = crowd(9000, 0, 0);

    t->r.returns = false;
    assert_string_equal(after_a_while(t), "");
    t->s.now_usec += CROWD_AFTER_UNREAD_USEC - CROWD_AFTER_USEC;
    assert_string_equal(pauses_words(t), "-4 thrash, -3 thrash");
}

/* Who neither works nor waits says nothing of how well the others do. */
static void test_idle_ones_are_left_out(void **state _unused_)
{
    struct pauses *t = crowd(9000, 0, 0);
    struct group *g = pauses_add(t, CLASS_SERVICE, 200, GIB);

    g->stall_known = true;
    assert_string_equal(after_a_while(t), "-4 thrash, -3 thrash");
    t = crowd(9000, 0, 0);
    g = pauses_add(t, CLASS_SERVICE, 200, 5 * GIB);
    g->stall_known = true;
    g->cpu_permyriad = PERMYRIAD; /* this one works, as much as all would that fit with it */
    assert_string_equal(after_a_while(t), "");
}

static void test_those_that_fit_go_on(void **state _unused_)
{
    struct pauses *t = crowd(9000, 0, 0);

    assert_string_equal(after_a_while(t), "-4 thrash, -3 thrash");
    assert_true(t->state.bound_bytes < NODE_LIMIT);
    pauses_apply(t);
    for (unsigned i = 0; i < 10; i++) { /* they wait for their pages to come back */
        t->s.now_usec += USEC_PER_SEC;
        t->groups[0].cpu_permyriad = PERMYRIAD;
        assert_string_equal(pauses_words(t), "");
    }
    t->groups[0].populated = false; /* the first one is done */
    t->r.strained = false;
    t->r.paging_permyriad = 0;
    assert_string_equal(pauses_words(t), "+3 fits");
}

/* The last of them runs, though even that one does not fit. */
static void test_one_that_does_not_fit(void **state _unused_)
{
    struct pauses *t = crowd(9000, 0, 0);

    for (unsigned i = 0; i < 4; i++)
        t->groups[i].swap = 20 * GIB;
    assert_string_equal(after_a_while(t), "-4 thrash, -3 thrash, -2 thrash");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fewer_would_do_more),  cmocka_unit_test(test_left_alone),
        cmocka_unit_test(test_first_wave),           cmocka_unit_test(test_idle_ones_are_left_out),
        cmocka_unit_test(test_those_that_fit_go_on), cmocka_unit_test(test_one_that_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
