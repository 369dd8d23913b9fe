/* How `headroom qos` shows a plan. */
#pragma once

#include "base/buffer.h"
#include "model/qos.h"

struct qos_view {
    const struct config *config;
    const struct qos_node *node;
    const struct qos_cgroup *cgroups;
    unsigned count;
    const struct qos_excess *excess; /* NULL: it can be had */
};

void qos_print_table(const struct qos_view *v);
void qos_print_json(const struct qos_view *v);
/* "GROUP asks for …"; what to do about it. */
void qos_format_excess(const struct qos_view *v, struct buffer *b);
