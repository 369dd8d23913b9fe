/* The groups of `headroom run`. In a tree of files a new directory holds none of the kernel's, so what can be
 * seen here is that nothing half made stays, whose a group is, and what is removed. */
#include "tree.h"

#include <sys/xattr.h>

#include "action/history.h"
#include "action/run.h"

static const struct run_attributes all = {
    .has_request = true,
    .has_priority = true,
    .retriable = true,
    .request_bytes = 104857600,
    .priority = 200,
    .task = "train",
};

static int group(struct tree *t, const struct fixture *f, const char *name)
{
    char path[PATH_MAX];
    int fd;

    tree_init(t, f);
    (void)snprintf(path, sizeof(path), SLICE "/%s", name);
    fixture_mkdir(f, path);
    fd = openat(f->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    if (fsetxattr(fd, HISTORY_MARK, "1", 1, 0) < 0)
        skip(); /* a file system without attributes */
    (void)fremovexattr(fd, HISTORY_MARK);
    return fd;
}

static bool is_there(const struct fixture *f, const char *path)
{
    return faccessat(f->fd, path, F_OK, 0) == 0;
}

static const char *attribute(int fd, const char *name)
{
    static char value[64];

    return cgroup_read_xattr(fd, name, value, sizeof(value)) < 0 ? "" : value;
}

static void test_attributes(void **state)
{
    const struct fixture *f = *state;
    struct tree t;
    _cleanup_close_ int fd = group(&t, f, "run-1"), other = -1;

    assert_int_equal(run_write_attributes(fd, &all, 1000), 0);
    assert_string_equal(attribute(fd, "user.headroom.request"), "104857600");
    assert_string_equal(attribute(fd, "user.headroom.priority"), "200");
    assert_string_equal(attribute(fd, "user.headroom.retriable"), "yes");
    assert_string_equal(attribute(fd, "user.headroom.task"), "train");
    assert_string_equal(attribute(fd, "user.headroom.owner"), "1000");
    tree_deinit(&t);
    other = group(&t, f, "run-2");
    assert_int_equal(run_write_attributes(other, &(struct run_attributes){0}, 0), 0);
    assert_string_equal(attribute(other, HISTORY_MARK), "1");
    assert_string_equal(attribute(other, "user.headroom.request"), "");
    assert_string_equal(attribute(other, "user.headroom.priority"), "");
    assert_string_equal(attribute(other, "user.headroom.retriable"), "");
    assert_string_equal(attribute(other, "user.headroom.owner"), "");
    tree_deinit(&t);
}

/* Only what root has marked is one of ours, and only there its owner is believed. */
static void test_owner(void **state)
{
    const struct fixture *f = *state;
    struct tree t;
    _cleanup_close_ int fd = group(&t, f, "run-1");
    uid_t uid = 7;

    assert_int_equal(run_read_owner(fd, &uid), -ENOENT);
    assert_int_equal(run_write_attributes(fd, &all, 1000), 0);
    if (geteuid() != 0) {
        assert_int_equal(run_read_owner(fd, &uid), -ENOENT);
    } else {
        assert_int_equal(run_read_owner(fd, &uid), 0);
        assert_int_equal(uid, 1000);
        assert_int_equal(fsetxattr(fd, "user.headroom.owner", "-1", 2, 0), 0);
        assert_int_equal(run_read_owner(fd, &uid), -ENOENT);
        assert_int_equal(fchown(fd, 1000, 1000), 0);
        assert_int_equal(fsetxattr(fd, "user.headroom.owner", "0", 1, 0), 0);
        assert_int_equal(run_read_owner(fd, &uid), -ENOENT);
    }
    tree_deinit(&t);
}

static void test_nothing_half_made(void **state)
{
    const struct fixture *f = *state;
    struct run_order o = {.path = "workload.slice/run-1", .pid = 1, .attributes = all};
    struct tree t;
    uint64_t id;

    tree_init(&t, f);
    assert_int_equal(run_make(f->fd, &t.hierarchy, &o, &id), -EOPNOTSUPP); /* no memory.current in it */
    assert_false(is_there(f, SLICE "/run-1"));
    (void)strcpy(o.path, "no.slice/run-1");
    assert_int_equal(run_make(f->fd, &t.hierarchy, &o, &id), -ENOENT);
    fixture_mkdir(f, SLICE "/run-2");
    (void)strcpy(o.path, "workload.slice/run-2");
    assert_int_equal(run_make(f->fd, &t.hierarchy, &o, &id), -EEXIST);
    assert_true(is_there(f, SLICE "/run-2")); /* another one's */
    tree_deinit(&t);
}

static void test_removed(void **state)
{
    const struct fixture *f = *state;
    struct tree t;
    _cleanup_close_ int fd = group(&t, f, "run-1");
    uint64_t id;

    if (geteuid() != 0)
        skip();
    assert_int_equal(cgroup_read_id(fd, &id), 0);
    assert_int_equal(run_remove(&t.hierarchy, "workload.slice/run-1", id), -ENOENT); /* not marked */
    assert_int_equal(run_write_attributes(fd, &all, 0), 0);
    assert_int_equal(run_remove(&t.hierarchy, "workload.slice/run-1", id + 1), -ENOENT);
    assert_int_equal(run_remove(&t.hierarchy, "workload.slice/../workload.slice/run-1", id), -ENOENT);
    assert_int_equal(run_remove(&t.hierarchy, "workload.slice/run-2", id), -ENOENT);
    fixture_mkdir(f, SLICE "/run-1/inner");
    assert_int_equal(run_remove(&t.hierarchy, "workload.slice/run-1", id), -ENOTEMPTY);
    assert_true(is_there(f, SLICE "/run-1/inner"));
    assert_int_equal(unlinkat(f->fd, SLICE "/run-1/inner", AT_REMOVEDIR), 0);
    assert_int_equal(run_remove(&t.hierarchy, "workload.slice/run-1", id), 0);
    assert_false(is_there(f, SLICE "/run-1"));
    tree_deinit(&t);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_attributes), TEST(test_owner), TEST(test_nothing_half_made),
                                       TEST(test_removed)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
