/* Pause, Resume and Hold: what reaches the daemon, from whom, and what is answered. */
#include "clients.h"

#define PAUSE(group) "{\"method\":\"io.headroom.Pause\",\"parameters\":{\"group\":\"" group "\"}}"
#define HOLD(usec) "{\"method\":\"io.headroom.Hold\",\"parameters\":{\"usec\":" usec "}}"

#define OFFLOAD(group, bytes)                                                                                \
    "{\"method\":\"io.headroom.Offload\",\"parameters\":{\"group\":\"" group "\",\"bytes\":" bytes "}}"

static struct control_command commanded;
static unsigned commands;
static int command_result;

static int command(void *user, const struct control_command *c, char *ret_text, size_t size)
{
    assert_ptr_equal(user, &control);
    assert_int_equal(size, CONTROL_TEXT_MAX);
    commanded = *c;
    commands++;
    (void)snprintf(ret_text, size, "as it were");
    control_notify(&control); /* a decision has ended */
    return command_result;
}

/* By somebody who may change things; what was answered. */
static const char *reply_to(const char *request)
{
    size_t n;

    assert_int_equal(
        control_handle(&control, request, strlen(request), true, true, reply, sizeof(reply) - 1, &n), 0);
    reply[n] = '\0';
    return reply;
}

static void test_commands(void **state)
{
    (void)state;
    control.command = command;
    command_result = 0;
    commands = 0;
    assert_string_equal(reply_to(PAUSE("workload.slice/a b#17")),
                        "{\"parameters\":{\"text\":\"as it were\"}}");
    assert_int_equal(commanded.verb, CONTROL_PAUSE);
    assert_string_equal(commanded.group, "workload.slice/a b#17");
    assert_string_equal(reply_to("{\"method\":\"io.headroom.Resume\",\"parameters\":{\"group\":\"\u00e9\"}}"),
                        "{\"parameters\":{\"text\":\"as it were\"}}");
    assert_int_equal(commanded.verb, CONTROL_RESUME);
    assert_string_equal(commanded.group, "\xc3\xa9");
    assert_string_equal(reply_to(HOLD("3600000000")), "{\"parameters\":{\"text\":\"as it were\"}}");
    assert_int_equal(commanded.verb, CONTROL_HOLD);
    assert_true(commanded.usec == UINT64_C(3600000000) && commanded.group[0] == '\0');
    (void)reply_to(HOLD("0"));
    assert_true(commanded.usec == 0);
    (void)reply_to(HOLD("9223372036854775807"));
    assert_true(commanded.usec == INT64_MAX);
    assert_string_equal(reply_to(OFFLOAD("a", "4096")), "{\"parameters\":{\"text\":\"as it were\"}}");
    assert_int_equal(commanded.verb, CONTROL_OFFLOAD);
    assert_string_equal(commanded.group, "a");
    assert_true(commanded.bytes == 4096);
    assert_int_equal(commands, 6);
}

static void test_commands_that_fail(void **state)
{
    static const struct {
        int result;
        const char *error;
    } cases[] = {
        {-ENOENT, "NoSuchGroup"},     {-EPERM, "NotAllowed"}, {-EBUSY, "Busy"},
        {-EOPNOTSUPP, "NotPossible"}, {-ENOSPC, "Failed"},    {-EIO, "Failed"},
    };
    char expected[128];

    (void)state;
    control.command = command;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        command_result = cases[i].result;
        (void)snprintf(expected, sizeof(expected),
                       "{\"error\":\"io.headroom.%s\",\"parameters\":{\"text\":\"as it were\"}}",
                       cases[i].error);
        assert_string_equal(reply_to(PAUSE("a")), expected);
    }
    control.command = NULL;
    assert_non_null(strstr(reply_to(PAUSE("a")), "io.headroom.NotPossible"));
    assert_non_null(strstr(reply, "not possible here"));
    assert_non_null(strstr(reply_to(HOLD("1")), "not possible here"));
}

/* Who may read is not thereby one who may change something, and is not told whether his request was sound. */
static void test_commands_are_not_for_all(void **state)
{
    static const char *const requests[] = {
        PAUSE("a"),
        "{\"method\":\"io.headroom.Resume\",\"parameters\":{\"group\":\"a\"}}",
        HOLD("0"),
        HOLD("-1"),
        OFFLOAD("a", "4096"),
        "{\"method\":\"io.headroom.Pause\"}",
    };

    (void)state;
    control.command = command;
    commands = 0;
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
        for (unsigned reads = 0; reads < 2; reads++) {
            assert_string_equal(error_to(requests[i], reads), "io.headroom.PermissionDenied");
            control.command = command;
        }
    assert_int_equal(commands, 0);
}

static void test_commands_that_are_wrong(void **state)
{
    static const char *const requests[] = {
        "{\"method\":\"io.headroom.Pause\"}",
        "{\"method\":\"io.headroom.Pause\",\"parameters\":[]}",
        "{\"method\":\"io.headroom.Pause\",\"parameters\":{\"group\":7}}",
        "{\"method\":\"io.headroom.Resume\",\"parameters\":{\"usec\":7}}",
        PAUSE(""),
        PAUSE("a\\u0000b"),
        PAUSE("\xff"),
        "{\"method\":\"io.headroom.Hold\"}",
        HOLD("-1"),
        HOLD("1.5"),
        HOLD("\"1h\""),
        HOLD("9223372036854775808"),
        OFFLOAD("a", "0"),
        OFFLOAD("a", "-1"),
        OFFLOAD("a", "\"4M\""),
        OFFLOAD("", "4096"),
        "{\"method\":\"io.headroom.Offload\",\"parameters\":{\"group\":\"a\"}}",
    };
    char text[GROUP_PATH_MAX + 128];
    int whole;

    (void)state;
    control.command = command;
    command_result = 0;
    commands = 0;
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
        assert_non_null(strstr(reply_to(requests[i]), "org.varlink.service.InvalidParameter"));
    assert_int_equal(commands, 0);
    for (int length = GROUP_PATH_MAX - 2; length < GROUP_PATH_MAX + 2; length++) {
        whole = snprintf(text, sizeof(text), PAUSE("%0*d"), length, 0);
        assert_true(whole > 0 && (size_t)whole < sizeof(text));
        assert_int_equal(strstr(reply_to(text), "InvalidParameter") == NULL, length < GROUP_PATH_MAX);
    }
    assert_int_equal(commands, 2);
    assert_int_equal(strlen(commanded.group), GROUP_PATH_MAX - 1);
}

/* Root only, however open the status is. */
static void test_who_may_change(void **state)
{
    int fd;

    (void)state;
    if (geteuid() != 0)
        skip();
    control.command = command;
    command_result = 0;
    commands = 0;
    control.group = 65534;
    control.access_all = true;
    assert_int_equal(ask_as_nobody(PAUSE("a")), 1);
    assert_int_equal(ask_as_nobody(HOLD("0")), 1);
    assert_int_equal(commands, 0);
    fd = join();
    say(fd, PAUSE("a"), sizeof(PAUSE("a")));
    turn(2);
    assert_true(hear(fd) > 0);
    assert_non_null(strstr(reply, "as it were"));
    assert_int_equal(commands, 1);
    (void)close(fd);
    turn(2);
}

static struct record_ring ring;

static int command_that_decides(void *user, const struct control_command *c, char *ret_text, size_t size)
{
    static struct decision d;

    memset(&d, 0, sizeof(d));
    d.reason = DECISION_PAUSE;
    d.trigger.detail = "operator";
    d.victims[0].why = PAUSE_WHY_OPERATOR;
    d.victim_count = 1;
    (void)record_ring_add(&ring, &d, NULL, &snapshot);
    d.ended = true;
    record_ring_set_outcome(&ring, &d);
    return command(user, c, ret_text, size);
}

/* A command ends a decision, which those who follow are told of while its own answer is still to be made. */
static void test_command_is_followed(void **state)
{
    static const char follow[] =
        "{\"method\":\"io.headroom.Events\",\"parameters\":{\"follow\":true},\"more\":true}";
    int listener = join();
    ssize_t n;

    (void)state;
    record_ring_init(&ring);
    snapshot.group_count = 0;
    control.ring = &ring;
    control.config = &config;
    control.command = command_that_decides;
    command_result = 0;
    control.clients[0].may_read = true; /* where we are not root */
    say(listener, follow, sizeof(follow));
    turn(2);
    assert_int_equal(hear(listener), -1);
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(reply_to(PAUSE("a")), "{\"parameters\":{\"text\":\"as it were\"}}");
        turn(3);
        n = hear(listener);
        assert_true(n > 100 && reply[n - 1] == '\0');
        assert_non_null(strstr(reply, "\"action\":\"pause\""));
        assert_non_null(strstr(reply, "\"why\":\"operator\""));
    }
    (void)close(listener);
    turn(3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_commands),
        TEST(test_commands_that_fail),
        TEST(test_commands_are_not_for_all),
        TEST(test_commands_that_are_wrong),
        TEST(test_who_may_change),
        TEST(test_command_is_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
