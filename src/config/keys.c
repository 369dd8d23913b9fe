/* A key that is not in the table does not exist. To add one: a row, a field in model/config.h, its default in
 * model/config.c, and a row in the tables of tests/unit/config/test_keys.c.
 *
 * Keys whose function comes with a later version are in the table already, are checked like the others and
 * give a warning, so that one file can serve nodes of different versions without being silently weaker on the
 * older ones. A value that asks for nothing (no, 0, empty) gives none: that is what this version does. */
#include "config/keys.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/buffer.h"
#include "base/units.h"
#include "config/values.h"
#include "model/config.h"

#define NODE_FIELD(field) .section = SECTION_NODE, .offset = offsetof(struct config, field)
#define MONITOR_FIELD(field) .section = SECTION_MONITOR, .offset = offsetof(struct monitor_config, field)
#define CLASS_FIELD(field) .section = SECTION_CLASS, .offset = offsetof(struct class_config, field)
#define LEVEL_FIELD(field) .section = SECTION_LEVEL, .offset = offsetof(struct level_config, field)
#define NAME_NEAR_MAX 32

static const struct choice modes[] = {{"auto", MODE_AUTO, false},
                                      {"isolate", MODE_ISOLATE, false},
                                      {"host", MODE_HOST, false},
                                      {NULL, 0, false}};
static const struct choice host_limits[] = {
    {"auto", HOST_LIMIT_AUTO, false}, {"ray", HOST_LIMIT_RAY, false}, {NULL, 0, false}};
static const struct choice accesses[] = {{"group", 0, false}, {"all", 1, false}, {NULL, 0, false}};
static const struct choice unit_kinds[] = {
    {"cgroup", UNIT_CGROUP, false}, {"process", UNIT_PROCESS, false}, {NULL, 0, false}};
static const struct choice qos_tiers[] = {{"guaranteed", QOS_GUARANTEED, false},
                                          {"burstable", QOS_BURSTABLE, false},
                                          {"besteffort", QOS_BESTEFFORT, false},
                                          {NULL, 0, false}};
static const struct choice actions[] = {{"notify", ACTION_NOTIFY, true},
                                        {"reclaim", ACTION_RECLAIM, false},
                                        {"pause", ACTION_PAUSE, false},
                                        {"kill", ACTION_KILL, false},
                                        {NULL, 0, false}};
/* An order that is not built yet gives the default one. */
static const struct choice orders[] = {{"newest", ORDER_NEWEST, false},
                                       {"least-progress", ORDER_LEAST_PROGRESS, false},
                                       {"oldest", ORDER_NEWEST, true},
                                       {"largest", ORDER_NEWEST, true},
                                       {"growth", ORDER_NEWEST, true},
                                       {"swap", ORDER_NEWEST, true},
                                       {"pressure", ORDER_NEWEST, true},
                                       {"over-request", ORDER_NEWEST, true},
                                       {"oom-score", ORDER_NEWEST, true},
                                       {"kubelet", ORDER_NEWEST, true},
                                       {"ray-time", ORDER_NEWEST, true},
                                       {"ray-group-by-owner", ORDER_NEWEST, true},
                                       {NULL, 0, false}};

#define MINUTE (60 * USEC_PER_SEC)
#define DAY (24 * 60 * MINUTE)
#define ALL_OF_IT PERMYRIAD
#define LESS_THAN_ALL (PERMYRIAD - 1)

static const struct key keys[] = {
    {"Mode", NODE_FIELD(mode), .parse = value_parse_choice, .choices = modes},
    {"Workload", .section = SECTION_NODE, .parse = value_parse_workload},
    {"Protect", .section = SECTION_NODE, .parse = value_parse_protect},
    {"SystemReserve", NODE_FIELD(system_reserve), .parse = value_parse_amount, .max = LESS_THAN_ALL,
     .auto_allowed = true},
    {"HostLimit", NODE_FIELD(host_limit), .parse = value_parse_choice, .choices = host_limits},
    {"MinFree", NODE_FIELD(min_free), .parse = value_parse_amount, .max = LESS_THAN_ALL},
    {"Observe", NODE_FIELD(observe), .parse = value_parse_boolean},
    {"MaxGroups", NODE_FIELD(max_groups), .parse = value_parse_count, .min = 1, .max = 100000},
    {"MaxClients", NODE_FIELD(max_clients), .parse = value_parse_count, .min = 1, .max = 100000,
     .later = true},
    {"StatusAccess", NODE_FIELD(status_access_all), .parse = value_parse_access, .choices = accesses},
    {"KillDeadline", NODE_FIELD(kill_deadline_usec), .parse = value_parse_duration,
     .min = 100 * USEC_PER_MSEC, .max = MINUTE},
    {"KillLimit", NODE_FIELD(kill_limit_per_minute), .parse = value_parse_count, .min = 1, .max = 1000},
    {"ThrottleDeadline", NODE_FIELD(throttle_deadline_usec), .parse = value_parse_duration,
     .min = USEC_PER_SEC, .max = 60 * MINUTE},
    {"NotifyGrace", NODE_FIELD(notify_grace_usec), .parse = value_parse_duration, .max = MINUTE,
     .later = true},
    {"NotifyWake", NODE_FIELD(notify_wake), .parse = value_parse_count, .min = 1, .max = 100000,
     .later = true},
    {"PreKill", NODE_FIELD(hooks[HOOK_PRE_KILL]), .parse = value_parse_hook},
    {"PostKill", NODE_FIELD(hooks[HOOK_POST_KILL]), .parse = value_parse_hook},
    {"OnLevel", NODE_FIELD(hooks[HOOK_ON_LEVEL]), .parse = value_parse_hook},
    {"HookTimeout", NODE_FIELD(hook_timeout_usec), .parse = value_parse_duration, .min = 10 * USEC_PER_MSEC,
     .max = MINUTE},
    {"MoveProcesses", .section = SECTION_NODE, .parse = value_parse_boolean, .unstored = true, .later = true},

    {"Pressure", .section = SECTION_MONITOR, .parse = value_parse_pressure},
    {"Event", MONITOR_FIELD(event), .parse = value_parse_boolean},
    {"Threshold", MONITOR_FIELD(threshold), .parse = value_parse_boolean},

    {"Match", .section = SECTION_CLASS, .parse = value_parse_match, .repeatable = true},
    {"Unit", CLASS_FIELD(unit), .parse = value_parse_choice, .choices = unit_kinds},
    {"MatchCommand", CLASS_FIELD(match_command), .parse = value_parse_command},
    {"MatchUser", .section = SECTION_CLASS, .parse = value_parse_user},
    {"Priority", CLASS_FIELD(priority), .parse = value_parse_count, .max = CONFIG_PRIORITY_PROTECTED},
    {"QoS", CLASS_FIELD(qos), .parse = value_parse_choice, .choices = qos_tiers, .later = true},
    {"Request", CLASS_FIELD(request), .parse = value_parse_amount, .max = ALL_OF_IT, .empty_allowed = true},
    {"Limit", CLASS_FIELD(limit), .parse = value_parse_amount, .min = 1, .max = ALL_OF_IT,
     .empty_allowed = true, .later = true},
    {"Retriable", CLASS_FIELD(retriable), .parse = value_parse_boolean},
    {"Actions", CLASS_FIELD(actions), .parse = value_parse_actions, .choices = actions},
    {"Order", CLASS_FIELD(order), .parse = value_parse_choice, .choices = orders},
    {"Offload", CLASS_FIELD(offload), .parse = value_parse_boolean, .later = true},
    {"TermGrace", CLASS_FIELD(term_grace_usec), .parse = value_parse_duration, .max = 60 * MINUTE},
    {"PauseLimit", CLASS_FIELD(pause_limit_usec), .parse = value_parse_duration, .min = USEC_PER_SEC,
     .max = 30 * DAY},
    {"MinRunning", CLASS_FIELD(min_running), .parse = value_parse_count, .max = 1000},

    {"Actions", LEVEL_FIELD(actions), .parse = value_parse_actions, .choices = actions},
    {"PriorityMax", LEVEL_FIELD(priority_max), .parse = value_parse_count,
     .max = CONFIG_PRIORITY_PROTECTED - 1},
};

_Static_assert(ARRAY_SIZE(keys) <= KEYS_MAX, "raise KEYS_MAX");

const char *section_title(enum section section)
{
    switch (section) {
    case SECTION_NODE:
        return "[Node]";
    case SECTION_MONITOR:
        return "[Monitor]";
    case SECTION_CLASS:
        return "[Class NAME]";
    case SECTION_LEVEL:
        return "[Level NAME]";
    case SECTION_NONE:
        break;
    }
    return "no section";
}

const struct key *key_find(enum section section, struct text name)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (keys[i].section == section && text_equal(name, keys[i].name))
            return &keys[i];
    return NULL;
}

unsigned key_index(const struct key *key)
{
    return (unsigned)(key - keys);
}

void key_set(const struct key *key, struct reader *reader, struct text value, void *structure)
{
    uint64_t nowhere;
    void *destination = key->unstored ? (void *)&nowhere : (void *)((char *)structure + key->offset);

    if (key->parse(key, reader, value, destination) < 0)
        return;
    if (key->later && value.length > 0 && !text_equal(value, "0") && value_boolean(value) != 0)
        value_warn_later(reader, key->name, value);
}

static struct text lower(struct text t, char storage[static NAME_NEAR_MAX])
{
    for (size_t i = 0; i < t.length; i++)
        storage[i] = t.at[i] >= 'A' && t.at[i] <= 'Z' ? (char)(t.at[i] + ('a' - 'A')) : t.at[i];
    return (struct text){storage, t.length};
}

bool name_is_near(struct text name, const char *valid, unsigned *ret_distance)
{
    char a[NAME_NEAR_MAX];
    char b[NAME_NEAR_MAX];
    struct text other = text_from(valid);
    unsigned distance;

    if (name.length > NAME_NEAR_MAX || other.length > NAME_NEAR_MAX)
        return false;
    distance = text_distance(lower(name, a), lower(other, b));
    /* A third of the letters, rounded up: so two exchanged ones of "Noed" still mean Node. */
    if (distance > ((name.length > other.length ? name.length : other.length) + 2) / 3)
        return false;
    *ret_distance = distance;
    return true;
}

/* The key of `section`, or, where that is SECTION_NONE, of any, that is nearest. */
static const struct key *key_find_near(enum section section, struct text name)
{
    const struct key *best = NULL;
    unsigned best_distance = UINT_MAX;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        unsigned distance;

        if (section != SECTION_NONE && keys[i].section != section)
            continue;
        if (!name_is_near(name, keys[i].name, &distance) || distance >= best_distance)
            continue;
        best = &keys[i];
        best_distance = distance;
    }
    return best;
}

/* "[Class NAME] or [Level NAME]": the sections that have the key; false: none has. */
static bool key_homes(struct text name, char *ret, size_t size)
{
    struct buffer b;

    buffer_init(&b, ret, size);
    for (enum section s = SECTION_NODE; s <= SECTION_LEVEL; s++)
        if (key_find(s, name))
            buffer_appendf(&b, "%s%s", b.length > 0 ? " or " : "", section_title(s));
    return b.length > 0;
}

void key_report_unknown(struct reader *reader, enum section section, struct text name)
{
    char shown[EXCERPT_MAX];
    char valid[256];
    struct buffer b;
    const struct key *near;

    excerpt(shown, name);
    if (key_homes(name, valid, sizeof(valid))) {
        if (section == SECTION_NONE)
            reader_error(reader, "%s= stands before the first section. Write %s above it.", shown, valid);
        else
            reader_error(reader, "%s= belongs to %s, not to %s. Move the line there.", shown, valid,
                         section_title(section));
        return;
    }
    near = key_find_near(section, name);
    if (!near)
        near = key_find_near(SECTION_NONE, name);
    if (near) {
        reader_error(reader, "%s= is no key of %s. Did you mean %s= of %s?", shown, section_title(section),
                     near->name, section_title(near->section));
        return;
    }
    if (section == SECTION_NONE) {
        reader_error(reader, "%s= is no key, and stands before the first section.", shown);
        return;
    }
    buffer_init(&b, valid, sizeof(valid));
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (keys[i].section == section)
            buffer_appendf(&b, "%s%s", b.length > 0 ? ", " : "", keys[i].name);
    reader_error(reader, "%s= is no key of %s. The keys there are %s.", shown, section_title(section), valid);
}
