#include "system/account.h"

#include <grp.h>

gid_t account_group_id(const char *name)
{
    const struct group *g = getgrnam(name);

    return g ? g->gr_gid : (gid_t)-1;
}
