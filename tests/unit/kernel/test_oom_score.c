#include "fixture.h"

#include <signal.h>
#include <sys/wait.h>

#include "kernel/oom_score.h"

static int parse(const char *buf, size_t length, void *ret)
{
    return oom_score_parse_adj(buf, length, ret);
}

static void test_parse(void **state _unused_)
{
    static const struct {
        const char *in;
        int r, adj;
    } table[] = {
        {"0\n", 0, 0},
        {"1000\n", 0, 1000},
        {"-1000\n", 0, -1000},
        {"-997", 0, -997},
        {"1001\n", -EBADMSG, 0},
        {"-1001\n", -EBADMSG, 0},
        {"18446744073709551617\n", -EBADMSG, 0},
        {"-18446744073709551615\n", -EBADMSG, 0},
        {"4294967296\n", -EBADMSG, 0},
        {"+5\n", -EBADMSG, 0},
        {"--5\n", -EBADMSG, 0},
        {"-\n", -EBADMSG, 0},
        {"- 5\n", -EBADMSG, 0},
        {"5 \n", -EBADMSG, 0},
        {"5\r\n", -EBADMSG, 0},
        {"5\n6\n", -EBADMSG, 0},
        {"5.0\n", -EBADMSG, 0},
        {"\n", -EBADMSG, 0},
        {"", -EBADMSG, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        int adj = 77;

        assert_int_equal(oom_score_parse_adj(table[i].in, strlen(table[i].in), &adj), table[i].r);
        assert_int_equal(adj, table[i].r == 0 ? table[i].adj : 77);
    }
    for (int adj = -1000; adj <= 1000; adj++) {
        char buf[16];
        int back;

        (void)snprintf(buf, sizeof(buf), "%d\n", adj);
        assert_int_equal(oom_score_parse_adj(buf, strlen(buf), &back), 0);
        assert_int_equal(back, adj);
    }
    hostile_all(parse, "-997\n", -EBADMSG);
}

static void test_files(void **state)
{
    const struct fixture *f = *state;
    char buf[16];
    int adj = 77;

    assert_int_equal(oom_score_read_adj(f->fd, 7, &adj), -ENOENT);
    assert_int_equal(oom_score_write_adj(f->fd, 7, 5), -ENOENT);
    fixture_write(f, "proc/7/oom_score_adj", "-1000\n");
    assert_int_equal(oom_score_write_adj(f->fd, 7, 1001), -EINVAL);
    assert_int_equal(oom_score_write_adj(f->fd, 7, -1001), -EINVAL);
    assert_int_equal(oom_score_read_adj(f->fd, 7, &adj), 0);
    assert_int_equal(adj, -1000);
    assert_int_equal(oom_score_write_adj(f->fd, 7, 9), 0);
    fixture_read(f->fd, "proc/7/oom_score_adj", buf, sizeof(buf));
    assert_string_equal(buf, "9");
    fixture_write(f, "proc/7/oom_score_adj", "");
    assert_int_equal(oom_score_read_adj(f->fd, 7, &adj), -ENODATA);
}

/* A child of ours may be made more likely to go without any capability. */
static void test_live(void **state _unused_)
{
    _cleanup_close_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int before, after, r;
    pid_t child = fork();

    if (child == 0)
        for (;;)
            (void)pause();
    assert_true(child > 0);
    assert_int_equal(oom_score_read_adj(root, child, &before), 0);
    r = oom_score_write_adj(root, child, 1000);
    if (r == 0) {
        assert_int_equal(oom_score_read_adj(root, child, &after), 0);
        assert_int_equal(after, 1000);
    }
    (void)kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(r == 0 || r == -EACCES || r == -EPERM || r == -EROFS);
    r = oom_score_read_adj(root, child, &after);
    assert_true(r == -ENOENT || r == -ESRCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test_setup_teardown(test_files, fixture_setup, fixture_teardown),
        cmocka_unit_test(test_live),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
