#include "fixture.h"

#include "kernel/freezer.h"

static void test_read(void **state)
{
    static const struct {
        const char *content;
        int r;
        bool frozen;
    } table[] = {
        {"0\n", 0, false},
        {"1\n", 0, true},
        {"1", 0, true},
        {"2\n", -EBADMSG, false},
        {"-1\n", -EBADMSG, false},
        {"max\n", -EBADMSG, false},
        {"\n", -EBADMSG, false},
        {"", -ENODATA, false},
        {"1\r\n", -EBADMSG, false},
        {"18446744073709551617\n", -EBADMSG, false},
        {"FROZEN\n", -EBADMSG, false},
    };
    const struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        bool frozen = !table[i].frozen;

        fixture_write(f, "cgroup.freeze", table[i].content);
        assert_int_equal(freezer_read(f->fd, &frozen), table[i].r);
        assert_int_equal(frozen, table[i].r == 0 ? table[i].frozen : !table[i].frozen);
    }
}

static void test_write(void **state)
{
    const struct fixture *f = *state;
    bool frozen = false;
    char buf[16];

    assert_int_equal(freezer_write(f->fd, true), -ENOENT); /* before 5.2, or gone */
    assert_int_equal(freezer_read(f->fd, &frozen), -ENOENT);
    fixture_write(f, "cgroup.freeze", "0\n");
    assert_int_equal(freezer_write(f->fd, true), 0);
    fixture_read(f->fd, "cgroup.freeze", buf, sizeof(buf));
    assert_string_equal(buf, "1");
    assert_int_equal(freezer_read(f->fd, &frozen), 0);
    assert_true(frozen);
    assert_int_equal(freezer_write(f->fd, false), 0);
    assert_int_equal(freezer_read(f->fd, &frozen), 0);
    assert_false(frozen);
}

/* What was asked for, in trees of real kernels: task-1 was frozen, its parent was not. */
static void test_recorded(void **state _unused_)
{
    static const char *const trees[] = RECORDED_TREES;

    for (size_t i = 0; i < ARRAY_SIZE(trees); i++) {
        _cleanup_close_ int slice = recorded_open(trees[i], "sys/fs/cgroup/workload.slice");
        _cleanup_close_ int task = recorded_open(trees[i], "sys/fs/cgroup/workload.slice/task-1");
        bool frozen;

        assert_int_equal(freezer_read(slice, &frozen), 0);
        assert_false(frozen);
        assert_int_equal(freezer_read(task, &frozen), 0);
        assert_true(frozen);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_write, fixture_setup, fixture_teardown),
        cmocka_unit_test(test_recorded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
