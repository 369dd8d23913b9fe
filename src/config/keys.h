/* The keys of the configuration as one table: where each may stand, how its value is read and where it goes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/macros.h"
#include "base/text.h"
#include "config/reader.h"

#define KEYS_MAX 64

enum section {
    SECTION_NONE,
    SECTION_NODE,    /* values go to struct config */
    SECTION_MONITOR, /* struct monitor_config */
    SECTION_CLASS,   /* struct class_config */
    SECTION_LEVEL,   /* struct level_config */
};

/* One of a fixed set of words. */
struct choice {
    const char *word;
    unsigned value;
    bool later;
};

struct key {
    const char *name;
    enum section section;
    /* Reports what is wrong with the value and returns -EINVAL, or writes to `destination`. */
    int (*parse)(const struct key *key, struct reader *reader, struct text value, void *destination);
    /* Appends the value that *source holds, as it would be written in a file. False: it is not set, and
     * could not be written. */
    bool (*format)(const struct key *key, const void *source, struct buffer *b);
    size_t offset; /* of the destination in the structure of the section */
    bool unstored; /* checked only: there is no destination yet */
    bool later;    /* is understood, but what it asks for is not built in this version */
    bool
        restart; /* a reload keeps the old value: storage is sized by it, or what was started depends on it */
    bool repeatable;
    bool auto_allowed;
    bool empty_allowed;
    const struct choice *choices;
    unsigned unset; /* of choices and counts: the value that stands for "not set", plus 1; 0: there is none */
    const char *of; /* of amounts: what a percentage is of; NULL: memory */
    uint64_t min;   /* of counts and durations (µs); of bytes */
    uint64_t max;   /* of counts and durations; of a percentage in permyriad */
    const char *form;     /* what a value looks like; NULL: that follows from the fields above */
    const char *standard; /* the default in words; NULL: what config_init_defaults() gives */
    const char *help;     /* what it is for, and why the default is what it is */
};

/* "[Node]", "[Class NAME]", "[Level NAME]". */
const char *section_title(enum section section);

/* NULL: the section has no such key. */
const struct key *key_find(enum section section, struct text name);
/* Less than KEYS_MAX, different for each key. */
unsigned key_index(const struct key *key);
const struct key *key_at(unsigned index); /* NULL: there are no more */
/* The value that the structure of the key's section holds, as key.format. */
bool key_format(const struct key *key, const void *structure, struct buffer *b);
/* What a value looks like, its unit and its range, for people. */
void key_format_form(const struct key *key, struct buffer *b);
/* Reads the value into the structure of the key's section; a wrong one is reported and leaves the structure's
 * field as it was or, in a list, with the words before it. */
void key_set(const struct key *key, struct reader *reader, struct text value, void *structure);
/* Reports a key that `section` does not have, with what was probably meant. */
void key_report_unknown(struct reader *reader, enum section section, struct text name);

/* Whether somebody who wrote `name` may have meant `valid`; *ret_distance is smaller for a better guess. */
bool name_is_near(struct text name, const char *valid, unsigned *ret_distance);
