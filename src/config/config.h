/* From a configuration file to struct config: grammar (inih with a reader of ours, since inih alone cuts long
 * lines and loses empty sections silently), units, patterns, validation. Strict: whatever is not understood
 * is an error with file:line and the nearest valid key; nothing is half applied: *ret is written only when
 * there is no error. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/macros.h"
#include "model/config.h"

#define CONFIG_MESSAGE_MAX 512
#define CONFIG_MESSAGES_MAX 16

struct config_messages {
    /* "FILE:LINE: …", or "FILE: …" about the file as a whole */
    char text[CONFIG_MESSAGES_MAX][CONFIG_MESSAGE_MAX];
    bool warning[CONFIG_MESSAGES_MAX];
    unsigned count;
    unsigned errors; /* including those that found no room; warnings make room for them */
};

/* Reads `path`. 0: *ret is whole and valid (there may be warnings); -EINVAL: errors in messages; other
 * negative errno: the file cannot be read (said in messages, too). */
int config_load(const char *path, struct config *ret, struct config_messages *messages) _nodiscard_;
/* The same from a stream; `name` stands for the path in messages. */
int config_load_stream(FILE *stream, const char *name, struct config *ret,
                       struct config_messages *messages) _nodiscard_;
