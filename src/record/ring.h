/* The last decisions with every candidate, kept for whoever asks, in a ring of bytes of fixed size: a
 * decision among three groups takes a few hundred bytes, one among a thousand a hundred thousand, and
 * pushes out older ones. What does not fit at all keeps its head and its victims and says how many candidates
 * were cut. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/config.h"
#include "model/decision.h"
#include "model/snapshot.h"

#define RECORD_RING_BYTES (192 * 1024)
#define RECORD_IDS_MAX 256

/* One candidate as it is kept; its name (path, and "#PID COMMAND" behind it for a process) follows. */
struct record_row {
    uint64_t id;
    uint64_t freed_bytes;
    uint64_t progress_usec;
    uint64_t growth_bytes;
    uint64_t request_bytes;
    uint64_t age_usec;
    int32_t pid;
    uint16_t class_index;
    uint16_t priority;
    uint16_t name_length;
    uint8_t verdict;
    uint8_t retriable : 1, over_request : 1, last : 1;
};

/* What was done about a knob of a plan. */
enum record_knob_done {
    RECORD_KNOB_REAPPLIED, /* somebody else has set it: set again */
    RECORD_KNOB_YIELDED,   /* left to him */
    RECORD_KNOB_RAISED,    /* from ours to `found`: the group was throttled for too long */
    RECORD_KNOB_DONE_COUNT,
};

/* A knob of a plan that has got another value. It is kept as a row whose name is "KNOB PATH", with what was
 * found as freed_bytes, ours as request_bytes, and what was done as priority. */
struct record_knob {
    char path[GROUP_PATH_MAX];
    char knob[24];
    uint64_t id;
    uint64_t found;
    uint64_t ours;
    uint16_t class_index;
    uint8_t done; /* enum record_knob_done */
};

/* A decision as it is kept. The victims (killed, paused, resumed or reclaimed from) are the rows whose
 * verdict is chosen or culprit. */
struct record_head {
    uint32_t size; /* of all of it, rounded up to 8 */
    uint32_t row_count;
    uint32_t rows_cut;
    uint32_t why; /* enum pause_why of the first victim, where it was paused or resumed */
    uint64_t id;
    uint64_t time_usec;
    uint64_t wall_usec;
    struct room room;
    struct trigger trigger;
    uint32_t reason;
    uint32_t method;
    uint32_t groups, candidates, passed_over, victim_count, asked;
    uint64_t expected_bytes;
    bool dry_run, ended;
    uint32_t gone, stuck, failed;
    uint64_t used_after, need_after, freed_bytes;
    uint64_t select_usec, signal_usec, outcome_usec, waited_usec;
};

struct record_ring {
    uint64_t data[RECORD_RING_BYTES / 8];
    uint32_t begin; /* offset of the oldest */
    uint32_t end;   /* where the next one goes */
    uint32_t wrap;  /* where the records before the wrap end; 0: not wrapped */
    uint64_t oldest_id;
    uint64_t next_id; /* the first decision is 1 */
    uint64_t kills;   /* victims signalled since start */
    uint64_t stuck;
    uint32_t offsets[RECORD_IDS_MAX]; /* of id % RECORD_IDS_MAX */
};

/* Of a row whose class is in the configuration no more. */
#define RECORD_CLASS_GONE UINT16_MAX

void record_ring_init(struct record_ring *r);
/* Keeps *d and the candidates (one a group of the snapshot; NULL: none), and gives it its id. */
uint64_t record_ring_add(struct record_ring *r, struct decision *d, const struct candidate *candidates,
                         const struct snapshot *s);
/* The same of knobs that have drifted. */
uint64_t record_ring_add_knobs(struct record_ring *r, struct decision *d, const struct record_knob *knobs,
                               unsigned count);
/* The same of programs that were asked: the decision's victims are its rows. Of each, what came back is kept
 * as freed_bytes, what was expected as growth_bytes, what was held as request_bytes, and how many programs as
 * priority. */
uint64_t record_ring_add_asked(struct record_ring *r, struct decision *d);
/* The outcome of a decision that was added before; nothing where it is forgotten. */
void record_ring_set_outcome(struct record_ring *r, const struct decision *d);
/* NULL: never was, or is forgotten. Valid until the next add. */
const struct record_head *record_ring_get(const struct record_ring *r, uint64_t id);
const struct record_head *record_ring_last(const struct record_ring *r);
uint64_t record_ring_oldest_id(const struct record_ring *r); /* 0: empty */
/* The configuration has changed: class i is class map[i] now, or RECORD_CLASS_GONE. */
void record_ring_map_classes(struct record_ring *r, const uint16_t map[static CONFIG_CLASSES_MAX]);

/* What a knob's value is for people: an oom_score_adj has signs. */
const char *record_knob_done_name(unsigned done);
int64_t record_knob_value(const char *knob, uint64_t value);

/* Row i (0 … row_count − 1) of a record; *ret_name is not terminated by NUL. Walks from `previous` (NULL: the
 * first). */
const struct record_row *record_next_row(const struct record_head *h, const struct record_row *previous,
                                         const char **ret_name);
