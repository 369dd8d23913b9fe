#include "server/run_request.h"

#include <string.h>

#include "base/text.h"
#include "server/status_json.h"

/* What is not there says nothing. A NUL inside would make two names of one. */
static bool read_text(const json_t *v, char *ret, size_t size)
{
    const char *at = json_string_value(v);

    if (!v || json_is_null(v))
        return true;
    return at && strlen(at) == json_string_length(v) &&
           text_copy((struct text){at, json_string_length(v)}, ret, size) == 0;
}

static bool read_number(const json_t *v, bool *ret_has, uint64_t *ret, uint64_t max)
{
    if (!v || json_is_null(v))
        return true;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > max)
        return false;
    *ret_has = true;
    *ret = (uint64_t)json_integer_value(v);
    return true;
}

bool run_request_read(const json_t *parameters, struct control_command *command)
{
    const json_t *retriable = json_object_get(parameters, "retriable");
    struct run_attributes *run = &command->run;
    bool has_id = false;
    uint64_t priority = 0;

    if (command->verb == CONTROL_RUN_END)
        return read_text(json_object_get(parameters, "group"), command->group, sizeof(command->group)) &&
               read_number(json_object_get(parameters, "id"), &has_id, &command->id, INT64_MAX) &&
               command->group[0] && has_id;
    if (!read_text(json_object_get(parameters, "class"), command->class, sizeof(command->class)) ||
        !read_text(json_object_get(parameters, "task"), run->task, sizeof(run->task)) ||
        !read_number(json_object_get(parameters, "request_bytes"), &run->has_request, &run->request_bytes,
                     INT64_MAX) ||
        !read_number(json_object_get(parameters, "priority"), &run->has_priority, &priority,
                     CONFIG_PRIORITY_PROTECTED) ||
        (retriable && !json_is_boolean(retriable) && !json_is_null(retriable)))
        return false;
    run->priority = (unsigned)priority;
    run->retriable = json_is_true(retriable);
    return command->class[0] != '\0';
}

void run_request_answer(const struct control_place *place, json_t *parameters)
{
    (void)json_object_set_new(parameters, "group", json_any_string(place->group));
    if (place->id != 0)
        (void)json_object_set_new(parameters, "id", json_integer((json_int_t)place->id));
    if (place->of_user)
        (void)json_object_set_new(parameters, "of_user", json_true());
}
