/* The process that runs hooks, with real commands: what they are given, and that none of them holds it up. */
#include "../kernel/fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "action/hook.h"
#include "system/companion.h"

#define PATIENCE_MSEC 30000

struct hooks {
    const struct fixture *f;
    struct hook_counts *counts;
    struct hook_counts counts_at_end;
    struct hook_keeper keeper;
    int fd;
};

static void hooks_start(struct hooks *h, const struct fixture *f)
{
    int pair[2];

    *h = (struct hooks){.f = f};
    h->counts = mmap(NULL, sizeof(*h->counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(h->counts != MAP_FAILED);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    h->fd = pair[0];
    h->keeper = (struct hook_keeper){.fd = pair[1], .counts = h->counts};
    hook_keeper_start(&h->keeper, 1000000);
    assert_true(h->keeper.pid > 0);
}

/* End-of-file ends the runner, when all that was told is done. */
static void hooks_end(struct hooks *h)
{
    int status;

    close_fdp(&h->fd);
    assert_int_equal(waitpid(h->keeper.pid, &status, 0), h->keeper.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)close(h->keeper.fd);
    h->counts_at_end = *h->counts;
    (void)munmap(h->counts, sizeof(*h->counts));
}

static void script(const struct hooks *h, const char *name, const char *text)
{
    char full[PATH_MAX];

    fixture_write(h->f, name, text);
    (void)snprintf(full, sizeof(full), "%s/%s", h->f->path, name);
    assert_int_equal(chmod(full, 0755), 0);
}

static struct hook_event event(const struct hooks *h, const char *name, enum hook_kind kind)
{
    struct hook_event e = {.kind = kind,
                           .timeout_usec = 20000000,
                           .level = LEVEL_CRITICAL,
                           .level_before = LEVEL_LOW,
                           .reason = "need",
                           .trigger = "event high",
                           .limit_bytes = 1000,
                           .used_bytes = 1100,
                           .need_bytes = 200,
                           .room_bytes = -100,
                           .time_left_usec = 0,
                           .decision = 7,
                           .victim_number = 1,
                           .victim_count = 2,
                           .victim = "workload.slice/task-1",
                           .victim_id = 4711,
                           .class_name = "batch",
                           .age_usec = 5,
                           .progress_usec = 6,
                           .expected_bytes = 300,
                           .gone = 1,
                           .freed_bytes = 250,
                           .outcome_usec = 9000};

    assert_true(strlen(h->f->path) < 110);
    (void)snprintf(e.command, sizeof(e.command), "%.110s/%.20s %.110s", h->f->path, name, h->f->path);
    return e;
}

static void tell(const struct hooks *h, const struct hook_event *e)
{
    assert_int_equal(send(h->fd, e, sizeof(*e), 0), sizeof(*e));
}

static void wait_count(const uint64_t *count, uint64_t least)
{
    for (unsigned i = 0; i < PATIENCE_MSEC / 10; i++) {
        if (__atomic_load_n(count, __ATOMIC_RELAXED) >= least)
            return;
        (void)usleep(10000);
    }
    fail_msg("not counted in time");
}

static bool exists(const struct hooks *h, const char *name)
{
    return faccessat(h->f->fd, name, F_OK, 0) == 0;
}

static const char *find(char *const *list, const char *name)
{
    size_t n = strlen(name);

    for (; *list; list++)
        if (strncmp(*list, name, n) == 0 && (*list)[n] == '=')
            return *list + n + 1;
    return NULL;
}

static void test_environment(void **state)
{
    struct hooks h = {.f = *state};
    char storage[HOOK_ENV_BYTES], *list[HOOK_ENV_MAX];
    struct hook_event e = event(&h, "x", HOOK_POST_KILL);

    assert_true(hook_environment(&e, storage, list) < HOOK_ENV_MAX);
    assert_string_equal(find(list, "HEADROOM_EVENT"), "post-kill");
    assert_string_equal(find(list, "HEADROOM_LEVEL"), "critical");
    assert_string_equal(find(list, "HEADROOM_REASON"), "need");
    assert_string_equal(find(list, "HEADROOM_TRIGGER"), "event high");
    assert_string_equal(find(list, "HEADROOM_VICTIM"), "workload.slice/task-1");
    assert_string_equal(find(list, "HEADROOM_CLASS"), "batch");
    assert_string_equal(find(list, "HEADROOM_ROOM_BYTES"), "-100");
    assert_string_equal(find(list, "HEADROOM_NEED_BYTES"), "200");
    assert_string_equal(find(list, "HEADROOM_FREED_BYTES"), "250");
    assert_string_equal(find(list, "HEADROOM_DECISION"), "7");
    assert_null(find(list, "HEADROOM_VICTIM_PID"));
    assert_null(find(list, "HEADROOM_LEVEL_BEFORE"));
    e = event(&h, "x", HOOK_ON_LEVEL);
    e.time_left_usec = UINT64_MAX;
    (void)hook_environment(&e, storage, list);
    assert_string_equal(find(list, "HEADROOM_EVENT"), "level");
    assert_string_equal(find(list, "HEADROOM_LEVEL_BEFORE"), "low");
    assert_null(find(list, "HEADROOM_VICTIM"));
    assert_null(find(list, "HEADROOM_TIME_LEFT_USEC"));
}

/* Names are chosen by those who are killed. */
static void test_values_are_safe(void **state)
{
    struct hooks h = {.f = *state};
    char storage[HOOK_ENV_BYTES], *list[HOOK_ENV_MAX], copy[8];
    struct hook_event e = event(&h, "x", HOOK_PRE_KILL);

    (void)snprintf(e.victim, sizeof(e.victim), "a\nPATH=/tmp\x1b[2J\x7f\xff;$(b)");
    e.victim_pid = 12;
    memset(e.victim_comm, 'c', sizeof(e.victim_comm) - 1);
    memset(e.class_name, 'k', sizeof(e.class_name) - 1);
    (void)hook_environment(&e, storage, list);
    assert_string_equal(find(list, "HEADROOM_VICTIM"), "a?PATH=/tmp?[2J??;$(b)");
    assert_string_equal(find(list, "HEADROOM_VICTIM_PID"), "12");
    /* The longest of all fit. */
    memset(e.victim, 'v', sizeof(e.victim) - 1);
    e.victim[sizeof(e.victim) - 1] = 0;
    e.limit_bytes = e.used_bytes = e.need_bytes = e.victim_id = e.age_usec = e.progress_usec = UINT64_MAX;
    e.kind = HOOK_POST_KILL;
    (void)hook_environment(&e, storage, list);
    assert_int_equal(strlen(find(list, "HEADROOM_VICTIM")), sizeof(e.victim) - 1);
    assert_non_null(find(list, "HEADROOM_OUTCOME_USEC"));
    hook_copy_safe(copy, sizeof(copy), "0123456789");
    assert_string_equal(copy, "0123456");
    hook_copy_safe(copy, sizeof(copy), NULL);
    assert_string_equal(copy, "");
}

static void test_runs(void **state)
{
    struct hook_event e;
    struct hooks h;
    char text[4096];

    (void)setenv("SECRET_OF_OURS", "1", 1);
    hooks_start(&h, *state);
    script(&h, "hook",
           "#!/bin/sh\n{ env; echo args=$#; ls /proc/self/fd | tr '\\n' ,; echo; grep Sig /proc/self/status\n"
           "echo fd2=$(readlink /proc/self/fd/2); cut -d' ' -f1,5 /proc/$$/stat; pwd; } >$1/out.tmp\n"
           "mv $1/out.tmp $1/out\n");
    e = event(&h, "hook", HOOK_POST_KILL);
    tell(&h, &e);
    hooks_end(&h);
    fixture_read(h.f->fd, "out", text, sizeof(text));
    assert_non_null(strstr(text, "HEADROOM_VICTIM=workload.slice/task-1\n"));
    assert_non_null(strstr(text, "HEADROOM_FREED_BYTES=250\n"));
    assert_null(strstr(text, "SECRET_OF_OURS"));
    assert_non_null(strstr(text, "args=1\n"));
    assert_non_null(strstr(text, "\n0,1,2,3,\n")); /* 3 is the directory that ls reads */
    assert_non_null(strstr(text, "SigBlk:\t0000000000000000"));
    /* 32 and 33 are the C library's own; its posix_spawn ignores them (glibc 2.36) */
    assert_non_null(strstr(text, "SigIgn:\t"));
    assert_int_equal(strtoull(strstr(text, "SigIgn:\t") + 8, NULL, 16) & ~(UINT64_C(3) << 31), 0);
    assert_non_null(strstr(text, "fd2=/dev/null"));
}

static void test_failing_and_missing(void **state)
{
    struct hook_event e;
    struct hooks h;

    hooks_start(&h, *state);
    script(&h, "bad", "#!/bin/sh\nexit 3\n");
    script(&h, "good", "#!/bin/sh\ntouch $1/done\n");
    fixture_write(h.f, "not-executable", "x");
    e = event(&h, "bad", HOOK_PRE_KILL);
    tell(&h, &e);
    e = event(&h, "no-such-file", HOOK_PRE_KILL);
    tell(&h, &e);
    e = event(&h, "not-executable", HOOK_PRE_KILL);
    tell(&h, &e);
    e = event(&h, "good", HOOK_PRE_KILL);
    tell(&h, &e);
    wait_count(&h.counts->failed, 3);
    wait_count(&h.counts->run, 2);
    hooks_end(&h);
    assert_true(exists(&h, "done"));
}

static pid_t read_pid(const struct hooks *h, const char *name)
{
    char text[32];

    fixture_read(h->f->fd, name, text, sizeof(text));
    return (pid_t)atoi(text);
}

/* What hangs is killed when its time is over, with those that it started, and those that left its group. */
static void test_hanging(void **state)
{
    static const char *const names[] = {"own", "child", "stray"};
    struct hook_event e;
    struct hooks h;

    hooks_start(&h, *state);
    script(&h, "hang",
           "#!/bin/sh\ntrap '' TERM\nsetsid sh -c 'echo $$ >'$1'/stray; exec sleep 1000' &\n"
           "sleep 1000 &\necho $! >$1/child\necho $$ >$1/own\n"
           "while [ ! -s $1/stray ]; do sleep 0.01; done\ntouch $1/all\nwhile :; do sleep 1; done\n");
    script(&h, "next", "#!/bin/sh\ntouch $1/next-ran\n");
    e = event(&h, "hang", HOOK_PRE_KILL);
    e.timeout_usec = 3000000;
    tell(&h, &e);
    e = event(&h, "next", HOOK_PRE_KILL);
    tell(&h, &e);
    wait_count(&h.counts->timed_out, 1);
    hooks_end(&h);
    assert_true(exists(&h, "next-ran"));
    assert_true(exists(&h, "all"));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        assert_true(kill(read_pid(&h, names[i]), 0) < 0 && errno == ESRCH);
}

/* A child that goes on after its parent has ended is not left behind either. */
static void test_left_behind(void **state)
{
    struct hook_event e;
    struct hooks h;

    hooks_start(&h, *state);
    script(&h, "leave", "#!/bin/sh\nsetsid sleep 1000 &\necho $! >$1/stray\nexit 0\n");
    e = event(&h, "leave", HOOK_ON_LEVEL);
    tell(&h, &e);
    hooks_end(&h);
    assert_true(kill(read_pid(&h, "stray"), 0) < 0 && errno == ESRCH);
}

/* While one hangs, what is told is kept up to a bound and the rest counted; of levels the last one counts. */
static void test_queue_is_bounded(void **state)
{
    struct hook_event e, level;
    struct hooks h;
    char text[64];

    hooks_start(&h, *state);
    script(&h, "hang", "#!/bin/sh\nwhile [ ! -e $1/go ]; do sleep 0.02; done\n");
    script(&h, "level", "#!/bin/sh\necho $HEADROOM_LEVEL_BEFORE $HEADROOM_LEVEL >>$1/levels\n");
    script(&h, "quick", "#!/bin/sh\n");
    e = event(&h, "hang", HOOK_PRE_KILL);
    tell(&h, &e);
    wait_count(&h.counts->run, 1);
    level = event(&h, "level", HOOK_ON_LEVEL);
    level.level_before = LEVEL_CALM;
    level.level = LEVEL_MEDIUM;
    tell(&h, &level);
    level.level_before = LEVEL_MEDIUM;
    level.level = LEVEL_LOW;
    tell(&h, &level);
    e = event(&h, "quick", HOOK_PRE_KILL);
    for (unsigned i = 0; i < HOOK_QUEUE_MAX + 9; i++)
        tell(&h, &e);
    wait_count(&h.counts->dropped, 10); /* one of the places is the level's */
    assert_int_equal(h.counts->dropped, 10);
    fixture_write(h.f, "go", "");
    wait_count(&h.counts->run, 1 + HOOK_QUEUE_MAX);
    fixture_read(h.f->fd, "levels", text, sizeof(text));
    assert_string_equal(text, "calm low\n");
    hooks_end(&h);
}

/* After end-of-file all that is left has one time limit together. */
static void test_end_is_bounded(void **state)
{
    struct hook_event e;
    struct hooks h;

    hooks_start(&h, *state);
    script(&h, "hang", "#!/bin/sh\necho >>$1/runs\nsleep 1000\n");
    e = event(&h, "hang", HOOK_PRE_KILL);
    e.timeout_usec = 60000000;
    tell(&h, &e);
    wait_count(&h.counts->run, 1);
    e.timeout_usec = 1000000;
    for (unsigned i = 0; i < 20; i++)
        tell(&h, &e);
    (void)close(h.fd);
    h.fd = -1;
    wait_count(&h.counts->dropped, 20);
    hooks_end(&h);
    assert_int_equal(h.counts_at_end.run, 1);
    assert_int_equal(h.counts_at_end.timed_out, 1);
}

/* A runner that was killed is followed by another one when the next message comes. */
static void test_keeper_starts_another(void **state)
{
    struct hook_event e;
    struct hooks h;
    uint64_t now = 1000000;
    pid_t first;

    hooks_start(&h, *state);
    first = h.keeper.pid;
    assert_int_equal(hook_keeper_fd(&h.keeper, now), -1);
    assert_int_equal(kill(first, SIGKILL), 0);
    for (unsigned i = 0; i < PATIENCE_MSEC / 10 && h.keeper.pid != 0; i++) {
        hook_keeper_check(&h.keeper, false, now);
        (void)usleep(10000);
    }
    assert_int_equal(h.keeper.pid, 0);
    assert_int_equal(hook_keeper_fd(&h.keeper, now), -1); /* not at once: a fork that fails is not repeated */
    now += 1000000;
    assert_int_equal(hook_keeper_fd(&h.keeper, now), h.keeper.fd);
    script(&h, "quick", "#!/bin/sh\ntouch $1/done\n");
    e = event(&h, "quick", HOOK_PRE_KILL);
    tell(&h, &e);
    hook_keeper_check(&h.keeper, true, now);
    assert_true(h.keeper.pid > 0 && h.keeper.pid != first);
    hooks_end(&h);
    assert_true(exists(&h, "done"));
}

/* One whose guardian has died does what it was told and makes way for the next guardian's. */
static void test_ends_with_its_keeper(void **state)
{
    struct hook_event e;
    struct hooks h;
    pid_t keeper, *runner;
    int pair[2];

    h = (struct hooks){.f = *state};
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    h.fd = pair[0];
    h.counts = mmap(NULL, sizeof(*h.counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    runner = mmap(NULL, sizeof(*runner), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(h.counts != MAP_FAILED && runner != MAP_FAILED);
    keeper = fork();
    assert_true(keeper >= 0);
    if (keeper == 0) {
        h.keeper = (struct hook_keeper){.fd = pair[1], .counts = h.counts};
        hook_keeper_start(&h.keeper, 1000000);
        __atomic_store_n(runner, h.keeper.pid, __ATOMIC_SEQ_CST);
        for (;;)
            (void)pause();
    }
    script(&h, "slow", "#!/bin/sh\nwhile [ ! -e $1/go ]; do sleep 0.02; done\ntouch $1/done\n");
    e = event(&h, "slow", HOOK_POST_KILL);
    tell(&h, &e);
    wait_count(&h.counts->run, 1);
    assert_int_equal(kill(keeper, SIGKILL), 0);
    assert_int_equal(waitpid(keeper, NULL, 0), keeper);
    fixture_write(h.f, "go", "");
    assert_int_equal(waitpid(__atomic_load_n(runner, __ATOMIC_SEQ_CST), NULL, 0), *runner);
    assert_true(exists(&h, "done"));
    tell(&h, &e); /* the socket stays, for the next one */
    (void)close(pair[0]);
    (void)close(pair[1]);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_environment),          TEST(test_values_are_safe), TEST(test_runs),
        TEST(test_failing_and_missing),  TEST(test_hanging),         TEST(test_left_behind),
        TEST(test_queue_is_bounded),     TEST(test_end_is_bounded),  TEST(test_keeper_starts_another),
        TEST(test_ends_with_its_keeper),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
