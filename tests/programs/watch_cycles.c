/* `watch_cycles SOCKET COUNT`: opens and closes a watch so often, and says what has stayed behind, of which
 * there may be nothing. A full backlog is waited for. */
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <headroom.h>

static unsigned count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        (void)closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    struct headroom_options options = {.size = sizeof(options), .path = argc > 1 ? argv[1] : NULL};
    long count = argc > 2 ? strtol(argv[2], NULL, 10) : 0, waits = 0;
    unsigned descriptors = count_descriptors();
    size_t heap = 0, left;

    for (long i = 0; i < count; i++) {
        struct headroom_watch *watch = NULL;

        if (headroom_watch_new(&options, &watch) < 0)
            return 1;
        while (headroom_watch_get_source(watch) != HEADROOM_SOURCE_SOCKET) {
            waits++;
            (void)usleep(2000);
            (void)headroom_watch_read(watch, NULL);
        }
        watch = headroom_watch_free(watch);
        if (i == 0)
            heap = mallinfo2().uordblks;
    }
    left = mallinfo2().uordblks - heap;
    (void)printf("waits=%ld descriptors_left=%d heap_left=%zd\n", waits,
                 (int)(count_descriptors() - descriptors), (ssize_t)left);
    return count_descriptors() != descriptors || (ssize_t)left > 0;
}
