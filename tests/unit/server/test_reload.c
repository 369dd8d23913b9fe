/* Reload: an answer that comes later, to those who wait for it, and to nobody else. */
#include "clients.h"

#define RELOAD "{\"method\":\"io.headroom.Reload\"}"
#define INFO "{\"method\":\"org.varlink.service.GetInfo\"}"
#define GOOD "{\"parameters\":{\"text\":\"done\",\"details\":[\"a\",\"b \\\"c\\\"\"]}}"

static uint64_t ticket;
static unsigned commands;

static int command(void *user, const struct control_command *c, char *ret_text, size_t size)
{
    struct control *ctl = user;

    assert_int_equal(c->verb, CONTROL_RELOAD);
    commands++;
    if (ticket == 0) {
        (void)snprintf(ret_text, size, "nobody reads");
        return -EBUSY;
    }
    ctl->ticket = ticket;
    return -EINPROGRESS;
}

/* A client that has asked, as root would. */
static int asks(const char *requests, size_t length)
{
    int fd = join();

    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (control.clients[i].fd >= 0)
            control.clients[i].may_change = true; /* where we are not root */
    say(fd, requests, length);
    turn(3);
    return fd;
}

static void expect_reply(int fd, const char *expected)
{
    ssize_t n;

    turn(3);
    n = hear(fd);
    assert_int_equal(n, strlen(expected) + 1);
    assert_memory_equal(reply, expected, strlen(expected) + 1);
}

static int begin(void **state)
{
    int r = setup(state);

    control.command = command;
    ticket = 1;
    commands = 0;
    return r;
}

static void test_answer_comes_later(void **state _unused_)
{
    int fd = asks(RELOAD, sizeof(RELOAD));

    assert_int_equal(commands, 1);
    assert_int_equal(hear(fd), -1);
    control_answer(&control, 1, 0, "done", "a\nb \"c\"\n");
    expect_reply(fd, GOOD);
    control_answer(&control, 1, 0, "done", "");
    turn(2);
    assert_int_equal(hear(fd), -1); /* once */
    (void)close(fd);
    turn(2);
}

static void test_bad_file(void **state _unused_)
{
    int fd = asks(RELOAD, sizeof(RELOAD));

    control_answer(&control, 1, -EINVAL, "no", "f:1: x\n");
    expect_reply(
        fd, "{\"error\":\"io.headroom.ConfigurationInvalid\",\"parameters\":{\"text\":\"no\",\"details\":"
            "[\"f:1: x\"]}}");
    ticket = 0;
    say(fd, RELOAD, sizeof(RELOAD));
    expect_reply(fd, "{\"error\":\"io.headroom.Busy\",\"parameters\":{\"text\":\"nobody reads\"}}");
    (void)close(fd);
    turn(2);
}

/* Who asked while one was under way waits for the next one. */
static void test_each_waits_for_its_own(void **state _unused_)
{
    int first = asks(RELOAD, sizeof(RELOAD)), second;

    ticket = 2;
    second = asks(RELOAD, sizeof(RELOAD));
    control_answer(&control, 1, 0, "done", "a\nb \"c\"\n");
    expect_reply(first, GOOD);
    assert_int_equal(hear(second), -1);
    control_answer(&control, 2, 0, "done", "a\nb \"c\"\n");
    expect_reply(second, GOOD);
    assert_int_equal(hear(first), -1);
    (void)close(first);
    (void)close(second);
    turn(2);
}

/* Its further requests are served afterwards, in order; meanwhile the loop sleeps. */
static void test_further_requests_wait(void **state _unused_)
{
    static const char both[] = RELOAD "\0" INFO;
    int fd = asks(both, sizeof(both));
    uint64_t wakeups;

    turn(5);
    wakeups = loop.wakeups;
    turn(5);
    assert_true(loop.wakeups <= wakeups + 5);
    assert_int_equal(hear(fd), -1);
    assert_int_equal(commands, 1);
    say(fd, INFO, sizeof(INFO));
    turn(3);
    assert_int_equal(hear(fd), -1);
    control_answer(&control, 1, 0, "done", "a\nb \"c\"\n");
    turn(6);
    assert_true(hear(fd) > (ssize_t)sizeof(GOOD));
    assert_memory_equal(reply, GOOD, sizeof(GOOD));
    assert_non_null(strstr(reply + sizeof(GOOD), "headroomd"));
    (void)close(fd);
    turn(2);
}

/* Its place is another's: who has it now has asked for nothing. */
static void test_who_leaves(void **state _unused_)
{
    int fd = asks(RELOAD, sizeof(RELOAD));

    (void)close(fd);
    turn(3);
    fd = join();
    control_answer(&control, 1, 0, "done", "");
    turn(3);
    assert_int_equal(hear(fd), -1);
    (void)close(fd);
    turn(2);
}

static void test_many_details(void **state _unused_)
{
    static char details[8192];
    int fd = asks(RELOAD, sizeof(RELOAD));

    for (size_t i = 0; i + 1 < sizeof(details); i++)
        details[i] = i % 40 == 39 ? '\n' : '\x01'; /* six bytes each in JSON */
    control_answer(&control, 1, 0, "done", details);
    turn(3);
    assert_true(hear(fd) > 6 * 7900);
    (void)close(fd);
    turn(2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answer_comes_later, begin, teardown),
        cmocka_unit_test_setup_teardown(test_bad_file, begin, teardown),
        cmocka_unit_test_setup_teardown(test_each_waits_for_its_own, begin, teardown),
        cmocka_unit_test_setup_teardown(test_further_requests_wait, begin, teardown),
        cmocka_unit_test_setup_teardown(test_who_leaves, begin, teardown),
        cmocka_unit_test_setup_teardown(test_many_details, begin, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
