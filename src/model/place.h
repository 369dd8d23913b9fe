/* Where a group that is made for a class goes (`headroom run`): the class's own Match= says. A pattern names
 * a place where all that is above its last part is spelled out, and the last part takes a name of ours:
 * `jobs/task-*` gives jobs/task-run-TAG. */
#pragma once

#include "model/config.h"

enum place_result {
    PLACE_FOUND,
    PLACE_PROCESSES, /* the class's groups are processes */
    PLACE_NO_MATCH,  /* it has no Match=: it is `other` */
    PLACE_FIXED,     /* each pattern names a cgroup, or has a wildcard above its last part */
    PLACE_TAKEN,     /* a class before it would get the group */
};

/* The path of the group. `tag`: letters and digits, different each time. `suffix`: what the name has to end
 * with ("" or ".scope"). *ret_taken_by is set with PLACE_TAKEN: the index of that class. */
enum place_result place_find(const struct config *c, unsigned class_index, const char *tag,
                             const char *suffix, char ret[static CONFIG_PATH_MAX], unsigned *ret_taken_by);
/* The same below the services of a user, whose names have his number in them:
 * user.slice/user-1000.slice/user@1000.service/app.slice/run-TAG.scope. */
enum place_result place_find_of_user(const struct config *c, unsigned class_index, const char *tag,
                                     unsigned uid, char ret[static CONFIG_PATH_MAX], unsigned *ret_taken_by);
/* What is above the last part of the path; "" where that is the root. */
void place_parent(const char *path, char ret[static CONFIG_PATH_MAX]);
