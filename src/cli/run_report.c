#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/buffer.h"
#include "base/units.h"
#include "cli/run.h"

int run_report_exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static const char *kill_words(const char *why)
{
    if (strcmp(why, "culprit") == 0)
        return "it was over its share, and the cause of most of the growth";
    if (strcmp(why, "pause-limit") == 0)
        return "its PauseLimit was over and nothing had room for it";
    if (strcmp(why, "need") == 0)
        return "memory was short, and its end lost the least";
    return why;
}

static const char *times(uint64_t n)
{
    return n == 1 ? "once" : "times";
}

static void append_times(struct buffer *b, const char *what, uint64_t n)
{
    if (n == 1)
        buffer_appendf(b, "; %s %s", what, times(n));
    else
        buffer_appendf(b, "; %s %" PRIu64 " %s", what, n, times(n));
}

static void append_end(struct buffer *b, int status)
{
    if (!WIFSIGNALED(status))
        buffer_appendf(b, "; exit %d", WEXITSTATUS(status));
    else
        buffer_appendf(b, "; ended by SIG%s", sigabbrev_np(WTERMSIG(status)) ?: "?");
}

void run_report_format(struct buffer *b, const struct run_report *r)
{
    const struct history *h = &r->history;
    char text[UNITS_FORMAT_MAX];

    buffer_append(b, r->group[0] ? r->group : "no group of headroomd's");
    if (r->peak_bytes > 0)
        buffer_appendf(b, ": peak %s%s", r->peak_at_least ? "at least " : "",
                       units_format_bytes(text, r->peak_bytes));
    buffer_appendf(b, "%s %s", r->peak_bytes > 0 ? " in" : ": ran", units_format_usec(text, r->wall_usec));
    if (h->asked > 0)
        append_times(b, "asked to give memory back", h->asked);
    if (h->pauses > 0) {
        append_times(b, "paused", h->pauses);
        buffer_appendf(b, " for %s in all (%s)", units_format_usec(text, h->paused_usec),
                       cli_why(h->pause_why));
    }
    if (h->kill_decision > 0)
        buffer_appendf(b, "; killed by headroomd: %s (headroom explain %" PRIu64 ")", kill_words(h->kill_why),
                       h->kill_decision);
    append_end(b, r->status);
    if (r->processes_left > 0)
        buffer_appendf(b, "; %" PRIu64 " process%s left in the group, which is removed when they have ended",
                       r->processes_left, r->processes_left == 1 ? " is" : "es are");
    else if (r->stays)
        buffer_append(b, "; the group could not be removed");
}

json_t *run_report_to_json(const struct run_report *r)
{
    const struct history *h = &r->history;
    json_t *o =
        json_pack("{s:s, s:s?, s:i, s:I, s:I, s:I, s:I, s:I}", "class", r->class, "group",
                  r->group[0] ? r->group : NULL, "exit_code", run_report_exit_code(r->status), "wall_usec",
                  (json_int_t)r->wall_usec, "asked", (json_int_t)h->asked, "pauses", (json_int_t)h->pauses,
                  "paused_usec", (json_int_t)h->paused_usec, "processes_left", (json_int_t)r->processes_left);

    (void)json_object_set_new(o, "signal",
                              WIFSIGNALED(r->status) ? json_integer(WTERMSIG(r->status)) : json_null());
    (void)json_object_set_new(o, "peak_bytes",
                              r->peak_bytes > 0 ? json_integer((json_int_t)r->peak_bytes) : json_null());
    (void)json_object_set_new(o, "peak_at_least", json_boolean(r->peak_at_least));
    (void)json_object_set_new(o, "pause_why", h->pauses > 0 ? json_string(h->pause_why) : json_null());
    (void)json_object_set_new(o, "killed", json_boolean(h->kill_decision > 0));
    (void)json_object_set_new(o, "kill_why", h->kill_decision > 0 ? json_string(h->kill_why) : json_null());
    (void)json_object_set_new(
        o, "decision", h->kill_decision > 0 ? json_integer((json_int_t)h->kill_decision) : json_null());
    return o;
}
