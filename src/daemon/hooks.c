#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/units.h"
#include "daemon/daemon.h"
#include "daemon/guardian.h"
#include "system/clock.h"
#include "system/log.h"

/* The loop's side of the hooks: it tells, and never waits. The guardian keeps the process that runs them
 * (action/hook). */

/* Up at once; down, and up again, no more often than this: a level that flutters is not worth a process each
 * time. */
#define LEVEL_TOLD_USEC USEC_PER_SEC

/* Two ends, both kept, so that a guardian that is started anew gets the other one again. */
int hooks_open(struct daemon *d)
{
    int pair[2];

    d->hooks.counts = &d->guardian_page->hook_counts;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    d->hooks.fd = pair[0];
    d->hooks.far_fd = pair[1];
    return 0;
}

bool hooks_configured(const struct config *c)
{
    for (unsigned k = 0; k < HOOK_COUNT; k++)
        if (c->hooks[k][0])
            return true;
    return false;
}

static bool is_wanted(const struct daemon *d, enum hook_kind k)
{
    return d->config.hooks[k][0] != 0;
}

static void fill(const struct daemon *d, struct hook_event *e, enum hook_kind k, const struct room *r)
{
    *e = (struct hook_event){
        .kind = k,
        .timeout_usec = d->config.hook_timeout_usec,
        .level = r->level,
        .limit_bytes = r->limit,
        .used_bytes = r->used,
        .room_bytes = r->room,
        .need_bytes = r->need,
        .time_left_usec = r->time_left_usec,
    };
    memcpy(e->command, d->config.hooks[k], sizeof(e->command));
}

static void tell(struct daemon *d, const struct hook_event *e)
{
    if (d->dry_run || !d->real_root) {
        log_line(LOG_PRIO_NOTICE, "event=hook hook=%s action=none would_run=\"%s\" level=%s%s%s",
                 hook_name(e->kind), e->command, level_name(e->level), e->victim[0] ? " victim=" : "",
                 e->victim);
        return;
    }
    if (send(d->hooks.fd, e, sizeof(*e), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        d->hooks.dropped++;
}

static void tell_victim(struct daemon *d, enum hook_kind k, const struct decision *of, unsigned i)
{
    const struct victim *v = &of->victims[i];
    struct hook_event e;

    fill(d, &e, k, &of->room);
    (void)snprintf(e.reason, sizeof(e.reason), "%s",
                   v->why != PAUSE_WHY_NONE ? pause_why_name(v->why)
                   : v->culprit             ? "culprit"
                                            : "need");
    (void)snprintf(e.trigger, sizeof(e.trigger), "%s %s", trigger_name(of->trigger.kind),
                   of->trigger.detail ? of->trigger.detail : "none");
    e.decision = of->id;
    e.victim_number = i + 1;
    e.victim_count = of->victim_count;
    hook_copy_safe(e.victim, sizeof(e.victim), v->path);
    e.victim_id = v->id;
    e.victim_pid = v->pid;
    hook_copy_safe(e.victim_comm, sizeof(e.victim_comm), v->comm);
    memcpy(e.class_name, d->config.classes[v->class_index].name, sizeof(e.class_name));
    e.age_usec = v->age_usec;
    e.progress_usec = v->progress_usec;
    e.expected_bytes = v->expected_bytes;
    if (k == HOOK_POST_KILL) {
        e.gone = of->gone;
        e.stuck = of->stuck;
        e.failed = of->failed;
        e.freed_bytes = of->freed_bytes;
        e.outcome_usec = of->outcome_usec;
    }
    tell(d, &e);
}

void hooks_tell_kill(struct daemon *d, enum hook_kind k, const struct decision *of)
{
    if (!is_wanted(d, k))
        return;
    for (unsigned i = 0; i < of->victim_count; i++)
        tell_victim(d, k, of, i);
}

void hooks_note_level(struct daemon *d, const struct trigger *t)
{
    uint64_t now = d->snapshot.now_usec;
    enum level before = d->hooks.level_told;
    struct hook_event e;

    if (d->room.level == before || !is_wanted(d, HOOK_ON_LEVEL) ||
        (d->room.level < before && now < d->hooks.level_told_usec + LEVEL_TOLD_USEC))
        return;
    d->hooks.level_told = d->room.level;
    d->hooks.level_told_usec = now;
    fill(d, &e, HOOK_ON_LEVEL, &d->room);
    e.level_before = before;
    (void)snprintf(e.reason, sizeof(e.reason), "%s", d->room.level > before ? "rise" : "fall");
    (void)snprintf(e.trigger, sizeof(e.trigger), "%s %s", trigger_name(t->kind),
                   t->detail ? t->detail : "none");
    tell(d, &e);
}

void hooks_fill_status(const struct daemon *d, struct status *s)
{
    const struct hook_counts *c = d->hooks.counts;

    s->hooks_configured = hooks_configured(&d->config);
    s->hooks_dropped = d->hooks.dropped;
    if (!c)
        return;
    s->hooks_run = __atomic_load_n(&c->run, __ATOMIC_RELAXED);
    s->hooks_failed = __atomic_load_n(&c->failed, __ATOMIC_RELAXED);
    s->hooks_timed_out = __atomic_load_n(&c->timed_out, __ATOMIC_RELAXED);
    s->hooks_dropped += __atomic_load_n(&c->dropped, __ATOMIC_RELAXED);
}
