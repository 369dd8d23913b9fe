# vm: memory=1024 cpus=2 swap=none timeout=120
# Without a brake (Mode=host): the threshold monitor alone is ahead of growth at a speed that programs have.
. /lib.sh
: "${RATE:=150M}"
MODE=host
guard_config /tmp/headroom.conf
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
check "it says why there is no brake" sh -c 'headroom status | grep -q "^mode: *host: Mode=host"'
check "memory.high is left alone" [ "$(cat "$WORKLOAD/memory.high")" = max ]
start_heartbeat
load cgroup-run "$WORKLOAD/keeper" -- load task --bytes 100M --seconds 600 --grow-seconds 1 &
keeper=$!
sleep 2
for round in 1 2 3; do
    load cgroup-run "$WORKLOAD/hog-$round" -- load hog --from 10M --to 4G --rate "$RATE" >/dev/null 2>&1
    check "hog $round is killed" [ $? -eq 137 ]
done
check "by headroomd" [ "$(kills)" -ge 3 ]
check "and nobody else" [ -d /proc/$keeper ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
stop_heartbeat
bar "worst heartbeat, usec" "$(heartbeat_get worst_usec)" 500000
check "no heartbeat later than 10 s" at_most "$(heartbeat_get worst_usec)" 10000000
check "headroomd stops when it is told to" stop_headroomd

# At boot the daemon is there before the work is: what it guards by itself, it guards as soon as somebody is in it.
has_brake() { [ "$(cat "$WORKLOAD/memory.high")" != max ]; }
kill -KILL "$keeper"
wait "$keeper"
printf '[Node]\nSystemReserve=140M\n' >/tmp/auto.conf
check "headroomd starts without any work" start_headroomd --config /tmp/auto.conf || finish
check "it says that there is none yet" sh -c 'headroom status | grep -q "^mode: *host: no workload is populated"'
load cgroup-run "$WORKLOAD/late" -- load task --bytes 50M --seconds 60 --grow-seconds 1 &
late=$!
check "it guards the workload as soon as there is work" wait_until 30 has_brake
check "and says so" sh -c 'headroom status | grep -q "^mode: *isolate"'
kill -KILL "$late"
wait "$late"
check "headroomd stops" stop_headroomd
check "memory.high is as it was" [ "$(cat "$WORKLOAD/memory.high")" = max ]
finish
