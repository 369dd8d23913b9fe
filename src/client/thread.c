/* The helper thread, for programs that have no event loop: it waits, reads, and calls the reactions. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/watch.h"

static void *thread_main(void *user)
{
    struct headroom_watch *w = user;
    struct pollfd fds[2] = {{.fd = w->stop_fd, .events = POLLIN}, {.fd = w->epoll_fd, .events = POLLIN}};

    for (;;) {
        enum headroom_level level;

        if (poll(fds, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            break; /* ENOMEM: it would come again and again */
        }
        if (fds[0].revents != 0)
            break;
        if (fds[1].revents != 0 && watch_take(w, &level) > 0)
            (void)headroom_watch_react(w, level);
    }
    return NULL;
}

static int create(struct headroom_watch *w)
{
    sigset_t all, before;
    pthread_attr_t attr;
    int r;

    r = pthread_attr_init(&attr);
    if (r != 0)
        return -r;
    if (w->thread_stack_bytes > 0)
        r = pthread_attr_setstacksize(&attr, w->thread_stack_bytes);
    if (r == 0) {
        /* A new thread has the mask of its maker. */
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&w->thread, &attr, thread_main, w);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)pthread_attr_destroy(&attr);
    if (r == 0)
        (void)pthread_setname_np(w->thread, "headroom");
    return -r;
}

int headroom_watch_start_thread(struct headroom_watch *w)
{
    int r;

    if (w->pid != getpid())
        return -ECHILD;
    if (atomic_load(&w->has_thread))
        return -EBUSY;
    w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->stop_fd < 0)
        return -errno;
    atomic_store(&w->has_thread, true);
    r = create(w);
    if (r < 0) {
        atomic_store(&w->has_thread, false);
        (void)close(w->stop_fd);
        w->stop_fd = -1;
    }
    return r;
}

int headroom_watch_stop_thread(struct headroom_watch *w)
{
    if (w->pid != getpid())
        return -ECHILD;
    if (!atomic_load(&w->has_thread))
        return 0;
    if (pthread_equal(pthread_self(), w->thread))
        return -EDEADLK;
    (void)eventfd_write(w->stop_fd, 1);
    (void)pthread_join(w->thread, NULL);
    atomic_store(&w->has_thread, false);
    (void)close(w->stop_fd);
    w->stop_fd = -1;
    return 0;
}
