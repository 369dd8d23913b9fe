/* A socket that programs connect to. */
#pragma once

#include "base/macros.h"

/* A stream socket that listens at the path, for everybody, non-blocking; an old one of that name is replaced.
 * Its descriptor, or negative errno. */
int listen_at(const char *path, int backlog) _nodiscard_;
