#include "fixture.h"

#include "base/units.h"
#include "kernel/file.h"
#include "kernel/memory_stat.h"

static int parse(const char *buf, size_t length, void *ret)
{
    return memory_stat_parse(buf, length, ret);
}

static int parse_swap(const char *buf, size_t length, void *ret)
{
    return memory_stat_swap_parse(buf, length, ret);
}

static const char good[] =
    "anon 1\nfile 2\nkernel 3\nkernel_stack 90\npagetables 91\nsec_pagetables 0\npercpu 92\nsock 4\n"
    "vmalloc 93\nshmem 5\nzswap 6\nzswapped 94\nfile_mapped 95\nfile_dirty 7\n"
    "file_writeback 8\ninactive_anon 96\nactive_anon 97\ninactive_file 9\nactive_file 10\n"
    "unevictable 11\nslab_reclaimable 12\nslab_unreclaimable 98\nslab 99\n"
    "workingset_refault_anon 13\nworkingset_refault_file 14\nworkingset_activate_anon 89\n";

static void test_values(void **state _unused_)
{
    struct memory_stat s;

    assert_int_equal(memory_stat_parse(good, strlen(good), &s), 0);
    assert_int_equal(s.anon, 1);
    assert_int_equal(s.file, 2);
    assert_int_equal(s.kernel, 3);
    assert_int_equal(s.sock, 4);
    assert_int_equal(s.shmem, 5);
    assert_int_equal(s.zswap, 6);
    assert_int_equal(s.file_dirty, 7);
    assert_int_equal(s.file_writeback, 8);
    assert_int_equal(s.inactive_file, 9);
    assert_int_equal(s.active_file, 10);
    assert_int_equal(s.unevictable, 11);
    assert_int_equal(s.slab_reclaimable, 12);
    assert_int_equal(s.workingset_refault_anon, 13);
    assert_int_equal(s.workingset_refault_file, 14);
}

/* None is told of before 6.13, which is not the same as none. */
static void test_swap_out(void **state _unused_)
{
    static const char more[] =
        "pgscan 5\npgsteal 6\npswpin 7\npswpout 0\npgscan_kswapd 8\nzswpin 9\nzswpout 10\n";
    char all[1024];
    struct memory_stat_swap s;

    assert_int_equal(memory_stat_swap_parse(good, strlen(good), &s), 0);
    assert_int_equal(s.zswapped, 94);
    assert_int_equal(s.workingset_refault_anon, 13);
    assert_false(s.has_out);
    (void)snprintf(all, sizeof(all), "%s%s", good, more);
    assert_int_equal(memory_stat_swap_parse(all, strlen(all), &s), 0);
    assert_true(s.has_out);
    assert_int_equal(s.out, 0);
    assert_int_equal(s.zswap_in, 9);
    assert_int_equal(memory_stat_swap_parse("", 0, &s), 0);
    assert_false(s.has_out);
    assert_int_equal(s.zswapped, 0);
}

#define BASE "anon 10\nfile 20\nshmem 5\n"

static void test_table(void **state _unused_)
{
    static const struct {
        const char *in;
        int r;
        uint64_t anon, kernel, active_file;
    } table[] = {
        {BASE "kernel 7\nslab 3\n", 0, 10, 7, 0},
        {BASE "kernel 0\nslab 3\n", 0, 10, 0, 0}, /* there, and nothing: no sum */
        {BASE "kernel_stack 1\npagetables 2\npercpu 4\nvmalloc 8\nslab 16\n", 0, 10, 31, 0}, /* before 5.18 */
        {BASE "kernel_stack 1\nslab_reclaimable 9\nslab_unreclaimable 9\nslab 18\n", 0, 10, 19, 0},
        {BASE "slab 18446744073709551615\nvmalloc 2\n", 0, 10, UINT64_MAX, 0},
        {BASE "inactive_file 1\nactive_file 88", 0, 10, 0, 88}, /* the wanted key last, without newline */
        {"shmem 5\nbrand_new 7\nfile 20\nfile_new 8\nanon 10\n", 0, 10, 0, 0},
        {BASE "anon 11\nfile x\n", 0, 10, 0, 0}, /* the first of two counts */
        {BASE "anon_thp 11\nfile_thp 12\nshmem_thp 13\nano 1\n", 0, 10, 0, 0},
        {BASE "pgrefill -1\npgactivate\n", 0, 10, 0, 0}, /* nobody wants those */
        {"anon 18446744073709551615\nfile 0\nshmem 0\n", 0, UINT64_MAX, 0, 0},
        {"anon 18446744073709551616\nfile 0\nshmem 0\n", -EBADMSG, 0, 0, 0},
        {"file 20\nshmem 5\n", -EBADMSG, 0, 0, 0},
        {"anon 10\nshmem 5\n", -EBADMSG, 0, 0, 0},
        {"anon 10\nfile 20\n", -EBADMSG, 0, 0, 0},
        {"anon_thp 10\nfile 20\nshmem 5\n", -EBADMSG, 0, 0, 0},
        {"rss 10\ncache 20\nshmem 5\n", -EBADMSG, 0, 0, 0},           /* cgroup v1 */
        {"anon N0=4096\nfile N0=0\nshmem N0=0\n", -EBADMSG, 0, 0, 0}, /* memory.numa_stat */
        {BASE "sock -5\n", -EBADMSG, 0, 0, 0},
        {BASE "sock 5 kB\n", -EBADMSG, 0, 0, 0},
        {BASE "sock\n", -EBADMSG, 0, 0, 0},
        {"anon 1\r\nfile 2\r\nshmem 3\r\n", -EBADMSG, 0, 0, 0},
        {"", -EBADMSG, 0, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct memory_stat s;
        int r = memory_stat_parse(table[i].in, strlen(table[i].in), &s);

        if (r != table[i].r)
            fail_msg("case %zu: %d", i, r);
        if (r < 0)
            continue;
        assert_true(s.anon == table[i].anon);
        assert_true(s.kernel == table[i].kernel);
        assert_true(s.active_file == table[i].active_file);
    }
}

/* A page in the swap cache is in memory and in swap. */
static void test_in_memory_and_in_swap(void **state _unused_)
{
    static const struct {
        const char *what;
        struct memory_stat m;
        uint64_t swap, only_swap;
    } rows[] = {
        {"nothing is in swap", {.anon = 100, .inactive_anon = 60, .active_anon = 40}, 0, 0},
        {"all of that is out", {.anon = 100, .inactive_anon = 100}, 50, 50},
        {"read back and mapped", {.anon = 100, .inactive_anon = 100, .swapcached = 30}, 50, 20},
        {"read ahead, nobody's yet", {.anon = 100, .inactive_anon = 130, .swapcached = 30}, 50, 50},
        {"half of each", {.anon = 100, .inactive_anon = 90, .active_anon = 25, .swapcached = 30}, 50, 35},
        {"shmem is on the same lists",
         {.anon = 100, .shmem = 20, .inactive_anon = 120, .swapcached = 5},
         9,
         4},
        {"more on the lists than swap explains", {.anon = 100, .inactive_anon = 900, .swapcached = 5}, 9, 9},
        {"more cached than is out", {.anon = 100, .inactive_anon = 100, .swapcached = 30}, 10, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (memory_stat_only_swap(&rows[i].m, rows[i].swap) != rows[i].only_swap)
            fail_msg("%s", rows[i].what);
}

static void test_hostile(void **state _unused_)
{
    static const char binary[] = "anon 1\0\nfile 2\nshmem 3\n";

    hostile_all(parse, good, -EBADMSG);
    hostile_all(parse_swap, good, -EBADMSG);
    assert_int_equal(hostile_one(parse, binary, sizeof(binary) - 1, -EBADMSG), -EBADMSG);
}

/* The groups below add up to their parent, and the parts to what is charged, on every kernel. */
static void test_recorded(void **state _unused_)
{
    static const char *const trees[] = RECORDED_TREES;

    for (size_t i = 0; i < ARRAY_SIZE(trees); i++) {
        _cleanup_close_ int root = recorded_open(trees[i], "sys/fs/cgroup");
        _cleanup_close_ int slice = recorded_open(trees[i], "sys/fs/cgroup/workload.slice");
        _cleanup_close_ int task = recorded_open(trees[i], "sys/fs/cgroup/workload.slice/task-1");
        struct memory_stat r, s, t;
        uint64_t current, sum;

        assert_int_equal(memory_stat_read_at(root, &r), 0);
        assert_int_equal(memory_stat_read_at(slice, &s), 0);
        assert_int_equal(memory_stat_read_at(task, &t), 0);
        assert_true(s.anon >= t.anon && r.anon >= s.anon);
        assert_true(s.shmem >= t.shmem && s.shmem <= s.file);
        assert_true(s.kernel > 0 && s.slab_reclaimable < s.kernel);

        assert_int_equal(file_read_u64_at(slice, "memory.current", &current), 0);
        sum = s.anon + s.file + s.kernel + s.sock;
        assert_in_range(sum, current - current / 4,
                        current + current / 4); /* stale per CPU, hence not equal */
    }
}

static void test_files(void **state)
{
    const struct fixture *f = *state;
    struct memory_stat s;

    assert_int_equal(memory_stat_read_at(f->fd, &s), -ENOENT);
    fixture_write(f, "memory.stat", "");
    assert_int_equal(memory_stat_read_at(f->fd, &s), -ENODATA);
    fixture_write(f, "memory.stat", BASE);
    assert_int_equal(memory_stat_read_at(f->fd, &s), 0);
    assert_int_equal(s.file, 20);
}

static void test_too_big(void **state)
{
    const struct fixture *f = *state;
    char big[FILE_BUFFER_SIZE + 1];
    struct memory_stat s;

    memset(big, '\n', sizeof(big));
    (void)memcpy(big, BASE, strlen(BASE));
    fixture_write_bytes(f, "memory.stat", big, FILE_BUFFER_SIZE - 1);
    assert_int_equal(memory_stat_read_at(f->fd, &s), 0);
    fixture_write_bytes(f, "memory.stat", big, FILE_BUFFER_SIZE);
    assert_int_equal(memory_stat_read_at(f->fd, &s), -EFBIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_swap_out),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_in_memory_and_in_swap),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_recorded),
        cmocka_unit_test_setup_teardown(test_files, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_too_big, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
