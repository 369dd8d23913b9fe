#include "server/member.h"

#include <string.h>

#include "base/text.h"

/* jansson refuses what is not UTF-8. */
json_t *member_any_string(const char *v)
{
    json_t *s = json_string(v ? v : "");

    return s ? s : json_string("(not UTF-8)");
}

/* json_object_set_new takes the value over, and answers a NULL value with an error. */
void member_set_u64(json_t *o, const char *key, uint64_t v)
{
    (void)json_object_set_new(o, key, v == UINT64_MAX ? json_null() : json_integer((json_int_t)v));
}

void member_set_i64(json_t *o, const char *key, int64_t v)
{
    (void)json_object_set_new(o, key, json_integer((json_int_t)v));
}

void member_set_bool(json_t *o, const char *key, bool v)
{
    (void)json_object_set_new(o, key, json_boolean(v));
}

void member_set_string(json_t *o, const char *key, const char *v)
{
    (void)json_object_set_new(o, key, member_any_string(v));
}

bool member_get_text(const json_t *v, char *ret, size_t size)
{
    const char *at = json_string_value(v);

    if (!v || json_is_null(v))
        return true;
    return at && strlen(at) == json_string_length(v) &&
           text_copy((struct text){at, json_string_length(v)}, ret, size) == 0;
}

bool member_get_u64(const json_t *v, uint64_t max, bool *ret_has, uint64_t *ret)
{
    if (!v || json_is_null(v))
        return true;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > max)
        return false;
    *ret_has = true;
    *ret = (uint64_t)json_integer_value(v);
    return true;
}
