#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/nodelist.h"

static void test_parse(void **state _unused_)
{
    static const struct {
        const char *in;
        int r;
        uint64_t nodes;
    } table[] = {
        {"", 0, 0},
        {"\n", 0, 0},
        {"0\n", 0, 1},
        {"0-1\n", 0, 3},
        {"0,2-3,7", 0, 0x8d},
        {"63", 0, UINT64_C(1) << 63},
        {"0-63", 0, UINT64_MAX},
        {"1,1", 0, 2},
        {"64", -ERANGE, 0},
        {"0-1023", -ERANGE, 0},
        {"18446744073709551616", -EBADMSG, 0},
        {"1-0", -EBADMSG, 0},
        {"1-", -EBADMSG, 0},
        {"-1", -EBADMSG, 0},
        {",1", -EBADMSG, 0},
        {"1,", -EBADMSG, 0},
        {"0 1", -EBADMSG, 0},
        {"a", -EBADMSG, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        uint64_t nodes = 0;

        if (nodelist_parse(text_from(table[i].in), &nodes) != table[i].r || nodes != table[i].nodes)
            fail_msg("case %zu: '%s'", i, table[i].in);
    }
}

static void test_format(void **state _unused_)
{
    static const struct {
        uint64_t nodes;
        const char *out;
    } table[] = {
        {0, ""}, {1, "0"}, {3, "0-1"}, {0x8d, "0,2-3,7"}, {UINT64_C(1) << 63, "63"}, {UINT64_MAX, "0-63"},
    };
    char buf[NODELIST_FORMAT_MAX];
    uint64_t nodes;

    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        assert_string_equal(nodelist_format(buf, table[i].nodes), table[i].out);
    nodelist_format(buf, UINT64_C(0x5555555555555555)); /* the longest */
    assert_int_equal(nodelist_parse(text_from(buf), &nodes), 0);
    assert_true(nodes == UINT64_C(0x5555555555555555));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parse), cmocka_unit_test(test_format)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
