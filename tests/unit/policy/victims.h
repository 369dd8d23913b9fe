/* Groups for the tests of who is killed. */
#pragma once

#include "policy.h"

#include "policy/victim.h"

#define GROUPS_MAX 64

/* The classes of the tests, by index. */
enum {
    CLASS_BATCH,   /* 100, retriable */
    CLASS_WORK,    /* 100 */
    CLASS_SERVICE, /* 800 */
    CLASS_SPARED,  /* 200, without kill in its actions */
    CLASS_PROTECTED /* 1000 */,
    CLASS_OTHER, /* 500 */
    CLASS_COUNT,
};

struct victims {
    struct config c;
    struct snapshot s;
    struct group groups[GROUPS_MAX];
    struct decision d;
};

static inline void victims_classes(struct config *c)
{
    static const struct {
        const char *name;
        unsigned priority;
        bool retriable;
    } classes[CLASS_COUNT] = {
        {"batch", 100, true},  {"work", 100, false},      {"service", 800, false},
        {"spared", 200, true}, {"protected", 1000, true}, {CONFIG_CLASS_OTHER, 500, false},
    };

    config_init_defaults(c);
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        class_config_init(&c->classes[i], classes[i].name);
        c->classes[i].priority = classes[i].priority;
        c->classes[i].retriable = classes[i].retriable;
    }
    c->classes[CLASS_SPARED].actions &= ~ACTION_BIT(ACTION_KILL);
    c->class_count = CLASS_COUNT;
}

static inline int victims_setup(void **state)
{
    static struct victims one;

    memset(&one, 0, sizeof(one));
    victims_classes(&one.c);
    one.s.now_usec = 10000 * USEC_PER_SEC;
    one.s.groups = one.groups;
    one.s.group_max = GROUPS_MAX;
    one.s.groups_read = true;
    *state = &one;
    return 0;
}

/* A group of this class, born at this second; its id is one more than its place. */
static inline struct group *victims_add(struct victims *t, unsigned class, uint64_t birth_sec, uint64_t anon)
{
    unsigned n = t->s.group_count++;
    struct group *g = &t->groups[n];

    *g = (struct group){
        .id = n + 1,
        .class_index = class,
        .birth_usec = birth_sec * USEC_PER_SEC,
        .anon = anon,
        .populated = true,
    };
    (void)snprintf(g->path, sizeof(g->path), "work.slice/group-%u", n + 1);
    return g;
}

static inline void victims_choose(struct victims *t, uint64_t need, uint64_t margin)
{
    memset(&t->d, 0, sizeof(t->d));
    t->d.room.need = need;
    t->d.room.margin = margin;
    victim_choose(&t->c, &t->s, &t->d);
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
