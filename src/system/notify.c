#include "system/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

static struct {
    int fd;
    struct sockaddr_un address;
    socklen_t address_length;
    uint64_t watchdog_usec;
    uint64_t due_usec; /* of the next sign of life */
} notify = {.fd = -1};

static uint64_t env_u64(const char *name)
{
    const char *value = getenv(name);
    uint64_t v;

    return value && text_parse_u64(text_from(value), &v) == 0 ? v : 0;
}

void notify_init(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path ? strlen(path) : 0;
    uint64_t pid = env_u64("WATCHDOG_PID");

    if (length < 2 || length >= sizeof(notify.address.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    notify.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (notify.fd < 0)
        return;
    notify.address.sun_family = AF_UNIX;
    memcpy(notify.address.sun_path, path, length);
    if (path[0] == '@') /* an abstract name */
        notify.address.sun_path[0] = 0;
    notify.address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (pid == 0 || pid == (uint64_t)getpid())
        notify.watchdog_usec = env_u64("WATCHDOG_USEC") / 2;
}

void notify_send(const char *state)
{
    if (notify.fd >= 0)
        (void)sendto(notify.fd, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL,
                     (const struct sockaddr *)&notify.address, notify.address_length);
}

uint64_t notify_watchdog_usec(void)
{
    return notify.watchdog_usec;
}

void notify_watchdog(uint64_t now_usec)
{
    if (notify.watchdog_usec == 0 || now_usec < notify.due_usec)
        return;
    notify.due_usec = now_usec + notify.watchdog_usec / 2;
    notify_send("WATCHDOG=1");
}
