/* A configuration while its files are read, one after the other: the values so far, and where each was said.
 * A later file may say a section again, and what it says replaces what the earlier ones said, key by key. */
#pragma once

#include "config/origins.h"

/* Where `other` waits until the number of classes before it is known. */
#define DRAFT_OTHER_SLOT (CONFIG_CLASSES_MAX - 1)

struct draft {
    struct config config;
    struct config_origins origins;
    struct reader reader;
    enum section section; /* in which the reader is */
    bool section_known;   /* false: its header was refused, so its keys cannot be judged and are skipped */
    struct class_config *class; /* in which the reader is */
    enum level level;           /* in which the reader is */
    struct config_origin node_section;
    struct config_origin monitor_section;
    struct config_origin level_section[LEVEL_COUNT];
    unsigned class_count; /* without `other` */
};

/* `name` is what messages about no file in particular are about. Empties *messages. */
void draft_init(struct draft *d, const char *name, struct config_messages *messages);
/* Reads one more file. Negative errno: reading failed; what is wrong in it is in the messages alone. */
int draft_read(struct draft *d, FILE *stream, const char *name) _nodiscard_;
/* Once all files are read (checks.c): what must hold between keys. */
void draft_check(struct draft *d);
/* Closes the gap before `other`. */
void draft_finish(struct draft *d);

/* The reader, set to the place that a message is about. */
struct reader *draft_at(struct draft *d, struct config_origin at);
/* The same, of a key of [Node] or [Monitor]. */
struct reader *draft_at_key(struct draft *d, const char *name);
const struct config_origin *draft_origin(const struct draft *d, const char *name);
const struct config_origin *draft_level_origin(const struct draft *d, enum level level, const char *name);
const struct config_origin *draft_class_origin(const struct draft *d, unsigned index, const char *name);
