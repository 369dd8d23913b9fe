/* The whole daemon as one object, of which there is one a process. It is static storage, but for the arrays
 * with a place a group, which storage.c maps once: its size is known at start, and locked then. What each
 * file of this folder does:
 *
 *   main.c      start and stop; options.c: the command line
 *   mode.c      which mode is possible here, and why
 *   cycle.c     one look: snapshot → room → decision → action → record
 *   pausing.c   pauses and resumes, and what an operator asks for
 *   reclaiming.c  memory pushed out to swap, by the worker
 *   notifying.c  programs that are asked to give memory back
 *   offloading.c  memory that nobody misses, while all is calm
 *   nodes.c     shortage on NUMA nodes that groups are bound to
 *   isolate.c   the knobs: memory.high on the workloads, memory.low on the protected
 *   hooks.c     what the operator's commands are told
 *   keeping.c   memory QoS: what its keeper is given, and what it tells
 *   keeper.c    the process that keeps the plan; keeper_child.c: where the guardian stands with it;
 *               keeper_block.c: what the loop tells it; pacing.c: swap budgets, in that process
 *   guardian.c  the companion that acts when the loop does not; guarding.c: what the loop tells it
 *   running.c   groups for `headroom run`
 *   learned.c   what was learned of the classes, over restarts
 *   outlook.c   who would be next, for the status
 *   reload.c    the configuration: read at the start, and anew while we run
 *   apply.c     what follows when it is another one
 *   report.c    log lines and status
 *   storage.c   what is sized by MaxGroups, and what of it all is locked
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "action/hook.h"
#include "action/journal.h"
#include "action/kill.h"
#include "action/knobs.h"
#include "action/pause.h"
#include "action/run.h"
#include "action/worker.h"
#include "daemon/keeper.h"
#include "daemon/offloading.h"
#include "daemon/reload.h"
#include "model/config.h"
#include "model/decision.h"
#include "model/status.h"
#include "monitor/monitor.h"
#include "policy/ladder.h"
#include "policy/notify.h"
#include "policy/numa.h"
#include "policy/pause.h"
#include "policy/reclaim.h"
#include "policy/room.h"
#include "policy/swap.h"
#include "policy/victim.h"
#include "record/ring.h"
#include "server/control.h"
#include "server/pressure.h"
#include "snapshot/reader.h"
#include "system/companion.h"
#include "system/loop.h"

#define DAEMON_PAGE 4096
#define DAEMON_RUNTIME_DIR "run/headroom"
/* One a group, and what else is open: workloads, clients of the control socket, dying victims. */
#define DAEMON_DESCRIPTORS 1024
#define LOCK_DRY_RUN "dry-run" /* behind the pid in the lock of one that only looks on */

/* Exit codes: what a service manager or a script can tell apart. */
enum daemon_exit {
    DAEMON_EXIT_OK = 0,
    DAEMON_EXIT_FAILURE = 1,
    DAEMON_EXIT_USAGE = 2,
    DAEMON_EXIT_CONFIG = 3,
    DAEMON_EXIT_RUNNING = 4,      /* another headroomd has the lock */
    DAEMON_EXIT_PREREQUISITE = 5, /* what was asked for is not possible here */
};

struct daemon_options {
    const char *config_path; /* NULL: the default one, if it is there */
    const char *sysroot;     /* "/" */
    bool dry_run;
    bool check_config;
    bool debug;
};

struct guardian_options {
    const char *sysroot;
    bool act; /* false in dry-run and in a recorded tree */
    pid_t daemon_pid;
    int hook_fd; /* the end of whoever runs hooks */
    struct guardian_page *page;
    bool hooks; /* some are configured */
    struct keeper_options keeper;
    bool keep; /* there is a plan to keep */
    struct reload_source reload;
};

struct daemon_hooks {
    int fd;     /* what is told is sent here */
    int far_fd; /* for the guardian */
    struct hook_counts *counts;
    uint64_t dropped; /* nobody took it in time */
    enum level level_told;
    uint64_t level_told_usec;
};

struct daemon_keeping {
    struct keeper_block *block; /* not touched before there is a plan */
    bool published;
    struct loop_timer *timer; /* of the drifts in its batch */
    unsigned batch_count;
};

/* PodFile=, as it changes (pods.c). */
struct daemon_pods {
    int fd; /* inotify's */
    int watch;
    char file[CONFIG_PATH_MAX]; /* that is followed */
    bool unwatched;             /* and that was said */
    struct loop_timer *timer;
    struct config_messages said; /* what was wrong when it was last read */
};

#define NOTIFY_GROUPS_MAX DECISION_VICTIMS_MAX /* those of more programs in one round are not measured */

/* A cgroup with programs that are asked; or one of them, where its memory is told of alone. */
struct notify_group {
    char path[GROUP_PATH_MAX];
    int dir_fd; /* held while a round is under way; -1: the process `pid` is measured */
    pid_t pid;
    unsigned class_index;
    unsigned programs;
    bool news; /* to some of them */
    uint64_t held_bytes;
    uint64_t gave_bytes;
    uint64_t expected_bytes;
};

struct notify_told {
    unsigned place;
    unsigned group;
};

struct daemon_notifying {
    struct notify_state state;
    struct pressure server;
    char path[512];
    bool served;

    /* The round that is under way. */
    bool asking;
    uint64_t waited_since_usec; /* something else was put off for it since then; 0: nothing */
    uint64_t waited_usec;       /* and for so long */
    uint64_t wait_until_usec;   /* it is not put off for longer; 0: nothing was, lately */
    struct notify_told told[NOTIFY_WAKE_MAX];
    unsigned asked;
    struct notify_group groups[NOTIFY_GROUPS_MAX];
    unsigned group_count;
    uint64_t since_usec, until_usec, wall_usec;
    uint64_t round_usec; /* to find them, and to tell them */
    uint64_t expected_bytes, expected_usec;
    uint64_t least_used, least_usec; /* since then, of the domain; 0: it is what it was */
    struct trigger trigger;
    struct room room;

    uint64_t recorded_usec;
    enum level recorded_level;
    uint64_t rounds, asked_total, gave_total, round_most_usec;
};

#define RUNS_EMPTY_MAX 64

struct daemon_running {
    uint64_t tickets; /* given out */
    uint64_t sweep_due_usec;
    uint64_t empty_ids[RUNS_EMPTY_MAX]; /* that were empty at the last sweep */
    unsigned empty_count;
    unsigned count;     /* of groups that were made, as of the last sweep, and those made since */
    unsigned under_way; /* orders that the guardian has not answered */
};

struct daemon {
    struct daemon_options options;
    char config_path[256];
    struct config config;
    struct reload reload;
    struct daemon_pods pods;
    bool real_root; /* sysroot is "/" */
    bool dry_run;
    char mode_reason[256];

    int root_fd;
    int runtime_fd;
    int lock_fd;
    int proc_fd;
    int signal_fd;
    struct hierarchy hierarchy;
    struct loop loop;
    struct snapshot_reader reader;
    struct snapshot snapshot;
    unsigned group_max; /* MaxGroups: as long are the arrays of groups */
    struct group *groups;
    struct group_handle *handles;
    struct group_watch *watches;          /* two for each group: of it, and of what it is in */
    struct notify_client *notify_clients; /* these are as long as MaxClients */
    struct notify_user *notify_users;
    struct pressure_client *pressure_clients;

    struct room_state room_state;
    struct room room;
    struct numa_state numa_state;
    struct room numa_room; /* of the nodes that are tightest for those who are bound to them; 0: nobody is */
    bool has_look;
    uint64_t limit_step_from; /* bytes that the workload was over its limit at start, or after a reload */
    uint64_t limit_step_usec; /* when that was */
    uint64_t start_usec;

    struct journal journal;
    struct lease_table leases;
    struct knobs knobs;
    bool knobs_open;
    uint64_t high_wanted[SNAPSHOT_WORKLOADS_MAX];
    uint64_t
        high_since_usec[SNAPSHOT_WORKLOADS_MAX]; /* it is to come down to less than is used; 0: it is not */
    uint64_t knobs_due_usec;
    uint64_t knobs_least_usec;   /* not sooner, even where a limit has risen */
    bool knobs_unwanted;         /* some that are not wanted any more could not be put back yet */
    uint64_t watch_due_usec;     /* when the monitors' targets are gone through again */
    uint64_t workloads_due_usec; /* when it is looked whether there are others */
    uint64_t pressed_until_usec; /* a PSI trigger has fired lately: looks are frequent until then */

    struct worker_options worker_options;
    struct guardian_options guardian_options;
    struct companion worker;
    struct companion guardian;
    struct guardian_page *guardian_page;
    struct daemon_hooks hooks;
    struct daemon_keeping keeping;
    struct daemon_running running;
    struct loop_timer *beat_timer;
    struct loop_timer *hold_timer;
    struct loop_timer *kill_timer;
    uint64_t last_beat_usec;
    uint64_t fence_sequence; /* of the guardian's page, that the leases are of */
    uint64_t guardian_fences;

    struct pause_state pause_state;
    struct pause_plan pause_plan;
    struct pause_row *pause_rows;
    struct decision pause_decision; /* pauses and resumes end where they begin: beside the one under way */
    bool pause_made;                /* somebody was paused with this look */
    uint64_t pause_quiet_usec;      /* a dry run does not say the same again before */
    uint64_t hold_until_usec;       /* an operator has stopped pauses and kills until then */
    uint64_t killed_ids[64];        /* whose end says nothing of what its class comes to; a ring */
    unsigned killed_next;
    uint64_t reclaimed_bytes;
    bool reclaiming; /* the worker is at it */
    struct reclaim_state reclaim_state;
    struct swap_bounds swap_bounds;
    struct reclaim_target reclaim_target; /* what it is at */
    uint64_t reclaim_since_usec;
    uint64_t pushed_usec; /* the walk by which memory of the paused was pushed out last */
    struct decision reclaim_decision;
    bool reclaim_recorded;
    uint64_t reclaim_quiet_usec;
    struct daemon_offload offload;
    uint64_t learned_seen; /* how many ends the file knows of */
    struct daemon_notifying notifying;
    uint64_t walk_usec;  /* what the last walk over the groups took */
    bool groups_changed; /* since that walk, the kernel says */
    bool walk_now;       /* what was put off is due, whatever share of the time walks have had */
    bool beyond_said;    /* that there are more groups than MaxGroups */
    unsigned rest_next;  /* which of the rests is reclaimed from next */

    struct monitor_set monitors;
    struct killer killer;
    struct decision decision;   /* the one that is being taken, or whose action is under way */
    bool deciding;              /* its action is under way */
    uint64_t settle_since_usec; /* its victims are gone, and their memory is waited for since then; 0: not
                                   yet */
    struct victim_state victim_state;
    struct victim_scratch scratch;
    struct candidate *candidates;
    struct cover_item *items;
    uint64_t allowance_bytes; /* memory.high stands this much above the limit while a victim ends by itself */
    uint64_t quiet_until_usec; /* dry-run and no-candidate decisions are not recorded again before */
    uint64_t decide_due_usec;  /* nor is anybody looked for before */
    uint64_t nodes_due_usec;   /* for some nodes alone */

    char control_path[512];
    uint64_t looks;
    uint64_t looks_failed;
    uint64_t look_failed_said_usec;
    char warnings[STATUS_WARNINGS_MAX][STATUS_WARNING_MAX];
    unsigned warning_count;

    /* From here on it is the loop's alone: the companions do not get a copy. */
    _Alignas(DAEMON_PAGE) struct record_ring ring;
    struct pauser pauser;
    _Alignas(DAEMON_PAGE) struct control control;
    _Alignas(DAEMON_PAGE) char end;
};

/* storage.c */
int storage_open(struct daemon *d)
    _nodiscard_; /* the arrays, sized from the configuration; before a companion */
int storage_lock(struct daemon *d) _nodiscard_;

/* mode.c: sets reader.isolate, reader.processes, mode_reason. -EOPNOTSUPP: Mode=isolate and it cannot be. */
int mode_choose(struct daemon *d) _nodiscard_;
/* Workload=auto: whether mode_choose would find a workload now that it did not find before. */
bool mode_is_outdated(struct daemon *d);
/* apply.c: takes them on, as a reload does. */
void apply_new_workloads(struct daemon *d);

/* cycle.c */
void cycle_look(struct daemon *d, const struct trigger *t);
void cycle_on_trigger(void *user, const struct trigger *t);
void cycle_on_kill_progress(void *user);
void cycle_on_kill_timer(void *user);
void cycle_on_hold_timer(void *user);
void cycle_on_groups_changed(void *user, int fd, uint32_t events);

int cycle_read_groups(struct daemon *d) _nodiscard_;
/* Kills the victims of *e. False where an action is under way, or nobody could be signalled. */
bool cycle_kill(struct daemon *d, const struct decision *e);

/* pausing.c */
bool pausing_possible(const struct daemon *d); /* some class may be paused, or somebody is */
bool pausing_held(const struct daemon *d, uint64_t now_usec);
void pausing_mark(struct daemon *d);  /* after each walk */
void pausing_check(struct daemon *d); /* at each look */
void pausing_step(struct daemon *d, const struct trigger *t);
bool pausing_covers(struct daemon *d);
/* Where all have been paused who may be: by how much those that run are still expected to outgrow the room.
 */
uint64_t pausing_short_bytes(const struct daemon *d);
void pausing_thaw_victims(struct daemon *d, const struct decision *e);
void pausing_note_killed(struct daemon *d, const struct decision *e);
int pausing_command(void *user, const struct control_command *c, char *text, size_t size);
void pausing_fill_status(struct daemon *d, struct status *s);

/* reclaiming.c */
void reclaiming_step(struct daemon *d, const struct trigger *t); /* at each look */
uint64_t reclaiming_next_look_usec(const struct daemon *d);
/* There is a need, and there are groups beyond MaxGroups: what they are in is reclaimed from. */
void reclaiming_rest(struct daemon *d);
void reclaiming_note(struct daemon *d, const struct worker_reply *reply);
struct ladder_rung reclaiming_rung(const struct daemon *d);

/* nodes.c */
void nodes_judge(struct daemon *d); /* at each look, after the room */
/* The room that the decision is about, as of the last look: the domain's, or that of some nodes. */
struct room nodes_room(const struct daemon *d, const struct decision *e);
/* What each group of the last walk holds there. */
void nodes_read_held(struct daemon *d, uint64_t nodes);

/* notifying.c */
void notifying_open(struct daemon *d);
void notifying_close(struct daemon *d);
/* The configuration has changed: class i is class map[i] now, or RECORD_CLASS_GONE. */
void notifying_map_classes(struct daemon *d, const uint16_t map[static CONFIG_CLASSES_MAX]);
void notifying_step(struct daemon *d,
                    const struct trigger *t); /* at each look, before what else may be done */
uint64_t notifying_next_look_usec(const struct daemon *d);
/* Whether what programs were asked for should bring so much, and when. Where it does so in time, what is less
 * gentle is put off for it, for NotifyGrace= at most, and that it was is noted. */
struct ladder_rung notifying_rung(struct daemon *d, uint64_t bytes);
bool notifying_covers(struct daemon *d, uint64_t bytes);
/* How much it should bring in time, 0 where nobody waits for it; and that something was put off for it. */
uint64_t notifying_asked_bytes(const struct daemon *d);
void notifying_note_wait(struct daemon *d);
void notifying_fill_status(const struct daemon *d, struct status *s);

/* apply.c: whether the path is in the domain */
bool apply_is_in_workload(const struct daemon *d, const char *path);

/* learned.c: what was learned of the classes, kept over restarts in the runtime directory */
void learned_load(struct daemon *d);
void learned_save(struct daemon *d);

/* isolate.c */
int isolate_open(struct daemon *d) _nodiscard_; /* journal, adoption of what an earlier daemon left */
void isolate_refresh(struct daemon *d, bool force);
/* Raises every workload's memory.high above its limit by this much, within MemAvailable; 0 takes it back. */
void isolate_allow(struct daemon *d, uint64_t bytes);
/* Puts back what the configuration does not ask for any more. */
void isolate_drop_unwanted(struct daemon *d);
bool isolate_stands(struct daemon *d); /* every workload that is there has its memory.high */
/* A workload that is above its limit when we come to it is given 30 s to come under it. */
void isolate_note_above_limit(struct daemon *d);
void isolate_note_foreign(struct daemon *d); /* fills the snapshot's foreign_high from the leases */
void isolate_note_fence(struct daemon *d);   /* before each look: whether the guardian has raised one */
void isolate_await_fence(struct daemon *d);  /* the same for who looks no more */
void isolate_end_fence(struct daemon *d);    /* there is nobody who is at one */
/* The worker has not written it, because of a fence. */
void isolate_note_canceled(struct daemon *d, uint64_t cgroup_id, const char *knob);
void isolate_close(struct daemon *d);

/* guarding.c: the loop's side of the guardian */
int guardian_map(struct daemon *d) _nodiscard_; /* what both share; once */
int guardian_start(struct daemon *d) _nodiscard_;
void guardian_beat(struct daemon *d, uint64_t now_usec);
void guardian_stop(struct daemon *d);
bool guardian_set_property(struct daemon *d, const struct lease *l, uint64_t value);
void guardian_on_timer(void *user);
bool guardian_ask_reload(struct daemon *d, uint64_t sequence);

bool guardian_wake_keeper(struct daemon *d);
bool guardian_run(struct daemon *d, uint64_t ticket, const struct run_order *o);
bool guardian_end_run(struct daemon *d, const char *path, uint64_t id);

/* keeping.c */
int keeping_open(struct daemon *d) _nodiscard_;
bool keeping_wanted(const struct daemon *d);
/* There is no plan any more, and what an earlier daemon's keeper has set is still there. */
bool keeping_left(const struct daemon *d);
void pods_open(struct daemon *d);
void pods_follow(struct daemon *d); /* the configuration is another one */
void pods_retry(struct daemon *d);
void pods_note_said(struct daemon *d,
                    const struct config_messages *messages); /* with all of a configuration */
void pods_take(struct daemon *d, const struct config *from, const struct config_messages *messages);
void keeping_publish(struct daemon *d);                   /* the configuration is another one */
void keeping_note_limit(struct daemon *d);                /* with each refresh of the knobs */
uint64_t keeping_protected_cache(const struct daemon *d); /* in the workloads, by groups' memory.min */
void keeping_note(struct daemon *d, const struct keeper_message *m);
void keeping_fill_status(const struct daemon *d, struct status *s);

/* hooks.c: nothing here waits */
int hooks_open(struct daemon *d) _nodiscard_;
bool hooks_configured(const struct config *c);
void hooks_tell_kill(struct daemon *d, enum hook_kind k, const struct decision *e);
void hooks_note_level(struct daemon *d, const struct trigger *t); /* at each look */
void hooks_fill_status(const struct daemon *d, struct status *s);

/* running.c */
int running_command(struct daemon *d, const struct control_command *c, char *ret_text, size_t size);
void running_note(struct daemon *d, uint64_t ticket, int result, const char *path, uint64_t id);
void running_on_guardian_gone(struct daemon *d);
void running_sweep(struct daemon *d); /* at each look */

/* outlook.c: who would be next */
void outlook_fill_status(struct daemon *d, struct status *s);
bool outlook_group(void *user, unsigned index, struct status_group *ret);

/* report.c */
void report_warning(struct daemon *d, const char *format, ...) _printf_(2, 3);
void report_decision(struct daemon *d, const struct decision *e);
void report_monitor(void *user, enum monitor_kind kind, const char *message);
void report_status(void *user, struct status *ret);
