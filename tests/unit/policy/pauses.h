/* Groups for the tests of who is paused and who goes on. */
#pragma once

#include "policy.h"

#include "policy/pause.h"

#define GROUPS_MAX 200

/* The classes of the tests, by index. */
enum {
    CLASS_BATCH,     /* 100, retriable */
    CLASS_WORK,      /* 100 */
    CLASS_SERVICE,   /* 800 */
    CLASS_SPARED,    /* 50, without pause in its actions */
    CLASS_PAIR,      /* 70, MinRunning=2 */
    CLASS_KEPT,      /* 60, retriable, without kill in its actions */
    CLASS_PROTECTED, /* 1000 */
    CLASS_OTHER,     /* 500 */
    CLASS_COUNT,
};

struct pauses {
    struct config c;
    struct snapshot s;
    struct room r;
    struct group groups[GROUPS_MAX];
    struct candidate candidates[GROUPS_MAX];
    struct pause_row rows[GROUPS_MAX];
    struct pause_scratch scratch;
    struct pause_state state;
    struct pause_plan plan;
};

static inline void pauses_classes(struct config *c)
{
    static const struct {
        const char *name;
        unsigned priority;
        bool retriable;
    } classes[CLASS_COUNT] = {
        [CLASS_BATCH] = {"batch", 100, true},
        [CLASS_WORK] = {"work", 100, false},
        [CLASS_SERVICE] = {"service", 800, false},
        [CLASS_SPARED] = {"spared", 50, true},
        [CLASS_PAIR] = {"pair", 70, true},
        [CLASS_KEPT] = {"kept", 60, true},
        [CLASS_PROTECTED] = {"protected", 1000, true},
        [CLASS_OTHER] = {CONFIG_CLASS_OTHER, 500, false},
    };

    config_init_defaults(c);
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        class_config_init(&c->classes[i], classes[i].name);
        c->classes[i].priority = classes[i].priority;
        c->classes[i].retriable = classes[i].retriable;
        c->classes[i].pause_limit_usec = class_pause_limit_default_usec(classes[i].retriable);
        if (i != CLASS_SPARED)
            c->classes[i].actions |= ACTION_BIT(ACTION_PAUSE);
    }
    c->classes[CLASS_KEPT].actions &= ~ACTION_BIT(ACTION_KILL);
    c->classes[CLASS_PAIR].min_running = 2;
    c->class_count = CLASS_COUNT;
}

#define PAUSES_NOW (100000 * USEC_PER_SEC)

/* On a node whose limit is 8 GiB, at level medium. */
static inline struct pauses *pauses_new(void)
{
    static struct pauses one;
    static bool filled;
    static struct config classes;

    if (!filled)
        pauses_classes(&classes);
    filled = true;
    one.c = classes;
    memset(&one.s, 0, sizeof(one.s));
    one.s.now_usec = PAUSES_NOW;
    one.s.node.total = NODE_TOTAL;
    one.s.groups = one.groups;
    one.s.group_max = GROUPS_MAX;
    one.s.groups_read = true;
    one.r = (struct room){
        .limit = NODE_LIMIT,
        .margin = NODE_MARGIN,
        .time_left_usec = UINT64_MAX,
        .level = LEVEL_MEDIUM,
    };
    one.scratch = (struct pause_scratch){one.rows, one.candidates, false};
    pause_state_init(&one.state);
    return &one;
}

/* A group of this class and age; its id is one more than its place. */
static inline struct group *pauses_add(struct pauses *t, unsigned class, uint64_t age_sec, uint64_t anon)
{
    unsigned n = t->s.group_count++;
    struct group *g = &t->groups[n];

    memset(g, 0, sizeof(*g));
    g->id = n + 1;
    g->class_index = class;
    g->birth_usec = t->s.now_usec - age_sec * USEC_PER_SEC;
    g->anon = anon;
    g->populated = true;
    return g;
}

/* One that says what it comes to. */
static inline struct group *pauses_want(struct pauses *t, unsigned class, uint64_t age_sec, uint64_t expected)
{
    struct group *g = pauses_add(t, class, age_sec, 100 * MIB);

    g->claims.has_request = true;
    g->claims.request_bytes = g->anon + expected;
    return g;
}

static inline struct group *pauses_paused(struct group *g, const struct pauses *t, uint64_t since_sec)
{
    g->paused = g->frozen = true;
    g->pause_since_usec = t->s.now_usec - since_sec * USEC_PER_SEC;
    return g;
}

/* What is left of the room beyond the least margin, before anything is expected. */
static inline void pauses_room(struct pauses *t, int64_t free_bytes)
{
    t->r.room = (int64_t)NODE_MARGIN + free_bytes;
}

static inline void pauses_plan(struct pauses *t)
{
    memset(&t->plan, 0xee, sizeof(t->plan));
    memset(t->rows, 0xee, t->s.group_count * sizeof(t->rows[0]));
    pause_make_plan(&t->c, &t->s, &t->r, &t->state, &t->scratch, &t->plan);
}

/* As the kernel would do it. */
static inline void pauses_apply(struct pauses *t)
{
    for (unsigned i = 0; i < t->plan.count; i++) {
        struct group *g = &t->groups[t->plan.steps[i].group_index];

        g->paused = g->frozen = t->plan.steps[i].act == PAUSE_ACT_PAUSE;
        g->dying = t->plan.steps[i].act == PAUSE_ACT_KILL;
        if (g->paused)
            g->pause_since_usec = t->s.now_usec;
    }
}

/* The plan in words, by ids: "-3 growth, +1 fits, !2 pause-limit". */
static inline const char *pauses_words(struct pauses *t)
{
    static char text[PAUSE_PLAN_MAX * 40];
    size_t n = 0;

    pauses_plan(t);
    text[0] = '\0';
    for (unsigned i = 0; i < t->plan.count; i++) {
        const struct pause_step *step = &t->plan.steps[i];

        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%c%u %s", i ? ", " : "", "-+!"[step->act],
                              (unsigned)t -> groups[step->group_index].id, pause_why_name(step->why));
    }
    return text;
}
