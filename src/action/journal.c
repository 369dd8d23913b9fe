#include "action/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/text.h"
#include "kernel/file.h"

#define NEW_SUFFIX ".new"
#define NAME_MAX_BYTES 32
/* A full table with the longest names and two values each takes 240 KiB; a usual one 100 bytes a lease. With
 * more places it may be so much larger. */
#define JOURNAL_SIZE_MAX 524288
#define JOURNAL_LARGE_SIZE_MAX (16 * JOURNAL_SIZE_MAX)
#define JOURNAL_GROWTH_MAX 32768
#define JOURNAL_LINE_MAX 512
#define JOURNAL_READ_MAX 4096 /* at once: more than any line */

unsigned lease_table_size(const struct lease_table *t)
{
    return t->top;
}

struct lease *lease_at(struct lease_table *t, unsigned i)
{
    return i < JOURNAL_LEASES_MAX ? &t->leases[i] : &t->more[i - JOURNAL_LEASES_MAX];
}

static void table_clear(struct lease_table *t)
{
    memset(t->leases, 0, sizeof(t->leases));
    t->top = 0;
    t->last_sequence = 0;
}

struct lease *lease_find(struct lease_table *t, uint64_t cgroup_id, const char *knob)
{
    for (unsigned i = 0; i < lease_table_size(t); i++) {
        struct lease *l = lease_at(t, i);

        if (l->used && l->cgroup_id == cgroup_id && strcmp(l->knob, knob) == 0)
            return l;
    }
    return NULL;
}

static struct lease *place_find(struct lease_table *t)
{
    for (unsigned i = 0; i < lease_table_size(t); i++)
        if (!lease_at(t, i)->used)
            return lease_at(t, i);
    return t->top < JOURNAL_LEASES_MAX + (t->more ? t->more_count : 0) ? lease_at(t, t->top++) : NULL;
}

struct lease *lease_add(struct lease_table *t)
{
    struct lease *l = place_find(t);

    if (l)
        *l = (struct lease){.used = true, .sequence = ++t->last_sequence};
    return l;
}

/* Two that are equally old stand in the order of the table. */
static bool is_later(const struct lease *a, const struct lease *b)
{
    return a->sequence != b->sequence ? a->sequence > b->sequence : a > b;
}

struct lease *lease_next(struct lease_table *t, const struct lease *after)
{
    struct lease *next = NULL;

    for (unsigned i = 0; i < lease_table_size(t); i++) {
        struct lease *l = lease_at(t, i);

        if (l->used && (!after || is_later(l, after)) && (!next || is_later(next, l)))
            next = l;
    }
    return next;
}

bool lease_is_ours(const struct lease *l, uint64_t value)
{
    return l->drift != LEASE_YIELDED &&
           (value == l->ours || value == l->ours_before || (l->is_told && value == l->told));
}

static bool begins_with(const char *knob, const char *prefix)
{
    return strncmp(knob, prefix, strlen(prefix)) == 0;
}

/* Of "PREFIX:PID"; 0: it is none. */
static pid_t knob_pid(const char *knob, const char *prefix)
{
    size_t n = strlen(prefix);
    uint64_t pid;

    if (!begins_with(knob, prefix) || knob[n] != ':' || knob[n + 1] == '0' ||
        text_parse_u64(text_from(knob + n + 1), &pid) < 0 || pid > INT_MAX)
        return 0;
    return (pid_t)pid;
}

pid_t lease_pid(const struct lease *l)
{
    return knob_pid(l->knob, JOURNAL_SIGSTOP);
}

pid_t lease_score_pid(const struct lease *l)
{
    return knob_pid(l->knob, JOURNAL_SCORE);
}

void lease_score_knob(char ret[static JOURNAL_KNOB_MAX], pid_t pid)
{
    (void)snprintf(ret, JOURNAL_KNOB_MAX, "%s:%d", JOURNAL_SCORE, (int)pid);
}

bool lease_is_pause(const struct lease *l)
{
    return strcmp(l->knob, JOURNAL_FREEZE) == 0 || lease_pid(l) > 0;
}

void lease_pause_knob(char ret[static JOURNAL_KNOB_MAX], pid_t pid)
{
    if (pid > 0)
        (void)snprintf(ret, JOURNAL_KNOB_MAX, "%s:%d", JOURNAL_SIGSTOP, (int)pid);
    else
        (void)snprintf(ret, JOURNAL_KNOB_MAX, "%s", JOURNAL_FREEZE);
}

/* What a journal may name: a file of the cgroup, and nothing else, is ever written; a signal has its pid; a
 * pause is nothing but a pause, so that undoing one never stops anything. */
static bool is_good(const struct lease *l, bool with_values)
{
    if (!l->knob[0] || strchr(l->knob, '/') || (begins_with(l->knob, JOURNAL_SIGSTOP) && lease_pid(l) == 0))
        return false;
    if (begins_with(l->knob, JOURNAL_SCORE) &&
        (lease_score_pid(l) == 0 ||
         (with_values && (l->was > 2 * JOURNAL_SCORE_ZERO || l->ours > 2 * JOURNAL_SCORE_ZERO))))
        return false;
    return !with_values || !lease_is_pause(l) || (l->was == 0 && l->ours == 1);
}

/* The rest of `word` behind "key=", or false. */
static bool value_of(struct text word, const char *key, struct text *ret)
{
    size_t n = strlen(key);

    if (word.length <= n || memcmp(word.at, key, n) != 0 || word.at[n] != '=')
        return false;
    *ret = (struct text){word.at + n + 1, word.length - n - 1};
    return true;
}

static void skip_blanks(struct text *line) /* only in front: a name may end in a blank */
{
    while (line->length > 0 && line->at[0] == ' ')
        *line = (struct text){line->at + 1, line->length - 1};
}

static const char *const drifts[] = {[LEASE_REAPPLIED] = "reapplied", [LEASE_YIELDED] = "yielded"};

/* Only of a knob that somebody else has set meanwhile. */
static int parse_drift(struct text *line, enum lease_drift *ret)
{
    struct text rest = *line, word, value;

    if (!text_next_word(&rest, &word) || !value_of(word, "drift", &value))
        return 0;
    for (enum lease_drift i = LEASE_REAPPLIED; i <= LEASE_YIELDED; i++)
        if (text_equal(value, drifts[i])) {
            *ret = i;
            *line = rest;
            skip_blanks(line);
            return 0;
        }
    return -EBADMSG;
}

/* The fields of a line in their fixed order; the path is the rest, since it may hold blanks. */
static int parse_fields(struct text line, bool with_values, struct lease *ret)
{
    struct lease l = {.used = true};
    struct text word, value;
    int r;

    if (!text_next_word(&line, &word) || !value_of(word, "id", &value))
        return -EBADMSG;
    r = text_parse_u64(value, &l.cgroup_id);
    if (r < 0)
        return r;
    if (!text_next_word(&line, &word) || !value_of(word, "knob", &value))
        return -EBADMSG;
    r = text_copy(value, l.knob, sizeof(l.knob));
    if (r < 0)
        return r;
    if (with_values) {
        if (!text_next_word(&line, &word) || !value_of(word, "was", &value))
            return -EBADMSG;
        r = text_parse_u64_or_max(value, &l.was);
        if (r < 0)
            return r;
        if (!text_next_word(&line, &word) || !value_of(word, "ours", &value))
            return -EBADMSG;
        r = text_parse_u64_or_max(value, &l.ours);
        if (r < 0)
            return r;
    }
    skip_blanks(&line);
    if (with_values && parse_drift(&line, &l.drift) < 0)
        return -EBADMSG;
    if (!value_of(line, "path", &value))
        return -EBADMSG;
    r = text_copy(value, l.path, sizeof(l.path));
    if (r < 0)
        return r;
    if (!is_good(&l, with_values))
        return -EBADMSG;
    l.ours_before = l.ours;
    *ret = l;
    return 0;
}

static int parse_line(struct text line, struct lease_table *t)
{
    struct lease parsed, *l;
    struct text word;
    bool lease;
    int r;

    if (!text_next_word(&line, &word))
        return 0;
    lease = text_equal(word, "lease");
    if (!lease && !text_equal(word, "release"))
        return -EBADMSG;
    r = parse_fields(line, lease, &parsed);
    if (r < 0)
        return r;
    l = lease_find(t, parsed.cgroup_id, parsed.knob);
    if (!lease) {
        if (l)
            l->used = false;
        return 0;
    }
    if (l) {
        parsed.ours_before = l->ours;
    } else {
        l = lease_add(t);
        if (!l)
            return -ENOSPC;
    }
    parsed.sequence = l->sequence;
    *l = parsed;
    return 0;
}

/* The lines of a journal as they come. */
struct reading {
    struct lease_table *table;
    const char *boot_id;
    bool begun;
    bool ended; /* another format, or another boot, whose cgroups are gone */
    unsigned bad;
};

static void read_head(struct reading *g, struct text line)
{
    struct text word;

    g->begun = true;
    if (!text_next_word(&line, &word) || !text_equal(word, "headroom-journal") ||
        !text_next_word(&line, &word) || !text_equal(word, "1")) {
        g->bad++;
        g->ended = true;
    } else if (!text_next_word(&line, &word) || !text_equal(word, g->boot_id)) {
        g->ended = true;
    }
}

static void read_line(struct reading *g, struct text line)
{
    if (g->ended)
        return;
    if (!g->begun)
        read_head(g, line);
    else if (parse_line(line, g->table) < 0)
        g->bad++;
}

void journal_parse(const char *buf, size_t length, const char *boot_id, struct lease_table *ret_table,
                   unsigned *ret_bad)
{
    struct reading g = {.table = ret_table, .boot_id = boot_id};
    struct text rest = {buf, length}, line;

    table_clear(ret_table);
    while (rest.length > 0 && rest.at[rest.length - 1] != '\n')
        rest.length--;
    while (text_next_line(&rest, &line))
        read_line(&g, line);
    *ret_bad = g.bad;
}

static size_t size_max(const struct lease_table *t)
{
    return t->more ? JOURNAL_LARGE_SIZE_MAX : JOURNAL_SIZE_MAX;
}

static int read_boot_id(int root_fd, char ret[40])
{
    char buf[64];
    ssize_t n = file_read_at(root_fd, "proc/sys/kernel/random/boot_id", buf, sizeof(buf));

    /* A recorded tree may lack it; there, one name is as good as another. */
    if (n < 0)
        return text_copy(text_from("unknown"), ret, 40);
    return text_copy(text_trim((struct text){buf, (size_t)n}), ret, 40);
}

/* The whole lines of a file that is never in memory as a whole (there is a table of leases for that), each
 * process of headroom having its memory locked. *ret_whole: up to the end of the last line that has one. */
static int read_lines(int fd, struct reading *g, size_t *ret_whole)
{
    char buf[JOURNAL_READ_MAX];
    size_t held = 0, offset = 0, whole = 0; /* offset: of buf in the file */
    bool drop = false;                      /* in a line that is longer than any of ours */

    for (;;) {
        ssize_t n = pread(fd, buf + held, sizeof(buf) - held, (off_t)(offset + held));
        size_t at = 0;
        const char *end;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        held += (size_t)n;
        while ((end = memchr(buf + at, '\n', held - at))) {
            if (!drop)
                read_line(g, (struct text){buf + at, (size_t)(end - buf) - at});
            drop = false;
            at = (size_t)(end - buf) + 1;
            whole = offset + at;
        }
        if (at == 0 && held == sizeof(buf)) {
            drop = true;
            at = held;
        }
        memmove(buf, buf + at, held - at);
        held -= at;
        offset += at;
        if (offset > size_max(g->table))
            return -EFBIG;
    }
    *ret_whole = whole;
    return 0;
}

static int load(int runtime_fd, const char *name, const char *boot_id, struct lease_table *ret_table,
                size_t *ret_whole)
{
    struct reading g = {.table = ret_table, .boot_id = boot_id};
    _cleanup_close_ int fd = file_open_read(runtime_fd, name);

    if (fd < 0)
        return fd;
    table_clear(ret_table);
    return read_lines(fd, &g, ret_whole);
}

/* The guardian may have appended while the loop stood still: always go on from the real end. */
static int seek_end(struct journal *j)
{
    struct stat st;

    if (j->fd < 0 || fstat(j->fd, &st) < 0)
        return j->fd < 0 ? -EBADF : -errno;
    j->size = (uint64_t)st.st_size;
    return 0;
}

int journal_load(int root_fd, int runtime_fd, struct lease_table *ret_table)
{
    return journal_load_named(JOURNAL_NAME, root_fd, runtime_fd, ret_table);
}

int journal_load_named(const char *name, int root_fd, int runtime_fd, struct lease_table *ret_table)
{
    char boot_id[40];
    size_t whole;
    int r = read_boot_id(root_fd, boot_id);

    return r < 0 ? r : load(runtime_fd, name, boot_id, ret_table, &whole);
}

int journal_open(struct journal *j, int root_fd, int runtime_fd, struct lease_table *ret_table)
{
    return journal_open_named(j, JOURNAL_NAME, root_fd, runtime_fd, ret_table);
}

int journal_open_named(struct journal *j, const char *name, int root_fd, int runtime_fd,
                       struct lease_table *ret_table)
{
    size_t whole;
    int r;

    *j = (struct journal){.name = name, .dir_fd = runtime_fd, .fd = -1, .size_max = size_max(ret_table)};
    r = read_boot_id(root_fd, j->boot_id);
    if (r < 0)
        return r;
    r = load(runtime_fd, name, j->boot_id, ret_table, &whole);
    if (r == -ENOENT)
        table_clear(ret_table);
    else if (r < 0)
        return r;
    return journal_rewrite(j, ret_table);
}

int journal_open_existing(struct journal *j, const char *name, int root_fd, int runtime_fd,
                          struct lease_table *ret_table)
{
    size_t whole;
    int r;

    *j = (struct journal){.name = name, .dir_fd = runtime_fd, .fd = -1, .size_max = size_max(ret_table)};
    r = read_boot_id(root_fd, j->boot_id);
    if (r == 0)
        r = load(runtime_fd, name, j->boot_id, ret_table, &whole);
    if (r < 0)
        return r;
    j->fd = openat(runtime_fd, name, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    if (j->fd < 0)
        return -errno;
    /* A torn last line was never acted on; what is appended must not become its tail. */
    if (seek_end(j) == 0 && j->size > whole)
        (void)ftruncate(j->fd, (off_t)whole);
    return 0;
}

void journal_close(struct journal *j)
{
    if (j->fd >= 0)
        (void)close(j->fd);
    j->fd = -1;
}

static void append_u64_or_max(struct buffer *b, const char *key, uint64_t value)
{
    if (value == UINT64_MAX)
        buffer_appendf(b, " %s=max", key);
    else
        buffer_appendf(b, " %s=%ju", key, (uintmax_t)value);
}

static void format_lease(struct buffer *b, const struct lease *l, uint64_t ours)
{
    buffer_appendf(b, "lease id=%ju knob=%s", (uintmax_t)l->cgroup_id, l->knob);
    append_u64_or_max(b, "was", l->was);
    append_u64_or_max(b, "ours", ours);
    if (l->drift != LEASE_KEPT)
        buffer_appendf(b, " drift=%s", drifts[l->drift]);
    buffer_appendf(b, " path=%s\n", l->path);
}

/* All of it or nothing: what a full file system took of a line is taken back. */
static int append_text(struct journal *j, const struct buffer *b)
{
    ssize_t n;

    if (b->cut)
        return -ENAMETOOLONG;
    if (j->fd < 0)
        return -EBADF;
    if (j->size + b->length > j->size_max)
        return -EFBIG; /* it could not be read back */
    do
        n = write(j->fd, b->data, b->length); /* O_APPEND: two writers never overwrite each other */
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)b->length) {
        j->size += b->length;
        return 0;
    }
    n = n < 0 ? -errno : -ENOSPC;
    if (ftruncate(j->fd, (off_t)j->size) < 0)
        return -errno;
    return (int)n;
}

int journal_append_lease(struct journal *j, const struct lease *l)
{
    char storage[JOURNAL_LINE_MAX];
    struct buffer b;
    int r = seek_end(j);

    if (r < 0)
        return r;
    buffer_init(&b, storage, sizeof(storage));
    format_lease(&b, l, l->ours);
    return append_text(j, &b);
}

int journal_append_release(struct journal *j, const struct lease *l)
{
    char storage[JOURNAL_LINE_MAX];
    struct buffer b;
    int r = seek_end(j);

    if (r < 0)
        return r;
    buffer_init(&b, storage, sizeof(storage));
    buffer_appendf(&b, "release id=%ju knob=%s path=%s\n", (uintmax_t)l->cgroup_id, l->knob, l->path);
    return append_text(j, &b);
}

/* Many lines a write: there may be hundreds. */
static int append_line(struct journal *j, struct buffer *block, const struct lease *l, uint64_t ours)
{
    int r = 0;

    if (block->size - block->length <= JOURNAL_LINE_MAX) {
        r = append_text(j, block);
        block->length = 0;
    }
    if (r == 0)
        format_lease(block, l, ours);
    return r;
}

static int append_all(struct journal *j, struct lease_table *table)
{
    char storage[8 * JOURNAL_LINE_MAX];
    struct lease *l = NULL;
    struct buffer b;
    int r = 0;

    buffer_init(&b, storage, sizeof(storage));
    buffer_appendf(&b, "headroom-journal 1 %s\n", j->boot_id);
    while (r == 0 && (l = lease_next(table, l))) {
        if (l->ours_before != l->ours)
            r = append_line(j, &b, l, l->ours_before);
        if (r == 0)
            r = append_line(j, &b, l, l->ours);
    }
    return r < 0 ? r : append_text(j, &b);
}

int journal_rewrite(struct journal *j, struct lease_table *table)
{
    char new_name[NAME_MAX_BYTES];
    struct journal fresh = *j;
    int r;

    (void)snprintf(new_name, sizeof(new_name), "%s" NEW_SUFFIX, j->name);
    fresh.size = 0;
    fresh.fd =
        openat(j->dir_fd, new_name, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fresh.fd < 0)
        return -errno;
    r = append_all(&fresh, table);
    if (r == 0 && renameat(j->dir_fd, new_name, j->dir_fd, j->name) < 0)
        r = -errno;
    if (r < 0) {
        (void)close(fresh.fd);
        (void)unlinkat(j->dir_fd, new_name, 0);
        return r;
    }
    fresh.fresh_size = fresh.size;
    journal_close(j);
    *j = fresh;
    return 0;
}

bool journal_is_long(const struct journal *j)
{
    return j->size > j->fresh_size + JOURNAL_GROWTH_MAX;
}
