/* Memory properties of a systemd unit. A direct write to the cgroup of a unit is undone by the next
 * daemon-reload or by an unrelated set-property (systemd 252), so a unit is set by `systemctl set-property
 * --runtime`. That call writes all memory knobs of the cgroup as systemd knows them, so those that were set
 * beside it go along as they stand. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"
#include "kernel/cgroup.h"

/* Whether systemd runs here and the cgroup is one of its units (by its name and those above it), with a knob
 * that it has a property for. */
bool unit_manages(int root_fd, const char *path, const char *knob);

/* Whether systemd runs here and the cgroup is a slice of its own: what is started in it is for systemd to
 * make. */
bool unit_is_slice(int root_fd, const char *path);

/* Starts systemctl; its pid, which the caller reaps, or negative errno. Of a unit without a cgroup (it does
 * not run) the one property is set. `fleeting`: a knob that does not go along, since it is another one in a
 * moment; or NULL. */
pid_t unit_set_start(const struct hierarchy *h, const char *path, const char *knob, uint64_t value,
                     const char *fleeting) _nodiscard_;
/* The same, and waits for it: 0, or -EIO where systemctl failed, -ETIMEDOUT. */
int unit_set(const struct hierarchy *h, const char *path, const char *knob, uint64_t value) _nodiscard_;

/* What `set-property --runtime` has left for a unit, whether its cgroup is there or not: the next one of that
 * name gets it. -ENOENT: nothing. */
int unit_read_drop_in(int root_fd, const char *path, const char *knob, uint64_t *ret) _nodiscard_;
/* Takes it away behind systemd's back: only of a unit that it does not know any more (systemctl fails, there
 * is no cgroup), whose drop-ins it leaves behind. */
int unit_remove_drop_in(int root_fd, const char *path, const char *knob);
