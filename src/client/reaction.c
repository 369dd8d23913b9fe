/* What a program gives back, in order of what it costs to have it again. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/watch.h"

const char *headroom_level_get_name(enum headroom_level level)
{
    static const char *const names[] = {"calm", "low", "medium", "critical"};

    return (unsigned)level < sizeof(names) / sizeof(names[0]) ? names[level] : NULL;
}

void headroom_reaction_trim(void *user __attribute__((unused)),
                            enum headroom_level level __attribute__((unused)))
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

int headroom_watch_add_reaction(struct headroom_watch *w, enum headroom_level from, uint32_t cost,
                                headroom_reaction_fn fn, void *user)
{
    struct reaction *reactions;
    unsigned at;

    if (!fn || !headroom_level_get_name(from))
        return -EINVAL;
    if (atomic_load(&w->has_thread))
        return -EBUSY;
    reactions = reallocarray(w->reactions, w->reaction_count + 1, sizeof(*reactions));
    if (!reactions)
        return -ENOMEM;
    w->reactions = reactions;
    for (at = w->reaction_count; at > 0 && reactions[at - 1].cost > cost; at--)
        reactions[at] = reactions[at - 1];
    reactions[at] = (struct reaction){.from = from, .cost = cost, .fn = fn, .user = user};
    w->reaction_count++;
    return 0;
}

int headroom_watch_react(struct headroom_watch *w, enum headroom_level level)
{
    int n = 0;

    if (!headroom_level_get_name(level))
        return -EINVAL;
    /* A reaction may add another one, which moves the list. */
    for (unsigned i = 0; i < w->reaction_count; i++) {
        struct reaction reaction = w->reactions[i];

        if (level < reaction.from)
            continue;
        reaction.fn(reaction.user, level);
        n++;
    }
    return n;
}

int headroom_watch_dispatch(struct headroom_watch *w)
{
    enum headroom_level level;
    int r;

    r = headroom_watch_read(w, &level);
    if (r > 0)
        (void)headroom_watch_react(w, level);
    return r;
}
