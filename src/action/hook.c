#include "action/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/buffer.h"
#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"
#include "kernel/oom_score.h"
#include "system/clock.h"
#include "system/companion.h"
#include "system/log.h"

#define RETRY_USEC USEC_PER_SEC
#define NO_PIDFD_WAIT_MSEC 20 /* before 5.3: look now and then */
#define SWEEP_ROUNDS 20
#define SWEEP_USEC 5000
#define HOOK_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct runner {
    int fd;
    int keeper_fd;         /* pidfd of the guardian; -1: none */
    bool told_all;         /* end-of-file, or the guardian is gone and the next one has a runner of its own */
    uint64_t end_usec;     /* then: what is not done by now is left */
    uint64_t timeout_usec; /* of the last one that was told */
    struct hook_counts *counts;
    struct hook_event *queue; /* a ring */
    unsigned first, length;
    struct hook_event running;
    pid_t child; /* 0: none */
    int child_fd;
    uint64_t due_usec;
    bool killed; /* its time was over */
};

static void count_up(uint64_t *n)
{
    __atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
}

const char *hook_name(enum hook_kind k)
{
    static const char *const names[] = {"PreKill", "PostKill", "OnLevel"};

    return (size_t)k < ARRAY_SIZE(names) ? names[k] : "?";
}

/* ---- what a hook is told ---- */

void hook_copy_safe(char *ret, size_t size, const char *value)
{
    size_t n = 0;

    for (; value && value[n] && n + 1 < size; n++)
        ret[n] = value[n] >= 0x20 && value[n] < 0x7f ? value[n] : '?';
    ret[n] = 0;
}

struct environment {
    char *at;
    size_t left;
    char **list;
    unsigned count;
};

/* What does not fit is not set at all. */
static void _printf_(3, 4) set(struct environment *v, const char *name, const char *format, ...)
{
    char value[GROUP_PATH_MAX], safe[GROUP_PATH_MAX];
    size_t length = strlen(name) + sizeof("HEADROOM_=");
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(value, sizeof(value), format, ap);
    va_end(ap);
    hook_copy_safe(safe, sizeof(safe), value);
    length += strlen(safe);
    if (length > v->left || v->count + 1 >= HOOK_ENV_MAX)
        return;
    (void)snprintf(v->at, v->left, "HEADROOM_%s=%s", name, safe);
    v->list[v->count++] = v->at;
    v->at += length;
    v->left -= length;
}

static void set_victim(struct environment *v, const struct hook_event *e)
{
    set(v, "DECISION", "%" PRIu64, e->decision);
    set(v, "VICTIM", "%s", e->victim);
    set(v, "VICTIM_ID", "%" PRIu64, e->victim_id);
    set(v, "VICTIM_NUMBER", "%u", e->victim_number);
    set(v, "VICTIM_COUNT", "%u", e->victim_count);
    if (e->victim_pid > 0) {
        set(v, "VICTIM_PID", "%d", (int)e->victim_pid);
        set(v, "VICTIM_COMMAND", "%s", e->victim_comm);
    }
    set(v, "CLASS", "%s", e->class_name);
    set(v, "AGE_USEC", "%" PRIu64, e->age_usec);
    set(v, "PROGRESS_USEC", "%" PRIu64, e->progress_usec);
    set(v, "EXPECTED_BYTES", "%" PRIu64, e->expected_bytes);
}

unsigned hook_environment(const struct hook_event *e, char storage[static HOOK_ENV_BYTES],
                          char *ret[static HOOK_ENV_MAX])
{
    static const char *const names[] = {"pre-kill", "post-kill", "level"};
    struct environment v = {.at = storage, .left = HOOK_ENV_BYTES, .list = ret};

    v.list[v.count++] = (char *)HOOK_PATH;
    set(&v, "EVENT", "%s", names[e->kind]);
    set(&v, "LEVEL", "%s", level_name(e->level));
    set(&v, "REASON", "%s", e->reason);
    set(&v, "TRIGGER", "%s", e->trigger);
    set(&v, "LIMIT_BYTES", "%" PRIu64, e->limit_bytes);
    set(&v, "USED_BYTES", "%" PRIu64, e->used_bytes);
    set(&v, "ROOM_BYTES", "%" PRIi64, e->room_bytes);
    set(&v, "NEED_BYTES", "%" PRIu64, e->need_bytes);
    if (e->time_left_usec != UINT64_MAX)
        set(&v, "TIME_LEFT_USEC", "%" PRIu64, e->time_left_usec);
    if (e->kind == HOOK_ON_LEVEL)
        set(&v, "LEVEL_BEFORE", "%s", level_name(e->level_before));
    else
        set_victim(&v, e);
    if (e->kind == HOOK_POST_KILL) {
        set(&v, "GONE", "%u", e->gone);
        set(&v, "STUCK", "%u", e->stuck);
        set(&v, "FAILED", "%u", e->failed);
        set(&v, "FREED_BYTES", "%" PRIu64, e->freed_bytes);
        set(&v, "OUTCOME_USEC", "%" PRIu64, e->outcome_usec);
    }
    ret[v.count] = NULL;
    return v.count;
}

/* ---- one hook ---- */

/* posix_spawn does not copy the address space, and tells what exec said. */
static int spawn(const struct hook_event *e, pid_t *ret_pid)
{
    char line[CONFIG_COMMAND_MAX], storage[HOOK_ENV_BYTES], *argv[CONFIG_COMMAND_WORDS_MAX + 1],
        *envp[HOOK_ENV_MAX];
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    char *rest = NULL;
    sigset_t all, none;
    unsigned argc = 0;
    int r;

    memccpy(line, e->command, 0, sizeof(line));
    line[sizeof(line) - 1] = 0;
    for (char *w = strtok_r(line, " \t", &rest); w && argc < CONFIG_COMMAND_WORDS_MAX;
         w = strtok_r(NULL, " \t", &rest))
        argv[argc++] = w;
    argv[argc] = NULL;
    if (argc == 0)
        return -EINVAL;
    (void)hook_environment(e, storage, envp);
    if (posix_spawn_file_actions_init(&files) != 0)
        return -ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        (void)posix_spawn_file_actions_destroy(&files);
        return -ENOMEM;
    }
    (void)sigfillset(&all);
    (void)sigemptyset(&none);
    r = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (r == 0)
        r = posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&files, 1, 2);
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(&files, 3); /* glibc 2.34 */
    (void)posix_spawnattr_setflags(&attributes,
                                   POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    if (r == 0)
        r = posix_spawn(ret_pid, argv[0], &files, &attributes, argv, envp);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&files);
    return -r;
}

/* Children of hooks that left their process group have come to us. Those that a kill of their parent hands
 * over come a moment later. Bounded: one that sleeps in the kernel is left for the next time. */
static void sweep(void)
{
    for (unsigned round = 0; round < SWEEP_ROUNDS; round++) {
        char text[512];
        struct text rest = {text, 0}, word;
        _cleanup_close_ int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text));
        uint64_t pid;

        if (n <= 0)
            return;
        rest.length = (size_t)n;
        while (text_next_word(&rest, &word))
            if (text_parse_u64(word, &pid) == 0 && rest.length > 0 && pid > 1)
                (void)kill((pid_t)pid, SIGKILL); /* our own child, not yet reaped: the pid is his */
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        (void)usleep(SWEEP_USEC);
    }
}

static void tell_end(struct runner *r, int status)
{
    const char *name = hook_name(r->running.kind);

    if (r->killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        return;
    count_up(&r->counts->failed);
    if (WIFEXITED(status))
        log_line(LOG_PRIO_WARNING, "event=hook-failed hook=%s command=\"%s\" status=%d", name,
                 r->running.command, WEXITSTATUS(status));
    else
        log_line(LOG_PRIO_WARNING, "event=hook-failed hook=%s command=\"%s\" signal=%d", name,
                 r->running.command, WTERMSIG(status));
}

static void check_child(struct runner *r)
{
    siginfo_t info = {0};
    int status = 0;

    if (r->child == 0)
        return;
    (void)waitid(P_PID, (id_t)r->child, &info, WEXITED | WNOHANG | WNOWAIT);
    if (info.si_pid != r->child && (r->killed || clock_now_usec() < r->due_usec))
        return;
    (void)kill(-r->child, SIGKILL); /* not yet reaped: its number is no other group's */
    if (info.si_pid != r->child) {
        r->killed = true;
        count_up(&r->counts->timed_out);
        log_line(LOG_PRIO_WARNING,
                 "event=hook-timeout hook=%s command=\"%s\" after_us=%ju action=kill "
                 "hint=\"HookTimeout= in [Node]\"",
                 hook_name(r->running.kind), r->running.command, (uintmax_t)r->running.timeout_usec);
        return; /* its end is waited for, without blocking */
    }
    (void)waitpid(r->child, &status, 0);
    tell_end(r, status);
    close_fdp(&r->child_fd);
    r->child = 0;
    sweep();
}

/* ---- the queue ---- */

static void start_next(struct runner *r)
{
    while (r->child == 0 && r->length > 0) {
        int error;

        r->running = r->queue[r->first];
        r->first = (r->first + 1) % HOOK_QUEUE_MAX;
        r->length--;
        r->killed = false;
        error = spawn(&r->running, &r->child);
        if (error < 0) {
            r->child = 0;
            count_up(&r->counts->failed);
            log_line(LOG_PRIO_WARNING, "event=hook-failed hook=%s command=\"%s\" error=\"%s\"",
                     hook_name(r->running.kind), r->running.command, strerror(-error));
            continue;
        }
        count_up(&r->counts->run);
        r->due_usec = clock_now_usec() + r->running.timeout_usec;
        r->child_fd = (int)syscall(SYS_pidfd_open, r->child, 0);
    }
}

/* Of levels that come faster than they can be told, the last one counts. */
static bool merge_level(struct runner *r, const struct hook_event *e)
{
    struct hook_event *last = &r->queue[(r->first + r->length + HOOK_QUEUE_MAX - 1) % HOOK_QUEUE_MAX];
    enum level before;

    if (e->kind != HOOK_ON_LEVEL || r->length == 0 || last->kind != HOOK_ON_LEVEL)
        return false;
    before = last->level_before;
    *last = *e;
    last->level_before = before;
    return true;
}

static void note_all_told(struct runner *r)
{
    if (r->told_all)
        return;
    r->told_all = true;
    r->end_usec = u64_add_cap(clock_now_usec(), r->timeout_usec);
}

static void receive(struct runner *r)
{
    struct hook_event e;

    for (;;) {
        ssize_t n = recv(r->fd, &e, sizeof(e), MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n != (ssize_t)sizeof(e)) {
            note_all_told(r);
            return;
        }
        r->timeout_usec = e.timeout_usec;
        if (merge_level(r, &e))
            continue;
        if (r->length == HOOK_QUEUE_MAX)
            count_up(&r->counts->dropped);
        else
            r->queue[(r->first + r->length++) % HOOK_QUEUE_MAX] = e;
    }
}

/* A headroomd that stops is not outlived for long: all that is still to be done shares one time limit. */
static void check_end(struct runner *r)
{
    if (!r->told_all || clock_now_usec() < r->end_usec)
        return;
    __atomic_fetch_add(&r->counts->dropped, r->length, __ATOMIC_RELAXED);
    r->length = 0;
    r->due_usec = u64_min(r->due_usec, r->end_usec);
}

static int wait_msec(const struct runner *r)
{
    uint64_t now = clock_now_usec();
    int left;

    if (r->child == 0)
        return -1;
    left = (int)(u64_sub_floor(r->told_all ? u64_min(r->due_usec, r->end_usec) : r->due_usec, now) /
                 USEC_PER_MSEC) +
           1;
    if (r->killed)
        left = -1;
    if (r->child_fd < 0 && (left < 0 || left > NO_PIDFD_WAIT_MSEC))
        left = NO_PIDFD_WAIT_MSEC;
    return left;
}

int hook_runner_main(int fd, struct hook_counts *counts, pid_t keeper)
{
    struct runner r = {.fd = fd, .child_fd = -1, .counts = counts};

    r.keeper_fd = (int)syscall(SYS_pidfd_open, keeper, 0); /* 5.3; before, two runners share what is told */
    if (r.keeper_fd < 0 && errno == ESRCH)
        return 0;

    /* Not in static storage: that would be locked in the loop and in the guardian, too. */
    r.queue = mmap(NULL, HOOK_QUEUE_MAX * sizeof(*r.queue), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r.queue == MAP_FAILED)
        return 1;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    while (!r.told_all || r.length > 0 || r.child != 0) {
        struct pollfd p[3] = {{.fd = r.told_all ? -1 : fd, .events = POLLIN},
                              {.fd = r.child_fd, .events = POLLIN},
                              {.fd = r.told_all ? -1 : r.keeper_fd, .events = POLLIN}};

        if (poll(p, 3, wait_msec(&r)) < 0 && errno != EINTR)
            return 1;
        if (p[0].revents != 0 || p[2].revents != 0)
            receive(&r);
        if (p[2].revents != 0)
            note_all_told(&r);
        check_end(&r);
        check_child(&r);
        start_next(&r);
    }
    (void)log_flush();
    return 0;
}

/* ---- in the guardian ---- */

/* Hooks are no part of what guards: they run as anybody else does, and so does what starts them. */
static void become_ordinary(void)
{
    _cleanup_close_ int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    (void)setpriority(PRIO_PROCESS, 0, 0);
    if (root_fd >= 0)
        (void)oom_score_write_adj(root_fd, getpid(), 0);
    if (chdir("/") < 0)
        return;
    (void)umask(022);
}

void hook_keeper_start(struct hook_keeper *k, uint64_t now_usec)
{
    pid_t own = getpid(), pid;

    if (k->fd < 0 || k->pid > 0 || now_usec < k->retry_usec)
        return;
    k->retry_usec = now_usec + RETRY_USEC;
    pid = fork();
    if (pid < 0) {
        log_line(LOG_PRIO_WARNING, "event=hooks-failed error=\"%s\" action=retry", strerror(errno));
        return;
    }
    if (pid == 0) {
        companion_become("headroomd-hook", k->fd, -1);
        become_ordinary();
        _exit(hook_runner_main(k->fd, k->counts, own));
    }
    k->pid = pid;
}

int hook_keeper_fd(const struct hook_keeper *k, uint64_t now_usec)
{
    return k->pid > 0 || now_usec < k->retry_usec ? -1 : k->fd;
}

void hook_keeper_check(struct hook_keeper *k, bool waiting, uint64_t now_usec)
{
    if (k->pid > 0 && waitpid(k->pid, NULL, WNOHANG) == k->pid) {
        k->pid = 0;
        log_line(LOG_PRIO_WARNING, "event=hooks-ended action=restart");
    }
    if (waiting)
        hook_keeper_start(k, now_usec);
}
