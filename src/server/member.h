/* Members of JSON objects, as replies are made of them and requests are read. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What need not be UTF-8, such as a path: "(not UTF-8)" where it is not, "" for NULL. */
json_t *member_any_string(const char *v);

/* A value that could not be made is not looked at here: where that is for want of room, control_handle
 * refuses the reply as a whole. UINT64_MAX is null: no limit, or not known. */
void member_set_u64(json_t *o, const char *key, uint64_t v);
void member_set_i64(json_t *o, const char *key, int64_t v);
void member_set_bool(json_t *o, const char *key, bool v);
void member_set_string(json_t *o, const char *key, const char *v);

/* What is not there, or null, says nothing and is good. False: of another kind, too long, too large; or with
 * a NUL inside, which would make two names of one. */
bool member_get_text(const json_t *v, char *ret, size_t size);
bool member_get_u64(const json_t *v, uint64_t max, bool *ret_has, uint64_t *ret);
