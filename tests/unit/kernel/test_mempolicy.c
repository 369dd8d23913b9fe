#include "fixture.h"

#include "kernel/mempolicy.h"

/* With one node there is nothing to prefer; nor with a group that may use all, or that cannot be read. */
static void test_nothing_to_prefer(void **state)
{
    const struct fixture *f = *state;

    assert_int_equal(mempolicy_prefer_of(f->fd, f->fd), 0);
    fixture_write(f, "sys/devices/system/node/has_memory", "0\n");
    fixture_write(f, "cpuset.mems.effective", "0\n");
    assert_int_equal(mempolicy_prefer_of(f->fd, f->fd), 0);
    fixture_write(f, "sys/devices/system/node/has_memory", "0-1\n");
    fixture_write(f, "cpuset.mems.effective", "0-1\n");
    assert_int_equal(mempolicy_prefer_of(f->fd, f->fd), 0);
    fixture_write(f, "cpuset.mems.effective", "1-\n");
    assert_int_equal(mempolicy_prefer_of(f->fd, f->fd), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_to_prefer, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
