#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "action/journal.h"
#include "base/macros.h"
#include "cli/cli.h"
#include "cli/managers.h"
#include "config/config.h"
#include "kernel/file.h"
#include "kernel/kill.h"
#include "kernel/meminfo.h"
#include "kernel/psi.h"
#include "policy/limit.h"
#include "snapshot/reader.h"

/* What works here, what does not, and the cure. Everything is probed, nothing is concluded from a version
 * number. */

#define FINDINGS_MAX 48
#define TEXT_MAX 300
#define GROUPS_MAX 4096

enum verdict {
    VERDICT_OK,
    VERDICT_WARN, /* headroomd works, with less */
    VERDICT_FAIL, /* what was asked for cannot work */
};

struct finding {
    enum verdict verdict;
    const char *subject;
    char text[TEXT_MAX];
};

struct check {
    int root_fd;
    bool real_root;
    struct hierarchy hierarchy;
    struct config config;
    struct snapshot_reader reader;
    struct finding findings[FINDINGS_MAX];
    unsigned count;
    uint64_t total_bytes, reserve_bytes; /* 0: not known */
};

static const char *const verdict_names[] = {"ok", "warning", "FAIL"};

static void _printf_(4, 5) add(struct check *c, enum verdict v, const char *subject, const char *format, ...)
{
    struct finding *f;
    va_list ap;

    if (c->count >= FINDINGS_MAX)
        return;
    f = &c->findings[c->count++];
    f->verdict = v;
    f->subject = subject;
    va_start(ap, format);
    (void)vsnprintf(f->text, sizeof(f->text), format, ap);
    va_end(ap);
}

static void check_config(struct check *c, const char *path)
{
    static struct config_messages messages;
    unsigned files = 0;
    int r = 0;

    config_init_defaults(&c->config);
    if (path || c->real_root)
        r = config_load_origins(path, &c->config, NULL, &files, &messages);
    for (unsigned i = 0; i < messages.count; i++)
        add(c, messages.warning[i] ? VERDICT_WARN : VERDICT_FAIL, "configuration", "%s", messages.text[i]);
    if (r == 0 && files == 0)
        add(c, VERDICT_OK, "configuration", "built-in defaults (there is no " CONFIG_PATH_DEFAULT ")");
    else if (r == 0)
        add(c, VERDICT_OK, "configuration", "%s is good%s", path ? path : CONFIG_PATH_DEFAULT,
            files > 1 ? ", with its drop-ins" : "");
}

static void check_hierarchy(struct check *c)
{
    const struct hierarchy *h = &c->hierarchy;
    enum verdict severe = c->config.mode == MODE_ISOLATE ? VERDICT_FAIL : VERDICT_WARN;

    if (h->fd < 0) {
        add(c, severe, "cgroup v2",
            "there is no cgroup v2 hierarchy: single processes are guarded (Mode=host). Cure: mount cgroup2 "
            "on "
            "/sys/fs/cgroup, or boot with systemd.unified_cgroup_hierarchy=1");
        return;
    }
    if (!h->memory)
        add(c, severe, "cgroup v2",
            "%s has no memory controller: single processes are guarded (Mode=host). Cure: boot without "
            "cgroup v1's "
            "memory controller, and without cgroup_disable=memory",
            h->mount);
    else
        add(c, VERDICT_OK, "cgroup v2", "%s, with the memory controller", h->mount);
    if (h->read_only)
        add(c, severe, "cgroup v2", "%s is mounted read-only: nothing can be limited. Cure: mount it rw",
            h->mount);
    else if (c->real_root && faccessat(h->fd, "cgroup.procs", W_OK, AT_EACCESS) < 0)
        add(c, severe, "privilege", "%s cannot be written: run as root", h->mount);
    if (!h->recursive_prot && h->memory)
        add(c, VERDICT_WARN, "cgroup v2",
            "mounted without memory_recursiveprot: memory.low of a slice does not reach its units. Cure: "
            "mount -o "
            "remount,memory_recursiveprot %s",
            h->mount);
    if (!h->real_root)
        add(c, VERDICT_WARN, "cgroup v2",
            "the hierarchy's root is itself a cgroup (a container): only what is in it "
            "is guarded");
}

static void check_features(struct check *c)
{
    _cleanup_close_ int fd = -1;

    for (unsigned i = 0; i < c->reader.workload_count && fd < 0; i++)
        fd = cgroup_open(&c->hierarchy, c->reader.workloads[i].path);
    if (fd >= 0) {
        static const struct {
            const char *file;
            const char *without;
        } files[] = {
            {"cgroup.kill", "before kernel 5.14: groups are killed process by process"},
            {"memory.events.local", "before kernel 5.3: a child's own limit wakes the event monitor, too"},
            {"memory.reclaim", "before kernel 5.19: memory cannot be asked for without a kill"},
            {"memory.pressure", "PSI is off (boot with psi=1): pressure of the work is not seen"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
            if (file_exists_at(fd, files[i].file))
                add(c, VERDICT_OK, files[i].file, "is there");
            else
                add(c, VERDICT_WARN, files[i].file, "is not there; %s", files[i].without);
    }
    if (!c->real_root)
        return;
    if (kill_mrelease(-1) == -ENOSYS)
        add(c, VERDICT_WARN, "process_mrelease",
            "is not there (before kernel 5.15): a victim's memory comes back "
            "as fast as it exits");
    else
        add(c, VERDICT_OK, "process_mrelease", "is there");
}

static void check_psi(struct check *c)
{
    struct psi_trigger_config asked =
                                  {
                                      .full = c->config.monitor.pressure_full,
                                      .stall_usec = c->config.monitor.pressure_stall_usec,
                                      .window_usec = c->config.monitor.pressure_window_usec,
                                  },
                              armed;
    _cleanup_close_ int proc_fd = file_open_dir(c->root_fd, "proc"), fd = -1;
    struct psi psi;
    int r = proc_fd < 0 ? proc_fd : psi_read_at(proc_fd, "pressure/memory", &psi);

    if (r < 0) {
        add(c, VERDICT_WARN, "PSI", "/proc/pressure/memory: %s. Cure: boot with psi=1", strerror(-r));
        return;
    }
    if (!c->real_root || !c->config.monitor.pressure) {
        add(c, VERDICT_OK, "PSI", "is on");
        return;
    }
    fd = psi_trigger_open(proc_fd, "pressure/memory", &asked, &armed);
    if (fd < 0)
        add(c, VERDICT_WARN, "PSI", "no trigger is taken (%s): its totals are sampled instead",
            strerror(-fd));
    else if (armed.window_usec != asked.window_usec)
        add(c, VERDICT_WARN, "PSI",
            "a window of %ju ms is used instead of %ju ms. Cure: CAP_SYS_RESOURCE (a container may lack it)",
            (uintmax_t)armed.window_usec / 1000, (uintmax_t)asked.window_usec / 1000);
    else
        add(c, VERDICT_OK, "PSI", "is on, and triggers work");
}

static void check_workloads(struct check *c)
{
    if (c->hierarchy.fd >= 0)
        (void)snapshot_reader_find_workloads(&c->reader);
    /* From here on the groups and the limit are those that headroomd would see. */
    c->reader.isolate = c->config.mode != MODE_HOST && c->hierarchy.fd >= 0 && c->hierarchy.memory &&
                        c->reader.workload_count > 0;
    if (c->reader.workload_count == 0) {
        add(c, VERDICT_WARN, "workload",
            "none of kubepods.slice, kubepods, workload.slice, user.slice, machine.slice holds processes: "
            "the whole "
            "host is guarded, without a brake. Cure: set Workload= in [Node]");
        return;
    }
    for (unsigned i = 0; i < c->reader.workload_count; i++) {
        const struct workload_handle *w = &c->reader.workloads[i];
        struct cgroup_events events;

        if (w->id == 0)
            add(c, VERDICT_WARN, "workload",
                "%s is not there, or has no memory controller; guarded as soon as it "
                "is",
                w->path);
        else if (cgroup_read_events(w->dir_fd, &events) == 0 && !events.populated)
            add(c, VERDICT_WARN, "workload", "%s is empty: nothing to guard yet", w->path);
        else
            add(c, VERDICT_OK, "workload", "%s", w->path);
    }
}

/* What others have set on the groups themselves. */
static void check_group_limits(struct check *c, const struct group *groups, unsigned count)
{
    const char *first = NULL;
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++) {
        _cleanup_close_ int fd = groups[i].pid > 0 ? -1 : cgroup_open(&c->hierarchy, groups[i].path);
        uint64_t max;

        if (fd < 0 || file_read_u64_at(fd, "memory.max", &max) < 0 || max == UINT64_MAX)
            continue;
        n++;
        if (!first)
            first = groups[i].path;
    }
    if (n > 0)
        add(c, VERDICT_OK, "group limits",
            "%u group%s (%s) %s a memory.max of %s own (a container's, a unit's): at it the kernel kills in "
            "that "
            "group alone, whatever headroomd does",
            n, n == 1 ? "" : "s, the first", first, n == 1 ? "has" : "have", n == 1 ? "its" : "their");
}

static void check_classes(struct check *c)
{
    static struct group groups[GROUPS_MAX];
    static struct snapshot s;
    unsigned matched[CONFIG_CLASSES_MAX] = {0};

    if (c->hierarchy.fd < 0 || !c->hierarchy.memory)
        return;
    s.groups = groups;
    s.group_max = GROUPS_MAX;
    if (snapshot_read_groups(&c->reader, &s) < 0)
        return;
    for (unsigned i = 0; i < s.group_count; i++)
        matched[groups[i].class_index]++;
    for (unsigned i = 0; i + 1 < c->config.class_count; i++)
        if (matched[i] == 0)
            add(c, VERDICT_WARN, "class",
                "[Class %s] matches no group now (line %u): its Match= is relative to the "
                "hierarchy's root, and * does not cross a /",
                c->config.classes[i].name, c->config.classes[i].line);
        else
            add(c, VERDICT_OK, "class", "[Class %s] matches %u group%s", c->config.classes[i].name,
                matched[i], matched[i] == 1 ? "" : "s");
    check_group_limits(c, groups, s.group_count);
}

/* Without a headroomd that keeps what QoS= asks for, who has set it, but never applied it, is told. */
static void check_qos(struct check *c)
{
    bool applied = faccessat(c->root_fd, "run/headroom/" JOURNAL_QOS_NAME, F_OK, 0) == 0;

    for (unsigned i = 0; i < c->config.class_count; i++) {
        if (c->config.classes[i].qos == QOS_UNSET)
            continue;
        if (applied)
            add(c, VERDICT_OK, "QoS", "has been applied; see headroom qos plan for what stands now");
        else
            add(c, VERDICT_WARN, "QoS",
                "[Class %s] has QoS=, which is not applied. Cure: start headroomd, which keeps it, or "
                "headroom qos apply",
                c->config.classes[i].name);
        return;
    }
}

static void check_managers(struct check *c)
{
    struct manager found[MANAGERS_MAX];
    unsigned n = managers_find(c->root_fd, c->reserve_bytes, c->total_bytes, found);

    for (unsigned i = 0; i < n; i++)
        add(c, found[i].conflicts ? VERDICT_WARN : VERDICT_OK, "other manager", "%s", found[i].text);
    if (n == 0)
        add(c, VERDICT_OK, "other manager", "none is active beside headroomd");
}

static void check_hooks(struct check *c)
{
    static const char *const keys[] = {"PreKill", "PostKill", "OnLevel"};

    for (unsigned k = 0; k < HOOK_COUNT; k++) {
        const char *command = c->config.hooks[k];
        char path[CONFIG_COMMAND_MAX];

        if (!command[0])
            continue;
        (void)snprintf(path, sizeof(path), "%.*s", (int)strcspn(command, " \t"), command);
        if (faccessat(c->root_fd, path + 1, X_OK, AT_EACCESS) < 0)
            add(c, VERDICT_WARN, "hook", "%s=%s: %s", keys[k], path, strerror(errno));
        else
            add(c, VERDICT_OK, "hook", "%s=%s", keys[k], command);
    }
}

static void check_limit(struct check *c)
{
    static struct snapshot s;
    uint64_t reserve;

    if (snapshot_read_node(&c->reader, 0, &s) < 0) {
        add(c, VERDICT_FAIL, "memory", "the node's memory cannot be read");
        return;
    }
    reserve = limit_system_reserve(&c->config, s.node.total);
    c->total_bytes = s.node.total;
    if (c->reader.isolate)
        c->reserve_bytes = reserve;
    else
        c->reserve_bytes = u64_sub_floor(s.node.total, limit_host(&c->config, s.node.total));
    if (c->reader.isolate)
        add(c, VERDICT_OK, "limit", "%ju MiB for the work, of %ju MiB; SystemReserve %ju MiB",
            (uintmax_t)limit_isolate(&c->config, &s) >> 20, (uintmax_t)s.node.total >> 20,
            (uintmax_t)reserve >> 20);
    else
        add(c, VERDICT_OK, "limit", "%ju MiB for everything, of %ju MiB",
            (uintmax_t)limit_host(&c->config, s.node.total) >> 20, (uintmax_t)s.node.total >> 20);
}

static int print(const struct check *c, bool json)
{
    bool failed = false;
    json_t *all = json_array();

    for (unsigned i = 0; i < c->count; i++) {
        const struct finding *f = &c->findings[i];

        failed = failed || f->verdict == VERDICT_FAIL;
        if (!json)
            (void)printf("%-8s %-18s %s\n", verdict_names[f->verdict], f->subject, f->text);
        (void)json_array_append_new(all, json_pack("{s:s, s:s, s:s}", "verdict", verdict_names[f->verdict],
                                                   "subject", f->subject, "text", f->text));
    }
    if (json)
        cli_print_json(all);
    json_decref(all);
    return failed ? CLI_FAILURE : CLI_OK;
}

int cli_check(const struct cli_options *o, int argc, char **argv)
{
    static struct check c;
    static struct group_handle handles[GROUPS_MAX];
    int r;

    (void)argv;
    if (argc > 1) {
        (void)fprintf(stderr, "headroom check takes no arguments\n");
        return CLI_USAGE;
    }
    c.real_root = file_is_root(o->sysroot);
    c.root_fd = open(o->sysroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c.root_fd < 0) {
        (void)fprintf(stderr, "headroom check: %s: %s\n", o->sysroot, strerror(errno));
        return CLI_FAILURE;
    }
    check_config(&c, o->config);
    if (hierarchy_open(c.root_fd, &c.hierarchy) < 0)
        c.hierarchy.fd = -1;
    r = snapshot_reader_init(&c.reader, c.root_fd, &c.hierarchy, &c.config, handles, GROUPS_MAX);
    if (r < 0) {
        add(&c, VERDICT_FAIL, "memory", "/proc/meminfo: %s", strerror(-r));
        return print(&c, o->json);
    }
    check_hierarchy(&c);
    check_workloads(&c);
    check_classes(&c);
    check_limit(&c);
    check_features(&c);
    check_psi(&c);
    check_managers(&c);
    check_hooks(&c);
    check_qos(&c);
    return print(&c, o->json);
}
