# vm: memory=1024 cpus=2 swap=none timeout=260
# The storm with headroomd: everything finishes, nothing is left to the kernel's killer, the service beside it goes on.
. /lib.sh
storm_defaults

isolate_config >/tmp/headroom.conf <<'CONFIG'
[Class batch]
Match=workload.slice/*
Priority=300
Retriable=yes
Actions=kill
CONFIG
# A scenario of the same shape with another policy sets this by --set.
[ -z "${ACTIONS:-}" ] || sed -i "s/^Actions=.*/Actions=$ACTIONS/" /tmp/headroom.conf

knobs_save /tmp/knobs-before.txt
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
limit=$(cat "$WORKLOAD/memory.high")
figure limit_bytes "$limit"
check "the workload has a limit" [ "$limit" -gt 0 ] || finish
ideal=$(ideal_seconds "$limit")
figure ideal_seconds "$ideal"

start_heartbeat
run_driver
stop_heartbeat

figure oom_kills "$(oom_kills)"
check "headroomd still runs" headroomd_runs
check "all tasks finish" [ "$(json_get /tmp/driver.json finished)" -eq "$TASKS" ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
bar "time, permille of ideal" "$(ratio_permille "$(driver_get seconds)" $ideal)" 1350
bar "heartbeat p99.9, usec" "$(heartbeat_get p999_usec)" 100000
check "no heartbeat later than 10 s" at_most "$(heartbeat_get worst_usec)" 10000000
check "headroomd stops when it is told to" stop_headroomd
knobs_save /tmp/knobs-after.txt
check "every knob is as it was before" knobs_compare /tmp/knobs-before.txt /tmp/knobs-after.txt
finish
