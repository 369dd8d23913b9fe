/* io.headroom.Groups: the groups as they stood at the last walk, some in a message. */
#pragma once

#include <jansson.h>

#include "model/status.h"
#include "server/stream.h"

/* The next message; the last one of them ends the stream. Groups that come and go between two messages may be
 * missing, or there twice. */
json_t *groups_message(struct stream *s, status_group_fn group, void *user);
