# vm: memory=1024 cpus=2 swap=none timeout=150
# A parent waits for children that are paused at birth, since the node is nearly full and what they declare does not
# fit. When nothing else moves any more, one of them is let run within 5 s, then the next: all come to their end.
. /lib.sh
: "${ACTIONS:=pause kill}" "${FILL:=93}" "${CHILDREN:=3}" "${CHILD_BYTES:=12M}" "${CHILD_REQUEST:=150M}"

guard_config /tmp/headroom.conf
knobs_save /tmp/knobs-before.txt
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
limit=$(cat "$WORKLOAD/memory.high")
held=$((limit / 100 * FILL))
# It grows slowly, so that its own growth is no reason to act, and then only holds what it has.
load cgroup-run "$WORKLOAD/holder" -- load hog --from $((held / 4)) --to $held --rate 100M --hold 600s &
holder=$!
is_full() { at_most $((held - (8 << 20))) "$(cat "$WORKLOAD/memory.current")"; }
check "the node is nearly full" wait_until 60 is_full
sleep 3
check "and what fills it runs" [ "$(frozen_groups)" -eq 0 ]
headroom status >/tmp/status.txt

start_heartbeat
load cgroup-run "$WORKLOAD/family" -- load family --workload "$WORKLOAD" --name child --children "$CHILDREN" \
    --bytes "$CHILD_BYTES" --request "$CHILD_REQUEST" --seconds 2 >/tmp/family.json &
parent=$!
frozen_children() { cat "$WORKLOAD"/child-*/cgroup.freeze 2>/dev/null | grep -c 1; }
all_frozen() { [ "$(frozen_children)" -eq "$CHILDREN" ]; }
one_runs() { [ "$(frozen_children)" -lt "$CHILDREN" ]; }
family_is_over() { ! grep -q '^State:[[:space:]]*[^ZX]' "/proc/$parent/status" 2>/dev/null; }
if check "the children are paused at birth" wait_until 5 all_frozen; then
    began=$(uptime_msec)
    check "one is let run within 10 s" wait_until 10 one_runs
    figure first_resume_msec $(($(uptime_msec) - began))
fi
began=$(uptime_msec)
if check "the family comes to its end" wait_until 60 family_is_over; then
    figure family_msec $(($(uptime_msec) - began))
    wait $parent
    check "and all children ended well" [ $? -eq 0 ]
else
    for group in "$WORKLOAD"/child-* "$WORKLOAD/family"; do echo 1 >"$group/cgroup.kill"; done
fi
stop_heartbeat
figure pauses "$(pauses)"
check "nobody is killed" [ "$(kills)" -eq 0 ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
check "the holder still holds" [ -d /proc/$holder ]
check "headroomd stops when it is told to" stop_headroomd
check "nothing stays frozen" [ "$(frozen_groups)" -eq 0 ]
knobs_save /tmp/knobs-after.txt
check "every knob is as it was before" knobs_compare /tmp/knobs-before.txt /tmp/knobs-after.txt
finish
