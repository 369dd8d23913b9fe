#include "model/config.h"

#include <string.h>

#include "base/macros.h"
#include "base/pattern.h"
#include "base/units.h"

const char *mode_name(enum mode m)
{
    switch (m) {
    case MODE_AUTO:
        return "auto";
    case MODE_ISOLATE:
        return "isolate";
    case MODE_HOST:
        return "host";
    }
    return "unknown";
}

const char *action_name(enum action a)
{
    switch (a) {
    case ACTION_NOTIFY:
        return "notify";
    case ACTION_RECLAIM:
        return "reclaim";
    case ACTION_PAUSE:
        return "pause";
    case ACTION_KILL:
        return "kill";
    case ACTION_COUNT:
        break;
    }
    return "unknown";
}

const char *level_name(enum level l)
{
    static const char *const names[] = {"calm", "low", "medium", "critical"};

    return (size_t)l < ARRAY_SIZE(names) ? names[l] : "?";
}

const char *qos_name(enum qos q)
{
    static const char *const names[] = {"", "guaranteed", "burstable", "besteffort", "kubernetes"};

    return (size_t)q < ARRAY_SIZE(names) ? names[q] : "?";
}

uint64_t amount_bytes(const struct amount *a, uint64_t total_bytes, uint64_t if_unset)
{
    switch (a->kind) {
    case AMOUNT_BYTES:
        return a->value;
    case AMOUNT_PERMYRIAD:
        return u64_mul_div(total_bytes, a->value, PERMYRIAD);
    case AMOUNT_UNSET:
    case AMOUNT_AUTO:
        break;
    }
    return if_unset;
}

void class_config_init(struct class_config *c, const char *name)
{
    size_t length = strnlen(name, sizeof(c->name) - 1);

    /* All bytes of the storage are written: a configuration travels between processes as one block, and two
     * of the same content compare equal. */
    memset(c, 0, sizeof(*c));
    memcpy(c->name, name, length);
    c->priority = CONFIG_PRIORITY_DEFAULT;
    c->actions = ACTION_BIT(ACTION_NOTIFY) | ACTION_BIT(ACTION_RECLAIM) | ACTION_BIT(ACTION_KILL);
    c->unit = UNIT_CGROUP;
    c->qos = QOS_UNSET;
    c->zswap_writeback = true;
    c->throttle_permyriad = CONFIG_THROTTLE_DEFAULT_PERMYRIAD;
    c->swap_write_limit = UINT64_MAX;
    c->order = ORDER_LEAST_PROGRESS;
    c->pause_limit_usec = class_pause_limit_default_usec(c->retriable);
    c->offload_ratio_permyriad = CONFIG_OFFLOAD_RATIO_DEFAULT_PERMYRIAD;
    c->offload_threshold_permyriad = CONFIG_OFFLOAD_THRESHOLD_DEFAULT_PERMYRIAD;
    c->offload_interval_usec = class_offload_interval_default_usec(c->offload_ratio_permyriad);
}

uint64_t class_pause_limit_default_usec(bool retriable)
{
    return (retriable ? 300 : 30) * USEC_PER_SEC;
}

uint64_t class_offload_interval_default_usec(unsigned ratio_permyriad)
{
    return (ratio_permyriad == CONFIG_OFFLOAD_ADAPTIVE ? 1 : 6) * USEC_PER_SEC;
}

void config_init_defaults(struct config *c)
{
    static const char *const protect[] = {"system.slice", "init.scope"};

    memset(c, 0, sizeof(*c));
    c->mode = MODE_AUTO;
    c->workload_auto = true;
    for (size_t i = 0; i < ARRAY_SIZE(protect); i++)
        memcpy(c->protect[c->protect_count++], protect[i], strlen(protect[i]) + 1);
    c->system_reserve.kind = AMOUNT_AUTO;
    c->host_limit = HOST_LIMIT_AUTO;
    c->min_free.kind = AMOUNT_UNSET;
    c->max_groups = 1024;
    c->max_clients = 1024;
    c->kill_deadline_usec = 2 * USEC_PER_SEC;
    c->kill_limit_per_minute = 10;
    c->throttle_deadline_usec = 10 * USEC_PER_SEC;
    c->notify_grace_usec = 500 * USEC_PER_MSEC;
    c->notify_wake = 16;
    c->hook_timeout_usec = USEC_PER_SEC;
    c->swap_write_limit = MIB;
    c->monitor.event = true;
    c->monitor.threshold = true;
    c->monitor.pressure = true;
    c->monitor.pressure_stall_usec = 150 * USEC_PER_MSEC;
    c->monitor.pressure_window_usec = USEC_PER_SEC;
    /* Android's order: warn all, then the background, the foreground last. */
    c->levels[LEVEL_LOW] = (struct level_config){ACTION_BIT(ACTION_NOTIFY), CONFIG_PRIORITY_PROTECTED - 1};
    c->levels[LEVEL_MEDIUM] = (struct level_config){ACTION_BIT(ACTION_NOTIFY) | ACTION_BIT(ACTION_RECLAIM) |
                                                        ACTION_BIT(ACTION_PAUSE),
                                                    CONFIG_PRIORITY_DEFAULT};
    c->levels[LEVEL_CRITICAL] =
        (struct level_config){(1U << ACTION_COUNT) - 1, CONFIG_PRIORITY_PROTECTED - 1};
    class_config_init(&c->classes[0], CONFIG_CLASS_OTHER);
    c->class_count = 1;
}

unsigned config_class_of(const struct config *c, const char *path)
{
    for (unsigned i = 0; i + 1 < c->class_count; i++)
        for (unsigned j = 0; j < c->classes[i].match_count; j++)
            if (pattern_match(c->classes[i].match[j], path))
                return i;
    return c->class_count - 1;
}

unsigned config_class_around(const struct config *c, const char *path)
{
    char part[CONFIG_PATH_MAX];
    size_t n = strnlen(path, sizeof(part) - 1);

    memcpy(part, path, n);
    for (;;) {
        unsigned i;

        part[n] = 0;
        i = config_class_of(c, part);
        if (i + 1 < c->class_count || n == 0)
            return i;
        while (n > 0 && part[--n] != '/')
            ;
    }
}

const struct pod_config *config_pod(const struct config *c, const char *uid)
{
    unsigned low = 0, high = c->pod_count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int r = strcmp(uid, c->pods[middle].uid);

        if (r == 0)
            return &c->pods[middle];
        if (r < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
