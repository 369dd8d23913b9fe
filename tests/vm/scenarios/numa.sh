# vm: memory=1024 cpus=2 swap=none numa=2 timeout=200
# Two NUMA nodes, and memory is short on node 0 alone, ten times (and three times without a brake): somebody there grows
# without end while the machine as a whole has room enough. It is he who dies, and no group of node 1 is touched, though
# those are larger, newer and of a lower priority. First without headroom, once: what the kernel does.
. /lib.sh
: "${ROUNDS_NUMA:=10}" "${HOST_ROUNDS:=3}" "${RATE:=200M}" "${STEADY0:=100M}" "${STEADY1:=130M}"

check "there are two nodes" [ "$(cat /sys/devices/system/node/has_memory)" = 0-1 ] || finish
cat >/tmp/headroom.conf <<CONFIG
[Node]
Mode=isolate
Workload=workload.slice
Protect=system.slice
SystemReserve=140M
[Class far]
Match=workload.slice/far-*
Priority=100
Retriable=yes
Actions=reclaim pause kill
[Class near]
Match=workload.slice/near-*
Priority=300
Actions=reclaim pause kill
CONFIG

group() { # NAME NODE: bound before anybody is in it
    mkdir -p "$WORKLOAD/$1"
    echo "$2" >"$WORKLOAD/$1/cpuset.mems"
}
steady() { # NAME NODE BYTES
    group "$1" "$2"
    load cgroup-run "$WORKLOAD/$1" -- load task --bytes "$3" --seconds 900 --grow-seconds 1 &
}
hog() { # NAME: its status
    group "$1" 0
    load cgroup-run "$WORKLOAD/$1" -- load hog --from 1M --to 4G --rate "$RATE" >/dev/null 2>&1
    hog_status=$?
    rmdir "$WORKLOAD/$1"
}
on_node() { # GROUP NODE
    awk -v n="N$2" '$1 == "anon" { for (i = 2; i <= NF; i++) { split($i, p, "="); if (p[1] == n) print p[2] } }' \
        "$WORKLOAD/$1/memory.numa_stat"
}
grown() { [ "$(on_node "$1" "$2")" -ge $(($(bytes_of "$3") * 9 / 10)) ]; }
# What would show that somebody laid hands on a group of node 1.
far_state() {
    for far in "$WORKLOAD"/far-*; do
        echo "${far##*/} $(cat "$far/cgroup.procs" | wc -l)" \
            "$(grep -E '^(populated|frozen)' "$far/cgroup.events" | tr '\n' ' ')" \
            "$(grep -E '^(high|max|oom|oom_kill) ' "$far/memory.events" | tr '\n' ' ')" \
            "$(cat "$far/memory.high") $(awk '$1 == "pgsteal" || $1 == "pgscan" { print $1, $2 }' "$far/memory.stat" | tr '\n' ' ')" \
            "swap $(cat "$far/memory.swap.current" 2>/dev/null) anon $(($(on_node "${far##*/}" 1) >> 20))M"
    done
}

steady near-1 0 "$STEADY0"
near=$!
steady far-1 1 "$STEADY1"
steady far-2 1 "$STEADY1"
check "they are there" wait_until 20 grown far-2 1 "$STEADY1"
check "each on its node" wait_until 20 grown near-1 0 "$STEADY0"

hog near-unguarded
figure unguarded_oom_kills "$(oom_kills)"
say "without headroom: $(oom_kills) kernel OOM kills, the hog ended with $hog_status, the neighbour on its node $([ -d /proc/$near ] && echo lives || echo died), $(ls -d "$WORKLOAD"/far-* | wc -l) groups of node 1: $(cat "$WORKLOAD"/far-*/cgroup.procs | wc -l) processes"
check "without headroom it is the kernel that kills" [ "$(oom_kills)" -ge 1 ]
if [ ! -d /proc/$near ]; then
    steady near-1 0 "$STEADY0"
    near=$!
    wait_until 20 grown near-1 0 "$STEADY0"
fi

before=$(oom_kills)
untouched=0 killed=0 near_lives=0
rounds() { # NAME COUNT MODE
    sed -i "s/^Mode=.*/Mode=$3/" /tmp/headroom.conf
    check "headroomd starts, Mode=$3" start_headroomd --config /tmp/headroom.conf || finish
    sleep 2
    far_state >/tmp/far-before
    for round in $(seq "$2"); do
        hog "near-$1-$round"
        [ "$hog_status" -eq 137 ] && killed=$((killed + 1))
        [ -d /proc/$near ] && near_lives=$((near_lives + 1))
        far_state >/tmp/far-after
        if cmp -s /tmp/far-before /tmp/far-after; then
            untouched=$((untouched + 1))
        else
            say "$1 $round: $(diff /tmp/far-before /tmp/far-after | grep '^[+-][^+-]' | tr '\n' '|')"
        fi
        [ "$round" -eq 1 ] && headroom status >/tmp/status.txt && bring_out /tmp/status.txt
    done
}
rounds host "$HOST_ROUNDS" host
check "headroomd stops" stop_headroomd
rounds hog "$ROUNDS_NUMA" isolate
ROUNDS=$((ROUNDS_NUMA + HOST_ROUNDS))
headroom explain >/tmp/explain.txt && bring_out /tmp/explain.txt
figure rounds "$ROUNDS"
figure hogs_killed "$killed"
figure far_untouched_rounds "$untouched"
figure oom_kills $(($(oom_kills) - before))
check "who grows without end is killed, $ROUNDS of $ROUNDS" [ "$killed" -eq "$ROUNDS" ]
check "no group of node 1 is touched, $ROUNDS of $ROUNDS" [ "$untouched" -eq "$ROUNDS" ]
check "nor the one beside it on node 0" [ "$near_lives" -eq "$ROUNDS" ]
check "every kill is headroomd's" [ "$(kill_lines | grep -o 'victim=workload.slice/near-[a-z]*-[0-9]* ' | sort -u | wc -l)" -eq "$ROUNDS" ]
check "none is of another group" [ "$(kill_lines | grep -c -v 'victim=workload.slice/near-[a-z]*-')" -eq 0 ]
check "nobody of node 1 was paused or reclaimed from" [ "$(grep -c -E '(group|victim)=workload.slice/far' /tmp/headroomd.log)" -eq 0 ]
check "the log says which nodes were short" [ "$(kill_lines | grep -c ' nodes=0 ')" -eq "$ROUNDS" ]
check "so does explain" grep -q "^short on nodes 0:" /tmp/explain.txt
check "and the status tells of them" grep -q "^nodes [01]:" /tmp/status.txt
check "no kill by the kernel" [ "$(oom_kills)" -eq "$before" ]
check "no kill without need" [ "$(needless_kills)" -eq 0 ]
check "headroomd stops when it is told to" stop_headroomd
finish
