#include "server/control.h"

#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/text.h"
#include "server/groups_json.h"
#include "server/member.h"
#include "server/run_request.h"
#include "server/status_json.h"
#include "server/stream.h"
#include "system/account.h"
#include "system/clock.h"
#include "system/listen.h"

#define STATUS_WRAPPING 64 /* {"parameters":{"status":…}} and a NUL */

/* jansson has one allocator a process: it is pointed at the arena of the request under way. */
static struct arena *json_arena;
static bool json_starved; /* it did not suffice */
static unsigned char arena_storage[CONTROL_ARENA_SIZE] __attribute__((aligned(16)));

static void *arena_malloc(size_t size)
{
    void *p = json_arena ? arena_take(json_arena, size) : NULL;

    json_starved = json_starved || !p;
    return p;
}

static void arena_free(void *p)
{
    (void)p; /* all of it at once, after the request */
}

static const char interface_description[] =
    "# What headroomd does and how it stands\n"
    "interface io.headroom\n\n"
    "# All of the daemon's state at the last look; sizes in bytes, times in microseconds\n"
    "method Status() -> (status: object)\n\n"
    "# One decision, the last one without an id, and behind it its candidates, some at a time\n"
    "method Explain(id: ?int) -> (decision: ?object, candidates: ?[]object)\n\n"
    "# The groups as they stood at the last walk, some at a time\n"
    "method Groups() -> (groups: []object)\n\n"
    "# The decisions of the last since_usec, and with follow those that come\n"
    "method Events(since_usec: ?int, follow: ?bool) -> (decision: ?object)\n\n"
    "# Pauses a group (a path relative to the hierarchy's root, PATH#PID for a process), lets it run again, "
    "and\n"
    "# keeps headroomd from acting by itself for usec (0 ends that). Only root may; text says what was done\n"
    "method Pause(group: string) -> (text: string)\n\n"
    "method Resume(group: string) -> (text: string)\n\n"
    "method Hold(usec: int) -> (text: string)\n\n"
    "# Pushes bytes of a group's memory out, down to what is protected; text says how much went. Only root "
    "may\n"
    "method Offload(group: string, bytes: int) -> (text: string)\n\n"
    "# Reads the configuration anew; details are a line for each value that is another one now, or for each\n"
    "# mistake, with file and line, and then nothing was changed. Only root may\n"
    "method Reload() -> (text: string, details: []string)\n\n"
    "# Puts the caller's own process into a new group of a class, where that allows him to. Without an id "
    "the group\n"
    "# is a scope of systemd's (of the user's own, with of_user), for the caller to start. RunEnd removes "
    "it\n"
    "method Run(class: string, request_bytes: ?int, retriable: ?bool, task: ?string, priority: ?int) -> "
    "(text: string, group: string, id: ?int, of_user: ?bool)\n\n"
    "method RunEnd(group: string, id: int) -> (text: string)\n\n"
    "error PermissionDenied()\n"
    "error NoSuchDecision()\n"
    "error NoSuchGroup(text: string)\n"
    "error NotAllowed(text: string)\n"
    "error Busy(text: string)\n"
    "error NotPossible(text: string)\n"
    "error ConfigurationInvalid(text: string, details: []string)\n"
    "error Failed(text: string)\n";

static json_t *error_reply(const char *error)
{
    return json_pack("{s:s, s:{}}", "error", error, "parameters");
}

static json_t *next_message(struct control *c, struct stream *s)
{
    return s->kind == STREAM_GROUPS ? groups_message(s, c->group_row, c->user)
                                    : stream_next(s, c->ring, c->config);
}

static json_t *open_stream(struct control *c, const json_t *parameters, enum stream_kind kind)
{
    const char *error;

    if (!c->ring || !stream_open(&c->opened, kind, parameters, c->ring, clock_now_usec(), &error)) {
        c->opened.kind = STREAM_NONE;
        return error_reply(c->ring ? error : CONTROL_INTERFACE ".NoSuchDecision");
    }
    return next_message(c, &c->opened);
}

/* The arena anew. The answer is made where the request was, which nobody needs any more: together they could
 * want more than there is. */
static void forget_request(struct control *c)
{
    arena_reset(&c->arena);
    json_arena = &c->arena;
    json_starved = false;
}

/* What changes something, or starts work; false: another method. */
static bool find_verb(const char *method, enum control_verb *ret)
{
    static const char *const names[] = {
        [CONTROL_PAUSE] = CONTROL_INTERFACE ".Pause",     [CONTROL_RESUME] = CONTROL_INTERFACE ".Resume",
        [CONTROL_HOLD] = CONTROL_INTERFACE ".Hold",       [CONTROL_RELOAD] = CONTROL_INTERFACE ".Reload",
        [CONTROL_RUN] = CONTROL_INTERFACE ".Run",         [CONTROL_RUN_END] = CONTROL_INTERFACE ".RunEnd",
        [CONTROL_OFFLOAD] = CONTROL_INTERFACE ".Offload",
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(method, names[i]) == 0) {
            *ret = (enum control_verb)i;
            return true;
        }
    return false;
}

/* False: what the command needs is missing, of another kind, or too long. */
static bool read_command(const json_t *parameters, struct control_command *command)
{
    bool has = false;

    switch (command->verb) {
    case CONTROL_RELOAD:
        return true;
    case CONTROL_RUN:
    case CONTROL_RUN_END:
        return run_request_read(parameters, command);
    case CONTROL_HOLD:
        return member_get_u64(json_object_get(parameters, "usec"), INT64_MAX, &has, &command->usec) && has;
    case CONTROL_OFFLOAD:
        if (!member_get_u64(json_object_get(parameters, "bytes"), INT64_MAX, &has, &command->bytes) ||
            command->bytes == 0)
            return false;
        break;
    case CONTROL_PAUSE:
    case CONTROL_RESUME:
        break;
    }
    return member_get_text(json_object_get(parameters, "group"), command->group, sizeof(command->group)) &&
           command->group[0] != '\0';
}

static const char *command_error(int r)
{
    switch (-r) {
    case ENOENT:
        return CONTROL_INTERFACE ".NoSuchGroup";
    case EPERM:
        return CONTROL_INTERFACE ".NotAllowed";
    case EBUSY:
        return CONTROL_INTERFACE ".Busy";
    case EINVAL:
        return CONTROL_INTERFACE ".ConfigurationInvalid";
    case EOPNOTSUPP:
        return CONTROL_INTERFACE ".NotPossible";
    }
    return CONTROL_INTERFACE ".Failed";
}

static json_t *lines_of(const char *text)
{
    struct text rest = text_from(text), line;
    json_t *a = json_array(), *s;

    while (text_next_line(&rest, &line)) {
        s = json_stringn(line.at, line.length);
        (void)json_array_append_new(a, s ? s : json_string("(not UTF-8)"));
    }
    return a;
}

static json_t *result_reply(int r, const char *text, const char *details, const struct control_place *place)
{
    json_t *parameters = json_pack("{s:o}", "text", member_any_string(text));

    if (r == 0 && place && place->group[0])
        run_request_answer(place, parameters);
    if (details)
        (void)json_object_set_new(parameters, "details", lines_of(details));
    if (r < 0)
        return json_pack("{s:s, s:o}", "error", command_error(r), "parameters", parameters);
    return json_pack("{s:o}", "parameters", parameters);
}

/* The daemon may tell those who follow of what it does, which is JSON, too: nothing of ours is in the arena
 * meanwhile. */
static json_t *run_command(struct control *c, json_t *parameters, enum control_verb verb)
{
    struct control_command command = {.verb = verb, .peer = c->peer};
    char text[CONTROL_TEXT_MAX] = "";
    int r = -EOPNOTSUPP;

    if (!read_command(parameters, &command))
        return error_reply("org.varlink.service.InvalidParameter");
    json_arena = NULL;
    if (c->command)
        r = c->command(c->user, &command, text, sizeof(text));
    else
        (void)snprintf(text, sizeof(text), "that is not possible here");
    forget_request(c);
    if (r == -EINPROGRESS)
        return NULL;
    c->ticket = 0;
    return result_reply(r, text, NULL, &c->place);
}

static json_t *dispatch(struct control *c, json_t *request, bool may_read, bool may_change)
{
    const char *method = json_string_value(json_object_get(request, "method"));
    enum control_verb verb;
    static struct status status; /* large, and only one is made at a time */
    bool explain, events, groups;

    if (!method)
        return error_reply("org.varlink.service.InvalidParameter");
    if (strcmp(method, "org.varlink.service.GetInfo") == 0)
        return json_pack("{s:{s:s, s:s, s:s, s:s, s:[s, s]}}", "parameters", "vendor", "headroom", "product",
                         "headroomd", "version", HEADROOM_VERSION, "url", "", "interfaces",
                         "org.varlink.service", CONTROL_INTERFACE);
    if (strcmp(method, "org.varlink.service.GetInterfaceDescription") == 0)
        return json_pack("{s:{s:s}}", "parameters", "description", interface_description);
    if (find_verb(method, &verb)) /* who may run work is for its class to say */
        return may_change || verb == CONTROL_RUN || verb == CONTROL_RUN_END
                   ? run_command(c, json_object_get(request, "parameters"), verb)
                   : error_reply(CONTROL_INTERFACE ".PermissionDenied");
    explain = strcmp(method, CONTROL_INTERFACE ".Explain") == 0;
    events = strcmp(method, CONTROL_INTERFACE ".Events") == 0;
    groups = c->group_row && strcmp(method, CONTROL_INTERFACE ".Groups") == 0;
    if (!explain && !events && !groups && strcmp(method, CONTROL_INTERFACE ".Status") != 0)
        return error_reply("org.varlink.service.MethodNotFound");
    if (!may_read)
        return error_reply(CONTROL_INTERFACE ".PermissionDenied");
    if (groups) {
        c->opened = (struct stream){.kind = STREAM_GROUPS};
        return next_message(c, &c->opened);
    }
    if (explain || events)
        return open_stream(c, json_object_get(request, "parameters"),
                           explain ? STREAM_EXPLAIN : STREAM_EVENTS);
    memset(&status, 0, sizeof(status));
    c->status(c->user, &status);
    forget_request(c);
    return json_pack("{s:{s:o}}", "parameters", "status",
                     status_to_json(&status, CONTROL_REPLY_MAX - STATUS_WRAPPING));
}

/* What a request may be made of. Each of these characters makes the parser allocate, up to some 300 bytes:
 * with more of them a hostile request would exhaust the arena, and jansson (2.14) reads and writes behind its
 * buffers where an allocation fails in the middle of a string. It also bounds how deep the parser calls
 * itself. In a string they count, too: the name of a group may hold some, and one that holds more is refused.
 */
static bool is_modest(const char *request, size_t length)
{
    unsigned parts = 0;

    for (size_t i = 0; i < length; i++)
        parts += request[i] == '{' || request[i] == '[' || request[i] == ',' || request[i] == ':';
    return parts <= CONTROL_REQUEST_PARTS_MAX;
}

int control_handle(struct control *c, const char *request, size_t length, bool may_read, bool may_change,
                   char *ret, size_t size, size_t *ret_length)
{
    json_error_t error;
    json_t *in, *out;
    size_t n;

    forget_request(c);
    c->opened.kind = STREAM_NONE;
    c->nothing_yet = false;
    c->ticket = 0;
    c->place.group[0] = '\0';
    in = is_modest(request, length) ? json_loadb(request, length, JSON_REJECT_DUPLICATES, &error) : NULL;
    out = json_is_object(in) ? dispatch(c, in, may_read, may_change)
                             : error_reply("org.varlink.service.InvalidParameter");
    if (!out && (c->opened.kind == STREAM_EVENTS || c->ticket != 0) && !json_starved) {
        json_arena = NULL;
        *ret_length = 0; /* it follows, or waits, and nothing has happened yet */
        c->nothing_yet = true;
        return 0;
    }
    n = out ? json_dumpb(out, ret, size, JSON_COMPACT) : 0;
    json_arena = NULL;
    if (n == 0 || n > size || json_starved)
        return -ENOBUFS;
    *ret_length = n;
    return 0;
}

static void client_close(struct control *c, struct control_client *cl)
{
    loop_remove(c->loop, cl->fd);
    close_fdp(&cl->fd);
    cl->waits_for = 0;
}

/* Into its reply buffer; false: it does not fit, and the client is let go of. */
static bool client_take(struct control *c, struct control_client *cl, const json_t *out)
{
    size_t n = out ? json_dumpb(out, cl->reply, sizeof(cl->reply) - 1, JSON_COMPACT) : 0;

    json_arena = NULL;
    if (n == 0 || n > sizeof(cl->reply) - 1 || json_starved) {
        client_close(c, cl);
        return false;
    }
    cl->reply[n] = 0;
    cl->reply_length = n + 1;
    cl->reply_sent = 0;
    return true;
}

/* The next message of the client's stream, where there is one now, goes into its reply buffer. */
static void client_advance(struct control *c, struct control_client *cl)
{
    json_t *out;

    forget_request(c);
    out = next_message(c, &cl->stream);
    if (out || json_starved)
        (void)client_take(c, cl, out);
    json_arena = NULL;
}

/* With EPOLLOUT a request that came together with the one before it is served in the next turn of the loop.
 */
static void client_flush(struct control *c, struct control_client *cl)
{
    bool more = memchr(cl->request, 0, cl->request_length) != NULL;

    while (cl->reply_sent < cl->reply_length) {
        ssize_t n = send(cl->fd, cl->reply + cl->reply_sent, cl->reply_length - cl->reply_sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            (void)loop_change(c->loop, cl->fd, EPOLLOUT);
            return;
        }
        if (n < 0) {
            client_close(c, cl);
            return;
        }
        cl->reply_sent += (size_t)n;
    }
    cl->reply_length = cl->reply_sent = 0;
    if (cl->stream.kind != STREAM_NONE)
        client_advance(
            c, cl); /* goes out in the next turn of the loop: one client does not hold up the others */
    if (cl->fd >= 0)
        (void)loop_change(c->loop, cl->fd,
                          (more && cl->waits_for == 0) || cl->reply_length > 0 ? EPOLLOUT : EPOLLIN);
}

void control_notify(struct control *c)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct control_client *cl = &c->clients[i];

        if (cl->fd >= 0 && cl->stream.kind == STREAM_EVENTS && cl->reply_length == 0)
            client_flush(c, cl);
    }
}

/* What it has waited for. */
static void client_answer(struct control *c, struct control_client *cl, int result, const char *text,
                          const char *details, const struct control_place *place)
{
    cl->waits_for = 0;
    forget_request(c);
    if (client_take(c, cl, result_reply(result, text, details, place)))
        client_flush(c, cl);
}

void control_answer(struct control *c, uint64_t ticket, int result, const char *text, const char *details)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct control_client *cl = &c->clients[i];

        if (cl->fd >= 0 && cl->waits_for != 0 && cl->waits_for <= ticket &&
            ((cl->waits_for ^ ticket) & CONTROL_TICKET_KIND) == 0)
            client_answer(c, cl, result, text, details, NULL);
    }
}

void control_answer_run(struct control *c, uint64_t ticket, int result, const char *text,
                        const struct control_place *place)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (c->clients[i].fd >= 0 && c->clients[i].waits_for == ticket)
            client_answer(c, &c->clients[i], result, text, NULL, place);
}

/* Answers the first whole request in the buffer; the next one waits until the reply has gone out. */
static void client_serve(struct control *c, struct control_client *cl)
{
    char *end = memchr(cl->request, 0, cl->request_length);
    size_t length;

    if (!end) {
        if (cl->request_length == sizeof(cl->request))
            client_close(c, cl);
        return;
    }
    cl->last_use = ++c->uses;
    c->peer = &cl->peer;
    length = (size_t)(end - cl->request);
    if (control_handle(c, cl->request, length, cl->may_read, cl->may_change, cl->reply, sizeof(cl->reply) - 1,
                       &cl->reply_length) < 0) {
        client_close(c, cl);
        return;
    }
    cl->stream = c->opened;
    cl->waits_for = c->ticket;
    if (!c->nothing_yet)
        cl->reply[cl->reply_length++] = 0;
    cl->reply_sent = 0;
    cl->request_length -= length + 1;
    memmove(cl->request, end + 1, cl->request_length);
    client_flush(c, cl);
}

static struct control_client *client_find(struct control *c, int fd)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (c->clients[i].fd == fd)
            return &c->clients[i];
    return NULL;
}

static void on_client(void *user, int fd, uint32_t events)
{
    struct control *c = user;
    struct control_client *cl = client_find(c, fd);
    ssize_t n;

    if (!cl)
        return;
    if (events & EPOLLOUT) {
        client_flush(c, cl);
        if (cl->fd >= 0 && cl->reply_length == 0 && cl->stream.kind == STREAM_NONE && cl->waits_for == 0 &&
            cl->request_length > 0)
            client_serve(c, cl);
        return;
    }
    n = recv(fd, cl->request + cl->request_length, sizeof(cl->request) - cl->request_length, MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        client_close(c, cl);
        return;
    }
    cl->request_length += (size_t)n;
    if (cl->stream.kind == STREAM_NONE && cl->waits_for == 0)
        client_serve(c, cl);
    else if (cl->request_length == sizeof(cl->request))
        client_close(c, cl); /* it keeps talking instead of listening */
}

bool control_peer_is_in(const struct control_peer *peer, const uint32_t *gids, unsigned count)
{
    gid_t groups[64];
    socklen_t length = sizeof(groups);

    if (count == 0 || getsockopt(peer->fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0)
        length = 0;
    for (unsigned k = 0; k < count; k++) {
        if (gids[k] == peer->gid)
            return true;
        for (size_t i = 0; i < length / sizeof(groups[0]); i++)
            if (groups[i] == gids[k])
                return true;
    }
    return false;
}

static bool may_read(const struct control *c, const struct control_peer *peer)
{
    return peer->uid == 0 || c->access_all ||
           (c->group != (gid_t)-1 && control_peer_is_in(peer, &c->group, 1));
}

/* A place for a new client. NULL: those who may read hold them all, and this one may not. */
static struct control_client *client_place(struct control *c, bool reads)
{
    struct control_client *least = NULL, *vacant = client_find(c, -1);

    if (vacant)
        return vacant;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct control_client *cl = &c->clients[i];

        if (cl->may_read && !reads)
            continue;
        if (!least || cl->may_read < least->may_read ||
            (cl->may_read == least->may_read && cl->last_use < least->last_use))
            least = cl;
    }
    if (least) {
        c->refused++;
        client_close(c, least);
    }
    return least;
}

static void on_accept(void *user, int fd, uint32_t events)
{
    struct control *c = user;
    struct control_client *cl = NULL;
    struct control_peer peer = {.fd = -1};
    struct ucred cred;
    socklen_t length = sizeof(cred);
    bool reads = false;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)events;
    if (client < 0)
        return;
    if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &cred, &length) == 0) {
        peer = (struct control_peer){client, cred.pid, cred.uid, cred.gid, clock_now_usec()};
        reads = may_read(c, &peer);
        cl = client_place(c, reads);
    }
    if (!cl || loop_add(c->loop, client, EPOLLIN, on_client, c) < 0) {
        c->refused++;
        (void)close(client);
        return;
    }
    cl->fd = client;
    cl->peer = peer;
    cl->may_read = reads;
    cl->may_change = peer.uid == 0;
    cl->last_use = ++c->uses;
    cl->stream.kind = STREAM_NONE; /* of one before that left in the middle of it */
    cl->request_length = cl->reply_length = cl->reply_sent = 0;
}

int control_init(struct control *c, struct loop *l, const char *path, bool access_all,
                 control_status_fn status, void *user)
{
    int r;

    c->loop = l;
    c->access_all = access_all;
    c->status = status;
    c->user = user;
    c->group = account_group_id("headroom");
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        c->clients[i].fd = -1;
    c->fd = -1;
    arena_init(&c->arena, arena_storage, sizeof(arena_storage));
    json_set_alloc_funcs(arena_malloc, arena_free);
    /* jansson seeds its hash tables on first use, from /dev/urandom: now, not in the loop. */
    json_object_seed(0);

    c->fd = listen_at(path, CONTROL_CLIENTS_MAX);
    if (c->fd < 0)
        return c->fd;
    r = loop_add(l, c->fd, EPOLLIN, on_accept, c);
    if (r < 0)
        close_fdp(&c->fd);
    return r;
}

void control_rehearse(struct control *c)
{
    static const char request[] = "{\"method\":\"" CONTROL_INTERFACE ".Status\",\"parameters\":{}}";
    struct control_client *cl = &c->clients[0];
    size_t length;

    (void)!control_handle(c, request, sizeof(request) - 1, true, false, cl->reply, sizeof(cl->reply),
                          &length);
}

void control_deinit(struct control *c, const char *path)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (c->clients[i].fd >= 0)
            client_close(c, &c->clients[i]);
    if (c->fd < 0)
        return;
    loop_remove(c->loop, c->fd);
    close_fdp(&c->fd);
    (void)unlink(path);
}
