/* Where a watch is looked for: what the environment and the options say, and the places of a node. */
#include "client.h"

/* AT_SECURE cannot be had without an exec of a setuid file; that it is secure_getenv that is asked can be
 * seen. */
static bool secure_getenv_refuses;
char *__real_secure_getenv(const char *name);
char *__wrap_secure_getenv(const char *name);
char *__wrap_secure_getenv(const char *name)
{
    return secure_getenv_refuses ? NULL : __real_secure_getenv(name);
}

static int named(const char *watch, const char *write, struct find_named *ret, char *error, size_t size)
{
    struct headroom_options none = {.size = sizeof(none)};

    (void)unsetenv("MEMORY_PRESSURE_WATCH");
    (void)unsetenv("MEMORY_PRESSURE_WRITE");
    if (watch)
        (void)setenv("MEMORY_PRESSURE_WATCH", watch, 1);
    if (write)
        (void)setenv("MEMORY_PRESSURE_WRITE", write, 1);
    error[0] = '\0';
    return find_named(&none, ret, error, size);
}

static void test_environment(void **state unused_)
{
    struct find_named n;
    char error[256], big[8192];

    assert_int_equal(named(NULL, NULL, &n, error, sizeof(error)), 0);
    assert_false(n.is_named);
    assert_int_equal(named(NULL, "Zg==", &n, error, sizeof(error)), 0); /* alone it means nothing */
    assert_false(n.is_named);

    assert_int_equal(named("/dev/null", "no base64", &n, error, sizeof(error)), 0);
    assert_true(n.is_named && n.is_off);
    assert_int_equal(named("", NULL, &n, error, sizeof(error)), 0);
    assert_true(n.is_named && n.is_off);

    assert_int_equal(named("/run/x", "AAEC", &n, error, sizeof(error)), 0);
    assert_true(n.is_named && !n.is_off);
    assert_string_equal(n.path, "/run/x");
    assert_int_equal(n.payload_length, 3);
    assert_memory_equal(n.payload, "\0\1\2", 3);
    assert_int_equal(named("/run/x", "", &n, error, sizeof(error)), 0);
    assert_int_equal(n.payload_length, 0);

    memset(big, 'A', sizeof(big));
    big[5464] = '\0'; /* 4,098 bytes */
    assert_int_equal(named("/run/x", big, &n, error, sizeof(error)), -E2BIG);
    assert_string_equal(strchr(error, ':'), ": longer than 4096 bytes");
    big[5460] = '\0'; /* 4,095 bytes */
    assert_int_equal(named("/run/x", big, &n, error, sizeof(error)), 0);
    assert_int_equal(n.payload_length, 4095);

    memset(big, '/', sizeof(big));
    big[4096] = '\0';
    assert_int_equal(named(big, NULL, &n, error, sizeof(error)), -ENAMETOOLONG);
    big[4095] = '\0';
    assert_int_equal(named(big, NULL, &n, error, sizeof(error)), 0);
}

static void test_messages(void **state unused_)
{
    struct find_named n;
    char error[256];

    assert_int_equal(named("run/x", NULL, &n, error, sizeof(error)), -EBADMSG);
    assert_string_equal(error, "$MEMORY_PRESSURE_WATCH=run/x: not an absolute path");
    assert_int_equal(named("/run/x", "Zg=", &n, error, sizeof(error)), -EBADMSG);
    assert_string_equal(error, "$MEMORY_PRESSURE_WRITE=Zg=: not base64");
    /* Where there is no room for it, it is cut. */
    assert_int_equal(named("run/x", NULL, &n, error, 8), -EBADMSG);
    assert_string_equal(error, "$MEMORY");
    assert_int_equal(named("run/x", NULL, &n, error, 0), -EBADMSG);
}

static void test_options_first(void **state unused_)
{
    struct headroom_options o = {.size = sizeof(o), .path = "/a", .payload = "x\0y", .payload_length = 3};
    struct find_named n;

    (void)setenv("MEMORY_PRESSURE_WATCH", "relative", 1);
    assert_int_equal(find_named(&o, &n, NULL, 0), 0);
    assert_string_equal(n.path, "/a");
    assert_int_equal(n.payload_length, 3);
    assert_memory_equal(n.payload, "x\0y", 3);
    o.payload_length = FIND_PAYLOAD_MAX + 1;
    assert_int_equal(find_named(&o, &n, NULL, 0), -E2BIG);
    o.payload = NULL;
    assert_int_equal(find_named(&o, &n, NULL, 0), -EINVAL);
    o = (struct headroom_options){.size = sizeof(o), .payload = "x", .payload_length = 1};
    assert_int_equal(find_named(&o, &n, NULL, 0), -EINVAL);
    (void)unsetenv("MEMORY_PRESSURE_WATCH");
}

/* In a process whose real and effective ids differ, the environment is its caller's and is not read. */
static void test_secure_execution(void **state unused_)
{
    struct headroom_options none = {.size = sizeof(none)};
    struct find_named n;

    (void)setenv("MEMORY_PRESSURE_WATCH", "/run/x", 1);
    assert_int_equal(find_named(&none, &n, NULL, 0), 0);
    assert_true(n.is_named);
    secure_getenv_refuses = true;
    assert_int_equal(find_named(&none, &n, NULL, 0), 0);
    assert_false(n.is_named);
    secure_getenv_refuses = false;
    (void)unsetenv("MEMORY_PRESSURE_WATCH");
}

static void assert_cgroup(const char *cgroups, const char *expected)
{
    struct stage s;
    char path[PATH_MAX];
    int r;

    stage_init(&s);
    (void)stage_write(&s, "/sys/fs/cgroup/cgroup.controllers", "memory\n");
    (void)stage_write(&s, "/proc/self/cgroup", cgroups);
    r = find_place(1, s.root, path, sizeof(path));
    if (expected) {
        assert_int_equal(r, 0);
        assert_string_equal(path, stage_path(&s, expected));
    } else {
        assert_int_equal(r, -ENOENT);
    }
    stage_deinit(&s);
}

static void test_own_cgroup(void **state unused_)
{
    assert_cgroup("0::/user.slice/a b\n", "/sys/fs/cgroup/user.slice/a b/memory.pressure");
    assert_cgroup("0::/x", "/sys/fs/cgroup/x/memory.pressure");
    assert_cgroup("0::/\n", "/sys/fs/cgroup/memory.pressure");
    assert_cgroup("4:memory:/v1\n1:name=systemd:/y\n0::/x\n", "/sys/fs/cgroup/x/memory.pressure");
    assert_cgroup("0::/..x\n", "/sys/fs/cgroup/..x/memory.pressure");
    assert_cgroup("0::/../x\n", NULL); /* outside of what this container sees */
    assert_cgroup("0::/..\n", NULL);
    assert_cgroup("4:memory:/v1\n", NULL);
    assert_cgroup("", NULL);
    assert_cgroup("10::/x\n", NULL);
}

static void test_places(void **state unused_)
{
    struct stage s;
    char path[PATH_MAX];

    stage_init(&s);
    assert_int_equal(find_place(0, s.root, path, sizeof(path)), 0);
    assert_string_equal(path, stage_path(&s, "/run/headroom/pressure.sock"));
    assert_int_equal(find_place(2, s.root, path, sizeof(path)), 0);
    assert_string_equal(path, stage_path(&s, "/proc/pressure/memory"));
    assert_int_equal(find_place(1, s.root, path, sizeof(path)), -ENOENT);
    (void)stage_write(&s, "/proc/self/cgroup", "0::/x\n");
    assert_int_equal(find_place(1, s.root, path, sizeof(path)), -ENOENT); /* v1 only */
    (void)stage_write(&s, "/sys/fs/cgroup/unified/cgroup.controllers", "");
    assert_int_equal(find_place(1, s.root, path, sizeof(path)), 0);
    assert_string_equal(path, stage_path(&s, "/sys/fs/cgroup/unified/x/memory.pressure"));
    assert_int_equal(find_place(1, s.root, path, 20), -ENAMETOOLONG);
    assert_int_equal(find_place(0, s.root, path, 20), -ENAMETOOLONG);
    stage_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environment),   cmocka_unit_test(test_messages),
        cmocka_unit_test(test_options_first), cmocka_unit_test(test_secure_execution),
        cmocka_unit_test(test_own_cgroup),    cmocka_unit_test(test_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
