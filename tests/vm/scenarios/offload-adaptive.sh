# vm: memory=1024 cpus=2 clock=instructions swap=zswap:1G timeout=520
# Offload by the adaptive law: a service of which 120 of 400 MiB are hot, and one request in a hundred goes anywhere. Its
# latency alone, then for five minutes with offload, then with another hot part. Also with --vm swap=disk:1G and swap=zram:1G.
# A thousand requests a second: each uses eight of 7,680 hot objects, so that a hot part that is another one has been asked
# for but for a thousandth after 6.6 s. At 200 a second it takes 33 s, and what nobody has asked for cannot be back.
# A like service that is left alone runs beside it: p99 of a service alone is 0.6 ms in one quarter of a minute and 1.0 in
# the next on a busy host (--vm clock=host), so what counts is the one's p99 by the other's in the same second.
. /lib.sh
: "${BYTES:=400M}" "${HOT:=120M}" "${RATE:=1000}" "${ALONE:=60}" "${SECONDS_ON:=300}" "${TURN:=60}" "${LIMIT:=16M}"
: "${THRESHOLD:=0.1%}"

service_config /tmp/headroom.conf "OffloadRatio=adaptive" "OffloadThreshold=$THRESHOLD"
sed -i "s/^\[Class service\]/SwapWriteLimit=$LIMIT\n&/" /tmp/headroom.conf
check "a like service, which is left alone, is up" control_start /tmp/headroom.conf || finish
check "the service is up" service_start --turn-at $((ALONE + SECONDS_ON + 2)) || finish
service_began=$(uptime_msec)
# In one sleep: what is forked meanwhile is felt by a service that answers within a millisecond.
wait_for_second() {
    wait_left=$(($1 * 1000 + service_began - $(uptime_msec)))
    [ $wait_left -le 0 ] || sleep_msec $wait_left
}
sleep "$ALONE"
anon_alone=$(service_anon)
check "headroomd starts" start_headroomd --debug --config /tmp/headroom.conf || finish
service_stalls_begin
cpu_before=$(cpu_usec "$SYSTEM/headroomd")
written_before=$(awk '$1 == "pswpout" { print $2 }' /proc/vmstat)
for at in $(seq 30 30 "$SECONDS_ON"); do
    wait_for_second $((ALONE + at))
    say "$at s: anon $(($(service_anon) >> 20))M, $(headroom status | sed -n 's/.* resident, saves/saves/p' | tail -n 1)"
done
wait_for_second $((ALONE + SECONDS_ON))
service_stalls_end
figure anon_alone_bytes "$anon_alone"
figure anon_bytes "$(service_anon)"
figure some_ppm "$service_some_ppm"
figure headroomd_cpu_ppm $((($(cpu_usec "$SYSTEM/headroomd") - cpu_before) / SECONDS_ON))
figure loop_usec "$(headroom --json status | sed -n 's/.*"spent_usec": \([0-9]*\).*/\1/p')"
figure written_bytes $((($(awk '$1 == "pswpout" { print $2 }' /proc/vmstat) - written_before) * 4096))
possible=${POSSIBLE:-$((anon_alone - $(bytes_of "$HOT")))} # bytes, as offload-possible finds it; or all that is not hot
saved=$((anon_alone - $(service_anon)))
figure saved_permille_of_possible $((saved * 1000 / possible))
# With swap on a disk the law rests where the service waits OffloadThreshold= of the time: how much that is depends on the disk.
case "$(cat /proc/cmdline) possible=${POSSIBLE:-}" in
*=zswap* | *=zram* | *possible=?*) check "four fifths of what can be saved are" [ $((saved * 10)) -ge $((possible * 8)) ] ;;
*) check "something is saved" [ $((saved * 10)) -ge "$possible" ] ;;
esac
bar "memory and io some, ppm of the time" "$service_some_ppm" 2000
swapped_in_before=$(awk '$1 == "pswpin" { print $2 }' /proc/vmstat)
sleep "$TURN"
figure turn_swapped_in_bytes $((($(awk '$1 == "pswpin" { print $2 }' /proc/vmstat) - swapped_in_before) * 4096))
say "after the turn: anon $(($(service_anon) >> 20))M, $(headroom status | sed -n 's/.* resident, saves/saves/p' | tail -n 1)"
# What is under way by itself makes way for it.
by_hand() { for time in 1 2 3 4 5; do headroom offload workload.slice/service 2M || return 1; done; }
check "five times by hand" by_hand
check "headroomd stops when it is told to" stop_headroomd
service_stop
control_stop
service_spans /tmp/control.txt 1 $((ALONE - 1))
figure control_alone_p99_usec "$service_p99"
service_spans /tmp/control.txt "$ALONE" $((ALONE + SECONDS_ON - 1))
figure control_offloaded_p99_usec "$service_p99"
service_spans /tmp/service.txt 1 $((ALONE - 1))
figure alone_p99_usec "$service_p99"
service_p99_high=$service_p99_ninth
service_spans /tmp/service.txt "$ALONE" $((ALONE + SECONDS_ON - 1))
figure offloaded_p99_usec "$service_p99"
figure offloaded_p50_usec "$service_p50"
for at in $(seq 0 30 $((SECONDS_ON - 30))); do
    service_beside_control $((ALONE + at)) $((ALONE + at + 29))
    say "$at s: p99 $service_beside thousandths of the one that is left alone"
done
service_beside_control 1 $((ALONE - 1))
beside_alone=$service_beside
service_beside_control "$ALONE" $((ALONE + SECONDS_ON - 1))
figure p99_of_control_alone_permille "$beside_alone"
figure p99_of_control_offloaded_permille "$service_beside"
bar "p99 with offload, permille of alone" $((service_beside * 1000 / beside_alone)) 1100
service_back_after /tmp/service.txt $((ALONE + SECONDS_ON + 2)) $((service_p99_high * 11 / 10))
bar "p99 is back after a turn, seconds" "$service_back" 10
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
finish
