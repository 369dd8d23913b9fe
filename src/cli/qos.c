#include "cli/qos.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "action/qos.h"
#include "base/buffer.h"
#include "base/units.h"
#include "cli/knobs.h"
#include "config/config.h"
#include "kernel/file.h"
#include "kernel/swap.h"
#include "policy/limit.h"
#include "policy/qos.h"
#include "snapshot/qos.h"
#include "system/clock.h"

/* `qos plan`: what each knob is and is to be, and why. `qos apply`: writes it, as leases that `undo` and `qos
 * undo` put back; once more, and what has changed follows. No daemon is needed; one that keeps the plan
 * itself (daemon/keeper) refuses both. What else it sets (the brake of the workloads, the protection of the
 * system) is not planned here. */

#define CGROUPS_MAX 8192

struct qos_command {
    struct cli_knobs knobs;
    struct config config;
    struct snapshot_reader reader;
    struct group_handle handle; /* of none: no groups are walked */
    struct snapshot snapshot;
    struct qos_node node;
    struct qos_tree tree;
    struct lease_table table;
    struct qos_excess excess;
    enum qos_verdict verdict;
};

static struct qos_command the_command;
static struct qos_cgroup cgroups[CGROUPS_MAX];

static bool load_config(struct qos_command *c, const char *path)
{
    static struct config_messages messages;
    int r = 0;

    config_init_defaults(&c->config);
    if (path || c->knobs.real_root)
        r = config_load(path, &c->config, &messages);
    for (unsigned i = 0; i < messages.count; i++)
        (void)fprintf(stderr, "headroom qos: %s%s\n", messages.warning[i] ? "warning: " : "",
                      messages.text[i]);
    return r == 0;
}

/* Where headroomd would limit nothing, nothing is planned. */
static void find_workloads(struct qos_command *c)
{
    const char *why = NULL;

    if (c->config.mode == MODE_HOST)
        why = "Mode=host sets no limits";
    else if (!c->knobs.hierarchy.memory)
        why = "the cgroup v2 hierarchy has no memory controller";
    else if (snapshot_reader_find_workloads(&c->reader) == 0)
        why = "there is no workload: set Workload= in [Node]";
    else if (!c->knobs.hierarchy.real_root && c->config.mode == MODE_AUTO) {
        why = "the hierarchy's root is a cgroup of the host (a container); set Mode=isolate to use the part "
              "that "
              "is ours";
        c->reader.workload_count = 0;
    }
    if (why)
        (void)fprintf(stderr, "headroom qos: nothing is planned: %s\n", why);
}

/* The brake of a headroomd that runs is no limit that somebody else has set. */
static void note_brakes(struct qos_command *c)
{
    static struct lease_table brakes;

    if (c->knobs.runtime_fd < 0 || journal_load(c->knobs.root_fd, c->knobs.runtime_fd, &brakes) < 0)
        return;
    for (unsigned i = 0; i < c->snapshot.workload_count; i++) {
        struct workload *w = &c->snapshot.workloads[i];
        const struct lease *l = w->id ? lease_find(&brakes, w->id, "memory.high") : NULL;

        if (l && lease_is_ours(l, w->high))
            w->foreign_high = u64_min(l->was, c->reader.workloads[i].ancestors_high);
    }
}

static bool read_node(struct qos_command *c)
{
    const struct node *n = &c->snapshot.node;
    int r = snapshot_read_node(&c->reader, clock_now_usec(), &c->snapshot);

    if (r < 0) {
        (void)fprintf(stderr, "headroom qos: the node's memory cannot be read: %s\n", strerror(-r));
        return false;
    }
    note_brakes(c);
    c->node = (struct qos_node){
        .total_bytes = n->mem_total,
        .allocatable_bytes = limit_isolate(&c->config, &c->snapshot),
        .swap_bytes = n->swap_total,
        .zswap_bytes = swap_zswap_pool_max(c->knobs.root_fd, n->mem_total),
        .page_bytes = (uint64_t)sysconf(_SC_PAGESIZE),
    };
    return true;
}

/* What is ours of what stands there; of a plan that nobody has applied, nothing. */
static void read_leases(struct qos_command *c)
{
    int r;

    c->table = (struct lease_table){.more = knobs_more_leases, .more_count = KNOBS_MORE_LEASES};
    if (c->knobs.runtime_fd < 0)
        return;
    r = journal_load_named(JOURNAL_QOS_NAME, c->knobs.root_fd, c->knobs.runtime_fd, &c->table);
    if (r < 0 && r != -ENOENT)
        (void)fprintf(
            stderr,
            "headroom qos: warning: %s in run/headroom cannot be read (%s): what is ours is taken for "
            "others'\n",
            JOURNAL_QOS_NAME, strerror(-r));
}

/* The tree as it stands and its plan. False: said on stderr. */
static bool make_plan(struct qos_command *c, struct journal *journal)
{
    struct knobs knobs = knobs_of(&c->knobs, journal, &c->table);
    int r;

    c->tree = (struct qos_tree){.cgroups = cgroups, .max = CGROUPS_MAX};
    if (!read_node(c))
        return false;
    r = qos_read_tree(&c->reader, &c->snapshot, &c->tree);
    if (r < 0) {
        (void)fprintf(stderr, "headroom qos: %s: %s\n", c->knobs.hierarchy.mount, strerror(-r));
        return false;
    }
    if (c->tree.left_out + c->tree.too_long > 0)
        (void)fprintf(stderr,
                      "headroom qos: warning: %u cgroups are left out: they cannot be read, are too many, or "
                      "have too long a path\n",
                      c->tree.left_out + c->tree.too_long);
    qos_follow_units(&knobs, cgroups, c->tree.count, clock_now_usec());
    qos_note_leases(&c->table, cgroups, c->tree.count, clock_now_usec());
    c->verdict = qos_plan(&c->config, &c->node, cgroups, c->tree.count, &c->excess);
    if (c->verdict == QOS_MALFORMED)
        (void)fprintf(stderr, "headroom qos: the tree is none; this is a defect of headroom's\n");
    return c->verdict != QOS_MALFORMED;
}

static struct qos_view view_of(const struct qos_command *c)
{
    return (struct qos_view){&c->config, &c->node, cgroups, c->tree.count,
                             c->verdict == QOS_EXCESS ? &c->excess : NULL};
}

static int say_excess(const struct qos_command *c)
{
    struct qos_view v = view_of(c);
    char text[1024];
    struct buffer b;

    buffer_init(&b, text, sizeof(text));
    qos_format_excess(&v, &b);
    (void)fprintf(stderr, "headroom qos: %s\n", text);
    return CLI_FAILURE;
}

static int plan(struct qos_command *c, const struct cli_options *o)
{
    struct qos_view v;

    read_leases(c);
    if (!make_plan(c, NULL))
        return CLI_FAILURE;
    v = view_of(c);
    if (o->json)
        qos_print_json(&v);
    else
        qos_print_table(&v);
    return v.excess ? say_excess(c) : CLI_OK;
}

/* ---- apply ---- */

static int say_done(const struct qos_done *d, unsigned drifts, bool json)
{
    const char *what = d->knob < QOS_KNOBS ? qos_knob_name(d->knob) : "an earlier value";

    if (json)
        (void)printf(
            "{\"written\": %u, \"stood\": %u, \"restored\": %u, \"processes\": %u, \"overwritten\": %u, "
            "\"failed\": %u}\n",
            d->written, d->stood, d->restored, d->scores, drifts, d->failed);
    else
        (void)printf(
            "%u knobs set, %u stood, oom_score_adj of %u processes, %u of an earlier plan put back\n",
            d->written, d->stood, d->scores, d->restored);
    if (!json && drifts > 0)
        (void)printf("%u had been overwritten by somebody else since the last time\n", drifts);
    if (d->failed > 0)
        (void)fprintf(stderr, "headroom qos apply: %u failed, the first was %s of %s: %s\n", d->failed, what,
                      d->path, strerror(-d->error));
    return d->failed > 0 ? CLI_FAILURE : CLI_OK;
}

static int apply_plan(struct qos_command *c, const struct cli_options *o)
{
    struct journal journal;
    struct qos_done done;
    struct knobs knobs;
    int r;

    c->table = (struct lease_table){.more = knobs_more_leases, .more_count = KNOBS_MORE_LEASES};
    r = journal_open_named(&journal, JOURNAL_QOS_NAME, c->knobs.root_fd, c->knobs.runtime_fd, &c->table);
    if (r < 0) {
        (void)fprintf(stderr, "headroom qos apply: %s in run/headroom: %s; nothing is changed\n",
                      JOURNAL_QOS_NAME, strerror(-r));
        return CLI_FAILURE;
    }
    for (unsigned i = 0; i < lease_table_size(&c->table); i++)
        lease_at(&c->table, i)->drift = LEASE_KEPT; /* an operator asks for all of it */
    if (!make_plan(c, &journal) || c->verdict != QOS_GOOD) {
        journal_close(&journal);
        return c->verdict == QOS_EXCESS ? say_excess(c) : CLI_FAILURE;
    }
    knobs = knobs_of(&c->knobs, &journal, &c->table);
    knobs.insist = true;
    qos_apply(&knobs, cgroups, c->tree.count, c->tree.left_out == 0, clock_now_usec(), &done);
    journal_close(&journal);
    return say_done(&done, (unsigned)knobs.drifts, o->json);
}

/* One at a time: two would take each other's values for a third one's. */
static int locked(struct qos_command *c, const struct cli_options *o, bool undo)
{
    _cleanup_close_ int fd =
        openat(c->knobs.runtime_fd, QOS_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        (void)fprintf(stderr, "headroom qos: run/headroom/" QOS_LOCK ": %s%s\n", strerror(errno),
                      errno == EACCES ? " (only root may do that: run it as root)" : "");
        return CLI_FAILURE;
    }
    if (!knobs_lock_qos(fd, undo ? "headroom qos undo" : "headroom qos apply"))
        return CLI_FAILURE;
    return undo ? knobs_undo(&c->knobs, false, o->json) : apply_plan(c, o);
}

static int run(struct qos_command *c, const struct cli_options *o, bool apply)
{
    int code, r;

    if (c->knobs.hierarchy.fd < 0) {
        (void)fprintf(stderr, "headroom qos: there is no cgroup v2 hierarchy here\n");
        return CLI_FAILURE;
    }
    if (!load_config(c, o->config))
        return CLI_FAILURE;
    r = snapshot_reader_init(&c->reader, c->knobs.root_fd, &c->knobs.hierarchy, &c->config, &c->handle, 1);
    if (r < 0) {
        (void)fprintf(stderr, "headroom qos: /proc/meminfo: %s\n", strerror(-r));
        return CLI_FAILURE;
    }
    c->reader.isolate = true;
    find_workloads(c); /* where there is none, `apply` puts an earlier plan back */
    code = apply ? locked(c, o, false) : plan(c, o);
    snapshot_reader_deinit(&c->reader);
    return code;
}

int cli_qos(const struct cli_options *o, int argc, char **argv)
{
    struct qos_command *c = &the_command;
    const char *what = argc == 2 ? argv[1] : "";
    bool apply = strcmp(what, "apply") == 0, undo = strcmp(what, "undo") == 0;
    int code;

    if (!apply && !undo && strcmp(what, "plan") != 0) {
        (void)fprintf(stderr,
                      "headroom qos plan: what the memory knobs of each group are and are to be, and why\n"
                      "headroom qos apply: set them (root only)\n"
                      "headroom qos undo: put back what it has set (root only)\n");
        return CLI_USAGE;
    }
    if (!knobs_open(&c->knobs, o, "headroom qos", apply))
        return CLI_FAILURE;
    if (undo && c->knobs.runtime_fd < 0)
        code = knobs_undo(&c->knobs, false, o->json);
    else
        code = undo ? locked(c, o, true) : run(c, o, apply);
    knobs_close(&c->knobs);
    return code;
}
