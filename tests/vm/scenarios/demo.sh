# vm: memory=1024 cpus=2 swap=none timeout=200
# What ./demo shows: the storm with or without headroomd, told as it happens.
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

: >/tmp/driver-events.log
start_heartbeat
run_driver &
driver=$!
began=$(uptime_msec)
while [ -d /proc/$driver ]; do
    live "$(tell $((($(uptime_msec) - began) / 1000)))"
    sleep 1
done
wait $driver
stop_heartbeat
figure oom_kills "$(oom_kills)"
figure pauses "$([ "$GUARD" = yes ] && groups_paused || echo 0)"
[ "$GUARD" != yes ] || stop_headroomd
finish
