#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "record/ring.h"

static struct record_ring ring;

static void test_empty(void **state _unused_)
{
    memset(&ring, 0xaa, sizeof(ring));
    record_ring_init(&ring);
    assert_null(record_ring_last(&ring));
    assert_null(record_ring_get(&ring, 0));
    assert_null(record_ring_get(&ring, 1));
    assert_null(record_ring_get(&ring, UINT64_MAX));
}

static void test_wraps(void **state _unused_)
{
    const uint64_t count = 3 * RECORD_RING_SIZE + 5;

    record_ring_init(&ring);
    for (uint64_t id = 1; id <= count; id++) {
        struct decision *d = record_ring_add(&ring);

        assert_true(d->id == id);
        assert_true(d->groups == 0 && d->victim_count == 0); /* emptied of whoever had the slot */
        d->groups = (unsigned)id;
        d->victim_count = 3;
        assert_ptr_equal(record_ring_last(&ring), d);
    }
    for (uint64_t id = 0; id <= count + RECORD_RING_SIZE; id++) {
        const struct decision *d = record_ring_get(&ring, id);

        if (id == 0 || id + RECORD_RING_SIZE <= count || id > count)
            assert_null(d);
        else
            assert_true(d && d->id == id && d->groups == id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_empty), cmocka_unit_test(test_wraps)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
