/* Text appended into storage of the caller. Overflow never writes outside and is remembered, so that a line
 * is either whole or known to be cut: the loop process formats log lines and messages without the heap. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

struct buffer {
    char *data; /* always ends in NUL where size > 0 */
    size_t size;
    size_t length;
    bool cut; /* something did not fit */
};

void buffer_init(struct buffer *b, char *storage, size_t size);
void buffer_append(struct buffer *b, const char *string);
void buffer_append_bytes(struct buffer *b, const char *at, size_t length);
void buffer_appendf(struct buffer *b, const char *format, ...) _printf_(2, 3);
void buffer_vappendf(struct buffer *b, const char *format, va_list ap) _printf_(2, 0);

/* A logfmt value: quoted where it holds blanks, quotes, '=' or control characters, which are escaped. */
void buffer_append_logfmt(struct buffer *b, const char *value);
