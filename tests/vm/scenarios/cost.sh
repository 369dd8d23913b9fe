# vm: memory=1024 cpus=2 swap=none disk=2G timeout=120
# What headroomd itself costs: memory with MaxGroups groups, wake-ups and CPU while nothing happens, beside a bare loop
# that makes the same wakes and reads.
. /lib.sh
: "${CALM_SECONDS:=20}" "${GROUPS:=1024}"

pss_kib() { awk '$1 == "Pss:" { print $2 }' "/proc/$1/smaps_rollup"; } # PID
anonymous_kib() { awk '$1 == "Anonymous:" { print $2 }' "/proc/$1/smaps_rollup"; }
locked_kib() { awk '$1 == "VmLck:" { print $2 }' "/proc/$1/status"; }
# Both kinds of switches begin with a wake-up or follow one; a process that only waits has the first.
wakes() { awk '$1 == "voluntary_ctxt_switches:" { print $2 }' "/proc/$1/status"; }
run_nsec() { awk '{ print $1 }' "/proc/$1/schedstat"; } # PID: time on a CPU

guard_config /tmp/headroom.conf
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
helpers=$(cat "/proc/$headroomd_pid/task/$headroomd_pid/children")
check "it has two helpers" [ "$(echo "$helpers" | wc -w)" -eq 2 ]

# One sleeper a group: real cgroups, each with a process in it.
load crowd --workload "$WORKLOAD" --groups "$GROUPS" --status-file /tmp/crowd &
crowd=$!
check "$GROUPS groups are there" wait_until 60 test -s /tmp/crowd
headroom pause no/such/group >/dev/null 2>&1 # makes it walk, and the next growth sample does
sleep 6
headroom status --json >/tmp/status.json
check "no group is left out" [ "$(json_get /tmp/status.json groups_left_out)" -eq 0 ]

total=0
for pid in $headroomd_pid $helpers; do
    name=$(cat "/proc/$pid/comm")
    bring_out "/proc/$pid/smaps" "smaps-$name.txt"
    figure "pss_kib_$name" "$(pss_kib "$pid")"
    figure "anonymous_kib_$name" "$(anonymous_kib "$pid")"
    figure "locked_kib_$name" "$(locked_kib "$pid")"
    total=$((total + $(pss_kib "$pid")))
done
bar "Pss of the loop, KiB" "$(pss_kib "$headroomd_pid")" 3072
bar "Pss of all three, KiB" "$total" 4096
own=$SYSTEM/headroomd
figure cgroup_bytes "$(cat "$own/memory.current")"
for key in anon file kernel kernel_stack pagetables slab sock shmem; do
    figure "cgroup_$key" "$(awk -v key="$key" '$1 == key { print $2 }' "$own/memory.stat")"
done
bar "memory.current of headroomd's cgroup, KiB" $(($(cat "$own/memory.current") / 1024)) 12288
check "memory.current of headroomd's cgroup is at most 24 MiB" [ "$(cat "$own/memory.current")" -le $((24 << 20)) ]
figure descriptors "$(find "/proc/$headroomd_pid/fd" -type l | wc -l)"

kill -TERM $crowd
wait $crowd
check "the groups are gone" [ "$(find "$WORKLOAD" -mindepth 1 -type d | wc -l)" -eq 0 ]

# Calm. The loop's wakes are those that it counts and those that the scheduler saw; a bare loop beside it, so that the
# machine is in the same mood for both.
run_in "$WORKLOAD/keeper" load task --bytes 50M --seconds 600 --grow-seconds 1 >/dev/null &
load cgroup-run "$SYSTEM/bare" -- load bare-loop --group "$WORKLOAD" --interval 1s \
    --child "$WORKLOAD/keeper" --child-every 5 \
    --knob "$WORKLOAD/memory.high" --knob "$SYSTEM/memory.low" --knob "$SYSTEM/memory.low" &
bare=$!
sleep 8
set -- $helpers
headroom status --json >/tmp/before.json
sleep_msec 500 # what asked for its state has been answered
loop_wakes=$(wakes "$headroomd_pid") bare_wakes=$(wakes "$bare")
helper_wakes=$(($(wakes "$1") + $(wakes "$2"))) helper_run=$(($(run_nsec "$1") + $(run_nsec "$2")))
loop_run=0 bare_run=0 window=0
: >/tmp/ratios
while [ $((window * 10)) -lt "$CALM_SECONDS" ]; do
    window=$((window + 1))
    loop_before=$(run_nsec "$headroomd_pid") bare_before=$(run_nsec "$bare")
    sleep 10
    loop_in=$(($(run_nsec "$headroomd_pid") - loop_before)) bare_in=$(($(run_nsec "$bare") - bare_before))
    loop_run=$((loop_run + loop_in)) bare_run=$((bare_run + bare_in))
    echo $((loop_in * 1000 / (bare_in + 1))) >>/tmp/ratios
done
loop_wakes=$(($(wakes "$headroomd_pid") - loop_wakes)) bare_wakes=$(($(wakes "$bare") - bare_wakes))
helper_wakes=$(($(wakes "$1") + $(wakes "$2") - helper_wakes))
helper_run=$(($(run_nsec "$1") + $(run_nsec "$2") - helper_run))
headroom status --json >/tmp/after.json
figure loop_wakes "$loop_wakes"
figure loop_cpu_usec $((loop_run / 1000))
figure bare_wakes "$bare_wakes"
figure bare_cpu_usec $((bare_run / 1000))
figure helpers_wakes "$helper_wakes"
figure helpers_cpu_usec $((helper_run / 1000))
figure loop_turns $(($(json_get /tmp/after.json wakeups) - $(json_get /tmp/before.json wakeups)))
figure looks $(($(json_get /tmp/after.json looks) - $(json_get /tmp/before.json looks)))
check "the loop wakes at most twice a second" [ "$loop_wakes" -le $((CALM_SECONDS * 2 + 4)) ]
# One more than seconds: the first and the last one are both in it. The guardian hears a beat with each wake of the loop.
bar "wake-ups of the loop in $CALM_SECONDS s" "$loop_wakes" $((CALM_SECONDS + 1))
bar "wake-ups of the helpers in $CALM_SECONDS s" "$helper_wakes" $((CALM_SECONDS * 2))
figure cpu_permille_of_bare_by_windows "$(sort -n /tmp/ratios | tr '\n' ' ')"
bar "CPU of the loop, permille of a bare loop's" $((loop_run * 1000 / (bare_run + 1))) 1500
kill -TERM $bare
wait $bare
check "headroomd stops when it is told to" stop_headroomd
finish
