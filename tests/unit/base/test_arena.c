#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/arena.h"

static void test_pieces(void **state _unused_)
{
    _Alignas(max_align_t) unsigned char storage[256];
    struct arena a;
    unsigned char *previous_end = storage;

    memset(storage, 0xff, sizeof(storage));
    arena_init(&a, storage, sizeof(storage));
    for (size_t size = 1; size <= 9; size++) {
        unsigned char *piece = arena_take(&a, size);

        assert_non_null(piece);
        assert_int_equal((uintptr_t)piece % _Alignof(max_align_t), 0);
        assert_true(piece >= previous_end);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(piece[i], 0);
        memset(piece, 0xee, size);
        previous_end = piece + size;
    }
    assert_int_equal(a.used, (size_t)(previous_end - storage));
}

/* Storage that begins anywhere still gives aligned pieces, and never one past its end. */
static void test_unaligned_storage(void **state _unused_)
{
    _Alignas(max_align_t) unsigned char storage[128 + 16];

    for (size_t shift = 0; shift < 16; shift++) {
        struct arena a;
        unsigned char *piece;

        arena_init(&a, storage + shift, 128);
        while ((piece = arena_take(&a, 24))) {
            assert_int_equal((uintptr_t)piece % _Alignof(max_align_t), 0);
            assert_true(piece + 24 <= storage + shift + 128);
        }
    }
}

static void test_full(void **state _unused_)
{
    _Alignas(max_align_t) unsigned char storage[64];
    struct arena a;

    arena_init(&a, storage, sizeof(storage));
    assert_null(arena_take(&a, 65));
    assert_null(arena_take(&a, SIZE_MAX));
    assert_null(arena_take(&a, SIZE_MAX - 15));
    assert_int_equal(a.used, 0);
    assert_non_null(arena_take(&a, 1));
    for (size_t less = 0; less < 32; less++)
        assert_null(arena_take(&a, SIZE_MAX - less)); /* with its padding it would wrap */
    assert_null(arena_take(&a, 49));                  /* 48 are left behind the padding */
    assert_non_null(arena_take(&a, 48));
    assert_non_null(arena_take(&a, 0));
    assert_null(arena_take(&a, 1));

    arena_init(&a, NULL, 0);
    assert_null(arena_take(&a, 0));
}

static void test_reset_keeps_the_peak(void **state _unused_)
{
    _Alignas(max_align_t) unsigned char storage[64];
    struct arena a;
    unsigned char *first, *again;

    arena_init(&a, storage, sizeof(storage));
    first = arena_take(&a, 40);
    memset(first, 0xee, 40);
    arena_reset(&a);
    assert_int_equal(a.used, 0);
    again = arena_take(&a, 8);
    assert_ptr_equal(first, again);
    assert_int_equal(again[0], 0);
    assert_int_equal(a.peak, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_unaligned_storage),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_reset_keeps_the_peak),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
