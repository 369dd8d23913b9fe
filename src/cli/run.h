/* `headroom run`: its options, the way into a group, and what is said at the end. Exit codes as of env(1) and
 * its like: those of the command, 128 + N of one that signal N has ended, 127 not found, 126 cannot be run,
 * 125 for what went wrong here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "action/history.h"
#include "cli/cli.h"
#include "model/run.h"
#include "model/snapshot.h"

#define RUN_RELAY_MAX 88 /* so that a socket in it, and its name while it is made, fit an address */

enum run_exit {
    RUN_FAILED = 125,
    RUN_NOT_EXECUTABLE = 126,
    RUN_NOT_FOUND = 127,
};

struct run_options {
    const char *class;
    struct run_attributes attributes;
    bool require; /* not without a group */
    bool quiet;
    bool no_watch; /* its environment says nothing of where pressure is told, but what it said before */
    bool inside;   /* we are in the scope that systemd has made: only attributes and the command are left */
    const char *report;        /* a file for the JSON; NULL: none */
    char **command;            /* ends with NULL */
    char relay[RUN_RELAY_MAX]; /* the directory of its relay's socket; "": none */
};

/* Where the command runs. */
struct run_place {
    char group[GROUP_PATH_MAX]; /* "": nowhere of ours */
    uint64_t id;                /* 0: systemd's scope */
    bool of_user;
};

/* What became of it all. */
struct run_report {
    const char *class;
    const char *group; /* "": none */
    int status;        /* as of waitpid */
    uint64_t wall_usec;
    uint64_t peak_bytes; /* 0: not known */
    bool peak_at_least;  /* it was only seen now and then */
    uint64_t processes_left;
    bool stays; /* the group could not be removed */
    struct history history;
};

/* -1: go on; else the exit code, and all is said. */
int run_options_parse(int argc, char **argv, struct run_options *ret);

/* run_place.c: by the process that is to be in the group, before it becomes the command. 0: it is in it, or
 * (id 0) is to start the scope. -ENOTCONN: nobody answers; the rest is said on stderr: -EINVAL: what is asked
 * for is wrong, -EAGAIN: it is not possible here or now. */
int run_place_ask(const struct cli_options *o, const struct run_options *run, struct run_place *ret);
/* False: nobody was there to take it. */
bool run_place_end(const struct cli_options *o, const struct run_place *place);
/* Becomes systemd-run, which becomes this program with --inside. Returns where that cannot be started. */
void run_place_enter_scope(const struct run_options *run, const struct run_place *place);
/* The cgroup that the process itself is in. */
int run_place_open_own(int *ret_fd, char ret_group[static GROUP_PATH_MAX]);

/* run_relay.c: first by who starts it all: the directory, and an environment without what is not true any
 * more. Then by the process that is in the group, before it becomes the command: MEMORY_PRESSURE_WATCH is set
 * once it can be connected to. Where that is not possible it is said on stderr, and done without. */
void run_relay_prepare(struct run_options *run);
void run_relay_start(const struct cli_options *o, const struct run_options *run);
/* At the end, however the relay has ended. Nothing for "". */
void run_relay_remove(const char *dir);

/* run_report.c */
int run_report_exit_code(int status);
/* A sentence or more for people, without a newline. */
struct buffer;
void run_report_format(struct buffer *b, const struct run_report *r);
json_t *run_report_to_json(const struct run_report *r);
