/* inih splits "Key=value" and is in every distribution, but left alone it accepts too much: it cuts a long
 * line in two and takes the rest for another key, cuts long names, drops empty sections, reads "Key: value"
 * and indented continuation lines, and silently ends a value at " ;". How long a line may be and what starts
 * a comment is decided when the library is built, so the same file could mean different things on two
 * machines. Therefore each line is read and judged here, and inih sees nothing but plain assignments that
 * mean the same to every build of it.
 *
 * The rules: one section header, one assignment or one comment a line, from its first column on. A comment
 * starts with
 * '#' or ';' at the start of a line, or with a '#' behind a blank. */
#include "config/reader.h"

#include <errno.h>
#include <ini.h>
#include <stdint.h>
#include <string.h>

#include "base/buffer.h"

/* Only Debian's build lets programs raise its limit of 200 bytes a line; elsewhere the symbol is absent, the
 * limit is what the library was built with, and a longer line is refused with that number. */
extern int ini_max_line __attribute__((weak));

/* The end of what fits into `max` bytes without cutting a character. */
static size_t utf8_cut(const char *at, size_t length, size_t max)
{
    if (length <= max)
        return length;
    while (max > 0 && ((unsigned char)at[max] & 0xc0) == 0x80)
        max--;
    return max;
}

const char *excerpt(char buf[static EXCERPT_MAX], struct text t)
{
    size_t length = utf8_cut(t.at, t.length, EXCERPT_MAX - 4);
    struct buffer b;

    buffer_init(&b, buf, EXCERPT_MAX);
    buffer_append_bytes(&b, t.at, length);
    if (length < t.length)
        buffer_append(&b, "...");
    return buf;
}

/* A path's tail tells more than its head. Control characters would let a file's name forge lines of a log. */
static void name_copy(char ret[static READER_NAME_MAX], const char *name)
{
    size_t length = strlen(name);
    struct buffer b;

    buffer_init(&b, ret, READER_NAME_MAX);
    if (length >= READER_NAME_MAX) {
        name += length - (READER_NAME_MAX - 4);
        while (((unsigned char)*name & 0xc0) == 0x80)
            name++;
        buffer_append(&b, "...");
    }
    buffer_append(&b, name);
    for (char *at = ret; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
}

void reader_init(struct reader *r, FILE *stream, const char *name, struct config_messages *messages)
{
    memset(r, 0, sizeof(*r));
    r->stream = stream;
    r->messages = messages;
    name_copy(r->name, name);
    messages->count = 0;
    messages->errors = 0;
}

void reader_open(struct reader *r, FILE *stream, const char *name)
{
    r->stream = stream;
    name_copy(r->name, name);
    r->line = 0;
    r->bytes_read = 0;
    r->error = 0;
}

/* The slot for a new message, or NULL where there is no room left for one of its kind. */
static char *message_slot(struct config_messages *m, bool warning)
{
    unsigned last = m->count;

    if (m->count == CONFIG_MESSAGES_MAX) {
        if (warning)
            return NULL;
        while (last > 0 && !m->warning[last - 1])
            last--;
        if (last == 0)
            return NULL;
        memmove(m->text[last - 1], m->text[last], sizeof(m->text[0]) * (m->count - last));
        memmove(&m->warning[last - 1], &m->warning[last], sizeof(m->warning[0]) * (m->count - last));
        m->count--;
    }
    m->warning[m->count] = warning;
    return m->text[m->count++];
}

static void _printf_(4, 0)
    message_add(struct reader *r, unsigned line, bool warning, const char *format, va_list ap)
{
    char *slot;
    struct buffer b;

    if (!warning)
        r->messages->errors++;
    slot = message_slot(r->messages, warning);
    if (!slot)
        return;
    buffer_init(&b, slot, CONFIG_MESSAGE_MAX);
    if (line > 0)
        buffer_appendf(&b, "%s:%u: ", r->name, line);
    else
        buffer_appendf(&b, "%s: ", r->name);
    buffer_vappendf(&b, format, ap);
}

void reader_error_at(struct reader *r, unsigned line, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    message_add(r, line, false, format, ap);
    va_end(ap);
}

void reader_warning_at(struct reader *r, unsigned line, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    message_add(r, line, true, format, ap);
    va_end(ap);
}

/* Length of the well-formed UTF-8 sequence at the front (no overlong form, surrogate or value over U+10FFFF),
 * or 0. */
static size_t utf8_sequence(const unsigned char *at, size_t length)
{
    size_t n;

    if (at[0] < 0x80)
        return 1;
    if (at[0] >= 0xc2 && at[0] <= 0xdf)
        n = 2;
    else if (at[0] >= 0xe0 && at[0] <= 0xef)
        n = 3;
    else if (at[0] >= 0xf0 && at[0] <= 0xf4)
        n = 4;
    else
        return 0;
    if (n > length)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return n;
}

/* Messages quote the file, and go to logs and terminals: nothing passes here that would act there. */
static bool line_check_characters(struct reader *r, struct text line)
{
    const unsigned char *at = (const unsigned char *)line.at;

    for (size_t i = 0; i < line.length;) {
        size_t n = utf8_sequence(at + i, line.length - i);

        if (n == 0) {
            reader_error(r, "byte %zu of the line is not valid UTF-8. Save the file as UTF-8.", i + 1);
            return false;
        }
        if (at[i] == '\0') {
            reader_error(r, "byte %zu of the line is NUL. This is not a text file in UTF-8.", i + 1);
            return false;
        }
        if ((at[i] < ' ' && at[i] != '\t') || at[i] == 0x7f) {
            reader_error(r, "byte %zu of the line is the control character 0x%02x. Remove it.", i + 1, at[i]);
            return false;
        }
        i += n;
    }
    return true;
}

/* For the message that the reading itself failed: it is given even where so many lines were wrong before that
 * there is no room. */
static void message_room_make(struct config_messages *m)
{
    if (m->count == CONFIG_MESSAGES_MAX)
        m->count--;
}

/* Takes the next line, without its end, into *ret. Returns 1, or 0 at the end of the file, or a negative
 * errno. A line that is too long is read to its end, reported and skipped. */
static int line_read(struct reader *r, struct text *ret)
{
    size_t length = 0;
    int c;

    while ((c = getc(r->stream)) != EOF) {
        if (++r->bytes_read > READER_FILE_MAX) {
            message_room_make(r->messages);
            reader_error_at(r, 0, "Is larger than %u bytes. This is not a configuration of headroom.",
                            READER_FILE_MAX);
            return -EFBIG;
        }
        if (c == '\n')
            break;
        if (length < sizeof(r->buffer))
            r->buffer[length] = (char)c;
        length++;
    }
    if (c == EOF && ferror(r->stream)) {
        int error = errno > 0 ? errno : EIO;

        message_room_make(r->messages);
        reader_error_at(r, 0, "Cannot be read: %s.", strerror(error));
        return -error;
    }
    if (c == EOF && length == 0)
        return 0;
    r->line++;
    *ret = (struct text){r->buffer, length};
    return 1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct text comment_strip(struct text t)
{
    for (size_t i = 1; i < t.length; i++)
        if (t.at[i] == '#' && is_blank(t.at[i - 1])) {
            t.length = i;
            break;
        }
    return text_trim(t);
}

/* The line without its end, byte order mark and comment; empty where there is nothing to do. */
static struct text line_content(struct reader *r, struct text line)
{
    const struct text nothing = {line.at, 0};
    struct text content;

    if (line.length > sizeof(r->buffer)) {
        reader_error(
            r, "the line is longer than %d bytes. Give the key fewer values, or repeat it if it is Match=.",
            READER_LINE_MAX);
        return nothing;
    }
    if (line.length > 0 && line.at[line.length - 1] == '\r')
        line.length--;
    if (r->line == 1 && line.length >= 3 && memcmp(line.at, "\xef\xbb\xbf", 3) == 0) {
        line.at += 3;
        line.length -= 3;
    }
    if (!line_check_characters(r, line))
        return nothing;
    content = text_trim(line);
    if (content.length == 0 || content.at[0] == '#' || content.at[0] == ';')
        return nothing;
    if (is_blank(line.at[0])) {
        reader_error(
            r,
            "the line starts with a blank. A value ends with its line and cannot be continued; if this is a "
            "line of its own, remove the blanks.");
        return nothing;
    }
    return comment_strip(content);
}

static void handle_header(struct reader *r, struct text line)
{
    char shown[EXCERPT_MAX];
    const char *end = memchr(line.at, ']', line.length);
    struct text header = {NULL, 0};

    if (end && end + 1 == line.at + line.length)
        header = text_trim((struct text){line.at + 1, line.length - 2});
    else
        reader_error(r, "%s is not a section header. Write [Name], and nothing behind it.",
                     excerpt(shown, line));
    r->on_section(r->user, header);
}

/* Whether inih, however it was built, will split this line at the same place as its reader would. */
static bool assignment_check(struct reader *r, struct text line)
{
    char shown[EXCERPT_MAX];
    const char *equals = memchr(line.at, '=', line.length);
    struct text name;

    if (!equals) {
        reader_error(r, "%s is neither a [Section] nor Key=value.", excerpt(shown, line));
        return false;
    }
    name = text_trim((struct text){line.at, (size_t)(equals - line.at)});
    for (size_t i = 0; i < name.length; i++)
        if (!((name.at[i] >= 'A' && name.at[i] <= 'Z') || (name.at[i] >= 'a' && name.at[i] <= 'z'))) {
            reader_error(r, "%s is not the name of a key: those consist of letters only.",
                         excerpt(shown, name));
            return false;
        }
    if (name.length == 0) {
        reader_error(r, "the name of the key before '=' is missing.");
        return false;
    }
    for (size_t i = 1; i < line.length; i++)
        if (line.at[i] == ';' && is_blank(line.at[i - 1])) {
            reader_error(r, "%s= holds a ';' behind a blank. A comment behind a value starts with '#'.",
                         excerpt(shown, name));
            return false;
        }
    return true;
}

/* What inih calls for each line, in the manner of fgets(3): everything but good assignments stays here. */
static char *reader_next(char *str, int num, void *stream)
{
    struct reader *r = stream;
    struct text line;
    int n;

    while ((n = line_read(r, &line)) > 0) {
        struct text content = line_content(r, line);

        if (content.length == 0)
            continue;
        if (content.at[0] == '[') {
            handle_header(r, content);
            continue;
        }
        if (!assignment_check(r, content))
            continue;
        if (num < 2 || content.length > (size_t)num - 2) {
            reader_error(
                r,
                "the line is longer than the %d bytes that the inih library of this system takes. Give the "
                "key fewer values, or repeat it if it is Match=.",
                num - 2);
            continue;
        }
        memcpy(str, content.at, content.length);
        str[content.length] = '\0';
        return str;
    }
    r->error = n;
    return NULL;
}

static int reader_handle_key(void *user, const char *section _unused_, const char *name, const char *value)
{
    struct reader *r = user;

    r->on_key(r->user, name, value);
    return 1;
}

int reader_run(struct reader *r)
{
    int n;

    if (&ini_max_line && ini_max_line < READER_LINE_MAX + 3)
        ini_max_line = READER_LINE_MAX + 3;
    n = ini_parse_stream(reader_next, r, reader_handle_key, r);
    if (r->error < 0)
        return r->error;
    /* It has no reason to refuse what it was given. Should a build of it do so, a key was lost: never go on
     * then. */
    if (n != 0)
        reader_error_at(r, 0, "The inih library of this system does not take this file (%d).", n);
    return 0;
}
