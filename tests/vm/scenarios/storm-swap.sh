# vm: memory=1024 cpus=2 swap=disk:2G timeout=420
# The storm where what it grows by has somewhere to go: left alone first, then with headroomd, which must not make it
# worse. Also with --vm swap=zram:2G and swap=zswap:2G, whose tasks then have memory that compresses (to a quarter; what
# does not compress would only move within the same memory): COMPRESSIBLE=yes or no says otherwise.
. /lib.sh
: "${LIMIT:=150}" "${ACTIONS:=reclaim pause kill}" "${COMPRESSIBLE:=auto}" "${GUARD:=yes}"
storm_defaults
case $COMPRESSIBLE:$(tr ' ' '\n' </proc/cmdline | grep '^headroom.swap=') in
yes:* | auto:*=z*) DRIVER_OPTIONS="$DRIVER_OPTIONS --compressible" ;;
esac

# What zswap holds has not gone to its device.
swapped_pages() { awk '$1 == "pswpout" || $1 == "zswpout" { pages += $2 } END { print pages + 0 }' /proc/vmstat; }

# run NAME: the storm beside the heartbeat; sets full_percent.
run() {
    RUN=$1_
    run_full=$(full_usec "$WORKLOAD") run_oom=$(oom_kills) run_pages=$(swapped_pages)
    start_heartbeat
    run_driver
    run_seconds=$(driver_get seconds)
    run_full=$(($(full_usec "$WORKLOAD") - run_full))
    stop_heartbeat
    full_percent=$(awk -v full=$run_full -v seconds="$run_seconds" 'BEGIN { printf "%.1f", full / seconds / 10000 }')
    run_oom=$(($(oom_kills) - run_oom))
    figure "$1_full_percent" "$full_percent"
    figure "$1_oom_kills" $run_oom
    figure "$1_swapped_out_mib" $((($(swapped_pages) - run_pages) / 256))
}

run unguarded
alone_seconds=$run_seconds alone_full=$full_percent
alone_finished=$(driver_get finished)
check "left alone, it swaps" [ $(($(swapped_pages) - run_pages)) -gt 0 ]
[ "$GUARD" = yes ] || finish

guard_config /tmp/headroom.conf
knobs_save /tmp/knobs-before.txt
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
figure limit_bytes "$(cat "$WORKLOAD/memory.high")"
figure ideal_seconds "$(ideal_seconds "$(cat "$WORKLOAD/memory.high")")"
run guarded
ratio=$(ratio_permille "$run_seconds" "$alone_seconds")
figure time_permille_of_unguarded "$ratio"
figure lost_permille_of_work "$(lost_permille)"
figure kills "$(kills)"
figure pauses "$(pauses)"

check "headroomd still runs" headroomd_runs
check "all tasks finish" [ "$(driver_get finished)" -eq "$TASKS" ]
check "no kill by the kernel" [ $run_oom -eq 0 ]
check "no kill by headroomd" [ "$(kills)" -eq 0 ]
check "nothing is lost" [ "$(lost_permille)" -eq 0 ]
if [ "$alone_finished" -eq "$TASKS" ] && at_most "$alone_full" 20; then
    bar "time, permille of the unguarded run's" "$ratio" 1100
else
    say "left alone it stalls ($alone_finished of $TASKS, full $alone_full %): no bar for the time"
fi
check "headroomd stops when it is told to" stop_headroomd
check "nothing stays frozen" [ "$(frozen_groups)" -eq 0 ]
knobs_save /tmp/knobs-after.txt
check "every knob is as it was before" knobs_compare /tmp/knobs-before.txt /tmp/knobs-after.txt
finish
