#include "server/groups_json.h"

#include <stdio.h>

#include "server/member.h"

/* Half of what a stream's other rows are: these have more numbers in them. */
#define ROWS (STREAM_ROWS / 2)

static json_t *group_to_json(const struct status_group *g)
{
    char name[GROUP_PATH_MAX + 32];
    json_t *o = json_object();

    (void)snprintf(name, sizeof(name), g->pid > 0 ? "%s#%d %s" : "%s", g->path, (int)g->pid, g->comm);
    member_set_string(o, "group", name);
    member_set_string(o, "class", g->class_name);
    member_set_string(o, "state", g->state);
    member_set_u64(o, "priority", g->priority);
    member_set_bool(o, "retriable", g->retriable);
    member_set_bool(o, "over_request", g->over_request);
    member_set_bool(o, "last", g->last);
    member_set_u64(o, "owner_uid", g->owner_uid);
    member_set_u64(o, "used_bytes", g->used);
    member_set_u64(o, "anon_bytes", g->anon);
    member_set_u64(o, "shmem_bytes", g->shmem);
    member_set_u64(o, "kernel_bytes", g->kernel);
    member_set_u64(o, "file_bytes", g->file);
    member_set_u64(o, "swap_bytes", g->swap);
    member_set_u64(o, "zswap_bytes", g->zswap);
    member_set_u64(o, "progress_usec", g->progress_usec);
    member_set_u64(o, "age_usec", g->age_usec);
    member_set_u64(o, "request_bytes", g->request_bytes);
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
