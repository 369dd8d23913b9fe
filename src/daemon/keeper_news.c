#include "daemon/keeper_news.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/units.h"
#include "system/log.h"

int keeper_send(int fd, const struct keeper_message *m)
{
    ssize_t n;

    do
        n = send(fd, m, sizeof(*m), MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return 0;
    return errno == ENOBUFS || errno == ENOMEM ? -EAGAIN : -errno;
}

static void put(struct keeper_queue *q, const struct keeper_message *m)
{
    q->waiting[(q->first + q->count++) % KEEPER_NEWS_MAX] = *m;
}

/* What was lost is told as soon as there is a place for that. */
static void say_lost(struct keeper_queue *q)
{
    struct keeper_message m = {.kind = KEEPER_SAYS};

    if (q->lost == 0 || q->count == KEEPER_NEWS_MAX)
        return;
    (void)snprintf(m.path, sizeof(m.path),
                   "memory QoS: headroomd stood still; %ju events are not in its record (headroom status "
                   "counts them)",
                   (uintmax_t)q->lost);
    q->lost = 0;
    put(q, &m);
}

void keeper_queue_tell(struct keeper_queue *q, const struct keeper_message *m)
{
    if (q->count < KEEPER_NEWS_MAX)
        put(q, m);
    else
        q->lost++;
    keeper_queue_flush(q);
}

void keeper_queue_flush(struct keeper_queue *q)
{
    say_lost(q);
    while (q->count > 0) {
        int r = keeper_send(q->fd, &q->waiting[q->first]);

        if (r == -EAGAIN)
            return;
        q->untold += r < 0; /* whoever is gone is told nothing */
        q->count--;
        q->first = q->count == 0 ? 0 : (q->first + 1) % KEEPER_NEWS_MAX;
        say_lost(q);
    }
}

void keeper_queue_end(struct keeper_queue *q)
{
    keeper_queue_flush(q);
    if (q->count + q->lost + q->untold > 0)
        log_line(LOG_PRIO_WARNING, "event=qos-untold count=%ju", (uintmax_t)(q->count + q->lost + q->untold));
}
