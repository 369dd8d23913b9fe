#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"

/*
 * A crash at a point that is chosen, not hit by luck: the command runs under ptrace, its writes to the named
 * files are counted, and at the N-th it gets SIGKILL, either before the kernel has seen the write or right
 * after it. Only that one process is followed: its children run on untouched, as they would after a crash.
 */
#ifdef __x86_64__

enum { TEXT_BYTES = 512, STATUS_HIT = 0, STATUS_NOT_REACHED = 3 };

struct kill_at {
    struct text_list files; /* NAME or NAME:PATTERN, both as for fnmatch */
    uint64_t n;
    const char *when, *output_path;
    bool before;
    /* state */
    pid_t pid;
    uint64_t calls;
    char path[TEXT_BYTES], text[TEXT_BYTES]; /* of the write that is being looked at */
};

static volatile sig_atomic_t traced_pid;

static void on_forward(int number)
{
    if (traced_pid > 0)
        kill((pid_t)traced_pid, number);
}

static bool name_matches(const char *file, const char *name, const char *text)
{
    char pattern[128];
    const char *colon = strchr(file, ':');

    snprintf(pattern, sizeof(pattern), "%.*s", (int)(colon ? (size_t)(colon - file) : strlen(file)), file);
    return fnmatch(pattern, name, 0) == 0 && (!colon || fnmatch(colon + 1, text, 0) == 0);
}

/* Is this system call a write to one of the files? */
static bool call_matches(struct kill_at *k, const struct user_regs_struct *regs)
{
    char link[64];
    size_t wanted = regs->rdx < sizeof(k->text) - 1 ? regs->rdx : sizeof(k->text) - 1;
    struct iovec here = {k->text, wanted}, there = {(void *)(uintptr_t)regs->rsi, wanted};
    ssize_t length;

    if (regs->orig_rax != SYS_write && regs->orig_rax != SYS_pwrite64)
        return false;
    snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)k->pid, (int)regs->rdi);
    length = readlink(link, k->path, sizeof(k->path) - 1);
    if (length <= 0)
        return false;
    k->path[length] = '\0';
    length = process_vm_readv(k->pid, &here, 1, &there, 1, 0);
    k->text[length > 0 ? length : 0] = '\0';
    k->text[strcspn(k->text, "\n")] = '\0';

    const char *slash = strrchr(k->path, '/');
    for (size_t i = 0; i < k->files.count; i++)
        if (name_matches(k->files.items[i], slash ? slash + 1 : k->path, k->text))
            return true;
    return false;
}

/* A call that is entered with the number -1 does nothing, whatever the kernel makes of the signal first. */
static void kill_now(const struct kill_at *k, struct user_regs_struct *regs)
{
    if (k->before) {
        regs->orig_rax = (unsigned long long)-1;
        ptrace(PTRACE_SETREGS, k->pid, NULL, regs);
    }
    kill(k->pid, SIGKILL);
}

/* At each stop of a system call; true when that was the one. */
static bool call_stop(struct kill_at *k, bool entry)
{
    static bool is_the_one;
    struct user_regs_struct regs;

    if (ptrace(PTRACE_GETREGS, k->pid, NULL, &regs) < 0)
        return false;
    if (entry) {
        is_the_one = call_matches(k, &regs) && ++k->calls == k->n;
        if (!is_the_one || !k->before)
            return false;
    } else if (!is_the_one) {
        return false;
    }
    kill_now(k, &regs);
    return true;
}

/* From the exec on; returns the wait status of the end, and whether it was ours. */
static int follow(struct kill_at *k, bool *ret_hit)
{
    bool entry = true;
    int status, signal_number = 0;

    for (;;) {
        if (ptrace(PTRACE_SYSCALL, k->pid, NULL, (void *)(intptr_t)signal_number) < 0 && errno != ESRCH)
            fail_errno("kill-at: cannot let the command go on");
        signal_number = 0;
        while (waitpid(k->pid, &status, 0) < 0)
            if (errno != EINTR)
                fail_errno("kill-at: cannot wait for the command");
        if (WIFEXITED(status) || WIFSIGNALED(status))
            return status;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            if (call_stop(k, entry))
                *ret_hit = true;
            entry = !entry;
        } else if (status >> 16 == 0 && WSTOPSIG(status) != SIGTRAP) {
            signal_number = WSTOPSIG(status);
        }
    }
}

static void command_start(struct kill_at *k, char **argv)
{
    const struct sigaction action = {.sa_handler = on_forward};
    int status;

    k->pid = fork();
    if (k->pid < 0)
        fail_errno("kill-at: cannot fork");
    if (k->pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            fail_errno("kill-at: cannot be traced");
        raise(SIGSTOP);
        execvp(argv[0], argv);
        fail_errno("cannot run %s", argv[0]);
    }
    if (waitpid(k->pid, &status, 0) != k->pid || !WIFSTOPPED(status))
        fail("kill-at: the command did not start");
    if (ptrace(PTRACE_SETOPTIONS, k->pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
        fail_errno("kill-at: cannot trace the command");
    traced_pid = k->pid;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

int command_kill_at(int argc, char **argv)
{
    struct kill_at k = {.n = 1, .when = "before"};
    const struct option_spec specs[] = {
        {"file", OPTION_LIST, &k.files, true},
        {"n", OPTION_COUNT, &k.n, false},
        {"when", OPTION_TEXT, &k.when, false},
        {"output", OPTION_TEXT, &k.output_path, false},
    };
    int first = options_parse("kill-at", argc, argv, specs, sizeof(specs) / sizeof(specs[0]));
    struct output output;
    bool hit = false;

    if (first >= argc)
        fail("kill-at: the command is missing; see load --help");
    k.before = strcmp(k.when, "before") == 0;
    if (!k.before && strcmp(k.when, "after") != 0)
        fail("kill-at: --when: '%s' is none of before, after", k.when);
    command_start(&k, argv + first);
    int status = follow(&k, &hit);
    output_init(&output, 4096);
    output_add(&output, "{\"hit\": %s, \"calls\": %llu, \"path\": \"%s\", \"text\": \"%s\"}\n",
               hit ? "true" : "false", (unsigned long long)k.calls, hit ? k.path : "", hit ? k.text : "");
    output_write(&output, k.output_path);
    if (hit)
        return STATUS_HIT;
    return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : STATUS_NOT_REACHED;
}

#else

int command_kill_at(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    fail("kill-at: built for x86_64 only");
}

#endif
