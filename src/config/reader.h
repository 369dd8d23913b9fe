/* The lines of a configuration file, checked one by one and then handed to inih, and the messages about them:
 * a reader knows the file and the line that every message has to name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/macros.h"
#include "base/text.h"
#include "config/config.h"

#define READER_LINE_MAX 4096
#define READER_FILE_MAX (1U << 20)
#define READER_NAME_MAX 160

struct reader {
    FILE *stream;
    struct config_messages *messages;
    char name[READER_NAME_MAX]; /* of the file, as messages show it */
    unsigned line;              /* of what is being handled; 0: before the first */
    size_t bytes_read;
    int error; /* negative errno of a reading that failed */
    char buffer[READER_LINE_MAX];

    /* Who is told. `header` is what stands between the brackets, trimmed, or has a NULL `at` where that was
     * already reported as malformed; `value` is trimmed and may be empty. */
    void (*on_section)(void *user, struct text header);
    void (*on_key)(void *user, const char *name, const char *value);
    void *user;
};

/* `stream` may be NULL for a file that could not be opened: then only messages are made. Empties *messages.
 */
void reader_init(struct reader *r, FILE *stream, const char *name, struct config_messages *messages);

/* Goes on with another file; the messages stay. */
void reader_open(struct reader *r, FILE *stream, const char *name);

/* Reads to the end of the file. 0 also where lines were refused (that is in the messages); negative errno:
 * reading failed, said in the messages, too. */
int reader_run(struct reader *r) _nodiscard_;

/* A message about `line`, 0 for the file as a whole. Errors push out the latest warnings where room is short:
 * a warning must never be what hides the reason for which a file was refused. */
void reader_error_at(struct reader *r, unsigned line, const char *format, ...) _printf_(3, 4);
void reader_warning_at(struct reader *r, unsigned line, const char *format, ...) _printf_(3, 4);
#define reader_error(r, ...) reader_error_at((r), (r)->line, __VA_ARGS__)
#define reader_warning(r, ...) reader_warning_at((r), (r)->line, __VA_ARGS__)

/* Text of the file for a message: cut (and then ended by "...") so that one long value does not fill it. */
#define EXCERPT_MAX 96
const char *excerpt(char buf[static EXCERPT_MAX], struct text t);
