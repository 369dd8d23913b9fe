/* Matching walks pattern and path together and remembers only the last `*`. That is enough: where two stars
 * stand in one component, a match that the later one can be part of never needs the earlier one to take more,
 * so nothing is tried twice from an older star and hostile patterns (a*a*a*a*b) cost at most pattern × path
 * steps, never more. A star that would have to swallow a '/' fails for good, for the same reason.
 *
 * fnmatch(3) is not used: it depends on the locale, treats `[` and `\` as special (systemd's unit names are
 * full of
 * `\x2d`), and backtracks over every star. */
#include "base/pattern.h"

#include <stddef.h>

/* The byte after the character at `at`. Names of cgroups are bytes; those that look like UTF-8 count as one
 * character, so that `?` means what its writer saw. */
static const char *character_next(const char *at)
{
    unsigned char first = (unsigned char)*at++;

    if (first >= 0xc0)
        while (((unsigned char)*at & 0xc0) == 0x80)
            at++;
    return at;
}

bool pattern_match(const char *pattern, const char *path)
{
    const char *star = NULL;     /* behind the last star of this component */
    const char *star_end = NULL; /* where what it takes ends */

    for (;;) {
        if (*pattern == '*') {
            star = ++pattern;
            star_end = path;
        } else if (*path != '\0' && *path != '/' && *pattern == '?') {
            pattern++;
            path = character_next(path);
        } else if (*path != '\0' && *pattern == *path) {
            if (*path == '/')
                star = NULL;
            pattern++;
            path++;
        } else if (*path == '\0' && *pattern == '\0') {
            return true;
        } else {
            if (!star || *star_end == '\0' || *star_end == '/')
                return false;
            star_end = character_next(star_end);
            pattern = star;
            path = star_end;
        }
    }
}
