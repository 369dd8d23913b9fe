#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cli/cli.h"

/* `headroom groups`: what each group holds, by kind, those first who would be taken first. Page cache stands
 * apart: reclaim takes it where it is needed, and no kill is for it. */

static json_int_t number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static bool is(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key)) ?: "";
}

static int compare(json_int_t a, json_int_t b)
{
    return (a > b) - (a < b);
}

/* The order of the tiers; within one who has made the least progress. */
static int by_turn(const void *x, const void *y)
{
    const json_t *a = *(json_t *const *)x, *b = *(json_t *const *)y;
    int r = compare(number(a, "priority"), number(b, "priority"));

    if (r == 0)
        r = is(b, "retriable") - is(a, "retriable");
    if (r == 0)
        r = is(b, "over_request") - is(a, "over_request");
    if (r == 0)
        r = is(a, "last") - is(b, "last");
    if (r == 0)
        r = compare(number(a, "progress_usec"), number(b, "progress_usec"));
    return r != 0 ? r : strcmp(text(a, "group"), text(b, "group"));
}

static int on_groups(void *user, json_t *parameters)
{
    return json_array_extend(user, json_object_get(parameters, "groups"));
}

/* NULL: no memory. The array's own order, in place of what was there. */
static json_t *sorted(const json_t *groups)
{
    size_t n = json_array_size(groups), i;
    json_t **all = calloc(n + 1, sizeof(*all)), *ret = json_array(), *g;

    if (!all || !ret) {
        free(all);
        json_decref(ret);
        return NULL;
    }
    json_array_foreach(groups, i, g)
    {
        all[i] = g;
    }
    qsort(all, n, sizeof(*all), by_turn);
    for (i = 0; i < n; i++)
        (void)json_array_append(ret, all[i]);
    free(all);
    return ret;
}

static void print(const json_t *groups)
{
    static const char *const columns[] = {"used_bytes", "anon_bytes", "shmem_bytes",
                                          "file_bytes", "swap_bytes", "zswap_bytes"};
    const json_t *g;
    size_t i;

    (void)printf("%-44s %-12s %8s %-7s %8s %8s %8s %8s %8s %8s %8s %8s %8s\n", "group", "class", "priority",
                 "state", "used", "anon", "shmem", "file", "swap", "zswap", "progress", "age", "request");
    json_array_foreach(groups, i, g)
    {
        (void)printf("%-44s %-12s %8lld %-7s", text(g, "group"), text(g, "class"),
                     (long long)number(g, "priority"), text(g, "state"));
        for (size_t k = 0; k < ARRAY_SIZE(columns); k++)
            (void)printf(" %8s", cli_bytes(json_object_get(g, columns[k])));
        (void)printf(" %8s %8s %8s\n", cli_usec(json_object_get(g, "progress_usec")),
                     cli_usec(json_object_get(g, "age_usec")),
                     cli_bytes(json_object_get(g, "request_bytes")));
    }
}

int cli_groups(const struct cli_options *o, int argc, char **argv)
{
    json_t *groups, *all;
    int code;

    (void)argv;
    if (argc > 1) {
        (void)fprintf(stderr, "headroom groups takes no arguments\n");
        return CLI_USAGE;
    }
    groups = json_array();
    code = cli_stream(o, "io.headroom.Groups", "{}", on_groups, groups);
    all = sorted(groups);
    if (!all)
        code = CLI_FAILURE;
    else if (code == CLI_OK && o->json)
        cli_print_json(all);
    else if (code == CLI_OK)
        print(all);
    json_decref(all);
    json_decref(groups);
    return code;
}
