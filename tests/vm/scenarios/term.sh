# vm: memory=1024 cpus=2 swap=none timeout=120
# TermGrace=: a victim is asked first. One that ends by itself is not killed; one that ignores SIGTERM is gone within
# TermGrace + 200 ms; memory.high is back where it was.
. /lib.sh

guard_config /tmp/headroom.conf
echo "TermGrace=2s" >>/tmp/headroom.conf
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
high=$(cat "$WORKLOAD/memory.high")
start_heartbeat
load cgroup-run "$WORKLOAD/polite" -- load hog --from 10M --to 4G --rate 150M >/dev/null 2>&1
status=$?
check "a polite hog ends by itself" [ "$status" -eq 0 ]
sleep 1
# A signal that is ignored stays ignored over exec.
load cgroup-run "$WORKLOAD/rude" -- sh -c 'trap "" TERM; exec load hog --from 10M --to 4G --rate 150M' >/dev/null 2>&1
check "a rude hog is killed" [ $? -eq 137 ]
sleep 1
took=$(kill_lines | grep rude | sed -n 's/.*outcome_us=\([0-9]*\).*/\1/p' | tail -n 1)
figure rude_usec "$took"
bar "TermGrace + 200 ms, usec" "$took" 2200000
check "within TermGrace + 10 s" at_most "$took" 12000000
check "memory.high is the limit again" [ "$(cat "$WORKLOAD/memory.high")" = "$high" ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
stop_heartbeat
check "headroomd stops when it is told to" stop_headroomd
finish
