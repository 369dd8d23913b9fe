/* Values as they would be written in a file: exactly, so that what is read back is the same. No heap: the
 * loop compares two configurations with it. */
#include <inttypes.h>
#include <string.h>

#include "base/units.h"
#include "config/values.h"
#include "model/config.h"

struct exact_unit {
    const char *name;
    uint64_t factor; /* descending */
};

static const struct exact_unit byte_units[] = {
    {"T", GIB << 10}, {"G", GIB}, {"M", MIB}, {"K", KIB}, {"B", 1},
};
static const struct exact_unit usec_units[] = {
    {"d", 86400 * USEC_PER_SEC}, {"h", 3600 * USEC_PER_SEC}, {"min", 60 * USEC_PER_SEC},
    {"s", USEC_PER_SEC},         {"ms", USEC_PER_MSEC},      {"us", 1},
};

/* In the largest unit of which it is a multiple; the last unit is 1. */
static void append_exact(struct buffer *b, uint64_t value, const struct exact_unit *units)
{
    while (value % units->factor != 0)
        units++;
    if (value == 0)
        buffer_append(b, "0");
    else
        buffer_appendf(b, "%" PRIu64 "%s", value / units->factor, units->name);
}

bool value_format_boolean(const struct key *key _unused_, const void *source, struct buffer *b)
{
    buffer_append(b, *(const bool *)source ? "yes" : "no");
    return true;
}

static void append_choice(const struct key *key, unsigned value, struct buffer *b)
{
    for (const struct choice *c = key->choices; c->word; c++)
        if (c->value == value) {
            buffer_append(b, c->word);
            return;
        }
}

bool value_format_choice(const struct key *key, const void *source, struct buffer *b)
{
    unsigned value = *(const unsigned *)source;

    append_choice(key, value, b);
    return key->unset == 0 || value != key->unset - 1;
}

bool value_format_access(const struct key *key, const void *source, struct buffer *b)
{
    append_choice(key, *(const bool *)source, b);
    return true;
}

bool value_format_count(const struct key *key, const void *source, struct buffer *b)
{
    unsigned n = *(const unsigned *)source;

    buffer_appendf(b, "%u", n);
    return key->unset == 0 || n != key->unset - 1;
}

bool value_format_duration(const struct key *key _unused_, const void *source, struct buffer *b)
{
    append_exact(b, *(const uint64_t *)source, usec_units);
    return true;
}

bool value_format_amount(const struct key *key, const void *source, struct buffer *b)
{
    const struct amount *a = source;

    switch (a->kind) {
    case AMOUNT_UNSET:
        return key->empty_allowed;
    case AMOUNT_AUTO:
        buffer_append(b, "auto");
        break;
    case AMOUNT_BYTES:
        append_exact(b, a->value, byte_units);
        break;
    case AMOUNT_PERMYRIAD:
        buffer_appendf(b, "%" PRIu64, a->value / 100);
        if (a->value % 100 != 0)
            buffer_appendf(b, ".%02u", (unsigned)(a->value % 100));
        buffer_append(b, "%");
        break;
    }
    return true;
}

bool value_format_factor(const struct key *key _unused_, const void *source, struct buffer *b)
{
    unsigned permyriad = *(const unsigned *)source, rest = permyriad % PERMYRIAD, digits = 4;

    buffer_appendf(b, "%u", permyriad / (unsigned)PERMYRIAD);
    for (; rest > 0 && rest % 10 == 0; digits--)
        rest /= 10;
    if (rest > 0)
        buffer_appendf(b, ".%0*u", (int)digits, rest);
    return true;
}

bool value_format_offload_ratio(const struct key *key, const void *source, struct buffer *b)
{
    if (*(const unsigned *)source != CONFIG_OFFLOAD_ADAPTIVE)
        return value_format_factor(key, source, b);
    buffer_append(b, "adaptive");
    return true;
}

bool value_format_byte_rate(const struct key *key _unused_, const void *source, struct buffer *b)
{
    if (*(const uint64_t *)source == UINT64_MAX)
        buffer_append(b, "max");
    else
        append_exact(b, *(const uint64_t *)source, byte_units);
    return true;
}

bool value_format_pressure(const struct key *key _unused_, const void *source, struct buffer *b)
{
    const struct monitor_config *m = source;

    if (!m->pressure) {
        buffer_append(b, "off");
        return true;
    }
    buffer_append(b, m->pressure_full ? "full " : "some ");
    append_exact(b, m->pressure_stall_usec, usec_units);
    buffer_append(b, " ");
    append_exact(b, m->pressure_window_usec, usec_units);
    return true;
}

bool value_format_actions(const struct key *key, const void *source, struct buffer *b)
{
    unsigned actions = *(const unsigned *)source;
    const char *between = "";

    for (const struct choice *c = key->choices; c->word; c++) {
        if (!(actions & ACTION_BIT(c->value)))
            continue;
        buffer_appendf(b, "%s%s", between, c->word);
        between = " ";
    }
    return true;
}

static void append_paths(struct buffer *b, const char (*paths)[CONFIG_PATH_MAX], unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        buffer_appendf(b, "%s%s", i > 0 ? " " : "", paths[i]);
}

bool value_format_workload(const struct key *key _unused_, const void *source, struct buffer *b)
{
    const struct config *c = source;

    if (c->workload_auto)
        buffer_append(b, "auto");
    else
        append_paths(b, c->workload, c->workload_count);
    return true;
}

bool value_format_protect(const struct key *key _unused_, const void *source, struct buffer *b)
{
    const struct config *c = source;

    append_paths(b, c->protect, c->protect_count);
    return true;
}

bool value_format_match(const struct key *key _unused_, const void *source, struct buffer *b)
{
    const struct class_config *c = source;

    append_paths(b, c->match, c->match_count);
    return c->match_count > 0;
}

bool value_format_command(const struct key *key _unused_, const void *source, struct buffer *b)
{
    const char *patterns = source;

    buffer_append(b, patterns);
    return patterns[0] != '\0';
}

bool value_format_hook(const struct key *key _unused_, const void *source, struct buffer *b)
{
    const char *command = source;

    buffer_append(b, command);
    return command[0] != '\0';
}

bool value_format_groups(const struct key *key _unused_, const void *source, struct buffer *b)
{
    const struct class_config *c = source;

    for (unsigned i = 0; i < c->allow_count; i++)
        buffer_appendf(b, "%s%" PRIu32, i > 0 ? " " : "", c->allow_gid[i]);
    return true;
}

bool value_format_user(const struct key *key _unused_, const void *source, struct buffer *b)
{
    const struct class_config *c = source;

    if (c->match_user)
        buffer_appendf(b, "%" PRIu32, c->match_uid);
    return c->match_user;
}

bool key_format(const struct key *key, const void *structure, struct buffer *b)
{
    return !key->unstored && key->format(key, (const char *)structure + key->offset, b);
}

static void append_words(struct buffer *b, const struct choice *choices)
{
    for (const struct choice *c = choices; c->word; c++)
        buffer_appendf(b, "%s%s", c == choices ? "" : c[1].word ? ", " : " or ", c->word);
}

void key_format_form(const struct key *key, struct buffer *b)
{
    if (key->form) {
        buffer_append(b, key->form);
    } else if (key->choices) {
        append_words(b, key->choices);
    } else if (key->format == value_format_boolean) {
        buffer_append(b, "yes or no");
    } else if (key->format == value_format_count) {
        buffer_appendf(b, "a number from %u to %u", (unsigned)key->min, (unsigned)key->max);
    } else if (key->format == value_format_duration) {
        buffer_append(b, "a time from ");
        append_exact(b, key->min, usec_units);
        buffer_append(b, " to ");
        append_exact(b, key->max, usec_units);
    } else {
        buffer_appendf(b, "%sa size or %% of %s%s", key->auto_allowed ? "auto, " : "",
                       key->of ? key->of : "memory", key->empty_allowed ? ", or empty" : "");
    }
}
