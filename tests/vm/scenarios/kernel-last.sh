# vm: memory=1024 cpus=2 swap=none timeout=560
# headroomd stands still (SIGSTOP) while the work grows beyond the limit: the kernel's killer takes the groups in the
# order of their classes, since their oom_score_adj says so, each whole, and only in the workload, where the guardian's
# fence keeps it. Groups of one size in three classes, two of each; the kernel has to kill five of the six.
. /lib.sh
: "${ROUNDS:=10}" "${RATE:=15M}"

# The fence lets the work have all of its limit, which headroomd never does: what the system takes has to fit beside it.
config=/tmp/headroom.conf
isolate_config 240M >$config <<'CONFIG'
[Class low]
Match=workload.slice/low-*
Priority=200
QoS=burstable
ThrottleFactor=0
OomGroup=yes
[Class mid]
Match=workload.slice/mid-*
Priority=500
QoS=burstable
ThrottleFactor=0
OomGroup=yes
[Class high]
Match=workload.slice/high-*
Priority=800
QoS=burstable
ThrottleFactor=0
OomGroup=yes
CONFIG
groups="high-1 mid-1 low-1 high-2 mid-2 low-2"

current() { cat "$WORKLOAD/memory.current"; }
score() { cat "/proc/$(head -n 1 "$WORKLOAD/$1/cgroup.procs")/oom_score_adj"; }
scores_are() { [ "$(score high-1) $(score mid-1) $(score low-2) $(cat "$WORKLOAD/low-2/memory.oom.group")" = "200 500 800 1" ]; }
deaths() { wc -l </tmp/deaths; }
deaths_are() { [ "$(deaths)" -ge "$1" ]; }
# As the kernel tells of it: of two that die within a moment the shell may hear of the second one first.
begin_round() { echo "headroom: round $1 begins" >/dev/kmsg; }
killed() { # ROUND: the classes
    dmesg | sed "1,/headroom: round $1 begins/d" | sed -n 's|.*oom-kill:.*task_memcg=/workload.slice/\([a-z]*\)-.*|\1|p'
}
is_empty() { grep -q "^populated 0" "$WORKLOAD/$1/cgroup.events"; }
inside() { [ "$(oom_kills)" -eq "$(group_event "$WORKLOAD" oom_kill)" ]; }
# A group has a process beside the one that grows.
run_group() { # NAME
    qos_sleeper "$WORKLOAD/$1"
    (
        load cgroup-run "$WORKLOAD/$1" -- load hog --from 8M --from-wait 5 --to 2G --rate "$RATE" >/dev/null 2>&1
        echo "$1" >>/tmp/deaths
    ) &
}
end_group() { # NAME
    echo 1 >"$WORKLOAD/$1/cgroup.kill" 2>/dev/null
    wait_until 5 is_empty "$1"
}

mkdir -p "$SYSTEM/headroomd"
check "headroomd starts" start_headroomd --config $config || finish
limit=$(cat "$WORKLOAD/memory.high")
figure limit_bytes "$limit"
worst=0 good=0
round=0
while [ $round -lt "$ROUNDS" ]; do
    round=$((round + 1))
    : >/tmp/deaths
    begin_round "$round"
    for group in $groups; do run_group "$group"; done
    check "round $round: the scores are those of the classes" wait_until 4 scores_are
    # Well before the limit, so that the fence is up by then; or so late that it comes after it.
    share=50
    [ $((round % 2)) -eq 1 ] || share=90
    while [ "$(current)" -lt $((limit / 100 * share)) ]; do sleep_msec 50; done
    kill -STOP "$headroomd_pid"
    while [ "$(current)" -lt $((limit - (2 << 20))) ] && [ "$(deaths)" -eq 0 ]; do sleep_msec 20; done
    exhausted=$(uptime_msec)
    check "round $round: the kernel kills" wait_until 20 deaths_are 1
    first=$(($(uptime_msec) - exhausted))
    [ $first -le $worst ] || worst=$first
    check "round $round: and goes on" wait_until 60 deaths_are 5
    order=$(killed "$round" | head -n 5 | tr '\n' ' ')
    check "round $round: in the order of the classes (first after $first ms)" [ "$order" = "low low mid mid high " ] &&
        good=$((good + 1))
    for group in $(head -n 4 /tmp/deaths); do check "round $round: $group whole" is_empty "$group"; done
    check "round $round: inside the workload only" inside
    check "round $round: at the fence, not for want of memory on the node" [ "$(dmesg | grep -c "Out of memory: Killed")" -eq 0 ]
    for group in $groups; do end_group "$group"; done
    kill -CONT "$headroomd_pid"
    fence_is_down() { [ "$(cat "$WORKLOAD/memory.max")" = max ]; }
    check "round $round: woken up, it takes the fence down" wait_until 10 fence_is_down
    wait_until 10 deaths_are 6
done
figure rounds_in_order $good
figure first_kill_worst_msec $worst
bar "first kill after exhaustion, msec" $worst 5000
check "$ROUNDS of $ROUNDS rounds in the order of the classes" [ $good -eq "$ROUNDS" ]
check "headroomd has killed nobody" [ "$(kills)" -eq 0 ]
check "it stops" stop_headroomd
finish
