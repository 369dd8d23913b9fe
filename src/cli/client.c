#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/macros.h"
#include "base/units.h"
#include "cli/cli.h"

#define REPLY_MAX (1 << 20)
#define REQUEST_MAX 4096 /* what headroomd takes */
#define ANSWER_SECONDS 10

static int connect_to(const char *path, bool limited)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (limited)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return fd_steal(&fd);
}

static int send_whole(int fd, const char *message)
{
    size_t sent = 0, whole = strlen(message) + 1; /* with its NUL */

    while (sent < whole) {
        ssize_t n = send(fd, message + sent, whole - sent, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            return -errno;
        sent += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

struct inbox {
    char data[REPLY_MAX];
    size_t length;
};

static void inbox_freep(struct inbox **in)
{
    free(*in);
}

/* The next message in the inbox, which starts at its begin, and its length; negative errno. */
static ssize_t receive(int fd, struct inbox *in)
{
    for (;;) {
        char *end = memchr(in->data, 0, in->length);
        ssize_t n;

        if (end)
            return end - in->data;
        if (in->length == sizeof(in->data))
            return -EMSGSIZE;
        n = recv(fd, in->data + in->length, sizeof(in->data) - in->length, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ECONNRESET;
        in->length += (size_t)n;
    }
}

static void drop(struct inbox *in, size_t length)
{
    in->length -= length + 1;
    memmove(in->data, in->data + length + 1, in->length);
}

/* What the daemon refused, in words. */
static int refused(const char *name)
{
    if (name && strstr(name, "PermissionDenied"))
        (void)fprintf(stderr, "headroom: not allowed: be root or in the group `headroom`, or set "
                              "StatusAccess=all\n");
    else if (name && strstr(name, "NoSuchDecision"))
        (void)fprintf(stderr,
                      "headroom: there is no such decision, or it was too long ago (see headroom events)\n");
    else
        (void)fprintf(stderr, "headroom: headroomd answered %s\n",
                      name ? name : "with something else than JSON");
    return CLI_FAILURE;
}

/* The connection was there and has ended. Who is silent may want to come again. */
static int lost(const struct cli_options *o, int error)
{
    if (!o->silent)
        (void)fprintf(stderr, "headroom: headroomd does not answer: %s\n", strerror(-error));
    return o->silent && (error == -ECONNRESET || error == -EPIPE) ? CLI_FAILURE : CLI_NO_DAEMON;
}

static int open_call(const struct cli_options *o, const char *method, const char *parameters, int *ret_fd)
{
    char path[256], message[REQUEST_MAX];
    int fd, r;

    if (o->socket)
        (void)snprintf(path, sizeof(path), "%s", o->socket);
    else
        (void)snprintf(path, sizeof(path), "%s%srun/headroom/headroom.sock", o->sysroot,
                       o->sysroot[strlen(o->sysroot) - 1] == '/' ? "" : "/");
    fd = connect_to(path, !o->follow);
    if (fd < 0) {
        if (!o->silent)
            (void)fprintf(stderr, "headroom: %s: %s; is headroomd running?\n", path, strerror(-fd));
        return CLI_NO_DAEMON;
    }
    (void)snprintf(message, sizeof(message), "{\"method\":\"%s\",\"parameters\":%s,\"more\":true}", method,
                   parameters); /* the longest are those of a group's name, of which each byte takes six */
    r = send_whole(fd, message);
    if (r < 0) {
        (void)close(fd);
        return lost(o, r);
    }
    *ret_fd = fd;
    return CLI_OK;
}

/* Message after message, whole, until there is no more or fn wants none. CLI_OK, or said on stderr. */
static int converse(const struct cli_options *o, const char *method, const char *parameters,
                    cli_message_fn fn, void *user)
{
    _cleanup_(inbox_freep) struct inbox *in = malloc(sizeof(*in));
    _cleanup_close_ int fd = -1;
    int code = in ? open_call(o, method, parameters, &fd) : lost(o, -ENOMEM);
    bool more = code == CLI_OK;

    if (in)
        in->length = 0;
    while (more) {
        ssize_t n = receive(fd, in);
        json_t *whole;
        json_error_t error;

        if (n < 0)
            return lost(o, (int)n);
        whole = json_loadb(in->data, (size_t)n, 0, &error);
        drop(in, (size_t)n);
        if (!whole)
            return refused(NULL);
        more = json_is_true(json_object_get(whole, "continues"));
        if (fn(user, whole) != 0)
            more = false;
        json_decref(whole);
    }
    return code;
}

struct listener {
    cli_message_fn fn;
    void *user;
    int code;
};

static int on_message(void *user, json_t *whole)
{
    struct listener *l = user;
    json_t *values = json_object_get(whole, "parameters"), *error = json_object_get(whole, "error");

    if (!error && values)
        return l->fn(l->user, values); /* not 0: nobody reads what we print */
    l->code = refused(json_string_value(error));
    return -1;
}

int cli_stream(const struct cli_options *o, const char *method, const char *parameters, cli_message_fn fn,
               void *user)
{
    struct listener l = {.fn = fn, .user = user, .code = CLI_OK};
    int code = converse(o, method, parameters, on_message, &l);

    return code == CLI_OK ? l.code : code;
}

static int keep(void *user, json_t *message)
{
    *(json_t **)user = json_incref(message);
    return -1; /* one is what was asked for */
}

json_t *cli_call(const struct cli_options *o, const char *method, int *ret_exit)
{
    json_t *reply = NULL;

    *ret_exit = cli_stream(o, method, "{}", keep, &reply);
    return reply;
}

json_t *cli_ask(const struct cli_options *o, const char *method, const char *parameters, int *ret_exit)
{
    json_t *whole = NULL;

    *ret_exit = converse(o, method, parameters, keep, &whole);
    return whole;
}

static char *slot(void)
{
    static char slots[8][UNITS_FORMAT_MAX];
    static unsigned next;

    return slots[next++ % ARRAY_SIZE(slots)];
}

const char *cli_bytes(const json_t *value)
{
    return json_is_integer(value) ? units_format_bytes(slot(), (uint64_t)json_integer_value(value)) : "none";
}

const char *cli_bytes_of(uint64_t bytes)
{
    return units_format_bytes(slot(), bytes);
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

const char *cli_why(const char *why)
{
    static const struct {
        const char *why;
        const char *words;
    } all[] = {
        {"growth", "what the running ones are still expected to grow by did not fit"},
        {"birth", "it had just begun, and did not fit yet"},
        {"thrash", "the running ones stalled on memory that was swapped out"},
        {"turn", "in the place of one whose PauseLimit was over"},
        {"operator", "an operator asked for it"},
        {"fits", "what it is expected to grow by fits now"},
        {"idle", "nobody else ran, or those that did waited for it"},
        {"calm", "all was calm"},
        {"pause-limit", "its PauseLimit was over"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (strcmp(all[i].why, why) == 0)
            return all[i].words;
    return why;
}
