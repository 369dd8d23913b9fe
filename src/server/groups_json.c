#include "server/groups_json.h"

#include <stdio.h>

#include "server/status_json.h"

/* Half of what a stream's other rows are: these have more numbers in them. */
#define ROWS (STREAM_ROWS / 2)

static void set(json_t *o, const char *key, uint64_t v)
{
    (void)json_object_set_new(o, key, v == UINT64_MAX ? json_null() : json_integer((json_int_t)v));
}

static json_t *group_to_json(const struct status_group *g)
{
    char name[GROUP_PATH_MAX + 32];
    json_t *o = json_object();

    (void)snprintf(name, sizeof(name), g->pid > 0 ? "%s#%d %s" : "%s", g->path, (int)g->pid, g->comm);
    (void)json_object_set_new(o, "group", json_any_string(name));
    (void)json_object_set_new(o, "class", json_any_string(g->class_name));
    (void)json_object_set_new(o, "state", json_string(g->state));
    set(o, "priority", g->priority);
    (void)json_object_set_new(o, "retriable", json_boolean(g->retriable));
    (void)json_object_set_new(o, "over_request", json_boolean(g->over_request));
    (void)json_object_set_new(o, "last", json_boolean(g->last));
    set(o, "owner_uid", g->owner_uid);
    set(o, "used_bytes", g->used);
    set(o, "anon_bytes", g->anon);
    set(o, "shmem_bytes", g->shmem);
    set(o, "kernel_bytes", g->kernel);
    set(o, "file_bytes", g->file);
    set(o, "swap_bytes", g->swap);
    set(o, "zswap_bytes", g->zswap);
    set(o, "progress_usec", g->progress_usec);
    set(o, "age_usec", g->age_usec);
    set(o, "request_bytes", g->request_bytes);
    return o;
}

json_t *groups_message(struct stream *s, status_group_fn group, void *user)
{
    json_t *rows = json_array();
    struct status_group g;
    bool more = true;

    for (unsigned i = 0; i < ROWS; i++) {
        more = group(user, s->row, &g);
        if (!more)
            break;
        s->row++;
        (void)json_array_append_new(rows, group_to_json(&g));
    }
    if (!more)
        s->kind = STREAM_NONE;
    return more ? json_pack("{s:{s:o}, s:b}", "parameters", "groups", rows, "continues", 1)
                : json_pack("{s:{s:o}}", "parameters", "groups", rows);
}
