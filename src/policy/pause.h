/* Who is paused and who goes on: admission control after the fact. Pure.
 *
 *   expected(g)  = what g is still expected to grow by: its request, else the learned peak of its class, less
 *                  what it holds; beyond that, and where nothing is known, its rate × EXPECT_HORIZON_USEC;
 *                  where swap slows all growth down, and nothing is known, at least what it grew by in the
 *                  last GROUP_GROWTH_USEC
 *   spare        = room − least margin − Σ expected(g) over the running groups
 *
 * From the level on that allows it (medium, unless the configuration says otherwise) the newest running group
 * of the lowest priority is paused, one by one, until spare ≥ 0: so also a newborn one that does not fit. A
 * paused group keeps its memory and stops growing. It goes on, highest priority and oldest first, when spare
 * stays ≥ 0 with it; who does not fit lets smaller ones of his priority past for a while. While somebody
 * waits, newcomers wait behind him at every level. Where the only one running does not fit for what the
 * paused hold, one of them that does goes on in its place.
 *
 * Where there is swap to grow into, but fewer groups would get more done (policy/crowd), the newest ones are
 * paused until the others have their place in memory, and more than that is not to be reached again soon,
 * neither by those who go on nor by newcomers.
 * Where that cannot be told, and swapping is felt (PSI), the newest is paused every PAUSE_THRASH_USEC for as
 * long as the stall lasts, and what the running ones held together is remembered as the bound.
 *
 * Never the last running group of the domain; never more of a class than leaves MinRunning= of it. A paused
 * group goes on whatever was expected when nobody else runs, when the running ones stand still without a
 * stall (somebody waits for a paused peer), when all is calm and steady, and when PauseLimit is over: then in
 * another's place, or else all the same; where the level kills (critical) and a retry is all that it costs,
 * it is killed instead. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/config.h"
#include "model/decision.h"
#include "model/snapshot.h"
#include "policy/crowd.h"
#include "policy/expect.h"

#define PAUSE_THRASH_USEC UINT64_C(1500000)
/* A domain that stands still (PSI full) for this share of a window stalls. */
#define PAUSE_STALL_PERMYRIAD 2000
#define PAUSE_PLAN_MAX DECISION_VICTIMS_MAX

struct pause_state {
    struct expect_peak peaks[CONFIG_CLASSES_MAX];
    uint64_t bound_bytes; /* what the running ones held when swapping was felt; 0: it was not, lately */
    uint64_t bound_usec;
    uint64_t bound_step_usec;  /* in which it is raised once */
    uint64_t thrash_usec;      /* of the last pause for a stall */
    uint64_t stall_since_usec; /* of the first one for that stall */
    struct crowd_state crowd;
    enum crowd crowded;         /* what was judged last */
    uint64_t idle_since_usec;   /* the running ones stand still; 0: they do not */
    uint64_t steady_since_usec; /* calm, and nothing grows; 0: not so */
    uint64_t granted_id;        /* goes on because somebody waits for it */
    uint64_t granted_until_usec;
    uint64_t fast_usec; /* what a pause takes until it is confirmed, learned */
};

/* Storage of the caller for as many groups as a snapshot may hold. */
struct pause_row {
    uint64_t held_bytes;     /* swap included */
    uint64_t expected_bytes; /* still to come */
    uint64_t certain_bytes;  /* of it, what is told from more than that it grew */
    uint64_t birth_usec;
    uint64_t id;
    unsigned index;
    unsigned priority;
    unsigned class_index;
    bool running;
    bool paused;   /* by us */
    bool pausable; /* may be paused now */
    bool newborn;
    bool queued; /* newborn, and takes its turn in this plan */
    bool retriable;
    bool stays; /* taken back or left by this very plan: not touched again in it */
};

struct pause_scratch {
    struct pause_row *rows;
    struct candidate *candidates; /* filled for the record, a row a group */
    bool resume_only;     /* nobody is paused: an operator holds it, or it could not be written down */
    uint64_t asked_bytes; /* programs were asked for them, and are waited for: nobody is paused for less */
};

enum pause_act {
    PAUSE_ACT_PAUSE,
    PAUSE_ACT_RESUME,
    PAUSE_ACT_KILL, /* PauseLimit is over, nobody can take its place, it is retriable, and the level kills */
};

struct pause_step {
    enum pause_act act;
    enum pause_why why;
    unsigned group_index;
};

struct pause_plan {
    struct pause_step steps[PAUSE_PLAN_MAX];
    unsigned count;
    int64_t spare_bytes;        /* before the plan; negative: more is expected than fits */
    int64_t spare_memory_bytes; /* the same without swap, and when the plan is done */
    uint64_t in_the_way_bytes;  /* of what the paused ones hold in memory */
    uint64_t short_bytes;       /* what of that is left when all have been paused who may be */
    unsigned running;
    unsigned paused;
    bool put_off; /* somebody is not paused because of asked_bytes */
};

void pause_state_init(struct pause_state *state);
/* How long the last pause took until the kernel confirmed it. */
void pause_note_confirmed(struct pause_state *state, uint64_t usec);
/* What is to be paused and resumed now. The groups must have been read, with paused, pause_since_usec and
 * failed_pause filled in. */
void pause_make_plan(const struct config *c, const struct snapshot *s, const struct room *r,
                     struct pause_state *state, const struct pause_scratch *scratch, struct pause_plan *ret);
/* Who would be paused first, were memory to run short now (level medium, or where it stands), and who goes on
 * first when there is room: indexes of groups, -1: nobody. In the plan's own order; nothing is remembered. */
struct pause_heads {
    int pause;
    enum pause_why why; /* THRASH: nothing that it still grows by speaks for it, only a stall would */
    int resume;
};
void pause_find_heads(const struct config *c, const struct snapshot *s, const struct room *r,
                      const struct pause_state *state, const struct pause_scratch *scratch,
                      struct pause_heads *ret);
/* Whether the level lets this action reach a group of that priority. */
bool level_allows(const struct config *c, enum level level, enum action action, unsigned priority);
