/* By how much a group has grown in the last five seconds, from samples that are a second or more apart. */
#include "tree.h"

#include "snapshot/handles.h"

#define NOW (1000 * USEC_PER_SEC)
#define OLD (NOW - 900 * USEC_PER_SEC)
#define MSEC USEC_PER_MSEC

static struct snapshot ended;
static struct group_handle handles[3];
static struct snapshot_reader reader;

static int setup(void **state)
{
    (void)state;
    reader = (struct snapshot_reader){.handles = handles, .handle_max = ARRAY_SIZE(handles)};
    handles_init(&reader);
    return 0;
}

static struct group_handle *take(uint64_t birth_usec)
{
    struct group_handle *h = handle_take(&reader, 7, 0);

    assert_non_null(h);
    handle_reborn(h, birth_usec);
    return h;
}

/* All that it holds has come since its birth. */
static void test_young(void **state _unused_)
{
    struct group_handle *h = take(NOW);

    assert_true(handle_note_bytes(h, NOW, 10 * MIB) == 10 * MIB);
    assert_true(handle_note_bytes(h, NOW + 2 * USEC_PER_SEC, 30 * MIB) == 30 * MIB);
    assert_true(handle_note_bytes(h, NOW + 5 * USEC_PER_SEC, 50 * MIB) == 50 * MIB);
    /* A moment later it is older than the window, whose begin the first sample is. */
    assert_true(handle_note_bytes(h, NOW + 5 * USEC_PER_SEC + 1, 50 * MIB) == 40 * MIB);
}

/* Nothing is known of it: that is no growth. */
static void test_old_without_samples(void **state _unused_)
{
    struct group_handle *h = take(OLD);

    assert_true(handle_note_bytes(h, NOW, 3 * GIB) == 0);
    assert_true(handle_note_bytes(h, NOW + MSEC, 3 * GIB + MIB) == MIB); /* from here on it is known */
}

/* A steady leak of 1 MiB in 100 ms, looked at every 100 ms: 50 MiB in five seconds, a sample's distance more
 * at the most. */
static void test_steady(void **state _unused_)
{
    struct group_handle *h = take(OLD);

    for (uint64_t i = 0; i < 600; i++) {
        uint64_t growth = handle_note_bytes(h, NOW + i * 100 * MSEC, GIB + i * MIB);

        if (i <= 50)
            assert_true(growth == i * MIB);
        else
            assert_in_range(growth, 50 * MIB, 60 * MIB);
    }
}

/* The same, looked at every seven seconds: what lies between two looks is all that is known. */
static void test_seldom(void **state _unused_)
{
    struct group_handle *h = take(OLD);

    for (uint64_t i = 0; i < 30; i++) {
        uint64_t growth = handle_note_bytes(h, NOW + i * 7 * USEC_PER_SEC, GIB + i * 70 * MIB);

        assert_true(growth == (i == 0 ? 0 : 70 * MIB));
    }
}

static void test_stops_and_shrinks(void **state _unused_)
{
    struct group_handle *h = take(OLD);

    for (uint64_t i = 0; i <= 10; i++)
        (void)handle_note_bytes(h, NOW + i * USEC_PER_SEC, GIB + i * MIB);
    for (uint64_t i = 11; i <= 20; i++) {
        uint64_t growth = handle_note_bytes(h, NOW + i * USEC_PER_SEC, GIB + 10 * MIB);

        assert_true(growth == (i < 15 ? 15 - i : 0) * MIB);
    }
    assert_true(handle_note_bytes(h, NOW + 21 * USEC_PER_SEC, MIB) == 0); /* less is no growth */
    assert_true(handle_note_bytes(h, NOW + 22 * USEC_PER_SEC, 2 * MIB) == 0);
}

/* A new life in the same directory: what an earlier one held is nothing to it. */
static void test_reborn(void **state _unused_)
{
    struct group_handle *h = take(OLD);

    (void)handle_note_bytes(h, NOW, 100 * MIB);
    (void)handle_note_bytes(h, NOW + 2 * USEC_PER_SEC, 120 * MIB);
    handle_reborn(h, NOW + 3 * USEC_PER_SEC);
    assert_true(handle_note_bytes(h, NOW + 4 * USEC_PER_SEC, 130 * MIB) == 130 * MIB);
    handle_reborn(h, OLD);
    assert_true(handle_note_bytes(h, NOW + 5 * USEC_PER_SEC, 140 * MIB) == 0);
}

/* A place that another group had had: nothing is left of it. */
static void test_reused_place(void **state _unused_)
{
    struct group_handle *h = take(OLD), *other;

    (void)handle_note_bytes(h, NOW, 100 * MIB);
    handles_unsee(&reader);
    handles_drop_unseen(&reader, &ended);
    assert_null(handle_find(&reader, 7, 0));
    other = handle_take(&reader, 8, 0);
    assert_ptr_equal(other, h);
    assert_true(other->id == 8 && other->was_empty && !other->seen && other->birth_usec == 0);
    handle_reborn(other, OLD);
    assert_true(handle_note_bytes(other, NOW + 2 * USEC_PER_SEC, 500 * MIB) == 0);
}

/* When all places are taken, one that this walk has not seen gives way. */
static void test_full(void **state _unused_)
{
    for (uint64_t id = 1; id <= 3; id++) {
        struct group_handle *h = handle_take(&reader, id, 0);

        assert_non_null(h);
        h->seen = id != 2;
    }
    assert_non_null(handle_find(&reader, 2, 0));
    assert_non_null(handle_take(&reader, 4, 0));
    assert_null(handle_find(&reader, 2, 0));
    handle_find(&reader, 4, 0)->seen = true;
    assert_null(handle_take(&reader, 5, 0));
    for (uint64_t id = 1; id <= 4; id++)
        assert_true((handle_find(&reader, id, 0) != NULL) == (id != 2));
}

/* A process is its start and its pid: pids come again, and two may start in one tick. */
static void test_processes(void **state _unused_)
{
    struct group_handle *a = handle_take(&reader, 77, 1), *b = handle_take(&reader, 77, 2);

    assert_ptr_equal(handle_find(&reader, 77, 1), a);
    assert_ptr_equal(handle_find(&reader, 77, 2), b);
    assert_null(handle_find(&reader, 77, 0));
    assert_null(handle_find(&reader, 78, 1));
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_young),
        TEST(test_old_without_samples),
        TEST(test_steady),
        TEST(test_seldom),
        TEST(test_stops_and_shrinks),
        TEST(test_reborn),
        TEST(test_reused_place),
        TEST(test_full),
        TEST(test_processes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
