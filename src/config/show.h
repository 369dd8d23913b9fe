/* A configuration as a list of keys with their values: what `headroom config show` prints, and what changed
 * between two. */
#pragma once

#include "base/buffer.h"
#include "config/origins.h"

#define CONFIG_VALUE_MAX 4352 /* the patterns of a class in one line */

struct config_value {
    char section[CONFIG_NAME_MAX + 16]; /* "[Class batch]" */
    const char *class_name;             /* NULL: not of a class */
    const struct key *key;
    char value[CONFIG_VALUE_MAX];
    bool set;                    /* false: there is no value, and none could be written */
    struct config_origin origin; /* file 0: the default */
};

/* Every key of every section, in the order of the table; a pattern of Match= at a time. `origins` may be
 * NULL. Not for two threads at a time: the value is in storage of the function. */
typedef void (*config_value_fn)(void *user, const struct config_value *v);
void config_each_value(const struct config *c, const struct config_origins *origins, config_value_fn fn,
                       void *user);

/* Puts those values of the old one that only a restart can change into the new one, with a line for each into
 * `kept`; returns how many. */
unsigned config_keep_fixed(const struct config *before, struct config *now, struct buffer *kept);
/* A line for each value that is another one now; returns how many. No heap. */
unsigned config_diff(const struct config *before, const struct config *now, struct buffer *lines);
