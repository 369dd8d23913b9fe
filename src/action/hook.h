/* Hooks: commands of the operator's that are told what headroomd does. They are run by a process of their
 * own, the runner, which the guardian forks and looks after: spawning waits for the exec, which a file system
 * may hold up for ever, and neither the loop nor the dead-man switch may wait with it. The loop only sends a
 * message that does not block; what does not fit is dropped and counted.
 *
 * A hook gets an absolute path and words (no shell), a clean environment, /dev/null as its three descriptors
 * and nothing else of ours: signals at their defaults, a process group of its own, oom_score_adj 0, nice 0.
 * One runs at a time, in the order of what is told. When it has ended, or its time is over, all that is left
 * of its process group is killed, and all that left the group (the runner is their subreaper). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"
#include "model/config.h"
#include "model/snapshot.h"

#define HOOK_QUEUE_MAX 64

/* What is told: one message, whole or not there. */
struct hook_event {
    enum hook_kind kind;
    char command[CONFIG_COMMAND_MAX];
    uint64_t timeout_usec;
    enum level level, level_before;
    char reason[32];
    char trigger[32]; /* "event high" */
    uint64_t limit_bytes, used_bytes, need_bytes;
    int64_t room_bytes;
    uint64_t time_left_usec; /* UINT64_MAX: not growing */

    /* Of a kill: one message a victim. */
    uint64_t decision;
    unsigned victim_number, victim_count; /* 1 of 3 */
    char victim[GROUP_PATH_MAX];
    uint64_t victim_id;
    pid_t victim_pid; /* 0: a cgroup */
    char victim_comm[16];
    char class_name[CONFIG_NAME_MAX];
    uint64_t age_usec, progress_usec, expected_bytes;

    /* Of its outcome. */
    unsigned gone, stuck, failed;
    uint64_t freed_bytes, outcome_usec;
};

/* Written by the runner, read by the loop; on a page that both share. */
struct hook_counts {
    uint64_t run;
    uint64_t failed; /* could not be started, or ended with a status that is not 0 */
    uint64_t timed_out;
    uint64_t dropped; /* did not fit into the queue */
};

/* Where the guardian stands with the runner. */
struct hook_keeper {
    int fd; /* the runner's end; held so that another runner can follow */
    pid_t pid;
    struct hook_counts *counts;
    uint64_t retry_usec;
};

/* "PreKill", "PostKill", "OnLevel": the names of the keys. */
const char *hook_name(enum hook_kind k);

/* Copies what others have named: at most size − 1 bytes, everything but printable ASCII as '?'. */
void hook_copy_safe(char *ret, size_t size, const char *value);

#define HOOK_ENV_MAX 32
#define HOOK_ENV_BYTES 3072

/* "NAME=value" strings in `storage`, ended by NULL in ret. */
unsigned hook_environment(const struct hook_event *e, char storage[static HOOK_ENV_BYTES],
                          char *ret[static HOOK_ENV_MAX]);

/* The runner's main: until end-of-file, or until the process `keeper` is gone (the one that follows starts a
 * runner of its own), and until what was told before has been done or one more time limit is over. */
int hook_runner_main(int fd, struct hook_counts *counts, pid_t keeper);

/* In the guardian. The runner is forked when hooks are configured, or when the first message comes. */
void hook_keeper_start(struct hook_keeper *k, uint64_t now_usec);
/* Which descriptor to wait on for input; -1: none. */
int hook_keeper_fd(const struct hook_keeper *k, uint64_t now_usec);
/* After each wait; `waiting`: there is input on that descriptor. */
void hook_keeper_check(struct hook_keeper *k, bool waiting, uint64_t now_usec);
