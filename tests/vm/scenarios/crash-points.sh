# vm: memory=1024 cpus=2 swap=none timeout=580
# SIGKILL of headroomd at each step of a pause, a resume and a kill, just before or just after the write that is the
# step; then in turn `headroom undo`, or a successor that is stopped: nothing stays frozen, every knob is as it was found.
. /lib.sh
: "${TASKS:=8}" "${BYTES:=150M}" "${TASK_SECONDS:=3}" "${GROW_SECONDS:=2}" "${STAGGER:=100ms}" "${LIMIT:=40}"
storm_defaults

# A point each: its actions, the file written to and a pattern of what is written, the how many-th, before or after.
: "${POINTS:=
pause+kill journal:lease*knob=cgroup.freeze* 1 before
pause+kill journal:lease*knob=cgroup.freeze* 1 after
pause+kill journal:lease*knob=cgroup.freeze* 2 before
pause+kill cgroup.freeze:1* 1 before
pause+kill cgroup.freeze:1* 1 after
pause+kill cgroup.freeze:1* 2 before
pause+kill cgroup.freeze:1* 2 after
pause+kill cgroup.freeze:1* 3 after
pause+kill cgroup.freeze:0* 1 before
pause+kill cgroup.freeze:0* 1 after
pause+kill cgroup.freeze:0* 2 before
pause+kill cgroup.freeze:0* 2 after
pause+kill journal:release*knob=cgroup.freeze* 1 before
pause+kill journal:release*knob=cgroup.freeze* 1 after
kill cgroup.kill:* 1 before
kill cgroup.kill:* 1 after
kill cgroup.kill:* 2 before
kill cgroup.kill:* 2 after
kill journal:lease*knob=memory.high* 1 before
kill memory.high:* 1 after}"

tracer_runs() { grep -q '^State:[[:space:]]*[^ZX]' "/proc/$tracer/status" 2>/dev/null; }
tracer_is_gone() { ! tracer_runs; }
driver_is_gone() { ! grep -q '^State:[[:space:]]*[^ZX]' "/proc/$driver/status" 2>/dev/null; }
started_or_gone() { [ -S /run/headroom/headroom.sock ] || tracer_is_gone; }
crashed_or_over() { tracer_is_gone || driver_is_gone; }
same() { knobs_save /tmp/knobs-after.txt; knobs_compare /tmp/knobs-before.txt /tmp/knobs-after.txt; }
# The groups of the tasks were not there when the knobs were saved, but nobody else sets anything on them.
tasks_are_free() { [ "$(frozen_groups)" -eq 0 ] && ! grep -qv max "$WORKLOAD"/task-*/memory.high 2>/dev/null; }

point() { # NUMBER ACTIONS FILE N WHEN
    name="$1 ($3 $4 $5, $(echo "$2" | tr + ' '))"
    ACTIONS=$(echo "$2" | tr + ' ')
    guard_config /tmp/headroom.conf
    rm -f /tmp/kill-at.json /run/headroom/headroom.sock
    load cgroup-run "$SYSTEM/headroomd" -- load kill-at --file "$3" --n "$4" --when "$5" --output /tmp/kill-at.json -- \
        headroomd --config /tmp/headroom.conf 2>>/tmp/headroomd.log >&2 &
    tracer=$!
    wait_until 10 started_or_gone
    # Not run_driver: its shell would get the signal that cuts the storm.
    load driver --workload "$WORKLOAD" --tasks "$TASKS" --bytes "$BYTES" --seconds "$TASK_SECONDS" --stagger "$STAGGER" \
        --grow-seconds "$GROW_SECONDS" --limit "$LIMIT" --profile "$PROFILE" --output /tmp/driver.json &
    driver=$!
    wait_until $((LIMIT + 5)) crashed_or_over
    point_frozen=$(frozen_groups)
    tracer_runs && kill -TERM $tracer
    wait $tracer 2>/dev/null
    check "$name is reached" [ "$(json_get /tmp/kill-at.json hit)" = true ]
    if [ $(($1 % 2)) -eq 1 ]; then
        point_way=undo
        headroom undo >/tmp/undo.txt || say "undo of $name: $(tail -n 1 /tmp/undo.txt)"
    else
        point_way="a successor and its stop"
        start_headroomd --config /tmp/headroom.conf
        sleep 1
        stop_headroomd
    fi
    check "$name: after $point_way nothing stays frozen (of $point_frozen)" tasks_are_free
    kill -TERM $driver
    wait $driver
    check "$name: and every knob is as it was found" same
}

mkdir -p "$SYSTEM/headroomd" # where it will run; there before the first look at the knobs
knobs_save /tmp/knobs-before.txt
number=0
while read -r actions file n when; do
    [ -n "$actions" ] || continue
    number=$((number + 1))
    point $number "$actions" "$file" "$n" "$when"
done <<LIST
$POINTS
LIST
figure points $number
figure oom_kills "$(oom_kills)"
check "every kernel kill was inside the workload" [ "$(oom_kills)" -le "$(group_event "$WORKLOAD" oom_kill)" ]
finish
