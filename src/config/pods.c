#include "config/pods.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "base/units.h"
#include "config/reader.h"

struct parsing {
    struct config *config;
    struct reader reader; /* for its messages */
};

/* With dashes, whichever way it is written. */
static bool parse_uid(struct text t, char ret[static CONFIG_POD_UID_MAX])
{
    if (t.length >= CONFIG_POD_UID_MAX)
        return false;
    for (size_t i = 0; i < t.length; i++) {
        char c = t.at[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-' || c == '_'))
            return false;
        ret[i] = c;
        if (c == '_')
            ret[i] = '-';
    }
    ret[t.length] = '\0';
    return t.length > 0;
}

static bool parse_priority(struct text t, struct pod_config *pod)
{
    uint64_t n;

    if (text_equal(t, "-"))
        return true;
    if (text_parse_u64(t, &n) < 0 || n > CONFIG_PRIORITY_PROTECTED)
        return false;
    pod->priority = (unsigned)n;
    return pod->has_priority = true;
}

static bool parse_request(struct text t, struct pod_config *pod)
{
    if (text_equal(t, "-"))
        return true;
    return pod->has_request = units_parse_bytes(t, &pod->request_bytes) == 0;
}

static const struct pod_config *find(const struct config *c, const char *uid)
{
    for (unsigned i = 0; i < c->pod_count; i++)
        if (strcmp(c->pods[i].uid, uid) == 0)
            return &c->pods[i];
    return NULL;
}

static void parse_line(struct parsing *p, struct text line)
{
    struct pod_config pod = {0};
    struct text rest = line, uid, word;
    struct config *c = p->config;
    char shown[EXCERPT_MAX];

    if (!text_next_word(&rest, &uid) || uid.at[0] == '#')
        return;
    if (!parse_uid(uid, pod.uid))
        reader_warning(&p->reader, "%s is no pod's uid. The line is passed over.", excerpt(shown, uid));
    else if (!text_next_word(&rest, &word) || !parse_priority(word, &pod))
        reader_warning(&p->reader, "The second word is no priority, 0 to %u or -. The line is passed over.",
                       CONFIG_PRIORITY_PROTECTED);
    else if (text_next_word(&rest, &word) && word.at[0] != '#' && !parse_request(word, &pod))
        reader_warning(&p->reader,
                       "%s is no size with a unit, for example 512M, nor -. The line is passed over.",
                       excerpt(shown, word));
    else if (word.at[0] != '#' && text_next_word(&rest, &word) && word.at[0] != '#')
        reader_warning(&p->reader, "%s is one word too many. The line is passed over.", excerpt(shown, word));
    else if (find(c, pod.uid))
        reader_warning(&p->reader, "Of %s an earlier line speaks. The line is passed over.", pod.uid);
    else if (c->pod_count == CONFIG_PODS_MAX)
        reader_warning(&p->reader, "More than %u pods. The line is passed over.", CONFIG_PODS_MAX);
    else
        c->pods[c->pod_count++] = pod;
}

static void parse(struct parsing *p, struct text rest)
{
    struct text line;

    for (p->reader.line = 1; text_next_line(&rest, &line); p->reader.line++)
        parse_line(p, text_trim(line));
}

static bool is_of_others(const struct stat *st)
{
    return (st->st_uid != 0 && st->st_uid != geteuid()) || (st->st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

/* Whoever writes it lets his pods outlive others: nobody but root (or who the daemon runs as) may, nor put
 * another file of root's in its place. */
static bool is_trusted(struct parsing *p, int fd)
{
    char directory[CONFIG_PATH_MAX];
    struct stat st;

    if (text_directory_of(p->config->pod_file, directory, sizeof(directory)) < 0 ||
        stat(directory, &st) < 0 || is_of_others(&st)) {
        reader_warning_at(&p->reader, 0, "Others than root may write its directory. It is passed over.");
        return false;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        reader_warning_at(&p->reader, 0, "This is not a regular file. It is passed over.");
        return false;
    }
    if (is_of_others(&st)) {
        reader_warning_at(&p->reader, 0, "Others than root may write it. It is passed over.");
        return false;
    }
    return true;
}

static ssize_t read_all(int fd, char *buf, size_t size)
{
    size_t length = 0;
    ssize_t n;

    do {
        n = read(fd, buf + length, size - length);
        length += n > 0 ? (size_t)n : 0;
    } while ((n > 0 && length < size) || (n < 0 && errno == EINTR));
    return n < 0 ? -errno : (ssize_t)length;
}

static void read_file(struct parsing *p, int fd)
{
    char *buf = is_trusted(p, fd) ? malloc(PODS_FILE_MAX + 1) : NULL;
    ssize_t n = buf ? read_all(fd, buf, PODS_FILE_MAX + 1) : 0;

    if (n < 0)
        reader_warning_at(&p->reader, 0, "Cannot be read: %s.", strerror((int)-n));
    else if (n > PODS_FILE_MAX)
        reader_warning_at(&p->reader, 0, "Is longer than %u bytes. It is passed over.", PODS_FILE_MAX);
    else if (buf)
        parse(p, (struct text){buf, (size_t)n});
    free(buf);
}

static int by_uid(const void *a, const void *b)
{
    return strcmp(((const struct pod_config *)a)->uid, ((const struct pod_config *)b)->uid);
}

void pods_read(struct config *c, struct config_messages *messages)
{
    struct parsing p = {.config = c, .reader.messages = messages};
    int fd;

    memset(c->pods, 0, sizeof(c->pods));
    c->pod_count = 0;
    if (c->pod_file[0] == '\0')
        return;
    reader_open(&p.reader, NULL, c->pod_file);
    fd = open(c->pod_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        if (errno != ENOENT) /* it may come */
            reader_warning_at(&p.reader, 0, "Cannot be opened: %s.", strerror(errno));
        return;
    }
    read_file(&p, fd);
    (void)close(fd);
    qsort(c->pods, c->pod_count, sizeof(c->pods[0]), by_uid);
}
