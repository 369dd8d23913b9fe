/* What the command's programs are told of pressure by: a process of ours in their group, which listens to
 * headroomd as any program with libheadroom does, and passes on what it is told to whoever connects to the
 * socket that MEMORY_PRESSURE_WATCH names.
 *
 * Not the socket of headroomd itself, since systemd's library (254) takes the end of a connection for
 * pressure, again and again: what programs connect to has to outlive headroomd. And not `headroom run`, since
 * to headroomd a program is where its process is: who is asked, and what came back, is told by its cgroup.
 * So it ends with its group when that is killed, stands still with it, and goes on when `headroom run` is
 * killed.
 *
 * It is connected to headroomd only as long as somebody is connected to it: a task that nobody in would give
 * anything back takes no place there, and is not waited for. All of them are one program to headroomd. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "cli/run.h"
#include "headroom.h"
#include "kernel/cgroup.h"
#include "kernel/file.h"
#include "kernel/kill.h"
#include "system/listen.h"

#define WATCH "MEMORY_PRESSURE_WATCH"
#define WRITE "MEMORY_PRESSURE_WRITE"
#define NAME "headroom-run-"
#define SOCKET "/pressure.sock"
/* Who comes when all places are taken waits in the backlog for one: to be let go of would be pressure. */
#define CLIENTS_MAX 256
#define STACK_BYTES 65536
#define RETRY_MSEC 1000 /* there was no memory, or no descriptor */
/* Of what a program does not read the kernel keeps a few bytes. */
#define SEND_BUFFER_BYTES 1

enum { COMMAND, LISTENER, UPSTREAM, CLIENTS };

struct relay {
    const char *dir;
    const char *sysroot;
    char own[CGROUP_PATH_MAX];
    struct headroom_watch *watch; /* NULL: nobody is connected, or it could not be had */
    bool full;                    /* the last one that came could not be taken */
    unsigned count;
    struct pollfd fds[CLIENTS + CLIENTS_MAX]; /* of a client only its end is waited for */
};

/* ---- where it is ---- */

/* What somebody has set for just this command is his. What names the pressure file of a cgroup (so systemd
 * does it for its services, whose children inherit it wherever they are moved), or the relay of another
 * `headroom run`, is not true of the group that the command goes into: that was not there yet. */
static bool is_for_others(const char *watch)
{
    static const char mount[] = "/sys/fs/cgroup/", file[] = "/memory.pressure";
    size_t length = strlen(watch);

    return strstr(watch, "/" NAME) ||
           (strncmp(watch, mount, strlen(mount)) == 0 && length >= strlen(mount) + strlen(file) &&
            strcmp(watch + length - strlen(file), file) == 0);
}

static bool is_set_by_caller(void)
{
    const char *watch = getenv(WATCH);

    return watch ? !is_for_others(watch) : getenv(WRITE) != NULL;
}

/* Root's command may become anybody's, so who knows the name may connect; else it is its owner's alone. */
static int make_dir(char ret[static RUN_RELAY_MAX])
{
    bool root = geteuid() == 0;
    const char *const bases[] = {root ? NULL : secure_getenv("XDG_RUNTIME_DIR"), "/run", "/tmp"};
    int r = -ENOENT;

    for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
        if (!bases[i] || bases[i][0] != '/' ||
            snprintf(ret, RUN_RELAY_MAX, "%s/" NAME "XXXXXX", bases[i]) >= RUN_RELAY_MAX)
            continue;
        if (mkdtemp(ret) && chmod(ret, root ? 0711 : 0700) == 0)
            return 0;
        r = -errno;
    }
    ret[0] = '\0';
    return r;
}

static void socket_path(const char *dir, char ret[static RUN_RELAY_MAX + sizeof(SOCKET)])
{
    (void)snprintf(ret, RUN_RELAY_MAX + sizeof(SOCKET), "%s" SOCKET, dir);
}

static void say(int r)
{
    (void)fprintf(stderr, "headroom run: warning: nobody can be told of pressure: %s\n", strerror(-r));
}

void run_relay_prepare(struct run_options *run)
{
    int r;

    run->relay[0] = '\0'; /* only `--inside` is told of one */
    if (run->no_watch || is_set_by_caller())
        return;
    (void)unsetenv(WATCH);
    (void)unsetenv(WRITE);
    r = make_dir(run->relay);
    if (r < 0)
        say(r);
}

void run_relay_remove(const char *dir)
{
    char path[RUN_RELAY_MAX + sizeof(SOCKET)];

    if (!dir[0])
        return;
    socket_path(dir, path);
    (void)unlink(path);
    (void)rmdir(dir);
}

/* ---- those who come ---- */

/* Who does not read what it was told before is not told. */
static void tell(int fd, enum headroom_level level)
{
    static const char bytes[] = {[HEADROOM_LOW] = HEADROOM_BYTE_LOW,
                                 [HEADROOM_MEDIUM] = HEADROOM_BYTE_MEDIUM,
                                 [HEADROOM_CRITICAL] = HEADROOM_BYTE_CRITICAL};

    if (level > HEADROOM_CALM)
        (void)send(fd, &bytes[level], 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Neither ours nor in our group. Half of the places are not for those, who could take them all. */
static bool is_stranger(const struct relay *r, int fd)
{
    _cleanup_close_ int root_fd = file_open_dir(AT_FDCWD, "/");
    char path[CGROUP_PATH_MAX];
    struct ucred cred;
    socklen_t length = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) < 0 || root_fd < 0)
        return true;
    return cred.uid != geteuid() &&
           (cgroup_read_path_of(root_fd, cred.pid, path) < 0 || !cgroup_path_is_below(path, r->own));
}

static void take_one(struct relay *r)
{
    const int least = SEND_BUFFER_BYTES;
    int fd = accept4(r->fds[LISTENER].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    r->full = fd < 0 && errno != EINTR && errno != EAGAIN && errno != ECONNABORTED;
    if (fd < 0)
        return;
    if (r->count >= CLIENTS_MAX / 2 && is_stranger(r, fd)) {
        (void)close(fd);
        return;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
    r->fds[CLIENTS + r->count++] = (struct pollfd){.fd = fd};
    if (r->watch) /* what holds was told to the others before */
        tell(fd, headroom_watch_get_level(r->watch));
}

/* What they write is not read: a payload is small, and without a meaning here. */
static void let_go(struct relay *r)
{
    for (unsigned i = r->count; i-- > 0;)
        if (r->fds[CLIENTS + i].revents & (POLLHUP | POLLERR)) {
            (void)close(r->fds[CLIENTS + i].fd);
            r->fds[CLIENTS + i] = r->fds[CLIENTS + --r->count];
        }
}

/* ---- what they are told ---- */

/* Elsewhere than on this machine there is headroomd's socket alone, and no kernel that would stand in. */
static void listen_up(struct relay *r)
{
    char path[PATH_MAX];
    struct headroom_options options = {.size = sizeof(options)};

    if (!file_is_root(r->sysroot)) {
        (void)snprintf(path, sizeof(path), "%s%s", r->sysroot, HEADROOM_SOCKET);
        options.path = path;
    }
    if (headroom_watch_new(&options, &r->watch) < 0)
        r->watch = NULL;
}

static void hang_up(struct relay *r)
{
    r->watch = headroom_watch_free(r->watch);
    r->fds[UPSTREAM].fd = -1;
}

static void pass_on(const struct relay *r)
{
    enum headroom_level level;

    if (headroom_watch_read(r->watch, &level) <= 0)
        return;
    for (unsigned i = 0; i < r->count; i++)
        tell(r->fds[CLIENTS + i].fd, level);
}

/* ---- the process ---- */

static void turn(struct relay *r)
{
    bool wait;

    if (r->count > 0 && !r->watch)
        listen_up(r);
    else if (r->count == 0 && r->watch)
        hang_up(r);
    wait = r->full || (r->count > 0 && !r->watch);
    r->fds[LISTENER].events = r->full || r->count == CLIENTS_MAX ? 0 : POLLIN;
    r->fds[UPSTREAM].fd = r->watch ? headroom_watch_get_fd(r->watch) : -1;
    if (poll(r->fds, CLIENTS + r->count, wait ? RETRY_MSEC : -1) < 0)
        return;
    r->full = false;
    if (r->fds[UPSTREAM].revents)
        pass_on(r);
    let_go(r);
    if (r->fds[LISTENER].revents)
        take_one(r);
}

/* The command has ended. What it has left behind may be connected, and is told as before: by a child, since
 * `headroom run` waits for us before it looks at what is left in the group. */
static void outlive(struct relay *r)
{
    run_relay_remove(r->dir);
    close_fdp(&r->fds[COMMAND].fd);
    close_fdp(&r->fds[LISTENER].fd);
    hang_up(r);
    if (r->count > 0 && fork() > 0)
        _exit(0);
}

/* Nothing of what the command was given is held. */
static void keep_only(int command_fd, int listen_fd)
{
    int null_fd = open("/dev/null", O_RDWR);
    int fds[] = {null_fd, null_fd, null_fd, command_fd, listen_fd};

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = fcntl(fds[i], F_DUPFD, (int)ARRAY_SIZE(fds)); /* out of the way */
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (dup2(fds[i], (int)i) < 0)
            (void)close((int)i);
    closefrom((int)ARRAY_SIZE(fds));
}

static int relay_main(void *user)
{
    struct relay *r = user;
    sigset_t all;

    /* What is sent to all of a terminal, or of a group, is for the command, whose end is ours. */
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    (void)prctl(PR_SET_NAME, "headroom-relay");
    (void)chdir("/");
    keep_only(r->fds[COMMAND].fd, r->fds[LISTENER].fd);
    r->fds[COMMAND].fd = 3;
    r->fds[LISTENER].fd = 4;
    while (r->fds[COMMAND].fd >= 0 || r->count > 0) {
        turn(r);
        if (r->fds[COMMAND].fd >= 0 && r->fds[COMMAND].revents)
            outlive(r);
    }
    _exit(0);
}

/* By clone, so that it is a child of `headroom run`: the command knows of none, and could wait for it. What
 * it needs is on the stack: in what is static, here, the kernel gives memory by 2 MiB where it may. */
static int start(struct relay *r)
{
    _uninitialized_ char stack[STACK_BYTES] __attribute__((aligned(16)));
    _cleanup_close_ int root_fd = file_open_dir(AT_FDCWD, "/"), command_fd = -1, listen_fd = -1;
    char path[RUN_RELAY_MAX + sizeof(SOCKET)];

    socket_path(r->dir, path);
    listen_fd = listen_at(path, SOMAXCONN);
    if (listen_fd < 0)
        return listen_fd;
    command_fd = kill_pidfd_open(getpid());
    if (command_fd < 0)
        return command_fd;
    if (root_fd < 0 || cgroup_read_own_path(root_fd, r->own) < 0)
        (void)snprintf(r->own, sizeof(r->own), "/"); /* nobody is below it */
    r->fds[COMMAND] = (struct pollfd){.fd = command_fd, .events = POLLIN};
    r->fds[LISTENER] = (struct pollfd){.fd = listen_fd, .events = POLLIN};
    r->fds[UPSTREAM] = (struct pollfd){.fd = -1, .events = POLLIN};
    if (clone(relay_main, stack + sizeof(stack), CLONE_PARENT | SIGCHLD, r) < 0)
        return -errno;
    (void)setenv(WATCH, path, 1);
    return 0;
}

void run_relay_start(const struct cli_options *o, const struct run_options *run)
{
    struct relay relay = {.dir = run->relay, .sysroot = o->sysroot};
    int r;

    if (!run->relay[0])
        return;
    r = start(&relay);
    if (r < 0)
        say(r);
}
