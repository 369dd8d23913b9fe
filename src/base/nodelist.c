#include "base/nodelist.h"

#include <errno.h>

/* "4" or "0-3". */
static int parse_range(struct text t, uint64_t *ret)
{
    const char *dash = memchr(t.at, '-', t.length);
    size_t length = dash ? (size_t)(dash - t.at) : t.length;
    uint64_t first, last;

    if (text_parse_u64((struct text){t.at, length}, &first) < 0)
        return -EBADMSG;
    last = first;
    if (dash && text_parse_u64((struct text){dash + 1, t.length - length - 1}, &last) < 0)
        return -EBADMSG;
    if (last < first)
        return -EBADMSG;
    if (last >= NODELIST_MAX)
        return -ERANGE;
    for (uint64_t n = first; n <= last; n++)
        *ret |= NODELIST_BIT(n);
    return 0;
}

int nodelist_parse(struct text t, uint64_t *ret_nodes)
{
    struct text rest = text_trim(t);
    uint64_t nodes = 0;

    while (rest.length > 0) {
        const char *comma = memchr(rest.at, ',', rest.length);
        size_t length = comma ? (size_t)(comma - rest.at) : rest.length;
        int r = parse_range((struct text){rest.at, length}, &nodes);

        if (r < 0)
            return r;
        if (comma && length + 1 == rest.length)
            return -EBADMSG;
        length += comma != NULL;
        rest = (struct text){rest.at + length, rest.length - length};
    }
    *ret_nodes = nodes;
    return 0;
}

const char *nodelist_format(char buf[static NODELIST_FORMAT_MAX], uint64_t nodes)
{
    size_t length = 0;

    buf[0] = 0;
    for (unsigned n = 0; n < NODELIST_MAX; n++) {
        unsigned first = n;

        if ((nodes & NODELIST_BIT(n)) == 0)
            continue;
        while (n + 1 < NODELIST_MAX && (nodes & NODELIST_BIT(n + 1)) != 0)
            n++;
        length += (size_t)snprintf(buf + length, NODELIST_FORMAT_MAX - length, n > first ? "%s%u-%u" : "%s%u",
                                   length > 0 ? "," : "", first, n);
    }
    return buf;
}
