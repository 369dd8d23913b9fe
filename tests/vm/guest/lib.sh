# Functions for scenarios in the test VM. Sourced by PID 1 and by the scenario itself; busybox sh.
#
# Lines on the second serial port:
#   started UPTIME RELEASE      ok - NAME      not ok - NAME: DETAIL      figure NAME=VALUE
#   bar NAME=VALUE LIMIT
#   say TEXT      live TEXT     file NAME, base64 of a gzip, end          done      exit STATUS      timeout

CGROUP=/sys/fs/cgroup
WORKLOAD=$CGROUP/workload.slice
SYSTEM=$CGROUP/system.slice

# What the runner was given by --set; scenarios set their defaults with ${NAME:=value}.
[ -e /vars.sh ] && . /vars.sh

emit() { echo "$*" >/dev/ttyS1; }
say() { emit "say $*"; }
live() { emit "live $*"; }
figure() { emit "figure $1=$2"; } # NAME VALUE

bring_out() { # FILE [NAME]
    {
        echo "file ${2:-${1##*/}}"
        gzip -c "$1" | base64
        echo end
    } >/dev/ttyS1
}

# check NAME COMMAND...: one assertion. The command with its values is the detail of a failure.
check() {
    check_name=$1
    shift
    if "$@" >/dev/null 2>&1; then
        emit "ok - $check_name"
    else
        emit "not ok - $check_name: $*"
        return 1
    fi
}

# bar NAME VALUE LIMIT: a timing that should be at most LIMIT. It is reported and decides nothing (a starved host is late
# for reasons that no guard can help), unless the runner is told --strict.
bar() { emit "bar $1=$2 $3"; }

# The closing line: a scenario that ends without it has failed.
finish() { emit done; exit 0; }

uptime_msec() {
    read -r up_seconds _ </proc/uptime
    echo "${up_seconds%.*}${up_seconds#*.}0"
}

sleep_msec() { usleep "$(($1 * 1000))"; }

# wait_until SECONDS COMMAND...: try ten times a second; false when PATIENCE times that time is over. SECONDS is what it
# may take on a machine that is left to us.
PATIENCE=4
wait_until() {
    wait_end=$(($(uptime_msec) + $1 * 1000 * PATIENCE))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(uptime_msec)" -lt "$wait_end" ] || return 1
        sleep_msec 100
    done
}

bytes_of() { # 150M
    case $1 in
    *G) echo $((${1%G} << 30)) ;;
    *M) echo $((${1%M} << 20)) ;;
    *K) echo $((${1%K} << 10)) ;;
    *) echo "$1" ;;
    esac
}

# json_get FILE KEY: the value of a key in flat JSON; text without its quotes, lists as they stand.
json_get() {
    sed -n 's/.*"'"$2"'" *: *\("[^"]*"\|\[[^]]*\]\|[^],}]*\).*/\1/p' "$1" | head -n 1 | sed 's/^"\(.*\)"$/\1/'
}

meminfo_bytes() { # KEY
    awk -v key="$1:" '$1 == key { printf "%.0f\n", $2 * 1024 }' /proc/meminfo
}

# All kills by the kernel's OOM killer since boot, of every group and of the whole node.
oom_kills() { awk '$1 == "oom_kill" { print $2 }' /proc/vmstat; }

group_event() { # GROUP EVENT: of memory.events, with everything below the group
    awk -v key="$2" '$1 == key { print $2 }' "$1/memory.events"
}

# run_in GROUP COMMAND...: in a group of its own, made if it is missing. For a background job call `load cgroup-run`
# itself: $! of a function is a shell around it, which would get the signals.
run_in() {
    run_group=$1
    shift
    load cgroup-run "$run_group" -- "$@"
}

# A scenario that loads the node more than once names each run: RUN=unguarded_ is before the names of its figures and
# of its files.
RUN=
driver_get() { json_get "/tmp/${RUN}driver.json" "$1"; } # KEY
heartbeat_get() { json_get "/tmp/${RUN}heartbeat.json" "$1"; } # KEY

start_heartbeat() { # [OPTION...]
    load cgroup-run "$SYSTEM/heartbeat" -- load heartbeat --output "/tmp/${RUN}heartbeat.json" "$@" &
    heartbeat_pid=$!
}

stop_heartbeat() {
    kill -TERM "$heartbeat_pid"
    wait "$heartbeat_pid"
    for key in beats p50_usec p99_usec p999_usec worst_usec worst_at_usec over_100ms over_500ms; do
        figure "${RUN}heartbeat_$key" "$(heartbeat_get $key)"
    done
}

# The parameters of a storm; the runner's --set overrides each.
storm_defaults() {
    : "${TASKS:=16}" "${BYTES:=150M}" "${TASK_SECONDS:=10}" "${GROW_SECONDS:=3}" "${PARALLEL:=8}"
    : "${STAGGER:=400ms}" "${LIMIT:=180}" "${PROFILE:=creep}" "${DRIVER_OPTIONS:=}"
}

# The driver runs in the scenario's own group, beside what it loads. What a run before has left in pieces gives the next
# one fewer huge pages, by which it takes up to a quarter longer: each begins with memory that is put together again.
run_driver() { # [OPTION...]
    echo 1 >/proc/sys/vm/compact_memory
    # shellcheck disable=SC2086 # DRIVER_OPTIONS is a list of words
    load driver --workload "$WORKLOAD" --tasks "$TASKS" --bytes "$BYTES" --seconds "$TASK_SECONDS" \
        --grow-seconds "$GROW_SECONDS" --parallel "$PARALLEL" --stagger "$STAGGER" --limit "$LIMIT" \
        --profile "$PROFILE" --output "/tmp/${RUN}driver.json" --events "/tmp/${RUN}driver-events.log" \
        $DRIVER_OPTIONS "$@"
    driver_status=$?
    for key in tasks finished attempts killed failed cut seconds useful_seconds work_seconds lost_seconds cut_seconds \
        peak_running groups_left; do
        figure "${RUN}driver_$key" "$(driver_get $key)"
    done
    return $driver_status
}

# What a perfect scheduler needs that runs as many tasks side by side as fit.
ideal_seconds() { # LIMIT-BYTES
    ideal_fits=$(($1 / $(bytes_of "$BYTES")))
    [ "$ideal_fits" -le "$PARALLEL" ] || ideal_fits=$PARALLEL
    [ "$ideal_fits" -ge 1 ] || ideal_fits=1
    echo $(((TASKS + ideal_fits - 1) / ideal_fits * TASK_SECONDS))
}

at_most() { # A B: decimals compared as numbers
    awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && b != "" && a + 0 <= b + 0) }'
}

# A / B in thousandths, for ratios of decimals.
ratio_permille() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.0f\n", b + 0 ? a * 1000 / b : 0 }'; }
# What was lost, of the work that was done. Not of useful_seconds, which also has the time for which tasks were paused.
lost_permille() { ratio_permille "$(driver_get lost_seconds)" "$(driver_get work_seconds)"; }

# Time in which all of a group stood still for want of memory.
full_usec() { sed -n 's/^full.*total=//p' "$1/memory.pressure"; } # GROUP

cpu_usec() { awk '$1 == "usage_usec" { print $2 }' "$1/cpu.stat"; } # GROUP

# How many groups below the workload are told to be frozen, by whomever.
frozen_groups() { find "$WORKLOAD" -name cgroup.freeze -exec cat {} + 2>/dev/null | grep -c 1; }

start_headroomd() { # [OPTION...]
    command -v headroomd >/dev/null || { check "headroomd is in the guest" false; return 1; }
    mkdir -p /run/headroom
    # With NO_HEAP it ends with a message when its loop asks for heap after the start. The scenario names the program
    # tests/programs/no_heap.so.
    load cgroup-run "$SYSTEM/headroomd" -- env ${NO_HEAP:+LD_PRELOAD=/bin/tests/programs/no_heap.so} \
        ${NO_HEAP:+NO_HEAP_ARMED=/tmp/no-heap-armed} headroomd "$@" 2>>/tmp/headroomd.log >&2 &
    headroomd_pid=$!
    if ! wait_until 10 test -S /run/headroom/headroom.sock; then
        say "headroomd has no socket after 10 s; the end of its log: $(tail -n 3 /tmp/headroomd.log | tr '\n' '|')"
        return 1
    fi
    [ -z "${NO_HEAP:-}" ] || : >/tmp/no-heap-armed
}

# A dead child that nobody has waited for still takes signals, so kill -0 would not do.
headroomd_runs() { [ -n "${headroomd_pid:-}" ] && grep -q '^State:[[:space:]]*[^ZX]' "/proc/$headroomd_pid/status" 2>/dev/null; }
headroomd_is_gone() { ! headroomd_runs; }

stop_headroomd() {
    headroomd_runs || { say "headroomd was not running any more when it was to be stopped"; return 1; }
    kill -TERM "$headroomd_pid"
    if ! wait_until 10 headroomd_is_gone; then
        say "headroomd does not stop; killing it"
        kill -KILL "$headroomd_pid"
        return 1
    fi
    wait "$headroomd_pid"
}

# Every knob that a manager might change, as lines of "PATH VALUE".
knobs_save() { # FILE
    find "$CGROUP" -type f \( -name memory.high -o -name memory.max -o -name memory.low -o -name memory.min \
        -o -name memory.swap.max -o -name memory.zswap.max -o -name memory.oom.group -o -name cpu.weight \
        -o -name cgroup.freeze \) | sort |
        while read -r knob; do
            read -r knob_value <"$knob" && echo "$knob $knob_value"
        done >"$1"
}

# True when every knob of A that still exists has the same value in B; differences go to the console and a file.
knobs_compare() { # A B
    awk 'NR == FNR { value[$1] = $2; next }
         ($1 in value) && value[$1] != $2 { print $1 ": was " value[$1] ", is " $2; changed = 1 }
         END { exit changed }' "$1" "$2" >/tmp/knobs-changed.txt && return 0
    cat /tmp/knobs-changed.txt
    say "knobs that differ: $(head -n 5 /tmp/knobs-changed.txt | tr '\n' ';')"
    return 1
}

# Memory QoS. A process in a group, for as long as the scenario runs, which has a score of its own.
qos_sleeper() { # GROUP [SCORE]
    sleepers_before=$(cat "$1/cgroup.procs" 2>/dev/null | wc -l)
    (
        [ -z "${2:-}" ] || echo "$2" >/proc/self/oom_score_adj
        exec load cgroup-run "$1" -- sleep 1000
    ) &
    wait_until 5 qos_has_more "$1" "$sleepers_before"
}
qos_has_more() { [ "$(cat "$1/cgroup.procs" | wc -l)" -gt "$2" ]; } # GROUP PROCESSES

# What is to be set, as lines of PATH KNOB PLANNED NOW.
qos_plan() { # CONFIG FILE
    headroom --config "$1" qos plan --json >/tmp/qos-plan.json || return 1
    awk -F'"' '
        $2 == "path" { path = $4 }
        $2 == "knob" { knob = $4; now = planned = "-"; set = 0 }
        $2 == "set" { set = $3 ~ /true/ }
        $2 == "now" || $2 == "planned" {
            value = $3
            gsub(/[^-0-9a-z]/, "", value)
            sub(/null/, "max", value)
            if ($2 == "now") now = value; else planned = value
        }
        /^ *}/ && knob != "" { if (set) print path, knob, planned, now; knob = "" }' /tmp/qos-plan.json >"$2"
}
# The whole plan stands in the kernel, to the byte: what is planned are whole pages.
qos_stands() { # PLAN
    while read -r path knob planned _; do
        case $knob in
        oom_score_adj)
            for pid in $(find "$CGROUP/$path" -name cgroup.procs -exec cat {} +); do
                [ "$(cat "/proc/$pid/oom_score_adj")" = "$planned" ] || {
                    say "$path: oom_score_adj of $pid is $(cat "/proc/$pid/oom_score_adj"), planned $planned"
                    return 1
                }
            done ;;
        *)
            [ "$(cat "$CGROUP/$path/$knob")" = "$planned" ] || {
                say "$path/$knob is $(cat "$CGROUP/$path/$knob"), planned $planned"
                return 1
            } ;;
        esac
    done <"$1"
}
qos_scores() { # FILE
    for pid in $(find "$CGROUP" -path "$SYSTEM" -prune -o -name cgroup.procs -exec cat {} + | sort); do
        [ ! -e "/proc/$pid/exe" ] || [ ! -r "/proc/$pid/oom_score_adj" ] || echo "$pid $(cat "/proc/$pid/oom_score_adj")"
    done >"$1"
}

# The configuration that most scenarios guard with: everything in the workload may be killed. Others by --set.
guard_config() { # FILE
    cat >"$1" <<CONFIG
[Node]
Mode=${MODE:-isolate}
Workload=workload.slice
Protect=system.slice
SystemReserve=${RESERVE:-140M}
[Class batch]
Match=workload.slice/*
Priority=300
Retriable=yes
Actions=${ACTIONS:-kill}
CONFIG
}

# Decisions of headroomd's log that killed, as whole lines; or how many.
kill_lines() { grep 'action=kill' /tmp/headroomd.log; }
kills() { grep -c 'action=kill' /tmp/headroomd.log; }
kill_count_is_more() { [ "$(kills)" -gt "$1" ]; }

# Lines that tell of a pause; and whether the storm has come to where headroomd has to act.
groups_paused() { grep 'action=pause' /tmp/headroomd.log | grep -o ' group=' | wc -l; }
pauses() { grep -c 'action=pause' /tmp/headroomd.log; }
storm_is_on() { # KILLS-BEFORE
    [ "$(frozen_groups)" -gt 0 ] || [ "$(kills)" -gt $(($1 + 2)) ]
}

# No decision may kill for a need that is not there.
needless_kills() { kill_lines | grep -c ' need=0 '; }

not() { ! "$@"; }

# The configuration of most scenarios: a workload beside the system, and then what is on standard input (more of [Node]
# first, then the classes).
isolate_config() { # [SYSTEM-RESERVE]
    cat <<CONFIG
[Node]
Mode=isolate
Workload=workload.slice
Protect=system.slice
SystemReserve=${1:-140M}
CONFIG
    cat
}

median() { sort -n | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : 0 }'; }

# A service with a working set, in a group of its own, which is offloaded.
service_config() { # FILE [LINE-OF-ITS-CLASS...]
    isolate_config "${RESERVE:-140M}" >"$1" <<CONFIG
[Class service]
Match=workload.slice/*
Priority=600
Offload=yes
CONFIG
    service_config_file=$1
    shift
    for line in "$@"; do echo "$line" >>"$service_config_file"; done
}
service_content() {
    case $(cat /proc/cmdline) in
    *=zswap* | *=zram*) echo --compressible ;;
    esac
}
service_start() { # [OPTION...]
    load cgroup-run "$WORKLOAD/service" -- load service --bytes "$BYTES" --hot "$HOT" --rate "$RATE" $(service_content) \
        --ready /tmp/service-ready --output /tmp/service.txt "$@" &
    service_pid=$!
    wait_until 20 test -e /tmp/service-ready
}
service_stop() {
    kill -TERM "$service_pid"
    wait "$service_pid"
}
# A like one, all of it hot, which is not offloaded: what makes both of them late is the machine (or what headroomd takes of
# the CPU); what makes the one late and not the other is what was offloaded. At another rate: else one stands behind the
# other for as long as the scheduler leaves them where they are. (Each on a CPU of its own, 470 and 440 usec become 700 and
# 800: then none can go where the worker is not.)
control_start() { # [CONFIG]
    [ -z "${1:-}" ] || sed -i '/^\[Class service\]/i [Class control]\nMatch=workload.slice/control\nPriority=600\n' "$1"
    load cgroup-run "$WORKLOAD/control" -- load service --bytes "$HOT" --hot "$HOT" --rate $((RATE * 97 / 100)) \
        $(service_content) --ready /tmp/control-ready --output /tmp/control.txt &
    control_pid=$!
    wait_until 20 test -e /tmp/control-ready
    control_began=$(uptime_msec)
}
control_stop() {
    kill -TERM "$control_pid"
    wait "$control_pid"
}
# The p99 of each second of the service's in thousandths of the control's in the same second; of those the median.
service_beside_control() { # FROM TO: sets service_beside
    service_beside=$(awk -v from="$1" -v to="$2" -v later=$(((service_began - control_began + 500) / 1000)) '
        FNR == 1 { next }
        NR == FNR { control[$1 - later] = $4; next }
        $1 >= from && $1 <= to && control[$1] > 0 { printf "%.0f\n", $4 * 1000 / control[$1] }' /tmp/control.txt /tmp/service.txt |
        median)
}
service_anon() { awk '$1 == "anon" { print $2 }' "$WORKLOAD/service/memory.stat"; }
service_some() { cat "$WORKLOAD/service/memory.pressure" "$WORKLOAD/service/io.pressure" | sed -n 's/^some.*total=//p'; }
service_stalls_begin() { service_stalls_at=$(uptime_msec) service_stalls="$(service_some)"; }
service_stalls_end() { # sets service_some_ppm, the greater of memory's and I/O's
    service_some_ppm=$( (echo "$service_stalls"; service_some) | awk -v msec=$(($(uptime_msec) - service_stalls_at)) '
        { total[NR] = $1 }
        END { m = total[3] - total[1]; i = total[4] - total[2]; printf "%.0f", (m > i ? m : i) * 1000 / msec }')
}
# The median of the seconds' medians, and of their p99.
service_spans() { # FILE FROM TO: sets service_p50, service_p99, service_p99_ninth (nine in ten are at most that)
    service_p50=$(awk -v from="$2" -v to="$3" 'NR > 1 && $1 >= from && $1 <= to { print $3 }' "$1" | median)
    awk -v from="$2" -v to="$3" 'NR > 1 && $1 >= from && $1 <= to { print $4 }' "$1" | sort -n >/tmp/service-p99s
    service_p99=$(median </tmp/service-p99s)
    service_p99_ninth=$(awk '{ v[NR] = $1 } END { print v[int((NR * 9 + 9) / 10)] }' /tmp/service-p99s)
}
# Seconds from a moment on until three in a row have a p99 of at most so much: sets service_back.
service_back_after() { # FILE SECOND LIMIT
    service_back=$(awk -v from="$2" -v limit="$3" 'NR > 1 && $1 >= from {
            good = $4 <= limit ? good + 1 : 0
            if (good == 3) { print $1 - from - 2; found = 1; exit }
        }
        END { if (!found) print 9999 }' "$1")
}
