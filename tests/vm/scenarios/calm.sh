# vm: memory=4096 cpus=2 swap=none timeout=120
# The storm's load where everything fits. Nothing may be lost here: if it is, the harness is at fault, not a guard.
. /lib.sh
storm_defaults

start_heartbeat
run_driver
stop_heartbeat

ideal=$(ideal_seconds "$(meminfo_bytes MemAvailable)")
figure ideal_seconds "$ideal"
figure oom_kills "$(oom_kills)"
check "all tasks finish" [ "$(json_get /tmp/driver.json finished)" -eq "$TASKS" ]
check "no attempt is killed" [ "$(json_get /tmp/driver.json killed)" -eq 0 ]
check "no attempt fails" [ "$(json_get /tmp/driver.json failed)" -eq 0 ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
bar "seconds, of 1.5 x ideal" "$(driver_get seconds)" $((ideal * 3 / 2))
bar "heartbeat p99.9, usec" "$(heartbeat_get p999_usec)" 100000
check "no heartbeat later than 10 s" at_most "$(heartbeat_get worst_usec)" 10000000
check "no group is left behind" [ "$(find "$WORKLOAD" -mindepth 1 -type d | wc -l)" -eq 0 ]
finish
