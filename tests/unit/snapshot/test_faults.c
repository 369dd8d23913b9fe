/* What a plain tree cannot do by itself: a cgroup that is removed under a held descriptor, and a kernel that
 * has no descriptor or no memory to give. An unreadable value makes the look fail and never reads as nothing.
 */
#include "tree.h"

#include "kernel/file.h"
#include "kernel/memory_stat.h"

#define WORK "workload.slice"
#define NOW (1000 * USEC_PER_SEC)

int __real_file_pread_u64(int fd, uint64_t *ret);
int __wrap_file_pread_u64(int fd, uint64_t *ret);
int __real_memory_stat_pread(int fd, struct memory_stat *ret);
int __wrap_memory_stat_pread(int fd, struct memory_stat *ret);
int __real_file_open_dir(int dir_fd, const char *path);
int __wrap_file_open_dir(int dir_fd, const char *path);

/* What is refused next, and with what. */
static struct {
    int current, stat, open; /* errors; 0: none */
    int current_fd;          /* only of this one; 0: of all */
    int stat_not_of;         /* of all but this one; 0: of all */
    const char *open_name;
} fault;

int __wrap_file_pread_u64(int fd, uint64_t *ret)
{
    return fault.current && (!fault.current_fd || fd == fault.current_fd) ? fault.current
                                                                          : __real_file_pread_u64(fd, ret);
}

int __wrap_memory_stat_pread(int fd, struct memory_stat *ret)
{
    return fault.stat && (!fault.stat_not_of || fd != fault.stat_not_of) ? fault.stat
                                                                         : __real_memory_stat_pread(fd, ret);
}

int __wrap_file_open_dir(int dir_fd, const char *path)
{
    return fault.open && strcmp(path, fault.open_name) == 0 ? fault.open : __real_file_open_dir(dir_fd, path);
}

static int setup(void **state)
{
    struct tree *t;

    memset(&fault, 0, sizeof(fault));
    if (tree_setup(state) < 0)
        return -1;
    t = *state;
    tree_slice(t, WORK);
    tree_stat(t, WORK, &(struct tree_stat){.anon = GIB});
    tree_workload(t, WORK);
    tree_open(t, true);
    return 0;
}

/* Gone while we held its files: not there for one look, without a trace of its numbers; the next look finds
 * the successor of that name, which has another id. */
static void test_workload_vanishes_under_us(void **state)
{
    static const bool by_stat[] = {false, true};
    struct tree *t = *state;

    for (size_t i = 0; i < ARRAY_SIZE(by_stat); i++) {
        uint64_t before;

        assert_int_equal(tree_look(t, i), 0);
        before = t->s.workloads[0].id;
        assert_true(before != 0);
        assert_int_equal(renameat(t->f->fd, CGROUP_ROOT "/" WORK, t->f->fd,
                                  i ? CGROUP_ROOT "/gone2" : CGROUP_ROOT "/gone1"),
                         0);
        tree_slice(t, WORK);
        tree_stat(t, WORK, &(struct tree_stat){.anon = 2 * GIB});
        *(by_stat[i] ? &fault.stat : &fault.current) = -ENODEV;
        assert_int_equal(tree_look(t, i), 0);
        assert_int_equal(t->s.workloads[0].id, 0);
        assert_int_equal(t->s.workloads[0].used + t->s.workloads[0].current + t->s.workloads[0].anon, 0);
        assert_int_equal(t->s.workloads[0].max, UINT64_MAX);
        assert_string_equal(t->s.workloads[0].path, WORK);
        assert_int_equal(t->reader.workloads[0].dir_fd, -1);

        fault.stat = fault.current = 0;
        assert_int_equal(tree_look(t, i), 0);
        assert_true(t->s.workloads[0].id != 0 && t->s.workloads[0].id != before);
        assert_int_equal(t->s.workloads[0].used, 2 * GIB);
    }
}

/* One of two goes: the other one is still looked at. */
static void test_one_of_two_vanishes(void **state)
{
    struct tree *t = *state;

    tree_slice(t, "second.slice");
    tree_workload(t, "second.slice");
    tree_stat(t, "second.slice", &(struct tree_stat){.anon = 3 * GIB});
    tree_open(t, true);
    fault.current = -ENODEV;
    fault.current_fd = t->reader.workloads[0].fds[WORKLOAD_CURRENT];
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(t->s.workloads[0].id, 0);
    assert_int_equal(t->s.workloads[1].used, 3 * GIB);
}

/* Any other error: the look fails, and what is known stays what the last good look brought. */
static void test_other_errors_fail_the_look(void **state)
{
    static const int errors[] = {-EIO, -ENOMEM, -EBADMSG, -ENODATA, -EFBIG};
    struct tree *t = *state;
    struct snapshot before;

    assert_int_equal(tree_look(t, 7), 0);
    before = t->s;
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        fault.current = errors[i];
        assert_int_equal(tree_look(t, 8), errors[i]);
        fault.current = 0;
        fault.stat = errors[i];
        assert_int_equal(tree_look(t, 8), errors[i]);
        fault.stat = 0;
        assert_memory_equal(&t->s, &before, sizeof(before));
    }
    assert_int_equal(tree_look(t, 9), 0);
    assert_int_equal(t->s.now_usec, 9);
}

/* Files that are cut, empty or say nothing, each in its turn, and good again. */
static void test_garbage_fails_the_look(void **state)
{
    static const struct {
        const char *cgroup, *name, *text;
    } rows[] = {
        {WORK, "memory.stat", ""},
        {WORK, "memory.stat", "anon 1\nfile 2\n"},
        {WORK, "memory.stat", "anon 1\nfile 2\nshmem\n"},
        {WORK, "memory.stat", "anon 1\nfile 2\nshmem 3x\n"},
        {WORK, "memory.stat", "anon 18446744073709551616\nfile 2\nshmem 3\n"},
        {WORK, "memory.current", ""},
        {WORK, "memory.current", "12 34\n"},
        {WORK, "memory.current", "-1\n"},
        {WORK, "memory.high", "lots\n"},
        {WORK, "memory.high", ""},
        {WORK, "memory.max", "1\n2\n"},
        {WORK, "memory.max", "99999999999999999999\n"},
        {WORK, "memory.swap.max", "\n"},
    };
    struct tree *t = *state;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        tree_slice(t, WORK);
        assert_int_equal(tree_look(t, i), 0);
        tree_write(t, rows[i].cgroup, rows[i].name, rows[i].text);
        if (tree_look(t, i) >= 0)
            fail_msg("row %zu: %s of \"%s\" was taken", i, rows[i].name, rows[i].text);
    }
}

static void test_garbage_meminfo_fails_the_look(void **state)
{
    static const char *const texts[] = {"",
                                        "MemTotal: 5 kB\n",
                                        "MemFree: 5 kB\n",
                                        "MemTotal: 5\nMemFree: 5 kB\n",
                                        "MemTotal: x kB\nMemFree: 5 kB\n",
                                        "MemTotal: 5 kB\nMemFree: 5 kB\nMemAvailable: -5 kB\n"};
    struct tree *t = *state;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        fixture_write(t->f, "proc/meminfo", texts[i]);
        assert_true(tree_look(t, 0) < 0);
    }
}

/* Bounds above the workload that cannot be read are no bounds that are not there; and they are asked for
 * again at the next look, not only when the last ones are too old. */
static void test_garbage_above_fails_the_look(void **state)
{
    struct tree *t = *state;

    t->config.workload_count = 0;
    tree_slice(t, "a");
    tree_slice(t, "a/work");
    tree_workload(t, "a/work");
    tree_open(t, true);
    tree_write(t, "a", "memory.max", "?\n");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(tree_look(t, i), -EBADMSG);
    tree_write(t, "a", "memory.max", "max\n");
    tree_write(t, "a", "memory.high", "?\n");
    assert_int_equal(tree_look(t, 3), -EBADMSG);
    tree_write_u64(t, "a", "memory.high", GIB);
    assert_int_equal(tree_look(t, 4), 0);
    assert_int_equal(t->s.workloads[0].foreign_high, GIB);
    fault.open = -EMFILE;
    fault.open_name = "a";
    assert_int_equal(tree_look(t, 5), 0); /* they are known */
    assert_int_equal(tree_look(t, 10 * USEC_PER_SEC), -EMFILE);
    fault.open = -ENOENT; /* an ancestor goes after what is below it */
    assert_int_equal(tree_look(t, 10 * USEC_PER_SEC), 0);
    assert_int_equal(t->s.workloads[0].id, 0);
}

/* No descriptor for a child: nobody knows what is in it, so its parent must not be taken whole. One that has
 * just gone is no such case. */
static void test_child_that_cannot_be_opened(void **state)
{
    struct tree *t = *state;

    tree_cgroup(t, WORK "/s", "101\n", true, MIB);
    tree_leaf(t, WORK "/s/session-1.scope", "102\n", MIB);
    tree_leaf(t, WORK "/a", "103\n", MIB);
    fault.open_name = "session-1.scope";
    fault.open = -EMFILE;
    tree_expect_groups(t, NOW, WORK "/a");
    assert_int_equal(t->s.groups_left_out, 1);
    fault.open = -ENOENT;
    tree_expect_groups(t, NOW, WORK "/a " WORK "/s");
    assert_int_equal(t->s.groups_left_out, 0);
}

/* A group that goes while we walk is not counted as left out; one whose memory cannot be read is. */
static void test_group_that_cannot_be_read(void **state)
{
    struct tree *t = *state;

    tree_leaf(t, WORK "/a", "101\n", MIB);
    tree_expect_groups(t, NOW, WORK "/a");
    fault.stat_not_of = t->reader.workloads[0].fds[WORKLOAD_STAT];
    fault.stat = -ENODEV;
    tree_expect_groups(t, NOW, "");
    assert_int_equal(t->s.groups_left_out, 0);
    fault.stat = -ENOMEM;
    tree_expect_groups(t, NOW, "");
    assert_int_equal(t->s.groups_left_out, 1);
    fault.stat = 0;
    tree_expect_groups(t, NOW, WORK "/a");
}

/* The workload goes between the look and the walk: its directory is dead, and that is no failure. */
static void test_workload_goes_before_the_walk(void **state)
{
    struct tree *t = *state;

    tree_leaf(t, WORK "/a", "101\n", MIB);
    assert_int_equal(tree_look(t, NOW), 0);
    tree_remove(t, WORK);
    assert_int_equal(snapshot_read_groups(&t->reader, &t->s), 0);
    assert_int_equal(t->s.group_count, 0);
    tree_open(t, false); /* host: of the root itself, where nothing is left to be read */
    tree_remove(t, "");
    assert_int_equal(snapshot_read_groups(&t->reader, &t->s), 0);
}

static void test_no_meminfo_at_start(void **state)
{
    struct tree *t = *state;
    char path[PATH_MAX];

    tree_close(t);
    (void)snprintf(path, sizeof(path), "%s/proc/meminfo", t->f->path);
    fixture_remove(path);
    assert_int_equal(snapshot_reader_init(&t->reader, t->f->fd, &t->hierarchy, &t->config, t->handles, 1),
                     -ENOENT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_workload_vanishes_under_us),     TEST(test_one_of_two_vanishes),
        TEST(test_other_errors_fail_the_look),     TEST(test_garbage_fails_the_look),
        TEST(test_garbage_meminfo_fails_the_look), TEST(test_garbage_above_fails_the_look),
        TEST(test_child_that_cannot_be_opened),    TEST(test_group_that_cannot_be_read),
        TEST(test_workload_goes_before_the_walk),  TEST(test_no_meminfo_at_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
