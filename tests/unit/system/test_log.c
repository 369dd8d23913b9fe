/* One log a process: each test points it at a pipe of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/macros.h"
#include "system/log.h"

static int pipe_fds[2];
static char text[1 << 18];

static int setup(void **state)
{
    (void)state;
    if (pipe(pipe_fds) < 0 || fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK) < 0)
        return -1;
    log_init(pipe_fds[1]);
    log_set_least(LOG_PRIO_INFO);
    return 0;
}

static size_t drain(void)
{
    size_t length = 0;
    ssize_t n;

    while ((n = read(pipe_fds[0], text + length, sizeof(text) - 1 - length)) > 0)
        length += (size_t)n;
    text[length] = '\0';
    return length;
}

/* Reads and flushes in turn until nothing is left. */
static size_t drain_all(void)
{
    size_t length = 0;
    bool more = true;

    while (more) {
        ssize_t n;

        more = !log_flush();
        while ((n = read(pipe_fds[0], text + length, sizeof(text) - 1 - length)) > 0) {
            length += (size_t)n;
            more = true;
        }
    }
    text[length] = '\0';
    return length;
}

static int teardown(void **state)
{
    int own = log_fd();

    (void)state;
    (void)drain_all();
    if (own != pipe_fds[1])
        (void)close(own);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
    return 0;
}

static void test_lines(void **state _unused_)
{
    log_line(LOG_PRIO_INFO, "a=%d", 1);
    log_line(LOG_PRIO_DEBUG, "not wanted");
    log_line(LOG_PRIO_ERROR, "b=%s", "2");
    (void)drain();
    assert_string_equal(text, "a=1\nb=2\n");
    log_set_least(LOG_PRIO_DEBUG);
    log_line(LOG_PRIO_DEBUG, "wanted");
    (void)drain();
    assert_string_equal(text, "wanted\n");
}

static void test_one_line_each(void **state _unused_)
{
    log_line(LOG_PRIO_INFO, "a=%s", "x\ny\n\nz\n");
    (void)drain();
    assert_string_equal(text, "a=x y  z \n");
}

static void test_long_line_is_cut(void **state _unused_)
{
    static char big[LOG_LINE_MAX * 2];

    memset(big, 'x', sizeof(big) - 1);
    log_line(LOG_PRIO_INFO, "%s", big);
    log_line(LOG_PRIO_INFO, "next");
    assert_int_equal(drain(), LOG_LINE_MAX - 1 + 5);
    assert_int_equal(text[LOG_LINE_MAX - 2], '\n');
    assert_string_equal(text + LOG_LINE_MAX - 1, "next\n");
}

/* Whoever shares the descriptor finds it as it was. */
static void test_flags_are_left(void **state _unused_)
{
    assert_int_equal(fcntl(pipe_fds[1], F_GETFL) & O_NONBLOCK, 0);
    assert_int_not_equal(log_fd(), pipe_fds[1]);
    assert_int_not_equal(fcntl(log_fd(), F_GETFL) & O_NONBLOCK, 0);
    assert_int_not_equal(fcntl(log_fd(), F_GETFD) & FD_CLOEXEC, 0);
}

/* Nobody reads: the lines wait, then are counted; when it goes on, all that waited comes in order and whole,
 * and the number of the lost ones is said. */
static void test_nobody_reads(void **state _unused_)
{
    const unsigned count = 12000;
    uint64_t dropped = log_dropped(), lost;
    unsigned next = 0, said = 0;
    char *at;

    for (unsigned i = 0; i < count; i++)
        log_line(LOG_PRIO_INFO, "line=%05u", i);
    lost = log_dropped() - dropped;
    assert_true(lost > 0 && lost < count);
    assert_false(log_flush());
    (void)drain_all();
    log_line(LOG_PRIO_INFO, "line=%05u", count);
    for (at = text; *at; at = strchr(at, '\n') + 1)
        assert_int_equal(atoi(at + 5), next++);
    assert_int_equal(next, count - lost); /* the last ones are the ones that were lost */
    (void)drain();
    assert_int_equal(sscanf(text, "log_lines_dropped=%u\n", &said), 1);
    assert_int_equal(said, lost);
    assert_non_null(strstr(text, "line=12000\n"));
    log_line(LOG_PRIO_INFO, "calm");
    (void)drain();
    assert_string_equal(text, "calm\n"); /* said once */
}

/* The ring's end comes in the middle of a line, at any place of it. */
static void test_wraps(void **state _unused_)
{
    static char filler[4096];

    for (unsigned round = 0; round < 200; round++) {
        unsigned n = 1 + round * 37 % 1500;

        memset(filler, 'f', n);
        filler[n] = '\0';
        while (log_flush()) /* until the pipe is full, and then two lines more */
            log_line(LOG_PRIO_INFO, "%s", filler);
        log_line(LOG_PRIO_INFO, "first=%u", round);
        log_line(LOG_PRIO_INFO, "second=%u", round);
        (void)drain_all();
        for (char *at = text; *at; at = strchr(at, '\n') + 1) {
            size_t length = strcspn(at, "\n");

            if (*at == 'f' && at[1] != 'i')
                assert_int_equal(length, n);
            else
                assert_true(strncmp(at, "first=", 6) == 0 || strncmp(at, "second=", 7) == 0);
        }
        assert_non_null(strstr(text, "\nfirst="));
        assert_non_null(strstr(text, "\nsecond="));
    }
}

/* The reader has gone for good: every line that nobody will see is counted, and nothing blocks or ends us. */
static void test_reader_gone(void **state _unused_)
{
    uint64_t dropped;

    (void)signal(SIGPIPE, SIG_IGN);
    while (log_flush())
        log_line(LOG_PRIO_INFO, "%s", "filling the pipe, with a line of some length");
    dropped = log_dropped();
    log_line(LOG_PRIO_INFO, "one");
    log_line(LOG_PRIO_INFO, "two");
    (void)drain(); /* so that it can be written to again, and then fails */
    (void)close(pipe_fds[0]);
    log_line(LOG_PRIO_INFO, "three");
    assert_true(log_flush());
    assert_in_range(log_dropped() - dropped, 3, 6); /* and what was in the ring of the fillers */
    pipe_fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void test_closed(void **state _unused_)
{
    int own = log_fd();

    (void)close(own);
    for (unsigned i = 0; i < 10000; i++)
        log_line(LOG_PRIO_INFO, "nobody is there");
    assert_int_equal(dup2(pipe_fds[1], own), own);
}

/* A regular file: no signal, no loss, always at its end. */
static void test_file(void **state _unused_)
{
    char path[] = "/tmp/headroom-test-XXXXXX";
    int fd = mkstemp(path);
    ssize_t n;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "before\n", 7), 7);
    log_init(fd);
    log_line(LOG_PRIO_INFO, "a");
    n = pread(fd, text, sizeof(text), 0); /* with the count of what the tests before this one lost */
    assert_true(n >= 9);
    assert_memory_equal(text, "before\n", 7);
    assert_memory_equal(text + n - 2, "a\n", 2);
    if (log_fd() != fd)
        (void)close(log_fd());
    (void)close(fd);
    (void)unlink(path);
    log_init(pipe_fds[1]);
}

/* journald's own stream gets the priority in front. */
static void test_journal_stream(void **state _unused_)
{
    char name[64];
    struct stat st;

    assert_int_equal(fstat(pipe_fds[1], &st), 0);
    (void)snprintf(name, sizeof(name), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    (void)close(log_fd());
    assert_int_equal(setenv("JOURNAL_STREAM", name, 1), 0);
    log_init(pipe_fds[1]);
    log_line(LOG_PRIO_WARNING, "a");
    (void)drain();
    assert_string_equal(text, "<4>a\n");
    (void)close(log_fd());
    assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
    log_init(pipe_fds[1]);
    log_line(LOG_PRIO_WARNING, "a");
    (void)drain();
    assert_string_equal(text, "a\n");
    assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_lines),          TEST(test_one_line_each), TEST(test_long_line_is_cut),
        TEST(test_flags_are_left), TEST(test_nobody_reads),  TEST(test_wraps),
        TEST(test_reader_gone),    TEST(test_closed),        TEST(test_file),
        TEST(test_journal_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
