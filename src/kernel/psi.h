/* Pressure stall information: averages, totals, triggers (Documentation/accounting/psi.rst).
 * `total` is exact and is what decides; the averages are only refreshed every 2 s and are for people.
 * Triggers: one event per window at most, EPOLLPRI. Windows that are no multiple of 2 s need CAP_SYS_RESOURCE
 * of the opener (kernel 6.4 and newer; older ones want it for any trigger), windows below 500 ms also
 * kernel 6.5. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct psi_line {
    uint64_t avg10_permyriad;
    uint64_t avg60_permyriad;
    uint64_t avg300_permyriad;
    uint64_t total_usec;
};

struct psi {
    struct psi_line some;
    struct psi_line full;
    bool has_full;
};

/* -EBADMSG: no "some" line with avg10 and total, a "full" line without them, or a number that is none.
 * Unknown lines and keys are passed over; of a line or key that comes twice the first one counts. */
int psi_parse(const char *buf, size_t length, struct psi *ret) _nodiscard_;
/* -EOPNOTSUPP or -ENOENT: PSI is off (psi=0, cgroup.pressure 0, or not built in). */
int psi_pread(int fd, struct psi *ret) _nodiscard_;
int psi_read_at(int dir_fd, const char *name, struct psi *ret) _nodiscard_;

struct psi_trigger_config {
    bool full;
    uint64_t stall_usec;
    uint64_t window_usec;
};

enum psi_trigger_fault {
    PSI_TRIGGER_OK = 0,
    PSI_TRIGGER_STALL_ZERO,   /* a stall of 0 would always fire */
    PSI_TRIGGER_STALL_OVER,   /* more stall than window */
    PSI_TRIGGER_WINDOW_SHORT, /* under 50 ms: the kernel samples ten times per window */
    PSI_TRIGGER_WINDOW_LONG,  /* the kernel takes at most 10 s */
};

/* What is wrong with the values themselves, before any kernel is asked. */
enum psi_trigger_fault psi_trigger_check(const struct psi_trigger_config *config);
/* The next multiple of 2 s with the same stall ratio (at most 10 s): what an unprivileged opener may ask for.
 */
struct psi_trigger_config psi_trigger_round_up(const struct psi_trigger_config *config);
/* "some 150000 1000000" */
int psi_trigger_format(const struct psi_trigger_config *config, char *ret, size_t size) _nodiscard_;

/* Opens the pressure file and arms the trigger; the descriptor is polled for EPOLLPRI and must be closed on
 * EPOLLERR. Tries `config`, then psi_trigger_round_up of it; *ret_armed is what the kernel took. Negative
 * errno where it took neither: then `total` has to be sampled. A short write is -EIO. */
int psi_trigger_open(int dir_fd, const char *name, const struct psi_trigger_config *config,
                     struct psi_trigger_config *ret_armed) _nodiscard_;
