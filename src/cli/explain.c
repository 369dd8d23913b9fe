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

/* Every verdict that an action does not name here is said as in the first table. */
struct verdict_words {
    const char *verdict;
    const char *words;
};

static const struct verdict_words kill_words[] = {
    {"chosen", "killed"},
    {"culprit", "killed: over its share, and the cause of most of the growth"},
    {"not-needed", "spared: others cover the need and lose less"},
    {"higher-tier", "spared: those that go before it were enough"},
    {"protected", "spared: protected"},
    {"actions", "spared: its class does not name kill"},
    {"dying", "is ending already"},
    {"frees-nothing", "spared: its end would free nothing"},
    {"too-many", "spared: one decision takes no more victims"},
    {"elsewhere", "spared: it holds nothing on the nodes that are short"},
    {NULL, NULL},
};

static const struct verdict_words pause_words[] = {
    {"chosen", "paused"},
    {"culprit", "paused: over its share, and the cause of most of the growth"},
    {"not-needed", "runs on: not needed, pausing others is enough"},
    {"higher-tier", "runs on: those that are paused before it were enough"},
    {"protected", "runs on: protected"},
    {"actions", "runs on: its class does not name pause, or it must not be paused"},
    {"frees-nothing", "runs on: a pause of it would bring nothing"},
    {"too-many", "runs on: one decision pauses no more"},
    {NULL, NULL},
};

static const struct verdict_words resume_words[] = {
    {"chosen", "resumed"},
    {"culprit", "resumed"},
    {"not-needed", "left as it is: not its turn"},
    {"higher-tier", "left as it is: others are resumed before it"},
    {"protected", "left as it is: protected"},
    {"actions", "left as it is"},
    {"frees-nothing", "left as it is"},
    {"too-many", "stays paused: one decision resumes no more"},
    {NULL, NULL},
};

static const struct verdict_words reclaim_words[] = {
    {"chosen", "its cold memory was pushed out"},
    {"culprit", "its cold memory was pushed out: the cause of most of the growth"},
    {"not-needed", "left alone: not needed, others cover the need"},
    {"higher-tier", "left alone: those that go before it were enough"},
    {"protected", "left alone: protected"},
    {"actions", "left alone: its class does not name reclaim"},
    {"frees-nothing", "left alone: nothing can be had above its protection"},
    {"too-many", "left alone: one decision takes no more"},
    {NULL, NULL},
};

static const struct verdict_words notify_words[] = {
    {"chosen", "its programs were asked"},
    {NULL, NULL},
};

/* What a decision is told in: a kill, and what found nobody to kill, in the first row. */
static const struct decision_words {
    const char *action;
    const struct verdict_words *verdicts;
    const char *amount; /* the candidates' column of expected_bytes */
    bool frees;         /* that is what it is for: what it should and did free is said */
    const char *late;   /* of those that are counted as stuck */
    const char *failed;
    const char *done;
} decision_words[] = {
    {"kill", kill_words, "frees", true, "stuck", "could not be signalled", "signalled"},
    {"pause", pause_words, "size", false, "not frozen in time", "could not be paused", "paused"},
    {"resume", resume_words, "size", false, "still frozen", "could not be resumed", "resumed"},
    {"reclaim", reclaim_words, "frees", true, "not done in time", "could not be reclaimed from", "asked for"},
    {"notify", notify_words, "gave", true, "", "", "asked"},
};

static const struct decision_words *words_of(const json_t *decision)
{
    for (size_t i = 0; i < ARRAY_SIZE(decision_words); i++)
        if (strcmp(decision_words[i].action, text(decision, "action")) == 0)
            return &decision_words[i];
    return &decision_words[0];
}

static const char *verdict_words(const struct decision_words *w, const char *verdict)
{
    for (size_t i = 0; w->verdicts[i].verdict; i++)
        if (strcmp(w->verdicts[i].verdict, verdict) == 0)
            return w->verdicts[i].words;
    for (size_t i = 0; kill_words[i].verdict; i++)
        if (strcmp(kill_words[i].verdict, verdict) == 0)
            return kill_words[i].words;
    return verdict;
}

/* Pauses and resumes say why; an older headroomd, and other decisions, do not. */
static bool has_why(const json_t *d)
{
    return text(d, "why")[0] && strcmp(text(d, "why"), "none") != 0;
}

static void print_outcome(const json_t *d, const struct decision_words *w)
{
    if (w->frees)
        (void)printf("freed %s; ", cli_bytes(get(d, "freed_bytes")));
    if (w->verdicts == notify_words) {
        (void)printf("asked after %s, back after %s; ", cli_usec(get(d, "signal_usec")),
                     cli_usec(get(d, "outcome_usec")));
        (void)printf("what is less gentle waited for %s\n", cli_usec(get(d, "waited_usec")));
        return;
    }
    if (w->verdicts == kill_words)
        (void)printf("%lld gone, ", (long long)number(d, "gone"));
    (void)printf("%lld %s, %lld %s; ", (long long)number(d, "stuck"), w->late, (long long)number(d, "failed"),
                 w->failed);
    (void)printf("chosen after %s, %s after %s, ended after %s\n", cli_usec(get(d, "select_usec")), w->done,
                 cli_usec(get(d, "signal_usec")), cli_usec(get(d, "outcome_usec")));
}

static bool is_notify(const json_t *d)
{
    return strcmp(text(d, "action"), "notify") == 0;
}

/* The knobs that somebody else has set, of a decision of that kind. */
static bool is_drift(const json_t *d)
{
    return strcmp(text(d, "action"), "drift") == 0;
}

static void print_knob_value(const json_t *k, const char *key)
{
    if (json_is_null(get(k, key)))
        (void)printf("max");
    else
        (void)printf("%lld", (long long)number(k, key));
}

static void print_knob(const json_t *k)
{
    bool raised = strcmp(text(k, "done"), "raised") == 0;

    (void)printf("%s %s: ours was ", text(k, "group"), text(k, "knob"));
    print_knob_value(k, "ours");
    (void)printf(raised ? ", and throttled it for ThrottleDeadline: raised to " : ", somebody set ");
    print_knob_value(k, "found");
    if (raised)
        return;
    (void)printf("%s", strcmp(text(k, "done"), "reapplied") == 0 ? "; set again, once" : "; left to him");
}

static void print_decision(const json_t *d)
{
    const struct decision_words *w = words_of(d);
    const json_t *room = get(d, "room");
    json_int_t left = number(room, "room_bytes");

    if (is_drift(d)) {
        (void)printf("decision %lld: knobs that are kept for QoS= have got another value, seen at ",
                     (long long)number(d, "id"));
        print_when(d);
        (void)printf("\n\n");
        return;
    }
    (void)printf("decision %lld: %s%s, at ", (long long)number(d, "id"), text(d, "action"),
                 json_is_true(get(d, "dry_run")) ? " (dry run: nothing was done)" : "");
    print_when(d);
    if (has_why(d))
        (void)printf("\nwhy: %s: %s", text(d, "why"), cli_why(text(d, "why")));
    (void)printf("\nwoken by %s (%s), level %s\n", text(d, "trigger"), text(d, "detail"),
                 text(room, "level"));
    if (text(room, "nodes")[0])
        (void)printf("short on nodes %s: on those ", text(room, "nodes"));
    (void)printf("used %s of %s, ", cli_bytes(get(room, "used_bytes")), cli_bytes(get(room, "limit_bytes")));
    (void)printf("room %s%s, margin %s", left < 0 ? "-" : "",
                 cli_bytes_of((uint64_t)(left < 0 ? -left : left)), cli_bytes(get(room, "margin_bytes")));
    (void)printf(", swap that counts %s\n", cli_bytes(get(room, "swap_bytes")));
    (void)printf("growing by %s/s, time left %s\n", cli_bytes(get(room, "growth_bytes_per_second")),
                 cli_usec(get(room, "time_left_usec")));
    (void)printf("needed %s; chosen by: %s", cli_bytes(get(room, "need_bytes")), text(d, "method"));
    if (w->frees)
        (void)printf("; should free %s", cli_bytes(get(d, "expected_bytes")));
    (void)printf("\n");
    if (json_is_true(get(d, "ended")) && json_array_size(get(d, "victims")) > 0)
        print_outcome(d, w);
    if (is_notify(d)) {
        (void)printf("%lld programs were asked\n\n%-44s %-12s %8s %8s %8s %8s\n",
                     (long long)number(d, "asked"), "group", "class", "programs", "held", "expected", "gave");
        return;
    }
    (void)printf("%lld groups, %lld of them candidates%s\n\n", (long long)number(d, "groups"),
                 (long long)number(d, "candidates"),
                 number(d, "candidates_cut") > 0 ? " (not all of them were kept)" : "");
    (void)printf("%-44s %-12s %8s %8s %8s %8s %8s  %s\n", "group", "class", "priority", w->amount, "progress",
                 "age", "growth", "what became of it");
}

static void print_asked(const json_t *c)
{
    (void)printf("%-44s %-12s %8lld %8s %8s %8s\n", text(c, "group"), text(c, "class"),
                 (long long)number(c, "programs"), cli_bytes(get(c, "held_bytes")),
                 cli_bytes(get(c, "expected_bytes")), cli_bytes(get(c, "gave_bytes")));
}

static void print_candidate(const struct decision_words *w, const json_t *c)
{
    if (get(c, "programs")) {
        print_asked(c);
        return;
    }
    if (text(c, "knob")[0]) {
        print_knob(c);
        (void)printf("\n");
        return;
    }
    (void)printf("%-44s %-12s %8lld %8s %8s", text(c, "group"), text(c, "class"),
                 (long long)number(c, "priority"), cli_bytes(get(c, "expected_bytes")),
                 cli_usec(get(c, "progress_usec")));
    (void)printf(" %8s %8s  %s%s%s\n", cli_usec(get(c, "age_usec")), cli_bytes(get(c, "growth_bytes")),
                 verdict_words(w, text(c, "verdict")),
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
            print_candidate(words_of(e->decision), c);
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

/* The end of a decision's line: what a kill or a reclaim brought, why others were paused or resumed. */
static void print_what_came(const json_t *d)
{
    bool some = json_array_size(get(d, "victims")) > 0;

    if (has_why(d))
        (void)printf("; %s: %s\n", text(d, "why"), cli_why(text(d, "why")));
    else
        (void)printf("%s%s\n", some ? "; freed " : " nobody", some ? cli_bytes(get(d, "freed_bytes")) : "");
}

static void print_drift(const json_t *d)
{
    const json_t *k;
    size_t i;

    json_array_foreach(get(d, "victims"), i, k)
    {
        print_when(d);
        (void)printf(" #%lld drift: ", (long long)number(d, "id"));
        print_knob(k);
        (void)printf("\n");
    }
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
    } else if (is_drift(d)) {
        print_drift(d);
    } else {
        print_when(d);
        (void)printf(" #%lld %s%s, needed %s, %s:", (long long)number(d, "id"), text(d, "action"),
                     json_is_true(get(d, "dry_run")) ? " (dry run)" : "",
                     cli_bytes(get(get(d, "room"), "need_bytes")), text(d, "trigger"));
        json_array_foreach(get(d, "victims"), i, v)
        {
            if (is_notify(d))
                (void)printf(" %s (gave %s)", text(v, "group"), cli_bytes(get(v, "gave_bytes")));
            else
                (void)printf(" %s (%s, %s old)", text(v, "group"), cli_bytes(get(v, "expected_bytes")),
                             cli_usec(get(v, "age_usec")));
        }
        print_what_came(d);
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
