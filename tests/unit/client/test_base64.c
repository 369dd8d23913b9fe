#include "client.h"

#include "client/base64.h"

static void test_takes(void **state unused_)
{
    static const struct {
        const char *text, *bytes;
        size_t length;
    } cases[] = {
        {"", "", 0},
        {"Zg==", "f", 1},
        {"Zm8=", "fo", 2},
        {"Zm9v", "foo", 3},
        {"Zm9vYmFy", "foobar", 6},
        {"AAAA", "\0\0\0", 3},
        {"+/+/", "\xfb\xff\xbf", 3},
        {"c29tZSAyMDAwMDAgMjAwMDAwMAA=", "some 200000 2000000", 20}, /* what systemd sets, with its NUL */
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned char out[64];

        assert_int_equal(base64_parse(cases[i].text, out, sizeof(out)), cases[i].length);
        assert_memory_equal(out, cases[i].bytes, cases[i].length);
    }
}

static void test_refuses(void **state unused_)
{
    static const char *const cases[] = {
        "Z",     "Zg",    "Zg=",      "=",        "====", "Z===", "Zg==Zg==", "Zm9v\n",  " Zm9v",
        "Zm 9v", "Zm9v ", "Zm9vYg=a", "Zm9v====", "Zh==", "Zm9=", "Zm-_",     "Zm9\x80", "Z=8=",
    };
    unsigned char out[64];

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (base64_parse(cases[i], out, sizeof(out)) != -EBADMSG)
            fail_msg("'%s' was taken", cases[i]);
}

/* Nothing is written beyond what is given, to the byte. */
static void test_bounds(void **state unused_)
{
    unsigned char out[8];

    for (size_t size = 0; size <= 8; size++) {
        memset(out, 0xaa, sizeof(out));
        assert_int_equal(base64_parse("Zm9vYg==", out, size), size < 4 ? -E2BIG : 4);
        for (size_t i = size; i < sizeof(out); i++)
            assert_int_equal(out[i], 0xaa);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
