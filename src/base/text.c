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
/* So many digits never exceed 64 bits. */
#define DIGITS_SAFE 19

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
        unsigned digit = (unsigned char)t.at[i] - (unsigned)'0';

        if (digit > 9)
            return -EINVAL; /* also after an overflow: "99999999999999999999x" is no number at all */
        if (i < DIGITS_SAFE) {
            value = value * 10 + digit;
            continue;
        }
        over |= __builtin_mul_overflow(value, UINT64_C(10), &value);
        over |= __builtin_add_overflow(value, (uint64_t)digit, &value);
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

int text_directory_of(const char *path, char *ret, size_t size)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return -EINVAL;
    return text_copy((struct text){path, slash > path ? (size_t)(slash - path) : 1}, ret, size);
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

/* How a line of keys is written. */
struct key_format {
    char end;           /* of a key */
    const char *unit;   /* behind the number */
    size_t digits_safe; /* so many never exceed 64 bits, in that unit */
    uint64_t scale;
};

/* What a parse of such lines looks for. It is done at every look, and of memory.stat for every group. The
 * kernel writes keys in the order of its own tables, as ours are; so the search goes on after the last match,
 * and mostly succeeds at once. */
struct search {
    const struct text_key *keys;
    size_t count;
    size_t next;       /* the key after the last one that was found */
    uint64_t marks[2]; /* a bit for each key in both, some of them shared: most names that are not wanted have
                          none */
    uint64_t all;      /* the bits of *seen */
};

static uint64_t mark_by_ends(const char *name, size_t length)
{
    return UINT64_C(1) << ((unsigned char)name[0] * 3U + (unsigned char)name[length - 1] * 5U +
                           length * 11U) %
                              64;
}

static uint64_t mark_by_middle(const char *name, size_t length)
{
    return UINT64_C(1) << ((unsigned char)name[length / 2] * 7U + length) % 64;
}

static struct search search_begin(const struct text_key *keys, size_t count)
{
    struct search s = {.keys = keys, .count = count};

    s.all = count < 64 ? (UINT64_C(1) << count) - 1 : UINT64_MAX;
    for (size_t i = 0; i < count; i++)
        if (keys[i].length > 0) {
            s.marks[0] |= mark_by_ends(keys[i].name, keys[i].length);
            s.marks[1] |= mark_by_middle(keys[i].name, keys[i].length);
        }
    return s;
}

/* The place of a key that was not seen yet; count: it is none. */
static size_t find_key(struct search *s, struct text name, uint64_t seen)
{
    if (name.length == 0 || (s->marks[0] & mark_by_ends(name.at, name.length)) == 0 ||
        (s->marks[1] & mark_by_middle(name.at, name.length)) == 0)
        return s->count;
    for (size_t n = 0, i = s->next; n < s->count; n++, i++) {
        if (i >= s->count)
            i = 0;
        if (s->keys[i].length == name.length && (seen & UINT64_C(1) << i) == 0 &&
            memcmp(s->keys[i].name, name.at, name.length) == 0) {
            s->next = i + 1;
            return i;
        }
    }
    return s->count;
}

/* The usual line, of the key that is expected next and as the kernel writes it: in one pass. False: look
 * closer. */
static bool take_usual(const struct search *s, const struct key_format *f, uint64_t seen, struct text *rest,
                       uint64_t *ret_value)
{
    const struct text_key *key = &s->keys[s->next];
    const char *at = rest->at, *stop = rest->at + rest->length, *digits;
    uint64_t value = 0;

    if (s->next >= s->count || (seen & UINT64_C(1) << s->next) != 0 || rest->length <= key->length ||
        at[key->length] != f->end || at[0] != key->name[0] || memcmp(at, key->name, key->length) != 0)
        return false;
    at += key->length + 1;
    while (at < stop && *at == ' ')
        at++;
    for (digits = at; at < stop && is_digit(*at); at++)
        value = value * 10 + (uint64_t)(*at - '0');
    if (at == digits || (size_t)(at - digits) > f->digits_safe)
        return false;
    for (const char *unit = f->unit; *unit; unit++, at++)
        if (at == stop || *at != *unit)
            return false;
    if (at < stop && *at++ != '\n')
        return false;
    *ret_value = value * f->scale;
    *rest = text_skip(*rest, (size_t)(at - rest->at));
    return true;
}

static int parse_flat(struct text rest, uint64_t *ret)
{
    struct text word;

    return text_next_word(&rest, &word) && text_parse_u64(word, ret) == 0 && !text_next_word(&rest, &word)
               ? 0
               : -EBADMSG;
}

static int parse_kib(struct text rest, uint64_t *ret)
{
    struct text word;
    uint64_t kib;

    if (!text_next_word(&rest, &word) || text_parse_u64(word, &kib) < 0 || !text_next_word(&rest, &word) ||
        !text_equal(word, "kB") || text_next_word(&rest, &word))
        return -EBADMSG;
    return __builtin_mul_overflow(kib, UINT64_C(1024), ret) ? -EBADMSG : 0;
}

/* Any line, its name off the front of it. Most are of no interest, so nothing is looked at twice. */
static bool take_name(const struct key_format *f, struct text *line, struct text *ret_name)
{
    const char *end = line->length > 0 ? memchr(line->at, f->end, line->length) : NULL;
    size_t length;

    if (f->end == ' ' && (!end || end == line->at))
        return text_next_word(line, ret_name);
    if (!end)
        return false;
    length = (size_t)(end - line->at);
    *ret_name = (struct text){line->at, length};
    *line = text_skip(*line, length + 1);
    return true;
}

static void store(void *base, const struct text_key *key, uint64_t value)
{
    memcpy((char *)base + key->offset, &value, sizeof(value));
}

static int parse_lines(struct text t, const struct text_key *keys, size_t count, const struct key_format *f,
                       void *base, uint64_t *seen)
{
    struct search s = search_begin(keys, count);
    struct text line, name;
    uint64_t value;

    while ((*seen & s.all) != s.all && t.length > 0) { /* memory.stat goes on for forty lines more */
        size_t i = s.next;

        if (take_usual(&s, f, *seen, &t, &value)) {
            s.next++;
        } else {
            (void)text_next_line(&t, &line);
            if (!take_name(f, &line, &name) || (i = find_key(&s, name, *seen)) == count)
                continue;
            if ((f->end == ' ' ? parse_flat(line, &value) : parse_kib(line, &value)) < 0)
                return -EBADMSG;
        }
        store(base, &keys[i], value);
        *seen |= UINT64_C(1) << i;
    }
    return 0;
}

int text_parse_keyed(struct text t, const struct text_key *keys, size_t count, void *base, uint64_t *seen)
{
    static const struct key_format flat = {' ', "", DIGITS_SAFE, 1};

    return parse_lines(t, keys, count, &flat, base, seen);
}

int text_parse_keyed_kib(struct text t, const struct text_key *keys, size_t count, void *base, uint64_t *seen)
{
    static const struct key_format kib = {':', " kB", DIGITS_SAFE - 4, 1024};

    return parse_lines(t, keys, count, &kib, base, seen);
}
