/* snprintf into storage of the caller, with the book-keeping that snprintf leaves to it. Once something was
 * cut, nothing more is added: a line with a hole in the middle would read as if it were whole. */
#include "base/buffer.h"

#include <stdio.h>
#include <string.h>

void buffer_init(struct buffer *b, char *storage, size_t size)
{
    *b = (struct buffer){.data = storage, .size = size};
    if (size > 0)
        storage[0] = '\0';
}

/* Bytes that still fit before the NUL. */
static size_t buffer_room(const struct buffer *b)
{
    if (b->cut || b->size == 0)
        return 0;
    return b->size - 1 - b->length;
}

void buffer_append_bytes(struct buffer *b, const char *at, size_t length)
{
    size_t room = buffer_room(b);

    if (length > room) {
        length = room;
        b->cut = true;
    }
    if (length == 0)
        return;
    memcpy(b->data + b->length, at, length);
    b->length += length;
    b->data[b->length] = '\0';
}

void buffer_append(struct buffer *b, const char *string)
{
    buffer_append_bytes(b, string, strlen(string));
}

void buffer_vappendf(struct buffer *b, const char *format, va_list ap)
{
    size_t room = buffer_room(b);
    int n;

    if (b->cut || b->size == 0) {
        b->cut = true;
        return;
    }

    n = vsnprintf(b->data + b->length, room + 1, format, ap);
    if (n < 0) {
        b->data[b->length] = '\0'; /* what a failed conversion left there is not specified */
        b->cut = true;
    } else if ((size_t)n > room) {
        b->length += room;
        b->cut = true;
    } else {
        b->length += (size_t)n;
    }
}

void buffer_appendf(struct buffer *b, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    buffer_vappendf(b, format, ap);
    va_end(ap);
}

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

static bool needs_quotes(const char *value)
{
    if (*value == '\0')
        return true; /* KEY= with nothing behind it would take the next key for its value in some readers */
    for (; *value; value++)
        if (*value == ' ' || *value == '"' || *value == '=' || is_control((unsigned char)*value))
            return true;
    return false;
}

/* Names of cgroups and commands are chosen by those who are guarded: without escapes they could forge whole
 * lines. */
void buffer_append_logfmt(struct buffer *b, const char *value)
{
    if (!needs_quotes(value)) {
        buffer_append(b, value);
        return;
    }

    buffer_append(b, "\"");
    for (; *value; value++) {
        switch (*value) {
        case '"':
            buffer_append(b, "\\\"");
            break;
        case '\\':
            buffer_append(b, "\\\\");
            break;
        case '\n':
            buffer_append(b, "\\n");
            break;
        case '\r':
            buffer_append(b, "\\r");
            break;
        case '\t':
            buffer_append(b, "\\t");
            break;
        default:
            if (is_control((unsigned char)*value))
                buffer_appendf(b, "\\u%04x", (unsigned)(unsigned char)*value);
            else
                buffer_append_bytes(b, value, 1);
        }
    }
    buffer_append(b, "\"");
}
