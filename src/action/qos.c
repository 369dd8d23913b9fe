#include "action/qos.h"

#include <errno.h>
#include <string.h>

#include "action/score.h"
#include "kernel/file.h"

#define DEPTH_MAX 8
#define SETTLE_USEC UINT64_C(30000000) /* after systemd was told of what stands already */
#define FAMILY_MAX 16                  /* generations that have been born since */

_Static_assert(QOS_SCORE_ZERO == JOURNAL_SCORE_ZERO, "one way to write a score");

struct applying {
    struct knobs *knobs;
    const struct qos_cgroup *cgroups;
    unsigned count;
    uint64_t now_usec;
    struct qos_done *done;
    bool whole;    /* what is not among the cgroups is over */
    unsigned last; /* of the cgroups, the one that was asked for last */
};

/* What systemd (252) has no property for, and sets to what it takes for right with each set-property, ours
 * included. */
static bool is_unnamed(enum qos_knob k)
{
    return k == QOS_OOM_GROUP || k == QOS_ZSWAP_MAX || k == QOS_ZSWAP_WRITEBACK;
}

/* systemd has put back what it knows of, or will have in a moment. */
static bool is_forgotten(const struct lease *l, const struct qos_cgroup *g, enum qos_knob k)
{
    return k == QOS_SWAP_MAX && g->forgotten && (g->settling || g->now[k] == l->was);
}

/* What was handed over may take as long as it likes: until it has stood once, what was there before is
 * nobody's word. Once it had to be set again it has its time and no more: somebody may set it back whenever
 * it stands, before that is seen. */
static bool is_on_its_way(const struct lease *l, uint64_t value, uint64_t now_usec)
{
    return l->pending_until_usec != 0 && value == l->was &&
           (l->drift == LEASE_KEPT || now_usec < l->pending_until_usec);
}

static bool is_drift(const struct lease *l, const struct qos_cgroup *g, enum qos_knob k, uint64_t now_usec)
{
    return !lease_is_ours(l, g->now[k]) && !is_on_its_way(l, g->now[k], now_usec) &&
           !(is_unnamed(k) && g->settling) && !is_forgotten(l, g, k);
}

/* What cannot be read just now (no memory for it, say) is taken for what it was: put back for that, it would
 * be forgotten whose it is, and what somebody has set meanwhile would never be told. */
static void assume(const struct lease *l, struct qos_cgroup *g, enum qos_knob k)
{
    if (l->restoring)
        return;
    g->files |= QOS_KNOB_BIT(k);
    g->held |= QOS_KNOB_BIT(k);
    g->now[k] = l->ours;
    g->foreign[k] = l->was;
}

static void note_lease(struct lease *l, struct qos_cgroup *g, enum qos_knob k, uint64_t now_usec)
{
    if (!((g->files | g->unread) & QOS_KNOB_BIT(k)))
        return;
    if (l->drift == LEASE_YIELDED) {
        g->yielded |= QOS_KNOB_BIT(k);
    } else if (g->unread & QOS_KNOB_BIT(k)) {
        assume(l, g, k);
        return;
    } else if (g->now[k] == l->ours && !l->restoring) {
        g->held |= QOS_KNOB_BIT(k);
        l->pending_until_usec = 0;
    } else if (is_drift(l, g, k, now_usec)) {
        g->drifted |= QOS_KNOB_BIT(k);
    }
    if (lease_is_ours(l, g->now[k]))
        g->foreign[k] = l->was;
}

static unsigned find_path(const struct qos_cgroup *cgroups, unsigned count, const char *path)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(cgroups[i].path, path) == 0)
            return i;
    return QOS_NONE;
}

void qos_follow_units(struct knobs *k, struct qos_cgroup *cgroups, unsigned count, uint64_t now_usec)
{
    qos_index(cgroups, count);
    for (unsigned n = 0; k->left && n < lease_table_size(k->table); n++) {
        struct lease *l = lease_at(k->table, n);
        unsigned i;

        if (!l->used || qos_knob_of(l->knob) >= QOS_FILES ||
            qos_find(cgroups, count, l->cgroup_id) != QOS_NONE)
            continue;
        i = find_path(cgroups, count, l->path);
        if (i == QOS_NONE || !knobs_outlives(k, l))
            continue;
        if (lease_find(k->table, cgroups[i].id, l->knob))
            knobs_forget(k, l); /* a crash has left both */
        else if (knobs_move(k, l, cgroups[i].id, now_usec) < 0)
            k->failures++;
    }
}

/* systemctl is at work on it, or may be. */
static bool is_settling(const struct lease *l, uint64_t now_usec)
{
    return l->pending_until_usec != 0 || (l->told_usec != 0 && now_usec < l->told_usec + SETTLE_USEC);
}

void qos_note_leases(struct lease_table *table, struct qos_cgroup *cgroups, unsigned count, uint64_t now_usec)
{
    qos_index(cgroups, count);
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned n = 0; n < lease_table_size(table); n++) {
            struct lease *l = lease_at(table, n);
            unsigned i = l->used ? qos_find(cgroups, count, l->cgroup_id) : QOS_NONE;
            enum qos_knob k = i != QOS_NONE ? qos_knob_of(l->knob) : QOS_KNOBS;

            if (k < QOS_FILES && pass == 0)
                cgroups[i].settling = cgroups[i].settling || is_settling(l, now_usec);
            else if (k < QOS_FILES)
                note_lease(l, &cgroups[i], k, now_usec);
        }
}

/* ---- what systemd was told ---- */

void qos_note_told(struct lease_table *table, const struct lease *l, uint64_t value)
{
    struct lease *mine = lease_find(table, l->cgroup_id, l->knob);

    if (!mine || value != mine->ours)
        return;
    mine->is_told = true;
    mine->told = value;
}

void qos_adopt_told(struct knobs *k)
{
    for (unsigned i = 0; k->left && i < lease_table_size(k->table); i++) {
        struct lease *l = lease_at(k->table, i);
        uint64_t value;

        if (!l->used || l->drift != LEASE_KEPT || qos_knob_of(l->knob) >= QOS_FILES || !knobs_stands(k, l) ||
            k->left(k->user, l, &value) < 0 || value == l->was)
            continue;
        l->is_told = true;
        l->told = value;
    }
}

/* ---- what others have overwritten ---- */

static void settle_drift(struct knobs *k, struct lease *l, struct qos_cgroup *g, enum qos_knob knob,
                         bool reapply, uint64_t now_usec)
{
    bool again = reapply && l->drift == LEASE_KEPT && qos_is_set(g, knob);

    knobs_note_drift(k, l, again ? LEASE_REAPPLIED : LEASE_YIELDED);
    l->drift_usec = now_usec;
    if (!again) {
        g->yielded |= QOS_KNOB_BIT(knob);
        k->drifts++;
    }
    if (k->drifted)
        k->drifted(k->user, l, g->now[knob], l->ours);
}

/* Two reloads of systemd's a day apart are no fight. */
static void age_drift(struct knobs *k, struct lease *l, uint64_t now_usec)
{
    if (l->drift_usec == 0)
        l->drift_usec = now_usec;
    if (now_usec > l->drift_usec + QOS_DRIFT_AGE_USEC)
        knobs_note_drift(k, l, LEASE_KEPT);
}

void qos_settle_drifts(struct knobs *k, struct qos_cgroup *cgroups, unsigned count, bool reapply,
                       uint64_t now_usec)
{
    for (unsigned n = 0; n < lease_table_size(k->table); n++) {
        struct lease *l = lease_at(k->table, n);
        unsigned i = l->used ? qos_find(cgroups, count, l->cgroup_id) : QOS_NONE;
        enum qos_knob knob = i != QOS_NONE ? qos_knob_of(l->knob) : QOS_KNOBS;

        if (l->used && l->drift == LEASE_REAPPLIED)
            age_drift(k, l, now_usec);
        if (knob < QOS_FILES && (cgroups[i].drifted & QOS_KNOB_BIT(knob)))
            settle_drift(k, l, &cgroups[i], knob, reapply, now_usec);
    }
    for (unsigned i = 0; i < count; i++)
        for (enum qos_knob knob = 0; knob < QOS_FILES; knob++)
            if (cgroups[i].yielded & QOS_KNOB_BIT(knob))
                cgroups[i].plan[knob] = (struct qos_value){.why = QOS_WHY_YIELDED};
}

/* ---- one knob ---- */

static void note_failure(struct applying *a, const char *path, enum qos_knob k, int error)
{
    if (error == -ENOENT || error == -ENODEV) /* it has ended meanwhile */
        return;
    if (a->done->failed++ > 0)
        return;
    a->done->error = error;
    a->done->knob = k;
    (void)snprintf(a->done->path, sizeof(a->done->path), "%s", path);
}

/* It was to be set again, and nobody took that: no answer to what we set. */
static void take_back_drift(struct applying *a, const struct qos_cgroup *g, enum qos_knob k)
{
    struct lease *l = lease_find(a->knobs->table, g->id, qos_knob_name(k));

    if (l && l->drift == LEASE_REAPPLIED && l->drift_usec == a->now_usec)
        knobs_note_drift(a->knobs, l, LEASE_KEPT);
}

static void apply_knob(struct applying *a, const struct qos_cgroup *g, enum qos_knob k)
{
    int r;

    if ((g->held & QOS_KNOB_BIT(k)) && g->now[k] == g->plan[k].value) {
        a->done->stood++;
        return;
    }
    /* Whoever is told of drift is told of all of it: what was set since the look is for the next one. */
    r = knobs_apply_seen(a->knobs, g->path, qos_knob_name(k), g->plan[k].value,
                         a->knobs->drifted ? &g->now[k] : NULL, a->now_usec);
    if (r == -EAGAIN)
        take_back_drift(a, g, k);
    if (r < 0)
        note_failure(a, g->path, k, r);
    else if (g->now[k] != g->plan[k].value)
        a->done->written++;
    else
        a->done->stood++;
}

static bool is_protection(enum qos_knob k)
{
    return k <= QOS_MEMORY_LOW;
}

static void apply_protections(struct applying *a, unsigned i, bool rising)
{
    const struct qos_cgroup *g = &a->cgroups[i];

    for (enum qos_knob k = 0; is_protection(k); k++)
        if (qos_is_set(g, k) && (g->plan[k].value >= g->now[k]) == rising)
            apply_knob(a, g, k);
}

/* Its limit of swap first: what a lower memory.high reclaims is not to go where it may not. */
static void apply_others(struct applying *a, unsigned i)
{
    const struct qos_cgroup *g = &a->cgroups[i];

    if (qos_is_set(g, QOS_SWAP_MAX))
        apply_knob(a, g, QOS_SWAP_MAX);
    for (enum qos_knob k = 0; k < QOS_FILES; k++)
        if (!is_protection(k) && !is_unnamed(k) && k != QOS_SWAP_MAX && qos_is_set(g, k))
            apply_knob(a, g, k);
}

static bool is_handed_over(const struct applying *a, const struct qos_cgroup *g)
{
    for (enum qos_knob k = 0; k < QOS_FILES; k++) {
        const struct lease *l = NULL;

        if (qos_is_set(g, k) && g->now[k] != g->plan[k].value)
            l = lease_find(a->knobs->table, g->id, qos_knob_name(k));
        if (l && l->pending_until_usec != 0 && !knobs_stands(a->knobs, l))
            return true;
    }
    return false;
}

/* Last, and not before what systemd was handed stands: it would be reset with that. */
static void apply_unnamed(struct applying *a, unsigned i)
{
    const struct qos_cgroup *g = &a->cgroups[i];

    for (enum qos_knob k = 0; k < QOS_FILES; k++)
        if (is_unnamed(k) && qos_is_set(g, k) && !is_handed_over(a, g))
            apply_knob(a, g, k);
}

/* ---- processes ---- */

/* What is done to each process in a cgroup and below it. */
struct process_walk {
    struct applying *applying;
    const char *path;
    uint64_t score;
    bool inherit;    /* only what was born with it */
    uint64_t before; /* leases: as of score_apply */
    unsigned changed;
};

static int apply_score(void *user, pid_t pid)
{
    struct process_walk *w = user;
    int r = w->inherit ? score_inherit(w->applying->knobs, w->path, pid, w->score)
                       : score_apply(w->applying->knobs, w->path, pid, w->score, w->before);

    if (r < 0)
        note_failure(w->applying, w->path, QOS_SCORE, r);
    else
        w->changed += (unsigned)r;
    return 0;
}

static enum cgroup_walk apply_below(void *user, int cgroup_fd)
{
    (void)cgroup_each_proc(cgroup_fd, apply_score, user);
    return CGROUP_WALK_ON;
}

/* Returns how many were changed, or got a lease. */
static unsigned apply_scores(struct applying *a, const char *path, uint64_t score, bool inherit)
{
    struct process_walk w = {a, path, score, inherit, a->knobs->table->last_sequence, 0};
    _cleanup_close_ int fd = cgroup_open(a->knobs->hierarchy, path);

    if (fd >= 0)
        (void)cgroup_walk(fd, DEPTH_MAX, apply_below, &w);
    return w.changed;
}

/* ---- the whole ---- */

/* The groups of processes that follow each other are mostly one. */
static const struct qos_cgroup *group_of(struct applying *a, const char *path)
{
    if (a->last < a->count && strcmp(a->cgroups[a->last].path, path) == 0)
        return &a->cgroups[a->last];
    for (a->last = 0; a->last < a->count; a->last++)
        if (strcmp(a->cgroups[a->last].path, path) == 0)
            return &a->cgroups[a->last];
    return NULL;
}

static bool is_planned(struct applying *a, const struct lease *l)
{
    bool score = lease_score_pid(l) > 0, yielded = l->drift == LEASE_YIELDED;
    const struct qos_cgroup *g;
    enum qos_knob k;
    unsigned i;

    if (score) {
        g = group_of(a, l->path);
        if (!g)
            return !a->whole && knobs_stands(a->knobs, l);
        if (!qos_is_set(g, QOS_SCORE))
            return false;
        if (a->knobs->yields) /* another value is somebody's, and is seen when it is applied */
            return score_lives(a->knobs, l) && (yielded || g->plan[QOS_SCORE].value == l->ours);
        return g->plan[QOS_SCORE].value == l->ours && knobs_stands(a->knobs, l);
    }
    i = qos_find(a->cgroups, a->count, l->cgroup_id);
    if (i == QOS_NONE)
        return !a->whole && knobs_stands(a->knobs, l);
    k = qos_knob_of(l->knob);
    return k < QOS_FILES && (yielded || qos_is_set(&a->cgroups[i], k));
}

/* The latest first: what an earlier plan has raised from the root down comes down from the leaves up. Of
 * processes that are gone, only the lease. */
static void restore_unplanned(struct applying *a, bool scores)
{
    struct knobs *k = a->knobs;

    for (unsigned i = lease_table_size(k->table); i-- > 0;) {
        struct lease *l = lease_at(k->table, i);
        int r;

        if (!l->used || (lease_score_pid(l) > 0) != scores || is_planned(a, l))
            continue;
        r = knobs_restore(k, l);
        if (r < 0)
            note_failure(a, l->path, QOS_KNOBS, r);
        else
            a->done->restored += r == 1;
    }
}

void qos_apply(struct knobs *k, const struct qos_cgroup *cgroups, unsigned count, bool whole,
               uint64_t now_usec, struct qos_done *ret)
{
    struct applying a = {k, cgroups, count, now_usec, ret, whole, 0};

    *ret = (struct qos_done){0};
    restore_unplanned(&a, false);
    for (unsigned i = 0; i < count; i++)
        apply_protections(&a, i, true);
    for (unsigned i = 0; i < count; i++)
        apply_others(&a, i);
    for (unsigned i = count; i-- > 0;)
        apply_protections(&a, i, false);
    for (unsigned i = 0; i < count; i++)
        apply_unnamed(&a, i);
    for (unsigned i = 0; i < count; i++)
        if (qos_is_set(&cgroups[i], QOS_SCORE))
            ret->scores += apply_scores(&a, cgroups[i].path, cgroups[i].plan[QOS_SCORE].value, false);
    restore_unplanned(&a, true); /* not before: a parent that is gone says what its children had */
}

/* Once for each cgroup: what was born meanwhile has its parents' lease to go by. */
static void adopt_children(struct knobs *k)
{
    struct qos_done nobody = {0};
    struct applying a = {.knobs = k, .done = &nobody};

    for (unsigned i = 0; i < lease_table_size(k->table); i++) {
        const struct lease *l = lease_at(k->table, i);
        bool again = false;

        if (!l->used || lease_score_pid(l) == 0)
            continue;
        for (unsigned j = 0; j < i && !again; j++) {
            const struct lease *other = lease_at(k->table, j);

            again = other->used && lease_score_pid(other) > 0 && other->ours == l->ours &&
                    strcmp(other->path, l->path) == 0;
        }
        for (unsigned n = 0; !again && n < FAMILY_MAX && apply_scores(&a, l->path, l->ours, true) > 0; n++)
            ;
    }
}

unsigned qos_restore(struct knobs *k, unsigned *ret_left, unsigned *ret_failed)
{
    adopt_children(k);
    return knobs_restore_all(k, ret_left, ret_failed);
}
