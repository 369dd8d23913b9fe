#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define UNTOUCHED UINT64_C(0xaaaaaaaaaaaaaaaa)
#define TEXT(s) ((struct text){(s), sizeof(s) - 1})

static void test_lines(void **state _unused_)
{
    static const struct {
        const char *in;
        size_t count;
        const char *lines[4];
    } table[] = {
        {"", 0, {0}},        {"\n", 1, {""}},         {"a", 1, {"a"}},
        {"a\n", 1, {"a"}},   {"a\nb", 2, {"a", "b"}}, {"a\n\nb\n", 3, {"a", "", "b"}},
        {"\r\n", 1, {"\r"}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct text rest = text_from(table[i].in), line;

        for (size_t j = 0; j < table[i].count; j++) {
            assert_true(text_next_line(&rest, &line));
            assert_true(text_equal(line, table[i].lines[j]));
        }
        assert_false(text_next_line(&rest, &line));
        assert_int_equal(rest.length, 0);
    }
}

static void test_words(void **state _unused_)
{
    static const struct {
        const char *in;
        size_t count;
        const char *words[3];
    } table[] = {
        {"", 0, {0}},
        {" \t ", 0, {0}},
        {"a", 1, {"a"}},
        {"  a\tb ", 2, {"a", "b"}},
        {"a\rb c", 2, {"a\rb", "c"}}, /* only space and tab are blanks */
        {"some avg10=0.00 total=5", 3, {"some", "avg10=0.00", "total=5"}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct text rest = text_from(table[i].in), word;

        for (size_t j = 0; j < table[i].count; j++) {
            assert_true(text_next_word(&rest, &word));
            assert_true(text_equal(word, table[i].words[j]));
        }
        assert_false(text_next_word(&rest, &word));
        assert_int_equal(rest.length, 0);
    }
}

static void test_from_and_equal(void **state _unused_)
{
    struct text none = text_from(NULL), line;

    assert_int_equal(none.length, 0);
    assert_true(text_equal(none, ""));
    assert_false(text_next_line(&none, &line));
    assert_false(text_equal(TEXT("oom"), "oom_kill"));
    assert_false(text_equal(TEXT("oom_kill"), "oom"));
    assert_false(text_equal(TEXT("a\0b"), "a"));
}

static void test_trim(void **state _unused_)
{
    static const struct {
        const char *in, *out;
    } table[] = {
        {"", ""}, {" \t\r\n", ""}, {" a b\t", "a b"}, {"12\r\n", "12"}, {"x", "x"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        assert_true(text_equal(text_trim(text_from(table[i].in)), table[i].out));
}

struct number_case {
    struct text in;
    int r;
    uint64_t value;
};

static void check_numbers(int (*parse)(struct text, uint64_t *), const struct number_case *table,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = UNTOUCHED;
        char *copy = malloc(table[i].in.length + 1); /* no NUL behind the slice */

        memcpy(copy, table[i].in.at, table[i].in.length);
        copy[table[i].in.length] = '7';
        assert_int_equal(parse((struct text){copy, table[i].in.length}, &value), table[i].r);
        assert_true(value == (table[i].r == 0 ? table[i].value : UNTOUCHED));
        free(copy);
    }
}

static void test_u64(void **state _unused_)
{
    static const struct number_case table[] = {
        {TEXT("0"), 0, 0},
        {TEXT("7"), 0, 7},
        {TEXT("00000000000000000000000000000042"), 0, 42},
        {TEXT("18446744073709551615"), 0, UINT64_MAX},
        {TEXT("18446744073709551616"), -ERANGE, 0},
        {TEXT("18446744073709551620"), -ERANGE, 0},
        {TEXT("28446744073709551615"), -ERANGE, 0},
        {TEXT("99999999999999999999999999999999999999"), -ERANGE, 0},
        {TEXT("99999999999999999999x"), -EINVAL, 0},
        {TEXT(""), -EINVAL, 0},
        {TEXT(" 1"), -EINVAL, 0},
        {TEXT("1 "), -EINVAL, 0},
        {TEXT("+1"), -EINVAL, 0},
        {TEXT("-1"), -EINVAL, 0},
        {TEXT("-0"), -EINVAL, 0},
        {TEXT("1\n"), -EINVAL, 0},
        {TEXT("1\r"), -EINVAL, 0},
        {TEXT("1\0"), -EINVAL, 0},
        {TEXT("0x10"), -EINVAL, 0},
        {TEXT("1e3"), -EINVAL, 0},
        {TEXT("max"), -EINVAL, 0},
        {TEXT("\xb2"), -EINVAL, 0}, /* a digit in some locales */
    };

    check_numbers(text_parse_u64, table, ARRAY_SIZE(table));
}

static void test_u64_or_max(void **state _unused_)
{
    static const struct number_case table[] = {
        {TEXT("max"), 0, UINT64_MAX}, {TEXT("12"), 0, 12},       {TEXT("maximum"), -EINVAL, 0},
        {TEXT("ma"), -EINVAL, 0},     {TEXT("MAX"), -EINVAL, 0}, {TEXT(""), -EINVAL, 0},
        {TEXT("max\n"), -EINVAL, 0},
    };

    check_numbers(text_parse_u64_or_max, table, ARRAY_SIZE(table));
}

static void test_hundredths(void **state _unused_)
{
    static const struct number_case table[] = {
        {TEXT("0.00"), 0, 0},
        {TEXT("12.34"), 0, 1234},
        {TEXT("12"), 0, 1200},
        {TEXT("12.3"), 0, 1230},
        {TEXT("0.05"), 0, 5},
        {TEXT("0.059"), 0, 5},
        {TEXT("100.000000000000000000000000"), 0, 10000},
        {TEXT("184467440737095516.15"), 0, UINT64_MAX},
        {TEXT("184467440737095516.16"), -ERANGE, 0},
        {TEXT("18446744073709551616.0"), -ERANGE, 0},
        {TEXT(""), -EINVAL, 0},
        {TEXT("."), -EINVAL, 0},
        {TEXT("1."), -EINVAL, 0},
        {TEXT(".5"), -EINVAL, 0},
        {TEXT("1.2.3"), -EINVAL, 0},
        {TEXT("1.2x"), -EINVAL, 0},
        {TEXT("1.234x"), -EINVAL, 0},
        {TEXT("-1.00"), -EINVAL, 0},
        {TEXT("1,00"), -EINVAL, 0},
        {TEXT("nan"), -EINVAL, 0},
    };

    check_numbers(text_parse_hundredths, table, ARRAY_SIZE(table));
}

static void test_copy(void **state _unused_)
{
    char buf[4] = "zzz";

    assert_int_equal(text_copy(TEXT("abcd"), buf, sizeof(buf)), -ENAMETOOLONG);
    assert_int_equal(text_copy(TEXT("a\0b"), buf, sizeof(buf)), -EINVAL);
    assert_int_equal(text_copy(TEXT(""), buf, 0), -ENAMETOOLONG);
    assert_string_equal(buf, "zzz");
    assert_int_equal(text_copy(TEXT("abc"), buf, sizeof(buf)), 0);
    assert_string_equal(buf, "abc");
    assert_int_equal(text_copy(text_from(NULL), buf, sizeof(buf)), 0);
    assert_string_equal(buf, "");
}

static void test_directory_of(void **state _unused_)
{
    char buf[8] = "zzz";

    assert_int_equal(text_directory_of("/etc/pods", buf, sizeof(buf)), 0);
    assert_string_equal(buf, "/etc");
    assert_int_equal(text_directory_of("/pods", buf, sizeof(buf)), 0);
    assert_string_equal(buf, "/");
    assert_int_equal(text_directory_of("pods", buf, sizeof(buf)), -EINVAL);
    assert_int_equal(text_directory_of("/etc/pods.d/pods", buf, sizeof(buf)), -ENAMETOOLONG);
    assert_string_equal(buf, "/");
}

static void test_distance(void **state _unused_)
{
    static const struct {
        const char *a, *b;
        unsigned distance;
    } table[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"Priority", "Priority", 0},
        {"Prioritiy", "Priority", 1},
        {"PauseLimit", "PauseLmit", 1},
        {"kitten", "sitting", 3},
        {"ab", "ba", 2},
    };
    char longest[65], longer[66];

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        assert_int_equal(text_distance(text_from(table[i].a), text_from(table[i].b)), table[i].distance);
        assert_int_equal(text_distance(text_from(table[i].b), text_from(table[i].a)), table[i].distance);
    }

    memset(longest, 'x', 64);
    longest[64] = '\0';
    memset(longer, 'x', 65);
    longer[65] = '\0';
    assert_int_equal(text_distance(text_from(longest), text_from(longest)), 0);
    assert_int_equal(text_distance(text_from(longest), text_from("")), 64);
    assert_true(text_distance(text_from(longer), text_from(longer)) == UINT_MAX);
}

struct pair {
    uint64_t oom, oom_kill;
};

static const struct text_key pair_keys[] = {
    TEXT_KEY("oom", struct pair, oom),
    TEXT_KEY("oom_kill", struct pair, oom_kill),
};

struct keyed_case {
    const char *in;
    int r;
    uint64_t seen, oom, oom_kill;
};

static void check_keyed(int (*parse)(struct text, const struct text_key *, size_t, void *, uint64_t *),
                        const struct keyed_case *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct pair pair = {0};
        uint64_t seen = 0;

        assert_int_equal(parse(text_from(table[i].in), pair_keys, ARRAY_SIZE(pair_keys), &pair, &seen),
                         table[i].r);
        if (table[i].r < 0)
            continue;
        assert_true(seen == table[i].seen);
        assert_true(pair.oom == table[i].oom);
        assert_true(pair.oom_kill == table[i].oom_kill);
    }
}

static void test_keyed(void **state _unused_)
{
    static const struct keyed_case table[] = {
        {"", 0, 0, 0, 0},
        {"oom 1\noom_kill 2\n", 0, 3, 1, 2},
        {"oom_kill 2\noom 1", 0, 3, 1, 2},
        {"new 5\noom_kill 2\noom_killer 7\noo 3\n", 0, 2, 0, 2},
        {"oom 1\noom 2\n", 0, 1, 1, 0},
        {"oom 1\noom nonsense\n", 0, 1, 1, 0},
        {"oom 18446744073709551615\n", 0, 1, UINT64_MAX, 0},
        {"oom 18446744073709551616\n", -EBADMSG, 0, 0, 0},
        {"oom -1\n", -EBADMSG, 0, 0, 0},
        {"oom\n", -EBADMSG, 0, 0, 0},
        {"oom 1 2\n", -EBADMSG, 0, 0, 0},
        {"oom 1\r\n", -EBADMSG, 0, 0, 0},
        {"\n\n  \noom\t3\n", 0, 1, 3, 0},
    };

    check_keyed(text_parse_keyed, table, ARRAY_SIZE(table));
}

static void test_keyed_kib(void **state _unused_)
{
    static const struct keyed_case table[] = {
        {"", 0, 0, 0, 0},
        {"oom:\t   1 kB\noom_kill: 2 kB\n", 0, 3, 1024, 2048},
        {"new: 5\nno colon\noom_kill: 2 kB", 0, 2, 0, 2048},
        {"oom: 1 kB\noom: 2 kB\n", 0, 1, 1024, 0},
        {"oom: 18014398509481983 kB\n", 0, 1, UINT64_MAX - 1023, 0},
        {"oom: 18014398509481984 kB\n", -EBADMSG, 0, 0, 0},
        {"oom: 1\n", -EBADMSG, 0, 0, 0},
        {"oom: 1 KB\n", -EBADMSG, 0, 0, 0},
        {"oom: 1 kB kB\n", -EBADMSG, 0, 0, 0},
        {"oom: kB\n", -EBADMSG, 0, 0, 0},
        {"oom:\n", -EBADMSG, 0, 0, 0},
        {"oom: 1 kB\r\n", -EBADMSG, 0, 0, 0},
        {"oom : 1 kB\n", 0, 0, 0, 0},
    };

    check_keyed(text_parse_keyed_kib, table, ARRAY_SIZE(table));
}

/* A file fed in pieces gives what it gives in one. */
static void test_keyed_in_pieces(void **state _unused_)
{
    struct pair pair = {0};
    uint64_t seen = 0;

    assert_int_equal(text_parse_keyed(TEXT("oom 1\n"), pair_keys, 2, &pair, &seen), 0);
    assert_int_equal(text_parse_keyed(TEXT("oom 9\noom_kill 2\n"), pair_keys, 2, &pair, &seen), 0);
    assert_int_equal(seen, 3);
    assert_int_equal(pair.oom, 1);
    assert_int_equal(pair.oom_kill, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_from_and_equal),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_u64),
        cmocka_unit_test(test_u64_or_max),
        cmocka_unit_test(test_hundredths),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_directory_of),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_keyed),
        cmocka_unit_test(test_keyed_kib),
        cmocka_unit_test(test_keyed_in_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
