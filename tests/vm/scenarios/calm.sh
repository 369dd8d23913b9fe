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
check "time is at most 1.5 x ideal" at_most "$(json_get /tmp/driver.json seconds)" $((ideal * 3 / 2))
check "the heartbeat's p99.9 is at most 100 ms" at_most "$(json_get /tmp/heartbeat.json p999_usec)" 100000
check "the heartbeat missed no beat" at_most $((TASK_SECONDS * 100)) "$(json_get /tmp/heartbeat.json beats)"
check "no group is left behind" [ "$(find "$WORKLOAD" -mindepth 1 -type d | wc -l)" -eq 0 ]
finish
