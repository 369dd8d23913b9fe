/* Which programs are asked to give memory back, in which order, and what asking brings: the first rung of the
 * ladder. Pure.
 *
 * A round asks at most NotifyWake= of those who are due: whoever was not asked lately, or only at a better
 * level. Half of its places go to those who gave most back, the others to those who were asked longest ago,
 * so that each of N who are due is asked within N / (NotifyWake / 2) rounds, rounded up, whatever the others
 * give. Programs in the domain go before those outside of it, which are asked only where that is short which
 * they share, and those who do not read what they are told go last.
 *
 * Places are shared by users: once all are taken, who holds most makes room for who holds less. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"
#include "model/config.h"

#define NOTIFY_WAKE_MAX 256 /* the greatest NotifyWake= (config/keys) */
/* Nothing told for 10 s is calm to a program (struct headroom_options): what still holds is said before. */
#define NOTIFY_AGAIN_USEC (8 * USEC_PER_SEC)
/* A worse level is told sooner, which can come twice in a row at most. */
#define NOTIFY_WORSE_USEC (250 * USEC_PER_MSEC)

/* A program that asked to be told; one place in storage of the caller. */
struct notify_client {
    uint64_t told_usec;  /* when it was last asked, or passed over; 0: never */
    uint64_t gave_bytes; /* its share of what came back of its cgroup, a mean over the times it was asked */
    uint32_t uid;
    int32_t pid;        /* who connected; 0: not known here */
    uint32_t next_free; /* of a free place, + 1; 0: it is the last one */
    uint16_t class_index;
    uint8_t level; /* as it was last told */
    bool used : 1;
    bool inside : 1; /* in the domain */
    bool mute : 1;   /* has not read what it was told before */
    bool picked : 1; /* while a round is put together */
};

struct notify_user {
    uint32_t uid;
    uint32_t clients;
};

/* What asking brings in one class, learned from outcomes: means that move by a quarter of the difference. */
struct notify_estimate {
    unsigned yield_permyriad; /* of what the cgroups of those who were asked held */
    unsigned fruitless;       /* times in a row that brought next to nothing */
    uint64_t usec;            /* until it had come back */
    uint64_t not_before_usec; /* nothing is expected of it until then */
};

struct notify_state {
    struct notify_client *clients; /* `max` of each, of the caller */
    struct notify_user *users;
    unsigned max;
    unsigned count;
    unsigned top; /* beyond it no place was ever in use */
    unsigned free;
    unsigned user_count;
    struct notify_estimate of[CONFIG_CLASSES_MAX];
};

void notify_state_init(struct notify_state *s, struct notify_client *clients, struct notify_user *users,
                       unsigned max);
void notify_estimate_init(struct notify_estimate *e);

/* A place for somebody who connects. Where all are taken and another user holds at least two more than this
 * one, it is the place of that user's client that has given least, which is *ret_evicted (else false). -1:
 * there is none. */
int notify_admit(struct notify_state *s, uint32_t uid, int32_t pid, bool *ret_evicted);
void notify_leave(struct notify_state *s, unsigned place);

/* Whether the class of a program, and the level, let it be asked. Who is protected may be: it gives what it
 * likes. */
bool notify_allows(const struct config *c, enum level level, unsigned class_index);
/* At most `max` places of those to be asked now, best first; how many. `others`: also who is not in the
 * domain. */
unsigned notify_choose(const struct config *c, struct notify_state *s, enum level level, uint64_t now_usec,
                       bool others, unsigned *ret_places, unsigned max);
/* Whether what it is told now is news to it, rather than that it still holds. */
bool notify_is_news(const struct notify_client *client, enum level level, uint64_t now_usec);
void notify_note_told(struct notify_client *client, enum level level, uint64_t now_usec);
/* It has its turn again after the others: it could not be told (`mute`), or may not be asked any more. */
void notify_note_passed(struct notify_client *client, uint64_t now_usec, bool mute);
void notify_note_gave(struct notify_client *client, uint64_t bytes);

/* What should come back of cgroups of this class that hold so much, and how soon. */
uint64_t notify_expected_bytes(const struct notify_state *s, unsigned class_index, uint64_t held_bytes,
                               uint64_t now_usec);
/* What came back. After next to nothing no more is expected for a second, then two, at most 32. */
void notify_note_outcome(struct notify_state *s, unsigned class_index, uint64_t now_usec, uint64_t held_bytes,
                         uint64_t gave_bytes, uint64_t usec);
