/* Small compile-time helpers: ownership made visible at the declaration (CONVENTIONS: _cleanup_), results
 * that must not be dropped, and the three arithmetic helpers that every layer needs. Nothing here has a side
 * effect. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _cleanup_close_ _cleanup_(close_fdp)
#define _nodiscard_ __attribute__((warn_unused_result))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _unused_ __attribute__((unused))
/* For a buffer that is read into before it is read from: what -ftrivial-auto-var-init would spend on it is
 * more than the system call that fills it. */
#define _uninitialized_ __attribute__((uninitialized))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static inline void close_fdp(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* Gives the descriptor away: the caller's variable no longer closes it. */
static inline int fd_steal(int *fd)
{
    int r = *fd;

    *fd = -1;
    return r;
}

static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* a - b, but 0 where that would be negative: sizes read at two moments may disagree. */
static inline uint64_t u64_sub_floor(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* a + b, but UINT64_MAX where that would wrap. */
static inline uint64_t u64_add_cap(uint64_t a, uint64_t b)
{
    uint64_t r;

    return __builtin_add_overflow(a, b, &r) ? UINT64_MAX : r;
}

/* A mean that moves by one `part` of the difference. */
static inline uint64_t u64_towards(uint64_t from, uint64_t to, unsigned part)
{
    return to >= from ? from + (to - from) / part : from - (from - to) / part;
}

/* a * b / c in 128 bits, capped at UINT64_MAX; c = 0 counts as "for ever". */
static inline uint64_t u64_mul_div(uint64_t a, uint64_t b, uint64_t c)
{
    unsigned __int128 r;

    if (c == 0)
        return UINT64_MAX;
    r = (unsigned __int128)a * b / c;
    return r > UINT64_MAX ? UINT64_MAX : (uint64_t)r;
}
