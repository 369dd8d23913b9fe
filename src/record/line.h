/* A decision as one line of logfmt: bytes as plain numbers, times in microseconds (`_us`), so that a line can
 * be counted with as well as read. `victim=` is who is killed, `group=` who is paused, resumed or reclaimed
 * from, in the words that `headroom pause` and `headroom resume` take. */
#pragma once

#include "base/buffer.h"
#include "model/config.h"
#include "model/decision.h"

/* One knob that somebody else has set. */
struct record_knob;
void record_format_knob(struct buffer *b, const struct config *c, uint64_t decision,
                        const struct record_knob *k);
void record_format_line(struct buffer *b, const struct config *c, const struct decision *d);
