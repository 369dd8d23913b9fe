# vm: memory=1024 cpus=2 swap=none timeout=120
# Six workers in one cgroup (Ray keeps all of them in one), Unit=process, need of one: one dies, five finish.
. /lib.sh

guard_config /tmp/headroom.conf
sed -i 's|^Match=.*|Match=workload.slice/workers\nUnit=process\nMatchCommand=load|' /tmp/headroom.conf
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
start_heartbeat
mkdir -p "$WORKLOAD/workers"
pids=
for n in 1 2 3 4 5 6; do
    load cgroup-run "$WORKLOAD/workers" -- load task --bytes 160M --seconds 20 --grow-seconds 4 >/dev/null 2>&1 &
    pids="$pids $!"
    sleep_msec 500
done
finished=0 killed=0
for pid in $pids; do
    wait "$pid"
    case $? in
    0) finished=$((finished + 1)) ;;
    137) killed=$((killed + 1)) ;;
    esac
done
stop_heartbeat
figure finished "$finished"
figure killed "$killed"
check "five finish" [ "$finished" -eq 5 ]
check "one is killed" [ "$killed" -eq 1 ]
check "by headroomd" [ "$(kills)" -eq 1 ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
check "headroomd stops when it is told to" stop_headroomd
finish
