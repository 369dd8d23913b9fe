/* A key that is not in the table does not exist. To add one: a row, a field in model/config.h, its default in
 * model/config.c, a row in the tables of tests/unit/config/test_keys.c, and docs/keys.md made anew by
 * tests/tools/keys-page. What people read about a key (`headroom config keys`, that page) comes from here.
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
                                          {"kubernetes", QOS_KUBERNETES, false},
                                          {NULL, 0, false}};
static const struct choice kubelet_knobs[] = {
    {"leave", KUBELET_KNOBS_LEAVE, false}, {"set", KUBELET_KNOBS_SET, false}, {NULL, 0, false}};
static const struct choice drifts[] = {
    {"reapply", DRIFT_REAPPLY, false}, {"yield", DRIFT_YIELD, false}, {NULL, 0, false}};
static const struct choice actions[] = {{"notify", ACTION_NOTIFY, false},
                                        {"reclaim", ACTION_RECLAIM, false},
                                        {"pause", ACTION_PAUSE, false},
                                        {"kill", ACTION_KILL, false},
                                        {NULL, 0, false}};
/* An order that is not built yet gives the default one. */
static const struct choice orders[] = {{"newest", ORDER_NEWEST, false},
                                       {"least-progress", ORDER_LEAST_PROGRESS, false},
                                       {"oldest", ORDER_OLDEST, false},
                                       {"largest", ORDER_LARGEST, false},
                                       {"growth", ORDER_GROWTH, false},
                                       {"swap", ORDER_SWAP, false},
                                       {"over-request", ORDER_OVER_REQUEST, false},
                                       {"kubelet", ORDER_KUBELET, false},
                                       {"pressure", ORDER_NEWEST, true},
                                       {"oom-score", ORDER_NEWEST, true},
                                       {"ray-time", ORDER_NEWEST, true},
                                       {"ray-group-by-owner", ORDER_NEWEST, true},
                                       {NULL, 0, false}};

#define MINUTE (60 * USEC_PER_SEC)
#define DAY (24 * 60 * MINUTE)
#define ALL_OF_IT PERMYRIAD
#define LESS_THAN_ALL (PERMYRIAD - 1)

#define KIND(kind) .parse = value_parse_##kind, .format = value_format_##kind

static const struct key keys[] = {
    {"Mode", NODE_FIELD(mode), KIND(choice), .choices = modes,
     .help = "How the node is guarded: isolate limits the workload by its cgroup, host watches the node and "
             "limits nothing; auto is isolate where that is possible, so that one file serves all machines."},
    {"Workload", .section = SECTION_NODE, KIND(workload), .form = "auto, or at most 8 paths",
     .help = "The subtrees of work that are guarded, relative to the hierarchy's root. auto: those of "
             "kubepods.slice, kubepods, workload.slice, user.slice and machine.slice that hold processes, "
             "and those "
             "that come to do so later."},
    {"Protect", .section = SECTION_NODE, KIND(protect), .form = "at most 8 paths, or empty",
     .help = "Subtrees that get memory.low, so that reclaim spares them, and of which nothing is ever "
             "touched. The default is what a node cannot do without."},
    {"SystemReserve", NODE_FIELD(system_reserve), KIND(amount), .max = LESS_THAN_ALL, .auto_allowed = true,
     .help = "What the workload may never have. auto: 10 % of memory, at least 512M and at most 10G, and no "
             "more than a quarter: what a system with its daemons takes on most nodes."},
    {"HostLimit", NODE_FIELD(host_limit), KIND(choice), .choices = host_limits,
     .help = "In mode host, how much of the memory may be in use. auto: all but 5 % (128M to 4G); ray: 95 %, "
             "or all but MinFree where that is more, as Ray's own monitor counts."},
    {"MinFree", NODE_FIELD(min_free), KIND(amount), .max = LESS_THAN_ALL,
     .help = "With HostLimit=ray, what stays free at least. Not set: 5 % alone decides."},
    {"Observe", NODE_FIELD(observe), KIND(boolean), .restart = true,
     .help = "Decide and record, but write and signal nothing, as with --dry-run."},
    {"MaxGroups", NODE_FIELD(max_groups), KIND(count), .min = 1, .max = 100000, .restart = true,
     .help =
         "How many groups are looked at; those beyond are counted and reported. Their storage is taken at "
         "the start, since nothing is allocated when memory is short."},
    {"MaxClients", NODE_FIELD(max_clients), KIND(count), .min = 1, .max = 100000, .restart = true,
     .help =
         "How many programs may ask to be told of pressure, all users together: once that many do, who has "
         "most makes room for others. Each takes a descriptor (LimitNOFILE= of the service)."},
    {"StatusAccess", NODE_FIELD(status_access_all), KIND(access), .choices = accesses,
     .help = "Who may read the status: group is root and the group headroom, all is everybody. Names of "
             "groups and commands are nobody else's business by default."},
    {"KillDeadline", NODE_FIELD(kill_deadline_usec), KIND(duration), .min = 100 * USEC_PER_MSEC,
     .max = MINUTE,
     .help = "A victim that is not gone by then is recorded as stuck, and the next one is looked for. An "
             "exit takes milliseconds, unless it hangs in the kernel."},
    {"KillLimit", NODE_FIELD(kill_limit_per_minute), KIND(count), .min = 1, .max = 1000,
     .help = "Kills a minute; beyond it one is taken only when half of the margin is gone. More than that "
             "rarely helps, and would be a storm of retries."},
    {"ThrottleDeadline", NODE_FIELD(throttle_deadline_usec), KIND(duration), .min = USEC_PER_SEC,
     .max = 60 * MINUTE,
     .help = "A stall of the whole workload that lasts this long pauses the newest, though nothing is "
             "needed; of a group at the memory.high that QoS= has given to it, it raises that: nobody is "
             "throttled for ever."},
    {"NotifyGrace", NODE_FIELD(notify_grace_usec), KIND(duration), .max = MINUTE,
     .help = "How long programs that were asked to give memory back are waited for, before anything less "
             "gentle is done; less where there is less time. 0: they are told and not waited for."},
    {"NotifyWake", NODE_FIELD(notify_wake), KIND(count), .min = 1, .max = 256,
     .help = "How many programs are asked at a time; all at once would need memory to give it back. Half of "
             "them are those that gave most before, the others take turns."},
    {"PreKill", NODE_FIELD(hooks[HOOK_PRE_KILL]), KIND(hook), .form = "an absolute path and words, or empty",
     .help = "Told of each victim when it is chosen; the kill does not wait for it. No shell: what is needed "
             "is in "
             "the environment."},
    {"PostKill", NODE_FIELD(hooks[HOOK_POST_KILL]), KIND(hook),
     .form = "an absolute path and words, or empty",
     .help = "Told of each victim when it is gone or given up, with what came of it."},
    {"OnLevel", NODE_FIELD(hooks[HOOK_ON_LEVEL]), KIND(hook), .form = "an absolute path and words, or empty",
     .help = "Told when the level changes (calm, low, medium, critical)."},
    {"HookTimeout", NODE_FIELD(hook_timeout_usec), KIND(duration), .min = 10 * USEC_PER_MSEC, .max = MINUTE,
     .help = "A hook that takes longer is killed with its children. Short, since the next one waits for it."},
    {"SwapWriteLimit", NODE_FIELD(swap_write_limit), KIND(byte_rate), .max = UINT64_C(1) << 40,
     .form = "max, or a size, which is that much a second",
     .help = "What Offload= may write to swap devices, by anybody's writes: they wear out. zram is no "
             "device. 0 leaves only page cache, and zswap for groups whose memory.zswap.writeback is 0 "
             "(ZswapWriteback=no). The default is what was found good for years on SSDs."},
    {"KubeletKnobs", NODE_FIELD(kubelet_knobs), KIND(choice), .choices = kubelet_knobs,
     .help =
         "Whether QoS= may set memory.min and memory.low of kubepods, its tiers and its pods, which are the "
         "kubelet's: it may write them anew each minute, so by default they are left to it."},
    {"Drift", NODE_FIELD(drift), KIND(choice), .choices = drifts,
     .help =
         "What headroomd does when somebody else sets a knob that it keeps for QoS=. reapply: it sets the "
         "value again, once, and then leaves it to him; yield: it leaves it at once. Never a fight: both "
         "would "
         "only lose to each other. Tighter values are left in any case."},
    {"PodFile", NODE_FIELD(pod_file), .parse = value_parse_file, .format = value_format_hook,
     .form = "an absolute path, or empty",
     .help =
         "What Kubernetes does not tell a node of its pods: a line for each with its uid, a priority (0 to "
         "1000, as of a class) and a request (a size), - for what is left as it is. Followed as it changes; "
         "it and its directory root's alone."},
    {"MoveProcesses", .section = SECTION_NODE, KIND(boolean), .unstored = true, .later = true,
     .help = "In a container, move processes out of the hierarchy's root so that it can be divided."},

    {"Pressure", .section = SECTION_MONITOR, KIND(pressure),
     .form = "off, or some or full, a stall and a window (50ms to 10s)",
     .help =
         "Wake when tasks have stalled on memory for this long within the window. The default is more than "
         "ordinary reclaim costs, and little enough to be in time; short windows need CAP_SYS_RESOURCE."},
    {"Event", MONITOR_FIELD(event), KIND(boolean),
     .help = "Wake when the workload reaches memory.high or memory.max (memory.events)."},
    {"Threshold", MONITOR_FIELD(threshold), KIND(boolean),
     .help = "Look by a timer: once a second, and more often the sooner memory could be full."},

    {"Match", .section = SECTION_CLASS, KIND(match), .repeatable = true,
     .standard = "none: it has to be given", .form = "patterns of paths; may be repeated, at most 16 a class",
     .help = "Groups of the class, relative to the hierarchy's root. * does not cross a /; the first class "
             "that matches wins. The lines of one file make one list, which those of a later file replace."},
    {"Unit", CLASS_FIELD(unit), KIND(choice), .choices = unit_kinds,
     .help = "What is one group: a cgroup with all below it, or each process in it."},
    {"MatchCommand", CLASS_FIELD(match_command), KIND(command), .form = "patterns of commands",
     .help = "With Unit=process, only processes of these commands. Not set: any."},
    {"MatchUser", .section = SECTION_CLASS, KIND(user), .form = "a user, by name or number",
     .help = "With Unit=process, only processes of this user. Not set: anybody's."},
    {"AllowGroup", .section = SECTION_CLASS, KIND(groups), .form = "at most 8 groups of users, or empty",
     .help = "Whose members may run work in the class by `headroom run`, by name or number. Root always may. "
             "Empty: nobody else, since what is run there counts as what the class was made for."},
    {"Priority", CLASS_FIELD(priority), KIND(count), .max = CONFIG_PRIORITY_PROTECTED,
     .help = "Lower is given up first; 1000 is protected. The default leaves room on both sides."},
    {"QoS", CLASS_FIELD(qos), KIND(choice), .choices = qos_tiers, .unset = QOS_UNSET + 1,
     .help =
         "The tier of the class, from which `headroom qos` takes memory.min, low, high and swap.max of its "
         "groups. kubernetes: that of the pod, which its path tells. Not set: nothing of the kind is set."},
    {"Request", CLASS_FIELD(request), KIND(amount), .max = ALL_OF_IT, .empty_allowed = true,
     .help = "What a group of the class is to have: those that hold more go before those that do not, and "
             "are expected to grow up to it. Empty: what groups of the class have come to is learned."},
    {"Limit", CLASS_FIELD(limit), KIND(amount), .min = 1, .max = ALL_OF_IT, .empty_allowed = true,
     .help = "What a group of the class may have at most: its memory.max, with QoS=. Empty: no more than all "
             "may."},
    {"ThrottleFactor", CLASS_FIELD(throttle_permyriad), KIND(factor), .form = "a factor from 0 to 1",
     .help =
         "With QoS=, where memory.high stands between request and limit; 0 sets none. The default is that "
         "of Kubernetes' memory QoS."},
    {"SwapMax", CLASS_FIELD(swap_max), KIND(amount), .max = ALL_OF_IT, .empty_allowed = true, .of = "swap",
     .help =
         "With QoS=, how much swap a group may take. Empty: by its tier; burstable gets the share of swap "
         "that its request is of memory, the others none."},
    {"SwapWriteLimit", CLASS_FIELD(swap_write_limit), KIND(byte_rate), .max = UINT64_C(1) << 40,
     .form = "max, or a size, which is that much a second",
     .help =
         "With QoS=, what the groups of the class together may write to swap devices, whoever makes them: "
         "their memory.swap.max is moved up no faster, so that short memory does not wear devices out or "
         "slow down who shares them. What zswap or zram keeps is not written. The default is no limit, since "
         "who may not swap stands at his limit, or is killed."},
    {"OomGroup", CLASS_FIELD(oom_group), KIND(boolean), .standard = "yes where Retriable=yes, else no",
     .help =
         "With QoS=, that the kernel's killer takes a group whole: half a task is worth nothing where the "
         "whole is run again."},
    {"ZswapWriteback", CLASS_FIELD(zswap_writeback), KIND(boolean),
     .help =
         "With QoS=, whether memory that zswap keeps, or does not take, may be written to disk "
         "(memory.zswap.writeback). no: a group's cold memory is kept compressed or stays. Kernels before "
         "6.8 have no such file, and `headroom qos plan` says so."},
    {"CpuWeight", CLASS_FIELD(cpu_weight), KIND(count), .min = 1, .max = 10000, .unset = 1,
     .help = "With QoS=, the cpu.weight of a group. Not set: it is left as it is."},
    {"Retriable", CLASS_FIELD(retriable), KIND(boolean),
     .help = "Somebody starts again what was killed, so it goes before others of the same priority."},
    {"Actions", CLASS_FIELD(actions), KIND(actions),
     .form = "a set of notify, reclaim, pause, kill; or empty", .choices = actions,
     .help = "What may be done to the class; the gentlest that is enough is taken, whatever the order here. "
             "Pausing holds work up that others may wait for, so it has to be asked for."},
    {"Order", CLASS_FIELD(order), KIND(choice), .choices = orders,
     .help = "Who of one tier is killed first. least-progress loses the least work; killing the largest "
             "kills the most advanced, and under retries nothing finishes."},
    {"Offload", CLASS_FIELD(offload), KIND(boolean),
     .help = "Push out memory that is not used while all is calm, to swap, zswap, or from the page cache. "
             "What it costs is wear of the swap device and now and then a page that has to be read back, so "
             "it has to be asked for."},
    {"OffloadRatio", CLASS_FIELD(offload_ratio_permyriad), KIND(offload_ratio), .min = 1, .max = 100,
     .form = "adaptive, or a factor from 0.0001 to 0.01",
     .help = "With Offload=yes, what share of a group is pushed out each interval. The default is that of "
             "TMO, a quarter of it an hour; adaptive is faster for as long as nothing is felt, and stops "
             "where it is."},
    {"OffloadInterval", CLASS_FIELD(offload_interval_usec), KIND(duration), .min = USEC_PER_SEC,
     .max = 60 * MINUTE, .standard = "6s, or 1s where OffloadRatio=adaptive",
     .help = "With Offload=yes, how often a group gives something. A second is how often headroomd wakes "
             "anyway."},
    {"OffloadThreshold", CLASS_FIELD(offload_threshold_permyriad), KIND(factor), .min = 1, .max = ALL_OF_IT,
     .form = "a factor from 0.0001 to 1, as 0.001 or 0.1%",
     .help = "With Offload=yes, how much of the time a group may wait for memory or for block devices "
             "before nothing more is taken from it. The default is that of TMO."},
    {"TermGrace", CLASS_FIELD(term_grace_usec), KIND(duration), .max = 60 * MINUTE,
     .help = "Time between SIGTERM and SIGKILL. 0: SIGKILL at once, since an exit handler needs memory when "
             "there is none."},
    {"PauseLimit", CLASS_FIELD(pause_limit_usec), KIND(duration), .min = USEC_PER_SEC, .max = 30 * DAY,
     .standard = "5min where Retriable=yes, else 30s",
     .help = "How long one group stays paused at most. Work that nobody would retry is held up only briefly, "
             "because somebody waits for it."},
    {"MinRunning", CLASS_FIELD(min_running), KIND(count), .max = 1000,
     .help = "This many groups of the class are never paused. The last running group of all never is."},

    {"Actions", LEVEL_FIELD(actions), KIND(actions),
     .form = "a set of notify, reclaim, pause, kill; or empty", .choices = actions,
     .standard = "low: notify; medium: notify reclaim pause; critical: notify reclaim pause kill",
     .help = "What may be done when memory is this short, of what the class allows; kill counts at critical "
             "only, since it is the last rung."},
    {"PriorityMax", LEVEL_FIELD(priority_max), KIND(count), .max = CONFIG_PRIORITY_PROTECTED - 1,
     .standard = "low: 999; medium: 500; critical: 999",
     .help = "To groups of at most this priority. All are told first; then the background is held back; the "
             "foreground is reached last."},
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

const struct key *key_at(unsigned index)
{
    return index < ARRAY_SIZE(keys) ? &keys[index] : NULL;
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
    char valid[512];
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
