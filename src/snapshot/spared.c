#include "snapshot/spared.h"

#include <string.h>

bool spared_is_login(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = strlen(name);

    if (strcmp(name, "init.scope") == 0)
        return true;
    return strncmp(name, "session-", 8) == 0 && n > 6 && strcmp(name + n - 6, ".scope") == 0;
}

bool spared_is_protected(const struct snapshot_reader *r, const char *path)
{
    for (unsigned i = 0; i < r->config->protect_count; i++)
        if (cgroup_path_is_below(path, r->config->protect[i]))
            return true;
    return false;
}

bool spared_is_inside(const struct snapshot_reader *r, const char *path)
{
    for (unsigned i = 0; i < r->config->protect_count; i++)
        if (cgroup_path_is_below(r->config->protect[i], path))
            return true;
    return cgroup_path_is_below(r->own_path, path);
}
