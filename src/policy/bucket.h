/* Tokens for what may be written: so much a second on average, and at no time more than `depth_usec` of that
 * put by. What was written beyond them is owed. Pure. */
#pragma once

#include <stdint.h>

struct bucket {
    uint64_t filled_usec;   /* 0: not yet */
    uint64_t written_bytes; /* in all, when it was filled */
    int64_t tokens_bytes;   /* negative: more was written than allowed */
};

/* `written_bytes` counts since ever. Returns what was written since the last time; the first time only
 * begins, with nothing put by. */
uint64_t bucket_fill(struct bucket *b, uint64_t limit_per_sec, uint64_t depth_usec, uint64_t now_usec,
                     uint64_t written_bytes);
