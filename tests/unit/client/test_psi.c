/* A pressure file: what is written to it, and how it is listened to. A trigger of the kernel's needs pressure
 * to fire, so a TCP socket stands in for each descriptor of it: a byte out of band raises the same POLLPRI, a
 * reset the same POLLERR. The last test asks the kernel itself. */
#include "client.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "client/files.h"

int __real_files_open(const char *path, int flags, mode_t kind);
int __wrap_files_open(const char *path, int flags, mode_t kind);
bool __real_files_is_kernels(int fd);
bool __wrap_files_is_kernels(int fd);
int __real_files_write(int fd, const void *data, size_t length);
int __wrap_files_write(int fd, const void *data, size_t length);

#define DOORS_MAX 8

/* Of the descriptors that were opened, in order, the other ends. */
static struct {
    bool real;
    unsigned refusals; /* so many writes are refused */
    int error;         /* with this */
    int ends[DOORS_MAX];
    unsigned count;
} doors;

static struct stage s;

static int connected_pair(int *ret_end)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    *ret_end = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(*ret_end, (struct sockaddr *)&address, size), 0);
    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    (void)close(listener);
    return fd;
}

int __wrap_files_open(const char *path, int flags, mode_t kind)
{
    if (doors.real || kind != S_IFREG)
        return __real_files_open(path, flags, kind);
    assert_int_equal(flags, O_RDWR);
    assert_true(doors.count < DOORS_MAX);
    return connected_pair(&doors.ends[doors.count++]);
}

bool __wrap_files_is_kernels(int fd)
{
    return doors.real ? __real_files_is_kernels(fd) : true;
}

int __wrap_files_write(int fd, const void *data, size_t length)
{
    if (doors.refusals == 0)
        return __real_files_write(fd, data, length);
    doors.refusals--;
    return doors.error;
}

static int setup(void **state unused_)
{
    stage_init(&s);
    memset(&doors, 0, sizeof(doors));
    (void)stage_write(&s, "/sys/fs/cgroup/cgroup.controllers", "memory\n");
    (void)stage_write(&s, "/proc/self/cgroup", "0::/x\n");
    (void)stage_write(&s, "/sys/fs/cgroup/x/memory.pressure", PSI_LINE);
    (void)stage_write(&s, "/proc/pressure/memory", PSI_LINE);
    (void)stage_write(&s, "/run/headroom/x", "");
    return 0;
}

static int teardown(void **state unused_)
{
    for (unsigned i = 0; i < doors.count; i++)
        (void)close(doors.ends[i]);
    stage_deinit(&s);
    return 0;
}

static struct headroom_watch *find(uint64_t hold_usec)
{
    struct headroom_options o = {.size = sizeof(o), .hold_usec = hold_usec};
    struct headroom_watch *w = NULL;

    assert_int_equal(watch_new_at(&o, s.root, &w), 0);
    return w;
}

static void assert_written(unsigned door, const char *bytes, size_t length)
{
    char got[128];

    assert_true(door < doors.count);
    assert_int_equal(recv(doors.ends[door], got, sizeof(got), MSG_DONTWAIT), length);
    assert_memory_equal(got, bytes, length);
}

/* As the kernel does it: first the descriptor that was opened first. */
static void fire(unsigned door)
{
    assert_int_equal(send(doors.ends[door], "!", 1, MSG_OOB), 1);
}

static void settle(struct headroom_watch *w)
{
    char c;

    (void)recv(w->source.fd, &c, 1, MSG_OOB);
    (void)recv(w->source.wake_fd, &c, 1, MSG_OOB);
}

static void test_own_cgroup_by_default(void **state unused_)
{
    struct headroom_watch *w = find(0);

    assert_int_equal(headroom_watch_get_source(w), HEADROOM_SOURCE_PSI);
    assert_string_equal(headroom_watch_get_path(w), stage_path(&s, "/sys/fs/cgroup/x/memory.pressure"));
    assert_int_equal(doors.count, 2);
    assert_written(0, "some 200000 2000000", 20); /* with its NUL */
    assert_written(1, "some 200000 2000000", 20);
    (void)headroom_watch_free(w);
}

static void test_node_where_there_is_no_cgroup(void **state unused_)
{
    struct headroom_watch *w;

    assert_int_equal(unlink(stage_path(&s, "/sys/fs/cgroup/x/memory.pressure")), 0);
    w = find(0);
    assert_string_equal(headroom_watch_get_path(w), stage_path(&s, "/proc/pressure/memory"));
    (void)headroom_watch_free(w);
}

static void test_payload_is_exact(void **state unused_)
{
    struct headroom_watch *w;

    (void)setenv("MEMORY_PRESSURE_WATCH", stage_path(&s, "/proc/pressure/memory"), 1);
    (void)setenv("MEMORY_PRESSURE_WRITE", "ZnVsbCAxMDAwMDAgMTAwMDAwMAA=", 1);
    w = find(0);
    assert_int_equal(headroom_watch_get_source(w), HEADROOM_SOURCE_PSI);
    assert_written(0, "full 100000 1000000", 20);
    assert_written(1, "full 100000 1000000", 20);
    (void)headroom_watch_free(w);
}

/* Without a payload the kernel would never report anything but an error. */
static void test_named_without_payload(void **state unused_)
{
    struct headroom_watch *w;

    (void)setenv("MEMORY_PRESSURE_WATCH", stage_path(&s, "/proc/pressure/memory"), 1);
    w = find(0);
    assert_written(0, "some 200000 2000000", 20);
    (void)headroom_watch_free(w);
}

static void test_refused_trigger_is_softened(void **state unused_)
{
    static const int errors[] = {-EPERM, -EINVAL, -EACCES};

    for (unsigned i = 0; i < 3; i++) {
        struct headroom_options o = {.size = sizeof(o),
                                     .path = stage_path(&s, "/proc/pressure/memory"),
                                     .payload = "some 150000 1000000"};
        struct headroom_watch *w = NULL;

        o.payload_length = strlen(o.payload) + 1;
        doors.refusals = 1;
        doors.error = errors[i];
        assert_int_equal(headroom_watch_new(&o, &w), 0);
        assert_written(2 * i, "some 300000 2000000", 20);
        assert_written(2 * i + 1, "some 150000 1000000", 20); /* only the first was refused */
        (void)headroom_watch_free(w);
    }
}

static void test_soft_triggers(void **state unused_)
{
    static const struct {
        const char *payload, *soft;
    } cases[] = {
        {"some 150000 1000000", "some 300000 2000000"},
        {"full 50000 500000\n", "full 200000 2000000"},
        {"some 300000 3000000", "some 400000 4000000"},
        {"some 1 10000000", "some 1 10000000"},
        {"some 9000000 9000000", "some 10000000 10000000"},
        {"", "some 200000 2000000"},
        {"some 150000", "some 200000 2000000"},
        {"some 0 1000000", "some 200000 2000000"},
        {"some 2 1", "some 200000 2000000"},
        {"some -5 1000000", "some 200000 2000000"},
        {"none 150000 1000000", "some 200000 2000000"},
        {"some 150000 1000000 x", "some 200000 2000000"},
        {"some 150000 99999999999999999999999999", "some 200000 2000000"},
        {"some 150000 1000000                                                     ", "some 200000 2000000"},
    };
    char soft[64];

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(source_soften_trigger((const unsigned char *)cases[i].payload,
                                               strlen(cases[i].payload), soft, sizeof(soft)),
                         strlen(cases[i].soft) + 1);
        assert_string_equal(soft, cases[i].soft);
    }
}

/* Every trigger is refused (a kernel before 6.4 without CAP_SYS_RESOURCE): the next place, and if there is
 * none, later. */
static void test_all_triggers_refused(void **state unused_)
{
    struct headroom_watch *w;

    doors.error = -EPERM;
    doors.refusals = 2;
    w = find(0);
    assert_string_equal(headroom_watch_get_path(w), stage_path(&s, "/proc/pressure/memory"));
    (void)headroom_watch_free(w);
    doors.refusals = 4;
    w = find(0);
    assert_int_equal(headroom_watch_get_source(w), HEADROOM_SOURCE_NONE);
    (void)headroom_watch_free(w);
    doors.refusals = 2;
    (void)setenv("MEMORY_PRESSURE_WATCH", stage_path(&s, "/proc/pressure/memory"), 1);
    assert_int_equal(headroom_watch_new(NULL, &w), -EPERM);
}

static void test_event(void **state unused_)
{
    struct headroom_watch *w = find(300000);

    assert_int_equal(wait_level(w, 50), -1); /* a better place may be tried again meanwhile */
    fire(0);
    fire(1);
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_MEDIUM);
    settle(w);
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_CALM);
    (void)headroom_watch_free(w);
}

/* The kernel forgets an event as soon as somebody has polled it: what woke the program's loop is not there
 * any more when the library looks. Its own descriptor tells. */
static void test_event_that_the_loop_has_polled_away(void **state unused_)
{
    struct headroom_watch *w = find(0);

    fire(0);
    assert_int_equal(headroom_watch_read(w, NULL), 1);
    assert_int_equal(headroom_watch_get_level(w), HEADROOM_MEDIUM);
    settle(w);
    (void)headroom_watch_free(w);
}

/* The other trigger is looked at a moment later: the watch asks to be read again. */
static void test_event_that_comes_a_moment_later(void **state unused_)
{
    struct headroom_watch *w;

    (void)setenv("MEMORY_PRESSURE_WATCH", stage_path(&s, "/proc/pressure/memory"),
                 1); /* no better place to look for */
    w = find(0);
    assert_int_equal(headroom_watch_read(w, NULL), 0); /* woken, and nothing was there */
    fire(0);
    assert_int_equal(wait_level(w, 5 * SECOND),
                     HEADROOM_MEDIUM); /* by the timer: its own descriptor is in no set */
    (void)headroom_watch_free(w);
}

/* A kernel that reports an event for ever. */
static void test_event_without_end(void **state unused_)
{
    struct headroom_watch *w = find(0);
    uint64_t until = watch_now_usec() + 2000000;
    unsigned wakeups = 0, told = 0;

    fire(0);
    fire(1);
    while (watch_now_usec() < until || wakeups < 2) {
        if (!wait_readable(headroom_watch_get_fd(w), 20))
            continue;
        told += headroom_watch_read(w, NULL) == 1;
        wakeups++;
    }
    assert_in_range(wakeups, 2, 25); /* ten a second */
    assert_in_range(told, 1, 5);
    (void)headroom_watch_free(w);
}

/* The cgroup is removed: what is next stands in at once, and it is not asked a second time. */
static void test_cgroup_goes(void **state unused_)
{
    struct headroom_watch *w = find(0);
    struct linger reset = {.l_onoff = 1};

    assert_int_equal(unlink(stage_path(&s, "/sys/fs/cgroup/x/memory.pressure")), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(setsockopt(doors.ends[i], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
        (void)close(doors.ends[i]);
        doors.ends[i] = -1;
    }
    for (int i = 0; i < 100 && doors.count < 4; i++)
        if (wait_readable(headroom_watch_get_fd(w), 50))
            (void)headroom_watch_read(w, NULL);
    assert_string_equal(headroom_watch_get_path(w), stage_path(&s, "/proc/pressure/memory"));
    fire(3);
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_MEDIUM);
    (void)headroom_watch_free(w);
}

/* headroomd's socket comes while the pressure file stands in, and goes again. */
static void test_moves_to_the_better_place(void **state unused_)
{
    struct headroom_watch *w = find(0);
    int fd = headroom_watch_get_fd(w), listener, server;

    assert_int_equal(headroom_watch_get_source(w), HEADROOM_SOURCE_PSI);
    listener = listen_at(stage_path(&s, HEADROOM_SOCKET));
    assert_true(wait_source(w, HEADROOM_SOURCE_SOCKET, 10 * SECOND));
    server = accept_one(listener, SECOND);
    tell(server, "c");
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_CRITICAL);
    (void)close(server);
    (void)close(listener);
    while (headroom_watch_get_source(w) == HEADROOM_SOURCE_SOCKET) {
        assert_true(wait_readable(fd, 5 * SECOND));
        assert_true(headroom_watch_read(w, NULL) >= 0);
    }
    assert_int_equal(headroom_watch_get_source(w), HEADROOM_SOURCE_PSI); /* without a gap */
    assert_string_equal(headroom_watch_get_path(w), stage_path(&s, "/sys/fs/cgroup/x/memory.pressure"));
    assert_int_equal(headroom_watch_get_level(w), HEADROOM_CRITICAL); /* it was said, and holds */
    assert_int_equal(headroom_watch_get_fd(w), fd);
    (void)headroom_watch_free(w);
}

static void test_the_kernel_itself(void **state unused_)
{
    struct headroom_options o = {.size = sizeof(o), .path = "/proc/pressure/memory"};
    struct headroom_watch *w = NULL;
    unsigned before = count_descriptors();

    if (access(o.path, R_OK | W_OK) < 0) {
        skip();
        return;
    }
    doors.real = true;
    assert_int_equal(headroom_watch_new(&o, &w), 0);
    assert_int_equal(headroom_watch_get_source(w), HEADROOM_SOURCE_PSI);
    assert_true(headroom_watch_read(w, NULL) >= 0); /* the machine may be under pressure */
    (void)headroom_watch_free(w);
    assert_int_equal(count_descriptors(), before);
    o.path = "/proc/self/status"; /* of procfs, and no pressure file: it cannot be written */
    assert_true(headroom_watch_new(&o, &w) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_own_cgroup_by_default, setup, teardown),
        cmocka_unit_test_setup_teardown(test_node_where_there_is_no_cgroup, setup, teardown),
        cmocka_unit_test_setup_teardown(test_payload_is_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(test_named_without_payload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_trigger_is_softened, setup, teardown),
        cmocka_unit_test(test_soft_triggers),
        cmocka_unit_test_setup_teardown(test_all_triggers_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_event, setup, teardown),
        cmocka_unit_test_setup_teardown(test_event_that_the_loop_has_polled_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_event_that_comes_a_moment_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_event_without_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cgroup_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moves_to_the_better_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_kernel_itself, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
