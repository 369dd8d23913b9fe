#include "action/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kernel/cgroup.h"

#define ASKED "user.headroom.asked"
#define PAUSED "user.headroom.paused"
#define KILLED "user.headroom.killed"
#define VALUE_MAX 128

static bool is_marked(int cgroup_fd)
{
    char value[VALUE_MAX];

    return cgroup_read_xattr(cgroup_fd, HISTORY_MARK, value, sizeof(value)) >= 0;
}

static bool next_number(struct text *rest, uint64_t *ret)
{
    struct text word;

    return text_next_word(rest, &word) && text_parse_u64(word, ret) == 0;
}

bool history_parse_pauses(struct text t, struct history *ret)
{
    struct history h = *ret;
    struct text why;

    if (!next_number(&t, &h.pauses) || !next_number(&t, &h.paused_usec) ||
        !next_number(&t, &h.paused_since_usec) || !text_next_word(&t, &why) ||
        text_copy(why, h.pause_why, sizeof(h.pause_why)) < 0)
        return false;
    *ret = h;
    return true;
}

bool history_parse_kill(struct text t, struct history *ret)
{
    struct history h = *ret;
    struct text why;

    if (!next_number(&t, &h.kill_decision) || !text_next_word(&t, &why) ||
        text_copy(why, h.kill_why, sizeof(h.kill_why)) < 0)
        return false;
    *ret = h;
    return true;
}

void history_read(int cgroup_fd, struct history *ret)
{
    char value[VALUE_MAX];

    *ret = (struct history){0};
    if (cgroup_read_xattr(cgroup_fd, PAUSED, value, sizeof(value)) >= 0)
        (void)history_parse_pauses(text_from(value), ret);
    if (cgroup_read_xattr(cgroup_fd, KILLED, value, sizeof(value)) >= 0)
        (void)history_parse_kill(text_from(value), ret);
    if (cgroup_read_xattr(cgroup_fd, ASKED, value, sizeof(value)) >= 0 &&
        text_parse_u64(text_from(value), &ret->asked) < 0)
        ret->asked = 0;
}

static void write_pauses(int cgroup_fd, const struct history *h)
{
    char value[VALUE_MAX];

    (void)snprintf(value, sizeof(value), "%" PRIu64 " %" PRIu64 " %" PRIu64 " %s", h->pauses, h->paused_usec,
                   h->paused_since_usec, h->pause_why);
    (void)cgroup_write_xattr(cgroup_fd, PAUSED, value);
}

void history_note_pause(int cgroup_fd, const char *why, uint64_t now_usec)
{
    struct history h;

    if (!is_marked(cgroup_fd))
        return;
    history_read(cgroup_fd, &h);
    h.pauses++;
    h.paused_since_usec = now_usec;
    (void)snprintf(h.pause_why, sizeof(h.pause_why), "%s", why);
    write_pauses(cgroup_fd, &h);
}

void history_note_resume(int cgroup_fd, uint64_t now_usec)
{
    struct history h;

    if (!is_marked(cgroup_fd))
        return;
    history_read(cgroup_fd, &h);
    if (h.paused_since_usec == 0)
        return;
    h.paused_usec = u64_add_cap(h.paused_usec, u64_sub_floor(now_usec, h.paused_since_usec));
    h.paused_since_usec = 0;
    write_pauses(cgroup_fd, &h);
}

void history_note_kill(int cgroup_fd, uint64_t decision, const char *why)
{
    char value[VALUE_MAX];

    if (!is_marked(cgroup_fd))
        return;
    (void)snprintf(value, sizeof(value), "%" PRIu64 " %s", decision, why);
    (void)cgroup_write_xattr(cgroup_fd, KILLED, value);
}

void history_note_asked(int cgroup_fd)
{
    char value[VALUE_MAX];
    struct history h;

    if (!is_marked(cgroup_fd))
        return;
    history_read(cgroup_fd, &h);
    (void)snprintf(value, sizeof(value), "%" PRIu64, u64_add_cap(h.asked, 1));
    (void)cgroup_write_xattr(cgroup_fd, ASKED, value);
}
