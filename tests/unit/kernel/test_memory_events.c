#include "fixture.h"

#include "kernel/memory_events.h"

static int parse(const char *buf, size_t length, void *ret)
{
    return memory_events_parse(buf, length, ret);
}

#define BASE "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\n"

static void test_table(void **state _unused_)
{
    static const struct {
        const char *in;
        int r;
        struct memory_events events;
    } table[] = {
        {BASE "oom_group_kill 6\n", 0, {1, 2, 3, 4, 5, 6}},
        {BASE, 0, {1, 2, 3, 4, 5, 0}}, /* before 5.17 */
        {BASE "oom_group_kill 6\nsock_throttled 7\n", 0, {1, 2, 3, 4, 5, 6}},
        {"oom_group_kill 6\noom_kill 5\noom 4\nmax 3\nhigh 2\nlow 1", 0, {1, 2, 3, 4, 5, 6}},
        {"low 1\nhigh_extra 9\nhigh 2\nhigher 9\nmax 3\nmaximum 9\noo 9\noom 4\noom_killed 9\noom_kill 5\n",
         0,
         {1, 2, 3, 4, 5, 0}},
        {"high 2\nmax 3\noom 4\n", 0, {0, 2, 3, 4, 0, 0}},
        {BASE "high 99\nhigh nonsense\n", 0, {1, 2, 3, 4, 5, 0}}, /* the first of two counts */
        {BASE "new -1\nnew2\nnew3 99999999999999999999\n", 0, {1, 2, 3, 4, 5, 0}},
        {"high 18446744073709551615\nmax 0\noom 0\n", 0, {0, UINT64_MAX, 0, 0, 0, 0}},
        {"high 18446744073709551616\nmax 0\noom 0\n", -EBADMSG, {0}},
        {"high -1\nmax 0\noom 0\n", -EBADMSG, {0}},
        {"high\nmax 0\noom 0\n", -EBADMSG, {0}},
        {"high 1 2\nmax 0\noom 0\n", -EBADMSG, {0}},
        {"high 1\r\nmax 0\r\noom 0\r\n", -EBADMSG, {0}},
        {"max 0\noom 0\n", -EBADMSG, {0}},
        {"high 0\noom 0\n", -EBADMSG, {0}},
        {"high 0\nmax 0\noom_kill 0\n", -EBADMSG, {0}}, /* oom_kill is no oom */
        {"high_extra 0\nmax 0\noom 0\n", -EBADMSG, {0}},
        {"", -EBADMSG, {0}},
        {"\n", -EBADMSG, {0}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct memory_events e;
        int r = memory_events_parse(table[i].in, strlen(table[i].in), &e);

        if (r != table[i].r)
            fail_msg("case %zu: %d", i, r);
        if (r == 0)
            assert_memory_equal(&e, &table[i].events, sizeof(e));
    }
}

static void test_hostile(void **state _unused_)
{
    static const char binary[] = "high 1\0\nmax 0\noom 0\n";

    hostile_all(parse, BASE "oom_group_kill 6\n", -EBADMSG);
    assert_int_equal(hostile_one(parse, binary, sizeof(binary) - 1, -EBADMSG), -EBADMSG);
}

static void test_recorded(void **state _unused_)
{
    static const char *const trees[] = RECORDED_TREES;

    for (size_t i = 0; i < ARRAY_SIZE(trees); i++) {
        _cleanup_close_ int slice = recorded_open(trees[i], "sys/fs/cgroup/workload.slice");
        _cleanup_close_ int task = recorded_open(trees[i], "sys/fs/cgroup/workload.slice/task-1");
        struct memory_events slice_events, task_events;

        assert_int_equal(memory_events_read_at(slice, "memory.events.local", &slice_events), 0);
        assert_true(slice_events.high > 0); /* it was held at its memory.high */
        assert_int_equal(slice_events.max, 0);
        assert_int_equal(memory_events_read_at(task, "memory.events", &task_events), 0);
        assert_int_equal(task_events.oom_kill, 0);
    }
}

static void test_files(void **state)
{
    const struct fixture *f = *state;
    struct memory_events e;
    int fd;

    assert_int_equal(memory_events_read_at(f->fd, "memory.events", &e), -ENOENT);
    fixture_write(f, "memory.events", BASE);
    fd = openat(f->fd, "memory.events", O_RDONLY | O_CLOEXEC);
    assert_int_equal(memory_events_pread(fd, &e), 0);
    assert_int_equal(e.high, 2);
    fixture_write(f, "memory.events", "low 0\nhigh 3\nmax 0\noom 0\n");
    assert_int_equal(memory_events_pread(fd, &e), 0); /* the same descriptor, new figures */
    assert_int_equal(e.high, 3);
    fixture_write(f, "memory.events", "");
    assert_int_equal(memory_events_pread(fd, &e), -ENODATA);
    assert_int_equal(e.high, 3);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_recorded),
        cmocka_unit_test_setup_teardown(test_files, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
