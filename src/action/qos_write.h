/* How a knob of a plan gets into the kernel. A unit of systemd's is set through it, or a daemon-reload undoes
 * it; but with each set-property systemd writes all memory properties of the unit again, and a limit that is
 * below what is used makes whoever writes it reclaim, which may take minutes with a slow swap. That must not
 * be PID 1: where a unit is at a limit of its own, the file is written, in little time, and systemd is told
 * later (qos_is_untold). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "action/knobs.h"
#include "base/macros.h"
#include "kernel/cgroup.h"

/* A limit is in force as soon as its write has begun; what is reclaimed after that is the kernel's. */
#define QOS_WRITE_USEC UINT64_C(500000)

enum qos_way {
    QOS_WAY_PLAIN,
    QOS_WAY_LIMITED, /* within QOS_WRITE_USEC */
    QOS_WAY_UNIT,    /* through systemd */
};

/* Whether a knob is to be set through systemd: of a unit's. Containers' scopes are their runtime's, which
 * writes their files itself and tells systemd or not; a set-property of ours would fix for good what it means
 * to change. */
bool qos_is_units(int root_fd, const struct lease *l);
/* `lowers` as of knobs_write_fn. What is put back goes through systemd in any case. */
enum qos_way qos_way_of(const struct hierarchy *h, int root_fd, const struct lease *l, uint64_t value,
                        bool lowers);
/* The value stands, but systemd does not know of it, and could be told now. */
bool qos_is_untold(const struct hierarchy *h, int root_fd, const struct lease *l);
/* QOS_WAY_LIMITED; only in the cgroup of that id. KNOBS_WRITTEN or 1, as of knobs_write_fn, or negative
 * errno. */
int qos_write_limited(const struct hierarchy *h, const struct lease *l, uint64_t value) _nodiscard_;

/* A knobs_write_fn's work, which waits for systemctl. */
int qos_write_knob(const struct hierarchy *h, int root_fd, const struct lease *l, uint64_t value,
                   bool lowers) _nodiscard_;
/* A knobs_left_fn's work. */
int qos_read_left(int root_fd, const struct lease *l, uint64_t *ret) _nodiscard_;
