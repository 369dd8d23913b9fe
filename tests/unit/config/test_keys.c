/* One table of values that are taken, with what they become, and one of those that are refused, with what is
 * said; and a check that no key is missing from either. */
#include "load.h"

#include "base/macros.h"
#include "base/units.h"

enum place { NODE, MONITOR, CLASS, LEVEL };

/* The line under test is line 2 of a section, line 3 of a class. */
static const char *const prefixes[] = {"[Node]\n", "[Monitor]\n", "[Class t]\nMatch=first\n",
                                       "[Level critical]\n"};
static const unsigned lines[] = {2, 2, 3, 2};

static const struct good {
    enum place place;
    const char *line;
    size_t offset;
    size_t size;
    uint64_t value;
    bool warns;
} goods[] = {
#define N(line, field, value)                                                                                \
    {                                                                                                        \
        NODE, line, offsetof(struct config, field), sizeof(((struct config *)0)->field), value, false        \
    }
#define N_LATER(line, field, value)                                                                          \
    {                                                                                                        \
        NODE, line, offsetof(struct config, field), sizeof(((struct config *)0)->field), value, true         \
    }

#define C(line, field, value)                                                                                \
    {                                                                                                        \
        CLASS, line, offsetof(struct config, classes[0].field),                                              \
            sizeof(((struct config *)0)->classes[0].field), value, false                                     \
    }
#define C_LATER(line, field, value)                                                                          \
    {                                                                                                        \
        CLASS, line, offsetof(struct config, classes[0].field),                                              \
            sizeof(((struct config *)0)->classes[0].field), value, true                                      \
    }
#define L(line, field, value)                                                                                \
    {                                                                                                        \
        LEVEL, line, offsetof(struct config, levels[LEVEL_CRITICAL].field),                                  \
            sizeof(((struct config *)0)->levels[0].field), value, false                                      \
    }
    N("Mode=auto", mode, MODE_AUTO),
    N("Mode=isolate", mode, MODE_ISOLATE),
    N("Mode=host", mode, MODE_HOST),
    N("Mode  =  host  ", mode, MODE_HOST),
    N("Workload=auto", workload_auto, true),
    N("Workload=a.slice", workload_auto, false),
    N("Workload=a.slice", workload_count, 1),
    N("Workload=/a.slice/b/", workload_count, 1),
    N("Workload=a b c d e f g h", workload_count, 8),
    N("Protect=", protect_count, 0),
    N("Protect=a", protect_count, 1),
    N("Protect=a b/c /d/", protect_count, 3),
    N("Protect=1 2 3 4 5 6 7 8", protect_count, 8),
    N("SystemReserve=auto", system_reserve.kind, AMOUNT_AUTO),
    N("SystemReserve=512M", system_reserve.kind, AMOUNT_BYTES),
    N("SystemReserve=512M", system_reserve.value, 512 * MIB),
    N("SystemReserve=1.5G", system_reserve.value, 1536 * MIB),
    N("SystemReserve=0", system_reserve.value, 0),
    N("SystemReserve=0", system_reserve.kind, AMOUNT_BYTES),
    N("SystemReserve=4096B", system_reserve.value, 4096),
    N("SystemReserve=5%", system_reserve.kind, AMOUNT_PERMYRIAD),
    N("SystemReserve=5%", system_reserve.value, 500),
    N("SystemReserve=0.05%", system_reserve.value, 5),
    N("SystemReserve=99.99%", system_reserve.value, 9999),
    N("HostLimit=auto", host_limit, HOST_LIMIT_AUTO),
    N("HostLimit=ray", host_limit, HOST_LIMIT_RAY),
    N("HostLimit=ray\nMinFree=256M", min_free.value, 256 * MIB),
    N("HostLimit=ray\nMinFree=2%", min_free.value, 200),
    N("Observe=yes", observe, true),
    N("Observe=on", observe, true),
    N("Observe=true", observe, true),
    N("Observe=no", observe, false),
    N("Observe=off", observe, false),
    N("Observe=false", observe, false),
    N("MaxGroups=1", max_groups, 1),
    N("MaxGroups=100000", max_groups, 100000),
    N("MaxClients=1", max_clients, 1),
    N("MaxClients=100000", max_clients, 100000),
    N("StatusAccess=group", status_access_all, false),
    N("StatusAccess=all", status_access_all, true),
    N("KillDeadline=100ms", kill_deadline_usec, 100000),
    N("KillDeadline=1min", kill_deadline_usec, 60000000),
    N("KillLimit=1", kill_limit_per_minute, 1),
    N("KillLimit=1000", kill_limit_per_minute, 1000),
    N("ThrottleDeadline=1s", throttle_deadline_usec, 1000000),
    N("ThrottleDeadline=1h", throttle_deadline_usec, UINT64_C(3600000000)),
    N("NotifyGrace=0", notify_grace_usec, 0),
    N("NotifyGrace=500ms", notify_grace_usec, 500000),
    N("NotifyGrace=1min", notify_grace_usec, 60000000),
    N("NotifyWake=1", notify_wake, 1),
    N("NotifyWake=256", notify_wake, 256),
    N("MoveProcesses=no", class_count, 1),
    N("PreKill=/bin/echo a b", hooks[HOOK_PRE_KILL][9], ' '),
    N("PreKill=", hooks[HOOK_PRE_KILL][0], 0),
    N("PostKill=/x", hooks[HOOK_POST_KILL][1], 'x'),
    N("OnLevel=/1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", hooks[HOOK_ON_LEVEL][0], '/'),
    N("PodFile=", pod_file[0], 0),
    N("PodFile=/etc/headroom/pods", pod_file[5], 'h'),
    N("HookTimeout=10ms", hook_timeout_usec, 10000),
    N("HookTimeout=1min", hook_timeout_usec, 60000000),
    N("SwapWriteLimit=0", swap_write_limit, 0),
    N("SwapWriteLimit=1.5M", swap_write_limit, 1536 * KIB),
    N("SwapWriteLimit=1T", swap_write_limit, UINT64_C(1) << 40),
    N("SwapWriteLimit=max", swap_write_limit, UINT64_MAX),
    N("KubeletKnobs=leave", kubelet_knobs, KUBELET_KNOBS_LEAVE),
    N("KubeletKnobs=set", kubelet_knobs, KUBELET_KNOBS_SET),
    N("Drift=reapply", drift, DRIFT_REAPPLY),
    N("Drift=yield", drift, DRIFT_YIELD),
    N_LATER("MoveProcesses=yes", class_count, 1),
    N_LATER("MoveProcesses=yes", mode, MODE_AUTO),

    {MONITOR, "Pressure=off", offsetof(struct config, monitor.pressure), sizeof(bool), false, false},
    {MONITOR, "Pressure=no", offsetof(struct config, monitor.pressure), sizeof(bool), false, false},
    {MONITOR, "Pressure=some 150ms 1s", offsetof(struct config, monitor.pressure), sizeof(bool), true, false},
    {MONITOR, "Pressure=some 1us 50ms", offsetof(struct config, monitor.pressure_stall_usec), 8, 1, false},
    {MONITOR, "Pressure=some 1us 50ms", offsetof(struct config, monitor.pressure_window_usec), 8, 50000,
     false},
    {MONITOR, "Pressure=some 10s 10s", offsetof(struct config, monitor.pressure_stall_usec), 8, 10000000,
     false},
    {MONITOR, "Pressure=some 10s 10s", offsetof(struct config, monitor.pressure_full), sizeof(bool), false,
     false},
    {MONITOR, "Pressure=full 70ms\t1s", offsetof(struct config, monitor.pressure_full), sizeof(bool), true,
     false},
    {MONITOR, "Event=off", offsetof(struct config, monitor.event), sizeof(bool), false, false},
    {MONITOR, "Event=on", offsetof(struct config, monitor.event), sizeof(bool), true, false},
    {MONITOR, "Threshold=no", offsetof(struct config, monitor.threshold), sizeof(bool), false, false},
    {MONITOR, "Threshold=yes", offsetof(struct config, monitor.threshold), sizeof(bool), true, false},

    C("Match=a.slice/*", match_count, 2),
    C("Match=a b\nMatch=c", match_count, 4),
    C("Match=1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", match_count, 16),
    C("Unit=cgroup", unit, UNIT_CGROUP),
    C("Unit=process", unit, UNIT_PROCESS),
    C("MatchCommand=python* java", match_command[8], 'j'),
    C("MatchUser=1000", match_uid, 1000),
    C("MatchUser=root", match_user, true),
    C("AllowGroup=", allow_count, 0),
    C("AllowGroup=0 4242 root", allow_count, 3),
    C("AllowGroup=0 4242 root", allow_gid[1], 4242),
    C("Priority=0", priority, 0),
    C("Priority=1000", priority, 1000),
    C("QoS=guaranteed", qos, QOS_GUARANTEED),
    C("QoS=burstable", qos, QOS_BURSTABLE),
    C("QoS=besteffort", qos, QOS_BESTEFFORT),
    C("QoS=kubernetes", qos, QOS_KUBERNETES),
    C("QoS=burstable", throttle_permyriad, 9000),
    C("ThrottleFactor=0\nQoS=burstable", throttle_permyriad, 0),
    C("ThrottleFactor=1\nQoS=burstable", throttle_permyriad, 10000),
    C("ThrottleFactor=1.0000\nQoS=burstable", throttle_permyriad, 10000),
    C("ThrottleFactor=0.0001\nQoS=burstable", throttle_permyriad, 1),
    C("ThrottleFactor=0.6\nQoS=burstable", throttle_permyriad, 6000),
    C("ThrottleFactor=72.5%\nQoS=burstable", throttle_permyriad, 7250),
    C("SwapMax=\nQoS=burstable", swap_max.kind, AMOUNT_UNSET),
    C("SwapMax=0\nQoS=burstable", swap_max.kind, AMOUNT_BYTES),
    C("SwapMax=1G\nQoS=burstable", swap_max.value, GIB),
    C("SwapMax=100%\nQoS=burstable", swap_max.value, 10000),
    C("SwapWriteLimit=1M\nQoS=burstable", swap_write_limit, MIB),
    C("SwapWriteLimit=0\nQoS=burstable", swap_write_limit, 0),
    C("SwapWriteLimit=max", swap_write_limit, UINT64_MAX),
    C("OomGroup=yes\nQoS=burstable", oom_group, true),
    C("Retriable=yes\nQoS=besteffort", oom_group, true),
    C("QoS=burstable\nRetriable=yes\nOomGroup=no", oom_group, false),
    C("Retriable=yes", oom_group, false),
    C("ZswapWriteback=no\nQoS=burstable", zswap_writeback, false),
    C("QoS=burstable", zswap_writeback, true),
    C("CpuWeight=1\nQoS=burstable", cpu_weight, 1),
    C("CpuWeight=10000\nQoS=burstable", cpu_weight, 10000),
    C("Request=", request.kind, AMOUNT_UNSET),
    C("Request=0", request.kind, AMOUNT_BYTES),
    C("Request=512M", request.value, 512 * MIB),
    C("Request=100%", request.value, 10000),
    C("Limit=", limit.kind, AMOUNT_UNSET),
    C("Limit=1B\nQoS=burstable", limit.value, 1),
    C("Limit=50%\nQoS=burstable", limit.kind, AMOUNT_PERMYRIAD),
    C("Retriable=yes", retriable, true),
    C("Retriable=yes", pause_limit_usec, 300 * USEC_PER_SEC),
    C("Retriable=no", pause_limit_usec, 30 * USEC_PER_SEC),
    C("Actions=", actions, 0),
    C("Actions=kill", actions, ACTION_BIT(ACTION_KILL)),
    C("Actions=notify", actions, ACTION_BIT(ACTION_NOTIFY)),
    C("Actions=reclaim", actions, ACTION_BIT(ACTION_RECLAIM)),
    C("Actions=pause", actions, ACTION_BIT(ACTION_PAUSE)),
    C("Actions=kill pause reclaim notify", actions, ACTION_BIT(ACTION_COUNT) - 1),
    C("Order=newest", order, ORDER_NEWEST),
    C("Order=least-progress", order, ORDER_LEAST_PROGRESS),
    C("Order=oldest", order, ORDER_OLDEST),
    C("Order=largest", order, ORDER_LARGEST),
    C("Order=growth", order, ORDER_GROWTH),
    C("Order=swap", order, ORDER_SWAP),
    C_LATER("Order=pressure", order, ORDER_NEWEST),
    C("Order=over-request", order, ORDER_OVER_REQUEST),
    C_LATER("Order=oom-score", order, ORDER_NEWEST),
    C("Order=kubelet", order, ORDER_KUBELET),
    C_LATER("Order=ray-time", order, ORDER_NEWEST),
    C_LATER("Order=ray-group-by-owner", order, ORDER_NEWEST),
    C("Offload=no", offload, false),
    C("Offload=yes", offload, true),
    C("OffloadRatio=0.0001\nOffload=yes", offload_ratio_permyriad, 1),
    C("OffloadRatio=0.01\nOffload=yes", offload_ratio_permyriad, 100),
    C("OffloadRatio=0.05%\nOffload=yes", offload_ratio_permyriad, 5),
    C("OffloadRatio=adaptive\nOffload=yes", offload_ratio_permyriad, CONFIG_OFFLOAD_ADAPTIVE),
    C("OffloadRatio=adaptive\nOffload=yes", offload_interval_usec, USEC_PER_SEC),
    C("OffloadRatio=0.001\nOffload=yes", offload_interval_usec, 6 * USEC_PER_SEC),
    C("OffloadInterval=1s\nOffload=yes", offload_interval_usec, USEC_PER_SEC),
    C("OffloadInterval=1h\nOffload=yes", offload_interval_usec, 3600 * USEC_PER_SEC),
    C("OffloadThreshold=0.1%\nOffload=yes", offload_threshold_permyriad, 10),
    C("OffloadThreshold=0.0001\nOffload=yes", offload_threshold_permyriad, 1),
    C("OffloadThreshold=1\nOffload=yes", offload_threshold_permyriad, 10000),
    C("TermGrace=0", term_grace_usec, 0),
    C("TermGrace=10s", term_grace_usec, 10000000),
    C("PauseLimit=1s\nActions=pause", pause_limit_usec, 1000000),
    C("PauseLimit=30d\nActions=pause", pause_limit_usec, UINT64_C(30) * 86400 * USEC_PER_SEC),
    C("MinRunning=0", min_running, 0),
    C("MinRunning=1\nActions=pause", min_running, 1),
    C("MinRunning=1000\nActions=pause", min_running, 1000),

    L("Actions=", actions, 0),
    L("Actions=kill", actions, ACTION_BIT(ACTION_KILL)),
    L("Actions=kill pause reclaim", actions,
      ACTION_BIT(ACTION_RECLAIM) | ACTION_BIT(ACTION_PAUSE) | ACTION_BIT(ACTION_KILL)),
    L("Actions=notify", actions, ACTION_BIT(ACTION_NOTIFY)),
    L("PriorityMax=0", priority_max, 0),
    L("PriorityMax=999", priority_max, 999),
};

#define LONG_PATH_10 "0123456789"
#define LONG_PATH_100                                                                                        \
    LONG_PATH_10 LONG_PATH_10 LONG_PATH_10 LONG_PATH_10 LONG_PATH_10 LONG_PATH_10 LONG_PATH_10 LONG_PATH_10  \
        LONG_PATH_10 LONG_PATH_10
#define LONG_PATH_250                                                                                        \
    LONG_PATH_100 LONG_PATH_100 LONG_PATH_10 LONG_PATH_10 LONG_PATH_10 LONG_PATH_10 LONG_PATH_10

static const struct bad {
    enum place place;
    const char *line;
    const char *reason;
} bads[] = {
    {NODE, "Mode=", "auto, isolate, host"},
    {NODE, "Mode=Host", "auto, isolate, host"},
    {NODE, "Mode=host isolate", "auto, isolate, host"},
    {NODE, "Workload=", "names nothing"},
    {NODE, "Workload=/", "the hierarchy's root"},
    {NODE, "Workload=a/../b", "'..'"},
    {NODE, "Workload=..", "'..'"},
    {NODE, "Workload=a/b/..", "'..'"},
    {NODE, "Workload=./a", "'.'"},
    {NODE, "Workload=a//b", "empty component"},
    {NODE, "Workload=//a", "empty component"},
    {NODE, "Workload=a//", "empty component"},
    {NODE, "Workload=a/*", "wildcard"},
    {NODE, "Workload=a?", "wildcard"},
    {NODE, "Workload=1 2 3 4 5 6 7 8 9", "at most 8 paths"},
    {NODE, "Workload=" LONG_PATH_250 "012345", "255 bytes"},
    {NODE, "Protect=..", "'..'"},
    {NODE, "Protect=1 2 3 4 5 6 7 8 9", "at most 8 paths"},
    {NODE, "Protect=*", "wildcard"},
    {NODE, "SystemReserve=", "Write auto, a size as in 512M or 2G"},
    {NODE, "SystemReserve=140", "needs a unit, for example 140M"},
    {NODE, "SystemReserve=1.5", "needs a unit, for example 1.5M"},
    {NODE, "SystemReserve=512m", "512M"},
    {NODE, "SystemReserve=512MB", "512M"},
    {NODE, "SystemReserve=2s", "512M"},
    {NODE, "SystemReserve=-5M", "512M"},
    {NODE, "SystemReserve=99999999999999999999G", "more than any node has"},
    {NODE, "SystemReserve=100%", "at most 99.99%"},
    {NODE, "SystemReserve=101%", "at most 99.99%"},
    {NODE, "SystemReserve=x%", "not a percentage"},
    {NODE, "SystemReserve=0.005%", "two decimals"},
    {NODE, "SystemReserve=%", "not a percentage"},
    {NODE, "HostLimit=", "auto, ray"},
    {NODE, "HostLimit=90%", "auto, ray"},
    {NODE, "MinFree=auto", "Write a size as in 512M"},
    {NODE, "MinFree=256", "needs a unit, for example 256M"},
    {NODE, "MinFree=100%", "at most 99.99%"},
    {NODE, "SwapWriteLimit=1", "needs a unit, for example 1M"},
    {NODE, "SwapWriteLimit=5%", "max, or a size"},
    {NODE, "SwapWriteLimit=2T", "more than any device"},
    {NODE, "KubeletKnobs=yes", "leave, set"},
    {NODE, "Drift=fight", "reapply, yield"},
    {NODE, "Observe=", "neither yes nor no"},
    {NODE, "Observe=1", "neither yes nor no"},
    {NODE, "Observe=Yes", "neither yes nor no"},
    {NODE, "MaxGroups=0", "from 1 to 100000"},
    {NODE, "MaxGroups=100001", "from 1 to 100000"},
    {NODE, "MaxGroups=99999999999999999999999", "from 1 to 100000"},
    {NODE, "MaxGroups=4294967297", "from 1 to 100000"},
    {NODE, "MaxGroups=-1", "not a plain number"},
    {NODE, "MaxGroups=1K", "not a plain number"},
    {NODE, "MaxClients=0", "from 1 to 100000"},
    {NODE, "MaxClients=", "not a plain number"},
    {NODE, "StatusAccess=root", "group, all"},
    {NODE, "KillDeadline=2", "needs a unit, for example 2s"},
    {NODE, "KillDeadline=90", "needs a unit, for example 90s"},
    {NODE, "KillDeadline=2M", "us, ms, s, min, h and d"},
    {NODE, "KillDeadline=99ms", "from 100.0ms to 1.0min"},
    {NODE, "KillDeadline=61s", "from 100.0ms to 1.0min"},
    {NODE, "KillDeadline=0", "from 100.0ms to 1.0min"},
    {NODE, "KillDeadline=99999999999999999999s", "too long a time"},
    {NODE, "KillLimit=0", "from 1 to 1000"},
    {NODE, "KillLimit=1001", "from 1 to 1000"},
    {NODE, "KillLimit=10/min", "not a plain number"},
    {NODE, "ThrottleDeadline=10", "needs a unit, for example 10s"},
    {NODE, "ThrottleDeadline=999ms", "from 1.0s to 1.0h"},
    {NODE, "ThrottleDeadline=2h", "from 1.0s to 1.0h"},
    {NODE, "NotifyGrace=500", "needs a unit"},
    {NODE, "NotifyGrace=2min", "out of range"},
    {NODE, "NotifyWake=0", "out of range"},
    {NODE, "NotifyWake=257", "from 1 to 256"},
    {NODE, "NotifyWake=many", "not a plain number"},
    {NODE, "PreKill=echo", "no absolute path"},
    {NODE, "PreKill=/bin/sh -c 'echo'", "character for a shell"},
    {NODE, "PreKill=/x $HOME", "character for a shell"},
    {NODE, "PostKill=/x > /y", "character for a shell"},
    {NODE, "OnLevel=/1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", "at most 16"},
    {NODE, "OnLevel=/" LONG_PATH_250 "012345", "255 bytes"},
    {NODE, "PodFile=pods", "no absolute path"},
    {NODE, "HookTimeout=1", "needs a unit, for example 1s"},
    {NODE, "HookTimeout=9ms", "from 10.0ms to 1.0min"},
    {NODE, "HookTimeout=61s", "from 10.0ms to 1.0min"},
    {NODE, "MoveProcesses=maybe", "neither yes nor no"},

    {MONITOR, "Pressure=", "some 150ms 1s"},
    {MONITOR, "Pressure=on", "some 150ms 1s"},
    {MONITOR, "Pressure=some", "some 150ms 1s"},
    {MONITOR, "Pressure=some 150ms", "some 150ms 1s"},
    {MONITOR, "Pressure=some 150ms 1s 2s", "some 150ms 1s"},
    {MONITOR, "Pressure=most 150ms 1s", "some 150ms 1s"},
    {MONITOR, "Pressure=some 150 1s", "needs a unit, for example 150ms"},
    {MONITOR, "Pressure=some 150ms 1", "needs a unit, for example 1s"},
    {MONITOR, "Pressure=some 10% 1s", "us, ms, s"},
    {MONITOR, "Pressure=some 0 1s", "stall out of range"},
    {MONITOR, "Pressure=some 1001ms 1s", "stall out of range"},
    {MONITOR, "Pressure=some 1ms 49ms", "from 50ms to 10s"},
    {MONITOR, "Pressure=some 1ms 11s", "from 50ms to 10s"},
    {MONITOR, "Event=maybe", "neither yes nor no"},
    {MONITOR, "Threshold=80%", "neither yes nor no"},

    {CLASS, "Match=", "names nothing"},
    {CLASS, "Match=a/../b", "'..'"},
    {CLASS, "Match=/", "the hierarchy's root"},
    {CLASS, "Match=1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "at most 16 patterns"},
    {CLASS, "Match=" LONG_PATH_250 "012345", "255 bytes"},
    {CLASS, "Unit=pod", "cgroup, process"},
    {CLASS, "MatchCommand=", "names nothing"},
    {CLASS, "MatchCommand=" LONG_PATH_250 "012345", "255 bytes"},
    {CLASS, "MatchUser=", "names nobody"},
    {CLASS, "MatchUser=no-such-user-here", "no user of this machine"},
    {CLASS, "MatchUser=4294967295", "no user of this machine"},
    {CLASS, "AllowGroup=root no-such-group-here", "no group of users of this machine"},
    {CLASS, "AllowGroup=4294967295", "no group of users of this machine"},
    {CLASS, "AllowGroup=1 2 3 4 5 6 7 8 9", "at most 8 groups"},
    {CLASS, "Priority=1001", "from 0 to 1000"},
    {CLASS, "Priority=-1", "from 0 to 1000"},
    {CLASS, "Priority=high", "from 0 to 1000"},
    {CLASS, "QoS=", "guaranteed, burstable, besteffort"},
    {CLASS, "QoS=gold", "guaranteed, burstable, besteffort"},
    {CLASS, "Request=512", "needs a unit, for example 512M"},
    {CLASS, "Request=auto", "a size as in 512M"},
    {CLASS, "Request=101%", "at most 100.00%"},
    {CLASS, "ThrottleFactor=", "not a factor"},
    {CLASS, "ThrottleFactor=.9", "not a factor"},
    {CLASS, "ThrottleFactor=0.", "not a factor"},
    {CLASS, "ThrottleFactor=0.9.1", "not a factor"},
    {CLASS, "ThrottleFactor=-0.5", "not a factor"},
    {CLASS, "ThrottleFactor=0.00001", "at most four decimals"},
    {CLASS, "ThrottleFactor=1.0001", "from 0 to 1"},
    {CLASS, "ThrottleFactor=90", "from 0 to 1"},
    {CLASS, "ThrottleFactor=99999999999999999999999", "from 0 to 1"},
    {CLASS, "ThrottleFactor=101%", "from 0 to 1"},
    {CLASS, "SwapMax=1", "needs a unit"},
    {CLASS, "SwapMax=101%", "of the node's swap"},
    {CLASS, "SwapWriteLimit=1", "needs a unit, for example 1M"},
    {CLASS, "SwapWriteLimit=2T", "more than any device"},
    {CLASS, "OomGroup=maybe", "neither yes nor no"},
    {CLASS, "ZswapWriteback=maybe", "neither yes nor no"},
    {CLASS, "CpuWeight=0", "from 1 to 10000"},
    {CLASS, "CpuWeight=10001", "from 1 to 10000"},
    {CLASS, "Limit=0", "Leave it empty for none"},
    {CLASS, "Limit=0%", "Leave it empty for none"},
    {CLASS, "Limit=1", "needs a unit, for example 1M"},
    {CLASS, "Retriable=always", "neither yes nor no"},
    {CLASS, "Actions=none", "notify, reclaim, pause, kill"},
    {CLASS, "Actions=kill, pause", "notify, reclaim, pause, kill"},
    {CLASS, "Actions=kill kill", "names kill twice"},
    {CLASS, "Order=", "newest, least-progress"},
    {CLASS, "Order=random", "ray-group-by-owner"},
    {CLASS, "Offload=maybe", "neither yes nor no"},
    {CLASS, "OffloadRatio=0\nOffload=yes", "from 0.0001 to 0.01"},
    {CLASS, "OffloadRatio=0.0101\nOffload=yes", "from 0.0001 to 0.01"},
    {CLASS, "OffloadRatio=fast\nOffload=yes", "not a factor"},
    {CLASS, "OffloadInterval=500ms\nOffload=yes", "out of range"},
    {CLASS, "OffloadInterval=61min\nOffload=yes", "out of range"},
    {CLASS, "OffloadThreshold=0\nOffload=yes", "from 0.0001 to 1"},
    {CLASS, "OffloadThreshold=2\nOffload=yes", "from 0.0001 to 1"},
    {CLASS, "TermGrace=10", "needs a unit, for example 10s"},
    {CLASS, "TermGrace=61min", "out of range"},
    {CLASS, "PauseLimit=0\nActions=pause", "out of range"},
    {CLASS, "PauseLimit=31d\nActions=pause", "out of range"},
    {CLASS, "PauseLimit=5\nActions=pause", "needs a unit, for example 5s"},
    {CLASS, "MinRunning=", "not a plain number"},
    {CLASS, "MinRunning=10%", "not a plain number"},
    {CLASS, "MinRunning=1001", "from 0 to 1000"},

    {LEVEL, "Actions=none", "notify, reclaim, pause, kill"},
    {LEVEL, "Actions=pause pause", "names pause twice"},
    {LEVEL, "PriorityMax=", "not a plain number"},
    {LEVEL, "PriorityMax=1000", "from 0 to 999"},
    {LEVEL, "PriorityMax=-1", "not a plain number"},
};

/* The key of "Key=value", with the '='. */
static void key_of(const char *line, char ret[static 32])
{
    (void)snprintf(ret, 32, "%.*s", (int)strcspn(line, "= "), line);
}

static void test_good_values(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(goods); i++) {
        const struct good *g = &goods[i];
        char text[512];
        char key[32];
        uint64_t value = 0;

        (void)snprintf(text, sizeof(text), "%s%s\n", prefixes[g->place], g->line);
        key_of(g->line, key);
        load_text(text);
        if (g->warns)
            assert_warning(&loaded, lines[g->place], key, "has no effect in this version");
        else
            assert_silent(&loaded);
        memcpy(&value, (const char *)&loaded.config + g->offset, g->size);
        if (value != g->value)
            fail_msg("%s gives %llu", g->line, (unsigned long long)value);
    }
}

static void test_bad_values(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(bads); i++) {
        const struct bad *b = &bads[i];
        char text[512];
        char key[32];

        (void)snprintf(text, sizeof(text), "%s%s\n", prefixes[b->place], b->line);
        key_of(b->line, key);
        strcat(key, "=");
        assert_error(load_text(text), lines[b->place], key, b->reason);
    }
}

/* A key of the name `name` is in both tables. The names come from the message that lists them. */
static void assert_covered(enum place place, const char *name)
{
    unsigned good = 0, bad = 0;
    char key[32];

    for (size_t i = 0; i < ARRAY_SIZE(goods); i++) {
        key_of(goods[i].line, key);
        good += goods[i].place == place && strcmp(key, name) == 0;
        /* MinFree= alone warns, so it is tested behind another key. */
        good += strcmp(name, "MinFree") == 0 && strstr(goods[i].line, "\nMinFree=");
    }
    for (size_t i = 0; i < ARRAY_SIZE(bads); i++) {
        key_of(bads[i].line, key);
        bad += bads[i].place == place && strcmp(key, name) == 0;
    }
    if (good == 0 || bad == 0)
        fail_msg("%s= is missing from the tables of this test", name);
}

static void test_every_key_is_in_the_tables(void **state _unused_)
{
    unsigned keys = 0;

    for (enum place place = NODE; place <= LEVEL; place++) {
        char text[512];
        char list[CONFIG_MESSAGE_MAX];
        char *at;
        char *rest;

        (void)snprintf(text, sizeof(text), "%sXyzzyxyzzyxyzzy=1\n", prefixes[place]);
        assert_error(load_text(text), lines[place], "Xyzzyxyzzyxyzzy=", "The keys there are ");
        strcpy(list, strstr(loaded.messages.text[0], "there are ") + strlen("there are "));
        for (at = strtok_r(list, ", .", &rest); at; at = strtok_r(NULL, ", .", &rest)) {
            assert_covered(place, at);
            keys++;
        }
    }
    assert_int_equal(keys, 54);
}

static void test_paths_are_normalised(void **state _unused_)
{
    load_text("[Node]\nWorkload=/a.slice/b/ c\nProtect=/x/\n[Class t]\nMatch=/w.slice/*/ [x]?\n");
    assert_silent(&loaded);
    assert_string_equal(loaded.config.workload[0], "a.slice/b");
    assert_string_equal(loaded.config.workload[1], "c");
    assert_string_equal(loaded.config.protect[0], "x");
    assert_string_equal(loaded.config.protect[1], "");
    assert_string_equal(loaded.config.classes[0].match[0], "w.slice/*");
    assert_string_equal(loaded.config.classes[0].match[1], "[x]?");
}

static void test_longest_path(void **state _unused_)
{
    load_text("[Node]\nWorkload=/" LONG_PATH_250 "01234/\n");
    assert_silent(&loaded);
    assert_int_equal(strlen(loaded.config.workload[0]), 255);
}

static const struct unknown {
    const char *text;
    unsigned line;
    const char *name;
    const char *advice;
} unknowns[] = {
    {"[Node]\nKillDeadlin=2s\n", 2, "KillDeadlin=", "Did you mean KillDeadline= of [Node]?"},
    {"[Node]\nkilldeadline=2s\n", 2, "killdeadline=", "Did you mean KillDeadline= of [Node]?"},
    {"[Node]\nModes=auto\n", 2, "Modes=", "Did you mean Mode= of [Node]?"},
    {"[Node]\nPriorty=5\n", 2, "Priorty=", "Did you mean Priority= of [Class NAME]?"},
    {"[Node]\nPriority=5\n", 2, "Priority=", "belongs to [Class NAME], not to [Node]"},
    {"[Monitor]\nMode=auto\n", 2, "Mode=", "belongs to [Node], not to [Monitor]"},
    {"[Class t]\nMatch=x\nPressure=off\n", 3, "Pressure=", "belongs to [Monitor], not to [Class NAME]"},
    {"[Monitor]\nFoo=1\n", 2, "Foo=", "there are Pressure, Event, Threshold."},
    /* A key of the same section is meant more likely than a nearer one of another. */
    {"[Class t]\nMatch=x\nPostLimit=1\n", 3, "PostLimit=", "Did you mean PauseLimit= of [Class NAME]?"},
    {"[Node]\nPostLimit=1\n", 2, "PostLimit=", "Did you mean HostLimit= of [Node]?"},
    {"[Level low]\nPriority=5\n", 2, "Priority=", "belongs to [Class NAME], not to [Level NAME]"},
    {"[Level low]\nPriorityMx=5\n", 2, "PriorityMx=", "Did you mean PriorityMax= of [Level NAME]?"},
    {"[Class t]\nMatch=x\nPriorityMax=5\n", 3,
     "PriorityMax=", "belongs to [Level NAME], not to [Class NAME]"},
    {"[Class t]\nMatch=x\nMinRuning=1\n", 3, "MinRuning=", "Did you mean MinRunning= of [Class NAME]?"},
    {"[Level low]\nFoo=1\n", 2, "Foo=", "there are Actions, PriorityMax."},
    /* What two sections have. */
    {"[Node]\nActions=kill\n", 2, "Actions=", "belongs to [Class NAME] or [Level NAME], not to [Node]"},
    {"Actions=kill\n", 1, "Actions=", "Write [Class NAME] or [Level NAME] above it"},
    {"Mode=auto\n", 1, "Mode=", "Write [Node] above it"},
    {"Xyzzyxyzzy=auto\n", 1, "Xyzzyxyzzy=", "before the first section"},
    {"Modus=auto\n", 1, "Modus=", "Did you mean Mode= of [Node]?"},
};

static void test_unknown_keys(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(unknowns); i++)
        assert_error(load_text(unknowns[i].text), unknowns[i].line, unknowns[i].name, unknowns[i].advice);
}

static void test_long_unknown_key_is_cut(void **state _unused_)
{
    assert_error(load_text("[Node]\n" LONG_PATH_10 "=1\n"), 2, LONG_PATH_10, "letters only");
    assert_error(
        load_text(
            "[Node]\nAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=1\n"),
        2, "Aaaaaa", "...= is no key of [Node]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_values),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_every_key_is_in_the_tables),
        cmocka_unit_test(test_paths_are_normalised),
        cmocka_unit_test(test_longest_path),
        cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_long_unknown_key_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
