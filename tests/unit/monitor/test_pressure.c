/* The pressure monitor. A trigger of the kernel's needs pressure, so a TCP socket stands in for it: one byte
 * out of band raises the same EPOLLPRI (the trick is that of Ray's
 * TestMemoryMonitorCallsCallbackWhenPressureTriggerFires, which test_trigger_fires restates), and a
 * connection that is reset raises EPOLLERR, as the trigger of a removed cgroup. */
#include "monitors.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define WORK "workload.slice"
#define DOORS_MAX 8

int __real_psi_trigger_open(int dir_fd, const char *name, const struct psi_trigger_config *config,
                            struct psi_trigger_config *ret_armed);
int __wrap_psi_trigger_open(int dir_fd, const char *name, const struct psi_trigger_config *config,
                            struct psi_trigger_config *ret_armed);

/* The triggers that were opened, in order: our end of each socket. */
static struct {
    bool real;            /* nothing stands in */
    int refuse;           /* an error, 0: none */
    uint64_t window_usec; /* what the kernel takes instead, 0: what it was asked for */
    int ends[DOORS_MAX];
    char names[DOORS_MAX][32];
    unsigned count, attempts;
} doors;

static int socket_pair(int *ret_ours)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), theirs;

    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    *ret_ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(*ret_ours, (struct sockaddr *)&address, size), 0);
    theirs = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(theirs >= 0);
    (void)close(listener);
    return theirs;
}

int __wrap_psi_trigger_open(int dir_fd, const char *name, const struct psi_trigger_config *config,
                            struct psi_trigger_config *ret_armed)
{
    doors.attempts++;
    if (doors.real)
        return __real_psi_trigger_open(dir_fd, name, config, ret_armed);
    if (doors.refuse)
        return doors.refuse;
    assert_true(doors.count < DOORS_MAX);
    *ret_armed = *config;
    if (doors.window_usec)
        ret_armed->window_usec = doors.window_usec;
    (void)snprintf(doors.names[doors.count], sizeof(doors.names[0]), "%s", name);
    return socket_pair(&doors.ends[doors.count++]);
}

static int setup(void **state)
{
    struct monitors *m;

    memset(&doors, 0, sizeof(doors));
    if (monitors_setup(state) < 0)
        return -1;
    m = *state;
    monitors_target(m, WORK);
    fixture_mkdir(m->f, "proc/pressure");
    monitors_start(m, 1U << MONITOR_PRESSURE);
    return 0;
}

static int teardown(void **state)
{
    for (unsigned i = 0; i < doors.count; i++)
        close_fdp(&doors.ends[i]);
    return monitors_teardown(state);
}

static void use_host(struct monitors *m)
{
    m->host_fd = openat(m->f->fd, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(m->host_fd >= 0);
}

static const struct monitor *pressure_of(const struct monitors *m)
{
    return &m->set.monitors[MONITOR_PRESSURE];
}

static void press(unsigned door)
{
    assert_int_equal(send(doors.ends[door], "!", 1, MSG_OOB), 1);
}

/* As the kernel does with the trigger of a removed cgroup: an error that stays until it is closed. */
static void break_door(unsigned door)
{
    const struct linger at_once = {1, 0};

    assert_int_equal(setsockopt(doors.ends[door], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close_fdp(&doors.ends[door]);
}

static void test_trigger_fires(void **state)
{
    struct monitors *m = *state;

    monitors_refresh(m);
    assert_int_equal(doors.count, 1);
    assert_string_equal(doors.names[0], "memory.pressure");
    assert_int_equal(monitors_turn(m), 0);
    press(0);
    assert_true(monitors_turn(m) >= 1); /* the socket stays readable, a trigger does not */
    assert_int_equal(m->last.kind, TRIGGER_PRESSURE);
    assert_string_equal(m->last.detail, "some");
    assert_int_equal(pressure_of(m)->state, MONITOR_RUNNING);
    assert_int_equal(m->said_count, 0);
}

static void test_full_and_the_host(void **state)
{
    struct monitors *m = *state;

    m->config.monitor.pressure_full = true;
    monitors_start(m, 1U << MONITOR_PRESSURE);
    use_host(m);
    m->targets[0].id = 7;
    monitors_refresh(m);
    assert_int_equal(doors.count, 2);
    assert_string_equal(doors.names[1], "pressure/memory"); /* of the host, in every mode */
    press(1);
    assert_true(monitors_turn(m) >= 1);
    assert_string_equal(m->last.detail, "full");
}

/* Armed once, however often it is refreshed. */
static void test_refresh_changes_nothing(void **state)
{
    struct monitors *m = *state;

    use_host(m);
    for (unsigned i = 0; i < 5; i++)
        monitors_refresh(m);
    assert_int_equal(doors.count, 2);
}

/* POLLERR: dropped at once, without an alarm and without a loop that turns for ever; armed again with the
 * next refresh where the cgroup is there. */
static void test_error_drops_it(void **state)
{
    struct monitors *m = *state;
    uint64_t wakeups;

    use_host(m);
    monitors_refresh(m);
    break_door(0);
    assert_int_equal(monitors_turn(m), 0);
    assert_int_equal(pressure_of(m)->pressure.watches[0].fd, -1);
    wakeups = m->loop.wakeups;
    assert_int_equal(loop_turn(&m->loop, 20 * USEC_PER_MSEC), 0);
    assert_int_equal(m->loop.wakeups, wakeups + 1); /* by its own timer only */
    press(1);
    assert_true(monitors_turn(m) >= 1); /* the other one lives */
    monitors_refresh(m);
    assert_int_equal(doors.count, 3);
    press(2);
    assert_true(monitors_turn(m) >= 1);
}

static void test_target_goes_and_another_comes(void **state)
{
    struct monitors *m = *state;
    int fd = m->targets[0].dir_fd;

    monitors_refresh(m);
    m->targets[0].dir_fd = -1;
    m->targets[0].id = 0;
    monitors_refresh(m);
    press(0);
    assert_int_equal(monitors_turn(m), 0); /* let go */
    m->targets[0].dir_fd = fd;
    m->targets[0].id = 2;
    monitors_refresh(m);
    assert_int_equal(doors.count, 2);
    m->targets[0].id = 3; /* another one at once */
    monitors_refresh(m);
    assert_int_equal(doors.count, 3);
    press(1);
    assert_int_equal(monitors_turn(m), 0);
    press(2);
    assert_true(monitors_turn(m) >= 1);
}

/* What the kernel took instead is said, and it is news once. */
static void test_longer_window(void **state)
{
    struct monitors *m = *state;

    doors.window_usec = 2 * USEC_PER_SEC;
    monitors_refresh(m);
    assert_int_equal(pressure_of(m)->state, MONITOR_DEGRADED);
    monitors_expect_said(m, MONITOR_PRESSURE, "2000 ms instead of 1000 ms");
    monitors_expect_said(m, MONITOR_PRESSURE, "CAP_SYS_RESOURCE");
    monitors_refresh(m);
    assert_int_equal(m->said_count, 1);
    press(0);
    assert_true(monitors_turn(m) >= 1);
}

/* No trigger at all: said, with the reason; asked for again after a while, not at every refresh. */
static void test_refused(void **state)
{
    struct monitors *m = *state;

    use_host(m);
    doors.refuse = -EOPNOTSUPP;
    m->set.monitors[MONITOR_PRESSURE].retry_due_usec = clock_now_usec() + USEC_PER_SEC;
    monitors_refresh(m);
    assert_int_equal(doors.attempts, 2);
    assert_int_equal(pressure_of(m)->state, MONITOR_DEGRADED);
    monitors_expect_said(m, MONITOR_PRESSURE, strerror(EOPNOTSUPP));
    monitors_expect_said(m, MONITOR_PRESSURE, "the host");
    monitors_refresh(m);
    assert_int_equal(doors.attempts, 2);
    assert_int_equal(pressure_of(m)->state, MONITOR_DEGRADED);

    doors.refuse = 0;
    m->set.monitors[MONITOR_PRESSURE].retry_due_usec = clock_now_usec() - 1;
    monitors_refresh(m);
    assert_int_equal(doors.count, 2);
    assert_int_equal(pressure_of(m)->state, MONITOR_RUNNING);
    monitors_expect_said(m, MONITOR_PRESSURE, "works");
}

/* One that was refused has gone: another cgroup of that name need not wait for the next attempt. */
static void test_refused_and_replaced(void **state)
{
    struct monitors *m = *state;

    doors.refuse = -EOPNOTSUPP;
    m->set.monitors[MONITOR_PRESSURE].retry_due_usec = UINT64_MAX;
    monitors_refresh(m);
    doors.refuse = 0;
    monitors_refresh(m);
    assert_int_equal(doors.count, 0);
    m->targets[0].id++;
    monitors_refresh(m);
    assert_int_equal(doors.count, 1);
    assert_int_equal(pressure_of(m)->state, MONITOR_RUNNING);
}

/* Restates Ray's TestMonitorCreationWritesTriggerStringToFile and TestNonexistentCgroupPathFailsGracefully. A
 * plain file takes the write, but nobody can wait for it: that is said. */
static void test_plain_file(void **state)
{
    struct monitors *m = *state;
    char text[64] = "";

    doors.real = true;
    monitors_refresh(m);
    assert_int_equal(pressure_of(m)->state, MONITOR_DEGRADED);
    monitors_expect_said(m, MONITOR_PRESSURE, "No such file");

    fixture_write(m->f, WORK "/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    m->targets[0].id++;
    monitors_refresh(m);
    assert_int_equal(fixture_read(m->targets[0].dir_fd, "memory.pressure", text, sizeof(text)), 47);
    assert_memory_equal(text, "some 150000 1000000", sizeof("some 150000 1000000"));
    assert_int_equal(pressure_of(m)->state, MONITOR_DEGRADED);
    monitors_expect_said(m, MONITOR_PRESSURE, strerror(EPERM));
    monitors_expect_said(m, MONITOR_PRESSURE, WORK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_trigger_fires),
        TEST(test_full_and_the_host),
        TEST(test_refresh_changes_nothing),
        TEST(test_error_drops_it),
        TEST(test_target_goes_and_another_comes),
        TEST(test_longer_window),
        TEST(test_refused),
        TEST(test_refused_and_replaced),
        TEST(test_plain_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
