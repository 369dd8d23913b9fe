#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/macros.h"
#include "base/pattern.h"

static const struct row {
    const char *pattern;
    const char *path;
    bool matches;
} rows[] = {
    {"", "", true},
    {"", "a", false},
    {"a", "", false},
    {"a.slice", "a.slice", true},
    {"a.slice", "a.slice/b", false},
    {"a.slice/b", "a.slice", false},
    {"a.slice/*", "a.slice/b", true},
    {"a.slice/*", "a.slice", false},
    {"a.slice/*", "a.slice/b/c", false},
    {"a.slice/*/c", "a.slice/b/c", true},
    {"a.slice/*/c", "a.slice/b/d/c", false},
    {"*/c", "a/b/c", false},
    {"*", "a", true},
    {"*", "a/b", false},
    {"*/*", "a/b", true},
    {"**", "a/b", false},
    {"**/b", "a/b", true},
    {"*.scope", "run-1.scope", true},
    {"*.scope", ".scope", true},
    {"*.scope", "run-1.scope.d", false},
    {"a*b*c", "aXbXc", true},
    {"a*b*c", "aXcXb", false},
    {"*ab*", "aab", true},
    {"*aab", "aaab", true},
    {"a*/b*", "axa/bb", true},
    {"a*x/b", "axyx/b", true},
    {"a*/x", "a/b/x", false},
    {"?", "a", true},
    {"?", "", false},
    {"?", "/", false},
    {"a?b", "a/b", false},
    {"a?b", "axb", true},
    {"???", "ab", false},
    {"?*", "a", true},
    {"*?", "", false},
    /* A character is one, however many bytes it has. */
    {"?", "\xc3\xa9", true},
    {"??", "\xc3\xa9", false},
    {"*??", "\xe2\x82\xac", false},
    {"a?c",
     "a\xe2\x82\xac"
     "c",
     true},
    {"\xc3\xa9*", "\xc3\xa9t\xc3\xa9", true},
    /* Broken UTF-8 is bytes. */
    {"?", "\xc3", true},
    {"?", "\xa9", true},
    {"??", "\xa9\xa9", true},
    /* Nothing else is special. */
    {"[ab]", "a", false},
    {"[ab]", "[ab]", true},
    {"a[!x]*", "a[!x]b", true},
    {"dev-disk-by\\x2duuid.swap", "dev-disk-by\\x2duuid.swap", true},
    {"a\\*", "a\\b", true},
    {"a\\*", "a*", false},
    {"{a,b}", "a", false},
    /* Pods, in the shape of both drivers. */
    {"kubepods.slice/kubepods-burstable.slice/*/*",
     "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-1.scope", true},
    {"kubepods/*/pod*", "kubepods/besteffort/pod1234", true},
};

static void test_table(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (pattern_match(rows[i].pattern, rows[i].path) != rows[i].matches)
            fail_msg("\"%s\" on \"%s\" is not %d", rows[i].pattern, rows[i].path, rows[i].matches);
}

/* What the pattern means, written down as plainly as possible (and exponentially slow). */
static bool reference(const char *pattern, const char *path)
{
    if (*pattern == '*') {
        if (reference(pattern + 1, path))
            return true;
        return *path != '\0' && *path != '/' && reference(pattern, path + 1);
    }
    if (*pattern == '\0' || *path == '\0')
        return *pattern == *path;
    if (*pattern == '?')
        return *path != '/' && reference(pattern + 1, path + 1);
    return *pattern == *path && reference(pattern + 1, path + 1);
}

/* Every pattern of up to five letters on every path of up to five. */
static void test_agrees_with_the_definition(void **state _unused_)
{
    static const char pattern_letters[] = "ab/*?";
    static const char path_letters[] = "ab/";
    unsigned matched = 0;

    for (unsigned p = 0; p < 6 * 6 * 6 * 6 * 6; p++)
        for (unsigned t = 0; t < 4 * 4 * 4 * 4 * 4; t++) {
            char pattern[6] = "";
            char path[6] = "";
            bool expected;

            for (unsigned i = 0, n = p, at = 0; i < 5; i++, n /= 6)
                if (n % 6 < 5)
                    pattern[at++] = pattern_letters[n % 6];
            for (unsigned i = 0, n = t, at = 0; i < 5; i++, n /= 4)
                if (n % 4 < 3)
                    path[at++] = path_letters[n % 4];
            expected = reference(pattern, path);
            matched += expected;
            if (pattern_match(pattern, path) != expected)
                fail_msg("\"%s\" on \"%s\" is not %d", pattern, path, expected);
        }
    assert_true(matched > 1000);
}

/* The reference above would not come to an end with this one in the lifetime of anybody. */
static void test_hostile_pattern_is_quick(void **state _unused_)
{
    char pattern[256] = "";
    char path[256];
    struct timespec before, after;

    for (unsigned i = 0; i < 127; i++)
        strcat(pattern, "a*");
    strcat(pattern, "b");
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    for (unsigned i = 0; i < 100; i++)
        assert_false(pattern_match(pattern, path));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    assert_true(after.tv_sec - before.tv_sec < 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_agrees_with_the_definition),
        cmocka_unit_test(test_hostile_pattern_is_quick),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
