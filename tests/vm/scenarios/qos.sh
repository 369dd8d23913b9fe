# vm: memory=1024 cpus=2 swap=disk:256M disk=512M timeout=200
# Memory QoS without a daemon: three classes, and the trees of both of the kubelet's drivers. What `qos plan` says is what
# the kernel has after `qos apply`; the protection works for what is inside a protected group; what others overwrite is
# seen; and `qos undo`, or `undo`, leaves every knob as it was found.
. /lib.sh

config=/tmp/headroom.conf
cat >$config <<'CONFIG'
[Node]
Mode=isolate
Workload=workload.slice kubepods.slice kubepods
Protect=system.slice
SystemReserve=140M
KubeletKnobs=leave
[Class db]
Match=workload.slice/db
Priority=900
QoS=guaranteed
Request=11%
Limit=16%
[Class web]
Match=workload.slice/web
Priority=600
QoS=burstable
Request=110001K
Limit=21%
OomGroup=yes
CpuWeight=200
[Class batch]
Match=workload.slice/batch-*
Priority=300
QoS=besteffort
SwapMax=10%
[Class other]
QoS=kubernetes
CONFIG

controllers() { # GROUP...: which may have groups below
    for group; do
        mkdir -p "$group"
        echo "+memory" >"$group/cgroup.subtree_control"
        echo "+cpu" >"$group/cgroup.subtree_control" 2>/dev/null
    done
}

# What is in a group counts with the group, which has no processes itself.
controllers "$WORKLOAD/db" "$WORKLOAD/web"
mkdir "$WORKLOAD/db/inner" "$WORKLOAD/web/inner"
qos_sleeper "$WORKLOAD/db/inner"
qos_sleeper "$WORKLOAD/web/inner" 300
qos_sleeper "$WORKLOAD/batch-1"
qos_sleeper "$WORKLOAD/batch-2"

# A node of the kubelet's, by each of its drivers: a pod of each tier. Requests are read back from oom_score_adj.
uid=0c8c8dc3-1a2b-4c3d-8e9f-00000000000
slices() { echo "$uid$1" | tr - _; }
container() { # PATH SCORE LIMIT
    controllers "${1%/*}"
    qos_sleeper "$1" "$2"
    echo "$3" >"$1/memory.max"
}
id=$(printf %064d 7)
K=$CGROUP/kubepods.slice
controllers "$K" "$K/kubepods-burstable.slice" "$K/kubepods-besteffort.slice"
container "$K/kubepods-pod$(slices 1).slice/cri-containerd-$id.scope" -997 32M
container "$K/kubepods-burstable.slice/kubepods-burstable-pod$(slices 2).slice/cri-containerd-$id.scope" 970 64M
container "$K/kubepods-besteffort.slice/kubepods-besteffort-pod$(slices 3).slice/cri-containerd-$id.scope" 1000 max
F=$CGROUP/kubepods
controllers "$F" "$F/burstable" "$F/besteffort"
container "$F/pod${uid}4/$id" -997 32M
container "$F/burstable/pod${uid}5/$id" 970 64M
container "$F/besteffort/pod${uid}6/$id" 1000 max

save() { knobs_save "/tmp/$1.knobs"; qos_scores "/tmp/$1.scores"; }
as_found() { save now; knobs_compare /tmp/found.knobs /tmp/now.knobs && cmp /tmp/found.scores /tmp/now.scores; }
same_plan() { awk '{ print $1, $2, $3 }' "$1" >/tmp/a; awk '{ print $1, $2, $3 }' "$2" >/tmp/b; cmp /tmp/a /tmp/b; }
planned() { awk -v p="${1#"$CGROUP"/}" -v k="$2" '$1 == p && $2 == k { print $3 }' /tmp/plan; }

# What page cache each group keeps of the 90 MiB that it has read when 70 MiB are taken from all of them together: less than
# the one without a request has, since memory.low is kept only as long as there is something else to take.
exec 9</dev/data # while it is open, its pages stay
megabytes() { awk '$1 == "file" { print int($2 / 1048576) }' "$1/memory.stat"; }
squeeze() { # NAME
    echo 3 >/proc/sys/vm/drop_caches
    at=0
    for group in db/inner web/inner batch-1; do
        run_in "$WORKLOAD/$group" dd if=/dev/data of=/dev/null bs=1M skip=$at count=90 2>/dev/null
        at=$((at + 100))
    done
    echo 70M >"$WORKLOAD/memory.reclaim"
    db=$(megabytes "$WORKLOAD/db") web=$(megabytes "$WORKLOAD/web") batch=$(megabytes "$WORKLOAD/batch-1")
    figure "$1_db_mib" "$db"
    figure "$1_web_mib" "$web"
    figure "$1_batch_mib" "$batch"
}

save found
check "there is a plan" qos_plan $config /tmp/plan
figure planned "$(wc -l </tmp/plan)"
bring_out /tmp/plan plan.txt
check "it changes nothing" as_found
squeeze before
check "without it, all lose" [ "$db" -lt 80 ]
check "it is applied" headroom --config $config qos apply
check "every knob in the kernel is as planned" qos_stands /tmp/plan
check "planned again it is the same" qos_plan $config /tmp/again
check "planned again it is the same, knob by knob" same_plan /tmp/plan /tmp/again
check "sizes are whole pages" awk '$2 ~ /^memory/ && $2 != "memory.oom.group" && $3 != "max" && $3 % 4096 { exit 1 }' /tmp/plan
check "a guaranteed group has a memory.min" [ "$(planned "$WORKLOAD/db" memory.min)" -gt 0 ]
check "a burstable one a memory.low" [ "$(planned "$WORKLOAD/web" memory.low)" = $((110001 * 1024 / 4096 * 4096)) ]
check "and its parents cover both" [ "$(cat "$WORKLOAD/memory.min")" -ge "$(planned "$WORKLOAD/db" memory.min)" ]
check "the workload's brake is not planned" [ -z "$(planned "$WORKLOAD" memory.high)" ]
for top in "$K/kubepods-burstable.slice" "$F/burstable"; do
    pod=$(find "$top" -name "*$id*" -type d)
    check "a burstable container has a memory.high" [ "$(planned "$pod" memory.high)" -lt $((64 << 20)) ]
    check "and its share of swap" [ "$(planned "$pod" memory.swap.max)" -gt 0 ]
    check "its score is its runtime's" [ -z "$(planned "$pod" oom_score_adj)" ]
done
check "of the kubelet's own nothing is planned" [ "$(grep -c 'kubepods[^ ]*slice memory\.\(min\|low\)\|kubepods memory' /tmp/plan)" -eq 0 ]

squeeze applied
check "a guaranteed group keeps its page cache, inside it, too" [ "$db" -ge 85 ]
check "a burstable one, too" [ "$web" -ge 85 ]
check "it is taken from who has no request" [ "$batch" -le 35 ]

# A process that is born since; a value that somebody else has set.
echo max >"$WORKLOAD/web/memory.high"
echo 5M >"$WORKLOAD/batch-2/memory.high"
qos_sleeper "$WORKLOAD/batch-2"
check "drift is seen" qos_plan $config /tmp/drift
check "in the plan, as what stands" grep -q "^workload.slice/web memory.high [0-9]* max" /tmp/drift
check "what is tighter stays" [ "$(grep -c '^workload.slice/batch-2 memory.high' /tmp/drift)" -eq 0 ]
headroom --config $config qos apply >/tmp/apply.txt
check "apply says so" grep -q "^1 had been overwritten" /tmp/apply.txt
check "and sets it again" qos_stands /tmp/drift
echo max >"$WORKLOAD/batch-2/memory.high"
say "$(head -n 1 /tmp/apply.txt)"

mkdir "$WORKLOAD/batch-3"
qos_sleeper "$WORKLOAD/batch-3"
headroom --config $config qos apply >/dev/null
check "a group that came is in it" [ "$(cat "$WORKLOAD/batch-3/memory.high")" != max ]
check "undo works" headroom qos undo
check "it too is as it was" [ "$(cat "$WORKLOAD/batch-3/memory.high")" = max ]
kill -KILL "$(cat "$WORKLOAD/batch-3/cgroup.procs")"
wait_until 5 rmdir "$WORKLOAD/batch-3"
born=$(tail -n 1 "$WORKLOAD/batch-2/cgroup.procs")
check "so is a process born meanwhile" [ "$(cat "/proc/$born/oom_score_adj")" = 0 ]
kill -KILL "$born"
sleep 1
check "every knob is as it was found" as_found
headroom --config $config qos apply >/dev/null
check "applied again" qos_stands /tmp/plan
check "undo of everything works, too" headroom undo
check "every knob is as it was found, again" as_found
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
finish
