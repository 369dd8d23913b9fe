#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

_Noreturn void fail(const char *format, ...)
{
    va_list arguments;

    fputs("load: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

_Noreturn void fail_errno(const char *format, ...)
{
    int error = errno;
    va_list arguments;

    fputs("load: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, ": %s\n", strerror(error));
    exit(2);
}

/* A decimal number with up to six digits after the point, scaled by `unit`, without floating point. */
static bool parse_scaled(const char *digits, size_t length, uint64_t unit, uint64_t *ret)
{
    uint64_t whole = 0, fraction = 0, fraction_unit = 1;
    bool after_point = false, any = false;

    for (size_t i = 0; i < length; i++) {
        if (digits[i] == '.' && !after_point) {
            after_point = true;
            continue;
        }
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        any = true;
        uint64_t digit = (uint64_t)(digits[i] - '0');
        if (!after_point) {
            if (__builtin_mul_overflow(whole, 10u, &whole) || __builtin_add_overflow(whole, digit, &whole))
                return false;
        } else if (fraction_unit < 1000000) {
            fraction = fraction * 10 + digit;
            fraction_unit *= 10;
        }
    }
    if (!any || __builtin_mul_overflow(whole, unit, &whole))
        return false;
    return !__builtin_add_overflow(whole, (uint64_t)((unsigned __int128)fraction * unit / fraction_unit),
                                   ret);
}

struct suffix {
    const char *text;
    uint64_t unit;
};

static bool parse_with_suffix(const char *text, const struct suffix *suffixes, size_t count, uint64_t *ret)
{
    size_t length = strspn(text, "0123456789.");

    for (size_t i = 0; i < count; i++)
        if (strcmp(text + length, suffixes[i].text) == 0)
            return parse_scaled(text, length, suffixes[i].unit, ret);
    return false;
}

bool parse_bytes(const char *text, uint64_t *ret_bytes)
{
    static const struct suffix suffixes[] = {
        {"", 1},
        {"K", UINT64_C(1) << 10},
        {"M", UINT64_C(1) << 20},
        {"G", UINT64_C(1) << 30},
        {"T", UINT64_C(1) << 40},
    };

    return parse_with_suffix(text, suffixes, sizeof(suffixes) / sizeof(suffixes[0]), ret_bytes);
}

bool parse_duration(const char *text, uint64_t *ret_usec)
{
    static const struct suffix suffixes[] = {
        {"", USEC_PER_SEC}, {"us", 1}, {"ms", 1000}, {"s", USEC_PER_SEC}, {"min", 60 * USEC_PER_SEC},
    };

    return parse_with_suffix(text, suffixes, sizeof(suffixes) / sizeof(suffixes[0]), ret_usec);
}

static void parse_value(const char *command, const struct option_spec *spec, const char *text)
{
    bool valid = true;

    switch (spec->kind) {
    case OPTION_FLAG:
        break;
    case OPTION_COUNT:
        valid = parse_scaled(text, strlen(text), 1, spec->value) && !strchr(text, '.');
        break;
    case OPTION_BYTES:
        valid = parse_bytes(text, spec->value);
        break;
    case OPTION_DURATION:
        valid = parse_duration(text, spec->value);
        break;
    case OPTION_RATE:
        if (strcmp(text, "max") == 0)
            *(uint64_t *)spec->value = RATE_MAX;
        else
            valid = parse_bytes(text, spec->value) && *(uint64_t *)spec->value > 0;
        break;
    case OPTION_TEXT:
        *(const char **)spec->value = text;
        break;
    case OPTION_LIST: {
        struct text_list *list = spec->value;

        if (list->count == sizeof(list->items) / sizeof(list->items[0]))
            fail("%s: --%s given too often", command, spec->name);
        list->items[list->count++] = text;
        break;
    }
    }
    if (!valid)
        fail("%s: --%s: '%s' is not a valid value", command, spec->name, text);
}

static const struct option_spec *option_find(const struct option_spec *specs, size_t count, const char *name,
                                             size_t length)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(specs[i].name) == length && strncmp(specs[i].name, name, length) == 0)
            return &specs[i];
    return NULL;
}

static void options_check_required(const char *command, const struct option_spec *specs, size_t count,
                                   const bool *given)
{
    for (size_t i = 0; i < count; i++)
        if (specs[i].required && !given[i])
            fail("%s: --%s is missing; see load --help", command, specs[i].name);
}

int options_parse(const char *command, int argc, char **argv, const struct option_spec *specs, size_t count)
{
    bool given[32] = {false};
    int i;

    if (count > sizeof(given) / sizeof(given[0]))
        fail("%s: more options than options_parse was built for", command);
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (strncmp(argv[i], "--", 2) != 0)
            break;
        const char *name = argv[i] + 2;
        size_t length = strcspn(name, "=");
        const struct option_spec *spec = option_find(specs, count, name, length);

        if (!spec)
            fail("%s: unknown option '%s'; see load --help", command, argv[i]);
        given[spec - specs] = true;
        if (spec->kind == OPTION_FLAG)
            *(bool *)spec->value = true;
        else if (name[length] == '=')
            parse_value(command, spec, name + length + 1);
        else if (i + 1 < argc)
            parse_value(command, spec, argv[++i]);
        else
            fail("%s: --%s needs a value", command, spec->name);
    }
    options_check_required(command, specs, count, given);
    return i;
}
