/* Sets of NUMA nodes: a bit for each, as the kernel lists them ("0-1,4"). Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/text.h"

/* Machines with more are rare, and a set is one number: those that are beyond are said not to be handled. */
#define NODELIST_MAX 64
#define NODELIST_BIT(node) (UINT64_C(1) << (node))

/* An empty list is 0. -EBADMSG: not a list; -ERANGE: a node beyond NODELIST_MAX. */
int nodelist_parse(struct text t, uint64_t *ret_nodes) _nodiscard_;
/* The longest: every second node. */
#define NODELIST_FORMAT_MAX 128
const char *nodelist_format(char buf[static NODELIST_FORMAT_MAX], uint64_t nodes);
