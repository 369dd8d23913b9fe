/* A set of monitors on a loop, over directories of plain files, and what they said. Turns of the loop are
 * short: a monitor that fires does so in the first. */
#pragma once

#include "../kernel/fixture.h"

#include <sys/epoll.h>

#include "base/units.h"
#include "monitor/monitor.h"
#include "system/clock.h"

#define TARGETS_MAX 4
#define SAID_MAX 16

struct monitors {
    struct fixture *f;
    struct loop loop;
    struct config config;
    struct monitor_set set;
    bool started;
    struct monitor_target targets[TARGETS_MAX];
    unsigned target_count;
    int host_fd;
    struct trigger last;
    unsigned fires;
    struct {
        enum monitor_kind kind;
        char message[MONITOR_MESSAGE_MAX];
    } said[SAID_MAX];
    unsigned said_count;
    void (*on_fire)(struct monitors *m); /* what the daemon does in the same breath */
};

static inline void monitors_on_fire(void *user, const struct trigger *t)
{
    struct monitors *m = user;

    m->last = *t;
    m->fires++;
    if (m->on_fire)
        m->on_fire(m);
}

static inline void monitors_on_report(void *user, enum monitor_kind kind, const char *message)
{
    struct monitors *m = user;

    assert_true(m->said_count < SAID_MAX);
    m->said[m->said_count].kind = kind;
    (void)snprintf(m->said[m->said_count++].message, MONITOR_MESSAGE_MAX, "%s", message);
}

static inline int monitors_setup(void **state)
{
    static struct monitors one;
    void *f;

    memset(&one, 0, sizeof(one));
    if (fixture_setup(&f) < 0 || loop_init(&one.loop) < 0)
        return -1;
    one.f = f;
    one.host_fd = -1;
    config_init_defaults(&one.config);
    *state = &one;
    return 0;
}

static inline void monitors_start(struct monitors *m, unsigned kinds)
{
    monitor_set_init(&m->set, &m->loop, &m->config, kinds, monitors_on_fire, monitors_on_report, m);
    m->started = true;
}

static inline int monitors_teardown(void **state)
{
    struct monitors *m = *state;
    void *f = m->f;

    if (m->started)
        monitor_set_deinit(&m->set);
    for (unsigned i = 0; i < LOOP_SOURCES_MAX; i++)
        if (m->loop.sources[i].fd != -1)
            return -1; /* left behind */
    loop_deinit(&m->loop);
    for (unsigned i = 0; i < m->target_count; i++)
        close_fdp(&m->targets[i].dir_fd);
    close_fdp(&m->host_fd);
    return fixture_teardown(&f);
}

/* The directory `path` as the next target; its id is that of a first life. */
static inline struct monitor_target *monitors_target(struct monitors *m, const char *path)
{
    struct monitor_target *t = &m->targets[m->target_count++];

    fixture_mkdir(m->f, path);
    *t = (struct monitor_target){
        .path = path,
        .dir_fd = openat(m->f->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .id = 1,
    };
    assert_true(t->dir_fd >= 0);
    return t;
}

static inline void monitors_refresh(struct monitors *m)
{
    monitor_set_refresh(&m->set, m->targets, m->target_count, m->host_fd, clock_now_usec());
}

/* Turns until nothing is left to be done (20 ms without anything). Returns how often a monitor fired. */
static inline unsigned monitors_turn(struct monitors *m)
{
    unsigned before = m->fires;

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(loop_turn(&m->loop, i == 2 ? 20 * USEC_PER_MSEC : 0), 0);
    return m->fires - before;
}

/* Expects a message of this kind that holds these words, as the last one. */
static inline void monitors_expect_said(const struct monitors *m, enum monitor_kind kind, const char *words)
{
    assert_true(m->said_count > 0);
    assert_int_equal(m->said[m->said_count - 1].kind, kind);
    if (!strstr(m->said[m->said_count - 1].message, words))
        fail_msg("\"%s\" is not in \"%s\"", words, m->said[m->said_count - 1].message);
}

/* memory.events.local with these counters, in one write over the old ones, as the kernel's notification comes
 * after the change. */
static inline void monitors_events(struct monitors *m, const char *path, unsigned low, unsigned high,
                                   unsigned max, unsigned oom)
{
    char full[PATH_MAX], text[256];
    int fd, n;

    (void)snprintf(full, sizeof(full), "%s/memory.events.local", path);
    /* always of the same length, so that no tail of the old text is left */
    n = snprintf(text, sizeof(text),
                 "low %06u\nhigh %06u\nmax %06u\noom %06u\noom_kill 0\noom_group_kill 0\n", low, high, max,
                 oom);
    fd = openat(m->f->fd, full, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, text, (size_t)n, 0), n);
    (void)close(fd);
}
