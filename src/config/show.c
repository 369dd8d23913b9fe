/* Keys that need a restart are all of [Node]; see config_keep_fixed(). */
#include "config/show.h"

#include <stdio.h>
#include <string.h>

/* 4 KiB each: too much for a stack that is locked. */
static struct config_value slot;
static char was[CONFIG_VALUE_MAX]; /* the old value of the one in the slot */

static const void *structure_of(const struct config *c, enum section section, unsigned index)
{
    switch (section) {
    case SECTION_MONITOR:
        return &c->monitor;
    case SECTION_CLASS:
        return &c->classes[index];
    case SECTION_LEVEL:
        return &c->levels[index];
    case SECTION_NODE:
    case SECTION_NONE:
        break;
    }
    return c;
}

static void begin_section(const struct config *c, enum section section, unsigned index)
{
    slot.class_name = section == SECTION_CLASS ? c->classes[index].name : NULL;
    if (section == SECTION_CLASS)
        (void)snprintf(slot.section, sizeof(slot.section), "[Class %s]", slot.class_name);
    else if (section == SECTION_LEVEL)
        (void)snprintf(slot.section, sizeof(slot.section), "[Level %s]", level_name((enum level)index));
    else
        (void)snprintf(slot.section, sizeof(slot.section), "%s", section_title(section));
}

static struct config_origin origin_of(const struct config_origins *o, const struct key *key, unsigned index)
{
    if (!o)
        return (struct config_origin){0, 0};
    if (key->section == SECTION_CLASS)
        return o->class_key[index][key_index(key)];
    if (key->section == SECTION_LEVEL)
        return o->level_key[index][key_index(key)];
    return o->key[key_index(key)];
}

static void each_pattern(const struct config *c, const struct config_origins *o, unsigned index,
                         config_value_fn fn, void *user)
{
    const struct class_config *class = &c->classes[index];

    for (unsigned i = 0; i < class->match_count; i++) {
        (void)snprintf(slot.value, sizeof(slot.value), "%s", class->match[i]);
        slot.set = true;
        slot.origin = o ? o->match[index][i] : (struct config_origin){0, 0};
        fn(user, &slot);
    }
}

static void each_of_section(const struct config *c, const struct config_origins *o, enum section section,
                            unsigned index, config_value_fn fn, void *user)
{
    const void *structure = structure_of(c, section, index);
    const struct key *key;

    begin_section(c, section, index);
    for (unsigned i = 0; (key = key_at(i)) != NULL; i++) {
        struct buffer b;

        if (key->section != section)
            continue;
        slot.key = key;
        if (key->repeatable) {
            each_pattern(c, o, index, fn, user);
            continue;
        }
        buffer_init(&b, slot.value, sizeof(slot.value));
        slot.set = key_format(key, structure, &b);
        slot.origin = origin_of(o, key, index);
        fn(user, &slot);
    }
}

void config_each_value(const struct config *c, const struct config_origins *origins, config_value_fn fn,
                       void *user)
{
    each_of_section(c, origins, SECTION_NODE, 0, fn, user);
    each_of_section(c, origins, SECTION_MONITOR, 0, fn, user);
    for (unsigned i = 0; i < c->class_count; i++)
        each_of_section(c, origins, SECTION_CLASS, i, fn, user);
    for (unsigned l = LEVEL_LOW; l < LEVEL_COUNT; l++)
        each_of_section(c, origins, SECTION_LEVEL, l, fn, user);
}

/* ---- what changed ---- */

static const char *or_none(const char *value, bool set)
{
    return !set ? "not set" : value[0] ? value : "empty";
}

/* The two values of a key, into `was` and the slot; true where they differ. */
static bool differs(const struct key *key, const void *before, const void *now, bool *ret_was_set)
{
    struct buffer b;

    buffer_init(&b, was, sizeof(was));
    *ret_was_set = key_format(key, before, &b);
    buffer_init(&b, slot.value, sizeof(slot.value));
    slot.set = key_format(key, now, &b);
    return *ret_was_set != slot.set || strcmp(was, slot.value) != 0;
}

static unsigned diff_section(const struct config *before, unsigned before_index, const struct config *now,
                             unsigned now_index, enum section section, struct buffer *lines)
{
    const struct key *key;
    unsigned n = 0;
    bool was_set;

    begin_section(now, section, now_index);
    for (unsigned i = 0; (key = key_at(i)) != NULL; i++) {
        if (key->section != section || !differs(key, structure_of(before, section, before_index),
                                                structure_of(now, section, now_index), &was_set))
            continue;
        buffer_appendf(lines, "%s %s=%s (it was %s)\n", slot.section, key->name,
                       slot.set ? slot.value : " is not set any more", or_none(was, was_set));
        n++;
    }
    return n;
}

static unsigned class_find(const struct config *c, const char *name)
{
    unsigned i = 0;

    while (i < c->class_count && strcmp(c->classes[i].name, name) != 0)
        i++;
    return i;
}

static unsigned diff_classes(const struct config *before, const struct config *now, struct buffer *lines)
{
    unsigned n = 0, last = 0;
    bool moved = false;

    for (unsigned i = 0; i < before->class_count; i++)
        if (class_find(now, before->classes[i].name) == now->class_count) {
            buffer_appendf(lines, "[Class %s] is gone\n", before->classes[i].name);
            n++;
        }
    for (unsigned i = 0; i < now->class_count; i++) {
        unsigned k = class_find(before, now->classes[i].name);

        if (k == before->class_count) {
            buffer_appendf(lines, "[Class %s] is new\n", now->classes[i].name);
            n++;
            continue;
        }
        moved = moved || k < last;
        last = k;
        n += diff_section(before, k, now, i, SECTION_CLASS, lines);
    }
    if (moved)
        buffer_append(lines, "The classes stand in another order; the first that matches wins\n");
    return n + moved;
}

unsigned config_diff(const struct config *before, const struct config *now, struct buffer *lines)
{
    unsigned n = diff_section(before, 0, now, 0, SECTION_NODE, lines) +
                 diff_section(before, 0, now, 0, SECTION_MONITOR, lines) + diff_classes(before, now, lines);

    for (unsigned l = LEVEL_LOW; l < LEVEL_COUNT; l++)
        n += diff_section(before, l, now, l, SECTION_LEVEL, lines);
    return n;
}

unsigned config_keep_fixed(const struct config *before, struct config *now, struct buffer *kept)
{
    const struct key *key;
    unsigned n = 0;
    bool was_set;

    for (unsigned i = 0; (key = key_at(i)) != NULL; i++) {
        if (!key->restart || !differs(key, before, now, &was_set))
            continue;
        buffer_appendf(kept, "%s %s=%s needs a restart of headroomd; until then it is %s\n",
                       section_title(key->section), key->name, slot.value, was);
        n++;
    }
    now->max_groups = before->max_groups;
    now->max_clients = before->max_clients;
    now->observe = before->observe;
    return n;
}
