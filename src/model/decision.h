/* One pass of the policy and what it brought: everything that is needed to explain it later, of fixed size.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/config.h"
#include "model/snapshot.h"

enum trigger_kind {
    TRIGGER_NONE,
    TRIGGER_EVENT,     /* memory.events.local of a workload */
    TRIGGER_PRESSURE,  /* a PSI trigger */
    TRIGGER_THRESHOLD, /* the timer */
    TRIGGER_KNOBS,     /* knobs were looked at */
    TRIGGER_OUTCOME,   /* an action has ended: look again, since events may have come meanwhile */
};

/* What woke the daemon. */
struct trigger {
    enum trigger_kind kind;
    uint64_t at_usec;
    const char *detail; /* a constant: "high", "max", "oom", "some", "full", "timer", … */
};

/* How the domain stands: limit, what is used of it, and how long it lasts (DESIGN: the ladder). */
struct room {
    uint64_t nodes; /* of these NUMA nodes alone; 0: of the whole domain */
    uint64_t limit;
    uint64_t used;
    uint64_t margin;          /* kept free for what happens between a look and its effect */
    uint64_t swap;            /* effective swap that counts as room; 0 while swapping is felt */
    uint64_t swap_left;       /* effective swap, felt or not */
    bool felt;                /* swapping is felt: PSI says so */
    bool by_available;        /* MemAvailable is what bounds the room, not the limit */
    int64_t room;             /* limit − used + swap, at most MemAvailable + swap; may be negative */
    uint64_t need;            /* bytes that must become free; 0: none */
    uint64_t growth;          /* bytes per second, of the last moment */
    uint64_t trend;           /* bytes per second, over half a second and more */
    uint64_t inflow;          /* bytes per second that want a place in memory: new, and back from swap */
    uint64_t thrash;          /* bytes that came back from swap in the last window while that is felt */
    unsigned stall_permyriad; /* of the last window, in which the domain stood still (PSI full): for memory */
    unsigned paging_permyriad; /* or for what came back from swap, as far as reads from there are its cause */
    unsigned paging_share_permyriad; /* of all that was read from block devices in that window, from swap */
    bool returns;                    /* much of what was swapped out lately was read back from a device */
    bool wanted_back;                /* much of it came back, whatever that cost: it was not cold */
    bool in_zram;                    /* most of what is swapped out is in zram, and so still takes memory */
    bool strained;           /* it has no more memory to grow into, and goes on only as fast as swap does */
    bool throttled;          /* it has stood still so for ThrottleDeadline, though nothing is needed */
    uint64_t time_left_usec; /* UINT64_MAX: not growing */
    enum level level;
};

#define DECISION_VICTIMS_MAX 32

/* Why a group was or was not chosen. */
enum verdict {
    VERDICT_CHOSEN,
    VERDICT_CULPRIT,    /* chosen: over its share, and the cause of most of the growth */
    VERDICT_NOT_NEEDED, /* its tier was reached, and others were cheaper */
    VERDICT_TIER,       /* a lower tier was enough */
    VERDICT_PROTECTED,  /* its class is, or it asked to be left out and may */
    VERDICT_ACTIONS,    /* its class does not name the action */
    VERDICT_DYING,
    VERDICT_NOTHING,   /* it would free nothing */
    VERDICT_NO_ROOM,   /* more victims than one decision takes */
    VERDICT_ELSEWHERE, /* it holds nothing on the NUMA nodes that are short */
};

/* What the policy saw in one group. */
struct candidate {
    uint64_t id;
    pid_t pid;
    unsigned group_index; /* into the snapshot */
    unsigned class_index;
    unsigned priority;
    bool retriable;
    bool over_request; /* or none declared */
    bool last;         /* asked to be avoided, or of a task that was killed often */
    enum verdict verdict;
    uint64_t request_bytes; /* GROUP_REQUEST_NONE: none */
    uint64_t freed_bytes;   /* what its end should free */
    uint64_t progress_usec; /* what its end throws away */
    uint64_t growth_bytes;
};

/* Why a group is paused or resumed. */
enum pause_why {
    PAUSE_WHY_NONE,
    PAUSE_WHY_GROWTH, /* what the running ones are still expected to grow by does not fit */
    PAUSE_WHY_BIRTH,  /* it has just begun, and does not fit yet */
    PAUSE_WHY_THRASH, /* the running ones stall on memory that was swapped out */
    PAUSE_WHY_TURN,   /* in the place of one that was paused for PauseLimit */
    PAUSE_WHY_OPERATOR,
    RESUME_WHY_FITS,
    RESUME_WHY_IDLE,  /* nobody else runs, or the running ones wait for it */
    RESUME_WHY_CALM,  /* all is calm and steady, whatever was expected */
    RESUME_WHY_LIMIT, /* PauseLimit is over */
    RESUME_WHY_OPERATOR,
};

struct victim {
    char path[GROUP_PATH_MAX];
    uint64_t id;
    pid_t pid;
    char comm[16];
    unsigned class_index;
    uint64_t task;           /* lineage; 0: none */
    uint64_t expected_bytes; /* what its end should free */
    uint64_t shmem_bytes;
    unsigned programs; /* these three of a cgroup whose programs were asked */
    uint64_t held_bytes;
    uint64_t gave_bytes;
    uint64_t age_usec;
    uint64_t progress_usec;
    bool culprit;
    enum pause_why why; /* of a pause or a resume */
};

enum decision_reason {
    DECISION_NOTHING_NEEDED,
    DECISION_KILL,
    DECISION_WAITING,      /* an earlier victim's memory is still coming back */
    DECISION_NO_CANDIDATE, /* something is needed and nobody may be taken */
    DECISION_FRUITLESS,    /* the last kills left the need as it was: killing has stopped */
    DECISION_KILL_LIMIT,   /* KillLimit is used up, and it is not critical enough to go beyond it */
    DECISION_RECLAIM,      /* cold memory is pushed out to swap */
    DECISION_PAUSE,
    DECISION_RESUME,
    DECISION_DRIFT,  /* somebody else has set knobs that are kept for QoS= */
    DECISION_NOTIFY, /* programs were asked to give memory back */
};

enum decision_method {
    METHOD_NONE,
    METHOD_ALL,       /* everything that may be taken, or all of a tier */
    METHOD_EXACT,     /* the cheapest set that covers the need */
    METHOD_QUANTISED, /* the same over rounded sizes */
    METHOD_CULPRIT,
    METHOD_ORDER, /* Order= of the class, from the front */
};

struct decision {
    uint64_t id;
    struct trigger trigger;
    struct room room;
    uint64_t time_usec;
    uint64_t wall_usec; /* CLOCK_REALTIME, for people */
    enum decision_reason reason;
    enum decision_method method;
    unsigned groups;      /* seen */
    unsigned candidates;  /* of these, allowed and worth something */
    unsigned asked;       /* programs */
    unsigned passed_over; /* groups that may be killed but would free nothing */
    struct victim victims[DECISION_VICTIMS_MAX];
    unsigned victim_count;
    uint64_t expected_bytes;
    uint64_t growth_permyriad; /* the victims' part of all groups' growth */
    uint64_t next_bytes;       /* what those would free who could be next (policy/victim) */
    bool dry_run;

    /* The outcome. */
    bool ended;
    unsigned gone;   /* victims that were seen empty */
    unsigned stuck;  /* victims that were not within KillDeadline */
    unsigned failed; /* victims that could not be signalled */
    uint64_t used_after;
    uint64_t need_after;
    uint64_t freed_bytes;  /* used before the first signal less used after, 0 where it grew */
    uint64_t select_usec;  /* trigger → victim chosen */
    uint64_t signal_usec;  /* trigger → kill system call done */
    uint64_t outcome_usec; /* trigger → all victims empty, or given up */
    uint64_t waited_usec;  /* what is less gentle was put off for so long while programs were asked */
};

const char *trigger_name(enum trigger_kind k);
const char *decision_reason_name(enum decision_reason r);
const char *verdict_name(enum verdict v);
const char *decision_method_name(enum decision_method m);
const char *pause_why_name(enum pause_why w);
