/* A configuration as plain data: everything parsed, checked and of fixed size, so that a whole one can be
 * handed from the process that parsed it to the loop as one block. No pointers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_CLASSES_MAX 32
#define CONFIG_PATTERNS_MAX 16
#define CONFIG_PATHS_MAX 8
#define CONFIG_ALLOW_GROUPS_MAX 8
#define CONFIG_NAME_MAX 32
#define CONFIG_PATH_MAX 256
#define CONFIG_COMMAND_MAX 256
#define CONFIG_PODS_MAX 512 /* four times what a node of Kubernetes has by default */
#define CONFIG_POD_UID_MAX 40
#define CONFIG_COMMAND_WORDS_MAX 16
#define CONFIG_PRIORITY_DEFAULT 500
#define CONFIG_PRIORITY_PROTECTED 1000
#define CONFIG_THROTTLE_DEFAULT_PERMYRIAD 9000 /* memoryThrottlingFactor of KEP-2570 until v1.36 */
#define CONFIG_CLASS_OTHER "other"
/* TMO's published constants. */
#define CONFIG_OFFLOAD_RATIO_DEFAULT_PERMYRIAD 5
#define CONFIG_OFFLOAD_THRESHOLD_DEFAULT_PERMYRIAD 10
#define CONFIG_OFFLOAD_ADAPTIVE 0 /* in the place of a ratio */

enum mode {
    MODE_AUTO,
    MODE_ISOLATE,
    MODE_HOST,
};

enum host_limit {
    HOST_LIMIT_AUTO, /* total − clamp(5 % of total, 128 MiB, 4 GiB) */
    HOST_LIMIT_RAY,  /* max(95 % of total, total − MinFree) */
};

/* The rungs of the ladder, gentlest first; as bits in a class's Actions=. */
enum action {
    ACTION_NOTIFY,
    ACTION_RECLAIM,
    ACTION_PAUSE,
    ACTION_KILL,
    ACTION_COUNT,
};

#define ACTION_BIT(a) (1U << (a))

/* How short memory is; each says which actions may be taken, and on whom. */
enum level {
    LEVEL_CALM,
    LEVEL_LOW,
    LEVEL_MEDIUM,
    LEVEL_CRITICAL,
    LEVEL_COUNT,
};

/* What the operator may have told to a command of his. */
enum hook_kind {
    HOOK_PRE_KILL,
    HOOK_POST_KILL,
    HOOK_ON_LEVEL,
    HOOK_COUNT,
};

enum unit_kind {
    UNIT_CGROUP,
    UNIT_PROCESS,
};

enum qos {
    QOS_UNSET,
    QOS_GUARANTEED,
    QOS_BURSTABLE,
    QOS_BESTEFFORT,
    QOS_KUBERNETES, /* of a class only: each pod's own, which its path tells */
};

/* Whose memory.min, low and max of kubepods, the tiers and the pods are. */
enum kubelet_knobs {
    KUBELET_KNOBS_LEAVE,
    KUBELET_KNOBS_SET,
};

enum order {
    ORDER_NEWEST,
    ORDER_LEAST_PROGRESS,
    ORDER_OLDEST,
    ORDER_LARGEST,
    ORDER_GROWTH,
    ORDER_SWAP,
    ORDER_OVER_REQUEST,
    ORDER_KUBELET,
};

/* What is done about a knob of a plan that somebody else sets anew. */
enum drift {
    DRIFT_REAPPLY, /* set again, once */
    DRIFT_YIELD,
};

/* Bytes, or a share of the node's memory, or not set. */
struct amount {
    enum {
        AMOUNT_UNSET,
        AMOUNT_AUTO,
        AMOUNT_BYTES,
        AMOUNT_PERMYRIAD,
    } kind;
    uint64_t value;
};

struct class_config {
    char name[CONFIG_NAME_MAX];
    char match[CONFIG_PATTERNS_MAX][CONFIG_PATH_MAX]; /* of paths relative to the hierarchy's root */
    unsigned match_count;
    unsigned line;     /* of its section, for messages; 0: built in */
    unsigned priority; /* 0 … 1000; lower is given up first; 1000 is protected */
    unsigned actions;  /* ACTION_BITs */
    enum unit_kind unit;
    char match_command[CONFIG_PATH_MAX]; /* Unit=process: a pattern of the command's name; "": any */
    bool match_user;                     /* Unit=process: only of match_uid */
    uint32_t match_uid;
    uint32_t allow_gid[CONFIG_ALLOW_GROUPS_MAX]; /* whose members may run work in the class */
    unsigned allow_count;
    enum qos qos;
    enum order order;
    struct amount request;
    struct amount limit;
    unsigned throttle_permyriad; /* of what lies between request and limit, where memory.high is; 0: none */
    struct amount swap_max;      /* a percentage is one of the node's swap */
    uint64_t swap_write_limit; /* bytes a second by its groups, to swap devices; UINT64_MAX: without limit */
    bool oom_group;            /* the kernel's killer takes a group whole */
    bool zswap_writeback;      /* what zswap keeps may go to disk */
    unsigned cpu_weight;       /* 0: not set */
    bool retriable;
    bool offload;
    unsigned offload_ratio_permyriad; /* of memory.current an interval; CONFIG_OFFLOAD_ADAPTIVE */
    unsigned offload_threshold_permyriad;
    uint64_t offload_interval_usec;
    uint64_t term_grace_usec;
    uint64_t pause_limit_usec;
    unsigned min_running; /* groups of the class that are never paused */
};

/* What a level may do: these actions (within the class's own), on groups of at most this priority. */
struct level_config {
    unsigned actions; /* ACTION_BITs */
    unsigned priority_max;
};

struct monitor_config {
    bool event;
    bool threshold;
    bool pressure;
    bool pressure_full; /* `full` instead of `some` */
    uint64_t pressure_stall_usec;
    uint64_t pressure_window_usec;
};

/* A line of PodFile=. */
struct pod_config {
    char uid[CONFIG_POD_UID_MAX]; /* with dashes, as the API has it */
    bool has_priority;
    bool has_request;
    unsigned priority;
    uint64_t request_bytes;
};

struct config {
    enum mode mode;
    bool observe; /* decide and record, write and signal nothing */
    bool workload_auto;
    char workload[CONFIG_PATHS_MAX][CONFIG_PATH_MAX];
    unsigned workload_count;
    char protect[CONFIG_PATHS_MAX][CONFIG_PATH_MAX];
    unsigned protect_count;
    struct amount system_reserve;
    enum host_limit host_limit;
    struct amount min_free;
    unsigned max_groups;
    bool status_access_all;
    uint64_t kill_deadline_usec;
    unsigned kill_limit_per_minute;
    uint64_t throttle_deadline_usec;
    uint64_t notify_grace_usec;
    unsigned notify_wake;
    unsigned max_clients;
    char hooks[HOOK_COUNT][CONFIG_COMMAND_MAX]; /* an absolute path and words, no shell; "": none */
    uint64_t hook_timeout_usec;
    uint64_t swap_write_limit; /* bytes a second by offload, to swap devices; UINT64_MAX: without limit */
    enum kubelet_knobs kubelet_knobs;
    enum drift drift;
    char pod_file[CONFIG_PATH_MAX];          /* "": none */
    struct pod_config pods[CONFIG_PODS_MAX]; /* what it says, by uid; not what the other files say */
    unsigned pod_count;
    struct monitor_config monitor;
    struct level_config levels[LEVEL_COUNT];
    struct class_config classes[CONFIG_CLASSES_MAX]; /* in the order of the file; the last one is `other` */
    unsigned class_count;
};

const char *mode_name(enum mode m);
const char *action_name(enum action a);
const char *level_name(enum level l);
const char *qos_name(enum qos q); /* "" for QOS_UNSET */

/* Bytes of an amount on a node with `total_bytes`; `if_unset` for UNSET and AUTO. */
uint64_t amount_bytes(const struct amount *a, uint64_t total_bytes, uint64_t if_unset);

/* A class of which only the name is given; a name of more than CONFIG_NAME_MAX - 1 bytes is cut. */
void class_config_init(struct class_config *c, const char *name);
/* What PauseLimit= is where it is not given: work that nobody would retry is held back only briefly. */
uint64_t class_pause_limit_default_usec(bool retriable);
/* What OffloadInterval= is where it is not given: TMO's six seconds, or as often as the adaptive law looks.
 */
uint64_t class_offload_interval_default_usec(unsigned ratio_permyriad);

/* What a file that says nothing gives: Mode=auto, Workload=auto, everything in class `other` (Priority=500,
 * Actions=notify reclaim kill), so that nothing is paused. */
void config_init_defaults(struct config *c);

/* What PodFile= says of a pod; NULL: nothing. */
const struct pod_config *config_pod(const struct config *c, const char *uid);

/* The class of a group's path: the first one with a pattern that matches, else `other` (the last one). */
unsigned config_class_of(const struct config *c, const char *path);
/* The same of what may lie deeper than a group: what is in a group belongs to the group's class. */
unsigned config_class_around(const struct config *c, const char *path);
