/* The journal as a file: what is in it after each step, and after steps that failed half-way. */
#include "tree.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct lease lease_of(uint64_t id, const char *knob, uint64_t was, uint64_t ours, const char *path)
{
    struct lease l = {.used = true, .cgroup_id = id, .was = was, .ours = ours, .ours_before = ours};

    (void)snprintf(l.knob, sizeof(l.knob), "%s", knob);
    (void)snprintf(l.path, sizeof(l.path), "%s", path);
    return l;
}

static void read_back(const struct tree *t, struct lease_table *ret)
{
    assert_int_equal(journal_load(t->f->fd, t->runtime_fd, ret), 0);
}

static off_t file_size(const struct tree *t)
{
    struct stat st;

    assert_int_equal(fstatat(t->runtime_fd, "journal", &st, 0), 0);
    return st.st_size;
}

static void test_none(void **state)
{
    const struct fixture *f = *state;
    static struct lease_table table;
    struct journal j;
    _cleanup_close_ int runtime_fd = -1;

    fixture_mkdir(f, "run");
    runtime_fd = openat(f->fd, "run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(journal_load(f->fd, runtime_fd, &table), -ENOENT);
    assert_int_equal(journal_open_existing(&j, JOURNAL_NAME, f->fd, runtime_fd, &table), -ENOENT);
}

static void test_lines(void **state)
{
    struct lease l = lease_of(7, "memory.high", UINT64_MAX, 870318080, "workload.slice");
    struct tree t;
    char buf[1024];

    tree_init(&t, *state);
    assert_int_equal(journal_append_lease(&t.journal, &l), 0);
    assert_int_equal(journal_append_release(&t.journal, &l), 0);
    (void)fixture_read(t.runtime_fd, "journal", buf, sizeof(buf));
    assert_string_equal(buf, "headroom-journal 1 11111111-2222-3333-4444-555555555555\n"
                             "lease id=7 knob=memory.high was=max ours=870318080 path=workload.slice\n"
                             "release id=7 knob=memory.high path=workload.slice\n");
    tree_deinit(&t);
}

static void test_goes_on_after_a_crash(void **state)
{
    struct lease l = lease_of(7, "memory.high", 100, 50, "a"), m = lease_of(8, "memory.low", 0, 60, "b");
    static struct lease_table table;
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(journal_append_lease(&t.journal, &l), 0);
    tree_restart(&t);
    assert_int_equal(tree_leases(&t), 1);
    assert_int_equal(journal_append_lease(&t.journal, &m), 0);
    read_back(&t, &table);
    assert_non_null(lease_find(&table, 7, "memory.high"));
    assert_non_null(lease_find(&table, 8, "memory.low"));
    tree_deinit(&t);
}

/* The guardian goes on in a file whose last line was torn: its own line must not become the tail of that one.
 */
static void test_goes_on_behind_a_torn_line(void **state)
{
    struct lease l = lease_of(7, "memory.high", 100, 50, "a"), m = lease_of(8, "memory.max", 200, 50, "b");
    static struct lease_table table;
    struct journal guardian;
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(journal_append_lease(&t.journal, &l), 0);
    assert_int_equal(pwrite(t.journal.fd, "lease id=7 knob=memory.high was=100 ours=4", 42, file_size(&t)),
                     42);
    assert_int_equal(journal_open_existing(&guardian, JOURNAL_NAME, t.f->fd, t.runtime_fd, &table), 0);
    assert_true(lease_find(&table, 7, "memory.high")->ours == 50);
    assert_int_equal(journal_append_lease(&guardian, &m), 0);
    read_back(&t, &table);
    assert_true(lease_find(&table, 7, "memory.high")->ours == 50);
    assert_non_null(lease_find(&table, 8, "memory.max"));
    journal_close(&guardian);
    tree_deinit(&t);
}

/* Both write into the same file in turn, as a daemon that was stopped and its guardian do. */
static void test_two_writers(void **state)
{
    struct lease l = lease_of(7, "memory.high", 100, 50, "a"), m = lease_of(8, "memory.max", 200, 50, "b");
    static struct lease_table table;
    struct journal guardian;
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(journal_append_lease(&t.journal, &l), 0);
    assert_int_equal(journal_open_existing(&guardian, JOURNAL_NAME, t.f->fd, t.runtime_fd, &table), 0);
    assert_int_equal(journal_append_lease(&guardian, &m), 0);
    l.ours = 40;
    assert_int_equal(journal_append_lease(&t.journal, &l), 0);
    assert_int_equal(journal_append_release(&guardian, &m), 0);
    read_back(&t, &table);
    assert_true(lease_find(&table, 7, "memory.high")->ours == 40);
    assert_true(lease_find(&table, 7, "memory.high")->ours_before == 50);
    assert_null(lease_find(&table, 8, "memory.max"));
    journal_close(&guardian);
    tree_deinit(&t);
}

static void test_rewrite_keeps_both_own_values(void **state)
{
    static struct lease_table table;
    struct tree t;

    tree_init(&t, *state);
    t.table.leases[0] = lease_of(7, "memory.high", UINT64_MAX, 50, "a");
    t.table.leases[0].ours_before = 60;
    t.table.leases[9] = lease_of(8, "memory.low", 0, 70, "b");
    t.table.top = 10;
    assert_int_equal(journal_rewrite(&t.journal, &t.table), 0);
    read_back(&t, &table);
    assert_true(lease_find(&table, 7, "memory.high")->was == UINT64_MAX);
    assert_true(lease_find(&table, 7, "memory.high")->ours == 50);
    assert_true(lease_find(&table, 7, "memory.high")->ours_before == 60);
    assert_true(lease_find(&table, 8, "memory.low")->ours_before == 70);
    assert_int_equal(faccessat(t.runtime_fd, "journal.new", F_OK, 0), -1);
    /* What is appended next goes into the new file. */
    t.table.leases[0].ours = 40;
    assert_int_equal(journal_append_lease(&t.journal, &t.table.leases[0]), 0);
    read_back(&t, &table);
    assert_true(lease_find(&table, 7, "memory.high")->ours == 40);
    tree_deinit(&t);
}

/* The longest names and numbers, in every slot, with two own values each. */
static void test_rewrite_of_the_largest_table(void **state)
{
    char path[JOURNAL_PATH_MAX], knob[JOURNAL_KNOB_MAX];
    static struct lease_table table;
    struct tree t;

    tree_init(&t, *state);
    memset(path, 'p', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    memset(knob, 'k', sizeof(knob));
    knob[sizeof(knob) - 1] = '\0';
    for (unsigned i = 0; i < JOURNAL_LEASES_MAX; i++) {
        t.table.leases[i] = lease_of(UINT64_MAX - i, knob, UINT64_MAX - 1, UINT64_MAX - 2, path);
        t.table.leases[i].ours_before = UINT64_MAX - 3;
        t.table.top = i + 1;
    }
    assert_int_equal(journal_rewrite(&t.journal, &t.table), 0);
    read_back(&t, &table);
    for (unsigned i = 0; i < JOURNAL_LEASES_MAX; i++)
        assert_true(lease_find(&table, UINT64_MAX - i, knob)->ours_before == UINT64_MAX - 3);
    tree_restart(&t);
    assert_int_equal(tree_leases(&t), JOURNAL_LEASES_MAX);
    assert_false(journal_is_long(&t.journal)); /* large for good, and not worth writing anew each time */
    for (unsigned i = 0; i < JOURNAL_LEASES_MAX; i++)
        assert_int_equal(journal_append_release(&t.journal, &t.table.leases[i]), 0);
    assert_true(journal_is_long(&t.journal));
    tree_deinit(&t);
}

/* Leases keep their order, in whichever places of the table they are. */
static void test_rewrite_keeps_the_order(void **state)
{
    static struct lease_table table;
    struct lease *l = NULL;
    struct tree t;

    tree_init(&t, *state);
    for (unsigned i = 0; i < 100; i++) {
        struct lease *added = lease_add(&t.table);
        uint64_t sequence = added->sequence;

        *added = lease_of(1000 - i, "memory.high", 1, 2, "a");
        added->sequence = sequence;
        if (i % 3 == 2) /* its place is taken by the next one */
            t.table.leases[i / 2].used = false;
    }
    assert_int_equal(journal_rewrite(&t.journal, &t.table), 0);
    read_back(&t, &table);
    for (const struct lease *m = NULL; (m = lease_next(&t.table, m));) {
        l = lease_next(&table, l);
        assert_true(l && l->cgroup_id == m->cgroup_id);
        assert_true(!lease_next(&t.table, m) || lease_next(&t.table, m)->cgroup_id < m->cgroup_id);
    }
    assert_null(lease_next(&table, l));
    tree_deinit(&t);
}

/* A line that no buffer holds, and one that ends where a piece that is read at once does. */
static void test_reads_by_pieces(void **state)
{
    struct lease l = lease_of(7, "memory.high", 100, 50, "a");
    static struct lease_table table;
    static char line[10000];

    for (size_t length = 3900; length < sizeof(line); length += length < 4200 ? 1 : 1913) {
        struct tree t;

        tree_init(&t, *state);
        memset(line, 'x', length);
        line[length] = '\n';
        assert_int_equal(pwrite(t.journal.fd, line, length + 1, file_size(&t)), (ssize_t)length + 1);
        assert_int_equal(journal_append_lease(&t.journal, &l), 0);
        assert_int_equal(pwrite(t.journal.fd, line, length, file_size(&t)), (ssize_t)length);
        read_back(&t, &table);
        assert_true(lease_find(&table, 7, "memory.high")->ours == 50);
        tree_restart(&t);
        assert_int_equal(tree_leases(&t), 1);
        assert_int_equal(unlinkat(t.runtime_fd, "journal", 0), 0);
        tree_deinit(&t);
    }
}

/* What is larger than any that we write is not believed. */
static void test_too_large(void **state)
{
    static struct lease_table table;
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(ftruncate(t.journal.fd, 1 << 20), 0);
    assert_int_equal(journal_load(t.f->fd, t.runtime_fd, &table), -EFBIG);
    tree_deinit(&t);
}

/* It never grows beyond what can be read back. */
static void test_grows_to_its_end(void **state)
{
    struct lease l = lease_of(7, "memory.high", UINT64_MAX, 1, "a");
    static struct lease_table table;
    struct tree t;
    int r = 0;

    tree_init(&t, *state);
    for (unsigned i = 1; i < 20000 && r == 0; i++) {
        l.ours = i;
        r = journal_append_lease(&t.journal, &l);
    }
    assert_int_equal(r, -EFBIG);
    assert_true(journal_is_long(&t.journal));
    assert_true(file_size(&t) <= 524288);
    read_back(&t, &table);
    assert_true(lease_find(&table, 7, "memory.high")->ours == l.ours - 1);
    tree_restart(&t);
    assert_false(journal_is_long(&t.journal));
    assert_int_equal(tree_leases(&t), 1);
    tree_deinit(&t);
}

/* A full file system takes a part of the line: that is taken back, and what was there stays good. */
static void test_full_disk(void **state)
{
    struct lease l = lease_of(7, "memory.high", 100, 50, "a"), m = lease_of(8, "memory.low", 0, 60, "b");
    struct rlimit before, limit;
    static struct lease_table table;
    struct tree t;
    off_t size;
    int r, s;

    tree_init(&t, *state);
    assert_int_equal(journal_append_lease(&t.journal, &l), 0);
    size = file_size(&t);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (off_t more = 0; more < 50; more += 7) {
        limit = (struct rlimit){.rlim_cur = (rlim_t)(size + more), .rlim_max = before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        r = journal_append_lease(&t.journal, &m);
        s = journal_append_release(&t.journal, &l);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_true(r < 0);
        if (s == 0) /* the shorter line did fit */
            break;
        assert_int_equal(file_size(&t), size);
        read_back(&t, &table);
        assert_null(lease_find(&table, 8, "memory.low"));
        assert_non_null(lease_find(&table, 7, "memory.high"));
    }
    assert_int_equal(journal_append_lease(&t.journal, &m), 0);
    read_back(&t, &table);
    assert_non_null(lease_find(&table, 8, "memory.low"));
    tree_deinit(&t);
}

/* Nor does a rewrite that does not get through harm what is there. */
static void test_full_disk_rewrite(void **state)
{
    struct rlimit before, limit;
    static struct lease_table table;
    struct tree t;
    int r;

    tree_init(&t, *state);
    t.table.leases[0] = lease_of(7, "memory.high", 100, 50, "a");
    t.table.top = 1;
    assert_int_equal(journal_append_lease(&t.journal, &t.table.leases[0]), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 70, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    r = journal_rewrite(&t.journal, &t.table);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(r < 0);
    assert_int_equal(faccessat(t.runtime_fd, "journal.new", F_OK, 0), -1);
    read_back(&t, &table);
    assert_non_null(lease_find(&table, 7, "memory.high"));
    assert_int_equal(journal_append_release(&t.journal, &t.table.leases[0]), 0);
    tree_deinit(&t);
}

static void test_not_open(void **state _unused_)
{
    struct lease l = lease_of(7, "memory.high", 100, 50, "a");
    struct journal j = {.fd = -1};

    assert_int_equal(journal_append_lease(&j, &l), -EBADF);
    assert_int_equal(journal_append_release(&j, &l), -EBADF);
    journal_close(&j);
}

/* A symbolic link in the place of the journal is not followed when it is written. */
static void test_link(void **state)
{
    const struct fixture *f = *state;
    static struct lease_table table;
    struct tree t;
    struct journal j;

    tree_init(&t, f);
    fixture_write(f, "elsewhere", "headroom-journal 1 x\n");
    assert_int_equal(unlinkat(t.runtime_fd, "journal", 0), 0);
    assert_int_equal(symlinkat("../../elsewhere", t.runtime_fd, "journal"), 0);
    assert_int_equal(journal_open_existing(&j, JOURNAL_NAME, f->fd, t.runtime_fd, &table), -ELOOP);
    assert_int_equal(symlinkat("../../elsewhere", t.runtime_fd, "journal.new"), 0);
    assert_int_equal(journal_open(&j, f->fd, t.runtime_fd, &table), -ELOOP);
    tree_assert(&t, "elsewhere", "headroom-journal 1 x");
    tree_deinit(&t);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_none),
        TEST(test_lines),
        TEST(test_goes_on_after_a_crash),
        TEST(test_goes_on_behind_a_torn_line),
        TEST(test_two_writers),
        TEST(test_rewrite_keeps_both_own_values),
        TEST(test_rewrite_of_the_largest_table),
        TEST(test_rewrite_keeps_the_order),
        TEST(test_reads_by_pieces),
        TEST(test_too_large),
        TEST(test_grows_to_its_end),
        TEST(test_full_disk),
        TEST(test_full_disk_rewrite),
        TEST(test_link),
        cmocka_unit_test(test_not_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
