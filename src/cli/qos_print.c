#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/units.h"
#include "cli/cli.h"
#include "cli/qos.h"

static const char *const reasons[QOS_WHY_COUNT] = {
    [QOS_WHY_NOTHING] = "nothing is asked for",
    [QOS_WHY_REQUEST] = "its request",
    [QOS_WHY_REQUEST_CUT] = "its request, a fiftieth of the limit less, so that page cache can go",
    [QOS_WHY_CHILDREN] = "covers what is in it",
    [QOS_WHY_FACTOR] = "request + ThrottleFactor x (limit - request)",
    [QOS_WHY_LIMIT] = "Limit=",
    [QOS_WHY_LIMIT_USED] = "Limit=, but not below what it uses now: the kernel would kill in it",
    [QOS_WHY_SWAP_SHARE] = "the part of it that its request is of memory",
    [QOS_WHY_NO_SWAP] = "its tier has no swap",
    [QOS_WHY_SWAP_MAX] = "SwapMax=",
    [QOS_WHY_OOM_GROUP] = "OomGroup=: the kernel kills it whole",
    [QOS_WHY_ZSWAP_WRITEBACK] =
        "ZswapWriteback=no: what zswap keeps of it, and what it does not take, never goes to disk",
    [QOS_WHY_CPU_WEIGHT] = "CpuWeight=",
    [QOS_WHY_PRIORITY] = "1000 - Priority=, of each process",
    [QOS_WHY_ABSENT] = "left: there is no such file here",
    [QOS_WHY_MORE] = "left: others protect it at least as well",
    [QOS_WHY_TIGHTER] = "left: others hold it at least as tight",
    [QOS_WHY_KUBELET] = "left: it is the kubelet's",
    [QOS_WHY_KUBELET_ABOVE] = "left: its pod's is the kubelet's, and it would have no effect (KubeletKnobs=)",
    [QOS_WHY_WORKLOAD] = "left: the workload's brake is headroomd's",
    [QOS_WHY_UNKNOWN] = "left: its request cannot be told",
    [QOS_WHY_YIELDED] = "left: somebody else keeps setting it (Drift=)",
};

static bool is_bytes(enum qos_knob k)
{
    return k <= QOS_ZSWAP_MAX;
}

static const char *value_text(enum qos_knob k, uint64_t value, char buf[static UNITS_FORMAT_MAX])
{
    if (is_bytes(k))
        return units_format_bytes(buf, value);
    if (k == QOS_SCORE)
        (void)snprintf(buf, UNITS_FORMAT_MAX, "%d", (int)value - QOS_SCORE_ZERO);
    else
        (void)snprintf(buf, UNITS_FORMAT_MAX, "%ju", (uintmax_t)value);
    return buf;
}

static bool is_there(const struct qos_cgroup *g, enum qos_knob k)
{
    return g->files & QOS_KNOB_BIT(k);
}

static void print_knob(const struct qos_cgroup *g, enum qos_knob k)
{
    char now[UNITS_FORMAT_MAX] = "-", planned[UNITS_FORMAT_MAX] = "";
    bool set = qos_is_set(g, k);

    if (is_there(g, k))
        (void)value_text(k, g->now[k], now);
    if (set && !(is_there(g, k) && g->now[k] == g->plan[k].value))
        (void)value_text(k, g->plan[k].value, planned);
    (void)printf("    %-17s %8s %s %-8s  %s\n", qos_knob_name(k), now, planned[0] ? "->" : "  ", planned,
                 reasons[g->plan[k].why]);
}

/* What the kubelet is left is the same for each pod, and said once. */
static bool is_said_once(const struct qos_cgroup *g, enum qos_knob k)
{
    return g->plan[k].why == QOS_WHY_KUBELET || g->plan[k].why == QOS_WHY_KUBELET_ABOVE;
}

static bool is_shown(const struct qos_cgroup *g, enum qos_knob k)
{
    return g->plan[k].why != QOS_WHY_NOTHING && !is_said_once(g, k);
}

static void print_heading(const struct qos_view *v, const struct qos_cgroup *g)
{
    (void)printf("%s", g->path);
    if (g->tier != QOS_UNSET) {
        (void)printf(" (%s, %s", v->config->classes[g->class_index].name, qos_name(g->tier));
        if (!g->request_known)
            (void)printf(", request not known");
        else if (g->request_bytes > 0)
            (void)printf(", request %s", cli_bytes_of(g->request_bytes));
        if (g->limit_bytes != UINT64_MAX)
            (void)printf(", limit %s", cli_bytes_of(g->limit_bytes));
        (void)printf(")");
    }
    (void)printf("\n");
}

void qos_print_table(const struct qos_view *v)
{
    unsigned left = 0, groups = 0;

    (void)printf("node: %s of memory, of which the work may have %s; %s of swap\n",
                 cli_bytes_of(v->node->total_bytes), cli_bytes_of(v->node->allocatable_bytes),
                 v->node->swap_bytes ? cli_bytes_of(v->node->swap_bytes) : "none");
    for (unsigned i = 0; i < v->count; i++) {
        const struct qos_cgroup *g = &v->cgroups[i];
        bool shown = false, once = false;

        groups += g->tier != QOS_UNSET;
        for (enum qos_knob k = 0; k < QOS_KNOBS; k++) {
            shown = shown || is_shown(g, k);
            once = once || (g->tier == QOS_UNSET && is_said_once(g, k));
        }
        left += once;
        if (!shown)
            continue;
        print_heading(v, g);
        for (enum qos_knob k = 0; k < QOS_KNOBS; k++)
            if (is_shown(g, k))
                print_knob(g, k);
    }
    if (left > 0)
        (void)printf(
            "%u cgroups are the kubelet's: their memory.min and memory.low, and those of the containers in "
            "them, are left (KubeletKnobs=leave)\n",
            left);
    if (groups == 0)
        (void)printf("nothing is planned: no group that is there belongs to a class with QoS=\n");
}

/* ---- for machines ---- */

static json_t *value_json(enum qos_knob k, uint64_t value)
{
    if (value == UINT64_MAX)
        return json_null();
    return json_integer((json_int_t)value - (k == QOS_SCORE ? QOS_SCORE_ZERO : 0));
}

static json_t *bytes_json(uint64_t value)
{
    return value_json(QOS_MEMORY_MAX, value);
}

static json_t *knobs_json(const struct qos_cgroup *g)
{
    json_t *all = json_array(), *o;

    for (enum qos_knob k = 0; k < QOS_KNOBS; k++) {
        if (g->plan[k].why == QOS_WHY_NOTHING)
            continue;
        o = json_pack("{s:s, s:s, s:b}", "knob", qos_knob_name(k), "why", qos_why_name(g->plan[k].why), "set",
                      (int)qos_is_set(g, k));
        if (is_there(g, k))
            (void)json_object_set_new(o, "now", value_json(k, g->now[k]));
        if (qos_is_set(g, k))
            (void)json_object_set_new(o, "planned", value_json(k, g->plan[k].value));
        (void)json_array_append_new(all, o);
    }
    return all;
}

static json_t *cgroup_json(const struct qos_view *v, const struct qos_cgroup *g)
{
    json_t *o = json_pack("{s:s, s:o}", "path", g->path, "knobs", knobs_json(g));

    if (!o) /* a name that is no UTF-8 */
        o = json_pack("{s:n, s:o}", "path", "knobs", knobs_json(g));
    if (g->tier != QOS_UNSET) {
        (void)json_object_set_new(o, "class", json_string(v->config->classes[g->class_index].name));
        (void)json_object_set_new(o, "tier", json_string(qos_name(g->tier)));
        (void)json_object_set_new(o, "request_bytes",
                                  g->request_known ? bytes_json(g->request_bytes) : json_null());
        (void)json_object_set_new(o, "limit_bytes", bytes_json(g->limit_bytes));
    }
    if (g->kube.pod[0])
        (void)json_object_set_new(o, "pod", json_string(g->kube.pod));
    if (g->kube.container[0])
        (void)json_object_set_new(o, "container", json_string(g->kube.container));
    return o;
}

void qos_print_json(const struct qos_view *v)
{
    json_t *cgroups = json_array(), *whole;
    char text[1024];
    struct buffer b;

    for (unsigned i = 0; i < v->count; i++)
        (void)json_array_append_new(cgroups, cgroup_json(v, &v->cgroups[i]));
    whole = json_pack("{s:o, s:{s:o, s:o, s:o}}", "cgroups", cgroups, "node", "total_bytes",
                      bytes_json(v->node->total_bytes), "allocatable_bytes",
                      bytes_json(v->node->allocatable_bytes), "swap_bytes", bytes_json(v->node->swap_bytes));
    buffer_init(&b, text, sizeof(text));
    if (v->excess)
        qos_format_excess(v, &b);
    (void)json_object_set_new(whole, "error", v->excess ? json_string(text) : json_null());
    cli_print_json(whole);
    json_decref(whole);
}

void qos_format_excess(const struct qos_view *v, struct buffer *b)
{
    const struct qos_excess *e = v->excess;
    const struct qos_cgroup *who = &v->cgroups[e->who];
    const char *where = e->where == QOS_NONE ? "the node" : v->cgroups[e->where].path;

    if (e->who == e->where)
        buffer_appendf(b, "%s asks for %s, and can have %s.", who->path, cli_bytes_of(e->who_bytes),
                       cli_bytes_of(e->bound_bytes));
    else
        buffer_appendf(b, "%s in %s asked for together, and there are %s. %s asks for most: %s.",
                       cli_bytes_of(e->asked_bytes), where, cli_bytes_of(e->bound_bytes), who->path,
                       cli_bytes_of(e->who_bytes));
    buffer_appendf(b, " Lower Request= of [Class %s], or have fewer such groups.",
                   v->config->classes[who->class_index].name);
}
