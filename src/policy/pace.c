#include "policy/pace.h"

#include <string.h>

/* Of the tokens, for those who have nothing to write now: one of them may begin at any moment. */
#define IDLE_PART 4
/* Less is none: limits are in pages. Who cannot write a first one is never seen to want to. What all of them
 * take at once beyond the tokens is owed. */
#define LEAST_BYTES UINT64_C(4096)

/* By so much of it, of what is forgotten within `over_usec`. */
static uint64_t part(uint64_t bytes, uint64_t usec, uint64_t over_usec)
{
    return u64_mul_div(bytes, u64_min(usec, over_usec), over_usec);
}

/* What is charged is on its way out, or out, unless zswap has kept it; what is told beyond that has taken a
 * place that somebody left. */
static uint64_t count_told(struct pace_group *g, const struct pace_reading *in, uint64_t usec)
{
    uint64_t told = u64_sub_floor(in->written_bytes, g->written_bytes);
    uint64_t grew = in->zswap ? 0 : u64_sub_floor(in->charged_bytes, g->charged_bytes);
    uint64_t paid = u64_min(g->ahead_bytes + grew, told);

    g->ahead_bytes += grew - paid;
    g->ahead_bytes -= part(g->ahead_bytes, usec, PACE_TOLD_USEC);
    return u64_add_cap(grew, told - paid);
}

/* A place that is left is known before what came back from it. */
static uint64_t count_charged(struct pace_group *g, const struct pace_reading *in, uint64_t usec)
{
    uint64_t more = u64_add_cap(u64_sub_floor(in->charged_bytes, in->kept_bytes),
                                u64_sub_floor(in->returned_bytes, g->returned_bytes));
    uint64_t less = u64_add_cap(u64_sub_floor(g->charged_bytes, g->kept_bytes), g->lack_bytes);

    g->lack_bytes = u64_sub_floor(less, more);
    g->lack_bytes -= part(g->lack_bytes, usec, PACE_LACK_USEC);
    return u64_sub_floor(more, less);
}

static void note_back(struct pace_group *g, const struct pace_reading *in, uint64_t wrote, uint64_t usec)
{
    uint64_t left = u64_sub_floor(u64_add_cap(g->charged_bytes, wrote), in->charged_bytes);
    uint64_t rate = u64_mul_div(u64_min(left, wrote), USEC_PER_SEC, u64_max(usec, 1));

    g->back_per_sec -= part(g->back_per_sec, usec, PACE_BACK_USEC);
    g->back_per_sec = u64_max(g->back_per_sec, rate);
}

uint64_t pace_note_group(struct pace_group *g, const struct pace_reading *in)
{
    uint64_t usec = u64_sub_floor(in->now_usec, g->seen_usec), wrote = 0;

    if (g->seen_usec == 0) {
        if (in->born) /* its totals may be of an earlier life */
            wrote = u64_min(u64_sub_floor(in->charged_bytes, in->kept_bytes), in->written_bytes);
    } else {
        if ((in->written_bytes == UINT64_MAX) != (g->written_bytes == UINT64_MAX))
            wrote = u64_sub_floor(in->charged_bytes, g->charged_bytes);
        else if (in->written_bytes != UINT64_MAX)
            wrote = count_told(g, in, usec);
        else
            wrote = count_charged(g, in, usec);
        note_back(g, in, wrote, usec);
    }
    if (wrote > 0)
        g->wrote_usec = in->now_usec;
    g->seen_usec = in->now_usec;
    g->charged_bytes = in->charged_bytes;
    g->written_bytes = in->written_bytes;
    g->returned_bytes = in->returned_bytes;
    g->kept_bytes = in->kept_bytes;
    return wrote;
}

bool pace_wants(const struct pace_group *g, uint64_t now_usec)
{
    return g->wrote_usec != 0 && now_usec < g->wrote_usec + PACE_WANTS_USEC;
}

static void turn_minute(struct pace_class *c, uint64_t now_usec)
{
    uint64_t second = now_usec / USEC_PER_SEC;

    if (second >= c->second + PACE_MINUTE)
        memset(c->minute_bytes, 0, sizeof(c->minute_bytes));
    for (uint64_t s = c->second + 1; s <= second && s < c->second + PACE_MINUTE; s++)
        c->minute_bytes[s % PACE_MINUTE] = 0;
    c->second = u64_max(second, c->second);
}

void pace_note_class(struct pace_class *c, uint64_t limit_per_sec, uint64_t now_usec, uint64_t wrote_bytes)
{
    uint64_t debt;

    c->written_bytes = u64_add_cap(c->written_bytes, wrote_bytes);
    turn_minute(c, now_usec);
    c->minute_bytes[c->second % PACE_MINUTE] =
        u64_add_cap(c->minute_bytes[c->second % PACE_MINUTE], wrote_bytes);
    if (limit_per_sec == UINT64_MAX) { /* what was written without a limit is not owed under one */
        c->bucket = (struct bucket){0};
        return;
    }
    (void)bucket_fill(&c->bucket, limit_per_sec, PACE_DEPTH_USEC, now_usec, c->written_bytes);
    debt = u64_min(u64_mul_div(limit_per_sec, PACE_DEBT_USEC, USEC_PER_SEC), INT64_MAX);
    if (c->bucket.tokens_bytes < -(int64_t)debt)
        c->bucket.tokens_bytes = -(int64_t)debt;
}

bool pace_is_full(const struct pace_class *c, uint64_t limit_per_sec)
{
    return c->bucket.tokens_bytes >= 0 &&
           (uint64_t)c->bucket.tokens_bytes >= u64_mul_div(limit_per_sec, PACE_DEPTH_USEC, USEC_PER_SEC);
}

uint64_t pace_closed_usec(const struct pace_class *c, uint64_t limit_per_sec)
{
    if (c->bucket.tokens_bytes > 0)
        return 0;
    return limit_per_sec == 0
               ? UINT64_MAX
               : u64_mul_div((uint64_t)-c->bucket.tokens_bytes + 1, USEC_PER_SEC, limit_per_sec);
}

/* All of one group's, or shared: most of it by those who write. */
static uint64_t tokens_of(const struct pace_class *c, bool wants)
{
    uint64_t tokens = (uint64_t)c->bucket.tokens_bytes, idle = c->groups - c->wanting;

    if (c->groups == 0)
        return 0;
    if (c->wanting == 0 || idle == 0)
        return u64_max(tokens / c->groups, u64_min(tokens, LEAST_BYTES));
    if (wants)
        return (tokens - tokens / IDLE_PART) / c->wanting;
    return u64_max(tokens / IDLE_PART / idle, u64_min(tokens / IDLE_PART, LEAST_BYTES));
}

uint64_t pace_swap_max(const struct pace_class *c, const struct pace_group *g, uint64_t next_usec)
{
    uint64_t back = u64_mul_div(g->back_per_sec, next_usec, USEC_PER_SEC);

    if (c->bucket.tokens_bytes <= 0)
        return 0;
    return u64_sub_floor(u64_add_cap(g->charged_bytes, tokens_of(c, pace_wants(g, c->bucket.filled_usec))),
                         back);
}

uint64_t pace_minute(const struct pace_class *c, uint64_t now_usec)
{
    uint64_t second = now_usec / USEC_PER_SEC, sum = 0;

    for (uint64_t s = 0; s < PACE_MINUTE; s++)
        if (c->second >= s && c->second - s + PACE_MINUTE > second)
            sum = u64_add_cap(sum, c->minute_bytes[(c->second - s) % PACE_MINUTE]);
    return sum;
}
