# vm: memory=1024 cpus=2 swap=none timeout=200
# What ./demo shows: the storm with or without headroomd, told as it happens, and what its picture is drawn from.
. /lib.sh
: "${GUARD:=yes}" "${LIMIT:=60}" "${ACTIONS:=pause kill}"
storm_defaults

if [ "$GUARD" = yes ]; then
    guard_config /tmp/headroom.conf
    check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
fi

tell() {
    awk -v used="$(($(meminfo_bytes MemTotal) - $(meminfo_bytes MemAvailable)))" -v total="$(meminfo_bytes MemTotal)" \
        -v finished="$(grep -c ' finished' /tmp/driver-events.log)" -v second="$1" -v oom="$(oom_kills)" \
        -v kills="$([ "$GUARD" = yes ] && kills || echo 0)" -v paused="$(frozen_groups)" 'BEGIN {
            printf "%d %d %d %d %d %d %d\n", second, used / 1048576, total / 1048576, finished, kills, oom, paused }'
}

# The work's memory, four times a second, by the shell alone: what measures must not be felt.
sample() {
    while :; do
        read -r sample_bytes <"$WORKLOAD/memory.current"
        read -r sample_seconds _ </proc/uptime
        echo "$sample_seconds $sample_bytes"
        sleep_msec 250
    done
}

figure total_bytes "$(meminfo_bytes MemTotal)"
figure limit_bytes "$(sed 's/max/0/' "$WORKLOAD/memory.high")"
: >/tmp/driver-events.log
start_heartbeat
sample >/tmp/memory.log &
sampler=$!
began=$(uptime_msec)
figure began_msec "$began"
run_driver &
driver=$!
while [ -d /proc/$driver ]; do
    live "$(tell $((($(uptime_msec) - began) / 1000)))"
    sleep 1
done
wait $driver
kill $sampler
stop_heartbeat
bring_out /tmp/memory.log
bring_out /tmp/driver-events.log
if [ "$GUARD" = yes ]; then
    headroom --json events >/tmp/decisions.json
    bring_out /tmp/decisions.json
fi
figure oom_kills "$(oom_kills)"
figure pauses "$([ "$GUARD" = yes ] && groups_paused || echo 0)"
[ "$GUARD" != yes ] || stop_headroomd
finish
