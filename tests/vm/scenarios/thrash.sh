# vm: memory=1024 cpus=2 swap=disk:2G:60M timeout=580
# A working set that is larger than memory, touched all the time, with a disk to swap to: left alone, the node moves
# pages and nothing else. What headroomd makes of it is held against the best fixed number of tasks side by side, over two
# minutes: of the first tasks nothing is known, and what they have swapped out when that is seen to be too much has to be
# written and read once.
. /lib.sh
: "${TASKS:=72}" "${BYTES:=190M}" "${TASK_SECONDS:=6}" "${GROW_SECONDS:=2}" "${PARALLEL:=8}" "${STAGGER:=100ms}"
: "${TOUCH:=2s}" "${PROFILE:=ramp}" "${NUMBERS:=3 4 5}" "${TRY_TASKS:=24}" "${TRY_SECONDS:=50}" "${LIMIT:=240}"
: "${ACTIONS:=reclaim pause kill}"
storm_defaults

# run NAME [OPTION...]: sets throughput, in thousandths of a second of work per second.
run() {
    RUN=$1_
    shift
    run_full=$(full_usec "$WORKLOAD")
    start_heartbeat
    run_driver --touch-all-seconds "$TOUCH" "$@"
    run_full=$(($(full_usec "$WORKLOAD") - run_full))
    stop_heartbeat
    throughput=$(ratio_permille "$(driver_get work_seconds)" "$(driver_get seconds)")
    figure "${RUN}throughput_permille" "$throughput"
    figure "${RUN}full_percent" "$(awk -v full=$run_full -v seconds="$(driver_get seconds)" 'BEGIN {
        printf "%.1f", full / seconds / 10000 }')"
}

best=0
for number in $NUMBERS; do
    run "fixed_$number" --parallel "$number" --tasks "$TRY_TASKS" # to the end: what is cut counts as nothing
    [ "$throughput" -le "$best" ] || { best=$throughput; figure best_number "$number"; }
done
run unguarded --limit "$TRY_SECONDS"
check "left alone, it stalls" at_most "$throughput" $((best * 8 / 10))
oom_before=$(oom_kills)
figure unguarded_oom_kills "$oom_before"

guard_config /tmp/headroom.conf
knobs_save /tmp/knobs-before.txt
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
run guarded
ratio=$(ratio_permille "$throughput" "$best")
figure throughput_permille_of_best "$ratio"
figure lost_permille_of_work "$(lost_permille)"
figure kills "$(kills)"
figure pauses "$(pauses)"
check "all tasks finish" [ "$(driver_get finished)" -eq "$TASKS" ]
check "no kill by the kernel" [ "$(oom_kills)" -eq "$oom_before" ]
bar "best fixed number, permille of the throughput" "$(ratio_permille "$best" "$throughput")" 1111
bar "heartbeat p99.9, usec" "$(heartbeat_get p999_usec)" 50000
check "no heartbeat later than 10 s" at_most "$(heartbeat_get worst_usec)" 10000000
check "headroomd stops when it is told to" stop_headroomd
check "nothing stays frozen" [ "$(frozen_groups)" -eq 0 ]
knobs_save /tmp/knobs-after.txt
check "every knob is as it was before" knobs_compare /tmp/knobs-before.txt /tmp/knobs-after.txt
finish
