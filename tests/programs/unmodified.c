/* A program that knows systemd's library and nothing of headroom (tests/tools/unmodified builds it): holds
 * memory, gives it back when it is asked, and ends. Argument: how many MiB it holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <systemd/sd-event.h>

static void *cache;

static int on_pressure(sd_event_source *source, void *user)
{
    (void)user;
    free(cache);
    cache = NULL;
    (void)printf("asked\n");
    (void)fflush(stdout);
    return sd_event_exit(sd_event_source_get_event(source), 0);
}

int main(int argc, char **argv)
{
    size_t bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1) << 20;
    sd_event *event = NULL;
    int r = sd_event_default(&event);

    cache = malloc(bytes);
    if (!cache)
        return 1;
    memset(cache, 1, bytes);
    if (r >= 0)
        r = sd_event_add_memory_pressure(event, NULL, on_pressure, NULL);
    if (r < 0) {
        (void)fprintf(stderr, "%s\n", strerror(-r));
        return 1;
    }
    (void)printf("ready\n");
    (void)fflush(stdout);
    r = sd_event_loop(event);
    event = sd_event_unref(event);
    return r < 0;
}
