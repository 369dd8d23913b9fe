/* io.headroom.Run and io.headroom.RunEnd: what they are made of, and the answer. */
#pragma once

#include <jansson.h>

#include "server/control.h"

/* False: what it needs is missing, of another kind, or too long. */
bool run_request_read(const json_t *parameters, struct control_command *command);
void run_request_answer(const struct control_place *place, json_t *parameters);
