# vm: memory=1024 cpus=2 swap=none timeout=200
# Shared memory that the work uses but the protected side is charged for: memory.high does not see it, the sum does.
# Then kernel memory, which anon and shmem do not show.
. /lib.sh

guard_config /tmp/headroom.conf
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
limit=$(cat "$WORKLOAD/memory.high")
start_heartbeat
fill=$((limit * 55 / 100 / 1048576))M
load cgroup-run "$WORKLOAD/worker" -- load task --bytes "$fill" --seconds 600 --grow-seconds 4 &
worker=$!
sleep 6
check "the worker alone is fine" [ "$(kills)" -eq 0 ]

# As much again, touched first by a process of the protected slice, and not fast.
load cgroup-run "$SYSTEM/store" -- load shm --bytes "$((limit * 60 / 100 / 1048576))M" --rate 80M &
store=$!
check "it is seen and acted on" wait_until 30 kill_count_is_more 0
wait $worker
check "the work gave way" [ $? -eq 137 ]
check "the trigger was not an event of the workload's" [ "$(kill_lines | grep -c 'trigger=event')" -eq 0 ]
sleep 1
kill -TERM $store
wait $store
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
check "no kill without need" [ "$(needless_kills)" -eq 0 ]

for kind in pipes sockets; do
    before=$(kills)
    load cgroup-run "$WORKLOAD/$kind" -- load $kind --bytes 2G >/dev/null 2>&1 &
    hog=$!
    check "a hog of $kind is acted on" wait_until 40 kill_count_is_more "$before"
    wait $hog
    check "the hog of $kind is the one killed" [ $? -eq 137 ]
done
stop_heartbeat
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
bar "worst heartbeat, usec" "$(heartbeat_get worst_usec)" 500000
check "no heartbeat later than 10 s" at_most "$(heartbeat_get worst_usec)" 10000000
check "headroomd stops when it is told to" stop_headroomd
finish
