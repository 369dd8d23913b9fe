/* What the keeper tells somebody who does not listen for a while. */
#include "daemon/keeper_news.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct keeper_queue q;
static int far_fd;

static int setup(void **state)
{
    int pair[2];

    (void)state;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -1;
    memset(&q, 0, sizeof(q));
    q.fd = pair[0];
    far_fd = pair[1];
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)close(q.fd);
    (void)close(far_fd);
    return 0;
}

static void tell(uint64_t id)
{
    struct keeper_message m = {.kind = KEEPER_DRIFT, .id = id};

    keeper_queue_tell(&q, &m);
}

static bool receive(struct keeper_message *ret)
{
    return recv(far_fd, ret, sizeof(*ret), 0) == (ssize_t)sizeof(*ret);
}

static void test_all_come_in_their_order(void **state)
{
    struct keeper_message m;
    uint64_t told = 0, next = 0;

    (void)state;
    while (q.count < KEEPER_NEWS_MAX)
        tell(told++);
    assert_true(told > KEEPER_NEWS_MAX); /* the socket holds some, too */
    while (next < told / 2) {
        for (; receive(&m); next++)
            assert_true(m.id == next);
        keeper_queue_flush(&q);
    }
    while (q.count < KEEPER_NEWS_MAX)
        tell(told++);
    while (next < told) {
        for (; receive(&m); next++)
            assert_true(m.kind == KEEPER_DRIFT && m.id == next);
        keeper_queue_flush(&q);
    }
    assert_int_equal(q.count, 0);
    assert_true(q.lost == 0);
}

static void test_what_is_lost_is_said(void **state)
{
    struct keeper_message m;
    uint64_t told = 0, next = 0;
    bool said = false;

    (void)state;
    while (q.count < KEEPER_NEWS_MAX)
        tell(told++);
    for (unsigned i = 0; i < 3; i++)
        tell(UINT64_MAX);
    assert_true(q.lost == 3);
    for (; !said; keeper_queue_flush(&q))
        while (receive(&m)) {
            said = m.kind == KEEPER_SAYS;
            assert_true(said || m.id == next++);
        }
    assert_true(next == told); /* behind the rest */
    assert_non_null(strstr(m.path, " 3 events "));
    assert_true(memchr(m.path, '\0', sizeof(m.path)) != NULL);
    assert_true(q.lost == 0 && q.count == 0);
    tell(1);
    assert_true(receive(&m) && m.id == 1);
}

static void test_nobody_is_there(void **state)
{
    (void)state;
    (void)close(far_fd);
    far_fd = -1;
    for (unsigned i = 0; i < 10; i++)
        tell(i);
    assert_int_equal(q.count, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_come_in_their_order),
        TEST(test_what_is_lost_is_said),
        TEST(test_nobody_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
