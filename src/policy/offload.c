#include "policy/offload.h"

#include <string.h>

#define PPM UINT64_C(1000000)
#define START_PPM 500U /* of memory.current: TMO's reclaim ratio, here a second's */
#define CAP_PPM 10000U /* 1 % a second */
#define PROBE_PPM 83U  /* a second: TMO's ratio over TMO's six seconds */
#define PROBE_DOUBLE_USEC (15 * USEC_PER_SEC)
#define PROBE_DOUBLINGS_MAX 7
#define MEAN_USEC (10 * USEC_PER_SEC)
#define BACKGROUND_USEC (60 * USEC_PER_SEC)
#define CALM_INTERVAL_USEC (6 * USEC_PER_SEC) /* while nothing is asked, or next to nothing */
#define FELT_NOW 8                            /* times the threshold, within one step */
#define NEAR_PART 32                          /* this close to the edge is at it */
#define CONCAVE_PART 16                       /* of the distance to the edge, a second */
#define EDGE_RISE_PART 8 /* what comes back in a hold raises the edge by so much; more is another set */
#define HOLD_UNKNOWN_USEC (30 * USEC_PER_SEC) /* at most, where no edge is known */
/* Less than this taken says nothing of an edge: one huge page, of a new group. */
#define EDGE_TAKEN_PART 100
#define HARD_TO_FIND 8 /* pages looked at for one that is taken */
#define SCAN_LEAST 64
#define GROWS_PPM 10000 /* a second */
#define GROWS_LEAST_BYTES (4 * MIB)
/* Of less zswapped memory its ratio says nothing; of more, it has to save this share. */
#define ZSWAPPED_LEAST_BYTES (4 * MIB)
#define ZSWAPPED_LEAST_PART 64 /* of what is anonymous */
#define ZSWAP_SAVES_PERMYRIAD 2000
/* Of the limit, at most, in OFFLOAD_SLOTS: less than 1.2 times a minute's. */
#define WINDOW_MOST_USEC (69 * USEC_PER_SEC)
#define BURST_USEC (4 * 3600 * USEC_PER_SEC) /* how long one is remembered */

static const struct {
    const char *name;
    const char *text;
} whys[] = {
    [OFFLOAD_WHY_NEW] = {"new", "it has just been found"},
    [OFFLOAD_WHY_RATIO] = {"ratio", "it is as fast as its ratio"},
    [OFFLOAD_WHY_CAP] = {"cap", "no more than 1 % at a time"},
    [OFFLOAD_WHY_GATHERS] = {"gathers", "less than 64 pages are due: they gather"},
    [OFFLOAD_WHY_DEBT] = {"debt", "the kernel took more than it was asked for"},
    [OFFLOAD_WHY_MEMORY] = {"memory", "it waits for memory"},
    [OFFLOAD_WHY_IO] = {"io", "it waits for block devices"},
    [OFFLOAD_WHY_RETURNS] = {"returns", "what was taken comes back"},
    [OFFLOAD_WHY_HOLD] = {"hold", "it was felt a short while ago"},
    [OFFLOAD_WHY_EDGE] = {"edge", "it is near what it is known to need"},
    [OFFLOAD_WHY_GROWS] = {"grows", "it is growing"},
    [OFFLOAD_WHY_FLOOR] = {"floor", "the rest is protected, or cannot be reclaimed"},
    [OFFLOAD_WHY_BUDGET] = {"budget", "SwapWriteLimit is used up"},
    [OFFLOAD_WHY_INCOMPRESSIBLE] = {"incompressible", "zswap gains nothing with its memory"},
    [OFFLOAD_WHY_LEVEL] = {"level", "the node is not calm"},
};

const char *offload_why_name(enum offload_why w)
{
    return (size_t)w < ARRAY_SIZE(whys) ? whys[w].name : "?";
}

const char *offload_why_text(enum offload_why w)
{
    return (size_t)w < ARRAY_SIZE(whys) ? whys[w].text : "?";
}

static bool is_adaptive(const struct class_config *c)
{
    return c->offload_ratio_permyriad == CONFIG_OFFLOAD_ADAPTIVE;
}

/* What lies between two steps. */
struct gap {
    uint64_t usec;
    uint64_t memory_usec; /* stalls */
    uint64_t io_usec;
    uint64_t returned_bytes;
    uint64_t took_bytes;
    uint64_t grew_bytes; /* but for what came back */
    uint64_t scan_pages, steal_pages;
};

/* A mean that moves towards x by the share that the gap has of it and of the time that the mean is over. */
static uint64_t mean_over(uint64_t before, uint64_t x, uint64_t usec, uint64_t over_usec)
{
    return x >= before ? before + u64_mul_div(x - before, usec, usec + over_usec)
                       : before - u64_mul_div(before - x, usec, usec + over_usec);
}

static uint64_t mean(uint64_t before, uint64_t x, uint64_t usec)
{
    return mean_over(before, x, usec, MEAN_USEC);
}

static uint32_t ppm_of(uint64_t part_usec, uint64_t usec)
{
    return (uint32_t)u64_min(u64_mul_div(part_usec, PPM, u64_max(usec, 1)), PPM);
}

static struct gap measure(const struct offload_reading *in, struct offload_state *s)
{
    struct gap g = {
        .usec = u64_max(u64_sub_floor(in->now_usec, s->step_usec), 1),
        .memory_usec = u64_sub_floor(in->memory_some_usec, s->memory_some_usec),
        .io_usec = u64_sub_floor(in->io_some_usec, s->io_some_usec),
        .returned_bytes = u64_sub_floor(in->refault_bytes, s->refault_bytes),
        .took_bytes = s->took_bytes,
        .scan_pages = u64_sub_floor(in->scan_pages, s->scan_pages),
        .steal_pages = u64_sub_floor(in->steal_pages, s->steal_pages),
    };
    uint64_t per_sec = u64_mul_div(g.returned_bytes, USEC_PER_SEC, g.usec);

    g.grew_bytes = u64_sub_floor(u64_add_cap(in->current_bytes, g.took_bytes),
                                 u64_add_cap(s->current_bytes, g.returned_bytes));
    s->memory_ppm = (uint32_t)mean(s->memory_ppm, ppm_of(g.memory_usec, g.usec), g.usec);
    s->io_ppm = (uint32_t)mean(s->io_ppm, ppm_of(g.io_usec, g.usec), g.usec);
    s->background_per_sec = mean_over(s->background_per_sec, per_sec, g.usec,
                                      per_sec > s->background_per_sec ? BACKGROUND_USEC : MEAN_USEC);
    s->returned_per_sec = mean(s->returned_per_sec, per_sec, g.usec);
    s->taken_per_sec = mean(s->taken_per_sec, u64_mul_div(g.took_bytes, USEC_PER_SEC, g.usec), g.usec);
    s->returned_total_bytes = u64_add_cap(s->returned_total_bytes, g.returned_bytes);
    return g;
}

static void remember(const struct offload_reading *in, struct offload_state *s)
{
    s->step_usec = in->now_usec;
    s->memory_some_usec = in->memory_some_usec;
    s->io_some_usec = in->io_some_usec;
    s->refault_bytes = in->refault_bytes;
    s->scan_pages = in->scan_pages;
    s->steal_pages = in->steal_pages;
    s->current_bytes = in->current_bytes;
    s->took_bytes = s->asked_bytes = 0;
    s->file_bytes = in->file_bytes;
    s->zswapped_bytes = in->zswapped_bytes;
    s->zswap_bytes = in->zswap_bytes;
}

/* ---- the fixed law ---- */

/* The threshold as a time within the gap, so that nothing is lost by rounding. */
static uint64_t fixed_wanted(const struct class_config *c, const struct offload_reading *in,
                             const struct gap *g, struct offload_state *s)
{
    uint64_t may_usec = u64_mul_div(g->usec, c->offload_threshold_permyriad, PERMYRIAD);
    uint64_t stall_usec = u64_max(g->memory_usec, g->io_usec);
    uint64_t whole = u64_mul_div(in->current_bytes, c->offload_ratio_permyriad, PERMYRIAD);

    s->ratio_ppm = c->offload_ratio_permyriad * (uint32_t)(PPM / PERMYRIAD);
    s->why = OFFLOAD_WHY_RATIO;
    if (stall_usec < may_usec)
        return u64_mul_div(whole, may_usec - stall_usec, may_usec);
    s->why = g->memory_usec >= g->io_usec ? OFFLOAD_WHY_MEMORY : OFFLOAD_WHY_IO;
    return 0;
}

/* ---- the adaptive law ---- */

enum feeling {
    FEELS_NOTHING,
    FEELS_SOME, /* a quarter of it comes back, or cold pages are hard to find */
    FEELS_MUCH,
};

static uint64_t threshold_ppm(const struct class_config *c)
{
    return c->offload_threshold_permyriad * (PPM / PERMYRIAD);
}

static enum feeling feels(const struct class_config *c, const struct gap *g, struct offload_state *s)
{
    uint64_t threshold = threshold_ppm(c);
    uint64_t memory = u64_max(s->memory_ppm, ppm_of(g->memory_usec, g->usec) / FELT_NOW);
    uint64_t io = u64_max(s->io_ppm, ppm_of(g->io_usec, g->usec) / FELT_NOW);
    /* What comes back no more is over, however much it was: after a hold it would be held for again. */
    uint64_t returned = u64_min(s->returned_per_sec, u64_mul_div(g->returned_bytes, USEC_PER_SEC, g->usec));
    uint64_t excess = u64_sub_floor(returned, s->background_per_sec);
    bool taking = s->taken_per_sec * MEAN_USEC / USEC_PER_SEC >= OFFLOAD_LEAST_BYTES;
    enum feeling f = FEELS_NOTHING;

    if (u64_max(memory, io) >= threshold || (taking && excess > s->taken_per_sec / 2))
        f = FEELS_MUCH;
    else if ((taking && excess > s->taken_per_sec / 4) ||
             (g->scan_pages >= SCAN_LEAST && g->scan_pages / HARD_TO_FIND >= g->steal_pages))
        f = FEELS_SOME;
    if (f != FEELS_NOTHING)
        s->why = u64_max(memory, io) < threshold ? OFFLOAD_WHY_RETURNS
                 : memory >= io                  ? OFFLOAD_WHY_MEMORY
                                                 : OFFLOAD_WHY_IO;
    return f;
}

/* Whether what is felt is of what was taken. Where far more comes back, it has turned to other memory than
 * before, and where hardly any does, it waits for something else: neither says how much it needs. */
static bool is_ours(const struct offload_state *s)
{
    return s->returned_per_sec <= 4 * s->taken_per_sec && s->returned_per_sec >= s->taken_per_sec / 16;
}

/* What was taken since the last hold is felt. Of the first time it says nothing where the kernel has taken
 * far more than it was asked for: memory that it had never looked at, and so what it came to first. Debt is
 * worked off at a step's pace, so it is known for a while. */
static bool is_edge(const struct offload_state *s, const struct offload_reading *in)
{
    uint64_t part = in->current_bytes / EDGE_TAKEN_PART;
    bool first = s->hold_took_bytes == 0;

    return is_ours(s) && s->took_total_bytes > s->hold_took_bytes && !(first && s->debt_bytes >= part / 2) &&
           s->taken_per_sec * MEAN_USEC / USEC_PER_SEC >= part;
}

/* It doubles for what was taken since the last one, and not while that is still felt. */
static void hold(struct offload_state *s, uint64_t now_usec)
{
    bool again = now_usec < u64_add_cap(s->hold_until_usec, 2 * s->hold_usec);
    bool ours = s->took_total_bytes > s->hold_took_bytes;
    uint64_t most = s->edge_bytes > 0 ? OFFLOAD_HOLD_MOST_USEC : HOLD_UNKNOWN_USEC;

    if (!again)
        s->hold_usec = OFFLOAD_HOLD_LEAST_USEC;
    else if (ours)
        s->hold_usec = u64_max(u64_min(2 * s->hold_usec, most), OFFLOAD_HOLD_LEAST_USEC);
    s->hold_until_usec = now_usec + (ours || !again ? s->hold_usec : OFFLOAD_HOLD_LEAST_USEC);
    s->hold_took_bytes = s->took_total_bytes;
    s->ratio_ppm = START_PPM;
    s->pending_bytes = 0;
    s->probe_usec = 0;
}

static bool is_held(const struct offload_state *s, uint64_t now_usec)
{
    return s->hold_until_usec != 0 && now_usec < s->hold_until_usec;
}

static void adjust_ratio(struct offload_state *s, enum feeling f, uint64_t usec)
{
    uint64_t ratio = u64_max(s->ratio_ppm, START_PPM);

    if (f == FEELS_SOME)
        ratio /= 2;
    else /* e^x by its first two terms: doubled in OFFLOAD_DOUBLE_USEC, by parts */
        ratio += u64_mul_div(ratio, u64_min(usec, OFFLOAD_DOUBLE_USEC), OFFLOAD_DOUBLE_USEC);
    s->ratio_ppm = (uint32_t)u64_min(u64_max(ratio, START_PPM), CAP_PPM);
}

/* What is probed with at the edge, a second. */
static uint64_t probe_ppm(const struct offload_state *s, uint64_t now_usec)
{
    uint64_t doublings = u64_sub_floor(now_usec, s->probe_usec) / PROBE_DOUBLE_USEC;

    return PROBE_PPM << (doublings < PROBE_DOUBLINGS_MAX ? doublings : PROBE_DOUBLINGS_MAX);
}

/* How much a second, by where the edge is. */
static uint64_t adaptive_per_sec(const struct offload_reading *in, struct offload_state *s, enum feeling f)
{
    uint64_t above = u64_sub_floor(in->current_bytes, s->edge_bytes);
    uint64_t full = u64_mul_div(in->current_bytes, s->ratio_ppm, PPM);
    uint64_t probe;

    if (s->edge_bytes == 0) {
        s->why = f == FEELS_SOME ? s->why : s->ratio_ppm == CAP_PPM ? OFFLOAD_WHY_CAP : OFFLOAD_WHY_RATIO;
        return full;
    }
    if (above > s->edge_bytes / NEAR_PART) {
        s->probe_usec = 0;
        if (f == FEELS_NOTHING)
            s->why = full <= above / CONCAVE_PART ? OFFLOAD_WHY_RATIO : OFFLOAD_WHY_EDGE;
        return u64_min(full, above / CONCAVE_PART);
    }
    if (s->probe_usec == 0 || f == FEELS_SOME)
        s->probe_usec = in->now_usec;
    probe = u64_mul_div(in->current_bytes, probe_ppm(s, in->now_usec), PPM);
    s->edge_bytes = u64_min(s->edge_bytes, in->current_bytes); /* it was passed, and nobody minded */
    if (f == FEELS_NOTHING)
        s->why = OFFLOAD_WHY_EDGE;
    return probe;
}

static uint64_t adaptive_wanted(const struct class_config *c, const struct offload_reading *in,
                                const struct gap *g, struct offload_state *s)
{
    /* What lies before the end of a hold was no time to take anything in. */
    uint64_t most = s->hold_until_usec > s->step_usec ? c->offload_interval_usec : CALM_INTERVAL_USEC;
    uint64_t usec = u64_min(g->usec, most), felt, wanted;
    enum feeling f;

    if (s->hold_until_usec > s->step_usec) /* what was due before it is not due after it */
        s->pending_bytes = 0;
    if (is_held(s, in->now_usec)) {
        s->why = OFFLOAD_WHY_HOLD;
        return 0;
    }
    f = feels(c, g, s);
    if (f == FEELS_MUCH) {
        if (is_edge(s, in))
            s->edge_bytes = in->current_bytes;
        hold(s, in->now_usec);
        return 0;
    }
    /* What it has come back to in the hold is what it needs, unless it has turned to something else. */
    if (s->hold_until_usec > s->step_usec && s->edge_bytes > 0)
        s->edge_bytes = in->current_bytes > s->edge_bytes + s->edge_bytes / EDGE_RISE_PART
                            ? 0
                            : u64_max(s->edge_bytes, in->current_bytes);
    if (g->grew_bytes >=
        u64_max(u64_mul_div(u64_mul_div(in->current_bytes, GROWS_PPM, PPM), g->usec, USEC_PER_SEC),
                GROWS_LEAST_BYTES)) {
        s->ratio_ppm = START_PPM;
        s->pending_bytes = 0;
        s->why = OFFLOAD_WHY_GROWS;
        return 0;
    }
    adjust_ratio(s, f, usec);
    felt = u64_max(s->memory_ppm, s->io_ppm);
    wanted = u64_mul_div(adaptive_per_sec(in, s, f), usec, USEC_PER_SEC);
    return u64_mul_div(wanted, u64_sub_floor(threshold_ppm(c), felt), threshold_ppm(c));
}

/* ---- both ---- */

static bool is_incompressible(const struct offload_reading *in)
{
    uint64_t anon = u64_add_cap(in->anon_bytes, in->zswapped_bytes);

    return in->zswapped_bytes >= u64_max(ZSWAPPED_LEAST_BYTES, anon / ZSWAPPED_LEAST_PART) &&
           in->zswap_bytes > u64_mul_div(in->zswapped_bytes, PERMYRIAD - ZSWAP_SAVES_PERMYRIAD, PERMYRIAD);
}

/* Whether anonymous memory is to be left alone, and why. */
static bool spares_anon(const struct offload_reading *in, enum offload_why *ret)
{
    if (in->swap_room_bytes == 0 && !in->swap_pointless) /* then the kernel does not touch it either */
        return false;
    if (in->swap_pointless || is_incompressible(in))
        *ret = OFFLOAD_WHY_INCOMPRESSIBLE;
    else if (in->budget_bytes < OFFLOAD_LEAST_BYTES)
        *ret = OFFLOAD_WHY_BUDGET;
    else
        return false;
    return true;
}

/* What may be taken of it at all. */
static uint64_t takable(const struct offload_reading *in, bool file_only)
{
    uint64_t anon = file_only ? 0 : u64_min(in->anon_bytes, in->swap_room_bytes);
    uint64_t kept = u64_max(in->protection_bytes, OFFLOAD_KEEP_BYTES);

    return u64_min(u64_sub_floor(in->current_bytes, kept), u64_add_cap(in->file_bytes, anon));
}

static struct offload_request gather(const struct offload_reading *in, struct offload_state *s,
                                     uint64_t wanted, bool forgives)
{
    uint64_t cap = u64_mul_div(in->current_bytes, OFFLOAD_STEP_PERMYRIAD, PERMYRIAD);
    struct offload_request r = {0};
    enum offload_why spared = s->why;
    uint64_t paid, most;

    if (wanted > cap)
        s->why = OFFLOAD_WHY_CAP;
    s->wanted_bytes = u64_min(wanted, cap);
    s->pending_bytes =
        u64_min(u64_add_cap(s->pending_bytes, s->wanted_bytes), u64_max(cap, OFFLOAD_LEAST_BYTES));
    if (forgives)
        s->debt_bytes = u64_min(s->debt_bytes, cap);
    paid = u64_min(s->debt_bytes, s->pending_bytes);
    s->debt_bytes -= paid;
    s->pending_bytes -= paid;
    if (wanted == 0) /* nothing is wanted for what is felt: what has gathered is for later, if it is little */
        s->pending_bytes = u64_min(s->pending_bytes, OFFLOAD_LEAST_BYTES);
    if (wanted == 0 || s->pending_bytes < OFFLOAD_LEAST_BYTES) {
        if (s->wanted_bytes > 0)
            s->why = s->debt_bytes > 0            ? OFFLOAD_WHY_DEBT
                     : s->why == OFFLOAD_WHY_EDGE ? OFFLOAD_WHY_EDGE
                                                  : OFFLOAD_WHY_GATHERS;
        return r;
    }
    r.file_only = spares_anon(in, &spared);
    if (r.file_only) {
        s->why = spared;
        if (!in->file_only_possible)
            return r;
    }
    most = takable(in, r.file_only);
    if (most < s->pending_bytes && !r.file_only)
        s->why = OFFLOAD_WHY_FLOOR;
    if (!r.file_only && in->swap_room_bytes > 0 && in->budget_bytes < u64_min(most, s->pending_bytes)) {
        s->why = OFFLOAD_WHY_BUDGET;
        most = in->budget_bytes;
    }
    r.bytes = u64_min(most, s->pending_bytes) / OFFLOAD_PAGE * OFFLOAD_PAGE;
    if (r.bytes < OFFLOAD_LEAST_BYTES) {
        r.bytes = 0;
        s->pending_bytes = u64_min(s->pending_bytes, OFFLOAD_LEAST_BYTES);
        return r;
    }
    s->pending_bytes -= r.bytes;
    return r;
}

struct offload_request offload_step(const struct class_config *c, const struct offload_reading *in,
                                    struct offload_state *s)
{
    struct offload_request r = {0};
    struct gap g;

    if (s->step_usec == 0) {
        remember(in, s);
        s->why = OFFLOAD_WHY_NEW;
    } else {
        g = measure(in, s);
        r = is_adaptive(c) ? gather(in, s, adaptive_wanted(c, in, &g, s), true)
                           : gather(in, s, fixed_wanted(c, in, &g, s), false);
        remember(in, s);
    }
    s->asked_bytes = r.bytes;
    s->due_usec = in->now_usec + offload_interval_usec(c, s);
    return r;
}

uint64_t offload_interval_usec(const struct class_config *c, const struct offload_state *s)
{
    bool probes = s->probe_usec != 0 && s->why != OFFLOAD_WHY_CAP; /* a step takes no more than its cap */
    bool slow = is_held(s, s->step_usec) || probes || s->why == OFFLOAD_WHY_FLOOR;
    uint64_t usec = c->offload_interval_usec;

    if (!is_adaptive(c) || !slow)
        return usec;
    usec = u64_max(usec, CALM_INTERVAL_USEC);
    return is_held(s, s->step_usec) ? u64_min(usec, s->hold_until_usec - s->step_usec) : usec;
}

uint64_t offload_due_usec(const struct class_config *c, const struct offload_state *s)
{
    if (s->step_usec == 0 || s->hold_until_usec > s->step_usec)
        return s->due_usec;
    return u64_min(s->due_usec, u64_add_cap(s->step_usec, offload_interval_usec(c, s)));
}

void offload_note_outcome(struct offload_state *s, uint64_t requested_bytes, uint64_t asked_bytes,
                          uint64_t took_bytes, uint64_t swapped_bytes)
{
    s->debt_bytes = u64_add_cap(s->debt_bytes, u64_sub_floor(took_bytes, asked_bytes));
    s->pending_bytes = u64_add_cap(s->pending_bytes, u64_sub_floor(requested_bytes, asked_bytes));
    s->took_bytes = u64_add_cap(s->took_bytes, took_bytes);
    s->asked_total_bytes = u64_add_cap(s->asked_total_bytes, asked_bytes);
    s->took_total_bytes = u64_add_cap(s->took_total_bytes, took_bytes);
    s->swapped_total_bytes = u64_add_cap(s->swapped_total_bytes, swapped_bytes);
}

void offload_back_off(struct offload_state *s, uint64_t now_usec, enum offload_why why)
{
    if (s->step_usec == 0)
        return;
    s->why = why;
    if (is_held(s, now_usec))
        return;
    hold(s, now_usec);
    s->due_usec = s->hold_until_usec;
}

/* ---- what may be written ---- */

/* What a request swaps can be far more than what was asked for, and a minute can end with it. So there is
 * room for another one, a quarter larger than the largest that has been seen: with a limit of 1 MiB a second,
 * 36 MiB at the end of a minute that has had 33 after one of 28. What is larger than all has a minute for
 * itself. */
static void note_window(struct offload_bucket *b, uint64_t limit_per_sec, uint64_t gap_usec,
                        uint64_t now_usec, uint64_t wrote)
{
    uint64_t slot = now_usec / OFFLOAD_SLOT_USEC, most, written = 0;
    bool idle;

    for (uint64_t s = u64_max(b->slot + 1, u64_sub_floor(slot, OFFLOAD_SLOTS - 1)); s <= slot; s++)
        b->slot_bytes[s % OFFLOAD_SLOTS] = 0;
    b->slot = slot;
    b->slot_bytes[slot % OFFLOAD_SLOTS] = u64_add_cap(b->slot_bytes[slot % OFFLOAD_SLOTS], wrote);
    b->burst_bytes -= u64_mul_div(b->burst_bytes, gap_usec, u64_add_cap(gap_usec, BURST_USEC));
    for (unsigned i = 0; i < OFFLOAD_SLOTS; i++)
        written = u64_add_cap(written, b->slot_bytes[i]);
    most = u64_mul_div(limit_per_sec, WINDOW_MOST_USEC, USEC_PER_SEC);
    idle = written == 0;
    written = u64_add_cap(written, u64_mul_div(b->burst_bytes, 5, 4));
    b->window_bytes = idle ? UINT64_MAX : u64_sub_floor(most, written);
}

void offload_bucket_fill(struct offload_bucket *b, uint64_t limit_per_sec, uint64_t now_usec,
                         uint64_t written_bytes)
{
    bool fresh = b->tokens.filled_usec == 0;
    uint64_t gap_usec = u64_sub_floor(now_usec, b->tokens.filled_usec);
    /* Of a small limit, what the least request takes. */
    uint64_t depth_usec = u64_max(
        OFFLOAD_BUCKET_USEC, u64_mul_div(OFFLOAD_LEAST_BYTES, USEC_PER_SEC, u64_max(limit_per_sec, 1)) + 1);
    uint64_t wrote = bucket_fill(&b->tokens, limit_per_sec, depth_usec, now_usec, written_bytes);
    uint64_t share;

    note_window(b, limit_per_sec, gap_usec, now_usec, wrote);
    if (fresh) {
        b->share_permyriad = (unsigned)PERMYRIAD;
    } else if (b->asked_bytes > 0) {
        share = u64_min(u64_mul_div(wrote, PERMYRIAD, b->asked_bytes), PERMYRIAD);
        share = u64_max(share, b->share_permyriad - b->share_permyriad / 8);
        b->share_permyriad = (unsigned)u64_max(share, OFFLOAD_SHARE_LEAST);
    }
    b->asked_bytes = 0;
}

void offload_bucket_note_asked(struct offload_bucket *b, uint64_t bytes)
{
    b->asked_bytes = u64_add_cap(b->asked_bytes, bytes);
}

void offload_bucket_note_swapped(struct offload_bucket *b, uint64_t bytes)
{
    b->burst_bytes = u64_max(b->burst_bytes, bytes);
}

uint64_t offload_bucket_may_ask(const struct offload_bucket *b)
{
    int64_t left = b->tokens.tokens_bytes - (int64_t)u64_min(b->asked_bytes, INT64_MAX / 4);

    return left <= 0 ? 0
                     : u64_min(u64_mul_div((uint64_t)left, PERMYRIAD, b->share_permyriad), b->window_bytes);
}
