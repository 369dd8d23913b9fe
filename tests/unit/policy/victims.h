/* Groups for the tests of who is killed. */
#pragma once

#include "policy.h"

#include "policy/victim.h"

#define GROUPS_MAX 64

/* The classes of the tests, by index. */
enum {
    CLASS_BATCH,     /* 100, retriable */
    CLASS_WORK,      /* 100 */
    CLASS_SERVICE,   /* 800 */
    CLASS_SPARED,    /* 200, without kill in its actions */
    CLASS_PROTECTED, /* 1000 */
    CLASS_NEWEST,    /* 300, Order=newest */
    CLASS_OTHER,     /* 500 */
    CLASS_COUNT,
};

struct victims {
    struct config c;
    struct snapshot s;
    struct group groups[GROUPS_MAX];
    struct candidate candidates[GROUPS_MAX];
    struct cover_item items[GROUPS_MAX];
    struct victim_scratch scratch;
    struct victim_state state;
    struct decision d;
};

static inline void victims_classes(struct config *c)
{
    static const struct {
        const char *name;
        unsigned priority;
        bool retriable;
    } classes[CLASS_COUNT] = {
        [CLASS_BATCH] = {"batch", 100, true},
        [CLASS_WORK] = {"work", 100, false},
        [CLASS_SERVICE] = {"service", 800, false},
        [CLASS_SPARED] = {"spared", 200, true},
        [CLASS_PROTECTED] = {"protected", 1000, true},
        [CLASS_NEWEST] = {"newest", 300, false},
        [CLASS_OTHER] = {CONFIG_CLASS_OTHER, 500, false},
    };

    config_init_defaults(c);
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        class_config_init(&c->classes[i], classes[i].name);
        c->classes[i].priority = classes[i].priority;
        c->classes[i].retriable = classes[i].retriable;
    }
    c->classes[CLASS_SPARED].actions &= ~ACTION_BIT(ACTION_KILL);
    c->classes[CLASS_NEWEST].order = ORDER_NEWEST;
    c->class_count = CLASS_COUNT;
}

#define VICTIMS_NOW (10000 * USEC_PER_SEC)

static inline struct victims *victims_new(void)
{
    static struct victims one;

    memset(&one, 0, sizeof(one));
    victims_classes(&one.c);
    one.s.now_usec = VICTIMS_NOW;
    one.s.node.total = 64 * GIB;
    one.s.groups = one.groups;
    one.s.group_max = GROUPS_MAX;
    one.s.groups_read = true;
    one.scratch = (struct victim_scratch){one.candidates, one.items};
    return &one;
}

static inline int victims_setup(void **state)
{
    *state = victims_new();
    return 0;
}

/* A group of this class and age; its id is one more than its place, so that a later one is newer. */
static inline struct group *victims_add(struct victims *t, unsigned class, uint64_t age_sec, uint64_t anon)
{
    unsigned n = t->s.group_count++;
    struct group *g = &t->groups[n];

    *g = (struct group){
        .id = n + 1,
        .class_index = class,
        .birth_usec = t->s.now_usec - age_sec * USEC_PER_SEC,
        .anon = anon,
        .populated = true,
    };
    (void)snprintf(g->path, sizeof(g->path), "work.slice/group-%u", n + 1);
    return g;
}

/* On a node whose limit is 60 GiB. */
static inline void victims_choose(struct victims *t, uint64_t need)
{
    memset(&t->d, 0, sizeof(t->d));
    memset(t->candidates, 0xee, sizeof(t->candidates));
    t->d.time_usec = t->d.trigger.at_usec = t->s.now_usec;
    t->d.room.limit = 60 * GIB;
    t->d.room.need = need;
    t->d.room.margin = NODE_MARGIN;
    victim_choose(&t->c, &t->s, &t->state, &t->scratch, &t->d);
}

/* The decision ended: this much came back, and this much is needed now. */
static inline void victims_end(struct victims *t, uint64_t freed, uint64_t need_after)
{
    t->d.gone = t->d.victim_count;
    t->d.freed_bytes = freed;
    t->d.need_after = need_after;
    t->d.outcome_usec = USEC_PER_SEC / 10;
    victim_note_outcome(&t->d, &t->state, t->d.next_bytes);
    t->s.now_usec += USEC_PER_SEC / 10;
}

/* The ids of the victims, in order: "3 1". */
static inline const char *victims_ids(const struct decision *d)
{
    static char text[DECISION_VICTIMS_MAX * 24];
    size_t n = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < d->victim_count; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%ju", i ? " " : "", (uintmax_t)d->victims[i].id);
    return text;
}
