# vm: memory=1024 cpus=2 swap=none timeout=150
# Who freezes a group has the say over it: one that somebody else froze stays frozen, before and during the pressure and
# after the stop; one that headroomd paused and somebody else thawed stays thawed.
. /lib.sh
: "${ACTIONS:=pause kill}" "${TASKS:=8}" "${TASK_SECONDS:=6}" "${LIMIT:=80}"
storm_defaults

freeze_of() { cat "$WORKLOAD/$1/cgroup.freeze" 2>/dev/null; } # GROUP
foreign_start() { # GROUP
    load cgroup-run "$WORKLOAD/$1" -- load task --bytes 40M --seconds 600 --grow-seconds 1 >/dev/null 2>&1 &
}
foreign_start early
foreign_start late
sleep 2
echo 1 >"$WORKLOAD/early/cgroup.freeze"

guard_config /tmp/headroom.conf
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
start_heartbeat
run_driver >/tmp/driver-figures.txt 2>&1 &
driver=$!

# Whichever of the storm's is paused first.
paused_task() {
    for paused in "$WORKLOAD"/task-*; do
        [ "$(cat "$paused/cgroup.freeze" 2>/dev/null)" = 1 ] && return 0
    done
    return 1
}
if check "headroomd pauses a task" wait_until 20 paused_task; then
    thawed=${paused##*/}
    echo 0 >"$paused/cgroup.freeze"
    echo 1 >"$WORKLOAD/late/cgroup.freeze"
    say "thawed $thawed"
    again=0
    end=$(($(uptime_msec) + 8000))
    while [ "$(uptime_msec)" -lt $end ] && [ -d "$WORKLOAD/$thawed" ]; do
        [ "$(freeze_of "$thawed")" != 1 ] || again=$((again + 1))
        sleep_msec 100
    done
    check "one that somebody else thawed is not paused again" [ $again -eq 0 ]
else
    echo 1 >"$WORKLOAD/late/cgroup.freeze"
fi
check "frozen before, it stays so under pressure" [ "$(freeze_of early)" = 1 ]
check "frozen during the pressure, it stays so" [ "$(freeze_of late)" = 1 ]
wait $driver
stop_heartbeat
figure pauses "$(pauses)"
figure kills "$(kills)"
check "all tasks finish" [ "$(driver_get finished)" -eq "$TASKS" ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
sleep 2
check "when it is calm again both stay frozen" [ "$(freeze_of early)$(freeze_of late)" = 11 ]
check "headroomd stops when it is told to" stop_headroomd
check "after the stop both stay frozen" [ "$(freeze_of early)$(freeze_of late)" = 11 ]
check "and nothing else" [ "$(frozen_groups)" -eq 2 ]
finish
