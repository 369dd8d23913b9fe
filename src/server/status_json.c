#include "server/status_json.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "base/nodelist.h"
#include "server/member.h"

static json_t *room_to_json(const struct room *r)
{
    json_t *o = json_object();

    if (r->nodes != 0) {
        char nodes[NODELIST_FORMAT_MAX];

        member_set_string(o, "nodes", nodelist_format(nodes, r->nodes));
    }
    member_set_string(o, "level", level_name(r->level));
    member_set_u64(o, "limit_bytes", r->limit);
    member_set_u64(o, "used_bytes", r->used);
    member_set_i64(o, "room_bytes", r->room);
    member_set_u64(o, "margin_bytes", r->margin);
    member_set_u64(o, "swap_bytes", r->swap);
    member_set_u64(o, "need_bytes", r->need);
    member_set_u64(o, "growth_bytes_per_second", r->growth);
    member_set_u64(o, "time_left_usec", r->time_left_usec);
    member_set_bool(o, "swapping_felt", r->felt);
    return o;
}

/* What each row says. "workload.slice/task-1", and for a process "PATH#PID COMMAND". */
static json_t *row_begin(const struct config *c, const struct record_row *row, const char *name,
                         size_t length)
{
    json_t *o = json_object(), *text = json_stringn(name, length);

    (void)json_object_set_new(o, "group", text ? text : json_string("(not UTF-8)"));
    if (row->pid > 0)
        member_set_i64(o, "pid", row->pid);
    member_set_string(o, "verdict", verdict_name((enum verdict)row->verdict));
    member_set_string(o, "class",
                      row->class_index < c->class_count ? c->classes[row->class_index].name : "(removed)");
    return o;
}

static json_t *row_to_json(const struct config *c, const struct record_row *row, const char *name)
{
    json_t *o = row_begin(c, row, name, row->name_length);

    member_set_u64(o, "priority", row->priority);
    member_set_bool(o, "retriable", row->retriable);
    member_set_bool(o, "over_request", row->over_request);
    member_set_bool(o, "last", row->last);
    member_set_u64(o, "request_bytes", row->request_bytes);
    member_set_u64(o, "expected_bytes", row->freed_bytes);
    member_set_u64(o, "progress_usec", row->progress_usec);
    member_set_u64(o, "age_usec", row->age_usec);
    member_set_u64(o, "growth_bytes", row->growth_bytes);
    return o;
}

static void set_knob_value(json_t *o, const char *key, const char *knob, uint64_t value)
{
    if (value == UINT64_MAX)
        (void)json_object_set_new(o, key, json_null());
    else
        member_set_i64(o, key, record_knob_value(knob, value));
}

/* A knob that somebody else has set: the row's name is "KNOB PATH". */
static json_t *knob_to_json(const struct config *c, const struct record_row *row, const char *name)
{
    const char *blank = memchr(name, ' ', row->name_length);
    size_t n = blank ? (size_t)(blank - name) : 0;
    json_t *o = row_begin(c, row, name + n + 1, row->name_length - n - 1);
    char knob[32] = "";

    memcpy(knob, name, n < sizeof(knob) ? n : sizeof(knob) - 1);
    member_set_string(o, "knob", knob);
    set_knob_value(o, "ours", knob, row->request_bytes);
    set_knob_value(o, "found", knob, row->freed_bytes);
    member_set_string(o, "done", record_knob_done_name(row->priority));
    return o;
}

/* A cgroup whose programs were asked to give memory back. */
static json_t *asked_to_json(const struct config *c, const struct record_row *row, const char *name)
{
    json_t *o = row_begin(c, row, name, row->name_length);

    member_set_u64(o, "programs", row->priority);
    member_set_u64(o, "held_bytes", row->request_bytes);
    member_set_u64(o, "expected_bytes", row->growth_bytes);
    member_set_u64(o, "gave_bytes", row->freed_bytes);
    return o;
}

static json_t *any_row_to_json(const struct config *c, const struct record_head *h,
                               const struct record_row *row, const char *name)
{
    switch (h->reason) {
    case DECISION_DRIFT:
        return knob_to_json(c, row, name);
    case DECISION_NOTIFY:
        return asked_to_json(c, row, name);
    default:
        return row_to_json(c, row, name);
    }
}

json_t *record_rows_to_json(const struct config *c, const struct record_head *h, unsigned from, unsigned max,
                            bool victims)
{
    const struct record_row *row = NULL;
    json_t *a = json_array();
    const char *name;

    for (unsigned i = 0; (row = record_next_row(h, row, &name)) != NULL; i++) {
        bool victim = row->verdict == VERDICT_CHOSEN || row->verdict == VERDICT_CULPRIT;

        if (i < from || (victims && !victim))
            continue;
        if (i >= from + max)
            break;
        (void)json_array_append_new(a, any_row_to_json(c, h, row, name));
    }
    return a;
}

json_t *record_to_json(const struct config *c, const struct record_head *d)
{
    json_t *o = json_object();

    member_set_u64(o, "id", d->id);
    member_set_string(o, "action", decision_reason_name((enum decision_reason)d->reason));
    member_set_string(o, "why", pause_why_name((enum pause_why)d->why));
    member_set_string(o, "method", decision_method_name((enum decision_method)d->method));
    member_set_bool(o, "dry_run", d->dry_run);
    member_set_u64(o, "time_usec", d->time_usec);
    member_set_u64(o, "realtime_usec", d->wall_usec);
    member_set_string(o, "trigger", trigger_name(d->trigger.kind));
    member_set_string(o, "detail", d->trigger.detail ? d->trigger.detail : "");
    (void)json_object_set_new(o, "room", room_to_json(&d->room));
    member_set_u64(o, "groups", d->groups);
    member_set_u64(o, "candidates", d->candidates);
    if (d->reason == DECISION_NOTIFY) {
        member_set_u64(o, "asked", d->asked);
        member_set_u64(o, "waited_usec", d->waited_usec);
    }
    member_set_u64(o, "candidates_cut", d->rows_cut);
    member_set_u64(o, "expected_bytes", d->expected_bytes);
    (void)json_object_set_new(o, "victims", record_rows_to_json(c, d, 0, UINT_MAX, true));
    member_set_bool(o, "ended", d->ended);
    member_set_u64(o, "gone", d->gone);
    member_set_u64(o, "stuck", d->stuck);
    member_set_u64(o, "failed", d->failed);
    member_set_u64(o, "freed_bytes", d->freed_bytes);
    member_set_u64(o, "used_after_bytes", d->used_after);
    member_set_u64(o, "need_after_bytes", d->need_after);
    member_set_u64(o, "select_usec", d->select_usec);
    member_set_u64(o, "signal_usec", d->signal_usec);
    member_set_u64(o, "outcome_usec", d->outcome_usec);
    return o;
}

static json_t *node_to_json(const struct node *n)
{
    json_t *o = json_object();

    member_set_u64(o, "total_bytes", n->total);
    member_set_u64(o, "available_bytes", n->available);
    member_set_u64(o, "unreclaimable_bytes", n->unreclaimable);
    member_set_u64(o, "swap_total_bytes", n->swap_total);
    member_set_u64(o, "swap_free_bytes", n->swap_free);
    member_set_u64(o, "swap_effective_bytes", n->swap_effective);
    return o;
}

static json_t *workloads_to_json(const struct status *s)
{
    json_t *a = json_array();

    for (unsigned i = 0; i < s->snapshot->workload_count; i++) {
        const struct workload *w = &s->snapshot->workloads[i];
        json_t *o = json_object();

        member_set_string(o, "path", w->path);
        member_set_bool(o, "present", w->id != 0);
        member_set_u64(o, "current_bytes", w->current);
        member_set_u64(o, "used_bytes", w->used);
        member_set_u64(o, "anon_bytes", w->anon);
        member_set_u64(o, "shmem_bytes", w->shmem);
        member_set_u64(o, "file_bytes", w->file);
        member_set_u64(o, "kernel_bytes", w->kernel);
        member_set_u64(o, "sock_bytes", w->sock);
        member_set_u64(o, "swap_room_bytes", w->swap_room);
        member_set_u64(o, "memory_high_bytes", w->high);
        member_set_u64(o, "memory_high_wanted_bytes", s->high_wanted[i]);
        (void)json_array_append_new(a, o);
    }
    return a;
}

static json_t *monitors_to_json(const struct status *s)
{
    json_t *a = json_array();

    for (unsigned i = 0; i < s->monitor_count; i++) {
        const struct status_monitor *m = &s->monitors[i];
        json_t *o = json_object();

        member_set_string(o, "name", m->name);
        member_set_string(o, "state", m->state);
        member_set_string(o, "message", m->message);
        member_set_u64(o, "fires", m->fires);
        member_set_u64(o, "failures", m->failures);
        (void)json_array_append_new(a, o);
    }
    return a;
}

static json_t *counters_to_json(const struct status *s)
{
    json_t *o = json_object();

    member_set_u64(o, "wakeups", s->wakeups);
    member_set_u64(o, "looks", s->looks);
    member_set_u64(o, "looks_failed", s->looks_failed);
    member_set_u64(o, "decisions", s->decisions);
    member_set_u64(o, "kills", s->kills);
    member_set_u64(o, "stuck", s->stuck);
    member_set_u64(o, "pauses", s->pauses_done);
    member_set_u64(o, "resumes", s->resumes_done);
    member_set_u64(o, "reclaimed_bytes", s->reclaimed_bytes);
    member_set_u64(o, "knob_leases", s->leases);
    member_set_u64(o, "knob_drifts", s->knob_drifts);
    member_set_u64(o, "knob_failures", s->knob_failures);
    member_set_u64(o, "guardian_fences", s->guardian_fences);
    member_set_u64(o, "hooks_run", s->hooks_run);
    member_set_u64(o, "hooks_failed", s->hooks_failed);
    member_set_u64(o, "hooks_timed_out", s->hooks_timed_out);
    member_set_u64(o, "hooks_dropped", s->hooks_dropped);
    member_set_u64(o, "log_lines_dropped", s->log_dropped);
    member_set_u64(o, "groups_left_out", s->groups_left_out);
    return o;
}

/* Names are chosen by those who are guarded: a byte of one can take six in JSON. */
static size_t dumped_length(const char *v)
{
    size_t n = 2;

    for (; v && *v; v++)
        n += (unsigned char)*v < 0x20 ? 6 : *v == '"' || *v == '\\' ? 2 : 1;
    return n;
}

/* Their array's own keys and punctuation. */
#define PAUSES_REST 64
#define PAUSE_NAME_MAX (GROUP_PATH_MAX + 32)
/* Keys, punctuation and numbers of a row. */
#define PAUSE_ROW_REST 200

/* "workload.slice/task-1", and for a process "PATH#PID COMMAND". */
static const char *pause_name(const struct status_pause *p, char name[static PAUSE_NAME_MAX])
{
    if (p->pid > 0)
        (void)snprintf(name, PAUSE_NAME_MAX, "%s#%d %s", p->path, (int)p->pid, p->comm ? p->comm : "");
    else
        (void)snprintf(name, PAUSE_NAME_MAX, "%s", p->path);
    return name;
}

static json_t *pause_to_json(const struct status_pause *p, const char *name, uint64_t now_usec)
{
    json_t *o = json_object();

    member_set_string(o, "group", name);
    if (p->pid > 0)
        member_set_i64(o, "pid", p->pid);
    member_set_string(o, "class", p->class_name);
    member_set_string(o, "why", p->why);
    member_set_string(o, "waits_for", p->waits_for);
    member_set_u64(o, "paused_usec", u64_sub_floor(now_usec, p->since_usec));
    member_set_u64(o, "left_usec",
                   p->until_usec == UINT64_MAX ? UINT64_MAX : u64_sub_floor(p->until_usec, now_usec));
    member_set_u64(o, "held_bytes", p->held_bytes);
    member_set_bool(o, "frozen", p->frozen);
    return o;
}

static void set_pauses(json_t *o, const struct status *s, size_t max)
{
    char name[PAUSE_NAME_MAX];
    json_t *a = json_array();
    unsigned shown = 0;
    size_t used = 0;

    for (; shown < s->pause_count && shown < STATUS_PAUSES_SHOWN; shown++) {
        const struct status_pause *p = &s->pauses[shown];

        used += PAUSE_ROW_REST + dumped_length(pause_name(p, name)) + dumped_length(p->class_name) +
                dumped_length(p->why) + dumped_length(p->waits_for);
        if (used > max)
            break;
        (void)json_array_append_new(a, pause_to_json(p, name, s->now_usec));
    }
    (void)json_object_set_new(o, "pauses", a);
    member_set_u64(o, "pauses_left_out", s->pause_count - shown);
}

static json_t *next_to_json(const struct status_next *n)
{
    char name[PAUSE_NAME_MAX];
    const struct status_pause named = {.path = n->path, .pid = n->pid, .comm = n->comm};
    json_t *o = json_object();

    member_set_string(o, "action", n->action);
    if (n->path) {
        member_set_string(o, "group", pause_name(&named, name));
        member_set_u64(o, "expected_bytes", n->expected_bytes);
    } else {
        (void)json_object_set_new(o, "group", json_null());
    }
    if (n->class_name)
        member_set_string(o, "class", n->class_name);
    if (n->programs > 0)
        member_set_u64(o, "programs", n->programs);
    member_set_string(o, "why", n->why);
    return o;
}

static void set_next(json_t *o, const struct status *s)
{
    json_t *a = json_array();

    for (unsigned i = 0; i < s->next_count; i++)
        (void)json_array_append_new(a, next_to_json(&s->next[i]));
    (void)json_object_set_new(o, "next", a);
    member_set_u64(o, "groups_age_usec",
                   s->walk_usec == 0 ? UINT64_MAX : u64_sub_floor(s->now_usec, s->walk_usec));
}

static json_t *reload_to_json(const struct status *s)
{
    const struct status_reload *r = &s->reload;
    json_t *o = json_object();

    member_set_u64(o, "good", r->good);
    member_set_u64(o, "refused", r->refused);
    if (r->at_usec == 0)
        return o;
    member_set_string(o, "last", r->was_good ? "good" : "refused");
    member_set_u64(o, "ago_usec", u64_sub_floor(s->now_usec, r->at_usec));
    member_set_string(o, "text", r->text);
    return o;
}

static json_t *swap_to_json(const struct status *s)
{
    json_t *a = json_array();

    for (unsigned i = 0; i < s->swap_count; i++) {
        const struct status_swap *c = &s->swap[i];
        json_t *o = json_object();

        member_set_string(o, "class", c->class_name);
        member_set_u64(o, "swap_written_bytes", c->written_bytes);
        member_set_u64(o, "last_minute_bytes", c->minute_bytes);
        member_set_u64(o, "limit_bytes_per_second", c->limit_bytes);
        (void)json_array_append_new(a, o);
    }
    return a;
}

static json_t *notify_to_json(const struct status_notify *n)
{
    json_t *o = json_object();

    member_set_bool(o, "served", n->served);
    member_set_string(o, "socket", n->path);
    member_set_u64(o, "clients", n->clients);
    member_set_u64(o, "clients_max", n->max);
    member_set_u64(o, "rounds", n->rounds);
    member_set_u64(o, "asked", n->asked);
    member_set_u64(o, "gave_bytes", n->gave_bytes);
    member_set_u64(o, "refused", n->refused);
    member_set_u64(o, "unread", n->unread);
    member_set_u64(o, "round_most_usec", n->round_most_usec);
    return o;
}

static json_t *offload_row_to_json(const struct status_offload *r)
{
    json_t *o = json_object();

    member_set_string(o, "group", r->path);
    member_set_string(o, "class", r->class_name);
    member_set_bool(o, "adaptive", r->adaptive);
    member_set_u64(o, "resident_bytes", r->resident_bytes);
    member_set_u64(o, "zswapped_bytes", r->zswapped_bytes);
    member_set_u64(o, "zswap_bytes", r->zswap_bytes);
    member_set_u64(o, "swapped_bytes", r->swapped_bytes);
    member_set_u64(o, "saved_bytes", r->saved_bytes);
    member_set_u64(o, "needs_bytes", r->edge_bytes == 0 ? UINT64_MAX : r->edge_bytes);
    member_set_u64(o, "ratio_ppm", r->ratio_ppm);
    member_set_u64(o, "interval_usec", r->interval_usec);
    member_set_u64(o, "memory_some_ppm", r->memory_ppm);
    member_set_u64(o, "io_some_ppm", r->io_ppm);
    member_set_u64(o, "returned_bytes_per_second", r->returned_per_sec);
    member_set_u64(o, "asked_bytes", r->asked_bytes);
    member_set_u64(o, "took_bytes", r->took_bytes);
    member_set_u64(o, "returned_bytes", r->returned_bytes);
    member_set_string(o, "why", r->why);
    member_set_string(o, "why_text", r->why_text);
    return o;
}

/* Keys, punctuation and numbers of a row, and of what is around them. */
#define OFFLOAD_ROW_REST 700
#define OFFLOAD_REST 1024

static json_t *offload_to_json(const struct status *s, size_t max)
{
    json_t *o = json_object(), *a = json_array();
    size_t used = OFFLOAD_REST;

    member_set_u64(o, "groups", s->offload_groups);
    member_set_u64(o, "resident_bytes", s->offload_resident_bytes);
    member_set_u64(o, "saved_bytes", s->offload_saved_bytes);
    member_set_u64(o, "took_bytes", s->offload_took_bytes);
    member_set_u64(o, "swapped_bytes", s->offload_swapped_bytes);
    member_set_u64(o, "spent_usec", s->offload_spent_usec);
    member_set_u64(o, "worker_usec", s->offload_worker_usec);
    for (unsigned i = 0; i < s->offload_count; i++) {
        used += OFFLOAD_ROW_REST + dumped_length(s->offload[i].path);
        if (used > max)
            break;
        (void)json_array_append_new(a, offload_row_to_json(&s->offload[i]));
    }
    (void)json_object_set_new(o, "most", a);
    return o;
}

json_t *status_to_json(const struct status *s, size_t max)
{
    json_t *o = json_object(), *warnings = json_array();
    size_t used;

    member_set_string(o, "version", s->version);
    member_set_string(o, "config", s->config_path);
    (void)json_object_set_new(o, "reload", reload_to_json(s));
    member_set_string(o, "mode", s->mode);
    member_set_string(o, "mode_reason", s->mode_reason);
    member_set_bool(o, "dry_run", s->dry_run);
    member_set_u64(o, "uptime_usec", s->now_usec - s->start_usec);
    member_set_u64(o, "hold_left_usec",
                   s->hold_until_usec > s->now_usec ? s->hold_until_usec - s->now_usec : UINT64_MAX);
    if (s->has_look) {
        (void)json_object_set_new(o, "room", room_to_json(s->room));
        if (s->numa_room && s->numa_room->nodes != 0)
            (void)json_object_set_new(o, "nodes_room", room_to_json(s->numa_room));
        (void)json_object_set_new(o, "node", node_to_json(&s->snapshot->node));
        (void)json_object_set_new(o, "workloads", workloads_to_json(s));
    }
    (void)json_object_set_new(o, "monitors", monitors_to_json(s));
    member_set_bool(o, "worker_running", s->worker_running);
    member_set_bool(o, "guardian_running", s->guardian_running);
    (void)json_object_set_new(o, "counters", counters_to_json(s));
    for (unsigned i = 0; i < s->warning_count; i++)
        (void)json_array_append_new(warnings, member_any_string(s->warnings[i]));
    (void)json_object_set_new(o, "warnings", warnings);
    member_set_u64(o, "reserve_bytes", s->reserve_bytes);
    set_next(o, s);
    member_set_bool(o, "hooks_configured", s->hooks_configured);
    if (s->qos.kept) {
        json_t *q = json_object();

        member_set_u64(q, "looks", s->qos.looks);
        member_set_u64(q, "look_usec", s->qos.look_usec);
        member_set_u64(q, "groups", s->qos.groups);
        member_set_u64(q, "leases", s->qos.leases);
        member_set_u64(q, "yielded", s->qos.yielded);
        member_set_u64(q, "drifts", s->qos.drifts);
        member_set_u64(q, "failures", s->qos.failures);
        member_set_u64(q, "raised", s->qos.raised);
        (void)json_object_set_new(q, "classes", swap_to_json(s));
        (void)json_object_set_new(o, "qos", q);
    }
    (void)json_object_set_new(o, "notify", notify_to_json(&s->notify));
    if (s->offload_on)
        (void)json_object_set_new(
            o, "offload", offload_to_json(s, u64_sub_floor(max, json_dumpb(o, NULL, 0, JSON_COMPACT)) / 2));
    used = json_dumpb(o, NULL, 0, JSON_COMPACT);
    set_pauses(o, s, u64_sub_floor(max, used + PAUSES_REST));
    return o;
}
