#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"
#include "cli/cli.h"
#include "model/snapshot.h"

/* What an operator may have done: `pause GROUP`, `resume GROUP`, `hold DURATION`,
 * `offload GROUP SIZE`, `reload`. */

#define HIERARCHY "/sys/fs/cgroup/"

/* A group as people write it, with what a shell completes at both ends, to what it is called: relative to the
 * hierarchy's root. */
static struct text group_of(const char *argument)
{
    struct text t = text_from(argument);

    if (strncmp(t.at, HIERARCHY, strlen(HIERARCHY)) == 0)
        t = text_from(t.at + strlen(HIERARCHY));
    while (t.length > 0 && t.at[0] == '/')
        t = text_from(t.at + 1);
    while (t.length > 0 && t.at[t.length - 1] == '/')
        t.length--;
    return t;
}

/* What can be done about an error; "" where the sentence of headroomd says all there is. */
static const char *cure(const char *error)
{
    static const struct {
        const char *error;
        const char *cure;
    } all[] = {
        {"PermissionDenied", "only root may do that: run it as root"},
        {"InvalidParameter", "it is no name that headroomd takes: give the path below " HIERARCHY},
        {"NoSuchGroup",
         "give the path below " HIERARCHY ", or PATH#PID where Unit=process; see headroom status"},
        {"NotAllowed", "see Actions= of its class in the configuration, and its user.headroom.pause"},
        {"Busy", "try it again"},
        {"ConfigurationInvalid", "nothing was changed"},
        {"MethodNotFound", "the headroomd that runs is older than this command: restart it"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (strstr(error, all[i].error))
            return all[i].cure;
    return "";
}

/* What there is to say beyond the sentence, a line each. */
static void print_details(FILE *to, const json_t *values)
{
    const json_t *line;
    size_t i;

    json_array_foreach(json_object_get(values, "details"), i, line)
    {
        if (json_is_string(line))
            (void)fprintf(to, "  %s\n", json_string_value(line));
    }
}

/* "headroom pause workload.slice/a: there is no such group (give the path …)" */
static int say_refusal(const char *verb, struct text about, const json_t *reply)
{
    const char *error = json_string_value(json_object_get(reply, "error"));
    const char *text = json_string_value(json_object_get(json_object_get(reply, "parameters"), "text"));
    const char *hint = error ? cure(error) : "";

    if (!text)
        text = hint[0] ? hint : error ? error : "headroomd answered with something else than a reply";
    (void)fprintf(stderr, "headroom %s%s%.*s: %s", verb, about.length > 0 ? " " : "", (int)about.length,
                  about.at, text);
    (void)fprintf(stderr, text != hint && hint[0] ? " (%s)\n" : "%s\n", text != hint ? hint : "");
    print_details(stderr, json_object_get(reply, "parameters"));
    return CLI_FAILURE;
}

static int command(const struct cli_options *o, const char *verb, struct text about, const char *method,
                   const char *parameters)
{
    const json_t *values;
    json_t *reply;
    int code;

    reply = cli_ask(o, method, parameters, &code);
    if (!reply)
        return code;
    values = json_object_get(reply, "parameters");
    if (json_object_get(reply, "error") || !values)
        code = say_refusal(verb, about, reply);
    else if (o->json)
        cli_print_json(values);
    else {
        (void)puts(json_string_value(json_object_get(values, "text")) ?: "done");
        print_details(stdout, values);
    }
    json_decref(reply);
    return code;
}

/* The group that an argument names, as JSON; NULL: said on stderr what is wrong with it. */
static json_t *group_argument(const char *verb, const char *argument, struct text *ret)
{
    json_t *name;

    *ret = group_of(argument);
    if (ret->length == 0 || ret->length >= GROUP_PATH_MAX) {
        (void)fprintf(stderr, "headroom %s: %s: %s\n", verb, argument,
                      ret->length == 0 ? "name a group below the root of the hierarchy"
                                       : "the name is longer than that of any group that headroomd guards");
        return NULL;
    }
    name = json_stringn(ret->at, ret->length);
    if (!name)
        (void)fprintf(stderr,
                      "headroom %s: %s: the name is not UTF-8; write to its cgroup's files yourself\n", verb,
                      argument);
    return name;
}

/* `parameters` is taken over. */
static int command_on(const struct cli_options *o, const char *verb, struct text group, const char *method,
                      json_t *parameters)
{
    char *json = json_dumps(parameters, JSON_COMPACT);
    int code = json ? command(o, verb, group, method, json) : CLI_FAILURE;

    free(json);
    json_decref(parameters);
    return code;
}

static int command_group(const struct cli_options *o, int argc, char **argv, const char *method)
{
    struct text group;
    json_t *name;

    if (argc != 2) {
        (void)fprintf(stderr, "headroom %s GROUP: GROUP is a path below " HIERARCHY ", or PATH#PID\n",
                      argv[0]);
        return CLI_USAGE;
    }
    name = group_argument(argv[0], argv[1], &group);
    return name ? command_on(o, argv[0], group, method, json_pack("{s:o}", "group", name)) : CLI_USAGE;
}

int cli_pause(const struct cli_options *o, int argc, char **argv)
{
    return command_group(o, argc, argv, "io.headroom.Pause");
}

int cli_resume(const struct cli_options *o, int argc, char **argv)
{
    return command_group(o, argc, argv, "io.headroom.Resume");
}

int cli_offload(const struct cli_options *o, int argc, char **argv)
{
    struct text group;
    uint64_t bytes;
    json_t *name;

    if (argc != 3 || units_parse_bytes(text_from(argv[2]), &bytes) < 0 || bytes == 0 || bytes > INT64_MAX) {
        (void)fprintf(stderr, "headroom offload GROUP SIZE: GROUP is a path below " HIERARCHY
                              ", SIZE how much of its memory is pushed out, with a unit, such as 100M\n");
        return CLI_USAGE;
    }
    name = group_argument(argv[0], argv[1], &group);
    return name ? command_on(o, argv[0], group, "io.headroom.Offload",
                             json_pack("{s:o, s:I}", "group", name, "bytes", (json_int_t)bytes))
                : CLI_USAGE;
}

int cli_hold(const struct cli_options *o, int argc, char **argv)
{
    char parameters[64];
    uint64_t usec;

    if (argc != 2 || units_parse_usec(text_from(argv[1]), &usec) < 0 || usec > INT64_MAX) {
        (void)fprintf(stderr,
                      "headroom hold DURATION: for how long headroomd takes no action, with a unit, such as "
                      "90s, 30min or 1h; 0 ends it\n");
        return CLI_USAGE;
    }
    (void)snprintf(parameters, sizeof(parameters), "{\"usec\":%" PRIu64 "}", usec);
    return command(o, argv[0], text_from(argv[1]), "io.headroom.Hold", parameters);
}

int cli_reload(const struct cli_options *o, int argc, char **argv)
{
    if (argc != 1) {
        (void)fprintf(stderr, "headroom reload: headroomd knows which files it was started with\n");
        return CLI_USAGE;
    }
    return command(o, argv[0], (struct text){"", 0}, "io.headroom.Reload", "{}");
}
