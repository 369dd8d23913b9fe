/* struct status as JSON. Sizes are numbers of bytes, times of microseconds; "no limit" is null. */
#pragma once

#include <jansson.h>

#include "model/status.h"

json_t *status_to_json(const struct status *s);
json_t *decision_to_json(const struct config *c, const struct decision *d);
