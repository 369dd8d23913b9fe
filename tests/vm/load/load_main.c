#include <stdio.h>
#include <string.h>

#include "load.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;
} commands[] = {
    {"heartbeat", command_heartbeat,
     "--output FILE [--interval 10ms] [--seconds N] [--mlock]\n"
     "      a small critical service; reports the delay of its beats against their schedule"},
    {"task", command_task,
     "--bytes 150M --seconds 10 [--grow-seconds 3] [--profile ramp|steps|late|creep] [--shared]\n"
     "      [--compressible] [--touch-all-seconds N] [--status-fd N]\n"
     "      a task that grows, works until its ticks are done, and can be run again"},
    {"driver", command_driver,
     "--workload DIR [--tasks 16] [--bytes 150M] [--sizes LIST] [--seconds 10] [--durations LIST]\n"
     "      [--grow-seconds 3] [--parallel 8] [--stagger 400ms] [--limit 180] [--output FILE] [--profile P]\n"
     "      [--touch-all-seconds N] [--shared] [--compressible] [--xattr NAME=VALUE]... [--knob "
     "FILE=VALUE]...\n"
     "      [--xattr-skip-every N] [--events FILE]\n"
     "      runs tasks in groups of their own below DIR and runs killed ones again; in a VALUE %n is the "
     "task,\n"
     "      %b its bytes; each N-th task is without the attributes that name its bytes"},
    {"hog", command_hog,
     "--to 4G [--from 100M] [--rate max|50M] [--threads N] [--shared] [--populate]\n"
     "      [--from-wait SECONDS] [--hold SECONDS]\n"
     "      takes memory as fast as it can"},
    {"leak", command_leak, "--rate 20M [--to SIZE] [--burn]\n      leaks steadily until it is killed"},
    {"reader", command_reader,
     "--file PATH [--bytes 4G] [--loop] [--seconds N] [--output FILE]\n      reads through the page cache"},
    {"writer", command_writer,
     "--file PATH [--bytes 1G] [--rate max] [--sync] [--loop] [--seconds N] [--output FILE]\n"
     "      makes dirty pages"},
    {"filler", command_filler, "--dir TMPFS --bytes 300M [--rate max] [--hold SECONDS]\n      fills a tmpfs"},
    {"shm", command_shm,
     "--bytes 300M [--rate max] [--memfd] [--hold SECONDS]\n      shared memory that grows, then stays"},
    {"pipes", command_pipes,
     "--bytes 400M [--rate max] [--hold SECONDS]\n      kernel memory in pipe buffers"},
    {"sockets", command_sockets,
     "--bytes 400M [--rate max] [--hold SECONDS]\n      kernel memory in socket buffers"},
    {"cgroup-run", command_cgroup_run,
     "DIR -- CMD...\n      runs a command in a group, made if it is missing"},
    {"reaction", command_reaction,
     "--below 100M -- CMD...\n      how long from MemAvailable below that to the end of the command"},
    {"family", command_family,
     "--workload DIR --name NAME [--children 4] [--bytes 40M] [--request SIZE] [--seconds 3]\n"
     "      [--grow-seconds 1]\n"
     "      starts tasks in groups of their own (DIR/NAME-1 …), waits for them all, and uses no CPU "
     "meanwhile"},
    {"kill-at", command_kill_at,
     "--file NAME[:PATTERN]... [--n 1] [--when before|after] [--output FILE] -- CMD...\n"
     "      SIGKILLs a command at its N-th write to a file of such a name (of such a content)"},
    {"crowd", command_crowd,
     "--workload DIR [--groups 1024] [--status-file FILE]\n"
     "      makes so many groups with a sleeping process in each, and the file when all are there"},
    {"service", command_service,
     "--bytes 400M --hot 120M --output FILE [--rate 500] [--cold-every 100] [--seconds N]\n"
     "      [--compressible] [--turn-at N] [--grow-at N --grow-by 300M [--grow-times N] [--grow-every 6s]] "
     "[--ready FILE]\n"
     "      answers requests, of which one in so many goes anywhere, the others to the hot part; --turn-at: "
     "it\n"
     "      is another one from then on. Lines of SECOND REQUESTS P50 P99 WORST behind the first one"},
    {"bare-loop", command_bare_loop,
     "--group DIR [--interval 1s] [--child DIR --child-every N] [--knob FILE]...\n"
     "      wakes and reads as a guard of that group does, and no more; of the child with each N-th wake,\n"
     "      of the knobs with each second one"},
};

static void print_help(void)
{
    printf(
        "load: the load generator of the VM tests\n\n"
        "Sizes take K, M, G, T (powers of 1024); durations take us, ms, s, min (a bare number is seconds).\n"
        "SIGTERM and SIGINT end a load and make it report.\n\n");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        printf("  load %s %s\n", commands[i].name, commands[i].usage);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        fail("no sub-command; see load --help");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help();
        return 0;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fail("unknown sub-command '%s'; see load --help", argv[1]);
}
