#include "fixture.h"

#include "base/units.h"
#include "kernel/vmstat.h"

static int parse(const char *buf, size_t length, void *ret)
{
    return vmstat_parse(buf, length, ret);
}

static int parse_swap(const char *buf, size_t length, void *ret)
{
    return vmstat_swap_parse(buf, length, ret);
}

static const char good[] = "nr_free_pages 3983\nnr_dirtied 5\npgpgin 4096\npgpgout 7\npswpin 256\npswpout 9\n"
                           "pgmajfault 11\nzswpin 2\nzswpout 3\nzswpwb 1\n";

static void test_values(void **state _unused_)
{
    static const struct {
        const char *in;
        int r;
        uint64_t read, swap_in, swap_out;
    } table[] = {
        {good, 0, 4 * MIB, MIB, 36864},
        {"pswpin 1\npgpgin 4\n", 0, 4096, 4096, 0},
        {"pgpgin 0\npswpin 0", 0, 0, 0, 0},
        {"pgpgin 18446744073709551615\npswpin 18446744073709551615\n", 0, UINT64_MAX, UINT64_MAX, 0},
        {"pgpgin 1\n", -EBADMSG, 0, 0, 0},
        {"pswpin 1\n", -EBADMSG, 0, 0, 0},
        {"pgpgin x\npswpin 1\n", -EBADMSG, 0, 0, 0},
        {"pgpgin 1\npswpin -1\n", -EBADMSG, 0, 0, 0},
        {"", -EBADMSG, 0, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct vmstat v;

        if (vmstat_parse(table[i].in, strlen(table[i].in), &v) != table[i].r)
            fail_msg("case %zu", i);
        if (table[i].r < 0)
            continue;
        assert_true(v.read == table[i].read);
        assert_true(v.swap_in == table[i].swap_in);
        assert_true(v.swap_out == table[i].swap_out);
    }
}

static void test_swap(void **state _unused_)
{
    struct vmstat_swap v;

    assert_int_equal(vmstat_swap_parse(good, strlen(good), &v), 0);
    assert_int_equal(v.in, MIB);
    assert_int_equal(v.out, 36864);
    assert_int_equal(v.zswap_in, 8192);
    assert_int_equal(v.zswap_out, 12288);
    assert_int_equal(vmstat_swap_parse("pswpin 1\npswpout 2\n", 19, &v), 0);
    assert_int_equal(v.out, 8192);
    assert_int_equal(v.zswap_in, 0); /* a kernel without it */
    assert_int_equal(vmstat_swap_parse("pswpin 1\n", 9, &v), -EBADMSG);
}

static void test_hostile(void **state _unused_)
{
    hostile_all(parse, good, -EBADMSG);
    hostile_all(parse_swap, good, -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_swap),
                                       cmocka_unit_test(test_hostile)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
