#include "daemon/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "action/qos.h"
#include "action/qos_write.h"
#include "base/units.h"
#include "daemon/daemon.h"
#include "daemon/keeper_news.h"
#include "daemon/pacing.h"
#include "kernel/file.h"
#include "kernel/memory_events.h"
#include "kernel/psi.h"
#include "kernel/swap.h"
#include "policy/qos.h"
#include "policy/throttle.h"
#include "snapshot/qos.h"
#include "system/clock.h"
#include "system/log.h"

#define CGROUPS_MAX 8192
#define LEASES_MAX 8192
/* The limit moves with what others take of the node (zram's pool): smaller moves are not worth writing the
 * knobs of all groups that have no limit of their own. */
#define MOVE_SHARE 64
#define PROPERTY_MSEC 10000 /* systemctl takes its time, for one after the other */
#define SAY_USEC (60 * USEC_PER_SEC)
#define PENDING_USEC (30 * USEC_PER_SEC) /* of a queue of hundreds; what is asked for twice is done twice */
#define TELL_AGAIN_USEC (60 * USEC_PER_SEC)
#define LOCK_WAIT_USEC (3 * USEC_PER_SEC)
#define PUT_BACK_USEC (20 * USEC_PER_SEC)
#define PUT_BACK_PAUSE_USEC (100 * USEC_PER_MSEC)

struct keeper {
    int fd; /* to the guardian */
    struct keeper_block *block;
    struct keeper_queue queue;
    int root_fd;
    int runtime_fd;
    int lock_fd; /* -1: another one has the journal */
    bool real_root;
    bool open; /* the journal is */
    bool reader_open;
    uint64_t sequence; /* of the configuration that is in config; 0: none yet */
    uint64_t allocatable_bytes;
    uint64_t said_usec;
    struct hierarchy hierarchy;
    struct snapshot_reader reader;
    struct group_handle handle; /* of none: no groups are walked */
    struct snapshot snapshot;
    struct qos_tree tree;
    struct journal journal;
    struct knobs knobs;
    struct lease_table table;
    struct lease more[LEASES_MAX];
    struct throttle_state throttle;
    struct pacing pacing;
    uint64_t looked_usec; /* last */
    struct qos_cgroup cgroups[CGROUPS_MAX];
    struct config config;
};

/* ---- what it says ---- */

static void say(struct keeper *k, const char *format, ...) _printf_(2, 3);

static void say(struct keeper *k, const char *format, ...)
{
    struct keeper_message m = {.kind = KEEPER_SAYS};
    uint64_t now = clock_now_usec();
    va_list ap;

    if (k->said_usec != 0 && now < k->said_usec + SAY_USEC)
        return;
    k->said_usec = now;
    va_start(ap, format);
    (void)vsnprintf(m.path, sizeof(m.path), format, ap);
    va_end(ap);
    keeper_queue_tell(&k->queue, &m);
}

static void on_drift(void *user, const struct lease *l, uint64_t found, uint64_t ours)
{
    struct keeper *k = user;
    struct keeper_message m = {.kind = KEEPER_DRIFT,
                               .id = l->cgroup_id,
                               .found = found,
                               .ours = ours,
                               .done =
                                   l->drift == LEASE_YIELDED ? RECORD_KNOB_YIELDED : RECORD_KNOB_REAPPLIED};

    memcpy(m.path, l->path, sizeof(m.path));
    memcpy(m.knob, l->knob, sizeof(m.knob));
    k->block->counts.drifts++;
    keeper_queue_tell(&k->queue, &m);
}

/* ---- the journal ---- */

static int hand_over(struct keeper *k, const struct lease *l, uint64_t value)
{
    struct pollfd p = {.fd = k->fd, .events = POLLOUT};
    struct keeper_message m = {.kind = KEEPER_PROPERTY,
                               .id = l->cgroup_id,
                               .ours = value,
                               .paced = pacing_has(&k->pacing, l->cgroup_id)};

    memcpy(m.path, l->path, sizeof(m.path));
    memcpy(m.knob, l->knob, sizeof(m.knob));
    if (poll(&p, 1, PROPERTY_MSEC) <= 0 || keeper_send(k->fd, &m) < 0)
        return -EAGAIN;
    qos_note_told(&k->table, l, value);
    return 1;
}

static int write_knob(void *user, const struct lease *l, uint64_t value, bool lowers)
{
    struct keeper *k = user;

    if (!k->real_root || pacing_is_untold(&k->pacing, l, value))
        return 0;
    switch (qos_way_of(&k->hierarchy, k->root_fd, l, value, lowers)) {
    case QOS_WAY_PLAIN:
        break;
    case QOS_WAY_LIMITED:
        return qos_write_limited(&k->hierarchy, l, value);
    case QOS_WAY_UNIT:
        return hand_over(k, l, value);
    }
    return 0;
}

/* What systemd could not be told when it was written. */
static void tell_systemd(struct keeper *k)
{
    uint64_t now = clock_now_usec();

    for (unsigned i = 0; k->real_root && i < lease_table_size(&k->table); i++) {
        struct lease *l = lease_at(&k->table, i);

        if (!l->used || l->drift == LEASE_YIELDED || l->pending_until_usec != 0 ||
            (l->told_usec != 0 && now < l->told_usec + TELL_AGAIN_USEC) || pacing_moves(&k->pacing, l) ||
            !qos_is_untold(&k->hierarchy, k->root_fd, l) || !knobs_stands(&k->knobs, l))
            continue;
        if (hand_over(k, l, l->ours) < 0)
            return;
        l->told_usec = now;
    }
}

static int read_left(void *user, const struct lease *l, uint64_t *ret)
{
    struct keeper *k = user;

    return k->real_root ? qos_read_left(k->root_fd, l, ret) : -ENOENT;
}

/* Whoever changes what the journal says has this lock: us, or `headroom qos`. */
static bool take_lock(struct keeper *k)
{
    char text[32];
    int n;

    if (k->lock_fd >= 0)
        return true;
    k->lock_fd = openat(k->runtime_fd, QOS_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (k->lock_fd < 0 || flock(k->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        say(k, "memory QoS is not kept now: run/headroom/" QOS_LOCK ": %s (headroom qos is at work?)",
            strerror(errno));
        close_fdp(&k->lock_fd);
        return false;
    }
    n = snprintf(text, sizeof(text), QOS_LOCK_DAEMON " %d\n", (int)getpid());
    (void)ftruncate(k->lock_fd, 0);
    (void)!pwrite(k->lock_fd, text, (size_t)n, 0);
    return true;
}

/* What an earlier keeper, or `headroom qos apply`, has left is ours from then on. */
static bool open_journal(struct keeper *k)
{
    unsigned leases = 0;
    int r;

    if (k->open)
        return true;
    if (!take_lock(k))
        return false;
    r = journal_open_named(&k->journal, JOURNAL_QOS_NAME, k->root_fd, k->runtime_fd, &k->table);
    if (r < 0) /* a full file system: nothing is taken on, but all that is written there is put back */
        r = journal_open_existing(&k->journal, JOURNAL_QOS_NAME, k->root_fd, k->runtime_fd, &k->table);
    if (r < 0) {
        say(k, "memory QoS is not kept now: run/headroom/" JOURNAL_QOS_NAME ": %s", strerror(-r));
        return false;
    }
    k->open = true;
    for (unsigned i = 0; i < lease_table_size(&k->table); i++) {
        struct lease *l = lease_at(&k->table, i);

        leases += l->used;
        if (l->used && qos_is_units(k->root_fd, l)) /* its hand-over may have died with who had to do it */
            l->pending_until_usec = clock_now_usec() + PENDING_USEC;
    }
    qos_adopt_told(&k->knobs);
    if (leases > 0)
        log_line(LOG_PRIO_NOTICE, "event=qos adopted=%u", leases);
    return true;
}

/* 0: all is as it was found. What systemd has to do is waited for as long as it gets on with it. */
static int put_back(struct keeper *k)
{
    unsigned restored, left, failed, more, left_more;
    uint64_t until = clock_now_usec() + PUT_BACK_USEC;

    if (!open_journal(k))
        return 1;
    restored = qos_restore(&k->knobs, &left, &failed);
    while (k->knobs.under_way > 0 && clock_now_usec() < until) {
        (void)usleep(PUT_BACK_PAUSE_USEC);
        more = knobs_restore_all(&k->knobs, &left_more, &failed);
        restored += more;
        left += left_more;
        if (more > 0)
            until = clock_now_usec() + PUT_BACK_USEC;
    }
    failed += k->knobs.under_way;
    if (restored + left + failed > 0)
        log_line(failed ? LOG_PRIO_ERROR : LOG_PRIO_NOTICE,
                 "event=qos-restored restored=%u left=%u failed=%u", restored, left, failed);
    k->block->counts.leases = k->block->counts.yielded = k->block->counts.groups = 0;
    __atomic_store_n(&k->block->protected_cache_bytes, 0, __ATOMIC_RELAXED);
    pacing_forget(&k->pacing);
    journal_close(&k->journal);
    k->open = false;
    if (failed == 0)
        (void)ftruncate(k->lock_fd, 0); /* keeping_left: there is nothing more to do */
    close_fdp(&k->lock_fd);
    return failed > 0;
}

/* ---- one look ---- */

/* With another configuration everybody has another chance. */
static void forget_drifts(struct keeper *k)
{
    for (unsigned i = 0; k->open && i < lease_table_size(&k->table); i++) {
        struct lease *l = lease_at(&k->table, i);

        if (l->used && l->drift == LEASE_YIELDED)
            knobs_forget(&k->knobs, l);
        else if (l->used && l->drift != LEASE_KEPT)
            knobs_note_drift(&k->knobs, l, LEASE_KEPT);
    }
}

/* False: there is none to go by now. */
static bool take_config(struct keeper *k, bool *ret_wanted)
{
    uint64_t now = __atomic_load_n(&k->block->sequence, __ATOMIC_ACQUIRE), before = k->sequence;

    *ret_wanted = k->block->wanted;
    if (now == before)
        return true;
    if (!keeper_read(k->block, &k->config, ret_wanted, &k->sequence))
        return false;
    (void)snapshot_reader_find_workloads(&k->reader);
    pacing_reconfigure(&k->pacing);
    k->allocatable_bytes = k->said_usec = 0;
    if (before != 0)
        forget_drifts(k);
    return true;
}

static void note_allocatable(struct keeper *k)
{
    uint64_t now = __atomic_load_n(&k->block->allocatable_bytes, __ATOMIC_RELAXED),
             before = k->allocatable_bytes;

    if (before == 0 || (now > before ? now - before : before - now) > before / MOVE_SHARE)
        k->allocatable_bytes = now;
}

/* What stands in the way of everybody else, and no reclaim can have. */
static void note_protected(struct keeper *k)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < k->tree.count; i++)
        sum = u64_add_cap(sum, k->cgroups[i].protected_cache_bytes);
    __atomic_store_n(&k->block->protected_cache_bytes, sum, __ATOMIC_RELAXED);
}

static bool make_plan(struct keeper *k)
{
    const struct node *n = &k->snapshot.node;
    struct qos_excess e = {0};
    enum qos_verdict v;
    struct qos_node node;
    int r = snapshot_read_node(&k->reader, clock_now_usec(), &k->snapshot);

    if (r == 0)
        r = qos_read_tree(&k->reader, &k->snapshot, &k->tree);
    if (r < 0) {
        say(k, "memory QoS is not kept now: the tree cannot be read: %s", strerror(-r));
        return false;
    }
    if (k->tree.left_out + k->tree.too_long > 0)
        say(k,
            "memory QoS: %u cgroups are left out: they cannot be read, are too many, or have too long a path",
            k->tree.left_out + k->tree.too_long);
    node = (struct qos_node){
        .total_bytes = n->mem_total,
        .allocatable_bytes = k->allocatable_bytes,
        .swap_bytes = n->swap_total,
        .zswap_bytes = swap_zswap_pool_max(k->root_fd, n->mem_total),
        .page_bytes = (uint64_t)sysconf(_SC_PAGESIZE),
    };
    note_protected(k);
    qos_follow_units(&k->knobs, k->cgroups, k->tree.count, clock_now_usec());
    pacing_note_groups(&k->pacing, n->swap_total > 0, k->cgroups, k->tree.count);
    qos_note_leases(&k->table, k->cgroups, k->tree.count, clock_now_usec());
    v = qos_plan(&k->config, &node, k->cgroups, k->tree.count, &e);
    if (v == QOS_EXCESS)
        say(k,
            "memory QoS stays as it is: %.100s asks for most of %ju bytes, where there are %ju; see headroom "
            "qos plan",
            k->cgroups[e.who].path, (uintmax_t)e.asked_bytes, (uintmax_t)e.bound_bytes);
    return v == QOS_GOOD;
}

static void count(struct keeper *k, const struct qos_done *done, uint64_t began_usec)
{
    struct keeper_counts *c = &k->block->counts;
    uint64_t leases = 0, yielded = 0;

    for (unsigned i = 0; i < lease_table_size(&k->table); i++) {
        const struct lease *l = lease_at(&k->table, i);

        leases += l->used;
        yielded += l->used && l->drift == LEASE_YIELDED;
    }
    c->looks++;
    c->groups = k->tree.count;
    c->leases = leases - yielded;
    c->yielded = yielded;
    c->failures += done->failed;
    c->look_usec = clock_now_usec() - began_usec;
    if (done->written + done->restored + done->scores + done->failed > 0)
        log_line(LOG_PRIO_INFO, "event=qos written=%u restored=%u processes=%u failed=%u leases=%ju",
                 done->written, done->restored, done->scores, done->failed, (uintmax_t)c->leases);
}

/* False: it cannot be told, and so is left. */
static bool read_throttle(struct keeper *k, const struct qos_cgroup *g, struct throttle_look *l)
{
    _cleanup_close_ int fd = cgroup_open(&k->hierarchy, g->path);
    struct memory_events events;
    struct psi psi;

    if (fd < 0 || file_read_u64_at(fd, "memory.current", &l->current_bytes) < 0)
        return false;
    if (!throttle_is_near(l->current_bytes, l->high_bytes))
        return true;
    if (memory_events_read_at(fd, "memory.events.local", &events) < 0)
        return false;
    l->high_events = events.high;
    l->full_usec =
        psi_read_at(fd, "memory.pressure", &psi) == 0 && psi.has_full ? psi.full.total_usec : UINT64_MAX;
    return true;
}

static void tell_raised(struct keeper *k, const struct qos_cgroup *g, uint64_t from, uint64_t to)
{
    struct keeper_message m = {
        .kind = KEEPER_DRIFT, .id = g->id, .ours = from, .found = to, .done = RECORD_KNOB_RAISED};

    (void)snprintf(m.path, sizeof(m.path), "%s", g->path);
    (void)snprintf(m.knob, sizeof(m.knob), "%s", qos_knob_name(QOS_MEMORY_HIGH));
    k->block->counts.raised++;
    keeper_queue_tell(&k->queue, &m);
}

static void raise_high(struct qos_cgroup *g, uint64_t value)
{
    struct qos_value *plan = &g->plan[QOS_MEMORY_HIGH];

    if (value == plan->value)
        return;
    plan->value = value;
    if (value >= g->foreign[QOS_MEMORY_HIGH])
        plan->why = QOS_WHY_NOTHING; /* what was there before us */
}

/* Nobody is throttled for ever by what we have set for him. */
static void relieve(struct keeper *k, uint64_t now)
{
    for (unsigned i = 0; i < k->tree.count; i++) {
        struct qos_cgroup *g = &k->cgroups[i];
        struct throttle_look l = {.id = g->id,
                                  .now_usec = now,
                                  .before_usec = k->looked_usec,
                                  .high_bytes = g->now[QOS_MEMORY_HIGH],
                                  .planned_bytes = g->plan[QOS_MEMORY_HIGH].value,
                                  .bound_bytes = g->work.bound};
        uint64_t value;
        bool raised;

        if (!qos_is_set(g, QOS_MEMORY_HIGH) || !read_throttle(k, g, &l))
            continue;
        value = throttle_step(&k->throttle, &l, k->config.throttle_deadline_usec, &raised);
        if (raised)
            tell_raised(k, g, l.high_bytes, value);
        raise_high(g, value);
    }
    throttle_forget_before(&k->throttle, now);
    k->looked_usec = now;
}

/* False: there is nothing to keep any more. */
static bool look(struct keeper *k)
{
    uint64_t began = clock_now_usec();
    struct qos_done done;
    bool wanted;

    if (!take_config(k, &wanted))
        return true;
    if (!wanted)
        return put_back(k) != 0;
    note_allocatable(k);
    if (k->allocatable_bytes == 0 || !open_journal(k) || !make_plan(k)) /* 0: the loop has not looked yet */
        return true;
    relieve(k, began);
    pacing_plan(&k->pacing, k->cgroups, k->tree.count, clock_now_usec());
    qos_settle_drifts(&k->knobs, k->cgroups, k->tree.count, k->config.drift == DRIFT_REAPPLY, began);
    qos_apply(&k->knobs, k->cgroups, k->tree.count, k->tree.left_out == 0, began, &done);
    tell_systemd(k);
    if (done.failed > 0)
        say(k, "memory QoS: %u knobs could not be set, the first was %s of %.100s: %s", done.failed,
            done.knob < QOS_KNOBS ? qos_knob_name(done.knob) : "an earlier value", done.path,
            strerror(-done.error));
    count(k, &done, began);
    keeper_publish_swap(k->block, &k->pacing, k->sequence, began);
    return true;
}

/* ---- the process ---- */

/* Nothing waits for it. Its oom_score_adj stays what it inherits: that it is killed would free nothing. */
static void on_interrupt(int signal _unused_)
{
}

/* Only to interrupt a write that blocks. */
static void become_ordinary(void)
{
    struct sigaction a = {.sa_handler = on_interrupt};

    (void)setpriority(PRIO_PROCESS, 0, 0);
    (void)umask(022);
    (void)sigaction(SIGUSR1, &a, NULL);
}

static int prepare(struct keeper *k, const struct keeper_options *o)
{
    int r;

    k->root_fd = open(o->sysroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    k->runtime_fd = k->root_fd < 0 ? -1 : file_open_dir(k->root_fd, DAEMON_RUNTIME_DIR);
    k->lock_fd = -1;
    k->real_root = file_is_root(o->sysroot);
    if (k->runtime_fd < 0)
        return -ENOENT;
    r = hierarchy_open(k->root_fd, &k->hierarchy);
    pacing_init(&k->pacing, k->root_fd, &k->hierarchy, &k->config, &k->knobs);
    if (r == 0)
        r = snapshot_reader_init(&k->reader, k->root_fd, &k->hierarchy, &k->config, &k->handle, 1);
    k->reader.isolate = true;
    k->tree = (struct qos_tree){.cgroups = k->cgroups, .max = CGROUPS_MAX};
    k->table = (struct lease_table){.more = k->more, .more_count = LEASES_MAX};
    k->knobs = (struct knobs){
        .hierarchy = &k->hierarchy,
        .journal = &k->journal,
        .table = &k->table,
        .write = write_knob,
        .left = read_left,
        .user = k,
        .drifted = on_drift,
        .root_fd = k->root_fd,
        .signals = k->real_root,
        .confirms = true,
        .pending_usec = PENDING_USEC,
        .insist = true, /* once: qos_settle_drifts sees to that */
        .yields = true,
    };
    return r;
}

/* What the guardian wants: false when it is gone. */
static bool receive(struct keeper *k, bool *ret_bye)
{
    struct keeper_message m;
    ssize_t n;

    do
        n = recv(k->fd, &m, sizeof(m), MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return true;
    if (n != (ssize_t)sizeof(m))
        return false;
    *ret_bye = *ret_bye || m.kind == KEEPER_BYE;
    return true;
}

/* One whose guardian died may still be on its way out, with the lock. */
static int end(struct keeper *k)
{
    uint64_t until = clock_now_usec() + LOCK_WAIT_USEC;

    while (!open_journal(k) && clock_now_usec() < until)
        (void)usleep(PUT_BACK_PAUSE_USEC);
    return put_back(k);
}

static int keep(struct keeper *k)
{
    uint64_t look_usec = 0, due_usec = 0, now; /* the first word is heard before anything is done */
    bool bye = false;

    for (;;) {
        struct pollfd p = {.fd = k->fd, .events = k->queue.count > 0 ? POLLIN | POLLOUT : POLLIN};
        uint64_t wait = u64_sub_floor(due_usec, clock_now_usec());
        int n = poll(&p, 1, (int)((wait + USEC_PER_MSEC - 1) / USEC_PER_MSEC));

        if (n > 0 && (p.revents & ~POLLOUT)) {
            if (!receive(k, &bye))
                return 1;
            look_usec = 0;
        }
        keeper_queue_flush(&k->queue);
        if (bye)
            return end(k);
        now = clock_now_usec();
        if (now < look_usec) {
            if (now >= pacing_due_usec(&k->pacing)) /* not where news were waited for */
                pacing_step(&k->pacing, now);
        } else {
            if (!look(k))
                return 0;
            (void)log_flush();
            look_usec = clock_now_usec() + KEEPER_LOOK_USEC;
        }
        due_usec = u64_min(look_usec, pacing_due_usec(&k->pacing));
    }
}

int keeper_main(int fd, const struct keeper_options *o)
{
    /* Not in static storage: that would be the loop's and the guardian's, too. */
    struct keeper *k =
        mmap(NULL, sizeof(*k), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int r;

    if (k == MAP_FAILED)
        return 1;
    (void)madvise(k, sizeof(*k), MADV_NOHUGEPAGE); /* most of it is never touched */
    become_ordinary();
    k->fd = k->queue.fd = fd;
    k->block = o->block;
    r = prepare(k, o);
    if (r < 0)
        log_line(LOG_PRIO_ERROR, "event=qos-failed error=\"%s\"", strerror(-r));
    r = r < 0 ? 1 : keep(k);
    keeper_queue_end(&k->queue);
    (void)log_flush();
    return r;
}
