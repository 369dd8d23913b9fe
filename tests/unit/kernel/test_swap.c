#include "fixture.h"

#include "base/units.h"
#include "kernel/swap.h"

static int parse_swaps(const char *buf, size_t length, void *ret)
{
    return swap_parse_swaps(buf, length, ret);
}

static int parse_mm_stat(const char *buf, size_t length, void *ret)
{
    return swap_parse_mm_stat(buf, length, ret);
}

#define HEADER "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

static void test_swaps(void **state _unused_)
{
    static const struct {
        const char *in;
        int r;
        struct swap_areas kib; /* the first four, in KiB */
    } table[] = {
        {HEADER, 0, {0}},
        {"", 0, {0}},
        {HEADER "/dev/zram0                              partition\t524284\t\t12\t\t-2\n",
         0,
         {0, 0, 524284, 12}},
        {HEADER "/dev/sda2 partition 100 7 -2\n", 0, {100, 7, 0, 0}},
        {HEADER "/swapfile file 100 7 -2", 0, {100, 7, 0, 0}},
        {HEADER
         "/dev/zram0 partition 10 1 100\n/dev/zram12 partition 20 2 100\n/dev/vda5 partition 300 3 -2\n",
         0,
         {300, 3, 30, 3}},
        {HEADER "/mnt/my\\040swap\\011file file 100 7 -2\n", 0, {100, 7, 0, 0}},
        {HEADER "/mnt/zram0 file 100 7 -2\n", 0, {100, 7, 0, 0}}, /* a file of that name */
        {HEADER "/dev/block/zram0 partition 100 7 -2\n", 0, {0, 0, 100, 7}},
        {HEADER "zram3 partition 100 7 -2\n", 0, {0, 0, 100, 7}},
        {HEADER "/dev/zram partition 1 0 -2\n/dev/zramx partition 1 0 -2\n/dev/xzram0 partition 1 0 -2\n"
                "/dev/zram0p1 partition 1 0 -2\n/zram0/x partition 1 0 -2\n",
         0,
         {5, 0, 0, 0}},
        {HEADER "/swapfile\\040(deleted) file 100 7 -2\n", 0, {100, 7, 0, 0}},
        {HEADER "/dev/sda2 partition 100 7 -2 new 5\n", 0, {100, 7, 0, 0}},
        {HEADER "/dev/sda2 partition 100\n", -EBADMSG, {0}},
        {HEADER "/dev/sda2\n", -EBADMSG, {0}},
        {HEADER "/dev/sda2 partition -1 0 -2\n", -EBADMSG, {0}},
        {HEADER "/dev/sda2 partition 100 x -2\n", -EBADMSG, {0}},
        {HEADER "/dev/sda2 partition 18014398509481984 0 -2\n", -EBADMSG, {0}}, /* 2^64 bytes */
        {HEADER "/dev/sda2 partition 18446744073709551616 0 -2\n", -EBADMSG, {0}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct swap_areas a;
        int r = swap_parse_swaps(table[i].in, strlen(table[i].in), &a);

        if (r != table[i].r)
            fail_msg("case %zu: %d", i, r);
        if (r < 0)
            continue;
        assert_int_equal(a.disk_size, table[i].kib.disk_size * KIB);
        assert_int_equal(a.disk_used, table[i].kib.disk_used * KIB);
        assert_int_equal(a.zram_size, table[i].kib.zram_size * KIB);
        assert_int_equal(a.zram_used, table[i].kib.zram_used * KIB);
        assert_int_equal(a.zram_pool + a.zram_stored, 0);
    }
}

static void test_mm_stat(void **state _unused_)
{
    static const struct {
        const char *in;
        int r;
        uint64_t stored, pool;
    } table[] = {
        {"268435456 41632606 41717760        0 41779200    55364        0    10163    10163\n", 0, 268435456,
         41717760},
        {"       0        0        0        0        0        0        0\n", 0, 0, 0},
        {"1 2 3", 0, 1, 3},
        {"1 2 3 new\n", 0, 1, 3},
        {"1 2\n", -EBADMSG, 0, 0},
        {"1 2 -3 4\n", -EBADMSG, 0, 0},
        {"1 x 3 4\n", -EBADMSG, 0, 0},
        {"18446744073709551616 2 3\n", -EBADMSG, 0, 0},
        {"\n", -EBADMSG, 0, 0},
        {"", -EBADMSG, 0, 0},
    };
    struct swap_areas a;

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        a = (struct swap_areas){.disk_size = 9, .zram_stored = 1000, .zram_pool = 100};
        assert_int_equal(swap_parse_mm_stat(table[i].in, strlen(table[i].in), &a), table[i].r);
        assert_int_equal(a.zram_stored, 1000 + table[i].stored); /* added, since there may be several */
        assert_int_equal(a.zram_pool, 100 + table[i].pool);
        assert_int_equal(a.disk_size, 9);
    }
    a = (struct swap_areas){.zram_stored = UINT64_MAX, .zram_pool = 1};
    assert_int_equal(swap_parse_mm_stat("5 5 18446744073709551615", 24, &a), 0);
    assert_true(a.zram_stored == UINT64_MAX && a.zram_pool == UINT64_MAX);
}

static void test_hostile(void **state _unused_)
{
    hostile_all(parse_swaps, HEADER "/dev/zram0 partition 524284 12 -2\n/a\\040b file 9 8 -3\n", -EBADMSG);
    hostile_all(parse_mm_stat, "    4096       63    20480        0    20480\n", -EBADMSG);
}

static void test_recorded(void **state _unused_)
{
    static const char *const trees[] = RECORDED_TREES;

    for (size_t i = 0; i < ARRAY_SIZE(trees); i++) {
        _cleanup_close_ int root = recorded_open(trees[i], "");
        struct swap_areas a;

        assert_int_equal(swap_read(root, &a), 0);
        assert_int_equal(a.disk_size, 0);
        assert_int_equal(a.zram_size, 262140 * KIB);
        assert_true(a.zram_used > 200 * MIB && a.zram_used <= a.zram_size);
        assert_true(a.zram_pool > 30 * MIB && a.zram_pool < 50 * MIB);
        assert_true(a.zram_stored >= 30 * MIB);
        assert_true(swap_effective_bytes(&a, GIB) < 2 * MIB); /* it was full */
    }
}

static void test_files(void **state)
{
    const struct fixture *f = *state;
    struct swap_areas a = {.disk_size = 77};

    assert_int_equal(swap_read(f->fd, &a), 0); /* CONFIG_SWAP=n, no /sys */
    assert_int_equal(a.disk_size, 0);
    fixture_write(f, "proc/swaps", HEADER "/dev/zram1 partition 100 10 5\n/dev/sda2 partition 50 5 -2\n");
    fixture_write(f, "sys/block/zram0/mm_stat", "4096 63 20480 0\n"); /* no swap area, its pool counts */
    fixture_write(f, "sys/block/zram1/mm_stat", "8192 70 12288 0\n");
    fixture_mkdir(f, "sys/block/zram2"); /* before 4.1, or just removed */
    fixture_write(f, "sys/block/zram3/mm_stat", "");
    fixture_write(f, "sys/block/zramx/mm_stat", "no device\n");
    fixture_write(f, "sys/block/sda/mm_stat", "no device\n");
    assert_int_equal(swap_read(f->fd, &a), 0);
    assert_int_equal(a.disk_size, 50 * KIB);
    assert_int_equal(a.zram_size, 100 * KIB);
    assert_int_equal(a.zram_stored, 12288);
    assert_int_equal(a.zram_pool, 32768);

    fixture_write(f, "sys/block/zram1/mm_stat", "8192\n");
    assert_int_equal(swap_read(f->fd, &a), -EBADMSG);
    assert_int_equal(a.zram_pool, 32768);
    fixture_write(f, "proc/swaps", HEADER "/dev/sda2 partition\n");
    assert_int_equal(swap_read(f->fd, &a), -EBADMSG);
}

static void test_effective(void **state _unused_)
{
    static const struct {
        struct swap_areas areas; /* disk size, used; zram size, used, pool, stored, compressed */
        uint64_t resident, effective;
    } table[] = {
        {{0}, 1000, 0},
        {{100, 30, 0, 0, 0, 0, 0}, 0, 70}, /* a disk takes what it is, whatever memory is left */
        {{100, 100, 0, 0, 0, 0, 0}, 1000, 0},
        {{30, 100, 0, 0, 0, 0, 0}, 1000, 0},                             /* read at two moments */
        {{0, 0, 5000, 0, 0, 0, 0}, 1000, 1000},                          /* empty zram: 2 to 1 */
        {{0, 0, 5000, 0, 500, 0, 0}, 1000, 2000},                        /* and what its pool has kept */
        {{0, 0, 300, 0, 0, 0, 0}, 1000, 300},                            /* its size is less */
        {{0, 0, 5000, 1000, 90 * MIB, 360 * MIB, 80 * MIB}, 1000, 3000}, /* an eighth is wasted */
        {{0, 0, 5000, 4600, 90 * MIB, 360 * MIB, 80 * MIB}, 1000, 400},
        {{0, 0, 50000, 0, 90 * MIB, 180 * MIB, 80 * MIB}, 1000, 1000},
        {{0, 0, 50000, 0, 90 * MIB + 100, 180 * MIB, 80 * MIB}, 1000, 1200}, /* most have gone: their holes */
        {{0, 0, 50000, 0, 90 * MIB, 900 * MIB, 80 * MIB}, 1000, 3000}, /* never promised more than 4 to 1 */
        {{0, 0, 50000, 0, 90 * MIB, 90 * MIB, 80 * MIB}, 1000, 0}, /* what does not compress frees nothing */
        {{0, 0, 50000, 0, 900 * MIB, 90 * MIB, 800 * MIB}, 1000, 0},
        {{0, 0, 50000, 0, 0, 15 * MIB, 100 * MIB}, 1000, 1000}, /* nearly empty */
        {{0, 0, 5000, 0, 0, 0, 0}, 0, 0},                       /* nothing to swap out */
        {{40, 10, 5000, 1000, 90 * MIB, 360 * MIB, 80 * MIB}, 1000, 3030},
        {{UINT64_MAX, 0, UINT64_MAX, 0, 1, UINT64_MAX, 1}, UINT64_MAX, UINT64_MAX},
        {{0, 0, UINT64_MAX, 0, UINT64_MAX, UINT64_MAX, UINT64_MAX}, UINT64_MAX, 0},
        {{0, 0, UINT64_MAX, 0, 0, 0, 0}, GIB, GIB},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        assert_true(swap_effective_bytes(&table[i].areas, table[i].resident) == table[i].effective);
}

/* Only what has a device of its own can be told from what else is written. */
static void test_disks(void **state)
{
    const struct fixture *f = *state;
    static const struct {
        const char *swaps;
        bool known;
        unsigned count;
    } table[] = {
        {HEADER, true, 0},
        {HEADER "/dev/vdb partition 100 7 -2\n/dev/zram0 partition 10 1 100\n/dev/dm-1 partition 9 9 -3\n",
         true, 2},
        {HEADER "/dev/vdb partition 100 7 -2\n/swapfile file 100 7 -2\n", false, 1},
        {HEADER "/dev/sda2 partition 100 7 -2\n", false, 0},
        {HEADER "/dev/gone partition 100 7 -2\n", false, 0},
    };
    struct swap_areas a;
    struct swap_disks d;

    assert_int_equal(swap_read_disks(f->fd, &a, &d), 0);
    assert_false(d.known); /* no /sys */
    fixture_write(f, "sys/class/block/vdb/dev", "254:16\n");
    fixture_write(f, "sys/class/block/dm-1/dev", "253:1\n");
    fixture_write(f, "sys/class/block/sda2/dev", "8:2\n");
    fixture_write(f, "sys/class/block/sda2/partition", "2\n");
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        fixture_write(f, "proc/swaps", table[i].swaps);
        assert_int_equal(swap_read_disks(f->fd, &a, &d), 0);
        if (d.known != table[i].known || d.count != table[i].count)
            fail_msg("case %zu: %d, %u", i, d.known, d.count);
        if (i == 1) {
            assert_int_equal(a.disk_size, 109 * KIB);
            assert_int_equal(a.disk_used, 16 * KIB);
            assert_int_equal(a.zram_size, 10 * KIB);
            assert_int_equal(a.zram_used, KIB);
            assert_string_equal(d.names[0], "254:16");
            assert_string_equal(d.names[1], "253:1");
        }
    }
    fixture_write(f, "proc/swaps", HEADER "/dev/vdb\n");
    assert_int_equal(swap_read_disks(f->fd, &a, &d), -EBADMSG);
}

static void test_writes_to_disk(void **state _unused_)
{
    static const struct {
        struct swap_areas a;
        bool writes;
    } table[] = {
        {{0}, false},
        {{.disk_size = GIB}, true},
        {{.zram_size = GIB, .zram_used = GIB}, false},
        {{.disk_size = GIB, .zram_size = GIB}, false},
        {{.disk_size = GIB, .zram_size = GIB, .zram_used = GIB - 65 * MIB}, false},
        {{.disk_size = GIB, .zram_size = GIB, .zram_used = GIB - 63 * MIB}, true}, /* soon */
        {{.disk_size = GIB, .disk_used = 1, .zram_size = GIB}, true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (swap_writes_to_disk(&table[i].a) != table[i].writes)
            fail_msg("case %zu", i);
}

static void test_zswap_pool(void **state)
{
    const struct fixture *f = *state;

    assert_int_equal(swap_zswap_pool_max(f->fd, 1000), 0);
    fixture_write(f, "sys/module/zswap/parameters/enabled", "Y\n");
    assert_int_equal(swap_zswap_pool_max(f->fd, 1000), 0);
    fixture_write(f, "sys/module/zswap/parameters/max_pool_percent", "20\n");
    assert_int_equal(swap_zswap_pool_max(f->fd, 1000), 200);
    fixture_write(f, "sys/module/zswap/parameters/max_pool_percent", "101\n");
    assert_int_equal(swap_zswap_pool_max(f->fd, 1000), 0);
    fixture_write(f, "sys/module/zswap/parameters/max_pool_percent", "20\n");
    fixture_write(f, "sys/module/zswap/parameters/enabled", "N\n");
    assert_int_equal(swap_zswap_pool_max(f->fd, 1000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swaps),
        cmocka_unit_test(test_mm_stat),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_recorded),
        cmocka_unit_test_setup_teardown(test_files, fixture_setup, fixture_teardown),
        cmocka_unit_test(test_effective),
        cmocka_unit_test(test_writes_to_disk),
        cmocka_unit_test_setup_teardown(test_disks, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_zswap_pool, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
