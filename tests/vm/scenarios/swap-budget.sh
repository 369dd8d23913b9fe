# vm: memory=1024 cpus=2 swap=disk:1G timeout=400
# SwapWriteLimit=1M of a class: two tasks that are larger than their groups' memory.high, and use all that they have, swap
# as fast as the disk takes it where the class has no such limit. With it they write no more than 1.2 MiB a second over any
# minute, and what `headroom status` says of it is what the disk has seen; swap that they may not have is no room; and a stop
# leaves every knob as it was found.
. /lib.sh
# IO=off: without the io controller, so that before 6.13 the kernel does not tell what a group writes.
: "${BYTES:=250M}" "${FREE_SECONDS:=8}" "${LIMITED_SECONDS:=66}" "${IO:=on}"

node_config() {
    isolate_config <<'CONFIG'
ThrottleDeadline=30min
[Class batch]
Match=workload.slice/*
Priority=300
Actions=kill
QoS=burstable
Request=20M
Limit=300M
ThrottleFactor=0.2
SwapMax=100%
CONFIG
}
node_config >/tmp/free.conf
node_config >/tmp/limited.conf
echo "SwapWriteLimit=1M" >>/tmp/limited.conf

groups="task-1 task-2"
disk=$(awk 'NR == 2 { sub(".*/", "", $1); print $1 }' /proc/swaps)
written() { awk -v disk="$disk" '$3 == disk { printf "%.0f\n", $10 * 512 }' /proc/diskstats; }
# A file each second: when, and what the disk had written.
sample() { # SECONDS FILE
    for second in $(seq "$1"); do
        echo "$(uptime_msec) $(written)"
        sleep 1
    done >"$2"
}
per_second() { awk 'NR == 1 { at = $1; first = $2 } END { printf "%.0f", ($2 - first) * 1000 / ($1 - at) }' "$1"; }
is_planned() {
    for group in $groups; do [ "$(cat "$WORKLOAD/$group/memory.high")" != max ] || return 1; done
}
tasks_start() {
    for group in $groups; do
        load cgroup-run "$WORKLOAD/$group" -- load task --bytes "$BYTES" --seconds 1000 --grow-seconds 2 \
            --touch-all-seconds 2 >/dev/null 2>&1 &
    done
}
tasks_end() {
    for group in $groups; do
        for pid in $(cat "$WORKLOAD/$group/cgroup.procs"); do
            [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = sleep ] || kill -KILL "$pid"
        done
    done
    sleep 2
}
run() { # NAME SECONDS
    check "$1: headroomd starts" start_headroomd --config "/tmp/$1.conf" || finish
    check "$1: the plan stands" wait_until 6 is_planned
    ticks=$(cpu_ticks "$(keeper)")
    sleep 4
    figure "$1_keeper_idle_cpu_permille" $((($(cpu_ticks "$(keeper)") - ticks) * 10 / 4))
    tasks_start
    sleep 2 # they are as large as they may be
    ticks=$(cpu_ticks "$(keeper)")
    sample "$2" "/tmp/$1.txt"
    figure "$1_keeper_cpu_permille" $((($(cpu_ticks "$(keeper)") - ticks) * 10 / $2))
    figure "$1_bytes_per_second" "$(per_second "/tmp/$1.txt")"
}

keeper() {
    for process in /proc/[0-9]*; do
        [ "$(cat "$process/comm" 2>/dev/null)" != headroomd-qos ] || echo "${process#/proc/}"
    done
}
cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

[ "$IO" = on ] || echo -io >"$WORKLOAD/cgroup.subtree_control"
for group in $groups; do qos_sleeper "$WORKLOAD/$group"; done
mkdir -p "$SYSTEM/headroomd"
knobs_save /tmp/found.knobs

run free "$FREE_SECONDS"
check "without the limit far more is written" [ "$(per_second /tmp/free.txt)" -gt $((4 * 1048576)) ]
tasks_end
check "it stops" stop_headroomd

before=$(written)
run limited "$LIMITED_SECONDS"
headroom status --json >/tmp/status.json
seen=$(($(written) - before))
headroom status >/tmp/status.txt
say "$(grep -m 1 'swapped' /tmp/status.txt)"
# The most of any 60 s, a second.
most=$(awk '{ at[NR] = $1; bytes[NR] = $2
        for (i = 1; i < NR; i++)
            if ($1 - at[i] >= 59000) { r = ($2 - bytes[i]) * 1000 / ($1 - at[i]); if (r > most) most = r } }
    END { printf "%.0f", most }' /tmp/limited.txt)
figure most_bytes_per_second "$most"
check "at most 1.2 MiB a second over any minute" [ "$most" -le $((12 * 1048576 / 10)) ]
check "and some of what it may" [ "$most" -gt $((2 * 1048576 / 10)) ]
told=$(json_get /tmp/status.json swap_written_bytes)
figure written_bytes_seen "$seen"
figure written_bytes_told "$told"
check "status tells what was written" [ $((told * 10)) -ge $((seen * 7)) ]
check "and no more" [ $((told * 10)) -le $((seen * 13)) ]
check "swap that the groups may not have is no room" [ "$(json_get /tmp/status.json swap_room_bytes)" -le $((32 * 1048576)) ]
check "our own moves are no drift" [ "$(json_get /tmp/status.json drifts)" -eq 0 ]
for group in $groups; do say "$group: swap $(cat "$WORKLOAD/$group/memory.swap.current") of $(cat "$WORKLOAD/$group/memory.swap.max")"; done
check "nobody was killed" [ "$(kills)" -eq 0 ]
check "nor by the kernel" [ "$(oom_kills)" -eq 0 ]
check "it stops" stop_headroomd
knobs_save /tmp/now.knobs
check "every knob is as it was found" knobs_compare /tmp/found.knobs /tmp/now.knobs
tasks_end
finish
