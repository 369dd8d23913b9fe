#include "client/base64.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* Four characters, of which the last `pad` are '='. False: they are something else. */
static int parse_quad(const char *quad, unsigned pad, uint32_t *ret)
{
    uint32_t bits = 0;

    for (unsigned i = 0; i < 4; i++) {
        int value = i < 4 - pad ? digit_value(quad[i]) : quad[i] == '=' ? 0 : -1;

        if (value < 0)
            return -EBADMSG;
        bits = bits << 6 | (uint32_t)value;
    }
    if (bits & ((UINT32_C(1) << 8 * pad) - 1))
        return -EBADMSG;
    *ret = bits;
    return 0;
}

ssize_t base64_parse(const char *text, unsigned char *ret, size_t size)
{
    size_t length = strlen(text), n = 0;

    if (length % 4 != 0)
        return -EBADMSG;
    for (size_t at = 0; at < length; at += 4) {
        unsigned pad = 0;
        uint32_t bits;
        int r;

        if (at + 4 == length)
            pad = text[at + 3] != '=' ? 0 : text[at + 2] != '=' ? 1 : 2;
        r = parse_quad(text + at, pad, &bits);
        if (r < 0)
            return r;
        if (size - n < 3 - pad)
            return -E2BIG;
        for (unsigned i = 0; i < 3 - pad; i++)
            ret[n++] = (unsigned char)(bits >> (16 - 8 * i));
    }
    return (ssize_t)n;
}
