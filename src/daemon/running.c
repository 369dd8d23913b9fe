/* Groups for `headroom run`: who may have one, where it goes, and when it is removed. The process that asks
 * is the one that goes into the group, and no other: its pid is what the kernel says of its connection, and
 * is held against its start time and owner, so that one that has left its connection and its pid to somebody
 * else moves nobody. The guardian makes the group, since that waits for the kernel.
 *
 * Nothing is remembered of a group but what is written on it. So a restart changes nothing: who started it
 * asks whatever headroomd runs at its end to remove it, and what nobody asks for (he was killed, or something
 * was left in it) is found by a sweep, and removed when it was seen empty twice. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "action/unit.h"
#include "base/buffer.h"
#include "base/units.h"
#include "daemon/daemon.h"
#include "kernel/file.h"
#include "kernel/kill.h"
#include "kernel/process.h"
#include "model/place.h"
#include "snapshot/handles.h"
#include "system/clock.h"
#include "system/log.h"

#define SWEEP_USEC (10 * USEC_PER_SEC)
#define SWEEP_ORDERS_MAX 16 /* of one sweep: the guardian has other things to do */
#define UNDER_WAY_MAX 16    /* orders that it has not answered: the loop's own must not wait for many */
#define TICK_USEC (20 * USEC_PER_MSEC)
#ifndef SO_PEERPIDFD /* 6.5 */
#define SO_PEERPIDFD 77
#endif

/* ---- who asks ---- */

/* A descriptor of the very process that has connected; before 6.5, of whoever has its pid now. */
static int open_peer(const struct control_peer *peer)
{
    socklen_t length = sizeof(int);
    int fd = -1;

    if (getsockopt(peer->fd, SOL_SOCKET, SO_PEERPIDFD, &fd, &length) == 0)
        return fd;
    return errno == ENOPROTOOPT ? kill_pidfd_open(peer->pid) : -errno;
}

/* When the peer was started. -ESRCH: he has gone, and his pid may be another one's; one who is not of the uid
 * that has connected, or is younger than the connection, is another one. */
static int peer_start(const struct daemon *d, const struct control_peer *peer, uint64_t *ret_usec)
{
    _cleanup_close_ int fd = peer->pid > 0 ? open_peer(peer) : -ESRCH;
    struct process_stat st;
    uid_t uid;

    if (fd < 0 || process_read_stat(d->root_fd, peer->pid, &st) < 0 ||
        process_read_uid(d->root_fd, peer->pid, &uid) < 0 || kill_pidfd_signal(fd, 0) < 0)
        return -ESRCH;
    if (uid != peer->uid || st.start_usec > peer->since_usec + TICK_USEC)
        return -ESRCH;
    *ret_usec = st.start_usec;
    return 0;
}

/* ---- where to ---- */

static int find_class(const struct daemon *d, const char *name, char *text, size_t size)
{
    struct buffer b;

    for (unsigned i = 0; i < d->config.class_count; i++)
        if (strcmp(d->config.classes[i].name, name) == 0)
            return (int)i;
    buffer_init(&b, text, size);
    buffer_appendf(&b, "there is no [Class %s] in the configuration; its classes are", name);
    for (unsigned i = 0; i < d->config.class_count; i++)
        buffer_appendf(&b, "%s %s", i > 0 ? "," : "", d->config.classes[i].name);
    return -ENOENT;
}

static int refuse_place(const struct daemon *d, enum place_result result, const char *class,
                        unsigned taken_by, char *text, size_t size)
{
    switch (result) {
    case PLACE_PROCESSES:
        (void)snprintf(text, size, "the groups of [Class %s] are processes (Unit=process), not cgroups",
                       class);
        break;
    case PLACE_NO_MATCH:
        (void)snprintf(text, size, "[Class %s] has no Match= that would say where its groups are", class);
        break;
    case PLACE_TAKEN:
        (void)snprintf(text, size,
                       "where [Class %s] has room for groups, [Class %s] before it would get them", class,
                       d->config.classes[taken_by].name);
        break;
    case PLACE_FIXED:
    case PLACE_FOUND:
        (void)snprintf(
            text, size,
            "Match= of [Class %s] leaves no room for a new group: it takes a pattern with a * in its "
            "last part and none above, such as workload.slice/*",
            class);
        break;
    }
    return -EINVAL;
}

/* A slice of systemd's takes scopes, which systemd makes. */
static int find_place(const struct daemon *d, unsigned class_index, const struct control_peer *peer,
                      struct control_place *ret, char *text, size_t size)
{
    char tag[48], path[CONFIG_PATH_MAX], parent[CONFIG_PATH_MAX];
    const char *class = d->config.classes[class_index].name;
    enum place_result result;
    unsigned taken_by = 0;
    bool slice;

    (void)snprintf(tag, sizeof(tag), "%d-%jx", (int)peer->pid, (uintmax_t)clock_now_usec());
    result = place_find(&d->config, class_index, tag, "", path, &taken_by);
    place_parent(result == PLACE_FOUND ? path : "", parent);
    slice = result == PLACE_FOUND && parent[0] && unit_is_slice(d->root_fd, parent);
    if (slice && peer->uid == 0)
        result = place_find(&d->config, class_index, tag, ".scope", path, &taken_by);
    ret->id = slice ? 0 : UINT64_MAX;
    if (peer->uid != 0 && (slice || result != PLACE_FOUND) &&
        place_find_of_user(&d->config, class_index, tag, peer->uid, path, &taken_by) == PLACE_FOUND) {
        ret->of_user = true;
        ret->id = 0;
    } else if (slice && peer->uid != 0) {
        (void)snprintf(
            text, size,
            "%s is a slice of systemd's, where root alone may start work; let Match= of [Class %s] "
            "also name a place below a unit with Delegate=yes",
            parent, class);
        return -EPERM;
    } else if (result != PLACE_FOUND) {
        return refuse_place(d, result, class, taken_by, text, size);
    }
    memcpy(ret->group, path, sizeof(path));
    return 0;
}

/* ---- what is asked for ---- */

static int check(struct daemon *d, const struct control_command *c, char *text, size_t size)
{
    const struct class_config *class;
    int i;

    if (d->dry_run || !d->real_root) {
        (void)snprintf(text, size, "this is a dry run: no group is made");
        return -EOPNOTSUPP;
    }
    if (d->hierarchy.fd < 0 || !d->hierarchy.memory) {
        (void)snprintf(text, size, "there is no cgroup v2 with the memory controller here");
        return -EOPNOTSUPP;
    }
    i = find_class(d, c->class, text, size);
    if (i < 0)
        return i;
    class = &d->config.classes[i];
    if (c->peer->uid != 0 && !control_peer_is_in(c->peer, class->allow_gid, class->allow_count)) {
        (void)snprintf(text, size,
                       "only root and members of the groups of AllowGroup= may run work in [Class %s]",
                       class->name);
        return -EPERM;
    }
    return i;
}

static int begin(struct daemon *d, const struct control_command *c, char *text, size_t size)
{
    struct run_order o = {.pid = c->peer->pid, .owner_uid = c->peer->uid, .attributes = c->run};
    struct control_place *place = &d->control.place;
    uint64_t ticket = CONTROL_TICKET_RUN | ++d->running.tickets;
    int r = check(d, c, text, size);

    *place = (struct control_place){0};
    if (r >= 0)
        r = find_place(d, (unsigned)r, c->peer, place, text, size);
    if (r < 0) {
        place->group[0] = '\0';
        return r;
    }
    if (place->id == 0) {
        (void)snprintf(text, size, "systemd makes the group");
        return 0;
    }
    memcpy(o.path, place->group, sizeof(o.path));
    place->group[0] = '\0';
    if (peer_start(d, c->peer, &o.start_usec) < 0) {
        (void)snprintf(text, size,
                       "the process that asks cannot be told: it is in another pid namespace, or gone");
        return -EOPNOTSUPP;
    }
    if (d->running.under_way >= UNDER_WAY_MAX || d->running.count >= d->group_max) {
        (void)snprintf(text, size,
                       "as many groups as there may be (MaxGroups=%u) are there, or many are being made",
                       d->group_max);
        return -EBUSY;
    }
    if (!guardian_run(d, ticket, &o)) {
        (void)snprintf(text, size, "the guardian, which would make the group, does not run now");
        return -EBUSY;
    }
    d->running.under_way++;
    d->control.ticket = ticket;
    return -EINPROGRESS;
}

static int end(struct daemon *d, const struct control_command *c, char *text, size_t size)
{
    _cleanup_close_ int fd = d->hierarchy.fd < 0 ? -ENOENT : cgroup_open(&d->hierarchy, c->group);
    struct cgroup_events events;
    uint64_t id = 0;
    uid_t owner;

    if (d->dry_run || !d->real_root || fd < 0 || cgroup_read_id(fd, &id) < 0 || id != c->id ||
        run_read_owner(fd, &owner) < 0 || (c->peer->uid != 0 && c->peer->uid != owner)) {
        (void)snprintf(text, size, "there is no such group of yours");
        return -ENOENT;
    }
    if (cgroup_read_events(fd, &events) == 0 && events.populated) {
        (void)snprintf(text, size, "it is removed as soon as it is empty");
        return 0; /* by a sweep */
    }
    if (!guardian_end_run(d, c->group, id)) {
        (void)snprintf(text, size, "the guardian does not run now; it is removed later");
        return -EBUSY;
    }
    (void)snprintf(text, size, "it is removed as soon as it is empty");
    return 0;
}

int running_command(struct daemon *d, const struct control_command *c, char *ret_text, size_t size)
{
    if (!c->peer) {
        (void)snprintf(ret_text, size, "who asks is not known");
        return -EPERM;
    }
    return c->verb == CONTROL_RUN ? begin(d, c, ret_text, size) : end(d, c, ret_text, size);
}

/* ---- what came of it ---- */

void running_note(struct daemon *d, uint64_t ticket, int result, const char *path, uint64_t id)
{
    struct control_place place = {.id = id};
    char text[CONTROL_TEXT_MAX], parent[CONFIG_PATH_MAX];

    place_parent(path, parent);
    d->running.under_way -= d->running.under_way > 0;
    d->running.count += result == 0;
    if (result == 0)
        (void)snprintf(text, sizeof(text), "it was made");
    else if (result == -ENOENT)
        (void)snprintf(text, sizeof(text),
                       "the cgroup %s, which the group would be in, is not there: make it", parent);
    else if (result == -EOPNOTSUPP)
        (void)snprintf(text, sizeof(text),
                       "the memory controller is not enabled in cgroup.subtree_control of %s", parent);
    else
        (void)snprintf(text, sizeof(text), "the group %s could not be made: %s", path, strerror(-result));
    log_line(result < 0 ? LOG_PRIO_WARNING : LOG_PRIO_INFO, "event=run group=%s result=\"%s\"", path, text);
    (void)snprintf(place.group, sizeof(place.group), "%s", path);
    control_answer_run(&d->control, ticket, result == -ENOENT ? -EOPNOTSUPP : result, text, &place);
}

void running_on_guardian_gone(struct daemon *d)
{
    d->running.under_way = 0;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (d->control.clients[i].waits_for & CONTROL_TICKET_RUN)
            control_answer_run(&d->control, d->control.clients[i].waits_for, -EBUSY,
                               "the guardian has ended meanwhile", NULL);
}

/* ---- what nobody has removed ---- */

struct sweep {
    struct daemon *d;
    const char *parent;
    int parent_fd;
    uint64_t empty_ids[RUNS_EMPTY_MAX];
    unsigned empty_count;
    unsigned orders;
    unsigned count;
};

static bool was_empty(const struct daemon *d, uint64_t id)
{
    for (unsigned i = 0; i < d->running.empty_count; i++)
        if (d->running.empty_ids[i] == id)
            return true;
    return false;
}

/* Those that the last walk has seen alive are not looked at. */
static int sweep_one(void *user, const char *name, unsigned char type, uint64_t inode)
{
    struct sweep *s = user;
    const struct group_handle *h;
    _cleanup_close_ int fd = -1;
    char path[CGROUP_PATH_MAX];
    struct cgroup_events events;
    uint64_t id;
    uid_t owner;

    if (type != DT_DIR || !strstr(name, RUN_NAME))
        return 0;
    s->count++;
    h = handle_find(&s->d->reader, inode, 0);
    if (h && !h->was_empty)
        return 0;
    fd = file_open_dir(s->parent_fd, name);
    if (fd < 0 || cgroup_read_events(fd, &events) < 0 || events.populated || run_read_owner(fd, &owner) < 0 ||
        cgroup_read_id(fd, &id) < 0)
        return 0;
    if (!was_empty(s->d, id)) {
        if (s->empty_count < RUNS_EMPTY_MAX)
            s->empty_ids[s->empty_count++] = id;
    } else if (s->orders < SWEEP_ORDERS_MAX && cgroup_path_join(path, s->parent, name) == 0) {
        s->orders++;
        (void)guardian_end_run(s->d, path, id);
    }
    return 0;
}

static bool parent_of_class(const struct daemon *d, unsigned i, char ret[static CONFIG_PATH_MAX])
{
    char path[CONFIG_PATH_MAX];
    unsigned taken_by;

    if (place_find(&d->config, i, "x", "", path, &taken_by) != PLACE_FOUND)
        return false;
    place_parent(path, ret);
    return true;
}

static bool is_first_there(const struct daemon *d, unsigned i, const char *parent)
{
    char other[CONFIG_PATH_MAX];

    for (unsigned k = 0; k < i; k++)
        if (parent_of_class(d, k, other) && strcmp(other, parent) == 0)
            return false;
    return true;
}

void running_sweep(struct daemon *d)
{
    struct sweep s = {.d = d};
    uint64_t now = clock_now_usec();
    char parent[CONFIG_PATH_MAX];

    if (d->dry_run || !d->real_root || d->hierarchy.fd < 0 || now < d->running.sweep_due_usec)
        return;
    d->running.sweep_due_usec = now + SWEEP_USEC;
    for (unsigned i = 0; i < d->config.class_count; i++) {
        _cleanup_close_ int fd = -1;

        if (!parent_of_class(d, i, parent) || !is_first_there(d, i, parent))
            continue;
        fd = cgroup_open(&d->hierarchy, parent);
        s.parent = parent;
        s.parent_fd = fd;
        if (fd >= 0)
            (void)file_each_entry(fd, sweep_one, &s);
    }
    memcpy(d->running.empty_ids, s.empty_ids, sizeof(s.empty_ids));
    d->running.empty_count = s.empty_count;
    d->running.count = s.count;
    d->running.under_way = 0; /* an answer may have been lost */
}
