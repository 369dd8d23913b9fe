/* A key that is not in the table does not exist. To add one: a row, a field in model/config.h, its default in
 * model/config.c, and a row in the tables of tests/unit/config/test_keys.c.
 *
 * Keys whose function comes with a later version are in the table already, are checked like the others and
 * give a warning, so that one file can serve nodes of different versions without being silently weaker on the
 * older ones. A value that asks for nothing (no, 0, empty) gives none: that is what this version does. */
#include "config/keys.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <string.h>

#include "base/buffer.h"
#include "base/units.h"
#include "model/config.h"

#define NODE_FIELD(field) .section = SECTION_NODE, .offset = offsetof(struct config, field)
#define MONITOR_FIELD(field) .section = SECTION_MONITOR, .offset = offsetof(struct monitor_config, field)
#define CLASS_FIELD(field) .section = SECTION_CLASS, .offset = offsetof(struct class_config, field)
#define NAME_NEAR_MAX 32

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

static void warn_later(struct reader *reader, const char *name, struct text value)
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
static int boolean_of(struct text t)
{
    static const char *const words[] = {"no", "yes", "off", "on", "false", "true"};

    for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
        if (text_equal(t, words[i]))
            return (int)(i % 2);
    return -EINVAL;
}

static int parse_boolean(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    int is = boolean_of(value);

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

static int parse_choice(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    const struct choice *c;
    int r = choice_find(key, reader, value, &c);

    if (r < 0)
        return r;
    if (c->later)
        warn_later(reader, key->name, value);
    *(unsigned *)destination = c->value;
    return 0;
}

static int parse_access(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    const struct choice *c;
    int r = choice_find(key, reader, value, &c);

    if (r < 0)
        return r;
    *(bool *)destination = c->value != 0;
    return 0;
}

static int parse_count(const struct key *key, struct reader *reader, struct text value, void *destination)
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

static int parse_duration(const struct key *key, struct reader *reader, struct text value, void *destination)
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

static int parse_amount(const struct key *key, struct reader *reader, struct text value, void *destination)
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
            return value_refuse(key, reader, value,
                                "is out of range. Write at most %u.%02u%% of the node's memory.",
                                (unsigned)(key->max / 100), (unsigned)(key->max % 100));
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

static int parse_pressure(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    struct monitor_config *monitor = destination;
    struct text rest = value;
    struct text line, stall, window, more;
    uint64_t stall_usec, window_usec;
    int r;

    if (boolean_of(value) == 0) {
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

static int parse_actions(const struct key *key, struct reader *reader, struct text value, void *destination)
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
        warn_later(reader, key->name, text_from(later));
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

static int parse_workload(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    struct config *c = destination;

    c->workload_auto = text_equal(value, "auto");
    if (c->workload_auto)
        return 0;
    if (value.length == 0)
        return value_refuse(key, reader, value, "names nothing. Write auto, or paths of cgroups to guard.");
    return paths_add(key, reader, value, false, c->workload, &c->workload_count, CONFIG_PATHS_MAX);
}

static int parse_protect(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    struct config *c = destination;

    memset(c->protect, 0, sizeof(c->protect));
    c->protect_count = 0;
    return paths_add(key, reader, value, false, c->protect, &c->protect_count, CONFIG_PATHS_MAX);
}

static int parse_match(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    struct class_config *c = destination;

    if (value.length == 0)
        return value_refuse(key, reader, value,
                            "names nothing. Write patterns of paths, for example workload.slice/*.");
    return paths_add(key, reader, value, true, c->match, &c->match_count, CONFIG_PATTERNS_MAX);
}

/* Patterns of a command's name, separated by blanks, kept as they are written. */
static int parse_command(const struct key *key, struct reader *reader, struct text value, void *destination)
{
    if (value.length == 0)
        return value_refuse(key, reader, value, "names nothing. Remove the line if nothing is meant.");
    if (text_copy(value, destination, CONFIG_PATH_MAX) < 0)
        return value_refuse(key, reader, value, "is too long: at most %u bytes.", CONFIG_PATH_MAX - 1);
    return 0;
}

static int parse_user(const struct key *key, struct reader *reader, struct text value, void *destination)
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

static const struct choice modes[] = {{"auto", MODE_AUTO, false},
                                      {"isolate", MODE_ISOLATE, false},
                                      {"host", MODE_HOST, false},
                                      {NULL, 0, false}};
static const struct choice host_limits[] = {
    {"auto", HOST_LIMIT_AUTO, false}, {"ray", HOST_LIMIT_RAY, false}, {NULL, 0, false}};
static const struct choice accesses[] = {{"group", 0, false}, {"all", 1, false}, {NULL, 0, false}};
static const struct choice unit_kinds[] = {
    {"cgroup", UNIT_CGROUP, false}, {"process", UNIT_PROCESS, false}, {NULL, 0, false}};
static const struct choice qos_tiers[] = {{"guaranteed", QOS_GUARANTEED, false},
                                          {"burstable", QOS_BURSTABLE, false},
                                          {"besteffort", QOS_BESTEFFORT, false},
                                          {NULL, 0, false}};
static const struct choice actions[] = {{"notify", ACTION_NOTIFY, true},
                                        {"reclaim", ACTION_RECLAIM, true},
                                        {"pause", ACTION_PAUSE, true},
                                        {"kill", ACTION_KILL, false},
                                        {NULL, 0, false}};
/* An order that is not built yet gives the default one. */
static const struct choice orders[] = {{"newest", ORDER_NEWEST, false},
                                       {"least-progress", ORDER_LEAST_PROGRESS, false},
                                       {"oldest", ORDER_NEWEST, true},
                                       {"largest", ORDER_NEWEST, true},
                                       {"growth", ORDER_NEWEST, true},
                                       {"swap", ORDER_NEWEST, true},
                                       {"pressure", ORDER_NEWEST, true},
                                       {"over-request", ORDER_NEWEST, true},
                                       {"oom-score", ORDER_NEWEST, true},
                                       {"kubelet", ORDER_NEWEST, true},
                                       {"ray-time", ORDER_NEWEST, true},
                                       {"ray-group-by-owner", ORDER_NEWEST, true},
                                       {NULL, 0, false}};

#define MINUTE (60 * USEC_PER_SEC)
#define DAY (24 * 60 * MINUTE)
#define ALL_OF_IT PERMYRIAD
#define LESS_THAN_ALL (PERMYRIAD - 1)

static const struct key keys[] = {
    {"Mode", NODE_FIELD(mode), .parse = parse_choice, .choices = modes},
    {"Workload", .section = SECTION_NODE, .parse = parse_workload},
    {"Protect", .section = SECTION_NODE, .parse = parse_protect},
    {"SystemReserve", NODE_FIELD(system_reserve), .parse = parse_amount, .max = LESS_THAN_ALL,
     .auto_allowed = true},
    {"HostLimit", NODE_FIELD(host_limit), .parse = parse_choice, .choices = host_limits},
    {"MinFree", NODE_FIELD(min_free), .parse = parse_amount, .max = LESS_THAN_ALL},
    {"Observe", NODE_FIELD(observe), .parse = parse_boolean},
    {"MaxGroups", NODE_FIELD(max_groups), .parse = parse_count, .min = 1, .max = 100000},
    {"MaxClients", NODE_FIELD(max_clients), .parse = parse_count, .min = 1, .max = 100000},
    {"StatusAccess", NODE_FIELD(status_access_all), .parse = parse_access, .choices = accesses},
    {"KillDeadline", NODE_FIELD(kill_deadline_usec), .parse = parse_duration, .min = 100 * USEC_PER_MSEC,
     .max = MINUTE},
    {"KillLimit", NODE_FIELD(kill_limit_per_minute), .parse = parse_count, .min = 1, .max = 1000},
    {"ThrottleDeadline", NODE_FIELD(throttle_deadline_usec), .parse = parse_duration, .min = USEC_PER_SEC,
     .max = 60 * MINUTE},
    {"NotifyGrace", NODE_FIELD(notify_grace_usec), .parse = parse_duration, .max = MINUTE, .later = true},
    {"NotifyWake", NODE_FIELD(notify_wake), .parse = parse_count, .min = 1, .max = 100000, .later = true},
    {"MoveProcesses", .section = SECTION_NODE, .parse = parse_boolean, .unstored = true, .later = true},

    {"Pressure", .section = SECTION_MONITOR, .parse = parse_pressure},
    {"Event", MONITOR_FIELD(event), .parse = parse_boolean},
    {"Threshold", MONITOR_FIELD(threshold), .parse = parse_boolean},

    {"Match", .section = SECTION_CLASS, .parse = parse_match, .repeatable = true},
    {"Unit", CLASS_FIELD(unit), .parse = parse_choice, .choices = unit_kinds},
    {"MatchCommand", CLASS_FIELD(match_command), .parse = parse_command},
    {"MatchUser", .section = SECTION_CLASS, .parse = parse_user},
    {"Priority", CLASS_FIELD(priority), .parse = parse_count, .max = CONFIG_PRIORITY_PROTECTED},
    {"QoS", CLASS_FIELD(qos), .parse = parse_choice, .choices = qos_tiers, .later = true},
    {"Request", CLASS_FIELD(request), .parse = parse_amount, .max = ALL_OF_IT, .empty_allowed = true},
    {"Limit", CLASS_FIELD(limit), .parse = parse_amount, .min = 1, .max = ALL_OF_IT, .empty_allowed = true,
     .later = true},
    {"Retriable", CLASS_FIELD(retriable), .parse = parse_boolean},
    {"Actions", CLASS_FIELD(actions), .parse = parse_actions, .choices = actions},
    {"Order", CLASS_FIELD(order), .parse = parse_choice, .choices = orders},
    {"Offload", CLASS_FIELD(offload), .parse = parse_boolean, .later = true},
    {"TermGrace", CLASS_FIELD(term_grace_usec), .parse = parse_duration, .max = 60 * MINUTE},
    {"PauseLimit", CLASS_FIELD(pause_limit_usec), .parse = parse_duration, .min = USEC_PER_SEC,
     .max = 30 * DAY, .later = true},
};

_Static_assert(ARRAY_SIZE(keys) <= KEYS_MAX, "raise KEYS_MAX");

const char *section_title(enum section section)
{
    switch (section) {
    case SECTION_NODE:
        return "[Node]";
    case SECTION_MONITOR:
        return "[Monitor]";
    case SECTION_CLASS:
        return "[Class NAME]";
    case SECTION_NONE:
        break;
    }
    return "no section";
}

const struct key *key_find(enum section section, struct text name)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (keys[i].section == section && text_equal(name, keys[i].name))
            return &keys[i];
    return NULL;
}

unsigned key_index(const struct key *key)
{
    return (unsigned)(key - keys);
}

void key_set(const struct key *key, struct reader *reader, struct text value, void *structure)
{
    uint64_t nowhere;
    void *destination = key->unstored ? (void *)&nowhere : (void *)((char *)structure + key->offset);

    if (key->parse(key, reader, value, destination) < 0)
        return;
    if (key->later && value.length > 0 && !text_equal(value, "0") && boolean_of(value) != 0)
        warn_later(reader, key->name, value);
}

static struct text lower(struct text t, char storage[static NAME_NEAR_MAX])
{
    for (size_t i = 0; i < t.length; i++)
        storage[i] = t.at[i] >= 'A' && t.at[i] <= 'Z' ? (char)(t.at[i] + ('a' - 'A')) : t.at[i];
    return (struct text){storage, t.length};
}

bool name_is_near(struct text name, const char *valid, unsigned *ret_distance)
{
    char a[NAME_NEAR_MAX];
    char b[NAME_NEAR_MAX];
    struct text other = text_from(valid);
    unsigned distance;

    if (name.length > NAME_NEAR_MAX || other.length > NAME_NEAR_MAX)
        return false;
    distance = text_distance(lower(name, a), lower(other, b));
    /* A third of the letters, rounded up: so two exchanged ones of "Noed" still mean Node. */
    if (distance > ((name.length > other.length ? name.length : other.length) + 2) / 3)
        return false;
    *ret_distance = distance;
    return true;
}

/* The key of `section`, or, where that is SECTION_NONE, of any, that is nearest. */
static const struct key *key_find_near(enum section section, struct text name)
{
    const struct key *best = NULL;
    unsigned best_distance = UINT_MAX;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        unsigned distance;

        if (section != SECTION_NONE && keys[i].section != section)
            continue;
        if (!name_is_near(name, keys[i].name, &distance) || distance >= best_distance)
            continue;
        best = &keys[i];
        best_distance = distance;
    }
    return best;
}

void key_report_unknown(struct reader *reader, enum section section, struct text name)
{
    char shown[EXCERPT_MAX];
    char valid[256];
    struct buffer b;
    const struct key *near;

    excerpt(shown, name);
    for (enum section other = SECTION_NODE; other <= SECTION_CLASS; other++)
        if (key_find(other, name)) {
            if (section == SECTION_NONE)
                reader_error(reader, "%s= stands before the first section. Write %s above it.", shown,
                             section_title(other));
            else
                reader_error(reader, "%s= belongs to %s, not to %s. Move the line there.", shown,
                             section_title(other), section_title(section));
            return;
        }
    near = key_find_near(section, name);
    if (!near)
        near = key_find_near(SECTION_NONE, name);
    if (near) {
        reader_error(reader, "%s= is no key of %s. Did you mean %s= of %s?", shown, section_title(section),
                     near->name, section_title(near->section));
        return;
    }
    if (section == SECTION_NONE) {
        reader_error(reader, "%s= is no key, and stands before the first section.", shown);
        return;
    }
    buffer_init(&b, valid, sizeof(valid));
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (keys[i].section == section)
            buffer_appendf(&b, "%s%s", b.length > 0 ? ", " : "", keys[i].name);
    reader_error(reader, "%s= is no key of %s. The keys there are %s.", shown, section_title(section), valid);
}
