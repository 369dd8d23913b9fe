#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/buffer.h"

static void test_append(void **state _unused_)
{
    char storage[16];
    struct buffer b;

    memset(storage, 'z', sizeof(storage));
    buffer_init(&b, storage, sizeof(storage));
    assert_string_equal(b.data, "");
    buffer_append(&b, "abc");
    buffer_append_bytes(&b, "defgh", 2);
    buffer_appendf(&b, "%d-%s", 42, "x");
    buffer_append(&b, "");
    assert_string_equal(b.data, "abcde42-x");
    assert_int_equal(b.length, 9);
    assert_false(b.cut);
}

/* At every size: nothing is written outside, what is there is the begin of the whole, and `cut` says so
 * exactly. */
static void test_every_size(void **state _unused_)
{
    static const char whole[] = "name=\"a b\" n=7 tail";

    for (size_t size = 0; size <= sizeof(whole) + 1; size++) {
        char *storage = malloc(size + 1);
        struct buffer b;

        storage[size] = 'Z';
        buffer_init(&b, storage, size);
        buffer_append(&b, "name=");
        buffer_append_logfmt(&b, "a b");
        buffer_appendf(&b, " n=%d", 7);
        buffer_append_bytes(&b, " tail", 5);

        assert_int_equal(storage[size], 'Z');
        assert_int_equal(b.cut, size < sizeof(whole));
        if (size > 0) {
            assert_int_equal(b.length, size < sizeof(whole) ? size - 1 : sizeof(whole) - 1);
            assert_int_equal(b.data[b.length], '\0');
            assert_memory_equal(b.data, whole, b.length);
        }
        free(storage);
    }
}

static void test_nothing_after_a_cut(void **state _unused_)
{
    char storage[8];
    struct buffer b;

    buffer_init(&b, storage, sizeof(storage));
    buffer_append(&b, "12345");
    buffer_appendf(&b, "%s", "678");
    assert_true(b.cut);
    buffer_append(&b, "x");
    buffer_appendf(&b, "y");
    assert_string_equal(b.data, "1234567");
}

/* A conversion that the C library refuses leaves what was there, and counts as cut. */
static void test_failed_conversion(void **state _unused_)
{
    char storage[32];
    struct buffer b;

    buffer_init(&b, storage, sizeof(storage));
    buffer_append(&b, "a=1");
    buffer_appendf(&b, " b=%lc", (wint_t)0x7fffffff);
    buffer_append(&b, " c=3");
    assert_true(b.cut);
    assert_string_equal(b.data, "a=1");
}

static void test_logfmt(void **state _unused_)
{
    static const struct {
        const char *in, *out;
    } table[] = {
        {"plain", "plain"},
        {"workload.slice/a-b_c:d", "workload.slice/a-b_c:d"},
        {"", "\"\""},
        {"a b", "\"a b\""},
        {"a=b", "\"a=b\""},
        {"a\"b", "\"a\\\"b\""},
        {"a\\b", "a\\b"},
        {"a\\ b", "\"a\\\\ b\""},
        {"x\ny=1", "\"x\\ny=1\""},
        {"\t\r", "\"\\t\\r\""},
        {"\x01\x1b[31m\x7f", "\"\\u0001\\u001b[31m\\u007f\""},
        {"gr\xc3\xb6\xc3\x9f"
         "e",
         "gr\xc3\xb6\xc3\x9f"
         "e"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char storage[64];
        struct buffer b;

        buffer_init(&b, storage, sizeof(storage));
        buffer_append_logfmt(&b, table[i].in);
        assert_string_equal(b.data, table[i].out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_nothing_after_a_cut),
        cmocka_unit_test(test_failed_conversion),
        cmocka_unit_test(test_logfmt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
