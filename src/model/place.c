#include "model/place.h"

#include <string.h>

#include "base/buffer.h"

static bool ends_with(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);

    return n >= m && strcmp(text + n - m, suffix) == 0;
}

/* The last part with the tag where its first star is; a `?` is filled, and the other stars take nothing.
 * False: it is no pattern, something above it is one, or the name is too long. */
static bool fill(const char *pattern, const char *tag, const char *suffix, char ret[static CONFIG_PATH_MAX])
{
    const char *slash = strrchr(pattern, '/'), *last = slash ? slash + 1 : pattern;
    bool tagged = false;
    struct buffer b;

    if (!strchr(last, '*') || memchr(pattern, '*', (size_t)(last - pattern)) ||
        memchr(pattern, '?', (size_t)(last - pattern)))
        return false;
    buffer_init(&b, ret, CONFIG_PATH_MAX);
    buffer_append_bytes(&b, pattern, (size_t)(last - pattern));
    for (; *last; last++) {
        if (*last != '*') {
            buffer_append_bytes(&b, *last == '?' ? "x" : last, 1);
        } else if (!tagged) {
            buffer_appendf(&b, "run-%s", tag);
            tagged = true;
        }
    }
    if (!ends_with(ret, suffix))
        buffer_append(&b, suffix);
    return !b.cut;
}

/* Whose group that would be. */
static enum place_result judge(const struct config *c, unsigned class_index, const char *path,
                               unsigned *ret_taken_by)
{
    unsigned is = config_class_of(c, path);

    if (is == class_index)
        return PLACE_FOUND;
    if (is > class_index) /* the suffix does not fit the pattern */
        return PLACE_FIXED;
    *ret_taken_by = is;
    return PLACE_TAKEN;
}

enum place_result place_find(const struct config *c, unsigned class_index, const char *tag,
                             const char *suffix, char ret[static CONFIG_PATH_MAX], unsigned *ret_taken_by)
{
    const struct class_config *class = &c->classes[class_index];
    enum place_result result = class->match_count == 0 ? PLACE_NO_MATCH : PLACE_FIXED;

    if (class->unit == UNIT_PROCESS)
        return PLACE_PROCESSES;
    for (unsigned i = 0; i < class->match_count; i++) {
        enum place_result r;

        if (!fill(class->match[i], tag, suffix, ret))
            continue;
        r = judge(c, class_index, ret, ret_taken_by);
        if (r == PLACE_FOUND)
            return r;
        if (r == PLACE_TAKEN)
            result = r;
    }
    return result;
}

enum place_result place_find_of_user(const struct config *c, unsigned class_index, const char *tag,
                                     unsigned uid, char ret[static CONFIG_PATH_MAX], unsigned *ret_taken_by)
{
    struct buffer b;

    if (c->classes[class_index].unit == UNIT_PROCESS)
        return PLACE_PROCESSES;
    buffer_init(&b, ret, CONFIG_PATH_MAX);
    buffer_appendf(&b, "user.slice/user-%u.slice/user@%u.service/app.slice/run-%s.scope", uid, uid, tag);
    return judge(c, class_index, ret, ret_taken_by);
}

void place_parent(const char *path, char ret[static CONFIG_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;

    memcpy(ret, path, n);
    ret[n] = '\0';
}
