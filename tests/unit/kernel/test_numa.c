#include "fixture.h"

#include "base/units.h"
#include "kernel/numa.h"

static int parse_meminfo(const char *buf, size_t length, void *ret)
{
    return numa_meminfo_parse(buf, length, ret);
}

static int parse_stat(const char *buf, size_t length, void *ret)
{
    return numa_stat_parse(buf, length, 1, ret);
}

/* As 6.12 writes it. */
static const char meminfo[] = "Node 1 MemTotal:         524288 kB\n"
                              "Node 1 MemFree:          400000 kB\n"
                              "Node 1 MemUsed:          124288 kB\n"
                              "Node 1 SwapCached:            0 kB\n"
                              "Node 1 Active:             2000 kB\n"
                              "Node 1 Active(anon):       1000 kB\n"
                              "Node 1 Active(file):        700 kB\n"
                              "Node 1 Inactive(file):     8000 kB\n"
                              "Node 1 FilePages:         12000 kB\n"
                              "Node 1 KReclaimable:       3000 kB\n"
                              "Node 1 SReclaimable:       2900 kB\n"
                              "Node 1 HugePages_Total:     0\n";

static void test_meminfo(void **state _unused_)
{
    static const struct {
        const char *in;
        int r;
        uint64_t total, free, active, inactive, kreclaimable;
    } table[] = {
        {meminfo, 0, 524288, 400000, 700, 8000, 3000},
        {"Node 12 MemTotal: 5 kB\nNode 12 MemFree: 4 kB\nNode 12 SReclaimable: 1 kB", 0, 5, 4, 0, 0, 1},
        {"Node 0 MemTotal: 5 kB\n", -EBADMSG, 0, 0, 0, 0, 0},
        {"Node 0 MemFree: 5 kB\n", -EBADMSG, 0, 0, 0, 0, 0},
        {"MemTotal: 5 kB\nMemFree: 5 kB\n", -EBADMSG, 0, 0, 0, 0, 0},
        {"Node x MemTotal: 5 kB\nNode x MemFree: 5 kB\n", -EBADMSG, 0, 0, 0, 0, 0},
        {"Node 0 MemTotal: 5\nNode 0 MemFree: 5 kB\n", -EBADMSG, 0, 0, 0, 0, 0},
        {"Node 0 MemTotal: -5 kB\nNode 0 MemFree: 5 kB\n", -EBADMSG, 0, 0, 0, 0, 0},
        {"Node 0 MemTotal: 18014398509481984 kB\nNode 0 MemFree: 5 kB\n", -EBADMSG, 0, 0, 0, 0, 0},
        {"Node 0 MemTotal: 18446744073709551616 kB\nNode 0 MemFree: 5 kB\n", -EBADMSG, 0, 0, 0, 0, 0},
        {"Node 0 MemTo", -EBADMSG, 0, 0, 0, 0, 0},
        {"", -EBADMSG, 0, 0, 0, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct numa_meminfo m;

        if (numa_meminfo_parse(table[i].in, strlen(table[i].in), &m) != table[i].r)
            fail_msg("case %zu", i);
        if (table[i].r < 0)
            continue;
        assert_true(m.total == table[i].total * KIB);
        assert_true(m.free == table[i].free * KIB);
        assert_true(m.active_file == table[i].active * KIB);
        assert_true(m.inactive_file == table[i].inactive * KIB);
        assert_true(m.kreclaimable == table[i].kreclaimable * KIB);
    }
}

static const char held[] = "anon N0=1000 N1=2000 N2=4000\n"
                           "file N0=9 N1=9 N2=9\n"
                           "kernel_stack N0=1 N1=2 N2=4\n"
                           "pagetables N0=10 N1=20 N2=40\n"
                           "shmem N0=100 N1=200 N2=400\n"
                           "slab_reclaimable N0=7 N1=7 N2=7\n"
                           "slab_unreclaimable N0=10000 N1=20000 N2=40000\n"
                           "workingset_refault_anon N0=0 N1=0 N2=0\n";

static void test_stat(void **state _unused_)
{
    static const struct {
        const char *in;
        uint64_t nodes;
        int r;
        uint64_t anon, shmem, kernel;
    } table[] = {
        {held, 1, 0, 1000, 100, 10011},
        {held, 2, 0, 2000, 200, 20022},
        {held, 5, 0, 5000, 500, 50055},
        {held, 8, 0, 0, 0, 0},
        {held, 0, 0, 0, 0, 0},
        {"anon N0=1\nshmem N0=2", 1, 0, 1, 2, 0},
        {"anon\nshmem\n", 1, 0, 0, 0, 0},
        {"anon N0=1\nanon N0=5\nshmem N0=2\n", 1, 0, 1, 2, 0},
        {"anon N1000=5 N0=1\nshmem N0=2\n", UINT64_MAX, 0, 1, 2, 0},
        {"anon N0=18446744073709551615 N1=5\nshmem N0=2\n", 3, 0, UINT64_MAX, 2, 0},
        {"anon N0=1\nfile N0=x\nshmem N0=2\n", 1, 0, 1, 2, 0},
        {"anon N0=1\n", 1, -EBADMSG, 0, 0, 0},
        {"shmem N0=1\n", 1, -EBADMSG, 0, 0, 0},
        {"anon N0=1\nshmem N0=\n", 1, -EBADMSG, 0, 0, 0},
        {"anon N0=1\nshmem 0=1\n", 1, -EBADMSG, 0, 0, 0},
        {"anon N=1\nshmem N0=1\n", 1, -EBADMSG, 0, 0, 0},
        {"anon N0=-1\nshmem N0=1\n", 1, -EBADMSG, 0, 0, 0},
        {"anon N0=18446744073709551616\nshmem N0=1\n", 1, -EBADMSG, 0, 0, 0},
        {"", 1, -EBADMSG, 0, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct numa_stat n;

        if (numa_stat_parse(table[i].in, strlen(table[i].in), table[i].nodes, &n) != table[i].r)
            fail_msg("case %zu", i);
        if (table[i].r == 0 &&
            (n.anon != table[i].anon || n.shmem != table[i].shmem || n.kernel != table[i].kernel))
            fail_msg("values of case %zu", i);
    }
}

static void test_hostile(void **state _unused_)
{
    hostile_all(parse_meminfo, meminfo, -EBADMSG);
    hostile_all(parse_stat, held, -EBADMSG);
}

static void test_files(void **state)
{
    const struct fixture *f = *state;
    struct numa_meminfo m;
    struct numa_stat n;
    uint64_t nodes;
    int fd, group;

    assert_int_equal(numa_read_nodes(f->fd, &nodes), -ENOENT);
    assert_int_equal(numa_meminfo_open(f->fd, 1), -ENOENT);
    fixture_write(f, "sys/devices/system/node/has_memory", "0-1\n");
    fixture_write(f, "sys/devices/system/node/node1/meminfo", meminfo);
    assert_int_equal(numa_read_nodes(f->fd, &nodes), 0);
    assert_true(nodes == 3);
    fd = numa_meminfo_open(f->fd, 1);
    assert_true(fd >= 0);
    assert_int_equal(numa_meminfo_pread(fd, &m), 0);
    assert_true(m.total == 512 * MIB);
    (void)close(fd);

    fixture_mkdir(f, "top/slice/group");
    group = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(group >= 0);
    (void)close(group);
    group = openat(f->fd, "top/slice/group", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(group >= 0);
    assert_int_equal(numa_read_mems(group, 2, &nodes), -ENOENT);
    fixture_write(f, "top/cpuset.mems.effective", "0-1\n");
    assert_int_equal(numa_read_mems(group, 1, &nodes), -ENOENT);
    assert_int_equal(numa_read_mems(group, 2, &nodes), 0);
    assert_true(nodes == 3);
    fixture_write(f, "top/slice/group/cpuset.mems.effective", "1\n");
    assert_int_equal(numa_read_mems(group, 2, &nodes), 0);
    assert_true(nodes == 2);
    assert_int_equal(numa_stat_read_at(group, 1, &n), -ENOENT);
    fixture_write(f, "top/slice/group/memory.numa_stat", held);
    assert_int_equal(numa_stat_read_at(group, 1, &n), 0);
    assert_true(n.anon == 1000 && n.shmem == 100 && n.kernel == 10011);
    (void)close(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meminfo),
        cmocka_unit_test(test_stat),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test_setup_teardown(test_files, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
