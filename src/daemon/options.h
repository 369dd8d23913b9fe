/* headroomd's command line. */
#pragma once

#include "daemon/daemon.h"

#define DAEMON_CONFIG_DEFAULT CONFIG_PATH_DEFAULT

/* 0: go on; −1: done, exit with *ret_exit (help, version, or a usage error that was said). */
int options_parse(int argc, char **argv, struct daemon_options *ret, int *ret_exit);
