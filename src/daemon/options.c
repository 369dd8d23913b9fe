#include "daemon/options.h"

#include <getopt.h>
#include <stdio.h>

static const char usage[] =
    "headroomd [--config FILE] [--dry-run] [--sysroot DIR] [--check-config]\n"
    "\n"
    "Keeps this node working when memory runs short. Runs in the foreground and logs to stderr.\n"
    "\n"
    "  --config FILE    configuration; the drop-ins FILE.d/*.conf amend it (default " DAEMON_CONFIG_DEFAULT
    ",\n"
    "                   where it exists)\n"
    "  --check-config   read the configuration, say what is wrong with it, and exit\n"
    "  --dry-run        decide and record; write and signal nothing\n"
    "  --sysroot DIR    use DIR instead of / for /proc, /sys and /run (recorded trees)\n"
    "  --debug          log more\n"
    "  --help, --version\n"
    "\n"
    "Exit codes: 0 stopped, 1 failure, 2 usage, 3 configuration, 4 another headroomd runs, 5 not possible "
    "here.\n";

int options_parse(int argc, char **argv, struct daemon_options *ret, int *ret_exit)
{
    enum { OPT_CONFIG = 256, OPT_CHECK, OPT_DRY_RUN, OPT_SYSROOT, OPT_DEBUG, OPT_HELP, OPT_VERSION };
    static const struct option longs[] = {
        {"config", required_argument, NULL, OPT_CONFIG}, {"check-config", no_argument, NULL, OPT_CHECK},
        {"dry-run", no_argument, NULL, OPT_DRY_RUN},     {"sysroot", required_argument, NULL, OPT_SYSROOT},
        {"debug", no_argument, NULL, OPT_DEBUG},         {"help", no_argument, NULL, OPT_HELP},
        {"version", no_argument, NULL, OPT_VERSION},     {NULL, 0, NULL, 0},
    };
    struct daemon_options o = {.sysroot = "/"};
    int c;

    *ret_exit = DAEMON_EXIT_OK;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
        switch (c) {
        case OPT_CONFIG:
            o.config_path = optarg;
            break;
        case OPT_CHECK:
            o.check_config = true;
            break;
        case OPT_DRY_RUN:
            o.dry_run = true;
            break;
        case OPT_SYSROOT:
            o.sysroot = optarg;
            break;
        case OPT_DEBUG:
            o.debug = true;
            break;
        case OPT_HELP:
            (void)fputs(usage, stdout);
            return -1;
        case OPT_VERSION:
            (void)puts("headroomd " HEADROOM_VERSION);
            return -1;
        default:
            (void)fputs("headroomd: see headroomd --help\n", stderr);
            *ret_exit = DAEMON_EXIT_USAGE;
            return -1;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "headroomd: %s: no such argument; see headroomd --help\n", argv[optind]);
        *ret_exit = DAEMON_EXIT_USAGE;
        return -1;
    }
    *ret = o;
    return 0;
}
