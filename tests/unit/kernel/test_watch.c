#include "fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "kernel/file.h"
#include "kernel/watch.h"

/* Whether there was any; or nobody can tell. */
static bool is_news(int fd)
{
    struct watch_news n;

    return watch_read_news(fd, &n) < 0 || n.any;
}

static void test_news(void **state)
{
    const struct fixture *f = *state;
    int fd = watch_open(), dir_fd, events, children;

    fixture_write(f, "a/cgroup.events", "populated 0\nfrozen 0\n");
    fixture_write(f, "a/memory.stat", "anon 0\n");
    dir_fd = file_open_dir(f->fd, "a");
    assert_true(fd >= 0 && dir_fd >= 0);
    events = watch_add_events(fd, dir_fd);
    children = watch_add_children(fd, dir_fd);
    assert_true(events >= 0 && children >= 0 && events != children);
    assert_int_equal(watch_add_events(fd, dir_fd), events);
    assert_false(is_news(fd));
    fixture_write(f, "a/memory.stat", "anon 4096\n");
    assert_false(is_news(fd));
    fixture_write(f, "a/cgroup.events", "populated 1\nfrozen 0\n");
    assert_true(is_news(fd));
    assert_false(is_news(fd));
    assert_int_equal(mkdirat(dir_fd, "child", 0755), 0);
    assert_true(is_news(fd));
    assert_int_equal(unlinkat(dir_fd, "child", AT_REMOVEDIR), 0);
    assert_true(is_news(fd));
    watch_remove(fd, events); /* which is no news */
    assert_false(is_news(fd));
    fixture_write(f, "a/cgroup.events", "populated 0\nfrozen 0\n");
    assert_false(is_news(fd));
    (void)close(dir_fd);
    (void)close(fd);
}

static void test_many(void **state)
{
    const struct fixture *f = *state;
    int fd = watch_open();
    char name[128];

    assert_true(fd >= 0 && watch_add_children(fd, f->fd) >= 0);
    for (unsigned i = 0; i < 500; i++) { /* more than one read takes */
        (void)snprintf(name, sizeof(name), "%0100u", i);
        assert_int_equal(mkdirat(f->fd, name, 0755), 0);
    }
    assert_true(is_news(fd));
    assert_false(is_news(fd));
    (void)close(fd);
}

/* Each says what it is about, and no other one. */
static void test_which(void **state)
{
    const struct fixture *f = *state;
    int fd = watch_open(), dirs[2], events[2], children[2];
    struct watch_news n;

    for (unsigned i = 0; i < 2; i++) {
        fixture_write(f, i ? "b/cgroup.events" : "a/cgroup.events", "populated 0\nfrozen 0\n");
        dirs[i] = file_open_dir(f->fd, i ? "b" : "a");
        events[i] = watch_add_events(fd, dirs[i]);
        children[i] = watch_add_children(fd, dirs[i]);
    }
    fixture_write(f, "b/cgroup.events", "populated 1\nfrozen 0\n");
    assert_int_equal(watch_read_news(fd, &n), 0);
    assert_true(n.any && !n.lost && !n.moved && watch_news_has(&n, events[1]));
    assert_false(watch_news_has(&n, events[0]) || watch_news_has(&n, children[0]) ||
                 watch_news_has(&n, children[1]) || watch_news_has(&n, -1));
    assert_int_equal(mkdirat(dirs[0], "child", 0755), 0);
    assert_int_equal(watch_read_news(fd, &n), 0);
    assert_true(watch_news_has(&n, children[0]) && !watch_news_has(&n, children[1]));
    assert_int_equal(renameat(dirs[0], "child", dirs[1], "child"), 0);
    assert_int_equal(watch_read_news(fd, &n), 0);
    assert_true(n.moved);
    for (unsigned i = 0; i < 2; i++)
        (void)close(dirs[i]);
    (void)close(fd);
}

/* More than the queue holds (16384, if nobody has set another number): that is told, and once. */
static void test_overflow(void **state)
{
    const struct fixture *f = *state;
    int fd = watch_open();
    struct watch_news n;

    assert_true(fd >= 0 && watch_add_children(fd, f->fd) >= 0);
    for (unsigned i = 0; i < 10000; i++) {
        assert_int_equal(mkdirat(f->fd, "x", 0755), 0);
        assert_int_equal(unlinkat(f->fd, "x", AT_REMOVEDIR), 0);
    }
    assert_int_equal(watch_read_news(fd, &n), 0);
    assert_true(n.any && n.lost);
    assert_int_equal(watch_read_news(fd, &n), 0);
    assert_false(n.any || n.lost);
    (void)close(fd);
}

static void test_errors(void **state)
{
    const struct fixture *f = *state;
    int fd = watch_open(), file;

    assert_true(fd >= 0);
    assert_int_equal(watch_add_events(fd, f->fd), -ENOENT);
    fixture_write(f, "file", "");
    file = file_open_read(f->fd, "file");
    assert_int_equal(watch_add_children(fd, file), -ENOTDIR);
    assert_int_equal(watch_add_events(-1, f->fd), -EBADF);
    assert_true(is_news(-1)); /* it cannot be told */
    (void)close(file);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_news, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_many, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_which, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_overflow, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_errors, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
