/* From configuration files to struct config: grammar (inih with a reader of ours, since inih alone cuts long
 * lines and loses empty sections silently), units, patterns, validation. Strict: whatever is not understood
 * is an error with file:line and the nearest valid key; nothing is half applied: *ret is written only when
 * there is no error.
 *
 * Beside a file FILE, the files of FILE.d whose names end in .conf are read after it, in the order of their
 * names (of their bytes, whatever the locale). What a later file says of a key replaces what earlier ones
 * said, lists included; a section of a class that is there amends it, and where it stands among the classes
 * stays; a new one is added behind the others. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/macros.h"
#include "model/config.h"

#define CONFIG_PATH_DEFAULT "/etc/headroom/headroom.conf"
#define CONFIG_MESSAGE_MAX 512
#define CONFIG_MESSAGES_MAX 16

struct config_origins;

struct config_messages {
    /* "FILE:LINE: …", or "FILE: …" about the file as a whole */
    char text[CONFIG_MESSAGES_MAX][CONFIG_MESSAGE_MAX];
    bool warning[CONFIG_MESSAGES_MAX];
    unsigned count;
    unsigned errors; /* including those that found no room; warnings make room for them */
};

/* Reads `path` and its drop-ins; NULL: CONFIG_PATH_DEFAULT, which need not be there. 0: *ret is whole and
 * valid (there may be warnings); -EINVAL: errors in messages; other negative errno: a file cannot be read
 * (said in messages, too). */
int config_load(const char *path, struct config *ret, struct config_messages *messages) _nodiscard_;
/* The same, with where each value comes from (NULL: not asked for). Where *ret_files is 0, there was no file
 * and all are defaults. */
int config_load_origins(const char *path, struct config *ret, struct config_origins *ret_origins,
                        unsigned *ret_files, struct config_messages *messages) _nodiscard_;
/* One file from a stream; `name` stands for the path in messages. */
int config_load_stream(FILE *stream, const char *name, struct config *ret,
                       struct config_messages *messages) _nodiscard_;
