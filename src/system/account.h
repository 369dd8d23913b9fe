/* Names of the user database. Looked up at start only: it allocates, and may ask the network. */
#pragma once

#include <sys/types.h>

/* (gid_t)-1: there is no such group. */
gid_t account_group_id(const char *name);
