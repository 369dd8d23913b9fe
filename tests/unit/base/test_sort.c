#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "base/sort.h"

#define COUNT_MAX 600

struct wide_element {
    uint64_t key;
    unsigned char rest[SORT_ELEMENT_MAX - sizeof(uint64_t)];
};

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static bool smaller_byte(const void *a, const void *b, const void *user)
{
    assert_ptr_equal(user, &smaller_byte);
    return *(const unsigned char *)a < *(const unsigned char *)b;
}

static bool smaller_key(const void *a, const void *b, const void *user _unused_)
{
    return ((const struct wide_element *)a)->key < ((const struct wide_element *)b)->key;
}

static bool larger_u64(const void *a, const void *b, const void *user _unused_)
{
    return *(const uint64_t *)a > *(const uint64_t *)b;
}

/* Sorted, and the same elements as before: bytes are counted. */
static void test_bytes(void **state _unused_)
{
    unsigned char data[COUNT_MAX + 1];
    uint64_t seed = 1;

    for (unsigned n = 0; n <= COUNT_MAX; n++) {
        unsigned count[256] = {0};

        for (unsigned i = 0; i < n; i++)
            count[data[i] = (unsigned char)(next(&seed) % (n % 3 == 0 ? 3 : 256))]++;
        data[n] = 0x5a; /* not touched */
        sort_array(data, n, 1, smaller_byte, (const void *)&smaller_byte);
        for (unsigned i = 0; i < n; i++) {
            assert_true(i == 0 || data[i - 1] <= data[i]);
            count[data[i]]--;
        }
        for (unsigned i = 0; i < ARRAY_SIZE(count); i++)
            assert_int_equal(count[i], 0);
        assert_int_equal(data[n], 0x5a);
    }
}

/* An element moves as a whole, up to the largest that is allowed. */
static void test_largest_elements(void **state _unused_)
{
    static struct wide_element data[COUNT_MAX];
    uint64_t seed = 7;

    assert_int_equal(sizeof(data[0]), SORT_ELEMENT_MAX);
    for (unsigned i = 0; i < COUNT_MAX; i++) {
        data[i].key = next(&seed);
        memset(data[i].rest, (int)(data[i].key & 0xff), sizeof(data[i].rest));
    }
    sort_array(data, COUNT_MAX, sizeof(data[0]), smaller_key, NULL);
    for (unsigned i = 0; i < COUNT_MAX; i++) {
        assert_true(i == 0 || data[i - 1].key <= data[i].key);
        for (size_t j = 0; j < sizeof(data[i].rest); j++)
            assert_int_equal(data[i].rest[j], data[i].key & 0xff);
    }
}

static void test_larger_ones_are_refused(void **state _unused_)
{
    unsigned char two[2 * (SORT_ELEMENT_MAX + 1)];

    memset(two, 9, sizeof(two));
    two[SORT_ELEMENT_MAX + 1] = 1;
    sort_array(two, 2, SORT_ELEMENT_MAX + 1, smaller_byte, (const void *)&smaller_byte);
    assert_int_equal(two[0], 9);
    assert_int_equal(two[SORT_ELEMENT_MAX + 1], 1);
}

static void test_shapes(void **state _unused_)
{
    static uint64_t data[COUNT_MAX];

    for (unsigned shape = 0; shape < 4; shape++) {
        for (uint64_t i = 0; i < COUNT_MAX; i++)
            data[i] = shape == 0 ? i : shape == 1 ? COUNT_MAX - i : shape == 2 ? 42 : UINT64_MAX - i % 2;
        sort_array(data, COUNT_MAX, sizeof(data[0]), larger_u64, NULL);
        for (unsigned i = 1; i < COUNT_MAX; i++)
            assert_true(data[i - 1] >= data[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_largest_elements),
        cmocka_unit_test(test_larger_ones_are_refused),
        cmocka_unit_test(test_shapes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
