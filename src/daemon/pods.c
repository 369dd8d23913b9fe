#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/text.h"
#include "base/units.h"
#include "daemon/daemon.h"
#include "kernel/watch.h"
#include "system/clock.h"
#include "system/log.h"

/* PodFile= as it changes. It is read as the configuration is, by a child of the guardian's (reload.h):
 * nothing here waits for a file system but to set the watch, which is done when the file has just been looked
 * for. The directory is watched, not the file, so that another one may take its place, by a rename or by a
 * link. */

#define GATHER_USEC (100 * USEC_PER_MSEC) /* who writes it in place writes more than once */
#define RETRY_USEC (10 * USEC_PER_SEC)

static void on_timer(void *user)
{
    struct daemon *d = user;

    if (d->config.pod_file[0] != '\0' && !reload_request_pods(d))
        pods_retry(d);
}

static void on_change(void *user, int fd, uint32_t events _unused_)
{
    struct daemon *d = user;

    watch_drain(fd);
    if (d->pods.timer && d->pods.timer->due_usec == 0)
        loop_timer_arm(d->pods.timer, clock_now_usec() + GATHER_USEC);
}

void pods_retry(struct daemon *d)
{
    if (d->pods.timer)
        loop_timer_arm(d->pods.timer, clock_now_usec() + RETRY_USEC);
}

/* Another file, or the first: read, and then watched. */
void pods_follow(struct daemon *d)
{
    struct daemon_pods *p = &d->pods;

    if (!p->timer || strcmp(p->file, d->config.pod_file) == 0)
        return;
    if (p->watch >= 0)
        watch_remove(p->fd, p->watch);
    p->watch = -1;
    p->unwatched = false;
    memcpy(p->file, d->config.pod_file, sizeof(p->file));
    loop_timer_arm(p->timer, p->file[0] ? clock_now_usec() + GATHER_USEC : 0);
}

/* It may be another directory than before, or none for a while. What came between the reading and a new watch
 * is read then. */
static void watch_again(struct daemon *d)
{
    struct daemon_pods *p = &d->pods;
    char directory[CONFIG_PATH_MAX];
    int watch;

    if (text_directory_of(p->file, directory, sizeof(directory)) < 0)
        return;
    watch = watch_add_files(p->fd, directory);
    if (watch < 0 && !p->unwatched)
        report_warning(d, "%.200s is not watched: %s; tried again every 10 s", directory, strerror(-watch));
    p->unwatched = watch < 0;
    if (p->watch >= 0 && watch != p->watch)
        watch_remove(p->fd, p->watch); /* it was moved away */
    if (watch < 0)
        pods_retry(d);
    else if (watch != p->watch)
        loop_timer_arm(p->timer, clock_now_usec() + GATHER_USEC);
    p->watch = watch;
}

void pods_open(struct daemon *d)
{
    struct daemon_pods *p = &d->pods;

    p->watch = -1;
    p->fd = watch_open();
    if (p->fd < 0 || loop_add(&d->loop, p->fd, EPOLLIN, on_change, d) < 0) {
        report_warning(d, "%s", "PodFile= is not watched; it is read with each reload");
        return;
    }
    p->timer = loop_add_timer(&d->loop, on_timer, d);
    pods_follow(d);
}

void pods_note_said(struct daemon *d, const struct config_messages *messages)
{
    d->pods.said = *messages;
}

static bool was_said(const struct config_messages *said, const char *text)
{
    for (unsigned i = 0; i < said->count; i++)
        if (strcmp(said->text[i], text) == 0)
            return true;
    return false;
}

/* What is wrong with it is said once, though it is read whenever anything in its directory changes. */
static void say(struct daemon_pods *p, const struct config_messages *m)
{
    for (unsigned i = 0; i < m->count; i++)
        if (!was_said(&p->said, m->text[i]))
            log_line(LOG_PRIO_WARNING, "event=pods text=\"%s\"", m->text[i]);
    p->said = *m;
}

void pods_take(struct daemon *d, const struct config *from, const struct config_messages *messages)
{
    if (strcmp(from->pod_file, d->config.pod_file) != 0)
        return; /* another one is asked for by now */
    watch_again(d);
    say(&d->pods, messages);
    if (d->config.pod_count == from->pod_count && memcmp(d->config.pods, from->pods, sizeof(from->pods)) == 0)
        return;
    memcpy(d->config.pods, from->pods, sizeof(from->pods));
    d->config.pod_count = from->pod_count;
    log_line(LOG_PRIO_NOTICE, "event=pods file=%s pods=%u", from->pod_file, from->pod_count);
}
