#include "policy/notify.h"

#include <string.h>

#include "base/macros.h"
#include "policy/pause.h"

/* Before anything is known: a quarter comes back, within a tenth of a second. */
#define FIRST_YIELD_PERMYRIAD 2500
#define FIRST_USEC (100 * USEC_PER_MSEC)
#define FRUITLESS_SHARE 64
#define FRUITLESS_LEAST_BYTES MIB
#define FRUITLESS_PAUSE_USEC USEC_PER_SEC
#define FRUITLESS_SHIFT_MAX 5
/* A program that was told nothing for so long takes it for calm. */
#define HOLD_USEC (10 * USEC_PER_SEC)
/* By as many the greatest user exceeds whom it makes room for: else the two would take turns. */
#define EVICT_MORE 2

void notify_estimate_init(struct notify_estimate *e)
{
    *e = (struct notify_estimate){.yield_permyriad = FIRST_YIELD_PERMYRIAD, .usec = FIRST_USEC};
}

void notify_state_init(struct notify_state *s, struct notify_client *clients, struct notify_user *users,
                       unsigned max)
{
    *s = (struct notify_state){.clients = clients, .users = users, .max = max};
    for (unsigned i = 0; i < CONFIG_CLASSES_MAX; i++)
        notify_estimate_init(&s->of[i]);
}

/* ---- places ---- */

static struct notify_user *user_find(struct notify_state *s, uint32_t uid)
{
    for (unsigned i = 0; i < s->user_count; i++)
        if (s->users[i].uid == uid)
            return &s->users[i];
    return NULL;
}

static void user_count(struct notify_state *s, uint32_t uid)
{
    struct notify_user *u = user_find(s, uid);

    if (!u) {
        u = &s->users[s->user_count++];
        *u = (struct notify_user){.uid = uid};
    }
    u->clients++;
}

static void user_discount(struct notify_state *s, uint32_t uid)
{
    struct notify_user *u = user_find(s, uid);

    if (u && --u->clients == 0)
        *u = s->users[--s->user_count];
}

/* True where a may rather be spared than b. */
static bool is_dearer(const struct notify_client *a, const struct notify_client *b)
{
    return a->gave_bytes != b->gave_bytes ? a->gave_bytes > b->gave_bytes : a->told_usec > b->told_usec;
}

static int evict(struct notify_state *s, uint32_t uid)
{
    const struct notify_user *mine = user_find(s, uid), *most = NULL;
    int least = -1;

    for (unsigned i = 0; i < s->user_count; i++)
        if (!most || s->users[i].clients > most->clients)
            most = &s->users[i];
    if (!most || most->clients < (mine ? mine->clients : 0) + EVICT_MORE)
        return -1;
    for (unsigned i = 0; i < s->max; i++)
        if (s->clients[i].uid == most->uid && (least < 0 || is_dearer(&s->clients[least], &s->clients[i])))
            least = (int)i;
    notify_leave(s, (unsigned)least);
    return least;
}

int notify_admit(struct notify_state *s, uint32_t uid, int32_t pid, bool *ret_evicted)
{
    struct notify_client *c;

    *ret_evicted = s->free == 0 && s->top == s->max;
    if (*ret_evicted && evict(s, uid) < 0) {
        *ret_evicted = false;
        return -1;
    }
    if (s->free != 0) {
        c = &s->clients[s->free - 1];
        s->free = c->next_free;
    } else {
        c = &s->clients[s->top++];
    }
    *c = (struct notify_client){.used = true, .uid = uid, .pid = pid};
    user_count(s, uid);
    s->count++;
    return (int)(c - s->clients);
}

void notify_leave(struct notify_state *s, unsigned place)
{
    struct notify_client *c = &s->clients[place];

    if (place >= s->max || !c->used)
        return;
    user_discount(s, c->uid);
    *c = (struct notify_client){.next_free = s->free};
    s->free = place + 1;
    s->count--;
}

/* ---- who is asked ---- */

bool notify_allows(const struct config *c, enum level level, unsigned class_index)
{
    const struct class_config *class = &c->classes[class_index];
    unsigned priority = (unsigned)u64_min(class->priority, CONFIG_PRIORITY_PROTECTED - 1);

    return (class->actions & ACTION_BIT(ACTION_NOTIFY)) != 0 &&
           level_allows(c, level, ACTION_NOTIFY, priority);
}

bool notify_is_news(const struct notify_client *c, enum level level, uint64_t now_usec)
{
    return c->told_usec == 0 || level > c->level || now_usec >= c->told_usec + HOLD_USEC;
}

static bool is_due(const struct notify_client *c, enum level level, uint64_t now_usec)
{
    return c->told_usec == 0 ||
           now_usec >= c->told_usec + (level > c->level ? NOTIFY_WORSE_USEC : NOTIFY_AGAIN_USEC);
}

typedef bool (*before_fn)(const struct notify_client *a, const struct notify_client *b);

static bool gave_more(const struct notify_client *a, const struct notify_client *b)
{
    return a->gave_bytes > b->gave_bytes;
}

static bool waits_longer(const struct notify_client *a, const struct notify_client *b)
{
    if (a->inside != b->inside)
        return a->inside;
    if (a->mute != b->mute)
        return b->mute;
    return a->told_usec < b->told_usec;
}

struct round {
    const struct config *config;
    struct notify_state *state;
    enum level level;
    uint64_t now_usec;
    bool others;
    bool allows[CONFIG_CLASSES_MAX];
};

static bool may_be_asked(const struct round *r, const struct notify_client *c)
{
    return c->used && !c->picked && (c->inside || r->others) && is_due(c, r->level, r->now_usec) &&
           r->allows[c->class_index];
}

/* Adds the first `max` of those who may be asked, in that order; of equal ones the one in the lower place. */
static unsigned pick(struct round *r, before_fn before, bool givers, unsigned *places, unsigned max)
{
    const struct notify_client *clients = r->state->clients;
    unsigned n = 0;

    for (unsigned i = 0; i < r->state->top && max > 0; i++) {
        const struct notify_client *c = &clients[i];
        unsigned at;

        if (!may_be_asked(r, c) || (givers && (c->gave_bytes == 0 || !c->inside || c->mute)) ||
            (n == max && !before(c, &clients[places[n - 1]])))
            continue;
        for (at = n < max ? n++ : max - 1; at > 0 && before(c, &clients[places[at - 1]]); at--)
            places[at] = places[at - 1];
        places[at] = i;
    }
    for (unsigned i = 0; i < n; i++)
        r->state->clients[places[i]].picked = true;
    return n;
}

unsigned notify_choose(const struct config *c, struct notify_state *s, enum level level, uint64_t now_usec,
                       bool others, unsigned *ret_places, unsigned max)
{
    struct round r = {.config = c, .state = s, .level = level, .now_usec = now_usec, .others = others};
    unsigned n;

    for (unsigned i = 0; i < c->class_count; i++)
        r.allows[i] = notify_allows(c, level, i);
    n = pick(&r, gave_more, true, ret_places, max / 2);
    n += pick(&r, waits_longer, false, ret_places + n, max - n);
    for (unsigned i = 0; i < n; i++)
        s->clients[ret_places[i]].picked = false;
    return n;
}

void notify_note_told(struct notify_client *c, enum level level, uint64_t now_usec)
{
    c->told_usec = now_usec;
    c->level = (uint8_t)level;
    c->mute = false;
}

void notify_note_passed(struct notify_client *c, uint64_t now_usec, bool mute)
{
    c->told_usec = now_usec;
    c->mute = mute;
}

/* ---- what it brings ---- */

static uint64_t quarter_towards(uint64_t from, uint64_t to)
{
    return to >= from ? from + (to - from) / 4 : from - (from - to) / 4;
}

void notify_note_gave(struct notify_client *c, uint64_t bytes)
{
    c->gave_bytes = c->gave_bytes == 0 ? bytes : quarter_towards(c->gave_bytes, bytes);
}

uint64_t notify_expected_bytes(const struct notify_state *s, unsigned class_index, uint64_t held_bytes,
                               uint64_t now_usec)
{
    const struct notify_estimate *e = &s->of[class_index];

    return now_usec < e->not_before_usec ? 0 : u64_mul_div(held_bytes, e->yield_permyriad, PERMYRIAD);
}

void notify_note_outcome(struct notify_state *s, unsigned class_index, uint64_t now_usec, uint64_t held_bytes,
                         uint64_t gave_bytes, uint64_t usec)
{
    struct notify_estimate *e = &s->of[class_index];
    uint64_t yield;

    if (held_bytes == 0)
        return;
    yield = u64_min(u64_mul_div(gave_bytes, PERMYRIAD, held_bytes), PERMYRIAD);
    e->yield_permyriad = (unsigned)quarter_towards(e->yield_permyriad, yield);
    if (gave_bytes >= u64_max(held_bytes / FRUITLESS_SHARE, FRUITLESS_LEAST_BYTES)) {
        e->usec = quarter_towards(e->usec, usec);
        e->fruitless = 0;
        return;
    }
    e->not_before_usec = now_usec + (FRUITLESS_PAUSE_USEC << u64_min(e->fruitless, FRUITLESS_SHIFT_MAX));
    e->fruitless++;
}
