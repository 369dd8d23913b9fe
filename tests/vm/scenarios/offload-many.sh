# vm: memory=1024 cpus=2 swap=zswap:1G timeout=300
# Offload of a dozen services at once: each has its turn, and what the loop spends on all of them is no more than a
# thousandth of the time. That is what bounds it here: a step costs a millisecond in a VM, so that there is one a second.
. /lib.sh
: "${GROUPS_OF:=12}" "${BYTES:=45M}" "${HOT:=6M}" "${RATE:=50}" "${SECONDS_ON:=120}" "${LEAST_PERCENT:=15}"

service_config /tmp/headroom.conf "OffloadRatio=adaptive"
for number in $(seq "$GROUPS_OF"); do
    load cgroup-run "$WORKLOAD/service-$number" -- load service --bytes "$BYTES" --hot "$HOT" --rate "$RATE" --compressible \
        --ready "/tmp/ready-$number" --output "/tmp/service-$number.txt" &
done
all_are_ready() { [ "$(ls /tmp/ready-* 2>/dev/null | wc -l)" -eq "$GROUPS_OF" ]; }
check "the services are up" wait_until 60 all_are_ready || finish
anon_of_all() { cat "$WORKLOAD"/service-*/memory.stat | awk '$1 == "anon" { bytes += $2 } END { print bytes }'; }
before=$(anon_of_all)
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
for at in $(seq 30 30 "$SECONDS_ON"); do
    sleep 30
    say "$at s: anon $(($(anon_of_all) >> 20))M of $((before >> 20))M"
done
saved=$((before - $(anon_of_all)))
spent=$(headroom --json status | sed -n 's/.*"spent_usec": \([0-9]*\).*/\1/p')
figure saved_permille $((saved * 1000 / before))
figure loop_usec "$spent"
most_anon=$(for file in "$WORKLOAD"/service-*/memory.stat; do awk '$1 == "anon" { print $2 }' "$file"; done | sort -n | tail -n 1)
figure most_that_one_still_has_bytes "$most_anon"
check "a part of it is out" [ $((saved * 100)) -ge $((before * LEAST_PERCENT)) ]
check "of each of them" [ "$most_anon" -lt $((before / GROUPS_OF * 9 / 10)) ]
bar "usec of the loop: a thousandth of the time, and what is put by for the start" "$spent" $((SECONDS_ON * 1000 + 60000))
check "headroomd stops when it is told to" stop_headroomd
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
finish
