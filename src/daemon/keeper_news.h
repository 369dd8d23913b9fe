/* What the keeper tells (keeper.h), for as long as nobody takes it: the guardian does while the loop does,
 * which may stand still. Nothing waits for that, and nothing is lost without a word. */
#pragma once

#include "daemon/keeper.h"

#define KEEPER_NEWS_MAX                                                                                      \
    1024 /* beyond what the sockets hold; a daemon-reload sets hundreds of knobs at once */

struct keeper_queue {
    int fd; /* the caller's: a socket that keeps messages apart */
    unsigned first, count;
    uint64_t untold;                                /* nobody was there any more */
    uint64_t lost;                                  /* there was no place for them, and it is not said yet */
    struct keeper_message waiting[KEEPER_NEWS_MAX]; /* not touched before something waits */
};

/* -EAGAIN: nobody takes it now; another error: nobody will. */
int keeper_send(int fd, const struct keeper_message *m) _nodiscard_;
void keeper_queue_tell(struct keeper_queue *q, const struct keeper_message *m);
/* As much as is taken now; what was lost is said behind the rest. */
void keeper_queue_flush(struct keeper_queue *q);
/* The last word: what was not taken is said in the log. */
void keeper_queue_end(struct keeper_queue *q);
