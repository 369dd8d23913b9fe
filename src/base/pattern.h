/* Patterns of Match=: a path relative to the hierarchy's root, in which `*` stands for any run of characters
 * but '/', and `?` for one of them. `[…]` is taken as it stands: unit names hold such characters. */
#pragma once

#include <stdbool.h>

bool pattern_match(const char *pattern, const char *path);
