# vm: memory=1024 cpus=2 swap=none timeout=300
# Tasks that differ: from 40 to 400 MiB and from 4 to 30 s, in an order that SEED makes; each fourth does not say how
# much it will take. Held against a schedule that knows all the sizes.
. /lib.sh
: "${SEED:=1}" "${TASKS:=20}" "${LIMIT:=240}" "${ACTIONS:=pause kill}"
storm_defaults

# Numbers from A to B, separated by commas, with a unit. Park and Miller's generator fits into awk's numbers.
random_list() { # SEED COUNT A B UNIT
    awk -v state="$1" -v count="$2" -v a="$3" -v b="$4" -v unit="$5" 'BEGIN {
        for (i = 0; i < 10; i++)
            state = (state * 16807) % 2147483647
        for (i = 0; i < count; i++) {
            state = (state * 16807) % 2147483647
            printf "%s%d%s", i ? "," : "", a + int(state / 2147483647 * (b - a + 1)), unit
        }
    }'
}

# The end of the last task where each starts, in order, as soon as it fits beside those that run.
schedule_seconds() { # LIMIT-BYTES SIZES DURATIONS
    awk -v limit="$1" -v sizes="$2" -v durations="$3" -v parallel="$PARALLEL" 'BEGIN {
        count = split(sizes, size, ","); split(durations, duration, ",")
        for (i = 1; i <= count; i++) {
            bytes = size[i] * 1048576
            while (running == parallel || (running && used + bytes > limit)) {
                first = 0
                for (j = 1; j < i; j++)
                    if (!over[j] && (!first || end[j] < end[first]))
                        first = j
                now = end[first]; over[first] = 1; running--; used -= size[first] * 1048576
            }
            end[i] = now + duration[i]; running++; used += bytes
            if (end[i] > last)
                last = end[i]
        }
        print last
    }'
}

sizes=$(random_list "$SEED" "$TASKS" 40 400 M)
durations=$(random_list $((SEED + 1000)) "$TASKS" 4 30 s)
say "sizes $sizes"
say "durations $durations"

guard_config /tmp/headroom.conf
knobs_save /tmp/knobs-before.txt
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
limit=$(cat "$WORKLOAD/memory.high")
schedule=$(schedule_seconds "$limit" "$sizes" "$durations")
figure schedule_seconds "$schedule"

start_heartbeat
run_driver --sizes "$sizes" --durations "$durations" --xattr user.headroom.request=%b --xattr-skip-every 4 \
    2>/tmp/driver-errors.log
stop_heartbeat

time=$(ratio_permille "$(driver_get seconds)" "$schedule")
figure time_permille_of_schedule "$time"
figure lost_permille_of_work "$(lost_permille)"
figure oom_kills "$(oom_kills)"
figure kills "$(kills)"
figure pauses "$(pauses)"
check "every request was declared" [ ! -s /tmp/driver-errors.log ]
check "all tasks finish" [ "$(driver_get finished)" -eq "$TASKS" ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
check "no kill without need" [ "$(needless_kills)" -eq 0 ]
bar "lost, permille of work" "$(lost_permille)" 50
bar "time, permille of the schedule's" "$time" 1250
check "headroomd stops when it is told to" stop_headroomd
check "nothing stays frozen" [ "$(frozen_groups)" -eq 0 ]
knobs_save /tmp/knobs-after.txt
check "every knob is as it was before" knobs_compare /tmp/knobs-before.txt /tmp/knobs-after.txt
finish
