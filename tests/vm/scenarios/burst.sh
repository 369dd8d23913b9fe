# vm: memory=1024 cpus=2 swap=none timeout=300
# A program that touches memory as fast as it can, from 100 MiB to beyond the node, again and again: it is the one that
# dies, each time, and neither the kernel's killer nor the service beside it notices.
. /lib.sh
: "${ROUNDS:=20}" "${FROM:=100M}" "${THREADS:=1}" "${HOG_OPTIONS:=}"

guard_config /tmp/headroom.conf
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
# A quiet neighbour, older than every hog: it must outlive them all.
load cgroup-run "$WORKLOAD/neighbour" -- load task --bytes 100M --seconds 600 --grow-seconds 1 &
neighbour=$!
sleep 2
start_heartbeat

killed=0
for round in $(seq "$ROUNDS"); do
    # shellcheck disable=SC2086 # a list of words
    load cgroup-run "$WORKLOAD/hog-$round" -- load hog --from "$FROM" --to 4G --rate max --threads "$THREADS" \
        $HOG_OPTIONS >/dev/null 2>&1 &
    hog=$!
    wait $hog
    [ $? -eq 137 ] && killed=$((killed + 1))
    rmdir "$WORKLOAD/hog-$round"
done
stop_heartbeat
figure hogs_killed "$killed"
figure kills "$(kills)"
figure oom_kills "$(oom_kills)"

check "the hog is killed $ROUNDS times" [ "$killed" -eq "$ROUNDS" ]
check "and nobody else" [ -d /proc/$neighbour ]
check "every kill is headroomd's" [ "$(kill_lines | grep -o 'victim=workload.slice/hog-[0-9]* ' | sort -u | wc -l)" -eq "$ROUNDS" ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
check "no kill without need" [ "$(needless_kills)" -eq 0 ]
bar "worst heartbeat, usec" "$(heartbeat_get worst_usec)" 500000
check "no heartbeat later than 10 s" at_most "$(heartbeat_get worst_usec)" 10000000
check "headroomd stops when it is told to" stop_headroomd
finish
