# vm: memory=1024 cpus=2 swap=none timeout=240
# headroomd is stopped by SIGSTOP, and killed and not restarted, in the middle of the storm: within 5 s the work goes
# on behind a fence, and the protected side does not notice. With ACTIONS="pause kill" there are groups paused then.
. /lib.sh
: "${LIMIT:=30}" "${WAYS:=stop kill}"
storm_defaults

limits() { echo "$(cat "$WORKLOAD/memory.high") $(cat "$WORKLOAD/memory.max")"; }
fence_is_down() { [ "$(cat "$WORKLOAD/memory.max")" = max ] && [ "$(cat "$WORKLOAD/memory.high")" != max ]; }
limits_are() { [ "$(limits)" = "$1" ]; }

guard_config /tmp/headroom.conf
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
limit=$(cat "$WORKLOAD/memory.high")
start_heartbeat

for way in $WAYS; do
    run_driver >/tmp/driver-figures.txt 2>&1 &
    driver=$!
    check "$way: the storm is on" wait_until 20 storm_is_on "$(kills)"
    figure "${way}_frozen_before" "$(frozen_groups)"
    began=$(uptime_msec)
    case $way in
    stop) kill -STOP "$headroomd_pid" ;;
    kill) kill -KILL "$headroomd_pid" ;;
    esac
    check "$way: within 5 s there is a fence in the brake's place" wait_until 5 limits_are "max $limit"
    figure "${way}_fence_msec" $(($(uptime_msec) - began))
    sleep 1
    before=$(full_usec "$WORKLOAD") cpu_before=$(cpu_usec "$WORKLOAD")
    sleep 8
    stalled=$((($(full_usec "$WORKLOAD") - before) / 80000))
    figure "${way}_full_percent_behind_the_fence" $stalled
    # Who finishes behind the fence is the kernel's choice: it kills the largest.
    check "$way: the work goes on (CPU time)" [ $(($(cpu_usec "$WORKLOAD") - cpu_before)) -gt 200000 ]
    check "$way: nothing stays throttled (full under 50 %)" [ $stalled -lt 50 ]
    check "$way: nothing stays frozen" [ "$(frozen_groups)" -eq 0 ]
    check "$way: every kernel kill is inside the workload" [ "$(oom_kills)" -le "$(group_event "$WORKLOAD" oom_kill)" ]
    figure "${way}_oom_kills" "$(oom_kills)"
    if [ "$way" = stop ]; then
        kill -CONT "$headroomd_pid"
        check "stop: woken up, headroomd has the brake again" wait_until 45 limits_are "$limit max"
    else
        wait "$headroomd_pid" 2>/dev/null
        check "kill: a late successor starts" start_headroomd --config /tmp/headroom.conf
        # A workload that is above its limit then has 30 s to come down.
        check "kill: and takes the fence down" wait_until 10 fence_is_down
        check "kill: and has the brake at its limit" wait_until 45 limits_are "$limit max"
    fi
    wait $driver
    figure "${way}_finished" "$(json_get /tmp/driver.json finished)"
done
stop_heartbeat
bar "heartbeat p99.9, usec" "$(heartbeat_get p999_usec)" 100000
check "no heartbeat later than 10 s" at_most "$(heartbeat_get worst_usec)" 10000000
check "headroomd stops when it is told to" stop_headroomd
check "the brake and the fence are gone" limits_are "max max"
check "nothing is frozen at the end" [ "$(frozen_groups)" -eq 0 ]
finish
