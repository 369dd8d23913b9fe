# vm: memory=1024 cpus=2 swap=disk:512M timeout=400 root=host systemd=yes install=yes kernels=6.1,6.12
# What `meson install` leaves on a node, and nothing else but `systemctl enable --now headroomd`: the node is guarded,
# and everything that headroomd does works under the sandbox of the shipped unit. Then what happens to the service:
# SIGKILL, a hang, a stop, a crash that no restart follows.
. /lib.sh
swapoff /dev/vda

drop_ins=/run/systemd/system/headroomd.service.d
shown() { systemctl show -P "$2" "$1"; } # UNIT PROPERTY
is_shown() { [ "$(shown "$1" "$2")" = "$3" ]; }
main_pid() { shown headroomd MainPID; }
is_active() { is_shown "$1" ActiveState active; }
is_failed() { is_shown "$1" ActiveState failed; }
is_another() { main=$(main_pid) && [ "$main" -ne 0 ] && [ "$main" -ne "$1" ] && is_active headroomd; }
has_processes() { [ "$(wc -l <"$CGROUP/headroom.slice/headroomd.service/cgroup.procs")" -eq "$1" ]; } # NUMBER
is_empty() { [ ! -d "$CGROUP/headroom.slice/headroomd.service" ]; }

knob() { cat "$CGROUP/$1/$2"; } # GROUP KNOB
is_knob() { [ "$(knob "$1" "$2")" = "$3" ]; }
guarded() { is_knob workload.slice memory.high "$high" && is_knob system.slice memory.low "$low"; }
unfenced() { guarded && is_knob workload.slice memory.max max; }
same() { knobs_save /tmp/after.txt; knobs_compare "$1" /tmp/after.txt; }
as_found() { same /tmp/found.txt && is_shown workload.slice MemoryHigh infinity && is_shown system.slice MemoryLow 0; }

status() { # KEY
    headroom status --json >/tmp/status.json && json_get /tmp/status.json "$1"
}
status_is_more() { [ "$(status "$1")" -gt "$2" ]; } # KEY VALUE
killed() { headroom events | grep ' kill, ' | grep -q " $1 ("; } # GROUP
untroubled() { # nothing that it would like to do is kept from it
    headroom status --json >/tmp/status.json
    [ "$(json_get /tmp/status.json warnings)" = "[]" ] || {
        say "warnings: $(sed -n '/"warnings"/,/\]/p' /tmp/status.json | tr -s ' \n' ' ')"
        return 1
    }
}
# systemd's words about us (it warns of every option that it does not take).
troubles() { dmesg | grep -E 'systemd\[1\]: .*headroom.*(Unknown|Failed|fail|not supported|ignoring)'; }
work() { # UNIT [OPTION...] COMMAND...
    unit=$1
    shift
    systemd-run --quiet --slice=workload.slice --unit="$unit" "$@"
}

printf '%s\n' "[Slice]" >/run/systemd/system/workload.slice
systemctl daemon-reload
systemctl start workload.slice
work keeper load task --bytes 60M --seconds 3600 --grow-seconds 1
sleep 2
knobs_save /tmp/found.txt

check "there is no configuration" not test -e /etc/headroom/headroom.conf
check "it is not from the build" [ "$(command -v headroom)" != /guest/bin/headroom ]
begin=$(uptime_msec)
check "enable --now is all there is to do" systemctl enable --now headroomd || finish
figure enable_msec $(($(uptime_msec) - begin))
check "it runs" is_active headroomd || finish
check "with its two companions" has_processes 3
check "in mode isolate" [ "$(status mode)" = isolate ]
check "the work has its limit" [ "$(knob workload.slice memory.high)" != max ]
high=$(knob workload.slice memory.high)
check "the system has its protection" wait_until 5 not is_knob system.slice memory.low 0
low=$(knob system.slice memory.low)
check "memory is locked" grep -q 'VmLck:[[:space:]]*[1-9][0-9][0-9]' "/proc/$(main_pid)/status"
check "the kernel leaves it alone" [ "$(cat "/proc/$(main_pid)/oom_score_adj")" = -1000 ]
check "it has its own protection" [ "$(knob headroom.slice/headroomd.service memory.min)" -gt 0 ]
check "and its slice, too" [ "$(knob headroom.slice memory.min)" -gt 0 ]
check "it lacks nothing" untroubled
troubles >/tmp/troubles.txt
check "systemd takes every line of the unit" [ ! -s /tmp/troubles.txt ]

systemd-analyze security --no-pager headroomd >/tmp/security.txt 2>&1
exposure=$(sed -n 's/.*exposure level for headroomd.service: \([0-9.]*\).*/\1/p' /tmp/security.txt)
figure exposure "$exposure"
check "systemd-analyze security: at most 2.0" at_most "$exposure" 2.0

# Killing: of root's, and of what a user made himself.
work hog load hog --to 2G --hold 60s
check "a hog is killed" wait_until 30 is_failed hog
check "and systemd says why" is_shown hog Result oom-kill
check "by headroomd" wait_until 5 killed workload.slice/hog.service
cat >/tmp/inner.sh <<'INNER'
inner=$(sed 's|^0::|/sys/fs/cgroup|' /proc/self/cgroup)
mkdir "$inner/own" && echo $$ >"$inner/own/cgroup.procs" && echo +memory >"$inner/cgroup.subtree_control" && exec load hog --to 2G --hold 60s
INNER
work user-hog -p User=nobody -p Delegate=yes -E PATH="$PATH" sh /tmp/inner.sh
check "a user's hog in a group of his own is killed" wait_until 30 not is_active user-hog
check "that, too, by headroomd" wait_until 5 killed workload.slice/user-hog.service/own
check "no kill was the kernel's" [ "$(oom_kills)" -eq 0 ]
check "the work beside it goes on" is_active keeper

# Pausing, by a configuration.
mkdir -p /etc/headroom
cat >/etc/headroom/hook <<'HOOK'
#!/bin/sh
echo "$HEADROOM_EVENT nice=$(cut -d' ' -f19 /proc/self/stat) adj=$(cat /proc/self/oom_score_adj)" >>/run/headroom/told
HOOK
chmod +x /etc/headroom/hook
cat >/etc/headroom/headroom.conf <<'CONFIG'
[Node]
OnLevel=/etc/headroom/hook
[Class tier]
Match=workload.slice/tier.service
QoS=burstable
Request=40M
Limit=80M
[Class single]
Match=workload.slice/single.service
Unit=process
Actions=pause kill
[Class batch]
Match=workload.slice/*
Priority=300
Retriable=yes
Actions=reclaim pause kill
CONFIG
check "it restarts with a configuration" systemctl restart headroomd
check "which it has read" [ "$(status config)" = /etc/headroom/headroom.conf ]
: "${TASKS:=6}" "${TASK_SECONDS:=6}" "${PARALLEL:=6}" "${GROW_SECONDS:=3}"
storm_defaults
run_driver
check "a storm: all tasks finish" [ "$(driver_get finished)" -eq "$TASKS" ]
check "a storm: somebody was paused" status_is_more pauses 0
none_frozen() { [ "$(frozen_groups)" -eq 0 ]; }
check "a storm: nobody is left paused" wait_until 10 none_frozen
check "a storm: no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
work single -p User=nobody -E PATH="$PATH" load task --bytes 20M --seconds 3600 --grow-seconds 1
single=$(shown single MainPID)
state_is() { grep -q "^State:[[:space:]]*$1" "/proc/$single/status"; }
check "a user's process is paused" wait_until 10 headroom pause "workload.slice/single.service#$single"
check "it stands still" wait_until 5 state_is T
check "it is resumed" headroom resume "workload.slice/single.service#$single"
check "it goes on" wait_until 5 state_is '[SR]'
systemctl stop single

# Hooks, and memory QoS.
check "a hook is told of a level" wait_until 10 test -s /run/headroom/told
check "it has no more than any other program" not grep -v ' nice=0 adj=0$' /run/headroom/told
work tier load task --bytes 20M --seconds 3600 --grow-seconds 1
tier_stands() { is_shown tier MemoryHigh 79691776 && is_knob workload.slice/tier.service memory.high 79691776; }
check "a tier's limits are set" wait_until 20 tier_stands
keeper_nice() { for pid in $(cat "$CGROUP/headroom.slice/headroomd.service/cgroup.procs"); do
    grep -q '^headroomd-qos' "/proc/$pid/comm" && cut -d' ' -f19 "/proc/$pid/stat"; done; }
check "who keeps them does not compete with the work" [ "$(keeper_nice)" = 0 ]
check "it lacks nothing with them" untroubled
systemctl stop tier

# Reclaim ahead, where there is swap.
swapon /dev/vda
work filler load task --bytes 800M --seconds 3600 --grow-seconds 10
check "with swap, memory is reclaimed" wait_until 60 status_is_more reclaimed_bytes 0
figure reclaimed_bytes "$(status reclaimed_bytes)"
check "it lacks nothing still" untroubled
systemctl stop filler
swapoff /dev/vda

# SIGKILL: systemd starts it again, and it adopts what stands. Whether who is paused goes on then is the policy's affair
# (nobody else has work here); that its journal is adopted and not undone is ours.
memory_knobs() { knobs_save /tmp/all.txt && grep -v cgroup.freeze /tmp/all.txt; }
same_memory() { memory_knobs >/tmp/after.txt && knobs_compare /tmp/guarded.txt /tmp/after.txt; }
check "a group is paused" headroom pause workload.slice/keeper.service
check "it is frozen" wait_until 10 is_knob workload.slice/keeper.service cgroup.freeze 1
memory_knobs >/tmp/guarded.txt
first=$(main_pid) undone=$(shown headroom-undo ExecMainStartTimestampMonotonic) begin=$(uptime_msec)
systemctl kill -s KILL --kill-whom=main headroomd
check "SIGKILL: there is a successor" wait_until 20 is_another "$first"
figure restart_msec $(($(uptime_msec) - begin))
check "SIGKILL: the limits are unchanged" same_memory
check "SIGKILL: nothing was undone" is_shown headroom-undo ExecMainStartTimestampMonotonic "$undone"
check "SIGKILL: there are no companions but its own, with the hooks' and the keeper" wait_until 10 has_processes 5
headroom resume workload.slice/keeper.service
check "SIGKILL: the group can go on" wait_until 10 is_knob workload.slice/keeper.service cgroup.freeze 0

# A hang: the fence first, then systemd's watchdog.
first=$(main_pid) begin=$(uptime_msec)
systemctl kill -s STOP --kill-whom=main headroomd
check "hang: systemd starts another one" wait_until 40 is_another "$first"
figure watchdog_msec $(($(uptime_msec) - begin))
check "hang: it was the watchdog" [ "$(shown headroomd NRestarts)" -ge 1 ]
check "hang: the node is guarded, without a fence" wait_until 10 unfenced
sleep 12
check "it outlives its watchdog's time" [ "$(main_pid)" -ne 0 ]
check "without another restart" [ "$(shown headroomd NRestarts)" -eq 2 ]

# A stop.
begin=$(uptime_msec)
check "stop: it stops" systemctl stop headroomd
figure stop_msec $(($(uptime_msec) - begin))
check "stop: without a failure" is_shown headroomd Result success
check "stop: every knob is as found" as_found
check "stop: nobody is left of it" wait_until 5 is_empty

# A crash that no restart follows.
mkdir -p $drop_ins
printf '%s\n' "[Service]" Restart=no >$drop_ins/test.conf
systemctl daemon-reload
systemctl start headroomd
check "crash: it was guarded" wait_until 5 guarded
check "crash: a group is paused" headroom pause workload.slice/keeper.service
systemctl kill -s KILL --kill-whom=main headroomd
check "crash: it has failed" wait_until 10 is_failed headroomd
check "crash: every knob is as found" wait_until 10 as_found
check "crash: the guardian ends" wait_until 10 is_empty
check "crash: and has changed nothing" as_found
check "crash: the undo is well" is_shown headroom-undo Result success

# A restart that comes late.
printf '%s\n' "[Service]" RestartSec=20s >$drop_ins/test.conf
systemctl daemon-reload
systemctl reset-failed headroomd
systemctl start headroomd
check "late: it was guarded" wait_until 5 guarded
first=$(main_pid)
systemctl kill -s KILL --kill-whom=main headroomd
check "late: meanwhile the guardian's fence stands" wait_until 6 is_knob workload.slice memory.max "$high"
check "late: there is a successor" wait_until 30 is_another "$first"
never_lower() { # for 3 s: a fence that is still falling is no limit of somebody else's
    for tenth in $(seq 30); do
        brake=$(knob workload.slice memory.high)
        [ "$brake" = max ] || [ "$brake" -ge "$high" ] || return 1
        sleep 0.1
    done
}
check "late: whose limit is none lower" never_lower
check "late: which takes it down" wait_until 10 unfenced
check "late: it stops" systemctl stop headroomd
check "late: every knob is as found" as_found
rm -r $drop_ins
systemctl daemon-reload

# A configuration that is wrong.
echo "[Nod]" >>/etc/headroom/headroom.conf
check "a wrong configuration does not start" not systemctl start headroomd
check "and is not tried again" is_shown headroomd ExecMainStatus 3
rm /etc/headroom/headroom.conf
systemctl reset-failed headroomd

# Whoever is in the group may look.
check "the group is made" systemd-sysusers
check "it starts" systemctl start headroomd
look() { systemd-run --quiet -p Type=oneshot -p User=nobody "$@" "$(command -v headroom)" status; }
check "a member of the group may look" look -p SupplementaryGroups=headroom
check "nobody else may" not look
check "it stops" systemctl stop headroomd
check "every knob is as found at the end" as_found
finish
