/* What somebody who starts work says of it (`headroom run`): what becomes attributes of its group. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RUN_TASK_MAX 128

struct run_attributes {
    bool has_request;
    bool has_priority;
    bool retriable;
    uint64_t request_bytes;
    unsigned priority;
    char task[RUN_TASK_MAX]; /* the lineage's name; "": none */
};

/* Of every group that was made for `headroom run`; a name has it in it. */
#define RUN_NAME "run-"
