/* Scanning of the text that the kernel and people give us, without copying and without the C library's
 * locale-dependent, silently wrapping converters. A slice is never assumed to end in NUL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/macros.h"

struct text {
    const char *at;
    size_t length;
};

struct text text_from(const char *string);

/* Here, so that nothing is counted where the string is a constant. */
static inline bool text_equal(struct text t, const char *string)
{
    size_t length = strlen(string);

    return t.length == length && (length == 0 || memcmp(t.at, string, length) == 0);
}

/* Takes the next line (without its newline; a last line without one counts) or word (blanks are space and
 * tab) off the front of *rest. False when nothing is left. A line may be empty, a word never is. */
bool text_next_line(struct text *rest, struct text *ret_line);
bool text_next_word(struct text *rest, struct text *ret_word);
/* Without blanks and line ends (CR, LF) at both ends. */
struct text text_trim(struct text t);

/* The whole slice as a decimal number. -EINVAL: empty, a sign, or anything that is no digit; -ERANGE: over 64
 * bits. */
int text_parse_u64(struct text t, uint64_t *ret) _nodiscard_;

/* As above, and the word "max" gives UINT64_MAX, which is how cgroup v2 writes "no limit". */
int text_parse_u64_or_max(struct text t, uint64_t *ret) _nodiscard_;

/* "12.34" (any number of decimals, further ones cut) as hundredths, i.e. a percentage as permyriad. */
int text_parse_hundredths(struct text t, uint64_t *ret) _nodiscard_;

/* Copies into a C string. -ENAMETOOLONG where it does not fit (nothing is cut), -EINVAL for an embedded NUL.
 */
int text_copy(struct text t, char *ret, size_t size);

/* The directory of an absolute path's last name, "/" where that is the root. -EINVAL: there
 * is no slash in it; -ENAMETOOLONG: it does not fit. */
int text_directory_of(const char *path, char *ret, size_t size) _nodiscard_;

/* Edit distance, for "did you mean": bounded to short words, longer ones count as far apart. */
unsigned text_distance(struct text a, struct text b);

/* The files of keys: one wanted key, and where its number goes in a structure of the caller (a uint64_t). */
struct text_key {
    const char *name;
    size_t length;
    size_t offset;
};
#define TEXT_KEY(key, type, member)                                                                          \
    {                                                                                                        \
        (key), sizeof(key) - 1, offsetof(type, member)                                                       \
    }
#define TEXT_KEYS_MAX 64

/* Reads the wanted keys of "KEY NUMBER" lines (the flat keyed files of cgroup v2) into `base`; bit i of *seen
 * stands for keys[i]. A key whose bit is set already is passed over, so that the first of two counts, and a
 * file can be fed in pieces of whole lines; unknown keys are passed over, too. Keys are compared whole.
 * -EBADMSG: the value of a wanted key is no number or over 64 bits; `base` may then be written in part, so
 * give it a scratch copy. */
int text_parse_keyed(struct text t, const struct text_key *keys, size_t count, void *base,
                     uint64_t *seen) _nodiscard_;
/* The same for "KEY:   NUMBER kB" lines (/proc/meminfo, /proc/PID/status); the numbers stored are bytes. */
int text_parse_keyed_kib(struct text t, const struct text_key *keys, size_t count, void *base,
                         uint64_t *seen) _nodiscard_;
