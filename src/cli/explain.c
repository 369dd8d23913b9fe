#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "base/units.h"
#include "cli/cli.h"

/* `explain [ID]`: one decision with every candidate. `events [-f] [--since 10min]`: decisions, one a line. */

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

static void print_when(const json_t *d)
{
    time_t seconds = (time_t)(number(d, "realtime_usec") / (json_int_t)USEC_PER_SEC);
    char when[32] = "";
    struct tm tm;

    if (localtime_r(&seconds, &tm))
        (void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
    (void)printf("%s.%03lld", when, (long long)(number(d, "realtime_usec") / 1000 % 1000));
}

static const char *verdict_words(const char *verdict)
{
    static const struct {
        const char *verdict;
        const char *words;
    } all[] = {
        {"chosen", "killed"},
        {"culprit", "killed: over its share, and the cause of most of the growth"},
        {"not-needed", "spared: others cover the need and lose less"},
        {"higher-tier", "spared: those that go before it were enough"},
        {"protected", "spared: protected"},
        {"actions", "spared: its class does not name kill"},
        {"dying", "is ending already"},
        {"frees-nothing", "spared: its end would free nothing"},
        {"too-many", "spared: one decision takes no more victims"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (strcmp(all[i].verdict, verdict) == 0)
            return all[i].words;
    return verdict;
}

static void print_decision(const json_t *d)
{
    const json_t *room = get(d, "room");
    json_int_t left = number(room, "room_bytes");

    (void)printf("decision %lld: %s%s, at ", (long long)number(d, "id"), text(d, "action"),
                 json_is_true(get(d, "dry_run")) ? " (dry run: nothing was done)" : "");
    print_when(d);
    (void)printf("\nwoken by %s (%s), level %s\n", text(d, "trigger"), text(d, "detail"),
                 text(room, "level"));
    (void)printf("used %s of %s, ", cli_bytes(get(room, "used_bytes")), cli_bytes(get(room, "limit_bytes")));
    (void)printf("room %s%s, margin %s", left < 0 ? "-" : "",
                 cli_bytes_of((uint64_t)(left < 0 ? -left : left)), cli_bytes(get(room, "margin_bytes")));
    (void)printf(", swap that counts %s\n", cli_bytes(get(room, "swap_bytes")));
    (void)printf("growing by %s/s, time left %s\n", cli_bytes(get(room, "growth_bytes_per_second")),
                 cli_usec(get(room, "time_left_usec")));
    (void)printf("needed %s; chosen by: %s; should free %s\n", cli_bytes(get(room, "need_bytes")),
                 text(d, "method"), cli_bytes(get(d, "expected_bytes")));
    if (json_is_true(get(d, "ended")) && json_array_size(get(d, "victims")) > 0) {
        (void)printf("freed %s; %lld gone, %lld stuck, %lld could not be signalled; ",
                     cli_bytes(get(d, "freed_bytes")), (long long)number(d, "gone"),
                     (long long)number(d, "stuck"), (long long)number(d, "failed"));
        (void)printf("chosen after %s, signalled after %s, ended after %s\n", cli_usec(get(d, "select_usec")),
                     cli_usec(get(d, "signal_usec")), cli_usec(get(d, "outcome_usec")));
    }
    (void)printf("%lld groups, %lld of them candidates%s\n\n", (long long)number(d, "groups"),
                 (long long)number(d, "candidates"),
                 number(d, "candidates_cut") > 0 ? " (not all of them were kept)" : "");
    (void)printf("%-44s %-12s %8s %8s %8s %8s %8s  %s\n", "group", "class", "priority", "frees", "progress",
                 "age", "growth", "what became of it");
}

static void print_candidate(const json_t *c)
{
    (void)printf("%-44s %-12s %8lld %8s %8s", text(c, "group"), text(c, "class"),
                 (long long)number(c, "priority"), cli_bytes(get(c, "expected_bytes")),
                 cli_usec(get(c, "progress_usec")));
    (void)printf(" %8s %8s  %s%s%s\n", cli_usec(get(c, "age_usec")), cli_bytes(get(c, "growth_bytes")),
                 verdict_words(text(c, "verdict")),
                 json_is_true(get(c, "over_request")) ? "" : "; within its request",
                 json_is_true(get(c, "last")) ? "; goes last in its tier" : "");
}

struct explanation {
    bool json;
    json_t *decision;
    json_t *candidates;
};

static int on_explain(void *user, json_t *parameters)
{
    struct explanation *e = user;
    json_t *d = get(parameters, "decision"), *c;
    size_t i;

    if (d && !e->json)
        print_decision(d);
    if (d)
        e->decision = json_incref(d);
    json_array_foreach(get(parameters, "candidates"), i, c)
    {
        if (e->json)
            (void)json_array_append(e->candidates, c);
        else
            print_candidate(c);
    }
    return 0;
}

int cli_explain(const struct cli_options *o, int argc, char **argv)
{
    struct explanation e = {.json = o->json, .candidates = json_array()};
    char parameters[64] = "{}";
    uint64_t id;
    int code;

    if (argc > 2 || (argc == 2 && text_parse_u64(text_from(argv[1]), &id) < 0)) {
        (void)fprintf(stderr,
                      "headroom explain [ID]: ID is the number of a decision (see headroom events)\n");
        json_decref(e.candidates);
        return CLI_USAGE;
    }
    if (argc == 2)
        (void)snprintf(parameters, sizeof(parameters), "{\"id\":%" PRIu64 "}", id);
    code = cli_stream(o, "io.headroom.Explain", parameters, on_explain, &e);
    if (code == CLI_OK && o->json && e.decision) {
        (void)json_object_set(e.decision, "considered", e.candidates);
        cli_print_json(e.decision);
    }
    json_decref(e.candidates);
    json_decref(e.decision);
    return code;
}

static int on_event(void *user, json_t *parameters)
{
    const struct cli_options *o = user;
    json_t *d = get(parameters, "decision"), *v;
    size_t i;

    if (!d)
        return 0;
    if (o->json) {
        (void)json_dumpf(d, stdout, JSON_COMPACT);
        (void)printf("\n");
    } else {
        print_when(d);
        (void)printf(" #%lld %s%s, needed %s, %s:", (long long)number(d, "id"), text(d, "action"),
                     json_is_true(get(d, "dry_run")) ? " (dry run)" : "",
                     cli_bytes(get(get(d, "room"), "need_bytes")), text(d, "trigger"));
        json_array_foreach(get(d, "victims"), i, v)
        {
            (void)printf(" %s (%s, %s old)", text(v, "group"), cli_bytes(get(v, "expected_bytes")),
                         cli_usec(get(v, "age_usec")));
        }
        (void)printf("%s%s\n", json_array_size(get(d, "victims")) > 0 ? "; freed " : " nobody",
                     json_array_size(get(d, "victims")) > 0 ? cli_bytes(get(d, "freed_bytes")) : "");
    }
    return fflush(stdout) == 0 ? 0 : -1;
}

int cli_events(const struct cli_options *o, int argc, char **argv)
{
    char parameters[128];
    uint64_t since = UINT64_MAX / 4;

    if (argc > 1 || (o->since && units_parse_usec(text_from(o->since), &since) < 0)) {
        (void)fprintf(stderr, "headroom events [-f] [--since 10min]: %s\n",
                      argc > 1 ? argv[1] : "--since takes a duration with a unit, such as 90s, 10min or 2h");
        return CLI_USAGE;
    }
    (void)snprintf(parameters, sizeof(parameters), "{\"since_usec\":%" PRIu64 ",\"follow\":%s}", since,
                   o->follow ? "true" : "false");
    return cli_stream(o, "io.headroom.Events", parameters, on_event, (void *)(uintptr_t)o);
}
