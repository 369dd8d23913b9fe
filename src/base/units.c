/* Numbers with a unit, in integers only: "1.5G" is 3 × 2^29, not the nearest double. A fraction is read as
 * long as it has at most nine decimals; what is left below one byte or microsecond is cut. */
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define DECIMALS_MAX 9

struct unit {
    const char *name;
    uint64_t factor; /* ascending in a table */
};

static const struct unit byte_units[] = {
    {"B", 1}, {"K", KIB}, {"M", MIB}, {"G", GIB}, {"T", UINT64_C(1) << 40},
};

static const struct unit usec_units[] = {
    {"us", 1},
    {"ms", USEC_PER_MSEC},
    {"s", USEC_PER_SEC},
    {"min", 60 * USEC_PER_SEC},
    {"h", 3600 * USEC_PER_SEC},
    {"d", 86400 * USEC_PER_SEC},
};

/* Length of the digits at the front. */
static size_t digits_length(struct text t)
{
    size_t n = 0;

    while (n < t.length && t.at[n] >= '0' && t.at[n] <= '9')
        n++;
    return n;
}

static void skip(struct text *t, size_t n)
{
    t->at += n;
    t->length -= n;
}

/* "12" or "12.5" off the front: the whole part, and the decimals as numerator and (power of ten) denominator.
 */
static int take_number(struct text *rest, uint64_t *ret_whole, uint64_t *ret_decimals, uint64_t *ret_scale)
{
    struct text t = *rest;
    uint64_t whole, decimals = 0, scale = 1;
    size_t n = digits_length(t);
    int r;

    r = text_parse_u64((struct text){t.at, n}, &whole);
    if (r < 0)
        return r;
    skip(&t, n);

    if (t.length > 0 && t.at[0] == '.') {
        skip(&t, 1);
        n = digits_length(t);
        if (n == 0 || n > DECIMALS_MAX)
            return -EINVAL;
        r = text_parse_u64((struct text){t.at, n}, &decimals);
        if (r < 0)
            return r;
        skip(&t, n);
        while (n-- > 0)
            scale *= 10;
    }

    *rest = t;
    *ret_whole = whole;
    *ret_decimals = decimals;
    *ret_scale = scale;
    return 0;
}

static int parse_with_unit(struct text t, const struct unit *units, size_t count, uint64_t *ret)
{
    uint64_t whole, decimals, scale, value;
    int r;

    r = take_number(&t, &whole, &decimals, &scale);
    if (r < 0)
        return r;

    if (t.length == 0 && whole == 0 && decimals == 0) {
        *ret = 0;
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (!text_equal(t, units[i].name))
            continue;
        if (__builtin_mul_overflow(whole, units[i].factor, &value) ||
            __builtin_add_overflow(value, u64_mul_div(decimals, units[i].factor, scale), &value))
            return -ERANGE;
        *ret = value;
        return 0;
    }
    return -EINVAL;
}

int units_parse_bytes(struct text t, uint64_t *ret_bytes)
{
    return parse_with_unit(t, byte_units, ARRAY_SIZE(byte_units), ret_bytes);
}

int units_parse_usec(struct text t, uint64_t *ret_usec)
{
    return parse_with_unit(t, usec_units, ARRAY_SIZE(usec_units), ret_usec);
}

int units_parse_permyriad(struct text t, uint64_t *ret_permyriad)
{
    /* One percent is 100 permyriad, so the percent sign is a unit like the others. */
    uint64_t whole, decimals, scale, value;
    int r;

    r = take_number(&t, &whole, &decimals, &scale);
    if (r < 0)
        return r;
    if (!text_equal(t, "%") && !(t.length == 0 && whole == 0 && decimals == 0))
        return -EINVAL;
    if (decimals * 100 % scale != 0)
        return -EINVAL; /* finer than one permyriad: cutting 0.005% to 0 would turn a threshold into "always"
                         */
    if (__builtin_mul_overflow(whole, UINT64_C(100), &value) || value > PERMYRIAD)
        return -ERANGE;
    value += decimals * 100 / scale;
    if (value > PERMYRIAD)
        return -ERANGE;

    *ret_permyriad = value;
    return 0;
}

static void format_with_unit(char *buf, uint64_t value, const struct unit *units, size_t count)
{
    size_t i = count - 1;

    while (i > 0 && value < units[i].factor)
        i--;
    if (i == 0) {
        (void)snprintf(buf, UNITS_FORMAT_MAX, "%" PRIu64 "%s", value, units[0].name);
        return;
    }
    for (;; i++) {
        /* In tenths, rounded half up; what rounds up to the next unit ("1024.0K") is written in that. */
        unsigned __int128 scaled = (unsigned __int128)value * 10 + units[i].factor / 2;
        uint64_t tenths = (uint64_t)(scaled / units[i].factor);

        if (i + 1 < count && tenths >= units[i + 1].factor / units[i].factor * 10)
            continue;
        (void)snprintf(buf, UNITS_FORMAT_MAX, "%" PRIu64 ".%u%s", tenths / 10, (unsigned)(tenths % 10),
                       units[i].name);
        return;
    }
}

const char *units_format_bytes(char buf[static UNITS_FORMAT_MAX], uint64_t bytes)
{
    if (bytes == UINT64_MAX)
        return strcpy(buf, "max");
    format_with_unit(buf, bytes, byte_units, ARRAY_SIZE(byte_units));
    return buf;
}

const char *units_format_usec(char buf[static UNITS_FORMAT_MAX], uint64_t usec)
{
    if (usec == UINT64_MAX)
        return strcpy(buf, "forever");
    format_with_unit(buf, usec, usec_units, ARRAY_SIZE(usec_units));
    return buf;
}
