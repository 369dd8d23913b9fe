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

static void test_fails(void **state)
{
    char path[] = "/nowhere";
    struct tree t;

    tree_init(&t, *state);
    systemctl_is(&t, "exit 1");
    assert_int_equal(unit_set(&t.hierarchy, "workload.slice", "memory.high", 1), -EIO);
    systemctl_is(&t, "kill -9 $$");
    assert_int_equal(unit_set(&t.hierarchy, "workload.slice", "memory.high", 1), -EIO);
    assert_int_equal(unit_set(&t.hierarchy, "gone.slice", "memory.high", 1), -ENOENT);
    assert_int_equal(setenv("PATH", path, 1), 0);
    assert_true(unit_set(&t.hierarchy, "workload.slice", "memory.high", 1) < 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody was left behind */
    tree_deinit(&t);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {TEST(test_manages), TEST(test_set), TEST(test_fails)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
