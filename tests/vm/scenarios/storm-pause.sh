# vm: memory=1024 cpus=2 swap=none timeout=260 programs=tests/programs/no_heap.so
# The storm where headroomd may pause: the newest stands still until the oldest is done, and next to nothing is lost.
# The heartbeat is to be compared with that of `calm`. --set NO_HEAP=yes: also, the loop must not ask for heap.
. /lib.sh
: "${ACTIONS:=pause kill}"
storm_defaults

guard_config /tmp/headroom.conf
knobs_save /tmp/knobs-before.txt
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
limit=$(cat "$WORKLOAD/memory.high")
ideal=$(ideal_seconds "$limit")
figure limit_bytes "$limit"
figure ideal_seconds "$ideal"

start_heartbeat
run_driver
stop_heartbeat

time=$(ratio_permille "$(driver_get seconds)" "$ideal")
figure time_permille_of_ideal "$time"
figure lost_permille_of_work "$(lost_permille)"
figure oom_kills "$(oom_kills)"
figure kills "$(kills)"
figure pauses "$(pauses)"
check "headroomd still runs" headroomd_runs
[ -z "${NO_HEAP:-}" ] || check "its loop took no heap" not grep -q no_heap: /tmp/headroomd.log
check "all tasks finish" [ "$(driver_get finished)" -eq "$TASKS" ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
check "no kill without need" [ "$(needless_kills)" -eq 0 ]
bar "time, permille of ideal" "$time" 1100
bar "lost, permille of work" "$(lost_permille)" 20
check "what is lost is at most 20 % of the work" at_most "$(lost_permille)" 200
bar "heartbeat p99.9, usec" "$(heartbeat_get p999_usec)" 100000
check "no heartbeat later than 10 s" at_most "$(heartbeat_get worst_usec)" 10000000
check "headroomd stops when it is told to" stop_headroomd
check "nothing stays frozen" [ "$(frozen_groups)" -eq 0 ]
knobs_save /tmp/knobs-after.txt
check "every knob is as it was before" knobs_compare /tmp/knobs-before.txt /tmp/knobs-after.txt
finish
