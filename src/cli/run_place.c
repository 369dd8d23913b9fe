#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/units.h"
#include "cli/run.h"
#include "kernel/cgroup.h"
#include "system/clock.h"

#define TRIES_USEC (20 * USEC_PER_SEC)
#define TRY_USEC (20 * USEC_PER_MSEC)
#define ENDS_MAX 5
#define WORDS_MAX 32 /* before the command */
#define TRY_MOST_USEC (500 * USEC_PER_MSEC)

/* NULL: it is not UTF-8. The caller frees it. */
static char *request(const struct run_options *run)
{
    const struct run_attributes *a = &run->attributes;
    json_t *o = json_pack("{s:s, s:b}", "class", run->class, "retriable", a->retriable);
    char *text;

    if (!o)
        return NULL;
    if (a->has_request)
        (void)json_object_set_new(o, "request_bytes", json_integer((json_int_t)a->request_bytes));
    if (a->has_priority)
        (void)json_object_set_new(o, "priority", json_integer((json_int_t)a->priority));
    if (a->task[0] && json_object_set_new(o, "task", json_string(a->task)) < 0) {
        json_decref(o);
        return NULL;
    }
    text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

static void say_refusal(const struct run_options *run, const json_t *reply)
{
    const char *error = json_string_value(json_object_get(reply, "error"));
    const char *text = json_string_value(json_object_get(json_object_get(reply, "parameters"), "text"));

    if (!text && error && strstr(error, "MethodNotFound"))
        text = "the headroomd that runs is older than this command: restart it";
    if (!text && error && strstr(error, "InvalidParameter"))
        text = "it is no name that headroomd takes";
    (void)fprintf(stderr, "headroom run --class %s: %s\n", run->class, text ?: error ?: "no reply");
}

/* What the caller has to put right; anything else may be otherwise the next time, or on another node. */
static bool is_wrong(const char *error)
{
    static const char *const wrong[] = {"NoSuchGroup", "NotAllowed", "PermissionDenied", "InvalidParameter",
                                        "ConfigurationInvalid"};

    for (size_t i = 0; error && i < ARRAY_SIZE(wrong); i++)
        if (strstr(error, wrong[i]))
            return true;
    return false;
}

/* After a plain su it is still the other user's. */
static bool is_mine(const char *dir)
{
    struct stat st;

    return dir && *dir && stat(dir, &st) == 0 && st.st_uid == getuid();
}

/* The user's own systemd: a service of cron's or a shell of su's has one beside it without being told where.
 */
static bool reaches_systemd(void)
{
    static const char *const sockets[] = {"bus", "systemd/private"};
    const char *address = getenv("DBUS_SESSION_BUS_ADDRESS"), *dir = getenv("XDG_RUNTIME_DIR");
    char path[PATH_MAX], usual[64];

    (void)snprintf(usual, sizeof(usual), "/run/user/%ju", (uintmax_t)getuid());
    if (!is_mine(dir)) {
        if (access(usual, X_OK) < 0)
            return address && *address;
        dir = usual;
        (void)setenv("XDG_RUNTIME_DIR", dir, 1);
    }
    for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, sockets[i]);
        if (access(path, F_OK) == 0)
            return true;
    }
    return address && *address;
}

static int take(const struct run_options *run, const json_t *reply, struct run_place *ret)
{
    const json_t *values = json_object_get(reply, "parameters");
    const char *group = json_string_value(json_object_get(values, "group"));

    if (json_object_get(reply, "error") || !group || strlen(group) >= sizeof(ret->group)) {
        say_refusal(run, reply);
        return is_wrong(json_string_value(json_object_get(reply, "error"))) ? -EINVAL : -EAGAIN;
    }
    (void)snprintf(ret->group, sizeof(ret->group), "%s", group);
    ret->id = (uint64_t)json_integer_value(json_object_get(values, "id"));
    ret->of_user = json_is_true(json_object_get(values, "of_user"));
    if (ret->of_user && !reaches_systemd()) {
        (void)fprintf(
            stderr,
            "headroom run --class %s: the group would be a scope of your own systemd, which does not "
            "run: log in, or have it run always (loginctl enable-linger)\n",
            run->class);
        *ret = (struct run_place){0};
        return -EAGAIN;
    }
    return 0;
}

/* Not all of many who start at once find a place at the socket: who was sent away comes again, not all at the
 * same time. */
static void wait_a_little(uint64_t *wait_usec)
{
    uint64_t usec = *wait_usec / 2 + (clock_monotonic_usec() ^ (uint64_t)getpid() * 7919) % *wait_usec;
    struct timespec ts = {.tv_sec = (time_t)(usec / USEC_PER_SEC),
                          .tv_nsec = (long)(usec % USEC_PER_SEC * 1000)};

    (void)nanosleep(&ts, NULL);
    *wait_usec = u64_min(2 * *wait_usec, TRY_MOST_USEC);
}

int run_place_ask(const struct cli_options *o, const struct run_options *run, struct run_place *ret)
{
    uint64_t until = clock_monotonic_usec() + TRIES_USEC, wait = TRY_USEC;
    struct cli_options silent = *o;
    char *parameters = request(run);
    json_t *reply;
    int code, r;

    *ret = (struct run_place){0};
    if (!parameters) {
        (void)fprintf(stderr, "headroom run: --class or --task is not UTF-8\n");
        return -EINVAL;
    }
    silent.silent = true;
    while (!(reply = cli_ask(&silent, "io.headroom.Run", parameters, &code)) && code == CLI_FAILURE &&
           clock_monotonic_usec() < until)
        wait_a_little(&wait);
    free(parameters);
    if (!reply)
        return -ENOTCONN;
    r = take(run, reply, ret);
    json_decref(reply);
    return r;
}

bool run_place_end(const struct cli_options *o, const struct run_place *place)
{
    json_t *parameters = json_pack("{s:s, s:I}", "group", place->group, "id", (json_int_t)place->id);
    char *text = parameters ? json_dumps(parameters, JSON_COMPACT) : NULL;
    struct cli_options silent = *o;
    uint64_t wait = TRY_USEC;
    json_t *reply = NULL;
    bool taken;
    int code;

    silent.silent = true;
    for (unsigned i = 0; text && i < ENDS_MAX; i++) {
        reply = cli_ask(&silent, "io.headroom.RunEnd", text, &code);
        if (reply || code != CLI_FAILURE)
            break;
        wait_a_little(&wait);
    }
    taken = reply && !json_object_get(reply, "error");
    json_decref(reply);
    free(text);
    json_decref(parameters);
    return taken;
}

/* ---- scopes ---- */

/* "a/b.slice/run-1.scope": the unit, and the slice that it is in. */
static void split(const struct run_place *place, char ret_slice[static GROUP_PATH_MAX],
                  char ret_unit[static GROUP_PATH_MAX])
{
    const char *unit = strrchr(place->group, '/');
    const char *end = unit ? unit : place->group, *begin = end;

    while (begin > place->group && begin[-1] != '/')
        begin--;
    memcpy(ret_slice, begin, (size_t)(end - begin));
    ret_slice[end - begin] = '\0';
    (void)snprintf(ret_unit, GROUP_PATH_MAX, "%s", unit ? unit + 1 : place->group);
}

/* Ourselves again, inside: the rest of the command line. */
static size_t add_inside(char **argv, size_t n, const struct run_options *run, char numbers[static 2][32])
{
    const struct run_attributes *a = &run->attributes;

    argv[n++] = (char *)"run";
    argv[n++] = (char *)"--inside";
    argv[n++] = (char *)"--class";
    argv[n++] = (char *)(uintptr_t)run->class;
    if (run->relay[0]) {
        argv[n++] = (char *)"--relay";
        argv[n++] = (char *)(uintptr_t)run->relay;
    }
    if (a->has_request) {
        (void)snprintf(numbers[0], sizeof(numbers[0]), "%" PRIu64 "B", a->request_bytes);
        argv[n++] = (char *)"--request";
        argv[n++] = numbers[0];
    }
    if (a->has_priority) {
        (void)snprintf(numbers[1], sizeof(numbers[1]), "%u", a->priority);
        argv[n++] = (char *)"--priority";
        argv[n++] = numbers[1];
    }
    if (a->retriable)
        argv[n++] = (char *)"--retriable";
    if (a->task[0]) {
        argv[n++] = (char *)"--task";
        argv[n++] = (char *)(uintptr_t)a->task;
    }
    argv[n++] = (char *)"--";
    return n;
}

void run_place_enter_scope(const struct run_options *run, const struct run_place *place)
{
    static const char *const begin[] = {"systemd-run", "--scope", "--quiet", "--collect"};
    char slice[GROUP_PATH_MAX], unit[GROUP_PATH_MAX], self[PATH_MAX] = "", numbers[2][32];
    size_t count = 0, n = 0;
    char **argv;

    while (run->command[count])
        count++;
    argv = calloc(count + WORDS_MAX, sizeof(*argv));
    if (!argv || readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        return;
    split(place, slice, unit);
    for (; n < ARRAY_SIZE(begin); n++)
        argv[n] = (char *)(uintptr_t)begin[n];
    if (place->of_user)
        argv[n++] = (char *)"--user";
    argv[n++] = (char *)"--slice";
    argv[n++] = slice;
    argv[n++] = (char *)"--unit";
    argv[n++] = unit;
    argv[n++] = (char *)"--";
    argv[n++] = self;
    n = add_inside(argv, n, run, numbers);
    for (size_t i = 0; i < count; i++)
        argv[n++] = run->command[i];
    (void)execvp(argv[0], argv);
    free(argv);
}

int run_place_open_own(int *ret_fd, char ret_group[static GROUP_PATH_MAX])
{
    _cleanup_close_ int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct hierarchy h = {.fd = -1};
    int r = root_fd < 0 ? -errno : hierarchy_open(root_fd, &h);

    if (r == 0)
        r = cgroup_read_own_path(root_fd, ret_group);
    if (r == 0)
        r = cgroup_open(&h, ret_group);
    hierarchy_close(&h);
    if (r < 0)
        return r;
    *ret_fd = r;
    return 0;
}
