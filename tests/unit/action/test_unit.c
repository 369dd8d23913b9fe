/* Which cgroups are systemd's, and what systemctl is called with. A script in a PATH of the test's own stands
 * for systemctl; the real one is never run. */
#include "tree.h"

#include <sys/wait.h>

#include "action/unit.h"

static void test_manages(void **state)
{
    static const struct {
        const char *path;
        const char *knob;
        bool managed;
    } cases[] = {
        {"workload.slice", "memory.high", true},
        {"system.slice/cron.service", "memory.low", true},
        {"user.slice/a.scope", "memory.max", true},
        {"user.slice/a.scope", "memory.swap.max", true},
        {"user.slice/a.scope", "memory.min", true},
        {"a.slice/a-b.slice/_memory.service", "memory.max", true},
        /* below what was handed to somebody else: a user's manager, a container's */
        {"user.slice/user-1.slice/user@1.service/app.slice", "memory.high", false},
        {"system.slice/docker-1.scope/system.slice/a.service", "memory.high", false},
        {"kubepods/a.slice", "memory.high", false},
        {".slice/a.slice", "memory.high", false},
        {"a.slice/.slice/b.slice", "memory.high", false},
        {"workload.slice", "memory.oom.group", false}, /* systemd has no property for it */
        {"workload.slice", "cgroup.freeze", false},
        {"init.scope", "memory.low", false},
        {"kubepods", "memory.high", false},
        {"workload.slice/task-1", "memory.high", false},
        {".slice", "memory.high", false},
        {"", "memory.high", false},
        {"a.slice.d", "memory.high", false},
    };
    const struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_false(unit_manages(f->fd, cases[i].path, cases[i].knob)); /* systemd does not run */
    fixture_mkdir(f, "run/systemd/system");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (unit_manages(f->fd, cases[i].path, cases[i].knob) != cases[i].managed)
            fail_msg("%s %s", cases[i].path, cases[i].knob);
}

static void systemctl_is(const struct tree *t, const char *script)
{
    char path[PATH_MAX], text[PATH_MAX + 512];

    (void)snprintf(text, sizeof(text), "#!/bin/sh\necho \"$@\" >%s/called\n%s\n", t->f->path, script);
    fixture_write(t->f, "bin/systemctl", text);
    assert_int_equal(fchmodat(t->f->fd, "bin/systemctl", 0755, 0), 0);
    (void)snprintf(path, sizeof(path), "%s/bin:/usr/bin:/bin", t->f->path);
    assert_int_equal(setenv("PATH", path, 1), 0);
}

static void test_set(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    systemctl_is(&t, "exit 0");
    /* What else was set goes along as it stands; what was not is left out. */
    fixture_write(t.f, SLICE "/memory.min", "4096\n");
    assert_int_equal(unit_set(&t.hierarchy, "workload.slice", "memory.high", 870318080), 0);
    tree_assert(&t, "called", "set-property --runtime workload.slice MemoryHigh=870318080 MemoryMin=4096");
    assert_int_equal(unit_set(&t.hierarchy, "workload.slice", "memory.high", UINT64_MAX), 0);
    tree_assert(&t, "called", "set-property --runtime workload.slice MemoryHigh=infinity MemoryMin=4096");
    tree_deinit(&t);
}

/* One that does not run: what its next cgroup would get. */
static void test_without_cgroup(void **state)
{
    static const char *const drop_ins = "run/systemd/system.control/web.service.d";
    struct tree t;
    char file[128];
    uint64_t value;

    tree_init(&t, *state);
    systemctl_is(&t, "exit 0");
    assert_int_equal(unit_set(&t.hierarchy, "web.service", "memory.high", UINT64_MAX), 0);
    tree_assert(&t, "called", "set-property --runtime web.service MemoryHigh=infinity");
    assert_int_equal(unit_read_drop_in(t.f->fd, "a.slice/web.service", "memory.high", &value), -ENOENT);
    (void)snprintf(file, sizeof(file), "%s/50-MemoryHigh.conf", drop_ins);
    fixture_write(t.f, file, "# Do not edit.\n[Service]\nMemoryHigh=8192\n");
    assert_int_equal(unit_read_drop_in(t.f->fd, "a.slice/web.service", "memory.high", &value), 0);
    assert_int_equal(value, 8192);
    assert_int_equal(unit_read_drop_in(t.f->fd, "web.service", "memory.low", &value), -ENOENT);
    assert_int_equal(unit_read_drop_in(t.f->fd, "web.service", "cpu.weight", &value), -ENOENT);
    fixture_write(t.f, file, "[Service]\nMemoryHigh=1\nMemoryHigh=infinity\nMemoryHighest=1\n");
    assert_int_equal(unit_read_drop_in(t.f->fd, "web.service", "memory.high", &value), 0);
    assert_true(value == UINT64_MAX);
    fixture_write(t.f, file, "[Service]\nMemoryHigh=10%\n"); /* not ours, whatever it comes to */
    assert_int_equal(unit_read_drop_in(t.f->fd, "web.service", "memory.high", &value), -ENOENT);
    assert_int_equal(unit_remove_drop_in(t.f->fd, "web.service", "memory.low"), -ENOENT);
    assert_int_equal(unit_remove_drop_in(t.f->fd, "web.service", "memory.high"), 0);
    assert_int_equal(faccessat(t.f->fd, drop_ins, F_OK, 0), -1);
    tree_deinit(&t);
}

static void test_fails(void **state)
{
    char path[] = "/nowhere";
    struct tree t;

    tree_init(&t, *state);
    systemctl_is(&t, "exit 1");
    assert_int_equal(unit_set(&t.hierarchy, "workload.slice", "memory.high", 1), -EIO);
    systemctl_is(&t, "kill -9 $$");
    assert_int_equal(unit_set(&t.hierarchy, "workload.slice", "memory.high", 1), -EIO);
    assert_int_equal(setenv("PATH", path, 1), 0);
    assert_true(unit_set(&t.hierarchy, "workload.slice", "memory.high", 1) < 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody was left behind */
    tree_deinit(&t);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {TEST(test_manages), TEST(test_set), TEST(test_without_cgroup),
                                       TEST(test_fails)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
