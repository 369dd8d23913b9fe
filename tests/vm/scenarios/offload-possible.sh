# vm: memory=1024 cpus=2 clock=instructions swap=zswap:1G timeout=480
# What could be saved at all, by brute force and without headroomd: the service of offload-adaptive is pushed down to one
# size after the other, and the smallest at which its p99 is still within a tenth of what it was alone is what it needs.
# Beside a like service that is left alone, as in offload-adaptive: of 7.2 p99 is another one in each half of a minute.
. /lib.sh
: "${BYTES:=400M}" "${HOT:=120M}" "${RATE:=1000}" "${ALONE:=60}" "${SECONDS_EACH:=30}" "${SIZES:=300 220 160 140 125 115 105}"

check "a like service, which is left alone, is up" control_start || finish
check "the service is up" service_start || finish
service_began=$(uptime_msec)
second() { echo $((($(uptime_msec) - service_began) / 1000)); }
sleep "$ALONE"
anon_alone=$(service_anon)
# Hot pages come back while it is pushed; so a few times over.
push_down() { # MIB
    for push in 1 2 3 4 5 6; do
        push_by=$(($(service_anon) - ($1 << 20)))
        [ $push_by -gt 262144 ] || return 0
        echo "$push_by" >"$WORKLOAD/service/memory.reclaim"
    done 2>/dev/null
}
for size in $SIZES; do
    push_down "$size"
    sleep 3
    push_down "$size"
    sleep 2
    eval "from_$size=$(($(second) + 1)) anon_$size=$(service_anon)"
    sleep "$SECONDS_EACH"
    eval "to_$size=$(($(second) - 1)) after_$size=$(service_anon)"
done
service_stop
control_stop
service_spans /tmp/service.txt 1 $((ALONE - 1))
figure alone_p99_usec "$service_p99"
service_beside_control 1 $((ALONE - 1))
alone=$service_beside needs=$anon_alone
for size in $SIZES; do
    eval "service_spans /tmp/service.txt \$from_$size \$to_$size"
    eval "service_beside_control \$from_$size \$to_$size"
    eval "say \"$size MiB (from \$((anon_$size >> 20)) to \$((after_$size >> 20))): p50 $service_p50 p99 $service_p99, of \$((service_beside * 1000 / alone)) per mille\""
    [ "$service_beside" -gt $((alone * 11 / 10)) ] || eval "needs=\$after_$size"
done
figure anon_alone_bytes "$anon_alone"
figure needed_bytes "$needs"
figure possible_permille $(((anon_alone - needs) * 1000 / anon_alone))
bar "needed, bytes, of what it has alone" "$needs" $((anon_alone * 9 / 10))
check "it was pushed down" eval "[ \$anon_$size -le \$(((size + 16) << 20)) ]"
finish
