/* The file that PodFile= names: what is known of pods where there is no API to ask. A line for each:
 *
 *     # uid                                  priority  request
 *     0c8c8dc3-1a2b-4c3d-8e9f-000000000001   900       2G
 *     0c8c8dc3_1a2b_4c3d_8e9f_000000000002   -         512M    as in the name of a cgroup
 *
 * A line that is not right costs that line, and a file that is not there or not root's says nothing: other
 * than a configuration, it is written by programs while the daemon runs. */
#pragma once

#include "config/config.h"

#define PODS_FILE_MAX (1U << 20)

/* c->pods anew, from c->pod_file. What is wrong is added to the messages, as warnings. */
void pods_read(struct config *c, struct config_messages *messages);
