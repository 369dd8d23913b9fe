#include "server/run_request.h"

#include "server/member.h"

bool run_request_read(const json_t *parameters, struct control_command *command)
{
    const json_t *retriable = json_object_get(parameters, "retriable");
    struct run_attributes *run = &command->run;
    bool has_id = false;
    uint64_t priority = 0;

    if (command->verb == CONTROL_RUN_END)
        return member_get_text(json_object_get(parameters, "group"), command->group,
                               sizeof(command->group)) &&
               member_get_u64(json_object_get(parameters, "id"), INT64_MAX, &has_id, &command->id) &&
               command->group[0] && has_id;
    if (!member_get_text(json_object_get(parameters, "class"), command->class, sizeof(command->class)) ||
        !member_get_text(json_object_get(parameters, "task"), run->task, sizeof(run->task)) ||
        !member_get_u64(json_object_get(parameters, "request_bytes"), INT64_MAX, &run->has_request,
                        &run->request_bytes) ||
        !member_get_u64(json_object_get(parameters, "priority"), CONFIG_PRIORITY_PROTECTED,
                        &run->has_priority, &priority) ||
        (retriable && !json_is_boolean(retriable) && !json_is_null(retriable)))
        return false;
    run->priority = (unsigned)priority;
    run->retriable = json_is_true(retriable);
    return command->class[0] != '\0';
}

void run_request_answer(const struct control_place *place, json_t *parameters)
{
    member_set_string(parameters, "group", place->group);
    if (place->id != 0)
        member_set_u64(parameters, "id", place->id);
    if (place->of_user)
        member_set_bool(parameters, "of_user", true);
}
