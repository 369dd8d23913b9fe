#include "record/line.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/nodelist.h"
#include "record/ring.h"

static void append_time_left(struct buffer *b, uint64_t usec)
{
    if (usec == UINT64_MAX)
        buffer_append(b, " time_left_us=max");
    else
        buffer_appendf(b, " time_left_us=%" PRIu64, usec);
}

/* Whether it did something else than killing to those whom it names. */
static bool is_gentle(const struct decision *d)
{
    return d->reason == DECISION_RECLAIM || d->reason == DECISION_PAUSE || d->reason == DECISION_RESUME ||
           d->reason == DECISION_NOTIFY;
}

/* A victim that is killed is named by its cgroup or its pid; one that lives on by what `headroom resume`
 * takes.
 */
static void append_name(struct buffer *b, const struct victim *v, bool gentle)
{
    char name[GROUP_PATH_MAX + 16];

    buffer_append(b, gentle ? " group=" : " victim=");
    if (v->pid > 0 && !gentle) {
        buffer_appendf(b, "%d", (int)v->pid);
        return;
    }
    if (v->pid > 0)
        (void)snprintf(name, sizeof(name), "%s#%d", v->path, (int)v->pid);
    buffer_append_logfmt(b, v->pid > 0 ? name : v->path);
}

static void append_victims(struct buffer *b, const struct config *c, const struct decision *d)
{
    for (unsigned i = 0; i < d->victim_count; i++) {
        const struct victim *v = &d->victims[i];

        append_name(b, v, is_gentle(d));
        if (v->comm[0]) {
            buffer_append(b, " comm=");
            buffer_append_logfmt(b, v->comm);
        }
        buffer_append(b, " class=");
        buffer_append_logfmt(b, c->classes[v->class_index].name);
        if (is_gentle(d) && v->why != PAUSE_WHY_NONE)
            buffer_appendf(b, " why=%s", pause_why_name(v->why));
        if (d->reason == DECISION_NOTIFY) {
            buffer_appendf(b, " programs=%u held=%" PRIu64 " expected_bytes=%" PRIu64 " gave=%" PRIu64,
                           v->programs, v->held_bytes, v->expected_bytes, v->gave_bytes);
            continue;
        }
        buffer_appendf(b, " age_us=%" PRIu64 " progress_us=%" PRIu64 " expected_bytes=%" PRIu64, v->age_usec,
                       v->progress_usec, v->expected_bytes);
    }
}

void record_format_line(struct buffer *b, const struct config *c, const struct decision *d)
{
    const struct room *r = &d->room;

    buffer_appendf(b, "decision=%" PRIu64 " action=%s%s", d->id,
                   d->reason == DECISION_NOTHING_NEEDED ? "none" : decision_reason_name(d->reason),
                   d->dry_run ? " dry_run=yes" : "");
    buffer_appendf(b, " trigger=%s detail=%s level=%s", trigger_name(d->trigger.kind),
                   d->trigger.detail ? d->trigger.detail : "none", level_name(r->level));
    if (r->nodes != 0) {
        char nodes[NODELIST_FORMAT_MAX];

        buffer_appendf(b, " nodes=%s", nodelist_format(nodes, r->nodes));
    }
    buffer_appendf(b, " limit=%" PRIu64 " used=%" PRIu64 " room=%" PRIi64 " need=%" PRIu64 " growth=%" PRIu64,
                   r->limit, r->used, r->room, r->need, r->growth);
    append_time_left(b, r->time_left_usec);
    buffer_appendf(b, " groups=%u candidates=%u method=%s", d->groups, d->candidates,
                   decision_method_name(d->method));
    if (d->reason == DECISION_NOTIFY)
        buffer_appendf(b, " asked=%u", d->asked);
    append_victims(b, c, d);
    if (!d->ended || d->victim_count == 0 || d->dry_run)
        return;
    if (!is_gentle(d))
        buffer_appendf(b, " gone=%u", d->gone);
    buffer_appendf(b, " stuck=%u failed=%u used_after=%" PRIu64 " need_after=%" PRIu64 " freed=%" PRIu64,
                   d->stuck, d->failed, d->used_after, d->need_after, d->freed_bytes);
    if (d->reason == DECISION_NOTIFY)
        buffer_appendf(b, " waited_us=%" PRIu64, d->waited_usec);
    buffer_appendf(b, " select_us=%" PRIu64 " signal_us=%" PRIu64 " outcome_us=%" PRIu64, d->select_usec,
                   d->signal_usec, d->outcome_usec);
}

static void append_value(struct buffer *b, const char *key, const char *knob, uint64_t value)
{
    if (value == UINT64_MAX)
        buffer_appendf(b, " %s=max", key);
    else
        buffer_appendf(b, " %s=%" PRIi64, key, record_knob_value(knob, value));
}

void record_format_knob(struct buffer *b, const struct config *c, uint64_t decision,
                        const struct record_knob *k)
{
    buffer_appendf(b, "decision=%" PRIu64 " action=drift group=", decision);
    buffer_append_logfmt(b, k->path);
    buffer_appendf(b, " class=");
    buffer_append_logfmt(b, k->class_index < c->class_count ? c->classes[k->class_index].name : "?");
    buffer_appendf(b, " knob=%s", k->knob);
    append_value(b, "ours", k->knob, k->ours);
    append_value(b, "found", k->knob, k->found);
    buffer_appendf(b, " done=%s", record_knob_done_name(k->done));
}
