#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/units.h"

#define UNTOUCHED UINT64_C(0xaaaaaaaaaaaaaaaa)
#define TIB (UINT64_C(1) << 40)

struct parse_case {
    const char *in;
    int r;
    uint64_t value;
};

static void check_parse(int (*parse)(struct text, uint64_t *), const struct parse_case *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = UNTOUCHED;
        int r = parse(text_from(table[i].in), &value);

        if (r != table[i].r || value != (r == 0 ? table[i].value : UNTOUCHED))
            fail_msg("\"%s\": r = %d, value = %llu", table[i].in, r, (unsigned long long)value);
    }
}

static void test_parse_bytes(void **state _unused_)
{
    static const struct parse_case table[] = {
        {"0", 0, 0},
        {"0B", 0, 0},
        {"0.0", 0, 0},
        {"512B", 0, 512},
        {"1K", 0, KIB},
        {"512M", 0, 512 * MIB},
        {"1.5G", 0, 3 * (GIB / 2)},
        {"0.000000001G", 0, 1},
        {"2T", 0, 2 * TIB},
        {"16777215T", 0, 16777215 * TIB},
        {"16777216T", -ERANGE, 0},
        {"18446744073709551615B", 0, UINT64_MAX},
        {"18446744073709551616B", -ERANGE, 0},
        {"16777215.999999999T", 0, 16777215 * TIB + UINT64_C(1099511626676)},
        {"", -EINVAL, 0},
        {"512", -EINVAL, 0},
        {"0.5", -EINVAL, 0},
        {"M", -EINVAL, 0},
        {"-1M", -EINVAL, 0},
        {"+1M", -EINVAL, 0},
        {"1m", -EINVAL, 0},
        {"1MB", -EINVAL, 0},
        {"1 M", -EINVAL, 0},
        {" 1M", -EINVAL, 0},
        {"1M ", -EINVAL, 0},
        {"1.M", -EINVAL, 0},
        {".5M", -EINVAL, 0},
        {"1.0000000001M", -EINVAL, 0}, /* ten decimals */
        {"5%", -EINVAL, 0},
        {"5s", -EINVAL, 0},
        {"max", -EINVAL, 0},
    };

    check_parse(units_parse_bytes, table, ARRAY_SIZE(table));
}

static void test_parse_usec(void **state _unused_)
{
    static const struct parse_case table[] = {
        {"0", 0, 0},
        {"7us", 0, 7},
        {"150ms", 0, 150000},
        {"1s", 0, USEC_PER_SEC},
        {"2.5s", 0, 2500000},
        {"5min", 0, 300 * USEC_PER_SEC},
        {"1h", 0, 3600 * USEC_PER_SEC},
        {"1d", 0, 86400 * USEC_PER_SEC},
        {"213503982d", 0, UINT64_C(18446744044800000000)},
        {"213503983d", -ERANGE, 0},
        {"18446744073709551615us", 0, UINT64_MAX},
        {"", -EINVAL, 0},
        {"10", -EINVAL, 0},
        {"5m", -EINVAL, 0}, /* metres, minutes, milli? */
        {"1sec", -EINVAL, 0},
        {"1S", -EINVAL, 0},
        {"-1s", -EINVAL, 0},
        {"1min 30s", -EINVAL, 0},
        {"5M", -EINVAL, 0},
    };

    check_parse(units_parse_usec, table, ARRAY_SIZE(table));
}

static void test_parse_permyriad(void **state _unused_)
{
    static const struct parse_case table[] = {
        {"0%", 0, 0},
        {"0", 0, 0},
        {"5%", 0, 500},
        {"0.05%", 0, 5},
        {"0.1%", 0, 10},
        {"99.99%", 0, 9999},
        {"100%", 0, 10000},
        {"100.00%", 0, 10000},
        {"0.050%", 0, 5},
        {"100.01%", -ERANGE, 0},
        {"101%", -ERANGE, 0},
        {"184467440737095517%", -ERANGE, 0},
        {"99999999999999999999%", -ERANGE, 0},
        {"0.005%", -EINVAL, 0},
        {"5", -EINVAL, 0},
        {"", -EINVAL, 0},
        {"%", -EINVAL, 0},
        {"-5%", -EINVAL, 0},
        {"5 %", -EINVAL, 0},
        {"5%%", -EINVAL, 0},
        {"5.%", -EINVAL, 0},
        {"5M", -EINVAL, 0},
    };

    check_parse(units_parse_permyriad, table, ARRAY_SIZE(table));
}

static void test_format(void **state _unused_)
{
    static const struct {
        uint64_t value;
        const char *bytes, *usec;
    } table[] = {
        {0, "0B", "0us"},
        {999, "999B", "999us"},
        {1000, "1000B", "1.0ms"},
        {1023, "1023B", "1.0ms"},
        {1024, "1.0K", "1.0ms"},
        {1536, "1.5K", "1.5ms"},
        {1048575, "1.0M", "1.0s"}, /* never "1024.0K" */
        {852 * MIB + MIB / 2, "852.5M", "14.9min"},
        {999949, "976.5K", "999.9ms"},
        {999950, "976.5K", "1.0s"},
        {3200000, "3.1M", "3.2s"},
        {59949999, "57.2M", "59.9s"},
        {59950000, "57.2M", "1.0min"},
        {90 * USEC_PER_SEC, "85.8M", "1.5min"},
        {86400 * USEC_PER_SEC, "80.5G", "1.0d"},
        {GIB - 1, "1.0G", "17.9min"},
        {UINT64_MAX - 1, "16777216.0T", "213503982.3d"},
        {UINT64_MAX, "max", "forever"},
    };
    char buf[UNITS_FORMAT_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        assert_string_equal(units_format_bytes(buf, table[i].value), table[i].bytes);
        assert_string_equal(units_format_usec(buf, table[i].value), table[i].usec);
    }
}

/* What is printed can be read back, and differs by at most half of the last digit shown. */
static void test_format_reads_back(void **state _unused_)
{
    char buf[UNITS_FORMAT_MAX];

    for (uint64_t value = 1; value < UINT64_C(1) << 60; value = value * 3 + 1) {
        uint64_t back;

        assert_int_equal(units_parse_bytes(text_from(units_format_bytes(buf, value)), &back), 0);
        assert_true((back > value ? back - value : value - back) <= value / 20 + 1);
        assert_int_equal(units_parse_usec(text_from(units_format_usec(buf, value)), &back), 0);
        assert_true((back > value ? back - value : value - back) <= value / 20 + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_bytes),       cmocka_unit_test(test_parse_usec),
        cmocka_unit_test(test_parse_permyriad),   cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_reads_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
