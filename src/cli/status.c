#include "cli/cli.h"

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
    (void)printf("level:     %s\n", text(room, "level"));
    amount = json_integer(left < 0 ? -left : left);
    (void)printf("room:      %s%s of %s (used %s", left < 0 ? "-" : "", cli_bytes(amount),
                 cli_bytes(get(room, "limit_bytes")), cli_bytes(get(room, "used_bytes")));
    json_decref(amount);
    (void)printf(", swap that counts %s)\n", cli_bytes(get(room, "swap_bytes")));
    (void)printf("growth:    %s/s, time left %s\n", cli_bytes(get(room, "growth_bytes_per_second")),
                 cli_usec(get(room, "time_left_usec")));
    if (number(room, "need_bytes") > 0)
        (void)printf("need:      %s must become free\n", cli_bytes(get(room, "need_bytes")));
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
    if (number(counters, "reclaimed_bytes") > 0)
        (void)printf("reclaimed: %s since start\n", cli_bytes(get(counters, "reclaimed_bytes")));
    if (number(counters, "decisions") > 0)
        (void)printf("decisions: %lld, see headroom events and headroom explain\n",
                     (long long)number(counters, "decisions"));
    else
        (void)printf("decisions: none yet\n");
}

static void print_troubles(const json_t *status)
{
    const json_t *m, *w;
    size_t i;

    json_array_foreach(get(status, "monitors"), i, m)
    {
        (void)printf("monitor:   %s %s, woke us %lld times%s%s\n", text(m, "name"), text(m, "state"),
                     (long long)number(m, "fires"), text(m, "message")[0] ? ": " : "", text(m, "message"));
    }
    if (!json_is_true(get(status, "guardian_running")))
        (void)printf("trouble:   the guardian does not run: a stopped headroomd would leave the brake on\n");
    if (!json_is_true(get(status, "worker_running")))
        (void)printf("trouble:   the worker does not run: limits cannot be lowered\n");
    json_array_foreach(get(status, "warnings"), i, w)
    {
        (void)printf("trouble:   %s\n", json_string_value(w));
    }
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
    print_workloads(status);
    print_actions(status);
    print_troubles(status);
    json_decref(reply);
    return CLI_OK;
}
