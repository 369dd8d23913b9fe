/* One process in /proc: when it started, what it is called, what it holds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"

#define PROCESS_COMM_MAX 64

struct process_stat {
    pid_t pid;
    pid_t ppid;
    pid_t session;
    char state;                  /* R S D Z X … */
    char comm[PROCESS_COMM_MAX]; /* as the kernel has it: may hold ')' and blanks */
    uint64_t cpu_usec;           /* user + system */
    uint64_t start_usec;         /* since boot (CLOCK_BOOTTIME) */
    bool kernel_thread;          /* flags & PF_KTHREAD (0x00200000) */
    unsigned threads;
};

/* Whose it is (the owner of /proc/PID: its effective uid; root's for one that may not be traced). */
int process_read_uid(int root_fd, pid_t pid, uid_t *ret_uid) _nodiscard_;

struct process_memory {
    uint64_t rss_anon;
    uint64_t rss_shmem;
    uint64_t swap;
};

/* /proc/PID/stat; `comm` ends at the last ')'. -EBADMSG: not such a line. */
int process_stat_parse(const char *buf, size_t length, struct process_stat *ret) _nodiscard_;
int process_read_stat(int root_fd, pid_t pid,
                      struct process_stat *ret) _nodiscard_; /* -ENOENT or -ESRCH: gone */
/* RssAnon, RssShmem and VmSwap of /proc/PID/status; a kernel thread has none and reads 0. */
int process_memory_parse(const char *buf, size_t length, struct process_memory *ret) _nodiscard_;
int process_read_memory(int root_fd, pid_t pid, struct process_memory *ret) _nodiscard_;

/* Every numeric name in <root>/proc; return 0 from fn to go on. */
typedef int (*process_fn)(void *user, pid_t pid);
int process_each(int root_fd, process_fn fn, void *user);
