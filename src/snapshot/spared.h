/* What is no group, whatever it holds. */
#pragma once

#include <stdbool.h>

#include "snapshot/reader.h"

/* Not to be taken as a group of `other`: where people are logged in. */
bool spared_is_login(const char *path);
/* It is, or lies below, what is protected. */
bool spared_is_protected(const struct snapshot_reader *r, const char *path);
/* What is protected is inside, or headroomd: what is done to this cgroup would be done to them. */
bool spared_is_inside(const struct snapshot_reader *r, const char *path);
