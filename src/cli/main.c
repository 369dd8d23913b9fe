#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "cli/cli.h"

static const struct {
    const char *name;
    int (*run)(const struct cli_options *o, int argc, char **argv);
    const char *summary;
} commands[] = {
    {"status", cli_status, "how headroomd and the node stand"},
    {"groups", cli_groups, "what each group holds, and who would be taken first"},
    {"explain", cli_explain,
     "why a decision was taken, with every group that was considered; [ID], else the last one"},
    {"events", cli_events, "the decisions, one a line; -f follows, --since 10min"},
    {"check", cli_check, "what works here, what does not, and the cure (needs no daemon)"},
    {"config", cli_config, "show: every key with its value and where it comes from; keys: what each is for"},
    {"reload", cli_reload, "let headroomd read its configuration anew (root only)"},
    {"pause", cli_pause, "pause GROUP: a path below /sys/fs/cgroup, or PATH#PID"},
    {"resume", cli_resume, "let GROUP run again"},
    {"offload", cli_offload, "push SIZE of GROUP's memory out to swap, such as 100M (root only)"},
    {"hold", cli_hold, "no action by headroomd for a DURATION, such as 30min or 1h; 0 ends it"},
    {"run", cli_run, "--class NAME -- COMMAND...: run COMMAND in a group of its own; run --help says more"},
    {"qos", cli_qos,
     "plan: what the memory knobs of each group are and are to be; apply: set them; undo (needs no daemon)"},
    {"undo", cli_undo, "put every knob back that a headroomd which is gone has left changed"},
};

static void print_usage(FILE *to)
{
    (void)fprintf(to, "headroom [OPTIONS] COMMAND\n\n");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        (void)fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
    (void)fprintf(
        to, "\n  --json           data for machines: sizes in bytes, times in microseconds\n"
            "  --socket PATH    the daemon's socket (default /run/headroom/headroom.sock)\n"
            "  --config FILE    the configuration that `check`, `config show` and `qos` read\n"
            "  --sysroot DIR    look at DIR instead of / (recorded trees)\n"
            "  -f, --follow     events: go on with those that come\n"
            "  --since TIME     events: none that are older, such as 90s, 10min, 2h\n"
            "  --help, --version\n\n"
            "Exit codes: 0 good, 1 failed or something is wrong, 2 usage, 6 headroomd does not answer.\n");
}

static const struct option longs[] = {
    {"json", no_argument, NULL, 'j'},
    {"socket", required_argument, NULL, 's'},
    {"config", required_argument, NULL, 'c'},
    {"sysroot", required_argument, NULL, 'r'},
    {"follow", no_argument, NULL, 'f'},
    {"since", required_argument, NULL, 'S'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {"completion-words", no_argument, NULL, 'w'},
    {NULL, 0, NULL, 0},
};

/* For the shells (data/completion): each word that may be typed, a command with its summary behind a tab, an
 * option that takes a value with a '=' at its end. */
static void print_words(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        (void)printf("%s\t%s\n", commands[i].name, commands[i].summary);
    for (const struct option *o = longs; o->name; o++)
        if (o->val != 'w')
            (void)printf("--%s%s\n", o->name, o->has_arg == no_argument ? "" : "=");
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, const char *shorts, struct cli_options *o)
{
    int c;

    while ((c = getopt_long(argc, argv, shorts, longs, NULL)) >= 0) {
        switch (c) {
        case 'j':
            o->json = true;
            break;
        case 's':
            o->socket = optarg;
            break;
        case 'c':
            o->config = optarg;
            break;
        case 'r':
            o->sysroot = optarg;
            break;
        case 'f':
            o->follow = true;
            break;
        case 'S':
            o->since = optarg;
            break;
        case 'h':
            print_usage(stdout);
            return CLI_OK;
        case 'v':
            (void)puts("headroom " HEADROOM_VERSION);
            return CLI_OK;
        case 'w':
            print_words();
            return CLI_OK;
        default:
            return CLI_USAGE;
        }
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct cli_options o = {.sysroot = "/"};
    int code;

    /* What stands behind `run` is its own, and then another program's. */
    code = parse(argc, argv, "+f", &o);
    if (code < 0 && optind < argc && strcmp(argv[optind], "run") == 0)
        return cli_run(&o, argc - optind, argv + optind);
    /* For all others, options may stand before or after the command: getopt moves what is no option to the
     * end. It begins anew, which changes nothing for those that it has read. */
    optind = 0;
    if (code < 0)
        code = parse(argc, argv, "f", &o);
    if (code >= 0)
        return code;
    if (optind >= argc) {
        print_usage(stderr);
        return CLI_USAGE;
    }
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strcmp(commands[i].name, argv[optind]) == 0)
            return commands[i].run(&o, argc - optind, argv + optind);
    (void)fprintf(stderr, "headroom: no such command: %s (see headroom --help)\n", argv[optind]);
    return CLI_USAGE;
}
