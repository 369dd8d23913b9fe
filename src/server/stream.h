/* Replies of many messages (Varlink's `more`): one decision with all its candidates, or decision after
 * decision, also those that are still to come. Only where a client stands is remembered; each message is made
 * when the one before it has gone out, so a thousand candidates need no more room than thirty. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/config.h"
#include "record/ring.h"

#define STREAM_ROWS 32 /* candidates in a message */

enum stream_kind {
    STREAM_NONE,
    STREAM_EXPLAIN,
    STREAM_EVENTS,
    STREAM_GROUPS, /* made by groups_json */
};

struct stream {
    enum stream_kind kind;
    uint64_t id;         /* of the decision that comes next */
    unsigned row;        /* STREAM_EXPLAIN, _GROUPS: of the candidate, or group, that comes next */
    bool headed;         /* STREAM_EXPLAIN: the decision itself has gone out */
    bool follow;         /* STREAM_EVENTS: wait for more */
    uint64_t since_usec; /* STREAM_EVENTS: none that are older */
};

/* From the parameters of io.headroom.Explain {id?} and io.headroom.Events {since_usec?, follow?}. False:
 * there is no such decision, or the parameters are wrong; then *ret_error names a Varlink error. */
bool stream_open(struct stream *s, enum stream_kind kind, const json_t *parameters,
                 const struct record_ring *ring, uint64_t now_usec, const char **ret_error);

/* The next message, whole ("parameters", and "continues" where more follow); NULL where there is none now.
 * The stream ends (kind STREAM_NONE) with the message that does not continue. */
json_t *stream_next(struct stream *s, const struct record_ring *ring, const struct config *config);
