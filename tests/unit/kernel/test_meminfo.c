#include "fixture.h"

#include "base/units.h"
#include "kernel/meminfo.h"

static int parse(const char *buf, size_t length, void *ret)
{
    return meminfo_parse(buf, length, ret);
}

static const char good[] = "MemTotal:       16384 kB\n"
                           "MemFree:         4096 kB\n"
                           "MemAvailable:    8192 kB\n"
                           "Buffers:            1 kB\n"
                           "Cached:             2 kB\n"
                           "SwapCached:         3 kB\n"
                           "Active:            99 kB\n"
                           "Active(anon):      98 kB\n"
                           "Active(file):       4 kB\n"
                           "Inactive(file):     5 kB\n"
                           "SwapTotal:       2048 kB\n"
                           "SwapFree:        1024 kB\n"
                           "SwapFree:              6 kB\n"
                           "Writeback:          7 kB\n"
                           "Shmem:              8 kB\n"
                           "KReclaimable:       9 kB\n"
                           "SReclaimable:      10 kB\n"
                           "WritebackTmp:      97 kB\n"
                           "HugePages_Total:    3\n"
                           "Hugetlb:         6144 kB\n";

static void test_values(void **state _unused_)
{
    struct meminfo m;

    assert_int_equal(meminfo_parse(good, strlen(good), &m), 0);
    assert_int_equal(m.total, 16384 * KIB);
    assert_int_equal(m.free, 4096 * KIB);
    assert_int_equal(m.available, 8192 * KIB);
    assert_int_equal(m.active_file, 4 * KIB);
    assert_int_equal(m.inactive_file, 5 * KIB);
    assert_int_equal(m.swap_total, 2048 * KIB);
    assert_int_equal(m.swap_free, 1024 * KIB);
    assert_int_equal(m.shmem, 8 * KIB);
    assert_int_equal(m.kreclaimable, 9 * KIB);
    assert_int_equal(m.hugetlb, 6144 * KIB);
}

#define BASE "MemTotal: 100 kB\nMemFree: 50 kB\n"

static void test_table(void **state _unused_)
{
    static const struct {
        const char *in;
        int r;
        uint64_t total, available, swap_total;
    } table[] = {
        {BASE "MemAvailable: 70 kB\nSwapTotal: 8 kB\n", 0, 100, 70, 8},
        {BASE "MemAvailable: 70 kB", 0, 100, 70, 0}, /* no final newline, no swap lines */
        {BASE "MemAvailable: 0 kB\n", 0, 100, 0, 0}, /* there, and nothing: no estimate */
        {BASE, 0, 100, 50, 0},                       /* no MemAvailable */
        {BASE "Active(file): 3 kB\nInactive(file): 4 kB\nCached: 40 kB\n", 0, 100, 57, 0},
        {BASE "Active(file): 3 kB\nSReclaimable: 5 kB\n", 0, 100, 58, 0}, /* before 4.20 */
        {BASE "KReclaimable: 7 kB\nSReclaimable: 5 kB\n", 0, 100, 57, 0},
        {BASE "SReclaimable: 5 kB\nKReclaimable: 0 kB\n", 0, 100, 50, 0},
        {"New: 1 kB\nMemFree: 50 kB\nNew: x\nMemTotal: 100 kB\n", 0, 100, 50, 0},
        {BASE "MemTotal: 7 kB\n", 0, 100, 50, 0}, /* the first of two counts */
        {BASE "MemTotal: nonsense\n", 0, 100, 50, 0},
        {BASE "MemTotalExtra: x\nMemTota: x\nmemtotal: x\n", 0, 100, 50, 0},
        {"", -EBADMSG, 0, 0, 0},
        {"\n\n", -EBADMSG, 0, 0, 0},
        {"MemTotal: 100 kB\n", -EBADMSG, 0, 0, 0},
        {"MemFree: 50 kB\n", -EBADMSG, 0, 0, 0},
        {"MemTotalX: 100 kB\nMemFree: 50 kB\n", -EBADMSG, 0, 0, 0},
        {BASE "SwapFree: -1 kB\n", -EBADMSG, 0, 0, 0},
        {BASE "SwapFree: 1\n", -EBADMSG, 0, 0, 0},
        {BASE "SwapFree: 1 MB\n", -EBADMSG, 0, 0, 0},
        {BASE "SwapFree: 1 kBytes\n", -EBADMSG, 0, 0, 0},
        {BASE "SwapFree:\n", -EBADMSG, 0, 0, 0},
        {BASE "SwapFree: 18014398509481984 kB\n", -EBADMSG, 0, 0, 0}, /* 2^64 bytes */
        {BASE "SwapFree: 18446744073709551616 kB\n", -EBADMSG, 0, 0, 0},
        {BASE "Hugetlb: 1 MB\n", -EBADMSG, 0, 0, 0},
        {BASE "Hugetlb: 4 kB\nHugetlb: x\n", 0, 100, 50, 0}, /* the first of two counts */
        {"MemTotal: 100 kB\r\nMemFree: 50 kB\r\n", -EBADMSG, 0, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct meminfo m;
        int r = meminfo_parse(table[i].in, strlen(table[i].in), &m);

        if (r != table[i].r)
            fail_msg("case %zu: %d", i, r);
        if (r < 0)
            continue;
        assert_int_equal(m.total, table[i].total * KIB);
        assert_int_equal(m.available, table[i].available * KIB);
        assert_int_equal(m.swap_total, table[i].swap_total * KIB);
    }
}

static void test_largest(void **state _unused_)
{
    static const char in[] = "MemTotal: 18014398509481983 kB\nMemFree: 18014398509481983 kB\n"
                             "Active(file): 18014398509481983 kB\n";
    struct meminfo m;

    assert_int_equal(meminfo_parse(in, strlen(in), &m), 0);
    assert_true(m.total == UINT64_MAX - 1023);
    assert_true(m.available == UINT64_MAX); /* capped, not wrapped */
}

static void test_hostile(void **state _unused_)
{
    hostile_all(parse, good, -EBADMSG);
    assert_int_equal(hostile_one(parse, "MemTotal: 1\0 kB\nMemFree: 1 kB\n", 31, -EBADMSG), -EBADMSG);
}

static void test_recorded(void **state _unused_)
{
    static const char *const trees[] = RECORDED_TREES;

    for (size_t i = 0; i < ARRAY_SIZE(trees); i++) {
        _cleanup_close_ int root = recorded_open(trees[i], "");
        _cleanup_close_ int fd = meminfo_open(root);
        struct meminfo m;

        assert_true(fd >= 0);
        assert_int_equal(meminfo_pread(fd, &m), 0);
        assert_in_range(m.total, 400 * MIB, 512 * MIB);
        assert_true(m.available > 0 && m.available < m.total);
        assert_true(m.free < m.total);
        assert_int_equal(m.swap_total, 262140 * KIB); /* 256 MiB of zram, less its header */
        assert_true(m.swap_free < 200 * KIB);         /* used up when it was recorded */
        assert_true(m.shmem > 0);
        assert_int_equal(m.hugetlb, 0);
    }
}

/* This machine's own: total and available are there, whatever it is. */
static void test_live(void **state _unused_)
{
    _cleanup_close_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int fd = meminfo_open(root);
    struct meminfo m;

    if (fd < 0)
        skip();
    for (int i = 0; i < 3; i++) { /* a descriptor held open gives new figures every time */
        assert_int_equal(meminfo_pread(fd, &m), 0);
        assert_true(m.total > 0);
        assert_true(m.available > 0 && m.available <= m.total);
        assert_true(m.swap_free <= m.swap_total);
    }
}

static void test_files(void **state)
{
    const struct fixture *f = *state;
    struct meminfo m;
    int fd;

    assert_int_equal(meminfo_open(f->fd), -ENOENT);
    fixture_write(f, "proc/meminfo", "");
    fd = meminfo_open(f->fd);
    assert_int_equal(meminfo_pread(fd, &m), -ENODATA);
    (void)close(fd);
    assert_int_equal(meminfo_pread(-1, &m), -EBADF);
}

/* A file that does not fit is not parsed in part. */
static void test_too_big(void **state)
{
    const struct fixture *f = *state;
    char *big = calloc(1, 10000);
    struct meminfo m;
    int fd;

    (void)strcpy(big, good);
    memset(big + strlen(good), '\n', 9999 - strlen(good));
    fixture_write(f, "proc/meminfo", big);
    fd = meminfo_open(f->fd);
    assert_int_equal(meminfo_pread(fd, &m), -EFBIG);
    (void)close(fd);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_live),
        cmocka_unit_test_setup_teardown(test_files, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_too_big, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
