/* Preloaded into headroomd by tests/programs/run: a directory of users that never answers, from the moment
 * that the file that SLOW_USERS names has appeared. */
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

struct passwd *getpwnam(const char *name)
{
    const char *armed = getenv("SLOW_USERS");

    (void)name;
    while (armed && access(armed, F_OK) == 0)
        (void)pause();
    return NULL; /* nobody: a number still is somebody */
}
