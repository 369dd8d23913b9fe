#include "policy/expect.h"

#include "base/units.h"

/* A group that ended so early came to nothing: it says nothing of its class. */
#define LIVED_LEAST_USEC USEC_PER_SEC
/* Two that come to the same differ by so much. */
#define SPREAD_PART 16

void expect_note_ended(struct expect_peak peaks[static CONFIG_CLASSES_MAX], const struct snapshot *s)
{
    for (unsigned i = 0; i < s->ended_count; i++) {
        const struct group_end *e = &s->ended[i];
        struct expect_peak *p = &peaks[e->class_index];
        uint64_t off;

        if (e->killed || e->lived_usec < LIVED_LEAST_USEC)
            continue;
        if (p->seen++ == 0) {
            *p = (struct expect_peak){.bytes = e->peak_bytes, .deviation = 0, .seen = 1};
            continue;
        }
        off = e->peak_bytes > p->bytes ? e->peak_bytes - p->bytes : p->bytes - e->peak_bytes;
        p->deviation = u64_towards(p->deviation, off, 8);
        p->bytes = u64_towards(p->bytes, e->peak_bytes, 8);
    }
}

uint64_t expect_held_bytes(const struct group *g)
{
    return u64_add_cap(u64_add_cap(u64_add_cap(g->anon, g->kernel), g->shmem), g->swap);
}

static uint64_t ahead(uint64_t rate)
{
    return u64_mul_div(rate, EXPECT_HORIZON_USEC, USEC_PER_SEC);
}

/* Until the first of a class has ended: the largest running one, where it has stopped growing, is what the
 * others are thought to come to; while it grows, at least that. One that is more than twice as large as all
 * others is no measure for them. *ret_settled: it has stopped. */
static uint64_t largest_of_class(const struct snapshot *s, unsigned class_index, bool *ret_settled)
{
    uint64_t largest = 0, second = 0;

    *ret_settled = false;
    for (unsigned i = 0; i < s->group_count; i++) {
        const struct group *g = &s->groups[i];
        uint64_t held = expect_held_bytes(g);
        bool settled = !g->frozen && !g->paused && ahead(g->rate) < held / 8;

        if (g->class_index != class_index || g->dying)
            continue;
        if (held <= largest) {
            *ret_settled |= held == largest && settled;
            second = u64_max(second, held);
            continue;
        }
        second = largest;
        largest = held;
        *ret_settled = settled;
    }
    return second == 0 ? largest : u64_min(largest, 2 * second);
}

/* The learned peak leaves room for one that comes out larger: half a mean deviation. A group that is given
 * too little is paused later, with its work kept; one that is given too much keeps others out all its life.
 */
void expect_class(const struct snapshot *s, unsigned class_index, const struct expect_peak *peak,
                  struct expect_size *ret)
{
    *ret = (struct expect_size){
        .bytes = u64_add_cap(peak->bytes, peak->deviation / 2), .settled = true, .learned = peak->seen > 0};
    ret->spread_bytes = peak->seen > 0 ? u64_max(peak->bytes / SPREAD_PART, 2 * peak->deviation) : 0;
    if (peak->seen == 0)
        ret->bytes = largest_of_class(s, class_index, &ret->settled);
}

/* It has had its time to grow, and does not: what others of its class come to says little of it any more. */
static bool has_settled(const struct group *g, const struct standing *st, uint64_t held)
{
    return !g->paused && st->age_usec >= GROUP_GROWTH_USEC && g->growth_bytes < held / 16;
}

/* What its rate speaks for. That is still the rate of its growth for some seconds after its end. */
static uint64_t beyond(const struct group *g, const struct standing *st, const struct expect_size *class,
                       uint64_t held)
{
    uint64_t more = ahead(g->rate), most = u64_add_cap(class->bytes, class->spread_bytes);

    if (st->request_bytes != GROUP_REQUEST_NONE || !class->learned || held >= most)
        return more;
    return u64_min(more, most - held);
}

/* What is only guessed from others counts for one that grows, or has just begun; who stands still at his size
 * is taken at it. */
uint64_t expect_growth_bytes(const struct group *g, const struct standing *st,
                             const struct expect_size *class)
{
    uint64_t held = expect_held_bytes(g), more = beyond(g, st, class, held), left;

    if (st->request_bytes != GROUP_REQUEST_NONE)
        left = u64_sub_floor(st->request_bytes, held);
    else
        left = u64_sub_floor(class->bytes, held);
    if (left > 0 &&
        (st->request_bytes != GROUP_REQUEST_NONE || (class->learned && !has_settled(g, st, held))))
        return left;
    if (st->request_bytes == GROUP_REQUEST_NONE && more < held / 16 && st->age_usec >= EXPECT_NEWBORN_USEC &&
        !g->paused)
        return more;
    return class->settled && left > 0 ? left : u64_max(left, more);
}

bool expect_runaway(const struct config *c, const struct snapshot *s, uint64_t limit, const struct group *g,
                    const struct standing *st)
{
    uint64_t rates = 0, second = 0, held = expect_held_bytes(g);

    if ((c->classes[g->class_index].actions & ACTION_BIT(ACTION_KILL)) == 0 || g->paused || g->frozen ||
        ahead(g->rate) < EXPECT_LEAST_BYTES)
        return false;
    for (unsigned i = 0; i < s->group_count; i++) {
        const struct group *other = &s->groups[i];

        if (other->paused || !other->frozen) /* of a paused one what it was */
            rates = u64_add_cap(rates, other->rate);
        if (other != g && other->class_index == g->class_index)
            second = u64_max(second, expect_held_bytes(other));
    }
    if (g->rate <= rates / 2)
        return false;
    return st->request_bytes != GROUP_REQUEST_NONE ? held > st->request_bytes
                                                   : held > 2 * second && held > limit / 4;
}
