#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "config/config.h"
#include "config/show.h"

/* `config show`: every key with the value in force and where it comes from, as the daemon would read the
 * files now. What is printed is a configuration itself. `config keys`: what each key is for. Neither needs a
 * daemon. */

#define ORIGIN_COLUMN 44

static struct config the_config;
static struct config_origins origins;

struct listing {
    char section[64]; /* that was printed last */
    json_t *array;    /* NULL: for people */
};

static const char *origin_file(struct config_origin o)
{
    return o.file > 0 ? origins.files[o.file - 1] : NULL;
}

static void print_origin(struct config_origin o)
{
    if (o.file > 0)
        (void)printf("# %s:%u\n", origin_file(o), o.line);
    else
        (void)printf("# default\n");
}

static void print_value(void *user, const struct config_value *v)
{
    struct listing *l = user;
    int n;

    if (strcmp(l->section, v->section) != 0) {
        (void)printf("%s%s\n", l->section[0] ? "\n" : "", v->section);
        (void)snprintf(l->section, sizeof(l->section), "%s", v->section);
    }
    if (v->set)
        n = printf("%s=%s", v->key->name, v->value);
    else
        n = printf("#%s=%s", v->key->name, v->key->unstored ? "" : " not set");
    (void)printf("%*s", n < ORIGIN_COLUMN ? ORIGIN_COLUMN - n : 1, "");
    print_origin(v->origin);
}

static void collect_value(void *user, const struct config_value *v)
{
    struct listing *l = user;
    json_t *o = json_pack("{s:s, s:s}", "section", v->section, "key", v->key->name);

    if (v->class_name)
        (void)json_object_set_new(o, "class", json_string(v->class_name));
    (void)json_object_set_new(o, "value", v->set ? json_string(v->value) : json_null());
    (void)json_object_set_new(o, "file",
                              v->origin.file > 0 ? json_string(origin_file(v->origin)) : json_null());
    (void)json_object_set_new(o, "line", v->origin.file > 0 ? json_integer(v->origin.line) : json_null());
    (void)json_array_append_new(l->array, o);
}

static int show(const struct cli_options *o)
{
    static struct config_messages messages;
    struct listing l = {0};
    unsigned files = 0;
    json_t *whole, *read;
    int r = config_load_origins(o->config, &the_config, &origins, &files, &messages);

    for (unsigned i = 0; i < messages.count; i++)
        (void)fprintf(stderr, "headroom: %s%s\n", messages.warning[i] ? "warning: " : "", messages.text[i]);
    if (r < 0)
        return CLI_FAILURE;
    if (!o->json) {
        for (unsigned i = 0; i < files; i++)
            (void)printf("# %s\n", origins.files[i]);
        (void)printf("%s", files > 0 ? "\n" : "# built-in defaults: there is no " CONFIG_PATH_DEFAULT "\n\n");
        config_each_value(&the_config, &origins, print_value, &l);
        return CLI_OK;
    }
    l.array = json_array();
    config_each_value(&the_config, &origins, collect_value, &l);
    read = json_array();
    for (unsigned i = 0; i < files; i++)
        (void)json_array_append_new(read, json_string(origins.files[i]));
    whole = json_pack("{s:o, s:o}", "files", read, "values", l.array);
    cli_print_json(whole);
    json_decref(whole);
    return CLI_OK;
}

/* ---- the table ---- */

static void default_of(const struct key *key, char *ret, size_t size)
{
    const void *structure = key->section == SECTION_CLASS     ? (const void *)&the_config.classes[0]
                            : key->section == SECTION_MONITOR ? (const void *)&the_config.monitor
                                                              : (const void *)&the_config;
    struct buffer b;
    bool set;

    if (key->standard) {
        (void)snprintf(ret, size, "%s", key->standard);
        return;
    }
    buffer_init(&b, ret, size);
    set = key_format(key, structure, &b);
    if (key->unstored)
        (void)snprintf(ret, size, "no");
    else if (!set)
        (void)snprintf(ret, size, "not set");
    else if (ret[0] == '\0')
        (void)snprintf(ret, size, "empty");
}

static void print_words(const char *text, unsigned indent, unsigned width)
{
    unsigned column = 0;

    while (*text) {
        unsigned length = (unsigned)strcspn(text, " ");

        if (column > 0 && column + 1 + length > width) {
            (void)printf("\n");
            column = 0;
        }
        (void)printf("%*s%.*s", column > 0 ? 1 : (int)indent, column > 0 ? " " : "", (int)length, text);
        column += length + (column > 0 ? 1 : indent);
        text += length + (text[length] == ' ');
    }
    (void)printf("\n");
}

static json_t *key_to_json(const struct key *key, const char *form, const char *standard)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b}", "section", section_title(key->section), "key",
                     key->name, "form", form, "default", standard, "help", key->help, "restart",
                     (int)key->restart, "later", (int)key->later);
}

static void print_key(const struct key *key, const char *form, const char *standard)
{
    (void)printf("%s=\n    %s; default: %s%s%s\n", key->name, form, standard,
                 key->restart ? "; changed by a restart only" : "",
                 key->later ? "; has no effect in this version" : "");
    print_words(key->help, 4, 100);
}

static int keys(const struct cli_options *o)
{
    json_t *array = json_array();
    const struct key *key;
    enum section section = SECTION_NONE;

    config_init_defaults(&the_config);
    for (unsigned i = 0; (key = key_at(i)) != NULL; i++) {
        char form[256], standard[256];
        struct buffer b;

        buffer_init(&b, form, sizeof(form));
        key_format_form(key, &b);
        default_of(key, standard, sizeof(standard));
        if (o->json) {
            (void)json_array_append_new(array, key_to_json(key, form, standard));
            continue;
        }
        if (key->section != section)
            (void)printf("%s%s\n", section == SECTION_NONE ? "" : "\n", section_title(key->section));
        section = key->section;
        print_key(key, form, standard);
    }
    if (o->json)
        cli_print_json(array);
    json_decref(array);
    return CLI_OK;
}

int cli_config(const struct cli_options *o, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "show") == 0)
        return show(o);
    if (argc == 2 && strcmp(argv[1], "keys") == 0)
        return keys(o);
    (void)fprintf(stderr,
                  "headroom config show: every key with its value and the file and line that it comes from\n"
                  "headroom config keys: what each key is for\n");
    return CLI_USAGE;
}
