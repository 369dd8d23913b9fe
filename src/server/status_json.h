/* struct status as JSON. Sizes are numbers of bytes, times of microseconds; "no limit" is null. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "model/status.h"
#include "record/ring.h"

/* At most STATUS_PAUSES_SHOWN of the paused groups, and only as many as fit into `max` bytes of compact JSON
 * together with the rest; pauses_left_out says how many more there are. */
#define STATUS_PAUSES_SHOWN 64
json_t *status_to_json(const struct status *s, size_t max);
/* A kept decision with its victims, and `max` of its candidates from the one with index `from` on. */
json_t *record_to_json(const struct config *c, const struct record_head *h);
json_t *record_rows_to_json(const struct config *c, const struct record_head *h, unsigned from, unsigned max,
                            bool victims);
