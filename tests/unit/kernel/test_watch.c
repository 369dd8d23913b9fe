#include "fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "kernel/file.h"
#include "kernel/watch.h"

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
    assert_false(watch_drain(fd));
    fixture_write(f, "a/memory.stat", "anon 4096\n");
    assert_false(watch_drain(fd));
    fixture_write(f, "a/cgroup.events", "populated 1\nfrozen 0\n");
    assert_true(watch_drain(fd));
    assert_false(watch_drain(fd));
    assert_int_equal(mkdirat(dir_fd, "child", 0755), 0);
    assert_true(watch_drain(fd));
    assert_int_equal(unlinkat(dir_fd, "child", AT_REMOVEDIR), 0);
    assert_true(watch_drain(fd));
    watch_remove(fd, events); /* which is no news */
    assert_false(watch_drain(fd));
    fixture_write(f, "a/cgroup.events", "populated 0\nfrozen 0\n");
    assert_false(watch_drain(fd));
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
    assert_true(watch_drain(fd));
    assert_false(watch_drain(fd));
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
    assert_true(watch_drain(-1)); /* it cannot be told */
    (void)close(file);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_news, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_many, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_errors, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
