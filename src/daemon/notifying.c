#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "action/history.h"
#include "base/units.h"
#include "daemon/daemon.h"
#include "kernel/memory_stat.h"
#include "kernel/process.h"
#include "system/clock.h"

/* Programs that are asked to give memory back: who they are, what came of it, and how long the ladder waits
 * for it. Who is asked is policy/notify's to say, and the sockets are server/pressure's. */

/* A round lasts at least so long, so that there is something to be measured. */
#define ROUND_LEAST_USEC (100 * USEC_PER_MSEC)
#define ROUND_LOOK_USEC (50 * USEC_PER_MSEC)
/* Before 6.8 /proc/PID/cgroup waits for the mutex of all cgroups, which somebody may hold who waits for
 * memory himself, and a kill waits for it as well: so once and not for each program. Who is not looked up
 * with this round is with the next. */
#define ROUND_FIND_USEC (10 * USEC_PER_MSEC)
/* Of many rounds in a row one in so long is recorded, unless it brought something or something is needed. */
#define QUIET_USEC (10 * USEC_PER_SEC)
#define GAVE_LEAST_BYTES MIB
#define PLACES_LEAST 16
#define PASSED_OVER_USEC USEC_PER_SEC

/* ---- who connects ---- */

/* Where it is now: who starts a program may move it later. Its cgroup's path, "" where that is not known. */
static void locate(const struct daemon *d, struct notify_client *c, char path[static CGROUP_PATH_MAX])
{
    path[0] = 0;
    if (c->pid > 0 && cgroup_read_path_of(d->root_fd, c->pid, path) < 0)
        path[0] = 0;
    c->class_index = (uint16_t)config_class_around(&d->config, path);
    c->inside = apply_is_in_workload(d, path);
}

static int on_admit(void *user, uid_t uid, pid_t pid)
{
    struct daemon *d = user;
    struct notify_state *s = &d->notifying.state;
    char path[CGROUP_PATH_MAX];
    bool evicted;
    int place = notify_admit(s, uid, pid, &evicted);

    if (place >= 0)
        locate(d, &s->clients[place], path);
    return place;
}

static void on_left(void *user, unsigned place)
{
    struct daemon *d = user;

    notify_leave(&d->notifying.state, place);
}

/* A descriptor a program, of which the groups and all else must keep theirs. */
static unsigned places(const struct daemon *d)
{
    uint64_t others = d->group_max + DAEMON_DESCRIPTORS;
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return PLACES_LEAST;
    return (unsigned)u64_min(d->config.max_clients,
                             u64_max(u64_sub_floor(files.rlim_cur, others), PLACES_LEAST));
}

void notifying_open(struct daemon *d)
{
    struct daemon_notifying *n = &d->notifying;
    unsigned max = places(d);
    int r;

    notify_state_init(&n->state, d->notify_clients, d->notify_users, max);
    /* Who is told by us does not listen to the kernel, so nobody is let in to whom nothing would be said. */
    if (d->dry_run)
        return;
    if (max < d->config.max_clients)
        report_warning(d,
                       "MaxClients=%u is more than LimitNOFILE= leaves: %u programs can be told of pressure",
                       d->config.max_clients, max);
    r = pressure_init(&n->server, &d->loop, n->path, d->pressure_clients, max, on_admit, on_left, d);
    n->served = r == 0;
    if (r < 0)
        report_warning(d, "%s: %s; programs cannot be asked to give memory back", n->path, strerror(-r));
}

void notifying_close(struct daemon *d)
{
    struct daemon_notifying *n = &d->notifying;

    for (unsigned i = 0; i < n->group_count; i++)
        close_fdp(&n->groups[i].dir_fd);
    n->group_count = 0;
    if (n->served)
        pressure_deinit(&n->server, n->path);
    n->served = false;
}

void notifying_map_classes(struct daemon *d, const uint16_t map[static CONFIG_CLASSES_MAX])
{
    struct daemon_notifying *n = &d->notifying;
    struct notify_estimate of[CONFIG_CLASSES_MAX];
    uint16_t other = (uint16_t)(d->config.class_count - 1);

    for (unsigned i = 0; i < CONFIG_CLASSES_MAX; i++)
        notify_estimate_init(&of[i]);
    for (unsigned i = 0; i < CONFIG_CLASSES_MAX; i++)
        if (map[i] < CONFIG_CLASSES_MAX)
            of[map[i]] = n->state.of[i];
    memcpy(n->state.of, of, sizeof(of));
    for (unsigned i = 0; i < n->group_count; i++)
        n->groups[i].class_index =
            map[n->groups[i].class_index] < CONFIG_CLASSES_MAX ? map[n->groups[i].class_index] : other;
    /* Whose class another one's pattern is now is seen when they have their turn. */
    for (unsigned i = 0; i < n->state.top; i++) {
        struct notify_client *c = &n->state.clients[i];

        c->class_index = map[c->class_index] < CONFIG_CLASSES_MAX ? map[c->class_index] : other;
        c->inside = true;
    }
}

/* ---- a round ---- */

/* What reclaim to file cannot give back; of a process where there is no cgroup that says it. */
static int read_held(const struct daemon *d, const struct notify_group *g, uint64_t *ret)
{
    struct process_memory p;
    struct memory_stat m;
    int r;

    if (g->dir_fd >= 0) {
        r = memory_stat_read_at(g->dir_fd, &m);
        if (r == 0)
            *ret = memory_stat_used(&m);
        return r;
    }
    r = process_read_memory(d->root_fd, g->pid, &p);
    if (r == 0)
        *ret = u64_add_cap(p.rss_anon, p.rss_shmem);
    return r;
}

static bool is_same(const struct notify_group *g, const struct notify_client *c, const char *path)
{
    return g->pid > 0 ? g->pid == c->pid : strcmp(g->path, path) == 0;
}

/* What the program's cgroup holds before it is asked. NOTIFY_GROUPS_MAX: that is not measured. */
static unsigned note_group(struct daemon *d, const struct notify_client *c, const char *path)
{
    struct daemon_notifying *n = &d->notifying;
    struct notify_group *g = &n->groups[n->group_count];

    for (unsigned i = 0; i < n->group_count; i++)
        if (is_same(&n->groups[i], c, path))
            return i;
    if (n->group_count == NOTIFY_GROUPS_MAX)
        return NOTIFY_GROUPS_MAX;
    *g = (struct notify_group){.dir_fd = path[0] ? cgroup_open(&d->hierarchy, path) : -1,
                               .class_index = c->class_index};
    memcpy(g->path, path, sizeof(g->path));
    if (g->dir_fd < 0 || read_held(d, g, &g->held_bytes) < 0) {
        close_fdp(&g->dir_fd);
        g->pid = c->pid;
        for (unsigned i = 0; i < n->group_count; i++)
            if (is_same(&n->groups[i], c, path))
                return i;
        if (c->pid <= 0 || read_held(d, g, &g->held_bytes) < 0)
            return NOTIFY_GROUPS_MAX;
    }
    return n->group_count++;
}

static void tell(struct daemon *d, unsigned place, unsigned group)
{
    struct daemon_notifying *n = &d->notifying;
    struct notify_client *c = &n->state.clients[place];
    bool news = notify_is_news(c, d->room.level, n->since_usec);
    int r = pressure_tell(&n->server, place, d->room.level);

    if (r == -EAGAIN)
        notify_note_passed(c, n->since_usec, true);
    if (r < 0)
        return;
    notify_note_told(c, d->room.level, n->since_usec);
    n->told[n->asked++] = (struct notify_told){place, group};
    if (group == NOTIFY_GROUPS_MAX)
        return;
    n->groups[group].programs++;
    n->groups[group].news |= news;
}

static void expect(struct daemon_notifying *n)
{
    n->expected_bytes = n->expected_usec = 0;
    for (unsigned i = 0; i < n->group_count; i++) {
        struct notify_group *g = &n->groups[i];

        if (g->news)
            g->expected_bytes =
                notify_expected_bytes(&n->state, g->class_index, g->held_bytes, n->since_usec);
        n->expected_bytes = u64_add_cap(n->expected_bytes, g->expected_bytes);
        if (g->expected_bytes > 0)
            n->expected_usec = u64_max(n->expected_usec, n->state.of[g->class_index].usec);
    }
}

static void forget_round(struct daemon_notifying *n)
{
    for (unsigned i = 0; i < n->group_count; i++)
        close_fdp(&n->groups[i].dir_fd);
    n->group_count = n->asked = 0;
    n->asking = false;
    n->waited_since_usec = n->waited_usec = 0;
}

/* When what is put off is due; only while something is. */
static uint64_t wait_end_usec(const struct daemon *d)
{
    const struct daemon_notifying *n = &d->notifying;

    return u64_min(n->since_usec + d->config.notify_grace_usec, n->wait_until_usec);
}

/* The ladder goes on with this look: a walk that had to wait for its share of the time (a fifth of a second,
 * where one takes 4 ms) would come on top of what was waited. Nobody waits again for a while, so these are
 * few. */
static void end_wait(struct daemon *d)
{
    struct daemon_notifying *n = &d->notifying;

    if (n->waited_since_usec == 0)
        return;
    n->waited_usec = clock_now_usec() - n->waited_since_usec;
    n->waited_since_usec = 0;
    d->walk_now = true;
    d->decide_due_usec = 0;
}

/* Who is not in the domain can only help where memory of the node is what is short, or the rest of the node
 * uses more than its reserve. */
static bool others_help(const struct daemon *d)
{
    uint64_t inside = 0;

    for (unsigned i = 0; i < d->snapshot.workload_count; i++)
        if (d->snapshot.workloads[i].id != 0)
            inside = u64_add_cap(inside, d->snapshot.workloads[i].used);
    return d->room.by_available || d->room.used > inside;
}

/* Who is outside has his turn behind the others even where he cannot help: he may have been moved since he
 * was looked at. */
static void begin_round(struct daemon *d, const struct trigger *t)
{
    struct daemon_notifying *n = &d->notifying;
    _uninitialized_ unsigned chosen[NOTIFY_WAKE_MAX], groups[NOTIFY_WAKE_MAX];
    uint64_t now = clock_now_usec();
    bool others = others_help(d);
    unsigned count = notify_choose(&d->config, &n->state, d->room.level, now, true, chosen,
                                   (unsigned)u64_min(d->config.notify_wake, NOTIFY_WAKE_MAX));
    char path[CGROUP_PATH_MAX];

    if (count == 0)
        return;
    n->since_usec = now;
    for (unsigned i = 0; i < count; i++) {
        struct notify_client *c = &n->state.clients[chosen[i]];
        bool may;

        locate(d, c, path);
        /* Who is paused cannot give anything: to wait for him, and to learn from it, would be wrong. */
        may = notify_allows(&d->config, d->room.level, c->class_index) && (c->inside || others) &&
              !pauser_holds(&d->pauser, path);
        if (!may)
            notify_note_passed(c, now, c->mute);
        groups[i] = may ? note_group(d, c, path) : UINT_MAX;
        if (clock_now_usec() >= now + ROUND_FIND_USEC)
            count = i + 1;
    }
    for (unsigned i = 0; i < count; i++)
        if (groups[i] != UINT_MAX)
            tell(d, chosen[i], groups[i]);
    n->round_usec = clock_now_usec() - now;
    n->round_most_usec = u64_max(n->round_most_usec, n->round_usec);
    if (n->asked == 0) {
        forget_round(n);
        return;
    }
    expect(n);
    n->asking = true;
    n->rounds++;
    n->asked_total += n->asked;
    n->until_usec = now + u64_max(d->config.notify_grace_usec, ROUND_LEAST_USEC);
    n->trigger = *t;
    n->room = d->room;
    n->wall_usec = clock_wall_usec();
    n->least_used = d->room.used;
    n->least_usec = 0;
}

static void measure(struct daemon *d)
{
    struct daemon_notifying *n = &d->notifying;
    uint64_t held;

    for (unsigned i = 0; i < n->group_count; i++) {
        struct notify_group *g = &n->groups[i];

        if (g->dir_fd >= 0)
            history_note_asked(g->dir_fd);
        /* One that has gone with its programs has not given anything because it was asked. */
        if (read_held(d, g, &held) == 0)
            g->gave_bytes = u64_sub_floor(g->held_bytes, held);
        n->gave_total = u64_add_cap(n->gave_total, g->gave_bytes);
    }
    for (unsigned i = 0; i < n->asked; i++) {
        struct notify_client *c = &n->state.clients[n->told[i].place];
        const struct notify_group *g = &n->groups[n->told[i].group];

        /* Another one may have its place by now. */
        if (n->told[i].group < n->group_count && c->used && c->told_usec == n->since_usec)
            notify_note_gave(c, g->gave_bytes / g->programs);
    }
}

/* Once a class. That what still holds brings nothing new says nothing of what news would. */
static void learn(struct daemon_notifying *n, uint64_t now, uint64_t usec)
{
    for (unsigned class = 0; class < CONFIG_CLASSES_MAX; class ++) {
        uint64_t held = 0, gave = 0;

        for (unsigned i = 0; i < n->group_count; i++) {
            const struct notify_group *g = &n->groups[i];

            if (g->class_index != class || (!g->news && g->gave_bytes < GAVE_LEAST_BYTES))
                continue;
            held = u64_add_cap(held, g->held_bytes);
            gave = u64_add_cap(gave, g->gave_bytes);
        }
        notify_note_outcome(&n->state, class, now, held, gave, usec);
    }
}

static void record(struct daemon *d, uint64_t gave, uint64_t usec)
{
    struct daemon_notifying *n = &d->notifying;
    struct decision e = {
        .trigger = n->trigger,
        .room = n->room,
        .time_usec = n->since_usec,
        .wall_usec = n->wall_usec,
        .reason = DECISION_NOTIFY,
        .method = METHOD_ORDER,
        .groups = n->group_count,
        .candidates = n->group_count,
        .asked = n->asked,
        .expected_bytes = n->expected_bytes,
        .ended = true,
        .used_after = d->room.used,
        .need_after = d->room.need,
        .freed_bytes = gave,
        .select_usec = u64_sub_floor(n->since_usec, n->trigger.at_usec),
        .signal_usec = u64_sub_floor(n->since_usec + n->round_usec, n->trigger.at_usec),
        .outcome_usec = usec,
        .waited_usec = n->waited_usec,
    };

    for (unsigned i = 0; i < n->group_count && e.victim_count < DECISION_VICTIMS_MAX; i++) {
        struct victim *v = &e.victims[e.victim_count++];

        *v = (struct victim){.pid = n->groups[i].pid,
                             .class_index = n->groups[i].class_index,
                             .expected_bytes = n->groups[i].expected_bytes,
                             .programs = n->groups[i].programs,
                             .held_bytes = n->groups[i].held_bytes,
                             .gave_bytes = n->groups[i].gave_bytes};
        memcpy(v->path, n->groups[i].path, sizeof(v->path));
    }
    (void)record_ring_add_asked(&d->ring, &e);
    record_ring_set_outcome(&d->ring, &e);
    report_decision(d, &e);
}

static void end_round(struct daemon *d)
{
    struct daemon_notifying *n = &d->notifying;
    uint64_t now = clock_now_usec(), gave = 0, usec;

    measure(d);
    for (unsigned i = 0; i < n->group_count; i++)
        gave = u64_add_cap(gave, n->groups[i].gave_bytes);
    usec = (n->least_usec > 0 ? n->least_usec : now) - n->since_usec;
    learn(n, now, usec);
    end_wait(d);
    if (n->room.need > 0 || gave >= GAVE_LEAST_BYTES || n->room.level > n->recorded_level ||
        now >= n->recorded_usec + QUIET_USEC) {
        n->recorded_usec = now;
        n->recorded_level = n->room.level;
        record(d, gave, usec);
    }
    /* Who gives and takes at once is not waited for again and again. */
    if (d->room.need == 0 && gave >= u64_max(n->expected_bytes / 2, GAVE_LEAST_BYTES))
        n->wait_until_usec = 0;
    forget_round(n);
}

void notifying_step(struct daemon *d, const struct trigger *t)
{
    struct daemon_notifying *n = &d->notifying;
    uint64_t now = clock_now_usec();

    if (n->asking && d->room.used < n->least_used) {
        n->least_used = d->room.used;
        n->least_usec = now;
    }
    /* A worse level does not wait for the end of a round that was begun at a better one. */
    if (n->asking &&
        (now >= n->until_usec || (d->room.level > n->room.level && now >= n->since_usec + NOTIFY_WORSE_USEC)))
        end_round(d);
    if (now >= wait_end_usec(d))
        end_wait(d);
    if (d->room.level == LEVEL_CALM)
        n->recorded_level = LEVEL_CALM;
    if (!n->asking && n->state.count > 0 && d->room.level > LEVEL_CALM && !pausing_held(d, now))
        begin_round(d, t);
}

uint64_t notifying_next_look_usec(const struct daemon *d)
{
    const struct daemon_notifying *n = &d->notifying;
    uint64_t until = n->waited_since_usec != 0 ? u64_min(n->until_usec, wait_end_usec(d)) : n->until_usec;

    return n->asking ? u64_min(ROUND_LOOK_USEC, u64_sub_floor(until, clock_now_usec())) : UINT64_MAX;
}

/* ---- the rung ---- */

/* Whoever waits does so once: if that has not helped, the ladder goes on, and nobody waits again for a while.
 */
static bool may_wait(const struct daemon_notifying *n, uint64_t now)
{
    return n->wait_until_usec == 0 || now < n->wait_until_usec ||
           now >= n->wait_until_usec + PASSED_OVER_USEC;
}

static struct ladder_rung rung_at(const struct daemon *d, uint64_t bytes, uint64_t now)
{
    const struct daemon_notifying *n = &d->notifying;
    uint64_t until = n->since_usec + d->config.notify_grace_usec;
    uint64_t soon = n->since_usec + n->expected_usec;

    if (n->wait_until_usec != 0 && now < n->wait_until_usec)
        until = u64_min(until, n->wait_until_usec);
    /* What is late may come any moment, and is waited for as long as there is time for the rest of the
     * ladder. */
    return (struct ladder_rung){
        .possible = n->asking && now < until && may_wait(n, now),
        .covers = n->expected_bytes > 0 && n->expected_bytes >= bytes,
        .usec = now < soon ? soon - now : u64_min(n->expected_usec, u64_sub_floor(until, now)),
    };
}

static bool is_in_time(const struct daemon *d, const struct ladder_rung *rung)
{
    return rung->possible && rung->covers && rung->usec <= d->room.time_left_usec;
}

void notifying_note_wait(struct daemon *d)
{
    struct daemon_notifying *n = &d->notifying;
    uint64_t now = clock_now_usec();

    if (n->waited_since_usec == 0)
        n->waited_since_usec = now;
    n->waited_usec = now - n->waited_since_usec;
    if (n->wait_until_usec < now)
        n->wait_until_usec = now + d->config.notify_grace_usec;
}

struct ladder_rung notifying_rung(struct daemon *d, uint64_t bytes)
{
    struct ladder_rung rung = rung_at(d, bytes, clock_now_usec());

    if (is_in_time(d, &rung))
        notifying_note_wait(d);
    return rung;
}

bool notifying_covers(struct daemon *d, uint64_t bytes)
{
    struct ladder_rung rung = notifying_rung(d, bytes);

    return is_in_time(d, &rung);
}

uint64_t notifying_asked_bytes(const struct daemon *d)
{
    struct ladder_rung rung = rung_at(d, 0, clock_now_usec());

    return is_in_time(d, &rung) ? d->notifying.expected_bytes : 0;
}

/* ---- status ---- */

void notifying_fill_status(const struct daemon *d, struct status *s)
{
    const struct daemon_notifying *n = &d->notifying;

    s->notify = (struct status_notify){
        .served = n->served,
        .path = n->path,
        .clients = n->state.count,
        .max = n->state.max,
        .rounds = n->rounds,
        .asked = n->asked_total,
        .unread = n->server.unread,
        .refused = n->server.refused,
        .gave_bytes = n->gave_total,
        .round_most_usec = n->round_most_usec,
    };
}
