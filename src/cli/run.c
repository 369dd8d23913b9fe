/* `headroom run`: the command is a child of ours, in a group of its own; we stay outside of it, in the same
 * process group and on the same terminal, pass on the signals that are sent to us alone, and tell at the end
 * what became of it. */
#include "cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "action/run.h"
#include "base/buffer.h"
#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "system/clock.h"

#define SAMPLE_MSEC 1000
#define SEARCH_MSEC 20 /* while systemd makes the scope */
#define EMPTY_TRIES 250
#define EMPTY_USEC 4000
#define LEFT_MAX 64

static const char usage[] =
    "headroom run --class NAME [OPTIONS] -- COMMAND [ARGUMENT...]\n\n"
    "  --class NAME     the class of the configuration that it runs as\n"
    "  --request SIZE   what it is meant to need, such as 512M\n"
    "  --priority N     0 to 1000; lower is given up first\n"
    "  --retriable      it is run again when it is killed\n"
    "  --task ID        what it is a try of: a task that was killed three times goes last\n"
    "  --no-watch       do not let its programs be told of pressure (MEMORY_PRESSURE_WATCH)\n"
    "  --require        do not run it without a group\n"
    "  --quiet          say nothing at the end\n"
    "  --report FILE    write at the end what became of it, as JSON\n\n"
    "Exit codes: the command's; 128 + N: signal N; 125: it was not run; 126, 127: it cannot be run, or "
    "found.\n";

/* ---- options ---- */

static int wrong(const char *option, const char *value, const char *what)
{
    (void)fprintf(stderr, "headroom run: --%s %s: %s\n", option, value, what);
    return RUN_FAILED;
}

static int parse_one(int c, struct run_options *ret)
{
    struct run_attributes *a = &ret->attributes;
    uint64_t number;

    switch (c) {
    case 'c':
        ret->class = optarg;
        break;
    case 'r':
        if (units_parse_bytes(text_from(optarg), &a->request_bytes) < 0 || a->request_bytes > INT64_MAX)
            return wrong("request", optarg, "a size with a unit, such as 512M or 2G");
        a->has_request = true;
        break;
    case 'p':
        if (text_parse_u64(text_from(optarg), &number) < 0 || number > CONFIG_PRIORITY_PROTECTED)
            return wrong("priority", optarg, "a number from 0 to 1000");
        a->priority = (unsigned)number;
        a->has_priority = true;
        break;
    case 't':
        if (!optarg[0] || text_copy(text_from(optarg), a->task, sizeof(a->task)) < 0)
            return wrong("task", optarg, "a name of at most 127 bytes");
        break;
    case 'y':
        a->retriable = true;
        break;
    case 'w':
        ret->no_watch = true;
        break;
    case 'l':
        if (text_copy(text_from(optarg), ret->relay, sizeof(ret->relay)) < 0)
            return wrong("relay", optarg, "too long");
        break;
    case 'R':
        ret->require = true;
        break;
    case 'q':
        ret->quiet = true;
        break;
    case 'o':
        ret->report = optarg;
        break;
    case 'i':
        ret->inside = true;
        break;
    case 'h':
        (void)fputs(usage, stdout);
        return CLI_OK;
    default:
        return RUN_FAILED;
    }
    return -1;
}

int run_options_parse(int argc, char **argv, struct run_options *ret)
{
    static const struct option longs[] = {
        {"class", required_argument, NULL, 'c'},
        {"request", required_argument, NULL, 'r'},
        {"priority", required_argument, NULL, 'p'},
        {"task", required_argument, NULL, 't'},
        {"retriable", no_argument, NULL, 'y'},
        {"no-watch", no_argument, NULL, 'w'},
        {"require", no_argument, NULL, 'R'},
        {"quiet", no_argument, NULL, 'q'},
        {"report", required_argument, NULL, 'o'},
        {"inside", no_argument, NULL, 'i'},
        {"relay", required_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c, code;

    *ret = (struct run_options){0};
    optind = 0;
    while ((c = getopt_long(argc, argv, "+", longs, NULL)) >= 0) {
        code = parse_one(c, ret);
        if (code >= 0)
            return code;
    }
    ret->command = argv + optind;
    if (ret->class && ret->class[0] && ret->command[0])
        return -1;
    (void)fprintf(stderr, "headroom run: %s (see headroom run --help)\n",
                  ret->command[0] ? "name the class that it runs as: --class NAME" : "name a command");
    return RUN_FAILED;
}

/* ---- the child: into the group, then the command ---- */

static void become_command(const struct run_options *run)
{
    (void)execvp(run->command[0], run->command);
    (void)fprintf(stderr, "headroom run: %s: %s\n", run->command[0], strerror(errno));
    _exit(errno == ENOENT || errno == ENOTDIR ? RUN_NOT_FOUND : RUN_NOT_EXECUTABLE);
}

static void set_environment(const struct run_options *run, const struct run_place *place)
{
    (void)setenv("HEADROOM_CLASS", run->class, 1);
    if (place->group[0])
        (void)setenv("HEADROOM_GROUP", place->group, 1);
}

static void go_without(const struct run_options *run, int why)
{
    if (why == -ENOTCONN)
        (void)fprintf(stderr, "headroom run: headroomd does not answer; is it running?\n");
    if (why == -EINVAL || run->require) {
        (void)fprintf(stderr, "headroom run: %s was not run\n", run->command[0]);
        _exit(RUN_FAILED);
    }
    (void)fprintf(stderr,
                  "headroom run: warning: %s runs without a group of its own: headroomd guards it only as "
                  "far as where it was started from\n",
                  run->command[0]);
}

/* Never returns. What came of it is told to the parent before the command begins. */
static void run_child(const struct cli_options *o, const struct run_options *run, int tell_fd)
{
    struct run_place place;
    int r = run_place_ask(o, run, &place);

    if (r < 0)
        go_without(run, r);
    (void)!write(tell_fd, &place, sizeof(place));
    set_environment(run, &place);
    if (place.group[0] && place.id == 0) {
        run_place_enter_scope(run, &place);
        (void)fprintf(stderr, "headroom run: systemd-run: %s\n", strerror(errno));
        _exit(RUN_FAILED);
    }
    run_relay_start(o, run);
    become_command(run);
}

/* In the scope that systemd has made. A user's own is his, and so is what it says. */
static int run_inside(const struct cli_options *o, const struct run_options *run)
{
    _cleanup_close_ int fd = -1;
    char group[GROUP_PATH_MAX];
    int r = run_place_open_own(&fd, group);

    if (r == 0)
        r = run_write_attributes(fd, &run->attributes, 0);
    if (r < 0)
        (void)fprintf(stderr, "headroom run: warning: what was said of the group could not be noted: %s\n",
                      strerror(-r));
    close_fdp(&fd);
    run_relay_start(o, run);
    become_command(run);
    return RUN_FAILED;
}

/* ---- the parent: what the group comes to ---- */

struct watch {
    struct run_place place;
    int root_fd;
    struct hierarchy hierarchy;
    int fd; /* of the group; -1: not there, or not yet */
    int memory_fd;
    bool is_peak; /* memory.peak (5.19), else memory.current */
    uint64_t peak_bytes;
    bool missed; /* the last reading failed */
};

static void watch_open(struct watch *w)
{
    uint64_t id;

    if (w->fd >= 0 || !w->place.group[0] || w->hierarchy.fd < 0)
        return;
    w->fd = cgroup_open(&w->hierarchy, w->place.group);
    if (w->fd >= 0 && w->place.id != 0 && (cgroup_read_id(w->fd, &id) < 0 || id != w->place.id))
        close_fdp(&w->fd);
    if (w->fd < 0) {
        w->fd = -1;
        return;
    }
    w->memory_fd = file_open_read(w->fd, "memory.peak");
    w->is_peak = w->memory_fd >= 0;
    if (!w->is_peak)
        w->memory_fd = file_open_read(w->fd, "memory.current");
}

static void watch_sample(struct watch *w)
{
    uint64_t bytes;

    watch_open(w);
    w->missed = w->memory_fd < 0 || file_pread_u64(w->memory_fd, &bytes) < 0;
    if (!w->missed)
        w->peak_bytes = u64_max(w->peak_bytes, bytes);
}

static int watch_wait_msec(const struct watch *w)
{
    if (!w->place.group[0])
        return -1;
    if (w->fd < 0)
        return SEARCH_MSEC;
    /* A group that we have made stays until it is asked for at the end. */
    return w->place.id != 0 && w->is_peak ? -1 : SAMPLE_MSEC;
}

/* Of those in the group only the command and its relay are children of ours. */
static bool has_child(int root_fd, const pid_t *pids, int count)
{
    struct process_stat st;

    for (int i = 0; i < count; i++)
        if (process_read_stat(root_fd, pids[i], &st) == 0 && st.ppid == getpid())
            return true;
    return false;
}

/* A process leaves its group a little after its parent was told of its end, and the relay after the command.
 */
static uint64_t count_left(const struct watch *w)
{
    struct cgroup_events events;
    pid_t pids[LEFT_MAX];
    bool more;
    int n = 0;

    for (unsigned i = 0; i < EMPTY_TRIES; i++) {
        if (cgroup_read_events(w->fd, &events) < 0 || !events.populated)
            return 0;
        n = cgroup_read_procs(w->fd, pids, LEFT_MAX, &more);
        if (n > 0 && i > 2 && !has_child(w->root_fd, pids, n))
            break;
        (void)usleep(EMPTY_USEC);
    }
    return n > 0 ? (uint64_t)n : 1; /* further down */
}

static void finish(const struct cli_options *o, struct watch *w, struct run_report *r)
{
    watch_sample(w);
    r->group = w->place.group;
    r->peak_bytes = w->peak_bytes;
    r->peak_at_least = w->missed || !w->is_peak;
    if (w->fd < 0)
        return;
    history_read(w->fd, &r->history);
    if (r->history.paused_since_usec != 0)
        r->history.paused_usec += u64_sub_floor(clock_now_usec(), r->history.paused_since_usec);
    r->processes_left = count_left(w);
    if (w->place.id != 0 && r->processes_left == 0)
        r->stays = run_remove(&w->hierarchy, w->place.group, w->place.id) < 0 && !run_place_end(o, &w->place);
}

/* ---- the parent: signals ---- */

static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH};

static void make_set(sigset_t *ret)
{
    (void)sigemptyset(ret);
    (void)sigaddset(ret, SIGCHLD);
    for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++)
        (void)sigaddset(ret, passed_on[i]);
}

/* What comes from the terminal has come to the command, too. */
static void pass_signals_on(int signal_fd, pid_t child)
{
    struct signalfd_siginfo info;

    while (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo != SIGCHLD && info.ssi_code != SI_KERNEL)
            (void)kill(child, (int)info.ssi_signo);
}

/* Where the child has gone, or not: it ends without a word where the command was not run at all. */
static bool hear(int *fd, struct run_place *ret)
{
    struct run_place place;
    ssize_t n = *fd < 0 ? 0 : TEMP_FAILURE_RETRY(read(*fd, &place, sizeof(place)));

    close_fdp(fd);
    if (n != (ssize_t)sizeof(place))
        return false;
    *ret = place;
    return true;
}

/* The status, as of waitpid. */
static int wait_for(pid_t child, int signal_fd, int *hear_fd, struct watch *w, bool *ret_was_run)
{
    int status = RUN_FAILED << 8; /* where somebody else has taken it */
    pid_t r;

    for (;;) {
        struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN}, {.fd = *hear_fd, .events = POLLIN}};
        bool ended;

        (void)poll(fds, ARRAY_SIZE(fds), watch_wait_msec(w));
        pass_signals_on(signal_fd, child);
        r = waitpid(child, &status, WNOHANG);
        ended = r == child || (r < 0 && errno == ECHILD);
        if (*hear_fd >= 0 && (ended || fds[1].revents))
            *ret_was_run = hear(hear_fd, &w->place);
        if (ended)
            return status;
        watch_sample(w);
    }
}

/* As the command ended, so that a shell that waits for us sees what it would have seen. Not by SIGKILL, which
 * would look as if it had been meant for us, and without a second core. */
static int end_alike(int status)
{
    const struct rlimit none = {0, 0};
    sigset_t set;

    if (!WIFSIGNALED(status) || WTERMSIG(status) == SIGKILL)
        return run_report_exit_code(status);
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)signal(WTERMSIG(status), SIG_DFL);
    (void)sigfillset(&set);
    (void)raise(WTERMSIG(status));
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    return run_report_exit_code(status);
}

/* ---- the end ---- */

static void tell(const struct run_options *run, const struct run_report *r)
{
    char text[1024];
    struct buffer b;

    if (run->report) {
        json_t *o = run_report_to_json(r);
        FILE *f = fopen(run->report, "we");

        if (!o || !f || json_dumpf(o, f, JSON_INDENT(2)) < 0 || fputc('\n', f) == EOF || fclose(f) != 0)
            (void)fprintf(stderr, "headroom run: --report %s: %s\n", run->report, strerror(errno));
        json_decref(o);
    }
    if (run->quiet)
        return;
    buffer_init(&b, text, sizeof(text));
    run_report_format(&b, r);
    (void)fprintf(stderr, "headroom run: %s\n", text);
}

static void watch_init(struct watch *w, const struct cli_options *o)
{
    *w = (struct watch){.fd = -1, .memory_fd = -1};
    w->root_fd = file_open_dir(AT_FDCWD, o->sysroot);
    if (w->root_fd < 0 || hierarchy_open(w->root_fd, &w->hierarchy) < 0)
        w->hierarchy.fd = -1;
}

static int run_parent(const struct cli_options *o, const struct run_options *run, pid_t child, int *hear_fd,
                      int signal_fd)
{
    struct watch w;
    struct run_report r = {.class = run->class, .group = ""};
    uint64_t begin = clock_monotonic_usec();
    bool was_run = false;

    watch_init(&w, o);
    r.status = wait_for(child, signal_fd, hear_fd, &w, &was_run);
    r.wall_usec = clock_monotonic_usec() - begin;
    if (was_run) {
        finish(o, &w, &r);
        tell(run, &r);
    }
    return r.status;
}

static int failed(void)
{
    (void)fprintf(stderr, "headroom run: %s\n", strerror(errno));
    return RUN_FAILED;
}

int cli_run(const struct cli_options *o, int argc, char **argv)
{
    _cleanup_close_ int hear_fd = -1, signal_fd = -1;
    struct run_options run;
    struct sigaction ended = {.sa_handler = SIG_DFL}, ended_before;
    sigset_t set, before;
    int code = run_options_parse(argc, argv, &run), fds[2];
    pid_t child;

    if (code >= 0)
        return code;
    if (run.inside)
        return run_inside(o, &run);
    make_set(&set);
    signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signal_fd < 0 || pipe2(fds, O_CLOEXEC) < 0 || sigprocmask(SIG_BLOCK, &set, &before) < 0)
        return failed();
    hear_fd = fds[0];
    /* Where it is ignored, which is inherited, no child's end is ever told. */
    (void)sigaction(SIGCHLD, &ended, &ended_before);
    run_relay_prepare(&run);
    child = fork();
    if (child == 0) {
        (void)sigaction(SIGCHLD, &ended_before, NULL);
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        run_child(o, &run, fds[1]);
    }
    (void)close(fds[1]);
    code = child < 0 ? failed() : run_parent(o, &run, child, &hear_fd, signal_fd);
    run_relay_remove(run.relay);
    return child < 0 ? code : end_alike(code);
}
