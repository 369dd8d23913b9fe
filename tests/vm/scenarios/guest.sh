# vm: memory=1024 cpus=2 swap=disk:256M disk=64M timeout=120
# The guest and the load generator themselves: every kind of load shows up where it should, nothing is left behind.
. /lib.sh

subtree=$(cat "$WORKLOAD/cgroup.subtree_control")
for controller in memory cpu io pids; do
    case " $subtree " in *" $controller "*) true ;; *) false ;; esac
    check "the workload's children have the $controller controller" [ $? -eq 0 ]
done
check "the tree is mounted with recursive protection" grep -q 'cgroup2.*memory_recursiveprot' /proc/mounts
check "PSI is on" grep -q "^some" "$WORKLOAD/memory.pressure"
check "the modules' files are gone" [ ! -e /modules ]
figure swap_bytes "$(meminfo_bytes SwapTotal)"
figure available_bytes "$(meminfo_bytes MemAvailable)"
case $(tr ' ' '\n' </proc/cmdline | grep '^headroom.swap=') in
*=none) check "there is no swap" [ "$(meminfo_bytes SwapTotal)" -eq 0 ] ;;
*=zswap*) check "zswap is on" grep -q -i '[y1]' /sys/module/zswap/parameters/enabled ;;
*=zram*) check "swap is zram" grep -q zram /proc/swaps ;;
*) check "swap is a disk" grep -q /dev/vd /proc/swaps ;;
esac

field() { awk -v key="$2" '$1 == key { print $2 }' "$1/memory.stat"; }
holds() { at_most "$3" "$(field "$1" "$2")"; }

# charged NAME KEY BYTES COMMAND...: the load charges BYTES to KEY of memory.stat, and its group can go afterwards.
charged() {
    charged_name=$1 charged_key=$2 charged_bytes=$3
    shift 3
    charged_group=$WORKLOAD/probe
    load cgroup-run "$charged_group" -- load "$@" >/dev/null &
    charged_pid=$!
    sleep_msec 200
    check "$charged_name is charged as $charged_key" wait_until 10 holds "$charged_group" "$charged_key" "$charged_bytes"
    kill -TERM $charged_pid
    wait $charged_pid
    check "$charged_name leaves an empty group" wait_until 5 rmdir "$charged_group"
}

mib=1048576
charged "a hog" anon $((90 * mib)) hog --from 10M --to 100M --threads 2
charged "a populating hog" anon $((90 * mib)) hog --to 100M --populate
charged "a leak" anon $((20 * mib)) leak --rate 40M
charged "shared memory" shmem $((90 * mib)) shm --bytes 100M
charged "a memfd" shmem $((90 * mib)) shm --bytes 100M --memfd
charged "a tmpfs file" shmem $((90 * mib)) filler --dir /dev/shm --bytes 100M
charged "pipes" kernel $((60 * mib)) pipes --bytes 100M
charged "sockets" kernel $((60 * mib)) sockets --bytes 100M
if [ -e /dev/data ]; then
    charged "a reader" file $((50 * mib)) reader --file /dev/data --loop
    charged "a writer" file $((50 * mib)) writer --file /dev/data --bytes 60M --loop --rate 200M
fi

# More than fits, in a group with a limit: it must go to swap, without a kill.
if [ "$(meminfo_bytes SwapTotal)" -gt 0 ]; then
    mkdir "$WORKLOAD/swapper"
    echo $((60 * mib)) >"$WORKLOAD/swapper/memory.high"
    load cgroup-run "$WORKLOAD/swapper" -- load hog --to 120M &
    pid=$!
    swapped() { at_most $((30 * mib)) "$(cat "$WORKLOAD/swapper/memory.swap.current")"; }
    check "memory goes to swap" wait_until 30 swapped
    kill -KILL $pid
    wait $pid 2>/dev/null
    check "the swapper's group can go" wait_until 5 rmdir "$WORKLOAD/swapper"
fi

# The driver: attributes and knobs arrive, what the limit leaves over is cut, killed attempts come again.
load driver --workload "$WORKLOAD" --tasks 3 --bytes 20M --seconds 60 --parallel 2 --limit 4 --output /tmp/cut.json \
    --xattr user.headroom.task=job-%n --knob memory.max=100M --events /tmp/cut-events.log &
pid=$!
check "the first task starts" wait_until 3 grep -q 'start task-1-1' /tmp/cut-events.log
check "a knob is set" [ "$(cat "$WORKLOAD/task-1-1/memory.max")" = $((100 * mib)) ]
check "a task's own group is killed" sh -c "echo 1 >$WORKLOAD/task-1-1/cgroup.kill"
wait $pid
check "the killed task came again" grep -q 'start task-1-2' /tmp/cut-events.log
check "one kill is counted" [ "$(json_get /tmp/cut.json killed)" -eq 1 ]
check "two attempts are cut" [ "$(json_get /tmp/cut.json cut)" -eq 2 ]
check "no group is left behind" [ "$(find "$WORKLOAD" -mindepth 1 -type d | wc -l)" -eq 0 ]

# A frozen task stands still, and needs its whole work time after the thaw.
mkdir "$WORKLOAD/frozen"
load cgroup-run "$WORKLOAD/frozen" -- load task --bytes 10M --seconds 3 --status-fd 2 2>/tmp/frozen.log &
pid=$!
sleep_msec 1500
echo 1 >"$WORKLOAD/frozen/cgroup.freeze"
sleep_msec 3500
check "a frozen task is not finished" [ -d "/proc/$pid" ]
echo 0 >"$WORKLOAD/frozen/cgroup.freeze"
begin=$(uptime_msec)
wait $pid
left=$(($(uptime_msec) - begin))
figure frozen_rest_msec $left
check "after the thaw the rest of its work is left" [ $left -ge 1000 ]
check "and no more than that" [ $left -le 2500 ]
rmdir "$WORKLOAD/frozen"

live "a live line"
knobs_save /tmp/knobs-a.txt
echo 500M >"$WORKLOAD/memory.high"
knobs_save /tmp/knobs-b.txt
check "a changed knob is found" [ "$(knobs_compare /tmp/knobs-a.txt /tmp/knobs-b.txt >/dev/null; echo $?)" -eq 1 ]
echo max >"$WORKLOAD/memory.high"
knobs_save /tmp/knobs-b.txt
check "knobs that were put back compare equal" knobs_compare /tmp/knobs-a.txt /tmp/knobs-b.txt
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
finish
