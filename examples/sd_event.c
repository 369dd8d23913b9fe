/* A service on sd-event that gives back what it can do without. sd_event_add_memory_pressure (systemd 254)
 * speaks the same protocol with a single level; this works with older versions, too, and knows how short
 * memory is.
 *
 *     cc sd_event.c -o sd_event $(pkg-config --cflags --libs libheadroom libsystemd)
 *
 * What it does at each level:
 *   low       frees the buffer that it keeps for the next request, which costs it a malloc then
 *   medium    frees its index, too, which is made again when it is needed
 *   critical  the same, and ends if it has nothing to do: systemd starts it again at the next request (socket
 * activation) and each time, at last, returns what that has freed to the system. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include <headroom.h>

struct service {
    sd_event *event;
    struct headroom_watch *watch;
    void *buffer, *index;
    unsigned requests; /* under way */
};

static void drop_buffer(void *user, enum headroom_level level)
{
    struct service *s = user;

    (void)level;
    free(s->buffer);
    s->buffer = NULL;
}

static void drop_index(void *user, enum headroom_level level)
{
    struct service *s = user;

    (void)level;
    free(s->index);
    s->index = NULL;
}

static void end_if_idle(void *user, enum headroom_level level)
{
    struct service *s = user;

    (void)level;
    if (s->requests == 0)
        (void)sd_event_exit(s->event, 0);
}

static int on_pressure(sd_event_source *source, int fd, uint32_t events, void *user)
{
    struct service *s = user;

    (void)source, (void)fd, (void)events;
    if (headroom_watch_dispatch(s->watch) > 0)
        (void)sd_notifyf(0, "STATUS=memory: %s", headroom_level_get_name(headroom_watch_get_level(s->watch)));
    return 0;
}

static int be_asked(struct service *s)
{
    int r;

    r = headroom_watch_new(NULL, &s->watch);
    if (r < 0)
        return r;
    r = headroom_watch_add_reaction(s->watch, HEADROOM_LOW, 0, drop_buffer, s);
    if (r >= 0)
        r = headroom_watch_add_reaction(s->watch, HEADROOM_MEDIUM, 10, drop_index, s);
    if (r >= 0)
        r = headroom_watch_add_reaction(s->watch, HEADROOM_CRITICAL, 100, end_if_idle, s);
    if (r >= 0)
        r = headroom_watch_add_reaction(s->watch, HEADROOM_LOW, HEADROOM_COST_LAST, headroom_reaction_trim,
                                        NULL);
    if (r >= 0)
        r = sd_event_add_io(s->event, NULL, headroom_watch_get_fd(s->watch), EPOLLIN, on_pressure, s);
    return r;
}

int main(void)
{
    struct service s = {.buffer = malloc(1 << 20), .index = malloc(16 << 20)};
    sigset_t stop;
    int r;

    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &stop, NULL);

    r = sd_event_default(&s.event);
    if (r >= 0)
        r = sd_event_add_signal(s.event, NULL, SIGTERM, NULL, NULL);
    if (r >= 0) {
        int asked = be_asked(&s);

        if (asked < 0) /* it works without, too */
            (void)fprintf(stderr, "sd_event: nobody will ask for memory: %s\n", strerror(-asked));
        r = sd_event_loop(s.event);
    }
    s.event = sd_event_unref(s.event);
    s.watch = headroom_watch_free(s.watch);
    drop_buffer(&s, HEADROOM_CALM);
    drop_index(&s, HEADROOM_CALM);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
