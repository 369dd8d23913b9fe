/* struct status as JSON. Sizes are numbers of bytes, times of microseconds; "no limit" is null. */
#pragma once

#include <jansson.h>

#include "model/status.h"
#include "record/ring.h"

json_t *status_to_json(const struct status *s);
/* A kept decision with its victims, and `max` of its candidates from the one with index `from` on. */
json_t *record_to_json(const struct config *c, const struct record_head *h);
json_t *record_rows_to_json(const struct config *c, const struct record_head *h, unsigned from, unsigned max,
                            bool victims);
