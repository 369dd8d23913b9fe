#include "cli/managers.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"
#include "kernel/process.h"

#define COMM_LENGTH 15 /* TASK_COMM_LEN − 1: longer names are cut by the kernel */
#define KUBELET_DEFAULT_BYTES (100 * MIB)
#define NAMES_MAX 4

/* Whether it conflicts, and its text; NULL detail: the table's cure says it all. */
struct finder {
    int root_fd;
    uint64_t reserve_bytes, total_bytes;
    struct manager *found;
    unsigned count;
    pid_t pids[MANAGERS_MAX]; /* of each row of the table; 0: does not run */
    unsigned more[MANAGERS_MAX];
};

struct known {
    const char *name;
    const char *units[NAMES_MAX];   /* that start it */
    const char *sockets[NAMES_MAX]; /* relative to the root, that it or systemd listens on */
    bool conflicts;
    const char *cure;
    void (*detail)(const struct finder *f, pid_t pid, struct manager *m); /* NULL: none */
};

static void _printf_(2, 3) say(struct manager *m, const char *format, ...)
{
    size_t used = strlen(m->text);
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(m->text + used, sizeof(m->text) - used, format, ap);
    va_end(ap);
}

static bool read_text(int root_fd, const char *path, char *buf, size_t size, struct text *ret)
{
    ssize_t n = file_read_at(root_fd, path, buf, size);

    *ret = (struct text){buf, n > 0 ? (size_t)n : 0};
    return n > 0;
}

static bool contains(struct text t, const char *word)
{
    return memmem(t.at, t.length, word, strlen(word)) != NULL;
}

/* ---- kubelet: from which point on does it evict? ---- */

/* "100Mi", "5%" (of total), "104857600", with or without quotes. */
static bool parse_quantity(struct text t, uint64_t total_bytes, uint64_t *ret)
{
    static const struct {
        const char *suffix;
        uint64_t factor;
    } suffixes[] = {{"Ki", KIB},
                    {"Mi", MIB},
                    {"Gi", GIB},
                    {"k", 1000},
                    {"K", 1000},
                    {"M", 1000 * 1000},
                    {"G", UINT64_C(1000000000)},
                    {"", 1}};
    uint64_t n;

    while (t.length > 0 && (*t.at == '"' || *t.at == '\'' || *t.at == ' '))
        t = (struct text){t.at + 1, t.length - 1};
    while (t.length > 0 && strchr("\"' \r", t.at[t.length - 1]))
        t.length--;
    if (t.length > 1 && t.at[t.length - 1] == '%') {
        if (units_parse_permyriad(t, &n) < 0)
            return false;
        *ret = u64_mul_div(total_bytes, n, PERMYRIAD);
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        size_t m = strlen(suffixes[i].suffix);

        if (t.length > m && memcmp(t.at + t.length - m, suffixes[i].suffix, m) == 0 &&
            text_parse_u64((struct text){t.at, t.length - m}, &n) == 0) {
            *ret = u64_mul_div(n, suffixes[i].factor, 1);
            return true;
        }
    }
    return false;
}

/* The greatest memory.available of evictionHard and evictionSoft in the kubelet's configuration. */
static bool eviction_of_file(struct text t, uint64_t total_bytes, uint64_t *ret)
{
    static const char key[] = "memory.available:";
    bool inside = false, found = false;
    struct text line;

    while (text_next_line(&t, &line)) {
        struct text trimmed = text_trim(line);
        uint64_t bytes;

        if (line.length > 0 && *line.at != ' ' && *line.at != '\t')
            inside = text_equal(trimmed, "evictionHard:") || text_equal(trimmed, "evictionSoft:");
        if (!inside || trimmed.length < sizeof(key) || memcmp(trimmed.at, key, sizeof(key) - 1) != 0)
            continue;
        if (!parse_quantity((struct text){trimmed.at + sizeof(key) - 1, trimmed.length - sizeof(key) + 1},
                            total_bytes, &bytes))
            continue;
        *ret = found ? u64_max(*ret, bytes) : bytes;
        found = true;
    }
    return found;
}

/* --eviction-hard=memory.available<500Mi,nodefs.available<10% */
static bool eviction_of_cmdline(struct text t, uint64_t total_bytes, uint64_t *ret)
{
    static const char key[] = "memory.available<";
    const char *at = memmem(t.at, t.length, key, sizeof(key) - 1), *end;

    if (!at)
        return false;
    at += sizeof(key) - 1;
    for (end = at; end < t.at + t.length && *end && *end != ','; end++)
        ;
    return parse_quantity((struct text){at, (size_t)(end - at)}, total_bytes, ret);
}

static void detail_kubelet(const struct finder *f, pid_t pid, struct manager *m)
{
    char path[64], buf[FILE_BUFFER_SIZE], bytes[UNITS_FORMAT_MAX], reserve[UNITS_FORMAT_MAX];
    uint64_t evicts = KUBELET_DEFAULT_BYTES;
    const char *from = "its default";
    struct text t;

    (void)snprintf(path, sizeof(path), "proc/%d/cmdline", (int)pid);
    if (read_text(f->root_fd, path, buf, sizeof(buf), &t) && eviction_of_cmdline(t, f->total_bytes, &evicts))
        from = "--eviction-hard";
    else if (read_text(f->root_fd, "var/lib/kubelet/config.yaml", buf, sizeof(buf), &t) &&
             eviction_of_file(t, f->total_bytes, &evicts))
        from = "/var/lib/kubelet/config.yaml";
    say(m, "it evicts whole pods when memory.available is under %s (%s)", units_format_bytes(bytes, evicts),
        from);
    if (f->reserve_bytes == 0) {
        say(m, "; keep SystemReserve= in [Node] above that, so that headroomd acts first");
        return;
    }
    units_format_bytes(reserve, f->reserve_bytes);
    m->conflicts = f->reserve_bytes <= evicts;
    if (m->conflicts)
        say(m,
            ", and SystemReserve is %s: it would act first. Cure: SystemReserve= in [Node] above that, or a "
            "lower evictionHard",
            reserve);
    else
        say(m, "; SystemReserve is %s, so headroomd acts first: nothing to do", reserve);
}

/* ---- others of which it depends ---- */

static void detail_ray(const struct finder *f, pid_t pid, struct manager *m)
{
    char path[64], buf[65536];
    struct text t;

    (void)snprintf(path, sizeof(path), "proc/%d/environ", (int)pid);
    if (read_text(f->root_fd, path, buf, sizeof(buf), &t) && contains(t, "RAY_memory_monitor_refresh_ms=0")) {
        m->conflicts = false;
        say(m, "its memory monitor is off: nothing to do");
        return;
    }
    say(m, "its memory monitor kills workers when 95 %% of memory are in use. Cure: start Ray with "
           "RAY_memory_monitor_refresh_ms=0");
}

static void detail_low_memory_monitor(const struct finder *f, pid_t pid, struct manager *m)
{
    char buf[FILE_BUFFER_SIZE];
    struct text t;

    (void)pid;
    m->conflicts = read_text(f->root_fd, "etc/low-memory-monitor.conf", buf, sizeof(buf), &t) &&
                   contains(t, "TriggerKernelOom=true");
    say(m, m->conflicts ? "it calls the kernel's OOM killer. Cure: TriggerKernelOom=false in "
                          "/etc/low-memory-monitor.conf"
                        : "it only tells programs of the desktop: nothing to do");
}

static void detail_oomd(const struct finder *f, pid_t pid, struct manager *m)
{
    static const char *const files[] = {"etc/oomd.json", "etc/oomd/oomd.json"};
    char buf[65536];
    struct text t;

    (void)pid;
    say(m, "it kills cgroups by rules of its own. Cure: systemctl disable --now oomd");
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (read_text(f->root_fd, files[i], buf, sizeof(buf), &t) && contains(t, "senpai"))
            say(m,
                "; its senpai plugin (/%s) also moves memory.high, which headroomd takes for an operator's",
                files[i]);
}

static const struct known knowns[] = {
    {"systemd-oomd",
     {"systemd-oomd.service", "systemd-oomd.socket"},
     {"run/systemd/oom/io.systemd.ManagedOOM"},
     true,
     "it kills whole units of those that ask for it (ManagedOOM...=kill). Cure: systemctl disable --now "
     "systemd-oomd.service systemd-oomd.socket",
     NULL},
    {"earlyoom",
     {"earlyoom.service"},
     {NULL},
     true,
     "it kills the largest process, under 10 % of available memory. Cure: systemctl disable --now earlyoom",
     NULL},
    {"nohang",
     {"nohang.service", "nohang-desktop.service"},
     {NULL},
     true,
     "it kills single processes by a score of its own. Cure: systemctl disable --now nohang nohang-desktop",
     NULL},
    {"oomd", {"oomd.service"}, {"run/oomd/oomd-stats.socket"}, true, "", detail_oomd},
    {"senpai",
     {"senpai.service"},
     {NULL},
     true,
     "it moves memory.high up and down, which headroomd takes for an operator's. Cure: stop it",
     NULL},
    {"lmkd", {"lmkd.service"}, {"dev/socket/lmkd"}, true, "it kills by oom_score_adj. Cure: stop it", NULL},
    {"kubelet", {"kubelet.service"}, {NULL}, true, "", detail_kubelet},
    {"raylet", {NULL}, {NULL}, true, "", detail_ray},
    {"low-memory-monitor", {"low-memory-monitor.service"}, {NULL}, false, "", detail_low_memory_monitor},
    {"psi-notify", {"psi-notify.service"}, {NULL}, false, "it only tells the user: nothing to do", NULL},
    {"uresourced",
     {"uresourced.service"},
     {NULL},
     false,
     "it sets memory.min and memory.low of users' sessions: left as they are; where user.slice is the "
     "workload, "
     "that memory cannot be reclaimed",
     NULL},
};

_Static_assert(ARRAY_SIZE(knowns) <= MANAGERS_MAX, "raise MANAGERS_MAX");

/* ---- is it there? ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static bool is_named(const char *program, const char *name)
{
    size_t n = strlen(name);

    return strncmp(program, name, n) == 0 && (program[n] == 0 || strcmp(program + n, ".py") == 0);
}

/* A script that an interpreter was started with by name: "python3 -u /usr/sbin/nohang". */
static bool script_is(const char *cmdline, size_t length, const char *name)
{
    const char *at = cmdline, *end = cmdline + length;

    if (strncmp(base_name(at), "python", 6) != 0)
        return false;
    for (at += strlen(at) + 1; at < end && *at == '-'; at += strlen(at) + 1)
        if (strcmp(at, "-c") == 0)
            return false;
    return at < end && is_named(base_name(at), name);
}

static int look_at_process(void *user, pid_t pid)
{
    char path[64], cmdline[FILE_BUFFER_SIZE + 1];
    struct finder *f = user;
    struct process_stat st;
    ssize_t n;

    if (process_read_stat(f->root_fd, pid, &st) < 0 || st.kernel_thread || st.state == 'Z')
        return 0;
    (void)snprintf(path, sizeof(path), "proc/%d/cmdline", (int)pid);
    n = file_read_at(f->root_fd, path, cmdline, FILE_BUFFER_SIZE);
    cmdline[n > 0 ? n : 0] = 0;
    for (size_t i = 0; i < ARRAY_SIZE(knowns); i++) {
        const char *name = knowns[i].name;

        if (strncmp(st.comm, name, COMM_LENGTH) != 0 && !script_is(cmdline, n > 0 ? (size_t)n : 0, name))
            continue;
        f->more[i] += f->pids[i] != 0;
        if (f->pids[i] == 0 || pid < f->pids[i])
            f->pids[i] = pid;
    }
    return 0;
}

/* Linked to by a target, and so started at boot. */
static bool is_enabled(int root_fd, const char *unit)
{
    static const char *const targets[] = {"multi-user",        "basic",  "sysinit", "graphical", "default",
                                          "graphical-session", "sockets"};
    char path[160];

    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        (void)snprintf(path, sizeof(path), "etc/systemd/system/%s.target.wants/%s", targets[i], unit);
        if (faccessat(root_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return true;
    }
    return false;
}

static void judge(struct finder *f, size_t i)
{
    const struct known *k = &knowns[i];
    const char *unit = NULL, *socket = NULL;
    struct manager *m = &f->found[f->count];

    for (size_t j = 0; j < NAMES_MAX && k->units[j] && !unit; j++)
        if (is_enabled(f->root_fd, k->units[j]))
            unit = k->units[j];
    for (size_t j = 0; j < NAMES_MAX && k->sockets[j] && !socket; j++)
        if (file_exists_at(f->root_fd, k->sockets[j]))
            socket = k->sockets[j];
    if (f->pids[i] == 0 && !unit && !socket)
        return;
    *m = (struct manager){.name = k->name, .conflicts = k->conflicts};
    f->count++;
    if (f->pids[i] != 0 && f->more[i] > 0)
        say(m, "%s runs (pid %d and %u more): ", k->name, (int)f->pids[i], f->more[i]);
    else if (f->pids[i] != 0)
        say(m, "%s runs (pid %d): ", k->name, (int)f->pids[i]);
    else if (socket)
        say(m, "%s does not run, but is started on demand (/%s is there): ", k->name, socket);
    else
        say(m, "%s does not run, but is started at boot (%s is enabled): ", k->name, unit);
    if (k->detail)
        k->detail(f, f->pids[i], m);
    else
        say(m, "%s", k->cure);
}

unsigned managers_find(int root_fd, uint64_t reserve_bytes, uint64_t total_bytes,
                       struct manager ret[static MANAGERS_MAX])
{
    struct finder f = {
        .root_fd = root_fd, .reserve_bytes = reserve_bytes, .total_bytes = total_bytes, .found = ret};

    (void)process_each(root_fd, look_at_process, &f);
    for (size_t i = 0; i < ARRAY_SIZE(knowns); i++)
        judge(&f, i);
    return f.count;
}
