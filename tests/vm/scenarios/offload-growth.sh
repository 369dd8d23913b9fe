# vm: memory=1024 cpus=2 clock=instructions swap=zswap:1G timeout=600
# A service that is offloaded takes 250 MiB as fast as it can, gives it back, and does so again: how much longer that takes
# than with headroomd and no offload (and without headroomd). By turns, since by the host's time (--vm clock=host) a growth
# takes 0.2 s, and a tenth more or less on a busy host.
. /lib.sh
: "${BYTES:=200M}" "${HOT:=60M}" "${RATE:=200}" "${AT:=30}" "${GROW:=250M}" "${TIMES:=16}" "${EVERY:=3}" "${ROUNDS:=1}"

service_config /tmp/headroom.conf "OffloadRatio=adaptive"
grown() { sed -n 's/.*"grown_usec": \[\(.*\)\].*/\1/p' /tmp/service.txt | tr -d ,; }
round() {
    rm -f /tmp/service-ready /tmp/service.txt
    service_start --grow-at "$AT" --grow-by "$GROW" --grow-times "$TIMES" --grow-every "${EVERY}s" \
        --seconds $((AT + EVERY * TIMES))
    wait "$service_pid"
    grown
}
sed 's/^Offload=yes/Offload=no/' /tmp/headroom.conf >/tmp/headroom-off.conf
grow_alone() { alone="${alone:-} $(round)"; }
grow_beside() { # CONFIGURATION: sets beside
    start_headroomd --config "$1" || { check "headroomd starts" false; finish; }
    beside=$(round)
    stop_headroomd || check "headroomd stops when it is told to" false
}
grow_without() { grow_beside /tmp/headroom-off.conf; without="${without:-} $beside"; }
grow_with() { grow_beside /tmp/headroom.conf; with="${with:-} $beside"; }
for number in $(seq "$ROUNDS"); do # there and back, so that what changes with time is in all of them
    grow_alone; grow_without; grow_with
    grow_with; grow_without; grow_alone
done
of() { echo "$1" | tr ' ' '\n' | grep . | median; }
figure grown_usec_alone "$(of "$alone")"
say "without:$without"
say "with:$with"
figure grown_usec_without "$(of "$without")"
figure grown_usec_with "$(of "$with")"
bar "time to grow with offload, of 1.02 x without, usec" "$(of "$with")" $(($(of "$without") * 102 / 100))
check "it grew each time" [ "$(echo $alone $without $with | wc -w)" -eq $((6 * ROUNDS * TIMES)) ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
finish
