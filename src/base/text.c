/* Why not strtoull, sscanf and strtok: they skip leading blanks and signs in silence, stop at the first odd
 * character without saying so, need a NUL at the end, and read "18446744073709551616" as a number. What is
 * parsed here decides which work is killed; so a number is a number from its first to its last byte, or an
 * error. */
#include "base/text.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* Longest word compared by text_distance: keys of the configuration have under 32 characters. */
#define DISTANCE_MAX 64

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct text text_skip(struct text t, size_t n)
{
    return (struct text){t.at + n, t.length - n};
}

struct text text_from(const char *string)
{
    return (struct text){string, string ? strlen(string) : 0};
}

bool text_equal(struct text t, const char *string)
{
    size_t length = strlen(string);

    return t.length == length && (length == 0 || memcmp(t.at, string, length) == 0);
}

bool text_next_line(struct text *rest, struct text *ret_line)
{
    const char *end;
    size_t length;

    if (rest->length == 0)
        return false;

    end = memchr(rest->at, '\n', rest->length);
    length = end ? (size_t)(end - rest->at) : rest->length;
    *ret_line = (struct text){rest->at, length};
    *rest = text_skip(*rest, end ? length + 1 : length);
    return true;
}

bool text_next_word(struct text *rest, struct text *ret_word)
{
    struct text t = *rest;
    size_t length = 0;

    while (t.length > 0 && is_blank(t.at[0]))
        t = text_skip(t, 1);
    if (t.length == 0) {
        *rest = t;
        return false;
    }

    while (length < t.length && !is_blank(t.at[length]))
        length++;
    *ret_word = (struct text){t.at, length};
    *rest = text_skip(t, length);
    return true;
}

static bool is_trimmed(char c)
{
    return is_blank(c) || c == '\r' || c == '\n';
}

struct text text_trim(struct text t)
{
    while (t.length > 0 && is_trimmed(t.at[0]))
        t = text_skip(t, 1);
    while (t.length > 0 && is_trimmed(t.at[t.length - 1]))
        t.length--;
    return t;
}

int text_parse_u64(struct text t, uint64_t *ret)
{
    uint64_t value = 0;
    bool over = false;

    if (t.length == 0)
        return -EINVAL;

    for (size_t i = 0; i < t.length; i++) {
        if (!is_digit(t.at[i]))
            return -EINVAL; /* also after an overflow: "99999999999999999999x" is no number at all */
        over |= __builtin_mul_overflow(value, UINT64_C(10), &value);
        over |= __builtin_add_overflow(value, (uint64_t)(t.at[i] - '0'), &value);
    }
    if (over)
        return -ERANGE;

    *ret = value;
    return 0;
}

int text_parse_u64_or_max(struct text t, uint64_t *ret)
{
    if (text_equal(t, "max")) {
        *ret = UINT64_MAX;
        return 0;
    }
    return text_parse_u64(t, ret);
}

int text_parse_hundredths(struct text t, uint64_t *ret)
{
    const char *point = t.length > 0 ? memchr(t.at, '.', t.length) : NULL;
    size_t whole_length = point ? (size_t)(point - t.at) : t.length;
    uint64_t whole, value, hundredths = 0;
    int r;

    if (point) {
        struct text decimals = text_skip(t, whole_length + 1);

        if (decimals.length == 0)
            return -EINVAL;
        for (size_t i = 0; i < decimals.length; i++)
            if (!is_digit(decimals.at[i]))
                return -EINVAL;
        hundredths = (uint64_t)(decimals.at[0] - '0') * 10;
        if (decimals.length > 1)
            hundredths += (uint64_t)(decimals.at[1] - '0');
    }

    r = text_parse_u64((struct text){t.at, whole_length}, &whole);
    if (r < 0)
        return r;
    if (__builtin_mul_overflow(whole, UINT64_C(100), &value) ||
        __builtin_add_overflow(value, hundredths, &value))
        return -ERANGE;

    *ret = value;
    return 0;
}

int text_copy(struct text t, char *ret, size_t size)
{
    if (t.length >= size)
        return -ENAMETOOLONG;
    if (t.length > 0 && memchr(t.at, '\0', t.length))
        return -EINVAL;

    if (t.length > 0)
        memcpy(ret, t.at, t.length);
    ret[t.length] = '\0';
    return 0;
}

/* Levenshtein, row by row: row[j] is the distance of the first i characters of a and the first j of b. */
unsigned text_distance(struct text a, struct text b)
{
    unsigned row[DISTANCE_MAX + 1];

    if (a.length > DISTANCE_MAX || b.length > DISTANCE_MAX)
        return UINT_MAX;

    for (unsigned j = 0; j <= b.length; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.length; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= b.length; j++) {
            unsigned replaced = diagonal + (a.at[i - 1] != b.at[j - 1]);
            unsigned least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

            diagonal = row[j];
            row[j] = replaced < least ? replaced : least;
        }
    }
    return row[b.length];
}

/* The kernel writes keys in the order of its own tables, as ours are; so the search goes on after the last
 * match
 * (*next) and mostly succeeds at once. */
static size_t find_key(const struct text_key *keys, size_t count, struct text name, size_t *next)
{
    for (size_t n = 0, i = *next; n < count; n++, i++) {
        if (i >= count)
            i = 0;
        if (keys[i].length == name.length && memcmp(keys[i].name, name.at, name.length) == 0) {
            *next = i + 1;
            return i;
        }
    }
    return count;
}

static void store(void *base, const struct text_key *key, uint64_t value)
{
    memcpy((char *)base + key->offset, &value, sizeof(value));
}

int text_parse_keyed(struct text t, const struct text_key *keys, size_t count, void *base, uint64_t *seen)
{
    struct text line, name, number;
    uint64_t all = count < 64 ? (UINT64_C(1) << count) - 1 : UINT64_MAX;
    size_t next = 0;

    while ((*seen & all) != all && text_next_line(&t, &line)) { /* memory.stat goes on for forty lines more */
        uint64_t value;
        size_t i;

        if (!text_next_word(&line, &name))
            continue;
        i = find_key(keys, count, name, &next);
        if (i == count || (*seen & UINT64_C(1) << i))
            continue;
        if (!text_next_word(&line, &number) || text_parse_u64(number, &value) < 0 ||
            text_next_word(&line, &number))
            return -EBADMSG;
        store(base, &keys[i], value);
        *seen |= UINT64_C(1) << i;
    }
    return 0;
}

int text_parse_keyed_kib(struct text t, const struct text_key *keys, size_t count, void *base, uint64_t *seen)
{
    struct text line, word;
    size_t next = 0;

    while (text_next_line(&t, &line)) {
        const char *colon = line.length > 0 ? memchr(line.at, ':', line.length) : NULL;
        uint64_t value;
        size_t i, length;

        if (!colon)
            continue;
        length = (size_t)(colon - line.at);
        i = find_key(keys, count, (struct text){line.at, length}, &next);
        if (i == count || (*seen & UINT64_C(1) << i))
            continue;
        line = text_skip(line, length + 1);
        if (!text_next_word(&line, &word) || text_parse_u64(word, &value) < 0 ||
            !text_next_word(&line, &word) || !text_equal(word, "kB") || text_next_word(&line, &word) ||
            __builtin_mul_overflow(value, UINT64_C(1024), &value))
            return -EBADMSG;
        store(base, &keys[i], value);
        *seen |= UINT64_C(1) << i;
    }
    return 0;
}
