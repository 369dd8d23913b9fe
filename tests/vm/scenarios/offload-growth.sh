# vm: memory=1024 cpus=2 swap=zswap:1G timeout=240
# A service that is offloaded takes 250 MiB as fast as it can: how much longer than without offload.
. /lib.sh
: "${BYTES:=200M}" "${HOT:=60M}" "${RATE:=200}" "${AT:=30}" "${GROW:=250M}" "${ROUNDS:=3}"

service_config /tmp/headroom.conf "OffloadRatio=adaptive"
grown() { sed -n 's/.*"grown_usec": \([0-9]*\).*/\1/p' /tmp/service.txt; }
round() {
    rm -f /tmp/service-ready /tmp/service.txt
    service_start --grow-at "$AT" --grow-by "$GROW" --seconds $((AT + 5))
    wait "$service_pid"
    grown
}
for number in $(seq "$ROUNDS"); do
    without="${without:-} $(round)"
    start_headroomd --config /tmp/headroom.conf || { check "headroomd starts" false; finish; }
    with="${with:-} $(round)"
    stop_headroomd || check "headroomd stops when it is told to" false
done
least() { echo "$1" | tr ' ' '\n' | grep . | sort -n | head -n 1; }
figure grown_usec_without "$(least "$without")"
figure grown_usec_with "$(least "$with")"
bar "time to grow with offload, of 1.02 x without, usec" "$(least "$with")" $(($(least "$without") * 102 / 100))
check "it grew each time" [ "$(echo $without $with | wc -w)" -eq $((2 * ROUNDS)) ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
finish
