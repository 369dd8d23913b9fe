#include <errno.h>
#include <fcntl.h>

#include "base/macros.h"
#include "cli/cli.h"
#include "cli/managers.h"
#include "kernel/cgroup.h"
#include "kernel/file.h"
#include "kernel/kill.h"

static json_t *get(const json_t *o, const char *key)
{
    return json_object_get(o, key);
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(get(o, key));

    return s ? s : "";
}

static json_int_t number(const json_t *o, const char *key)
{
    return json_integer_value(get(o, key));
}

static void print_room(const json_t *status)
{
    const json_t *room = get(status, "room");
    json_int_t left = number(room, "room_bytes");
    json_t *amount;

    if (!room) {
        (void)printf("room:      not known yet (the node could not be read)\n");
        return;
    }
    amount = json_integer(left < 0 ? -left : left);
    (void)printf("level:     %s; %s of %s used, room %s%s, need %s\n", text(room, "level"),
                 cli_bytes(get(room, "used_bytes")), cli_bytes(get(room, "limit_bytes")), left < 0 ? "-" : "",
                 cli_bytes(amount),
                 number(room, "need_bytes") > 0 ? cli_bytes(get(room, "need_bytes")) : "none");
    json_decref(amount);
    if (number(room, "growth_bytes_per_second") > 0)
        (void)printf("growth:    %s/s, full in %s\n", cli_bytes(get(room, "growth_bytes_per_second")),
                     cli_usec(get(room, "time_left_usec")));
    else
        (void)printf("growth:    none\n");
    if (number(get(status, "node"), "swap_total_bytes") > 0)
        (void)printf("swap:      %s of the room is swap%s\n", cli_bytes(get(room, "swap_bytes")),
                     json_is_true(get(room, "swapping_felt")) ? "; swapping is felt: it does not count now"
                                                              : "");
}

/* Some NUMA nodes that groups are bound to: the tightest. */
static void print_nodes(const json_t *status)
{
    const json_t *room = get(status, "nodes_room");
    json_int_t left = number(room, "room_bytes");

    if (!room)
        return;
    (void)printf("nodes %s:  %s of %s used, room %s%s, need %s; groups are bound there\n",
                 text(room, "nodes"), cli_bytes(get(room, "used_bytes")), cli_bytes(get(room, "limit_bytes")),
                 left < 0 ? "-" : "", cli_bytes_of((uint64_t)(left < 0 ? -left : left)),
                 number(room, "need_bytes") > 0 ? cli_bytes(get(room, "need_bytes")) : "none");
}

static void print_workloads(const json_t *status)
{
    const json_t *w;
    size_t i;

    json_array_foreach(get(status, "workloads"), i, w)
    {
        if (!json_is_true(get(w, "present"))) {
            (void)printf("workload:  %s is not there\n", text(w, "path"));
            continue;
        }
        (void)printf("workload:  %s uses %s", text(w, "path"), cli_bytes(get(w, "used_bytes")));
        (void)printf(" (anon %s, shmem %s, kernel %s), ", cli_bytes(get(w, "anon_bytes")),
                     cli_bytes(get(w, "shmem_bytes")), cli_bytes(get(w, "kernel_bytes")));
        (void)printf("file %s, memory.high %s\n", cli_bytes(get(w, "file_bytes")),
                     cli_bytes(get(w, "memory_high_bytes")));
    }
}

static void print_pauses(const json_t *status)
{
    const json_t *p;
    size_t i;

    json_array_foreach(get(status, "pauses"), i, p)
    {
        (void)printf("paused:    %s (%s) for %s%s, holds %s", text(p, "group"), text(p, "class"),
                     cli_usec(get(p, "paused_usec")),
                     json_is_true(get(p, "frozen")) ? "" : " (not yet confirmed frozen)",
                     cli_bytes(get(p, "held_bytes")));
        (void)printf("; %s: %s", text(p, "why"), cli_why(text(p, "why")));
        if (text(p, "waits_for")[0])
            (void)printf("; waits for %s", text(p, "waits_for"));
        if (json_is_integer(get(p, "left_usec")))
            (void)printf("; at most %s more", cli_usec(get(p, "left_usec")));
        (void)printf("\n");
    }
    if (number(status, "pauses_left_out") > 0)
        (void)printf("paused:    and %lld more\n", (long long)number(status, "pauses_left_out"));
}

static void print_programs(const json_t *notify)
{
    if (!json_is_true(get(notify, "served")))
        return;
    (void)printf("programs:  %lld connected, asked %lld times since start, gave back %s",
                 (long long)number(notify, "clients"), (long long)number(notify, "asked"),
                 cli_bytes(get(notify, "gave_bytes")));
    if (number(notify, "refused") > 0)
        (void)printf("; %lld turned away (MaxClients=%lld)", (long long)number(notify, "refused"),
                     (long long)number(notify, "clients_max"));
    (void)printf("\n");
}

static void print_offload(const json_t *status)
{
    const json_t *offload = get(status, "offload"), *r;
    json_int_t shown;
    size_t i;

    if (!offload)
        return;
    (void)printf("offload:   %lld groups, %s resident, saves %s; %s taken since start\n",
                 (long long)number(offload, "groups"), cli_bytes(get(offload, "resident_bytes")),
                 cli_bytes(get(offload, "saved_bytes")), cli_bytes(get(offload, "took_bytes")));
    json_array_foreach(get(offload, "most"), i, r)
    {
        json_int_t saved = number(r, "saved_bytes"), whole = saved + number(r, "resident_bytes");
        json_int_t ppm = number(r, "ratio_ppm");

        (void)printf("           %s (%s): %s resident, saves %s (%lld %%): ", text(r, "group"),
                     text(r, "class"), cli_bytes(get(r, "resident_bytes")), cli_bytes(get(r, "saved_bytes")),
                     (long long)(whole > 0 ? saved * 100 / whole : 0));
        (void)printf("zswap %s in %s, swap %s; %s/s come back; ", cli_bytes(get(r, "zswapped_bytes")),
                     cli_bytes(get(r, "zswap_bytes")), cli_bytes(get(r, "swapped_bytes")),
                     cli_bytes(get(r, "returned_bytes_per_second")));
        (void)printf(
            "ratio %lld.%04lld/%s: %s\n", (long long)(ppm / 1000000), (long long)(ppm % 1000000 / 100),
            json_is_true(get(r, "adaptive")) ? "s" : cli_usec(get(r, "interval_usec")), text(r, "why_text"));
    }
    shown = (json_int_t)json_array_size(get(offload, "most"));
    if (number(offload, "groups") > shown)
        (void)printf("           and %lld more\n", (long long)(number(offload, "groups") - shown));
}

static void print_swap(const json_t *qos)
{
    const json_t *c;
    size_t i;

    json_array_foreach(get(qos, "classes"), i, c)
    {
        json_t *rate = json_integer(number(c, "last_minute_bytes") / 60);

        (void)printf("swapped:   %s wrote %s to swap devices, %s/s over the last minute; ", text(c, "class"),
                     cli_bytes(get(c, "swap_written_bytes")), cli_bytes(rate));
        if (json_is_integer(get(c, "limit_bytes_per_second")))
            (void)printf("limit %s/s\n", cli_bytes(get(c, "limit_bytes_per_second")));
        else
            (void)printf("no limit\n");
        json_decref(rate);
    }
}

static void print_actions(const json_t *status)
{
    const json_t *counters = get(status, "counters");

    (void)printf("kills:     %lld since start, %lld stuck\n", (long long)number(counters, "kills"),
                 (long long)number(counters, "stuck"));
    (void)printf("pauses:    %lld since start, %lld resumed, %lld now\n",
                 (long long)number(counters, "pauses"), (long long)number(counters, "resumes"),
                 (long long)json_array_size(get(status, "pauses")) +
                     (long long)number(status, "pauses_left_out"));
    print_pauses(status);
    print_programs(get(status, "notify"));
    if (get(status, "qos"))
        (void)printf("qos:       %lld knobs kept of %lld cgroups, %lld left to others who set them\n",
                     (long long)number(get(status, "qos"), "leases"),
                     (long long)number(get(status, "qos"), "groups"),
                     (long long)number(get(status, "qos"), "yielded"));
    print_swap(get(status, "qos"));
    if (number(counters, "reclaimed_bytes") > 0)
        (void)printf("reclaimed: %s since start\n", cli_bytes(get(counters, "reclaimed_bytes")));
    if (number(counters, "decisions") > 0)
        (void)printf("decisions: %lld, see headroom events and headroom explain\n",
                     (long long)number(counters, "decisions"));
    else
        (void)printf("decisions: none yet\n");
}

/* ---- who would be next ---- */

static void print_next(const json_t *status)
{
    const json_t *n;
    size_t i;

    json_array_foreach(get(status, "next"), i, n)
    {
        const char *label = i == 0 ? "next:" : "";

        if (number(n, "programs") > 0) {
            (void)printf("%-10s %-8s %lld programs: %s\n", label, text(n, "action"),
                         (long long)number(n, "programs"), text(n, "why"));
            continue;
        }
        if (json_is_null(get(n, "group"))) {
            (void)printf("%-10s %-8s nobody: %s\n", label, text(n, "action"), text(n, "why"));
            continue;
        }
        (void)printf("%-10s %-8s %s", label, text(n, "action"), text(n, "group"));
        if (text(n, "class")[0])
            (void)printf(" (%s)", text(n, "class"));
        if (json_is_integer(get(n, "expected_bytes")))
            (void)printf(", frees %s", cli_bytes(get(n, "expected_bytes")));
        (void)printf(": %s\n", text(n, "why"));
    }
    if (json_array_size(get(status, "next")) > 0)
        (void)printf("%-10s as the groups stood %s ago, were memory to run short\n", "",
                     cli_usec(get(status, "groups_age_usec")));
    else
        (void)printf("next:      not known yet: the groups have not been read\n");
}

/* ---- what does not work ---- */

static void print_monitors(const json_t *status)
{
    const json_t *m;
    size_t i;

    json_array_foreach(get(status, "monitors"), i, m)
    {
        (void)printf("monitor:   %s %s, woke us %lld times%s%s\n", text(m, "name"), text(m, "state"),
                     (long long)number(m, "fires"), text(m, "message")[0] ? ": " : "", text(m, "message"));
    }
}

/* What is counted since the start, and should be 0. */
static unsigned print_counted(const json_t *counters)
{
    static const struct {
        const char *key;
        const char *words;
    } counted[] = {
        {"looks_failed", "looks at the node failed: nothing was acted on then"},
        {"stuck", "victims were not gone within KillDeadline="},
        {"guardian_fences",
         "times headroomd stood still for 2 s, and its guardian put a fence in place of the brake"},
        {"knob_failures", "knobs could not be written"},
        {"log_lines_dropped", "log lines were lost: nobody reads stderr, or its disk is full"},
        {"hooks_timed_out", "hooks were still running after HookTimeout= and were killed"},
        {"hooks_failed", "hooks failed; the log says which and how"},
        {"hooks_dropped", "hooks were not run, because earlier ones took too long"},
        {"groups_left_out", "groups are beyond MaxGroups= and are not looked at"},
    };
    unsigned n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(counted); i++)
        if (number(counters, counted[i].key) > 0) {
            (void)printf("trouble:   %lld %s\n", (long long)number(counters, counted[i].key),
                         counted[i].words);
            n++;
        }
    return n;
}

static unsigned print_array(const char *label, const json_t *array)
{
    const json_t *w;
    size_t i;

    json_array_foreach(array, i, w)
    {
        (void)printf("%-10s %s\n", label, json_string_value(w));
    }
    return (unsigned)json_array_size(array);
}

static void print_troubles(const json_t *status)
{
    unsigned n = 0;

    if (!json_is_true(get(status, "guardian_running")))
        n += (unsigned)printf(
            "trouble:   the guardian does not run: a stopped headroomd would leave the brake on\n");
    if (!json_is_true(get(status, "worker_running")))
        n += (unsigned)printf("trouble:   the worker does not run: limits cannot be lowered\n");
    n += print_counted(get(status, "counters"));
    n += print_array("trouble:", get(status, "warnings"));
    n += print_array("missing:", get(status, "missing"));
    n += print_array("beside us:", get(status, "managers"));
    if (n == 0)
        (void)printf("trouble:   none\n");
}

/* What headroomd need not know and the command line can see for itself: what this kernel lacks, and who else
 * is at work. */
static void add_surroundings(const struct cli_options *o, json_t *status)
{
    static const char *const files[] = {"cgroup.kill", "cgroup.freeze", "memory.reclaim", "memory.pressure",
                                        "memory.events.local"};
    _cleanup_close_ int root_fd = open(o->sysroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
    json_t *missing = json_array(), *managers = json_array();
    struct manager found[MANAGERS_MAX];
    struct hierarchy h;
    const json_t *w;
    unsigned n = 0;
    size_t i;

    if (root_fd >= 0 && hierarchy_open(root_fd, &h) == 0) {
        json_array_foreach(get(status, "workloads"), i, w)
        {
            if (fd < 0)
                fd = cgroup_open(&h, text(w, "path"));
        }
        hierarchy_close(&h);
    }
    for (i = 0; fd >= 0 && i < ARRAY_SIZE(files); i++)
        if (!file_exists_at(fd, files[i]))
            (void)json_array_append_new(missing, json_sprintf("this kernel has no %s", files[i]));
    if (root_fd >= 0 && !file_exists_at(root_fd, "proc/pressure/memory"))
        (void)json_array_append_new(missing, json_string("PSI is off: boot with psi=1"));
    if (file_is_root(o->sysroot) && kill_mrelease(-1) == -ENOSYS)
        (void)json_array_append_new(missing, json_string("this kernel has no process_mrelease (5.15)"));
    if (root_fd >= 0)
        n = managers_find(root_fd, (uint64_t)number(status, "reserve_bytes"),
                          (uint64_t)number(get(status, "node"), "total_bytes"), found);
    for (i = 0; i < n; i++)
        if (found[i].conflicts)
            (void)json_array_append_new(managers, json_string(found[i].text));
    (void)json_object_set_new(status, "missing", missing);
    (void)json_object_set_new(status, "managers", managers);
}

static void print_reload(const json_t *status)
{
    const json_t *reload = get(status, "reload");

    if (text(reload, "last")[0])
        (void)printf("reload:    %s %s ago: %s\n", text(reload, "last"), cli_usec(get(reload, "ago_usec")),
                     text(reload, "text"));
}

int cli_status(const struct cli_options *o, int argc, char **argv)
{
    json_t *reply, *status;
    int code;

    (void)argv;
    if (argc > 1) {
        (void)fprintf(stderr, "headroom status takes no arguments\n");
        return CLI_USAGE;
    }
    reply = cli_call(o, "io.headroom.Status", &code);
    if (!reply)
        return code;
    status = get(reply, "status");
    add_surroundings(o, status);
    if (o->json) {
        cli_print_json(status);
        json_decref(reply);
        return CLI_OK;
    }
    (void)printf("headroomd: %s, up %s, configuration %s%s\n", text(status, "version"),
                 cli_usec(get(status, "uptime_usec")),
                 text(status, "config")[0] ? text(status, "config") : "built in",
                 json_is_true(get(status, "dry_run")) ? ", dry run: nothing is acted on" : "");
    (void)printf("mode:      %s: %s\n", text(status, "mode"), text(status, "mode_reason"));
    if (json_is_integer(get(status, "hold_left_usec")))
        (void)printf("hold:      an operator holds all actions for another %s: nothing is paused or killed "
                     "(headroom hold 0 ends it)\n",
                     cli_usec(get(status, "hold_left_usec")));
    print_reload(status);
    print_room(status);
    print_nodes(status);
    print_workloads(status);
    print_next(status);
    print_actions(status);
    print_offload(status);
    print_monitors(status);
    print_troubles(status);
    json_decref(reply);
    return CLI_OK;
}
