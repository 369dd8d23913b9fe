#include "policy/bucket.h"

#include "base/units.h"

#define MOST ((uint64_t)INT64_MAX / 4) /* so that no sum of two overflows */

uint64_t bucket_fill(struct bucket *b, uint64_t limit_per_sec, uint64_t depth_usec, uint64_t now_usec,
                     uint64_t written_bytes)
{
    uint64_t depth = u64_min(u64_mul_div(limit_per_sec, depth_usec, USEC_PER_SEC), MOST);
    uint64_t wrote = u64_min(u64_sub_floor(written_bytes, b->written_bytes), MOST);
    uint64_t more =
        u64_min(u64_mul_div(limit_per_sec, u64_sub_floor(now_usec, b->filled_usec), USEC_PER_SEC), MOST);

    if (b->filled_usec == 0) {
        b->tokens_bytes = 0;
        wrote = 0;
    } else {
        b->tokens_bytes += (int64_t)more - (int64_t)wrote;
        if (b->tokens_bytes > (int64_t)depth)
            b->tokens_bytes = (int64_t)depth;
        if (b->tokens_bytes < -(int64_t)MOST)
            b->tokens_bytes = -(int64_t)MOST;
    }
    b->filled_usec = now_usec;
    b->written_bytes = written_bytes;
    return wrote;
}
