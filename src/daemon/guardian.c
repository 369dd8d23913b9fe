#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "action/fence.h"
#include "action/run.h"
#include "action/unit.h"
#include "base/units.h"
#include "daemon/daemon.h"
#include "daemon/guardian.h"
#include "kernel/file.h"
#include "kernel/oom_score.h"
#include "kernel/reclaim.h"
#include "model/qos.h"
#include "system/clock.h"
#include "system/log.h"

/* The guardian is the dead-man switch: the loop leaves it a beat with every look, at least once a second. Two
 * seconds without one (a stopped or hanging daemon), or end-of-file without a goodbye and without a successor
 * that holds the lock (a killed one), and it lets run what is paused and turns the brake into a fence
 * (action/fence). It also does what the loop must not: it runs systemctl, whose start and D-Bus call block,
 * and keeps the processes that run hooks (action/hook) and keep the plan of memory QoS (keeper.c).
 */

#define DEAD_USEC (2 * USEC_PER_SEC)
/* The silence is counted in the guardian's own waits, of which none counts for more than it was meant to
 * last: when the whole machine stood still (a suspended or starved VM), the loop could not beat either, and
 * is not dead. */
#define FIRST_WAIT_USEC (GUARDIAN_BEAT_USEC + 250 * USEC_PER_MSEC)
#define NEXT_WAIT_USEC (250 * USEC_PER_MSEC)
#define SUCCESSOR_USEC (1500 * USEC_PER_MSEC)
#define MOURN_TRIES 3
#define SYSTEMCTL_USEC (5 * USEC_PER_SEC)
#define GUARDIAN_STACK_BYTES 32768 /* the fence and what it reads of the journal take half of it */
#define QUEUE_MAX 32
#define KEEPER_QUEUE_MAX 4               /* of the plan's */
#define WRITE_USEC (500 * USEC_PER_MSEC) /* well below DEAD_USEC */
#define NEWS_MAX 64                      /* of the keeper's that are passed on in one go */
#define NEWS_WAIT_MSEC 50

struct guardian {
    int fd;
    int root_fd;
    int runtime_fd;
    pid_t daemon_pid;
    bool act;
    struct hierarchy hierarchy;
    bool fenced; /* since the last beat */
    bool bye;
    uint64_t silent_usec; /* waited since the last beat */
    uint64_t beat_usec;   /* the last one that was seen */
    struct guardian_page *page;
    uint64_t wait_began_usec;
    uint64_t wait_usec; /* how long the wait that began then counts at most */
    struct message queue[QUEUE_MAX];
    unsigned queue_length;
    struct message keepers[KEEPER_QUEUE_MAX]; /* the keeper's, behind all of the loop's */
    unsigned keepers_length;
    struct message at_work;
    pid_t child; /* systemctl, at work on it */
    int child_fd;
    uint64_t child_due_usec;
    struct hook_keeper hooks;
    struct keeper_child keeper;
    struct keeper_news news; /* of the keeper's */
    bool news_wait;          /* the loop had no room for it yet */
    const struct reload_source *reload_source;
    struct reload_child reload;
};

static void tell(struct guardian *g, enum message_kind kind, const struct message *about)
{
    struct message m = about ? *about : (struct message){0};

    m.kind = kind;
    (void)send(g->fd, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- systemctl, one at a time ---- */

/* Written plainly. A unit that is not there any more, and that systemd does not know, has left its drop-ins.
 */
static void fail(struct guardian *g)
{
    const struct message *m = &g->at_work;
    _cleanup_close_ int fd = cgroup_open(&g->hierarchy, m->path);
    uint64_t id;

    if (fd >= 0 && cgroup_read_id(fd, &id) == 0 && id == m->cgroup_id)
        (void)reclaim_write_limit(fd, m->knob, m->value, WRITE_USEC);
    else if (fd == -ENOENT)
        (void)unit_remove_drop_in(g->root_fd, m->path, m->knob);
    if (fd >= 0)
        tell(g, MESSAGE_FAILED, m);
}

static bool queue_is_empty(const struct guardian *g)
{
    return g->child == 0 && g->queue_length + g->keepers_length == 0;
}

static bool queue_take(struct guardian *g, struct message *queue, unsigned *length)
{
    if (*length == 0)
        return false;
    g->at_work = queue[0];
    memmove(&queue[0], &queue[1], --*length * sizeof(queue[0]));
    return true;
}

/* The brake does not stand behind the plan. */
static void queue_next(struct guardian *g)
{
    while (g->child == 0 &&
           (queue_take(g, g->queue, &g->queue_length) || queue_take(g, g->keepers, &g->keepers_length))) {
        const struct message *m = &g->at_work;

        g->child = unit_set_start(&g->hierarchy, m->path, m->knob, m->value,
                                  m->paced ? qos_knob_name(QOS_SWAP_MAX) : NULL);
        if (g->child > 0) {
            g->child_fd = (int)syscall(SYS_pidfd_open, g->child, 0);
            g->child_due_usec = clock_now_usec() + SYSTEMCTL_USEC;
            return;
        }
        g->child = 0;
        fail(g);
    }
}

static void child_check(struct guardian *g)
{
    int status = 0;
    pid_t r;

    if (g->child == 0)
        return;
    r = waitpid(g->child, &status, WNOHANG);
    if (r == 0 && clock_now_usec() < g->child_due_usec)
        return;
    if (r == 0) {
        (void)kill(g->child, SIGKILL); /* our own child, not yet reaped: the pid is his */
        (void)waitpid(g->child, &status, 0);
        status = -1;
    }
    if (status != 0)
        fail(g);
    close_fdp(&g->child_fd);
    g->child = 0;
    queue_next(g);
}

/* ---- reading the configuration (reload.c) ---- */

static void reload_tell(struct guardian *g, uint64_t sequence, enum reload_outcome outcome)
{
    struct message m = {.value = sequence, .cgroup_id = outcome};

    tell(g, MESSAGE_RELOADED, &m);
}

static void reload_start(struct guardian *g, uint64_t sequence)
{
    if (!reload_child_start(&g->reload, g->reload_source, sequence, g->fd))
        reload_tell(g, sequence, RELOAD_FAILED);
}

static void reload_check(struct guardian *g)
{
    enum reload_outcome outcome;

    if (reload_child_check(&g->reload, &outcome))
        reload_tell(g, g->reload.sequence, outcome);
}

/* ---- groups for `headroom run` ---- */

static void run_begin(struct guardian *g, const struct run_message *m)
{
    struct run_answer a = {.kind = MESSAGE_RUN, .result = -EOPNOTSUPP, .ticket = m->ticket};

    if (g->act && g->hierarchy.fd >= 0)
        a.result = run_make(g->root_fd, &g->hierarchy, &m->order, &a.id);
    memcpy(a.path, m->order.path, sizeof(a.path));
    (void)send(g->fd, &a, sizeof(a), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- the keeper of the plan ---- */

static bool keeper_waits(const struct guardian *g)
{
    return g->news_wait || g->keepers_length >= KEEPER_QUEUE_MAX;
}

static void queue_keepers(struct guardian *g, const struct keeper_message *k)
{
    struct message m = {.kind = MESSAGE_PROPERTY, .cgroup_id = k->id, .value = k->ours, .paced = k->paced};

    memcpy(m.path, k->path, sizeof(m.path));
    memcpy(m.knob, k->knob, sizeof(m.knob));
    g->keepers[g->keepers_length++] = m;
    queue_next(g);
}

/* A part of the socket is for the keeper's news: to a loop that stands still, the rest is for what it must
 * not miss (that there is a fence, that a configuration was read). */
static bool loop_takes_news(const struct guardian *g)
{
    struct pollfd p = {.fd = g->fd, .events = POLLOUT}; /* while no more than a quarter is in use */

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLOUT | POLLHUP)) != 0;
}

/* One at a time: while the loop does not take it, no other is fetched, and the keeper keeps it. */
static void pass_on_news(struct guardian *g)
{
    for (unsigned i = 0; i < NEWS_MAX; i++) {
        if (!g->news_wait) {
            if (keeper_waits(g) || !keeper_child_receive(&g->keeper, &g->news.keeper))
                return;
            g->news.kind = MESSAGE_KEEPER;
        }
        if (g->news.keeper.kind == KEEPER_PROPERTY) {
            queue_keepers(g, &g->news.keeper);
            continue;
        }
        g->news_wait = !loop_takes_news(g);
        if (g->news_wait)
            return;
        g->news_wait = send(g->fd, &g->news, sizeof(g->news), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
                       (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM);
        if (g->news_wait)
            return;
    }
}

/* ---- the dead-man switch ---- */

/* While the loop is silent it is looked again whether a brake stands: one that was on its way has come, or a
 * fence could not be raised. */
#define AGAIN_USEC USEC_PER_SEC

/* A brake that systemd is still to be told of would come after the fence. Not so what was there before it,
 * whose lease is over. */
static bool is_brake(const struct message *m, struct lease_table *table)
{
    const struct lease *l =
        strcmp(m->knob, "memory.high") == 0 ? lease_find(table, m->cgroup_id, m->knob) : NULL;

    return l && l->ours == m->value;
}

/* Those that wait are dropped; the one that it is at gets there first, or takes too long and is written
 * plainly. */
static void queue_drop_brakes(struct guardian *g, struct lease_table *table)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < g->queue_length; i++)
        if (!is_brake(&g->queue[i], table))
            g->queue[kept++] = g->queue[i];
    g->queue_length = kept;
    while (g->child > 0 && is_brake(&g->at_work, table)) {
        struct pollfd p = {.fd = g->child_fd, .events = POLLIN};

        (void)poll(&p, 1, 100);
        child_check(g);
    }
}

static void fence_note(struct guardian *g, uint64_t sequence)
{
    __atomic_store_n(&g->page->fence_sequence, sequence, __ATOMIC_SEQ_CST);
}

/* A fence that systemd does not know of falls at its next write to the unit (a daemon-reload), and the brake
 * comes back. memory.high goes along (action/unit). */
static void fence_tell_systemd(struct guardian *g, const struct lease_table *table)
{
    for (unsigned i = 0; i < lease_table_size(table) && g->queue_length < QUEUE_MAX; i++) {
        const struct lease *l = &table->leases[i];
        struct message m = {.kind = MESSAGE_PROPERTY, .cgroup_id = l->cgroup_id, .value = l->ours};

        if (!l->used || strcmp(l->knob, "memory.max") != 0 || !unit_manages(g->root_fd, l->path, l->knob))
            continue;
        memcpy(m.path, l->path, sizeof(m.path));
        memcpy(m.knob, l->knob, sizeof(m.knob));
        g->queue[g->queue_length++] = m;
    }
    queue_next(g);
}

/* 0, or negative errno: something could not be done, and may be tried again. */
static int fence(struct guardian *g)
{
    static struct lease_table table;
    /* An odd one is of a guardian that did not come to its end. */
    uint64_t before = (g->page->fence_sequence + 1) & ~UINT64_C(1);
    struct fence_done done;
    int r;

    g->fenced = true;
    if (!g->act) /* without a hierarchy, there may be processes that were stopped */
        return 0;
    r = journal_load(g->root_fd, g->runtime_fd, &table);
    if (r == -ENOENT)
        return 0; /* nothing was changed */
    fence_note(g, before + 1);
    if (r == 0)
        queue_drop_brakes(g, &table);
    r = fence_raise(g->root_fd, g->runtime_fd, &g->hierarchy, true, &table, &done);
    if (r < 0)
        log_line(LOG_PRIO_ERROR, "event=fence-failed error=%s", strerror(-r));
    fence_note(g, done.thawed + done.fenced == 0 ? before : before + 2);
    if (done.thawed + done.fenced == 0)
        return r;
    log_line(LOG_PRIO_WARNING,
             "event=fence reason=\"the daemon gives no sign of life\" workloads=%u resumed=%u", done.fenced,
             done.thawed);
    if (done.fenced > 0)
        fence_tell_systemd(g, &table);
    tell(g, MESSAGE_FENCED, NULL);
    return r;
}

/* While the lock is ours: a late systemctl must not come after the successor's. */
static void queue_drain(struct guardian *g)
{
    while (!queue_is_empty(g)) {
        struct pollfd p = {.fd = g->child_fd, .events = POLLIN};

        (void)poll(&p, 1, 100);
        child_check(g);
    }
}

static bool lock_names(int lock_fd, pid_t pid)
{
    char text[32] = "", own[32];

    if (pread(lock_fd, text, sizeof(text) - 1, 0) < 0)
        return false;
    (void)snprintf(own, sizeof(own), "%d\n", (int)pid);
    return strcmp(text, own) == 0;
}

static bool lock_is_dry(int lock_fd)
{
    char text[32] = "";

    return pread(lock_fd, text, sizeof(text) - 1, 0) > 0 && strstr(text, LOCK_DRY_RUN) != NULL;
}

/* The daemon is gone. Whoever takes the lock and writes his pid into it is its successor and takes over. A
 * lock that still names the dead one is only not let go of yet: the kernel closes the descriptors of a dying
 * process in no certain order. While nobody has it, it is ours for as long as the fence takes, so that a
 * successor finds a journal that is whole. */
static void mourn(struct guardian *g)
{
    uint64_t until = clock_now_usec() + SUCCESSOR_USEC;
    _cleanup_close_ int lock_fd = openat(g->runtime_fd, "lock", O_RDWR | O_CLOEXEC);

    while (clock_now_usec() < until)
        (void)usleep(50000);
    while (lock_fd >= 0 && flock(lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (lock_is_dry(lock_fd)) /* it only looks on */
            break;
        if (!lock_names(lock_fd, g->daemon_pid))
            return;
        (void)usleep(50000);
    }
    for (unsigned tries = 0; fence(g) < 0 && tries < MOURN_TRIES; tries++)
        (void)usleep(AGAIN_USEC);
    queue_drain(g);
}

static bool receive(struct guardian *g)
{
    union {
        struct message m;
        struct run_message run;
    } of;
    ssize_t n = recv(g->fd, &of, sizeof(of), MSG_DONTWAIT);
    struct message m = of.m;

    /* ECONNRESET: the loop has closed with something of ours unread; what it has sent is there all the same.
     */
    if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ECONNRESET))
        return true;
    if (n != (ssize_t)sizeof(m) && n != (ssize_t)sizeof(of.run))
        return false;
    g->silent_usec = 0;
    g->fenced = false;
    if (n == (ssize_t)sizeof(of.run))
        run_begin(g, &of.run);
    else if (m.kind == MESSAGE_RUN_END && g->act && g->hierarchy.fd >= 0)
        (void)run_remove(&g->hierarchy, m.path, m.cgroup_id);
    else if (m.kind == MESSAGE_BYE)
        g->bye = true;
    else if (m.kind == MESSAGE_RELOAD)
        reload_start(g, m.value);
    else if (m.kind == MESSAGE_KEEPER)
        keeper_child_wake(&g->keeper, clock_now_usec());
    else if (m.kind == MESSAGE_PROPERTY && g->queue_length < QUEUE_MAX) {
        g->queue[g->queue_length++] = m;
        queue_next(g);
    }
    return true;
}

static void note_beat(struct guardian *g)
{
    uint64_t beat = __atomic_load_n(&g->page->beat_usec, __ATOMIC_RELAXED);

    if (beat == g->beat_usec)
        return;
    g->beat_usec = beat;
    g->silent_usec = u64_min(u64_sub_floor(clock_monotonic_usec(), beat), FIRST_WAIT_USEC);
    g->fenced = false;
}

static int wait_msec(struct guardian *g)
{
    uint64_t now = clock_now_usec(), wait;

    /* After a fence it is looked as often whether the loop is back. */
    wait =
        g->fenced ? NEXT_WAIT_USEC : u64_max(u64_sub_floor(FIRST_WAIT_USEC, g->silent_usec), NEXT_WAIT_USEC);
    g->wait_began_usec = now;
    g->wait_usec = wait;
    if (g->child > 0)
        wait = u64_min(wait, u64_sub_floor(g->child_due_usec, now));
    if (g->reload.pid > 0)
        wait = u64_min(wait, u64_sub_floor(g->reload.due_usec, now));
    if (g->news_wait)
        wait = u64_min(wait, NEWS_WAIT_MSEC * USEC_PER_MSEC);
    return (int)(wait / USEC_PER_MSEC) + 1;
}

static void guard(struct guardian *g)
{
    for (;;) {
        struct pollfd p[] = {{.fd = g->bye ? -1 : g->fd, .events = POLLIN},
                             {.fd = g->child_fd, .events = POLLIN},
                             {.fd = hook_keeper_fd(&g->hooks, clock_now_usec()), .events = POLLIN},
                             {.fd = g->reload.fd, .events = POLLIN},
                             {.fd = keeper_waits(g) ? -1 : g->keeper.fd, .events = POLLIN}};
        int n = poll(p, ARRAY_SIZE(p), wait_msec(g));

        if (n < 0 && errno != EINTR)
            return;
        if (n > 0 && p[0].revents != 0) {
            if (!receive(g))
                return;
        } else {
            g->silent_usec += u64_min(clock_now_usec() - g->wait_began_usec, g->wait_usec);
        }
        note_beat(g);
        child_check(g);
        hook_keeper_check(&g->hooks, n > 0 && (p[2].revents & POLLIN), clock_now_usec());
        reload_check(g);
        pass_on_news(g);
        keeper_child_check(&g->keeper, clock_now_usec());
        /* Not before: systemctl is given all memory properties of a unit as they stand, the brake among them.
         */
        if (g->bye && queue_is_empty(g) && !g->keeper.bye)
            keeper_child_bye(&g->keeper, clock_now_usec());
        if (g->bye && queue_is_empty(g) && g->keeper.pid == 0 && g->keeper.fd < 0)
            return;
        if (!g->bye && g->silent_usec >= DEAD_USEC) {
            (void)fence(g);
            g->silent_usec = DEAD_USEC - AGAIN_USEC;
        }
    }
}

int guardian_main(int fd, void *user)
{
    const struct guardian_options *o = user;
    static struct guardian g;

    g = (struct guardian){.fd = fd, .act = o->act, .child_fd = -1, .daemon_pid = o->daemon_pid};
    g.hooks = (struct hook_keeper){.fd = o->hook_fd, .counts = &o->page->hook_counts};
    g.keeper = (struct keeper_child){.options = o->keeper, .wanted = o->keep, .fd = -1};
    g.page = o->page;
    g.reload_source = &o->reload;
    g.reload.fd = -1;
    g.root_fd = open(o->sysroot, O_PATH | O_DIRECTORY | O_CLOEXEC);
    g.runtime_fd =
        g.root_fd < 0 ? -1 : openat(g.root_fd, DAEMON_RUNTIME_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (g.root_fd < 0 || g.runtime_fd < 0)
        return 1;
    if (hierarchy_open(g.root_fd, &g.hierarchy) < 0)
        g.hierarchy.fd = -1;
    if (o->act)
        (void)oom_score_write_adj(g.root_fd, getpid(), -1000);
    if (o->act && o->hooks) /* before memory is locked */
        hook_keeper_start(&g.hooks, clock_now_usec());
    keeper_child_start(&g.keeper, clock_now_usec());
    (void)memory_lock(GUARDIAN_STACK_BYTES);
    guard(&g);
    keeper_child_abandon(&g.keeper);
    if (!g.bye)
        mourn(&g);
    (void)log_flush();
    return 0;
}
