/* `headroom`: one file a sub-command, each a function of the table in main.c. Words, units and exit codes are
 * the same everywhere. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILURE = 1, /* it was tried and failed, or `check` found something that does not work */
    CLI_USAGE = 2,
    CLI_NO_DAEMON = 6, /* headroomd does not answer */
};

struct cli_options {
    const char *sysroot; /* "/" */
    const char *socket;  /* NULL: <sysroot>/run/headroom/headroom.sock */
    const char *config;  /* NULL: the default one */
    const char *since;   /* NULL: not given */
    bool follow;
    bool json;
    bool silent; /* nothing is said of a daemon that does not answer, and CLI_FAILURE is one that has hung up
                  */
};

int cli_status(const struct cli_options *o, int argc, char **argv);
int cli_check(const struct cli_options *o, int argc, char **argv);
int cli_explain(const struct cli_options *o, int argc, char **argv);
int cli_groups(const struct cli_options *o, int argc, char **argv);
int cli_events(const struct cli_options *o, int argc, char **argv);
int cli_config(const struct cli_options *o, int argc, char **argv);
int cli_reload(const struct cli_options *o, int argc, char **argv);
int cli_qos(const struct cli_options *o, int argc, char **argv);
int cli_run(const struct cli_options *o, int argc, char **argv); /* argv with its own options */
int cli_undo(const struct cli_options *o, int argc, char **argv);
int cli_pause(const struct cli_options *o, int argc, char **argv);
int cli_resume(const struct cli_options *o, int argc, char **argv);
int cli_offload(const struct cli_options *o, int argc, char **argv);
int cli_hold(const struct cli_options *o, int argc, char **argv);

/* One call over the control socket. NULL: said on stderr, with *ret_exit set. The caller drops the reference.
 */
json_t *cli_call(const struct cli_options *o, const char *method, int *ret_exit);
/* The same for one whose refusal the caller puts into words: the whole message, with "error" where it is one.
 * NULL: nobody has answered. `parameters` is JSON. */
json_t *cli_ask(const struct cli_options *o, const char *method, const char *parameters, int *ret_exit);

/* A call with a reply of many messages: fn gets the parameters of each, and ends it by returning something
 * else than 0. `parameters` is JSON. The exit code. */
typedef int (*cli_message_fn)(void *user, json_t *parameters);
int cli_stream(const struct cli_options *o, const char *method, const char *parameters, cli_message_fn fn,
               void *user);

/* For people: a size, "none" for null. Storage of the function, valid until the eighth call from here. */
const char *cli_bytes(const json_t *value);
const char *cli_bytes_of(uint64_t bytes);
const char *cli_usec(const json_t *value);
/* Why a group is paused or resumed, in a few words. */
const char *cli_why(const char *why);
void cli_print_json(const json_t *value);
