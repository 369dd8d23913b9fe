/* What must hold between the keys, once all files are read. Each message names the file and line of the key
 * that it is about, which may be another file for each. */
#include <string.h>

#include "base/pattern.h"
#include "config/draft.h"

/* Whether `path` is `above` or lies below it. */
static bool path_is_below(const char *path, const char *above)
{
    size_t length = strlen(above);

    return strncmp(path, above, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static void check_workloads(struct draft *d)
{
    const struct config *c = &d->config;
    struct reader *at = draft_at_key(d, "Workload");

    for (unsigned i = 0; i < c->workload_count; i++)
        for (unsigned k = 0; k < i; k++) {
            const char *a = c->workload[k];
            const char *b = c->workload[i];
            char shown_a[EXCERPT_MAX], shown_b[EXCERPT_MAX];

            excerpt(shown_a, text_from(a));
            excerpt(shown_b, text_from(b));
            if (strcmp(a, b) == 0)
                reader_error(at, "Workload= names %s twice. Remove one of the two.", shown_a);
            else if (path_is_below(b, a) || path_is_below(a, b))
                reader_error(
                    at,
                    "Workload= names both %s and %s, of which one lies below the other. Keep the upper one.",
                    shown_a, shown_b);
        }
}

static void check_protected(struct draft *d)
{
    const struct config *c = &d->config;
    const char *origin = draft_origin(d, "Protect")->line > 0 ? "" : " (the default)";

    for (unsigned i = 0; i < c->workload_count; i++)
        for (unsigned k = 0; k < c->protect_count; k++) {
            char workload[EXCERPT_MAX], protect[EXCERPT_MAX];

            excerpt(workload, text_from(c->workload[i]));
            excerpt(protect, text_from(c->protect[k]));
            if (path_is_below(c->workload[i], c->protect[k]))
                reader_error(
                    draft_at_key(d, "Workload"),
                    "Workload=%s is or lies below Protect=%s%s, so nothing in it could be acted on. Change "
                    "one of the two.",
                    workload, protect, origin);
            else if (path_is_below(c->protect[k], c->workload[i])) /* never a default: those have no parent */
                reader_error(
                    draft_at_key(d, "Protect"),
                    "Protect=%s lies below Workload=%s. Protect it by a class with Priority=%d instead, or "
                    "name the workload's parts.",
                    protect, workload, CONFIG_PRIORITY_PROTECTED);
        }
}

static void check_node(struct draft *d)
{
    const struct config *c = &d->config;

    check_workloads(d);
    check_protected(d);
    if (c->min_free.kind != AMOUNT_UNSET && c->host_limit == HOST_LIMIT_AUTO)
        reader_warning(draft_at_key(d, "MinFree"),
                       "MinFree= is used only with HostLimit=ray, and HostLimit is auto. Remove it, or set "
                       "HostLimit=ray.");
}

/* Whether each path that `later` matches is matched by `earlier`, too. The text of the later pattern is
 * matched as if it were a path: its wildcards can only be swallowed by a star of the earlier one, which takes
 * all that they stand for. A `?` of the earlier one could swallow a star, so with one there the answer is no.
 */
static bool pattern_covers(const char *earlier, const char *later)
{
    return !strchr(earlier, '?') && pattern_match(earlier, later);
}

static const char *pattern_that_covers(const struct class_config *earlier, const char *pattern)
{
    for (unsigned i = 0; i < earlier->match_count; i++)
        if (pattern_covers(earlier->match[i], pattern))
            return earlier->match[i];
    return NULL;
}

static void check_reached(struct draft *d, unsigned index)
{
    const struct class_config *class = &d->config.classes[index];

    for (unsigned i = 0; i < class->match_count; i++)
        for (unsigned k = 0; k < index; k++) {
            const struct class_config *earlier = &d->config.classes[k];
            const char *cover = pattern_that_covers(earlier, class->match[i]);
            char shown[EXCERPT_MAX], shown_cover[EXCERPT_MAX];

            if (!cover)
                continue;
            reader_warning(
                draft_at(d, d->origins.match[index][i]),
                "Match=%s of [Class %s] is never reached: Match=%s of [Class %s] stands before it and "
                "matches the same. Move [Class %s] up.",
                excerpt(shown, text_from(class->match[i])), class->name,
                excerpt(shown_cover, text_from(cover)), earlier->name, class->name);
            break;
        }
}

/* What is said about the actions of a class and cannot have an effect. */
static void check_class_actions(struct draft *d, unsigned index)
{
    const struct class_config *class = &d->config.classes[index];
    const struct {
        const char *name;
        bool asks; /* 0 asks for nothing */
    } pausing[] = {{"PauseLimit", true}, {"MinRunning", class->min_running > 0}};

    if (class->priority == CONFIG_PRIORITY_PROTECTED && (class->actions & ~ACTION_BIT(ACTION_NOTIFY)) &&
        draft_class_origin(d, index, "Actions")->line > 0)
        reader_warning(draft_at(d, *draft_class_origin(d, index, "Actions")),
                       "Actions= of [Class %s] names more than notify, but Priority=%d protects it: it is "
                       "never reclaimed from, paused or killed.",
                       class->name, CONFIG_PRIORITY_PROTECTED);
    if (class->actions & ACTION_BIT(ACTION_PAUSE))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(pausing); i++) {
        const struct config_origin *o = draft_class_origin(d, index, pausing[i].name);

        if (o->line > 0 && pausing[i].asks)
            reader_warning(draft_at(d, *o),
                           "%s= of [Class %s] has no effect: the class is never paused. Add pause to its "
                           "Actions=, or remove the line.",
                           pausing[i].name, class->name);
    }
}

static void check_class_allowed(struct draft *d, unsigned index)
{
    const struct class_config *class = &d->config.classes[index];

    if (class->allow_count > 0 && (class->unit != UNIT_CGROUP || index == DRAFT_OTHER_SLOT))
        reader_warning(
            draft_at(d, *draft_class_origin(d, index, "AllowGroup")),
            "AllowGroup= of [Class %s] has no effect: no cgroup can be made for the class, since %s.",
            class->name, index == DRAFT_OTHER_SLOT ? "it has no Match=" : "it has Unit=process");
}

/* What only QoS= gives an effect to; a value that asks for nothing may stand. */
static void check_class_qos(struct draft *d, unsigned index)
{
    const struct class_config *class = &d->config.classes[index];
    const struct {
        const char *name;
        bool asks;
    } keys[] = {{"Limit", class->limit.kind != AMOUNT_UNSET},
                {"ThrottleFactor", class->throttle_permyriad != CONFIG_THROTTLE_DEFAULT_PERMYRIAD},
                {"SwapMax", class->swap_max.kind != AMOUNT_UNSET},
                {"SwapWriteLimit", class->swap_write_limit != UINT64_MAX},
                {"OomGroup", class->oom_group},
                {"ZswapWriteback", !class->zswap_writeback},
                {"CpuWeight", class->cpu_weight > 0}};

    if (class->qos != QOS_UNSET && class->unit != UNIT_CGROUP)
        reader_warning(
            draft_at(d, *draft_class_origin(d, index, "QoS")),
            "QoS= of [Class %s] has no effect with Unit=process: a process has no knobs of its own.",
            class->name);
    if ((class->qos == QOS_GUARANTEED || class->qos == QOS_BESTEFFORT) &&
        class->swap_max.kind == AMOUNT_UNSET && class->swap_write_limit != UINT64_MAX)
        reader_warning(draft_at(d, *draft_class_origin(d, index, "SwapWriteLimit")),
                       "SwapWriteLimit= of [Class %s] has no effect: its tier may not swap. Add SwapMax=, or "
                       "remove the line.",
                       class->name);
    for (size_t i = 0; class->qos == QOS_UNSET && i < ARRAY_SIZE(keys); i++) {
        const struct config_origin *o = draft_class_origin(d, index, keys[i].name);

        if (o->line > 0 && keys[i].asks)
            reader_warning(draft_at(d, *o),
                           "%s= of [Class %s] has no effect without QoS=. Add one, or remove the line.",
                           keys[i].name, class->name);
    }
}

static void check_class_offload(struct draft *d, unsigned index)
{
    static const char *const keys[] = {"OffloadRatio", "OffloadInterval", "OffloadThreshold"};
    const struct class_config *class = &d->config.classes[index];

    if (class->offload && class->unit != UNIT_CGROUP)
        reader_warning(draft_at(d, *draft_class_origin(d, index, "Offload")),
                       "Offload= of [Class %s] has no effect with Unit=process: memory is taken from "
                       "cgroups.",
                       class->name);
    for (size_t i = 0; !class->offload && i < ARRAY_SIZE(keys); i++) {
        const struct config_origin *o = draft_class_origin(d, index, keys[i]);

        if (o->line > 0)
            reader_warning(draft_at(d, *o),
                           "%s= of [Class %s] has no effect without Offload=yes. Add it, or remove the line.",
                           keys[i], class->name);
    }
}

static void check_class(struct draft *d, unsigned index)
{
    struct class_config *class = &d->config.classes[index];

    if (index != DRAFT_OTHER_SLOT && draft_class_origin(d, index, "Match")->line == 0)
        reader_error(draft_at(d, d->origins.section[index]),
                     "[Class %s] has no Match=, so nothing would ever be in it. Add one, for example "
                     "Match=workload.slice/*.",
                     class->name);
    check_class_actions(d, index);
    check_class_qos(d, index);
    check_class_allowed(d, index);
    if (draft_class_origin(d, index, "OomGroup")->line == 0)
        class->oom_group = class->retriable && class->qos != QOS_UNSET;
    if (class->request.kind == class->limit.kind && class->limit.value < class->request.value)
        reader_error(draft_at(d, *draft_class_origin(d, index, "Limit")),
                     "Limit= of [Class %s] is less than its Request=. Raise it, or leave it empty.",
                     class->name);
    check_class_offload(d, index);
    if (draft_class_origin(d, index, "OffloadInterval")->line == 0)
        class->offload_interval_usec = class_offload_interval_default_usec(class->offload_ratio_permyriad);
    if (draft_class_origin(d, index, "PauseLimit")->line == 0)
        class->pause_limit_usec = class_pause_limit_default_usec(class->retriable);
}

static void check_classes(struct draft *d)
{
    for (unsigned i = 0; i < d->class_count; i++) {
        check_class(d, i);
        check_reached(d, i);
    }
    check_class(d, DRAFT_OTHER_SLOT);
}

/* Kills are the last rung: whatever is written, they happen at level critical only. The word is taken out
 * here, so that nobody after this has to remember it. */
static void check_levels(struct draft *d)
{
    for (enum level l = LEVEL_LOW; l < LEVEL_CRITICAL; l++) {
        if (!(d->config.levels[l].actions & ACTION_BIT(ACTION_KILL)))
            continue;
        d->config.levels[l].actions &= ~ACTION_BIT(ACTION_KILL);
        reader_warning(draft_at(d, *draft_level_origin(d, l, "Actions")),
                       "Actions= of [Level %s] names kill, which has no effect there: kills happen at "
                       "[Level critical] only. Remove the word.",
                       level_name(l));
    }
}

void draft_check(struct draft *d)
{
    check_node(d);
    check_classes(d);
    check_levels(d);
}
