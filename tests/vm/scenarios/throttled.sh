# vm: memory=1024 cpus=2 swap=none timeout=280
# Groups that stand at their own memory.high with nothing to reclaim. By the formula alone (the plan is applied, and nobody
# looks) they hang. With headroomd each gets on within ThrottleDeadline: its own limit is raised, and never the domain's; or
# it is ended. A group that runs beside them keeps its knobs.
. /lib.sh
: "${ROUNDS:=3}" "${GROUPS_EACH:=10}" "${DEADLINE_SECONDS:=4}"

config=/tmp/headroom.conf
isolate_config >$config <<CONFIG
ThrottleDeadline=${DEADLINE_SECONDS}s
[Class batch]
Match=workload.slice/task-*
Priority=300
QoS=burstable
Request=4M
Limit=60M
ThrottleFactor=0.3
CONFIG

# Each needs 40M, and is throttled from 20.8M on.
high=$(((4 * 1048576 + 56 * 1048576 * 3 / 10) / 4096 * 4096))
each() { seq 1 "$GROUPS_EACH"; }
begin_group() { # NAME
    mkdir "$WORKLOAD/$1"
    run_in "$WORKLOAD/$1" sleep 1000 &
}
work() { run_in "$WORKLOAD/$1" load task --bytes 40M --seconds 1 --grow-seconds 1 >"/tmp/$1.out" 2>&1 && echo done >"/tmp/$1.done"; }
knob() { cat "$WORKLOAD/$1/$2" 2>/dev/null; }
throttled() { grep -q '^high [1-9]' "$WORKLOAD/$1/memory.events.local"; }
all_planned() { for i in $(each); do [ "$(knob "task-$i" memory.high)" = $high ] || return 1; done; }
finished() { ls /tmp/task-*.done 2>/dev/null | wc -l; }
end_groups() {
    for i in $(each); do
        echo 1 >"$WORKLOAD/task-$i/cgroup.kill"
        wait_until 5 rmdir "$WORKLOAD/task-$i"
    done
    rm -f /tmp/task-*
}

for i in $(each); do begin_group "task-$i"; done
sleep 1
check "the formula alone is applied" headroom --config $config qos apply
check "as planned" all_planned
for i in $(each); do work "task-$i" & done
sleep $((DEADLINE_SECONDS * 4))
figure finished_by_formula_alone "$(finished)"
check "by the formula alone they hang" [ "$(finished)" -eq 0 ]
for i in $(each); do
    throttled "task-$i" && [ "$(knob "task-$i" memory.high)" = $high ] || say "task-$i: not throttled"
done
end_groups
check "undo" headroom qos undo

check "headroomd starts" start_headroomd --config $config || finish
brake() { knob . memory.high; }
wait_until 4 not [ "$(brake)" = max ]
domain=$(brake)
worst=0
runs=0 ended=0
for round in $(seq 1 "$ROUNDS"); do
    for i in $(each); do begin_group "task-$i"; done
    check "round $round: as planned" wait_until 6 all_planned
    for i in $(each); do work "task-$i" & done
    pending=$(for i in $(each); do echo "task-$i"; done)
    begin=$(uptime_msec)
    while [ -n "$pending" ] && [ $(($(uptime_msec) - begin)) -lt $(((DEADLINE_SECONDS + 20) * 1000)) ]; do
        now=$(uptime_msec) left=
        for name in $pending; do
            [ -e "/tmp/$name.since" ] || { throttled "$name" && echo "$now" >"/tmp/$name.since"; }
            if [ -e "/tmp/$name.done" ] || [ "$(knob "$name" memory.high)" != $high ]; then
                since=$(cat "/tmp/$name.since" 2>/dev/null || echo "$now")
                ended=$((ended + 1))
                [ $((now - since)) -le $worst ] || worst=$((now - since))
            else
                left="$left $name"
            fi
        done
        pending=$left
        sleep_msec 200
    done
    runs=$((runs + GROUPS_EACH))
    check "round $round: nobody is throttled any more" [ -z "$pending" ]
    all_done() { [ "$(finished)" -eq "$GROUPS_EACH" ]; }
    check "round $round: all get their work done" wait_until $((DEADLINE_SECONDS + 10)) all_done
    end_groups
done
figure runs $runs
figure ended $ended
bar throttled_msec_worst $worst $(((DEADLINE_SECONDS + 2) * 1000))
check "nobody hung for much longer than the deadline" [ $worst -le $(((DEADLINE_SECONDS + 2) * 3000)) ]
check "the domain's limit was not raised" [ "$(brake)" -le $((domain + domain / 32)) ]
headroom events >/tmp/events.txt
figure raised "$(grep -c "throttled it" /tmp/events.txt)"
say "$(grep -m 1 "throttled it" /tmp/events.txt)"
check "what was raised is in the events" [ "$(grep -c "task-.*raised to" /tmp/events.txt)" -ge "$runs" ]
check "nobody was killed by the kernel" [ "$(oom_kills)" -eq 0 ]
check "it stops" stop_headroomd
finish
