# vm: memory=1024 cpus=2 swap=disk:256M timeout=300
# headroomd keeps the plan of memory QoS: who comes is in it within a look or two; somebody who resets knobs each second
# is met once and then left alone, and all of it is in `headroom events`; a restart after SIGKILL of everything goes on
# where it was; a stop leaves every knob as it was found. And what it costs.
. /lib.sh
: "${WRITER_SECONDS:=60}" "${CPU_SECONDS:=20}"

config=/tmp/headroom.conf
isolate_config </dev/null >/tmp/plain.conf
isolate_config >$config <<'CONFIG'
[Class db]
Match=workload.slice/db
Priority=900
QoS=guaranteed
Request=100M
Limit=150M
[Class web]
Match=workload.slice/web-*
Priority=600
QoS=burstable
Request=50M
Limit=200M
OomGroup=yes
CpuWeight=200
[Class batch]
Match=workload.slice/batch-*
Priority=300
QoS=besteffort
CONFIG

for group in db web-1 web-2 web-3 batch-1 batch-2 batch-3; do
    qos_sleeper "$WORKLOAD/$group" 50
done
mkdir -p "$SYSTEM/headroomd" # where it will run; there before the first look at the knobs
save() { knobs_save "/tmp/$1.knobs"; qos_scores "/tmp/$1.scores"; }
as_found() { save now; knobs_compare /tmp/found.knobs /tmp/now.knobs && cmp /tmp/found.scores /tmp/now.scores; }
processes() { # of headroomd's
    for process in /proc/[0-9]*; do
        case $(readlink "$process/exe" 2>/dev/null) in */headroomd) echo "${process#/proc/}" ;; esac
    done
}
keeper() { for pid in $(processes); do [ "$(cat "/proc/$pid/comm")" != headroomd-qos ] || echo "$pid"; done; }
has_keeper() { [ -n "$(keeper)" ]; }
pss_kib() { for pid in $1; do cat "/proc/$pid/smaps_rollup"; done | awk '$1 == "Pss:" { sum += $2 } END { print sum }'; }
cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
plan_stands() { qos_plan $config /tmp/plan && qos_stands /tmp/plan; }
adopted() { grep -q "event=qos adopted=" /tmp/headroomd.log; }
save found

check "headroomd starts without a plan" start_headroomd --config /tmp/plain.conf || finish
sleep 4
check "there is no keeper" [ -z "$(keeper)" ]
figure pss_without_kib "$(pss_kib "$(processes)")"
figure processes_without "$(processes | wc -l)"
check "it stops" stop_headroomd
check "every knob is as it was found" as_found

begin=$(uptime_msec)
check "headroomd starts" start_headroomd --config $config || finish
check "the plan stands" wait_until 4 plan_stands
figure planned_msec $(($(uptime_msec) - begin))
figure planned "$(wc -l </tmp/plan)"
check "there is a keeper" [ -n "$(keeper)" ]
sleep 4
figure pss_with_kib "$(pss_kib "$(processes)")"
figure pss_keeper_kib "$(pss_kib "$(keeper)")"
ticks=$(cpu_ticks "$(keeper)")
sleep "$CPU_SECONDS"
figure keeper_cpu_permille $((($(cpu_ticks "$(keeper)") - ticks) * 10 / CPU_SECONDS))
check "headroom qos apply is refused" not headroom --config $config qos apply
check "and so is headroom qos undo" not headroom qos undo

# Who comes: a group, and a process of one that is there.
planned() { [ "$(cat "$WORKLOAD/$1/memory.high" 2>/dev/null)" != max ]; }
has_score() { [ "$(cat "/proc/$1/oom_score_adj")" = "$2" ]; }
begin=$(uptime_msec)
qos_sleeper "$WORKLOAD/web-4" 50
check "a group that comes is planned" wait_until 4 planned web-4
figure new_group_msec $(($(uptime_msec) - begin))
check "so are its processes" wait_until 2 has_score "$(cat "$WORKLOAD/web-4/cgroup.procs")" 400
begin=$(uptime_msec)
qos_sleeper "$WORKLOAD/batch-1" 50
born=$(tail -n 1 "$WORKLOAD/batch-1/cgroup.procs")
check "a process that comes has its class's score" wait_until 4 has_score "$born" 700
figure new_process_msec $(($(uptime_msec) - begin))
kill -KILL "$born" "$(cat "$WORKLOAD/web-4/cgroup.procs")"
wait_until 5 rmdir "$WORKLOAD/web-4"

# Somebody resets these each second to what they were, and notes where he finds ours again.
contested="web-1/memory.high web-2/memory.low web-3/memory.max db/memory.min batch-1/memory.high web-1/cpu.weight"
found() { sed -n "s|^$WORKLOAD/$1 ||p" /tmp/found.knobs; }
: >/tmp/met
second=0
while [ $second -lt "$WRITER_SECONDS" ]; do
    for knob in $contested; do
        [ "$(cat "$WORKLOAD/$knob")" = "$(found "$knob")" ] || echo "$knob" >>/tmp/met
        found "$knob" >"$WORKLOAD/$knob"
    done
    second=$((second + 1))
    sleep 1
done
headroom events --json >/tmp/events.json
tr '{' '\n' </tmp/events.json | grep '"knob"' >/tmp/drifts
bring_out /tmp/drifts drifts.txt
drifts() { grep "\"group\": *\"workload.slice/${1%/*}\"" /tmp/drifts | grep "\"knob\": *\"${1#*/}\"" | grep -c "\"done\": *\"$2\""; }
worst=0
for knob in $contested; do
    met=$(grep -cx "$knob" /tmp/met)
    [ "$met" -le $worst ] || worst=$met
    check "$knob: ours stood when the writer came, and at most once again" [ "$met" -le 2 ]
    check "$knob: set again once, as the events say" [ "$(drifts "$knob" reapplied)" -eq 1 ]
    check "$knob: and then left to him" [ "$(drifts "$knob" yielded)" -eq 1 ]
    check "$knob: it has his value" [ "$(cat "$WORKLOAD/$knob")" = "$(found "$knob")" ]
done
figure writer_met_ours_at_most $worst
check "the rest stands" [ "$(cat "$WORKLOAD/batch-2/memory.high")" != max ]
check "nothing else has drifted" [ "$(wc -l </tmp/drifts)" -eq 12 ]
for line in $(seq 1 3); do say "$(headroom events | sed -n "${line}p")"; done

# All of headroomd at once; then one that goes on.
knobs_save /tmp/before-kill.knobs
kill -KILL $(processes)
wait "$headroomd_pid" 2>/dev/null
knobs_save /tmp/after-kill.knobs
check "after SIGKILL of everything all stands" knobs_compare /tmp/before-kill.knobs /tmp/after-kill.knobs
check "the successor starts" start_headroomd --config $config
check "it adopts" wait_until 4 adopted
sleep 5
knobs_save /tmp/after-kill.knobs
check "and leaves all as it is" knobs_compare /tmp/before-kill.knobs /tmp/after-kill.knobs
kill -KILL "$(keeper)"
check "a keeper that dies is followed by another" wait_until 6 has_keeper
check "the guard goes on" headroomd_runs
sleep 3
check "it stops" stop_headroomd
check "every knob is as it was found" as_found

# Killed, and nobody follows.
start_headroomd --config $config
check "the plan stands again" wait_until 4 plan_stands
kill -KILL $(processes)
wait "$headroomd_pid" 2>/dev/null
check "undo works" headroom undo
check "after it every knob is as it was found" as_found
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
finish
