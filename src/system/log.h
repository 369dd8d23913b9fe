/* Log lines in logfmt on stderr, which never hold the daemon up: a line goes into a ring in memory and from
 * there to stderr by writes that do not block. A stderr that nobody reads costs lines (counted, and said when
 * it goes on), not decisions. A log that starts with <N> is understood by journald as a priority where stderr
 * is its stream. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

#define LOG_LINE_MAX 2048

enum log_priority {
    LOG_PRIO_ERROR = 3,
    LOG_PRIO_WARNING = 4,
    LOG_PRIO_NOTICE = 5,
    LOG_PRIO_INFO = 6,
    LOG_PRIO_DEBUG = 7,
};

/* fd: usually 2; made non-blocking through a description of our own where that can be had, so that others who
 * share stderr keep theirs as it was. */
void log_init(int fd);
/* In a child whose descriptors from 3 on were closed: a description of its own again, and without the lines
 * that wait in the parent's ring, which the parent says itself. */
void log_after_fork(void);
void log_set_least(enum log_priority least);
void log_line(enum log_priority priority, const char *format, ...) _printf_(2, 3);
/* Writes what is waiting, as far as it goes without blocking. True when nothing is left. */
bool log_flush(void);
int log_fd(void);
uint64_t log_dropped(void);
