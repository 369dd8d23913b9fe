# vm: memory=1024 cpus=2 swap=none timeout=260
# The storm with nobody but the kernel: it must go wrong, or the guarded storm would prove nothing.
. /lib.sh
storm_defaults

total=$(meminfo_bytes MemTotal)
ideal=$(ideal_seconds $((total - 140 * 1024 * 1024)))
figure total_bytes "$total"
figure ideal_seconds "$ideal"

start_heartbeat
run_driver
stop_heartbeat

finished=$(json_get /tmp/driver.json finished)
seconds=$(json_get /tmp/driver.json seconds)
figure oom_kills "$(oom_kills)"

went_well() { [ "$finished" -eq "$TASKS" ] && at_most "$seconds" $((2 * ideal)) && [ "$(oom_kills)" -eq 0 ]; }
went_wrong() { ! went_well; }
check "without a guard the storm goes wrong ($finished of $TASKS, $seconds s, $(oom_kills) kernel kills)" went_wrong
check "what was killed was killed by the kernel" [ "$(json_get /tmp/driver.json killed)" -le "$(oom_kills)" ]
finish
