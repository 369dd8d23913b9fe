/* How the values of the keys are read: one function a kind of value. Each says what is wrong with it in words
 * that name what would be right, and writes to its destination only what is good. */
#include "config/values.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <string.h>

#include "base/buffer.h"
#include "base/units.h"
#include "model/config.h"

/* Enumerations are written through `unsigned *`. */
_Static_assert(sizeof(enum mode) == sizeof(unsigned) && sizeof(enum order) == sizeof(unsigned),
               "size of enums");

/* "Key=value REASON"; always -EINVAL. */
static int _printf_(4, 5)
    value_refuse(const struct key *key, struct reader *reader, struct text value, const char *format, ...)
{
    char reason[256];
    char shown[EXCERPT_MAX];
    struct buffer b;
    va_list ap;

    buffer_init(&b, reason, sizeof(reason));
    va_start(ap, format);
    buffer_vappendf(&b, format, ap);
    va_end(ap);
    reader_error(reader, "%s=%s %s", key->name, excerpt(shown, value), reason);
    return -EINVAL;
}

void value_warn_later(struct reader *reader, const char *name, struct text value)
{
    char shown[EXCERPT_MAX];

    reader_warning(reader, "%s=%s is understood but has no effect in this version.", name,
                   excerpt(shown, value));
}

static bool is_number(struct text t)
{
    for (size_t i = 0; i < t.length; i++)
        if ((t.at[i] < '0' || t.at[i] > '9') && t.at[i] != '.')
            return false;
    return t.length > 0;
}

/* 1: yes, 0: no, negative: neither. */
int value_boolean(struct text t)
{
    static const char *const words[] = {"no", "yes", "off", "on", "false", "true"};

    for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
        if (text_equal(t, words[i]))
            return (int)(i % 2);
    return -EINVAL;
}

int value_parse_boolean(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    int is = value_boolean(value);

    if (is < 0)
        return value_refuse(key, reader, value,
                            "is neither yes nor no. Write yes, on or true, or no, off or false.");
    *(bool *)destination = is > 0;
    return 0;
}

static void append_choices(struct buffer *b, const struct choice *choices)
{
    for (const struct choice *c = choices; c->word; c++)
        buffer_appendf(b, "%s%s", c == choices ? "" : ", ", c->word);
}

static int choice_find(const struct key *key, struct reader *reader, struct text value,
                       const struct choice **ret)
{
    char words[200];
    struct buffer b;

    for (const struct choice *c = key->choices; c->word; c++)
        if (text_equal(value, c->word)) {
            *ret = c;
            return 0;
        }
    buffer_init(&b, words, sizeof(words));
    append_choices(&b, key->choices);
    return value_refuse(key, reader, value, "is not understood. The words for it are: %s.", words);
}

int value_parse_choice(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    const struct choice *c;
    int r = choice_find(key, reader, value, &c);

    if (r < 0)
        return r;
    if (c->later)
        value_warn_later(reader, key->name, value);
    *(unsigned *)destination = c->value;
    return 0;
}

int value_parse_access(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    const struct choice *c;
    int r = choice_find(key, reader, value, &c);

    if (r < 0)
        return r;
    *(bool *)destination = c->value != 0;
    return 0;
}

int value_parse_count(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    uint64_t n;
    int r = text_parse_u64(value, &n);

    if (r == -EINVAL)
        return value_refuse(key, reader, value, "is not a plain number. Write one from %u to %u.",
                            (unsigned)key->min, (unsigned)key->max);
    if (r < 0 || n < key->min || n > key->max)
        return value_refuse(key, reader, value, "is out of range. Write a number from %u to %u.",
                            (unsigned)key->min, (unsigned)key->max);
    *(unsigned *)destination = (unsigned)n;
    return 0;
}

/* The first half of each message about a value with a unit; `unit` is the one to propose. */
static int unit_refuse(const struct key *key, struct reader *reader, struct text value, const char *unit,
                       const char *forms)
{
    char shown[EXCERPT_MAX];

    if (is_number(value))
        return value_refuse(key, reader, value, "needs a unit, for example %s%s.", excerpt(shown, value),
                            unit);
    return value_refuse(key, reader, value, "is not understood. Write %s.", forms);
}

static int usec_read(const struct key *key, struct reader *reader, struct text value, const char *unit,
                     uint64_t *ret)
{
    int r = units_parse_usec(value, ret);

    if (r == -ERANGE)
        return value_refuse(key, reader, value, "is too long a time.");
    if (r < 0)
        return unit_refuse(key, reader, value, unit,
                           "a number and one of us, ms, s, min, h and d, for example 500ms or 2s");
    return 0;
}

int value_parse_duration(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    char least[UNITS_FORMAT_MAX];
    char most[UNITS_FORMAT_MAX];
    uint64_t usec;
    int r = usec_read(key, reader, value, "s", &usec);

    if (r < 0)
        return r;
    if (usec < key->min || usec > key->max)
        return value_refuse(key, reader, value, "is out of range. Write a time from %s to %s.",
                            units_format_usec(least, key->min), units_format_usec(most, key->max));
    *(uint64_t *)destination = usec;
    return 0;
}

int value_parse_amount(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    struct amount *amount = destination;
    struct amount a = {.kind = AMOUNT_BYTES};
    int r;

    if (value.length == 0 && key->empty_allowed) {
        a.kind = AMOUNT_UNSET;
    } else if (key->auto_allowed && text_equal(value, "auto")) {
        a.kind = AMOUNT_AUTO;
    } else if (value.length > 0 && value.at[value.length - 1] == '%') {
        a.kind = AMOUNT_PERMYRIAD;
        r = units_parse_permyriad(value, &a.value);
        if (r == -ERANGE || (r == 0 && a.value > key->max))
            return value_refuse(
                key, reader, value, "is out of range. Write at most %u.%02u%% of the node's %s.",
                (unsigned)(key->max / 100), (unsigned)(key->max % 100), key->of ? key->of : "memory");
        if (r < 0)
            return value_refuse(
                key, reader, value,
                "is not a percentage. Write for example 5%% or 0.05%%, with at most two decimals.");
    } else {
        r = units_parse_bytes(value, &a.value);
        if (r == -ERANGE)
            return value_refuse(key, reader, value, "is more than any node has.");
        if (r < 0)
            return unit_refuse(key, reader, value, "M",
                               key->auto_allowed ? "auto, a size as in 512M or 2G, or a percentage as in 5%"
                                                 : "a size as in 512M or 2G, or a percentage as in 5%");
    }
    if ((a.kind == AMOUNT_BYTES || a.kind == AMOUNT_PERMYRIAD) && a.value < key->min)
        return value_refuse(key, reader, value, "is too little: nothing could run.%s",
                            key->empty_allowed ? " Leave it empty for none." : "");
    /* Not as a whole: what lies between the fields would come along, and equal configurations are equal
     * bytes. */
    amount->kind = a.kind;
    amount->value = a.value;
    return 0;
}

/* "0.9", as Kubernetes has it, with at most four decimals; or "90%". Permyriad. */
static int factor_read(struct text value, uint64_t *ret)
{
    uint64_t scale = PERMYRIAD, sum = 0;
    bool point = false, digits = false;

    if (value.length > 0 && value.at[value.length - 1] == '%')
        return units_parse_permyriad(value, ret);
    for (size_t i = 0; i < value.length; i++) {
        char c = value.at[i];

        if (c == '.' && !point && digits) {
            point = true;
            continue;
        }
        scale /= point ? 10 : 1;
        if (c < '0' || c > '9' || scale == 0)
            return -EINVAL;
        digits = true;
        sum = point ? sum + (uint64_t)(c - '0') * scale : sum * 10 + (uint64_t)(c - '0') * PERMYRIAD;
        if (sum > PERMYRIAD)
            return -ERANGE;
    }
    if (!digits || (value.at[value.length - 1] == '.'))
        return -EINVAL;
    *ret = sum;
    return 0;
}

int value_parse_factor(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    uint64_t permyriad, most = key->max > 0 ? key->max : PERMYRIAD;
    char least_text[16], most_text[16];
    struct buffer b;
    int r = factor_read(value, &permyriad);

    if (r == -ERANGE || (r == 0 && (permyriad < key->min || permyriad > most))) {
        buffer_init(&b, least_text, sizeof(least_text));
        (void)value_format_factor(key, &(const unsigned){(unsigned)key->min}, &b);
        buffer_init(&b, most_text, sizeof(most_text));
        (void)value_format_factor(key, &(const unsigned){(unsigned)most}, &b);
        return value_refuse(key, reader, value, "is out of range. Write a factor from %s to %s.", least_text,
                            most_text);
    }
    if (r < 0)
        return value_refuse(
            key, reader, value,
            "is not a factor. Write for example 0.9 or 90%%, with at most four decimals; 0 for none.");
    *(unsigned *)destination = (unsigned)permyriad;
    return 0;
}

int value_parse_offload_ratio(const struct key *key, struct reader *reader, struct text value,
                              void *destination)
{
    if (!text_equal(value, "adaptive"))
        return value_parse_factor(key, reader, value, destination);
    *(unsigned *)destination = CONFIG_OFFLOAD_ADAPTIVE;
    return 0;
}

int value_parse_byte_rate(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    uint64_t bytes;
    int r;

    if (text_equal(value, "max")) {
        *(uint64_t *)destination = UINT64_MAX;
        return 0;
    }
    r = units_parse_bytes(value, &bytes);
    if (r == -ERANGE || (r == 0 && bytes > key->max))
        return value_refuse(key, reader, value, "is more than any device writes a second.");
    if (r < 0)
        return unit_refuse(key, reader, value, "M", "max, or a size as in 1M, which is that much a second");
    *(uint64_t *)destination = bytes;
    return 0;
}

int value_parse_pressure(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    struct monitor_config *monitor = destination;
    struct text rest = value;
    struct text line, stall, window, more;
    uint64_t stall_usec, window_usec;
    int r;

    if (value_boolean(value) == 0) {
        monitor->pressure = false;
        return 0;
    }
    if (!text_next_word(&rest, &line) || !text_next_word(&rest, &stall) || !text_next_word(&rest, &window) ||
        text_next_word(&rest, &more) || (!text_equal(line, "some") && !text_equal(line, "full")))
        return value_refuse(
            key, reader, value,
            "is not understood. Write off, or some or full, a stall and a window: some 150ms 1s.");
    r = usec_read(key, reader, stall, "ms", &stall_usec);
    if (r < 0)
        return r;
    r = usec_read(key, reader, window, "s", &window_usec);
    if (r < 0)
        return r;
    if (window_usec < 50 * USEC_PER_MSEC || window_usec > 10 * USEC_PER_SEC)
        return value_refuse(key, reader, value, "has a window out of range. Write one from 50ms to 10s.");
    if (stall_usec == 0 || stall_usec > window_usec)
        return value_refuse(key, reader, value,
                            "has a stall out of range. It must be more than 0 and at most the window.");
    monitor->pressure = true;
    monitor->pressure_full = text_equal(line, "full");
    monitor->pressure_stall_usec = stall_usec;
    monitor->pressure_window_usec = window_usec;
    return 0;
}

int value_parse_actions(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    struct text rest = value;
    struct text word;
    unsigned actions = 0;
    char later[64];
    struct buffer b;

    buffer_init(&b, later, sizeof(later));
    while (text_next_word(&rest, &word)) {
        const struct choice *c;
        int r = choice_find(key, reader, word, &c);

        if (r < 0)
            return r;
        if (actions & ACTION_BIT(c->value))
            return value_refuse(key, reader, value, "names %s twice. Write each action once.", c->word);
        actions |= ACTION_BIT(c->value);
        if (c->later)
            buffer_appendf(&b, "%s%s", b.length > 0 ? " " : "", c->word);
    }
    if (b.length > 0)
        value_warn_later(reader, key->name, text_from(later));
    *(unsigned *)destination = actions;
    return 0;
}

/* The path below the hierarchy's root, without a slash at either end. NULL, or why it is none. */
static const char *path_read(struct text word, char ret[static CONFIG_PATH_MAX])
{
    struct text rest;

    if (word.length > 0 && word.at[0] == '/')
        word = (struct text){word.at + 1, word.length - 1};
    if (word.length > 0 && word.at[word.length - 1] == '/')
        word.length--;
    if (word.length == 0)
        return "is the hierarchy's root. Name a cgroup below it.";
    rest = word;
    for (;;) {
        const char *slash = memchr(rest.at, '/', rest.length);
        struct text part = {rest.at, slash ? (size_t)(slash - rest.at) : rest.length};

        if (part.length == 0)
            return "has an empty component. Write a single '/' between two names.";
        if (text_equal(part, ".") || text_equal(part, ".."))
            return "has a component '.' or '..'. Write the path from the hierarchy's root.";
        if (!slash)
            break;
        rest = (struct text){slash + 1, rest.length - part.length - 1};
    }
    if (text_copy(word, ret, CONFIG_PATH_MAX) < 0)
        return "is too long: a path has at most 255 bytes.";
    return NULL;
}

_Static_assert(CONFIG_PATH_MAX == 256, "a message of path_read() names the limit");

/* Adds the words of the value to a list; each wrong one is reported. */
static int paths_add(const struct key *key, struct reader *reader, struct text value, bool patterns,
                     char (*paths)[CONFIG_PATH_MAX], unsigned *count, unsigned max)
{
    struct text rest = value;
    struct text word;
    int r = 0;

    while (text_next_word(&rest, &word)) {
        const char *reason;

        if (*count == max)
            return value_refuse(key, reader, word, "is one too many: %s= takes at most %u %s.", key->name,
                                max, patterns ? "patterns in one class" : "paths");
        if (!patterns && (memchr(word.at, '*', word.length) || memchr(word.at, '?', word.length)))
            reason = "holds a wildcard. Only Match= takes patterns; name the cgroup itself.";
        else
            reason = path_read(word, paths[*count]);
        if (reason)
            r = value_refuse(key, reader, word, "%s", reason);
        else
            (*count)++;
    }
    return r;
}

int value_parse_workload(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    struct config *c = destination;

    memset(c->workload, 0, sizeof(c->workload));
    c->workload_count = 0;
    c->workload_auto = text_equal(value, "auto");
    if (c->workload_auto)
        return 0;
    if (value.length == 0)
        return value_refuse(key, reader, value, "names nothing. Write auto, or paths of cgroups to guard.");
    return paths_add(key, reader, value, false, c->workload, &c->workload_count, CONFIG_PATHS_MAX);
}

int value_parse_protect(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    struct config *c = destination;

    memset(c->protect, 0, sizeof(c->protect));
    c->protect_count = 0;
    return paths_add(key, reader, value, false, c->protect, &c->protect_count, CONFIG_PATHS_MAX);
}

int value_parse_match(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    struct class_config *c = destination;

    if (value.length == 0)
        return value_refuse(key, reader, value,
                            "names nothing. Write patterns of paths, for example workload.slice/*.");
    return paths_add(key, reader, value, true, c->match, &c->match_count, CONFIG_PATTERNS_MAX);
}

/* Patterns of a command's name, separated by blanks, kept as they are written. */
int value_parse_command(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    if (value.length == 0)
        return value_refuse(key, reader, value, "names nothing. Remove the line if nothing is meant.");
    if (value.length >= CONFIG_PATH_MAX)
        return value_refuse(key, reader, value, "is too long: at most %u bytes.", CONFIG_PATH_MAX - 1);
    memset(destination, 0, CONFIG_PATH_MAX); /* no rest of an earlier one */
    return text_copy(value, destination, CONFIG_PATH_MAX);
}

int value_parse_file(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    if (value.length > 0 && value.at[0] != '/')
        return value_refuse(key, reader, value, "is no absolute path. Write one.");
    if (value.length >= CONFIG_PATH_MAX)
        return value_refuse(key, reader, value, "is too long: at most %u bytes.", CONFIG_PATH_MAX - 1);
    memset(destination, 0, CONFIG_PATH_MAX); /* no rest of an earlier one */
    return text_copy(value, destination, CONFIG_PATH_MAX);
}

/* A command line: an absolute path and words, separated by blanks. No shell sees it, so what only a shell
 * understands is refused rather than handed over as it stands. */
int value_parse_hook(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    char line[CONFIG_COMMAND_MAX] = "";
    struct text rest = value, word;
    unsigned words = 0;

    if (value.length > 0 && value.at[0] != '/')
        return value_refuse(key, reader, value,
                            "is no absolute path. Write one, and its arguments behind it.");
    for (size_t i = 0; i < value.length; i++)
        if (strchr("\"'\\$`;&|<>", value.at[i])) /* finds NUL, too */
            return value_refuse(key, reader, value,
                                "has a character for a shell, and none is run: words are separated by "
                                "blanks. Put the rest into a script and name that.");
    while (text_next_word(&rest, &word))
        words++;
    if (words > CONFIG_COMMAND_WORDS_MAX)
        return value_refuse(key, reader, value, "has too many words: at most %u.", CONFIG_COMMAND_WORDS_MAX);
    if (text_copy(value, line, sizeof(line)) < 0)
        return value_refuse(key, reader, value, "is too long: at most %u bytes.", CONFIG_COMMAND_MAX - 1);
    memcpy(destination, line, sizeof(line));
    return 0;
}

/* -ENOENT: there is no such group of users. */
static int group_find(struct text word, uint32_t *ret_gid)
{
    char name[64];
    const struct group *group;
    uint64_t gid;

    if (text_copy(word, name, sizeof(name)) < 0)
        return -ENOENT;
    group = getgrnam(name);
    if (group)
        gid = group->gr_gid;
    else if (text_parse_u64(word, &gid) < 0 || gid >= UINT32_MAX)
        return -ENOENT;
    *ret_gid = (uint32_t)gid;
    return 0;
}

int value_parse_groups(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    struct class_config *class = destination;
    struct text rest = value, word;

    memset(class->allow_gid, 0, sizeof(class->allow_gid));
    class->allow_count = 0;
    while (text_next_word(&rest, &word)) {
        if (class->allow_count == CONFIG_ALLOW_GROUPS_MAX)
            return value_refuse(key, reader, word, "is one too many: %s= takes at most %u groups.", key->name,
                                CONFIG_ALLOW_GROUPS_MAX);
        if (group_find(word, &class->allow_gid[class->allow_count]) < 0)
            return value_refuse(key, reader, word,
                                "is no group of users of this machine. Give names or numbers.");
        class->allow_count++;
    }
    return 0;
}

int value_parse_user(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    struct class_config *class = destination;
    char name[64];
    uint64_t uid;
    const struct passwd *user;

    if (value.length == 0 || text_copy(value, name, sizeof(name)) < 0)
        return value_refuse(key, reader, value, "names nobody. Give one user, by name or number.");
    user = getpwnam(name);
    if (user)
        uid = user->pw_uid;
    else if (text_parse_u64(value, &uid) < 0 || uid >= UINT32_MAX)
        return value_refuse(key, reader, value, "is no user of this machine. Give a name or a number.");
    class->match_user = true;
    class->match_uid = (uint32_t)uid;
    return 0;
}
