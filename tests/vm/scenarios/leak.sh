# vm: memory=1024 cpus=2 swap=none timeout=300
# Five well-behaved tasks and one that leaks, is the oldest and has used most CPU: the leak is killed within 2 s of the
# limit, again and again, and nobody else.
. /lib.sh
: "${ROUNDS_LEAK:=10}" "${RATE:=60M}" "${BYTES:=60M}"

guard_config /tmp/headroom.conf
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
start_heartbeat
right=0 slowest=0
for round in $(seq "$ROUNDS_LEAK"); do
    before=$(kills)
    load cgroup-run "$WORKLOAD/leak-$round" -- load leak --rate "$RATE" --burn >/dev/null 2>&1 &
    leak=$!
    sleep 1
    others=
    for n in 1 2 3 4 5; do
        load cgroup-run "$WORKLOAD/good-$round-$n" -- load task --bytes "$BYTES" --seconds 60 --grow-seconds 2 \
            >/dev/null 2>&1 &
        others="$others $!"
    done
    if wait_until 40 kill_count_is_more "$before"; then
        wait $leak
        killed=$?
        alive=0
        for pid in $others; do [ -d "/proc/$pid" ] && alive=$((alive + 1)); done
        [ "$killed" -eq 137 ] && [ "$alive" -eq 5 ] && right=$((right + 1))
        [ "$killed" -eq 137 ] && [ "$alive" -eq 5 ] || say "round $round: leak ended with $killed, $alive of 5 others live"
    else
        say "round $round: no kill in 40 s"
    fi
    for n in 1 2 3 4 5; do echo 1 >"$WORKLOAD/good-$round-$n/cgroup.kill"; done
    [ -d "$WORKLOAD/leak-$round" ] && echo 1 >"$WORKLOAD/leak-$round/cgroup.kill"
    wait $leak $others 2>/dev/null
    sleep 1
    rmdir "$WORKLOAD"/leak-* "$WORKLOAD"/good-* 2>/dev/null
done
stop_heartbeat
# From the first look at which something was needed to the victim gone.
slowest=$(kill_lines | sed -n 's/.*outcome_us=\([0-9]*\).*/\1/p' | sort -n | tail -n 1)
figure slowest_outcome_usec "$slowest"
figure rounds_right "$right"
check "the leak alone is killed, $ROUNDS_LEAK of $ROUNDS_LEAK times" [ "$right" -eq "$ROUNDS_LEAK" ]
bar "slowest kill, usec" "$slowest" 2000000
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
check "no kill without need" [ "$(needless_kills)" -eq 0 ]
check "headroomd stops when it is told to" stop_headroomd
finish
