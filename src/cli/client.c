#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/macros.h"
#include "base/units.h"
#include "cli/cli.h"

#define REPLY_MAX (1 << 20)
#define ANSWER_SECONDS 10

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return fd_steal(&fd);
}

/* Sends one message and reads one, both ended by NUL. The length of the reply, or negative errno. */
static ssize_t exchange(int fd, const char *message, char *reply, size_t size)
{
    size_t length = 0, sent = 0, whole = strlen(message) + 1;

    while (sent < whole) {
        ssize_t n = send(fd, message + sent, whole - sent, MSG_NOSIGNAL);

        if (n < 0)
            return -errno;
        sent += (size_t)n;
    }
    while (length < size) {
        ssize_t n = recv(fd, reply + length, size - length, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ECONNRESET;
        length += (size_t)n;
        if (reply[length - 1] == 0)
            return (ssize_t)length - 1;
    }
    return -EMSGSIZE;
}

json_t *cli_call(const struct cli_options *o, const char *method, int *ret_exit)
{
    static char reply[REPLY_MAX];
    char path[256], message[256];
    _cleanup_close_ int fd = -1;
    json_error_t error;
    json_t *whole, *parameters;
    const char *name;
    ssize_t n;

    if (o->socket)
        (void)snprintf(path, sizeof(path), "%s", o->socket);
    else
        (void)snprintf(path, sizeof(path), "%s%srun/headroom/headroom.sock", o->sysroot,
                       o->sysroot[strlen(o->sysroot) - 1] == '/' ? "" : "/");
    *ret_exit = CLI_NO_DAEMON;
    fd = connect_to(path);
    if (fd < 0) {
        (void)fprintf(stderr, "headroom: %s: %s; is headroomd running?\n", path, strerror(-fd));
        return NULL;
    }
    (void)snprintf(message, sizeof(message), "{\"method\":\"%s\"}", method);
    n = exchange(fd, message, reply, sizeof(reply));
    if (n < 0) {
        (void)fprintf(stderr, "headroom: %s: headroomd does not answer: %s\n", path, strerror((int)-n));
        return NULL;
    }
    whole = json_loadb(reply, (size_t)n, 0, &error);
    *ret_exit = CLI_FAILURE;
    name = json_string_value(json_object_get(whole, "error"));
    parameters = json_object_get(whole, "parameters");
    if (!whole || name || !parameters) {
        if (name && strstr(name, "PermissionDenied"))
            (void)fprintf(stderr, "headroom: not allowed: be root or in the group `headroom`, or set "
                                  "StatusAccess=all\n");
        else
            (void)fprintf(stderr, "headroom: headroomd answered %s\n",
                          name ? name : "with something else than JSON");
        json_decref(whole);
        return NULL;
    }
    json_incref(parameters);
    json_decref(whole);
    *ret_exit = CLI_OK;
    return parameters;
}

static char *slot(void)
{
    static char slots[4][UNITS_FORMAT_MAX];
    static unsigned next;

    return slots[next++ % ARRAY_SIZE(slots)];
}

const char *cli_bytes(const json_t *value)
{
    return json_is_integer(value) ? units_format_bytes(slot(), (uint64_t)json_integer_value(value)) : "none";
}

const char *cli_usec(const json_t *value)
{
    return json_is_integer(value) ? units_format_usec(slot(), (uint64_t)json_integer_value(value))
                                  : "forever";
}

void cli_print_json(const json_t *value)
{
    (void)json_dumpf(value, stdout, JSON_INDENT(2));
    (void)fputc('\n', stdout);
}
