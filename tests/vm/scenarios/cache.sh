# vm: memory=1024 cpus=2 swap=none disk=4G timeout=200
# Page cache is no reason to kill: a file read (and written) far beyond the limit trips memory.high all the time.
. /lib.sh
: "${READ:=3G}" "${WRITE:=600M}"

guard_config /tmp/headroom.conf
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
load cgroup-run "$WORKLOAD/keeper" -- load task --bytes 100M --seconds 600 --grow-seconds 1 &
keeper=$!
start_heartbeat
high_before=$(awk '$1 == "high" { print $2 }' "$WORKLOAD/memory.events.local")
load cgroup-run "$WORKLOAD/reader" -- load reader --file /dev/data --bytes "$READ" >/tmp/reader.json
check "the reader is done" [ $? -eq 0 ]
load cgroup-run "$WORKLOAD/writer" -- load writer --file /dev/data --bytes "$WRITE" >/tmp/writer.json
check "the writer is done" [ $? -eq 0 ]
stop_heartbeat
high_after=$(awk '$1 == "high" { print $2 }' "$WORKLOAD/memory.events.local")
figure high_events $((high_after - high_before))
figure file_bytes "$(awk '$1 == "file" { print $2 }' "$WORKLOAD/memory.stat")"

check "the cache did reach the limit" [ $((high_after - high_before)) -gt 0 ]
check "nobody is killed" [ "$(kills)" -eq 0 ]
check "the keeper lives" [ -d /proc/$keeper ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
headroom status --json >/tmp/status.json
wakeups=$(json_get /tmp/status.json wakeups)
uptime=$(json_get /tmp/status.json uptime_usec)
figure wakeups_per_second $((wakeups * 1000000 / uptime))
bar "wake-ups in 100 s" $((wakeups * 100000000 / uptime)) 500

# Events that are not ours: another group's own limit is breached, memory.low is, again and again.
mkdir -p "$WORKLOAD/limited"
echo 30M >"$WORKLOAD/limited/memory.high"
load cgroup-run "$WORKLOAD/limited" -- load reader --file /dev/data --bytes 300M >/dev/null
check "a child's own limit was breached" [ "$(group_event "$WORKLOAD/limited" high)" -gt 0 ]
check "nobody is killed for it" [ "$(kills)" -eq 0 ]
check "headroomd stops when it is told to" stop_headroomd
finish
