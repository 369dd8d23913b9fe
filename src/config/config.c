/* The sections of the file, what must hold between them, and the outermost calls. Values are read into a
 * draft on the heap (a configuration is over 100 KiB), which the caller gets only when the whole file is
 * right. */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/pattern.h"
#include "base/text.h"
#include "config/keys.h"
#include "config/reader.h"

/* Where `other` waits until the number of classes before it is known. */
#define OTHER_SLOT (CONFIG_CLASSES_MAX - 1)

/* Lines of the file at which a class says what it says; 0: it does not. */
struct class_lines {
    unsigned key[KEYS_MAX];
    unsigned match[CONFIG_PATTERNS_MAX];
};

struct draft {
    struct config config;
    struct reader reader;
    enum section section; /* in which the reader is */
    bool section_known;   /* false: its header was refused, so its keys cannot be judged and are skipped */
    struct class_config *class; /* in which the reader is */
    enum level level;           /* in which the reader is */
    unsigned node_line;
    unsigned monitor_line;
    unsigned level_line[LEVEL_COUNT];
    unsigned key_line[KEYS_MAX];
    unsigned level_key_line[LEVEL_COUNT][KEYS_MAX];
    struct class_lines class_lines[CONFIG_CLASSES_MAX];
    unsigned class_count; /* without `other` */
};

static unsigned *key_lines(struct draft *d)
{
    if (d->section == SECTION_CLASS)
        return d->class_lines[d->class - d->config.classes].key;
    if (d->section == SECTION_LEVEL)
        return d->level_key_line[d->level];
    return d->key_line;
}

static unsigned line_of(const unsigned lines[static KEYS_MAX], enum section section, const char *name)
{
    return lines[key_index(key_find(section, text_from(name)))];
}

static bool class_name_valid(struct text name)
{
    for (size_t i = 0; i < name.length; i++) {
        char c = name.at[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
              c == '.' || c == '-'))
            return false;
    }
    return name.length < CONFIG_NAME_MAX;
}

static struct class_config *class_find(struct draft *d, struct text name)
{
    for (unsigned i = 0; i < d->class_count; i++)
        if (text_equal(name, d->config.classes[i].name))
            return &d->config.classes[i];
    if (text_equal(name, CONFIG_CLASS_OTHER))
        return &d->config.classes[OTHER_SLOT];
    return NULL;
}

static bool class_begin(struct draft *d, struct text name)
{
    char shown[EXCERPT_MAX];
    char copy[CONFIG_NAME_MAX];
    struct class_config *class;

    if (name.length == 0) {
        reader_error(&d->reader, "[Class] needs a name, for example [Class batch].");
        return false;
    }
    if (!class_name_valid(name) || text_copy(name, copy, sizeof(copy)) < 0) {
        reader_error(&d->reader,
                     "[Class %s] has a name that is not allowed. It may hold up to %d of A-Z, a-z, 0-9, '_', "
                     "'.' and '-'.",
                     excerpt(shown, name), CONFIG_NAME_MAX - 1);
        return false;
    }
    class = class_find(d, name);
    if (class && class->line > 0) {
        reader_error(&d->reader, "[Class %s] stands in the file already, in line %u. Join the two.", copy,
                     class->line);
        return false;
    }
    if (!class) {
        if (d->class_count == OTHER_SLOT) {
            reader_error(&d->reader, "[Class %s] is one too many: there can be %d besides [Class %s].", copy,
                         OTHER_SLOT, CONFIG_CLASS_OTHER);
            return false;
        }
        class = &d->config.classes[d->class_count++];
        class_config_init(class, copy);
    }
    class->line = d->reader.line;
    d->class = class;
    return true;
}

/* The level of that name, or, with *ret_exact false, the one that was probably meant; LEVEL_COUNT: none. */
static enum level level_find(struct text name, bool *ret_exact)
{
    enum level best = LEVEL_COUNT;
    unsigned best_distance = 0;

    for (enum level l = LEVEL_CALM; l < LEVEL_COUNT; l++) {
        unsigned distance;

        *ret_exact = text_equal(name, level_name(l));
        if (*ret_exact)
            return l;
        if (!name_is_near(name, level_name(l), &distance) ||
            (best != LEVEL_COUNT && distance >= best_distance))
            continue;
        best = l;
        best_distance = distance;
    }
    return best;
}

static bool level_begin(struct draft *d, struct text name)
{
    char shown[EXCERPT_MAX];
    bool exact = false;
    enum level level;

    if (name.length == 0) {
        reader_error(&d->reader, "[Level] needs a name: [Level low], [Level medium] or [Level critical].");
        return false;
    }
    level = level_find(name, &exact);
    if (level == LEVEL_CALM) {
        reader_error(&d->reader,
                     "[Level %s] cannot be set: nothing is done when all is calm, but offload. There are "
                     "[Level low], [Level medium] and [Level critical].",
                     excerpt(shown, name));
        return false;
    }
    if (level == LEVEL_COUNT) {
        reader_error(&d->reader,
                     "[Level %s] is no level. There are [Level low], [Level medium] and [Level critical].",
                     excerpt(shown, name));
        return false;
    }
    if (!exact) {
        reader_error(&d->reader, "[Level %s] is no level. Did you mean [Level %s]?", excerpt(shown, name),
                     level_name(level));
        return false;
    }
    if (d->level_line[level] > 0) {
        reader_error(&d->reader, "[Level %s] stands in the file already, in line %u. Join the two.",
                     level_name(level), d->level_line[level]);
        return false;
    }
    d->level_line[level] = d->reader.line;
    d->level = level;
    return true;
}

static bool single_section_begin(struct draft *d, struct text rest, unsigned *line)
{
    struct text word;

    if (text_next_word(&rest, &word)) {
        reader_error(&d->reader, "%s takes no name. Only classes and levels have one.",
                     section_title(d->section));
        return false;
    }
    if (*line > 0) {
        reader_error(&d->reader, "%s stands in the file already, in line %u. Join the two.",
                     section_title(d->section), *line);
        return false;
    }
    *line = d->reader.line;
    return true;
}

static void report_unknown_section(struct draft *d, struct text header, struct text word)
{
    static const char *const names[] = {"Node", "Monitor", "Class", "Level"};
    char shown[EXCERPT_MAX];
    const char *near = NULL;
    unsigned best = 0;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        unsigned distance;

        if (!name_is_near(word, names[i], &distance) || (near && distance >= best))
            continue;
        near = section_title((enum section)(SECTION_NODE + i));
        best = distance;
    }
    if (near)
        reader_error(&d->reader, "[%s] is no section. Did you mean %s?", excerpt(shown, header), near);
    else
        reader_error(&d->reader,
                     "[%s] is no section. There are [Node], [Monitor], [Class NAME] and [Level NAME].",
                     excerpt(shown, header));
}

static void handle_section(void *user, struct text header)
{
    struct draft *d = user;
    struct text rest = header;
    struct text word = header;

    d->section_known = false;
    if (!header.at)
        return;
    (void)text_next_word(&rest, &word);
    if (text_equal(word, "Node")) {
        d->section = SECTION_NODE;
        d->section_known = single_section_begin(d, rest, &d->node_line);
    } else if (text_equal(word, "Monitor")) {
        d->section = SECTION_MONITOR;
        d->section_known = single_section_begin(d, rest, &d->monitor_line);
    } else if (text_equal(word, "Class")) {
        d->section = SECTION_CLASS;
        d->section_known = class_begin(d, text_trim(rest));
    } else if (text_equal(word, "Level")) {
        d->section = SECTION_LEVEL;
        d->section_known = level_begin(d, text_trim(rest));
    } else {
        report_unknown_section(d, header, word);
    }
}

/* Notes where the new patterns of a class stand, for messages about the class as a whole. */
static void match_set(struct draft *d, const struct key *key, struct text value)
{
    unsigned *lines = d->class_lines[d->class - d->config.classes].match;
    unsigned before = d->class->match_count;

    if (d->class == &d->config.classes[OTHER_SLOT]) {
        reader_error(&d->reader,
                     "[Class %s] takes what no other class matches, so it has no Match=. Remove the line.",
                     CONFIG_CLASS_OTHER);
        return;
    }
    key_set(key, &d->reader, value, d->class);
    for (unsigned i = before; i < d->class->match_count; i++)
        lines[i] = d->reader.line;
}

/* Where the values of the section go in which the reader is. */
static void *section_structure(struct draft *d)
{
    switch (d->section) {
    case SECTION_MONITOR:
        return &d->config.monitor;
    case SECTION_CLASS:
        return d->class;
    case SECTION_LEVEL:
        return &d->config.levels[d->level];
    case SECTION_NODE:
    case SECTION_NONE:
        break;
    }
    return &d->config;
}

static void handle_key(void *user, const char *name, const char *value)
{
    struct draft *d = user;
    const struct key *key;
    unsigned *line;

    if (!d->section_known)
        return;
    key = key_find(d->section, text_from(name));
    if (!key) {
        key_report_unknown(&d->reader, d->section, text_from(name));
        return;
    }
    line = &key_lines(d)[key_index(key)];
    if (*line > 0 && !key->repeatable) {
        reader_error(&d->reader, "%s= stands in this section already, in line %u. Remove one of the two.",
                     name, *line);
        return;
    }
    *line = d->reader.line;
    /* What is wrong with the value is in the messages, and those decide at the end. */
    if (key->repeatable)
        match_set(d, key, text_from(value));
    else
        key_set(key, &d->reader, text_from(value), section_structure(d));
}

/* Whether `path` is `above` or lies below it. */
static bool path_is_below(const char *path, const char *above)
{
    size_t length = strlen(above);

    return strncmp(path, above, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static void check_workloads(struct draft *d)
{
    const struct config *c = &d->config;
    unsigned line = line_of(d->key_line, SECTION_NODE, "Workload");

    for (unsigned i = 0; i < c->workload_count; i++)
        for (unsigned k = 0; k < i; k++) {
            const char *a = c->workload[k];
            const char *b = c->workload[i];
            char shown_a[EXCERPT_MAX], shown_b[EXCERPT_MAX];

            excerpt(shown_a, text_from(a));
            excerpt(shown_b, text_from(b));
            if (strcmp(a, b) == 0)
                reader_error_at(&d->reader, line, "Workload= names %s twice. Remove one of the two.",
                                shown_a);
            else if (path_is_below(b, a) || path_is_below(a, b))
                reader_error_at(
                    &d->reader, line,
                    "Workload= names both %s and %s, of which one lies below the other. Keep the upper one.",
                    shown_a, shown_b);
        }
}

static void check_protected(struct draft *d)
{
    const struct config *c = &d->config;
    unsigned workload_line = line_of(d->key_line, SECTION_NODE, "Workload");
    unsigned protect_line = line_of(d->key_line, SECTION_NODE, "Protect");
    const char *origin = protect_line > 0 ? "" : " (the default)";

    for (unsigned i = 0; i < c->workload_count; i++)
        for (unsigned k = 0; k < c->protect_count; k++) {
            char workload[EXCERPT_MAX], protect[EXCERPT_MAX];

            excerpt(workload, text_from(c->workload[i]));
            excerpt(protect, text_from(c->protect[k]));
            if (path_is_below(c->workload[i], c->protect[k]))
                reader_error_at(
                    &d->reader, workload_line,
                    "Workload=%s is or lies below Protect=%s%s, so nothing in it could be acted on. Change "
                    "one of the two.",
                    workload, protect, origin);
            else if (path_is_below(c->protect[k], c->workload[i])) /* never a default: those have no parent */
                reader_error_at(
                    &d->reader, protect_line,
                    "Protect=%s lies below Workload=%s. Protect it by a class with Priority=%d instead, or "
                    "name the workload's parts.",
                    protect, workload, CONFIG_PRIORITY_PROTECTED);
        }
}

static void check_node(struct draft *d)
{
    const struct config *c = &d->config;

    check_workloads(d);
    check_protected(d);
    if (c->min_free.kind != AMOUNT_UNSET && c->host_limit == HOST_LIMIT_AUTO)
        reader_warning_at(
            &d->reader, line_of(d->key_line, SECTION_NODE, "MinFree"),
            "MinFree= is used only with HostLimit=ray, and HostLimit is auto. Remove it, or set "
            "HostLimit=ray.");
}

/* Whether each path that `later` matches is matched by `earlier`, too. The text of the later pattern is
 * matched as if it were a path: its wildcards can only be swallowed by a star of the earlier one, which takes
 * all that they stand for. A `?` of the earlier one could swallow a star, so with one there the answer is no.
 */
static bool pattern_covers(const char *earlier, const char *later)
{
    return !strchr(earlier, '?') && pattern_match(earlier, later);
}

static const char *pattern_that_covers(const struct class_config *earlier, const char *pattern)
{
    for (unsigned i = 0; i < earlier->match_count; i++)
        if (pattern_covers(earlier->match[i], pattern))
            return earlier->match[i];
    return NULL;
}

static void check_reached(struct draft *d, unsigned index)
{
    const struct class_config *class = &d->config.classes[index];

    for (unsigned i = 0; i < class->match_count; i++)
        for (unsigned k = 0; k < index; k++) {
            const struct class_config *earlier = &d->config.classes[k];
            const char *cover = pattern_that_covers(earlier, class->match[i]);
            char shown[EXCERPT_MAX], shown_cover[EXCERPT_MAX];

            if (!cover)
                continue;
            reader_warning_at(
                &d->reader, d->class_lines[index].match[i],
                "Match=%s of [Class %s] is never reached: Match=%s of [Class %s] stands before it and "
                "matches the same. Move [Class %s] up.",
                excerpt(shown, text_from(class->match[i])), class->name,
                excerpt(shown_cover, text_from(cover)), earlier->name, class->name);
            break;
        }
}

/* What is said about the actions of a class and cannot have an effect. */
static void check_class_actions(struct draft *d, unsigned index)
{
    const struct class_config *class = &d->config.classes[index];
    const unsigned *lines = d->class_lines[index].key;
    const struct {
        const char *name;
        bool asks; /* 0 asks for nothing */
    } pausing[] = {{"PauseLimit", true}, {"MinRunning", class->min_running > 0}};

    if (class->priority == CONFIG_PRIORITY_PROTECTED && (class->actions & ~ACTION_BIT(ACTION_NOTIFY)) &&
        line_of(lines, SECTION_CLASS, "Actions") > 0)
        reader_warning_at(&d->reader, line_of(lines, SECTION_CLASS, "Actions"),
                          "Actions= of [Class %s] names more than notify, but Priority=%d protects it: it is "
                          "never reclaimed from, paused or killed.",
                          class->name, CONFIG_PRIORITY_PROTECTED);
    if (class->actions & ACTION_BIT(ACTION_PAUSE))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(pausing); i++) {
        unsigned line = line_of(lines, SECTION_CLASS, pausing[i].name);

        if (line > 0 && pausing[i].asks)
            reader_warning_at(&d->reader, line,
                              "%s= of [Class %s] has no effect: the class is never paused. Add pause to its "
                              "Actions=, or remove the line.",
                              pausing[i].name, class->name);
    }
}

static void check_class(struct draft *d, unsigned index)
{
    struct class_config *class = &d->config.classes[index];
    const unsigned *lines = d->class_lines[index].key;

    if (index != OTHER_SLOT && line_of(lines, SECTION_CLASS, "Match") == 0)
        reader_error_at(&d->reader, class->line,
                        "[Class %s] has no Match=, so nothing would ever be in it. Add one, for example "
                        "Match=workload.slice/*.",
                        class->name);
    check_class_actions(d, index);
    if (class->request.kind == class->limit.kind && class->limit.value < class->request.value)
        reader_error_at(&d->reader, line_of(lines, SECTION_CLASS, "Limit"),
                        "Limit= of [Class %s] is less than its Request=. Raise it, or leave it empty.",
                        class->name);
    if (line_of(lines, SECTION_CLASS, "PauseLimit") == 0)
        class->pause_limit_usec = class_pause_limit_default_usec(class->retriable);
}

static void check_classes(struct draft *d)
{
    for (unsigned i = 0; i < d->class_count; i++) {
        check_class(d, i);
        check_reached(d, i);
    }
    check_class(d, OTHER_SLOT);
}

/* Kills are the last rung: whatever is written, they happen at level critical only. The word is taken out
 * here, so that nobody after this has to remember it. */
static void check_levels(struct draft *d)
{
    for (enum level l = LEVEL_LOW; l < LEVEL_CRITICAL; l++) {
        if (!(d->config.levels[l].actions & ACTION_BIT(ACTION_KILL)))
            continue;
        d->config.levels[l].actions &= ~ACTION_BIT(ACTION_KILL);
        reader_warning_at(&d->reader, line_of(d->level_key_line[l], SECTION_LEVEL, "Actions"),
                          "Actions= of [Level %s] names kill, which has no effect there: kills happen at "
                          "[Level critical] only. Remove the word.",
                          level_name(l));
    }
}

static void draft_init(struct draft *d, FILE *stream, const char *name, struct config_messages *messages)
{
    memset(d, 0, sizeof(*d));
    config_init_defaults(&d->config);
    d->config.classes[OTHER_SLOT] = d->config.classes[0];
    memset(&d->config.classes[0], 0, sizeof(d->config.classes[0]));
    reader_init(&d->reader, stream, name, messages);
    d->section_known = true; /* that there is none yet */
    d->reader.on_section = handle_section;
    d->reader.on_key = handle_key;
    d->reader.user = d;
}

/* Closes the gap before `other`. */
static void draft_finish(struct draft *d)
{
    struct class_config *classes = d->config.classes;

    d->config.class_count = d->class_count + 1;
    if (d->class_count == OTHER_SLOT)
        return;
    classes[d->class_count] = classes[OTHER_SLOT];
    memset(&classes[OTHER_SLOT], 0, sizeof(classes[OTHER_SLOT]));
}

static void draft_freep(struct draft **d)
{
    free(*d);
}

int config_load_stream(FILE *stream, const char *name, struct config *ret, struct config_messages *messages)
{
    _cleanup_(draft_freep) struct draft *d = malloc(sizeof(*d));
    int r;

    if (!d) {
        struct reader reporter;

        reader_init(&reporter, NULL, name, messages);
        reader_error_at(&reporter, 0, "There is no memory to read it.");
        return -ENOMEM;
    }
    draft_init(d, stream, name, messages);
    r = reader_run(&d->reader);
    if (r < 0)
        return r;
    check_node(d);
    check_classes(d);
    check_levels(d);
    if (messages->errors > 0)
        return -EINVAL;
    draft_finish(d);
    *ret = d->config;
    return 0;
}

/* /dev/null is how one says "no file". Of other devices and of pipes the end may never come, and this is read
 * while a daemon waits for it. */
static int file_check(struct reader *reporter, int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        int error = errno;

        reader_error_at(reporter, 0, "Cannot be examined: %s.", strerror(error));
        return -error;
    }
    if (S_ISDIR(st.st_mode)) {
        reader_error_at(reporter, 0, "This is a directory. Name the configuration file in it.");
        return -EISDIR;
    }
    if (!S_ISREG(st.st_mode) && !(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))) {
        reader_error_at(reporter, 0, "This is not a regular file. Name the configuration file.");
        return -EINVAL;
    }
    return 0;
}

int config_load(const char *path, struct config *ret, struct config_messages *messages)
{
    _cleanup_close_ int fd = -1;
    struct reader reporter;
    FILE *stream;
    int r;

    reader_init(&reporter, NULL, path, messages);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        r = -errno;
        reader_error_at(&reporter, 0, "Cannot be opened: %s. %s", strerror(-r),
                        r == -ENOENT ? "Create it, or name another file; an empty one gives the defaults."
                                     : "Check the path and its permissions.");
        return r;
    }
    r = file_check(&reporter, fd);
    if (r < 0)
        return r;
    stream = fdopen(fd, "r");
    if (!stream) {
        r = -errno;
        reader_error_at(&reporter, 0, "Cannot be read: %s.", strerror(-r));
        return r;
    }
    (void)fd_steal(&fd);
    r = config_load_stream(stream, path, ret, messages);
    (void)fclose(stream);
    return r;
}
