/* What was done to a group that `headroom run` has made, kept as attributes of its cgroup: there whoever
 * started it reads it at the end, however many other decisions there were since, and whether or not headroomd
 * was started again meanwhile. Other groups get none: their owners have not asked for it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

#define HISTORY_MARK "user.headroom.run" /* what makes a group one of these */
#define HISTORY_WHY_MAX 32

struct history {
    uint64_t asked; /* times that a program in it was asked to give memory back */
    uint64_t pauses;
    uint64_t paused_usec;            /* in sum, without the one under way */
    uint64_t paused_since_usec;      /* CLOCK_BOOTTIME; 0: it runs */
    char pause_why[HISTORY_WHY_MAX]; /* of the last one */
    uint64_t kill_decision;          /* 0: headroomd has not killed it */
    char kill_why[HISTORY_WHY_MAX];
};

/* Each does nothing where the cgroup has no mark. */
void history_note_pause(int cgroup_fd, const char *why, uint64_t now_usec);
void history_note_resume(int cgroup_fd, uint64_t now_usec);
void history_note_kill(int cgroup_fd, uint64_t decision, const char *why);
void history_note_asked(int cgroup_fd);

/* All that is there; what is not, or makes no sense, is 0. Works through a held descriptor of a cgroup that
 * has been removed. */
void history_read(int cgroup_fd, struct history *ret);

/* "COUNT SUM SINCE WHY", and "DECISION WHY": false where it is none. Public for tests. */
bool history_parse_pauses(struct text t, struct history *ret);
bool history_parse_kill(struct text t, struct history *ret);
