/* Base64 as RFC 4648 §4 has it, read strictly: padded, no blanks, no bits left over. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Bytes written to ret; -EBADMSG: it is no base64; -E2BIG: more than size. */
ssize_t base64_parse(const char *text, unsigned char *ret, size_t size) __attribute__((warn_unused_result));
