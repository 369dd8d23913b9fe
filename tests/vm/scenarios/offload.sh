# vm: memory=1024 cpus=2 swap=disk:1G timeout=150
# Offload by the fixed law (TMO's constants, at an interval of a second, so that fifty of them fit): what is asked for is
# what the formula says of what was read, as the log of each step has it, and nobody waits for it. Then by hand.
. /lib.sh
: "${BYTES:=400M}" "${HOT:=120M}" "${RATE:=200}" "${STEPS:=75}"

service_config /tmp/headroom.conf "OffloadRatio=0.0005" "OffloadInterval=1s"
check "the service is up" service_start || finish
check "headroomd starts" start_headroomd --debug --config /tmp/headroom.conf || finish
service_stalls_begin
sleep $((STEPS + 2))
service_stalls_end
bar "memory and io some, ppm of the time" "$service_some_ppm" 1000
steps() { grep 'event=offload ' /tmp/headroomd.log; }
steps >/tmp/steps.txt
figure steps "$(grep -c . /tmp/steps.txt)"
check "fifty steps" [ "$(grep -c . /tmp/steps.txt)" -ge 50 ]

# Each step by the formula, and all of them together by what was asked for, gathered and owed.
offload_is_by_the_formula() {
    grep 'event=offload' /tmp/headroomd.log | awk '
        { delete f; for (i = 1; i <= NF; i++) { split($i, kv, "="); f[kv[1]] = kv[2] } }
        f["event"] == "offload" {
            may = f["interval_usec"] / 1000
            stall = f["memory_usec"] > f["io_usec"] ? f["memory_usec"] : f["io_usec"]
            formula = stall + 0 < may ? f["current"] * 0.0005 * (1 - stall / may) : 0
            off = f["wanted"] - formula
            if (off > 4096 || off < -4096) { print "step " NR ": " f["wanted"] " instead of " formula; bad = 1 }
            wanted += f["wanted"]; asked += f["asked"]; pending = f["pending"]; debt = f["debt"]
            over = came_over; again = came_again # what came of the last one is not in them yet
            n++
        }
        f["event"] == "offloaded" {
            came_over += f["took"] > f["asked"] ? f["took"] - f["asked"] : 0
            came_again += f["of"] - f["asked"]
        }
        END {
            left = wanted - (asked - again) - pending - (over - debt)
            print "wanted " wanted ", asked " asked ", pending " pending ", overshot " over ", owed " debt ", off by " left
            exit bad || n < 50 || left > 4096 || left < -4096
        }' >/tmp/formula.txt
    formula_status=$?
    say "$(tail -n 1 /tmp/formula.txt)"
    return $formula_status
}
stop_offload() { sed -i 's/^Offload=yes/Offload=no/' /tmp/headroom.conf && headroom reload; }
check "reload ends it" stop_offload
sleep 2
check "each step is what the formula says, within a page" offload_is_by_the_formula

anon_before=$(service_anon)
check "by hand" headroom offload workload.slice/service 40M
figure by_hand_anon_bytes $((anon_before - $(service_anon)))
check "by hand gives about what was asked for" [ $((anon_before - $(service_anon))) -ge $((30 * 1048576)) ]
echo $((400 * 1048576)) >"$WORKLOAD/service/memory.low"
anon_before=$(service_anon)
headroom offload workload.slice/service 40M
check "not what is protected" [ $((anon_before - $(service_anon))) -le $((4 * 1048576)) ]
check "no such group" not headroom offload workload.slice/nobody 40M
check "headroomd stops when it is told to" stop_headroomd
service_stop
finish
