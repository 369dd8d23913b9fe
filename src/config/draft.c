/* The sections of a file and their keys, from the reader into the draft. */
#include "config/draft.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

static struct config_origin here(const struct draft *d)
{
    return (struct config_origin){d->origins.file_count, d->reader.line};
}

static struct config_origin *key_origins(struct draft *d)
{
    if (d->section == SECTION_CLASS)
        return d->origins.class_key[d->class - d->config.classes];
    if (d->section == SECTION_LEVEL)
        return d->origins.level_key[d->level];
    return d->origins.key;
}

/* A section stands once in a file. */
static bool section_note(struct draft *d, struct config_origin *section, const char *title)
{
    if (section->file == d->origins.file_count) {
        reader_error(&d->reader, "%s stands in the file already, in line %u. Join the two.", title,
                     section->line);
        return false;
    }
    *section = here(d);
    return true;
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
        return &d->config.classes[DRAFT_OTHER_SLOT];
    return NULL;
}

static bool class_begin(struct draft *d, struct text name)
{
    char shown[EXCERPT_MAX];
    char copy[CONFIG_NAME_MAX];
    char title[CONFIG_NAME_MAX + 16];
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
    if (!class) {
        if (d->class_count == DRAFT_OTHER_SLOT) {
            reader_error(&d->reader, "[Class %s] is one too many: there can be %d besides [Class %s].", copy,
                         DRAFT_OTHER_SLOT, CONFIG_CLASS_OTHER);
            return false;
        }
        class = &d->config.classes[d->class_count++];
        class_config_init(class, copy);
    }
    (void)snprintf(title, sizeof(title), "[Class %s]", copy);
    if (!section_note(d, &d->origins.section[class - d->config.classes], title))
        return false;
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
    char title[32];
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
    (void)snprintf(title, sizeof(title), "[Level %s]", level_name(level));
    if (!section_note(d, &d->level_section[level], title))
        return false;
    d->level = level;
    return true;
}

static bool single_section_begin(struct draft *d, struct text rest, struct config_origin *section)
{
    struct text word;

    if (text_next_word(&rest, &word)) {
        reader_error(&d->reader, "%s takes no name. Only classes and levels have one.",
                     section_title(d->section));
        return false;
    }
    return section_note(d, section, section_title(d->section));
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
        d->section_known = single_section_begin(d, rest, &d->node_section);
    } else if (text_equal(word, "Monitor")) {
        d->section = SECTION_MONITOR;
        d->section_known = single_section_begin(d, rest, &d->monitor_section);
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

/* Match= may be repeated in one file, and its lines make up one list; those of a later file replace that
 * list, as any other key does. */
static void match_set(struct draft *d, const struct key *key, struct text value, bool fresh)
{
    struct config_origin *origins = d->origins.match[d->class - d->config.classes];
    unsigned before;

    if (d->class == &d->config.classes[DRAFT_OTHER_SLOT]) {
        reader_error(&d->reader,
                     "[Class %s] takes what no other class matches, so it has no Match=. Remove the line.",
                     CONFIG_CLASS_OTHER);
        return;
    }
    if (fresh) {
        memset(d->class->match, 0, sizeof(d->class->match));
        d->class->match_count = 0;
    }
    before = d->class->match_count;
    key_set(key, &d->reader, value, d->class);
    for (unsigned i = before; i < d->class->match_count; i++)
        origins[i] = here(d);
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
    struct config_origin *origin;
    bool again;

    if (!d->section_known)
        return;
    key = key_find(d->section, text_from(name));
    if (!key) {
        key_report_unknown(&d->reader, d->section, text_from(name));
        return;
    }
    origin = &key_origins(d)[key_index(key)];
    again = origin->file == d->origins.file_count;
    if (again && !key->repeatable) {
        reader_error(&d->reader, "%s= stands in this section already, in line %u. Remove one of the two.",
                     name, origin->line);
        return;
    }
    *origin = here(d);
    /* What is wrong with the value is in the messages, and those decide at the end. */
    if (key->repeatable)
        match_set(d, key, text_from(value), !again);
    else
        key_set(key, &d->reader, text_from(value), section_structure(d));
}

void draft_init(struct draft *d, const char *name, struct config_messages *messages)
{
    memset(d, 0, sizeof(*d));
    config_init_defaults(&d->config);
    d->config.classes[DRAFT_OTHER_SLOT] = d->config.classes[0];
    memset(&d->config.classes[0], 0, sizeof(d->config.classes[0]));
    reader_init(&d->reader, NULL, name, messages);
    d->reader.on_section = handle_section;
    d->reader.on_key = handle_key;
    d->reader.user = d;
}

int draft_read(struct draft *d, FILE *stream, const char *name)
{
    reader_open(&d->reader, stream, name);
    memcpy(d->origins.files[d->origins.file_count++], d->reader.name, sizeof(d->reader.name));
    d->section = SECTION_NONE;
    d->section_known = true; /* that there is none yet */
    return reader_run(&d->reader);
}

void draft_finish(struct draft *d)
{
    struct class_config *classes = d->config.classes;
    struct config_origins *o = &d->origins;

    d->config.class_count = d->class_count + 1;
    if (d->class_count == DRAFT_OTHER_SLOT)
        return;
    classes[d->class_count] = classes[DRAFT_OTHER_SLOT];
    memset(&classes[DRAFT_OTHER_SLOT], 0, sizeof(classes[DRAFT_OTHER_SLOT]));
    memcpy(o->class_key[d->class_count], o->class_key[DRAFT_OTHER_SLOT], sizeof(o->class_key[0]));
    o->section[d->class_count] = o->section[DRAFT_OTHER_SLOT];
}

struct reader *draft_at(struct draft *d, struct config_origin at)
{
    if (at.file > 0)
        memcpy(d->reader.name, d->origins.files[at.file - 1], sizeof(d->reader.name));
    d->reader.line = at.line;
    return &d->reader;
}

const struct config_origin *draft_origin(const struct draft *d, const char *name)
{
    const struct key *key = key_find(SECTION_NODE, text_from(name));

    return &d->origins.key[key_index(key ? key : key_find(SECTION_MONITOR, text_from(name)))];
}

struct reader *draft_at_key(struct draft *d, const char *name)
{
    return draft_at(d, *draft_origin(d, name));
}

const struct config_origin *draft_level_origin(const struct draft *d, enum level level, const char *name)
{
    return &d->origins.level_key[level][key_index(key_find(SECTION_LEVEL, text_from(name)))];
}

const struct config_origin *draft_class_origin(const struct draft *d, unsigned index, const char *name)
{
    return &d->origins.class_key[index][key_index(key_find(SECTION_CLASS, text_from(name)))];
}
