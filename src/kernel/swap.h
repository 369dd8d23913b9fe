/* Swap areas, told apart by kind, since a zram page swapped out still takes memory.
 * What zram can really take is bounded by memory: SwapFree alone would promise bytes that do not exist. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct swap_areas {
    uint64_t disk_size;
    uint64_t disk_used;
    uint64_t zram_size;
    uint64_t zram_used;
    uint64_t
        zram_pool; /* memory that zram's pages take now (mm_stat: mem_used_total), over all its devices */
    uint64_t zram_stored;     /* what is stored in it, uncompressed (orig_data_size) */
    uint64_t zram_compressed; /* what that takes (compr_data_size), but for the allocator's waste */
};

/* The block devices that swap areas are, but for zram, as io.stat names them ("254:0"). */
#define SWAP_DISKS_MAX 8
struct swap_disks {
    bool known; /* false: an area is a file, or a part of a disk: what is written there may be something else
                 */
    unsigned count;
    char names[SWAP_DISKS_MAX][24];
};
/* And, of the same reading of <root>/proc/swaps, the areas; what is in zram is not asked (0). */
int swap_read_disks(int root_fd, struct swap_areas *ret_areas, struct swap_disks *ret) _nodiscard_;

/* <root>/proc/swaps (sizes there are KiB) and <root>/sys/block/zramN/mm_stat. No swap at all is success with
 * zeros. */
int swap_read(int root_fd, struct swap_areas *ret) _nodiscard_;
int swap_parse_swaps(const char *buf, size_t length, struct swap_areas *ret) _nodiscard_;
/* mm_stat of one zram device: orig_data_size and mem_used_total are added to *areas. */
int swap_parse_mm_stat(const char *buf, size_t length, struct swap_areas *areas) _nodiscard_;

/* By how many bytes more can be held than without swap: free disk swap, plus of zram the lesser of its free
 * size and (resident_bytes + holes) × r − resident_bytes, where resident_bytes is what there is to swap out
 * (anonymous and shared memory), holes what its pool has free (it keeps much of what pages left that have
 * gone) and r its compression so far (1 to 4, with an eighth for the allocator's waste; taken as 2 while it
 * is empty): a page in zram still takes 1/r of its size from memory, so that what frees its place holds r
 * times as much. */
uint64_t swap_effective_bytes(const struct swap_areas *areas, uint64_t resident_bytes);

/* Whether what is swapped may be written to a disk: zram is no device that wears out, so not as long as all
 * of it is there, and that is not full. */
bool swap_writes_to_disk(const struct swap_areas *areas);

/* What zswap's pool may take of this much memory (<root>/sys/module/zswap/parameters); 0: it is off, or not
 * there. */
uint64_t swap_zswap_pool_max(int root_fd, uint64_t total_bytes);
