#include "fixture.h"

#include "kernel/mempolicy.h"

static int parse(const char *buf, size_t length, void *ret)
{
    return node_set_parse(buf, length, ret);
}

static void test_parse(void **state _unused_)
{
    static const struct {
        const char *in;
        int r;
        unsigned count;
        unsigned long first; /* word */
    } table[] = {
        {"0\n", 0, 1, 0x1},
        {"0-1\n", 0, 2, 0x3},
        {"0-1,4\n", 0, 3, 0x13},
        {"1,1-2\n", 0, 2, 0x6},
        {"\n", 0, 0, 0},
        {"", 0, 0, 0},
        {"1023\n", 0, 1, 0},
        {"0-1023\n", 0, 1024, ~0UL},
        {"1024\n", -EBADMSG, 0, 0},
        {"4294967296\n", -EBADMSG, 0, 0},
        {"3-1\n", -EBADMSG, 0, 0},
        {"1-\n", -EBADMSG, 0, 0},
        {"-1\n", -EBADMSG, 0, 0},
        {"1,\n", -EBADMSG, 0, 0},
        {",1\n", -EBADMSG, 0, 0},
        {"1 2\n", -EBADMSG, 0, 0},
        {"0-1:1/2\n", -EBADMSG, 0, 0},
        {"a\n", -EBADMSG, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct node_set set = {0};

        assert_int_equal(parse(table[i].in, strlen(table[i].in), &set), table[i].r);
        assert_int_equal(set.count, table[i].count);
        assert_true(set.bits[0] == table[i].first);
    }
}

/* With one node there is nothing to prefer; nor with a group that may use all, or that cannot be read. */
static void test_nothing_to_prefer(void **state)
{
    const struct fixture *f = *state;

    assert_int_equal(mempolicy_prefer_of(f->fd, f->fd), 0);
    fixture_write(f, "sys/devices/system/node/online", "0\n");
    fixture_write(f, "cpuset.mems.effective", "0\n");
    assert_int_equal(mempolicy_prefer_of(f->fd, f->fd), 0);
    fixture_write(f, "sys/devices/system/node/online", "0-1\n");
    fixture_write(f, "cpuset.mems.effective", "0-1\n");
    assert_int_equal(mempolicy_prefer_of(f->fd, f->fd), 0);
    fixture_write(f, "cpuset.mems.effective", "1-\n");
    assert_int_equal(mempolicy_prefer_of(f->fd, f->fd), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test_setup_teardown(test_nothing_to_prefer, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
