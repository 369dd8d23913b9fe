# vm: memory=1024 cpus=2 swap=disk:2G timeout=700
# The storm where what it grows by has somewhere to go: left alone, and with headroomd, which must not make it worse. Also
# with --vm swap=zram:2G and swap=zswap:2G, whose tasks then have memory that compresses (to a quarter; what does not
# compress would only move within the same memory): COMPRESSIBLE=yes or no says otherwise.
# One storm that is not compared, then unguarded, guarded, guarded, unguarded: on 7.2 a second storm is up to a third slower
# than the first (28.7 and 38.0 s), whoever runs it, and those after it are as the second: what the kernel keeps free for
# each CPU has grown to 77 of 1024 MiB by then (/proc/zoneinfo). FIRST=guarded or unguarded (first_driver_seconds) is for
# comparing the first ones, which takes two VMs.
. /lib.sh
: "${FIRST:=unguarded}" "${LIMIT:=150}" "${ACTIONS:=reclaim pause kill}" "${COMPRESSIBLE:=auto}"
storm_defaults
case $COMPRESSIBLE:$(tr ' ' '\n' </proc/cmdline | grep '^headroom.swap=') in
yes:* | auto:*=z*) DRIVER_OPTIONS="$DRIVER_OPTIONS --compressible" ;;
esac

# What zswap holds has not gone to its device.
swapped_pages() { awk '$1 == "pswpout" || $1 == "zswpout" { pages += $2 } END { print pages + 0 }' /proc/vmstat; }

# run NAME: the storm beside the heartbeat; sets run_seconds, full_percent and run_finished.
run() {
    RUN=$1_
    run_full=$(full_usec "$WORKLOAD") run_oom=$(oom_kills) run_pages=$(swapped_pages)
    start_heartbeat
    run_driver
    run_seconds=$(driver_get seconds) run_finished=$(driver_get finished)
    run_full=$(($(full_usec "$WORKLOAD") - run_full))
    stop_heartbeat
    full_percent=$(awk -v full=$run_full -v seconds="$run_seconds" 'BEGIN { printf "%.1f", full / seconds / 10000 }')
    run_oom=$(($(oom_kills) - run_oom))
    figure "$1_full_percent" "$full_percent"
    figure "$1_oom_kills" $run_oom
    figure "$1_swapped_out_mib" $((($(swapped_pages) - run_pages) / 256))
}

# guarded NAME: one with headroomd, after which all is as it was before.
guarded() {
    check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
    run "$1"
    figure "$1_lost_permille_of_work" "$(lost_permille)"
    figure "$1_kills" "$(kills)"
    figure "$1_pauses" "$(pauses)"
    check "headroomd still runs" headroomd_runs
    check "all tasks finish" [ "$run_finished" -eq "$TASKS" ]
    check "no kill by the kernel" [ $run_oom -eq 0 ]
    check "no kill by headroomd" [ "$(kills)" -eq 0 ]
    check "nothing is lost" [ "$(lost_permille)" -eq 0 ]
    check "headroomd stops when it is told to" stop_headroomd
    check "nothing stays frozen" [ "$(frozen_groups)" -eq 0 ]
    knobs_save /tmp/knobs-after.txt
    check "every knob is as it was before" knobs_compare /tmp/knobs-before.txt /tmp/knobs-after.txt
}

guard_config /tmp/headroom.conf
knobs_save /tmp/knobs-before.txt
if [ "$FIRST" = guarded ]; then guarded first; else run first; fi
run unguarded
alone_seconds=$run_seconds alone_full=$full_percent alone_finished=$run_finished
check "left alone, it swaps" [ $(($(swapped_pages) - run_pages)) -gt 0 ]
guarded guarded
guarded_seconds=$run_seconds
guarded guarded_again
guarded_seconds=$(awk "BEGIN { print $guarded_seconds + $run_seconds }")
run unguarded_again
alone_seconds=$(awk "BEGIN { print $alone_seconds + $run_seconds }")
alone_full=$(awk "BEGIN { print ($alone_full + $full_percent) / 2 }")
ratio=$(ratio_permille "$guarded_seconds" "$alone_seconds")
figure time_permille_of_unguarded "$ratio"
if [ "$alone_finished$run_finished" = "$TASKS$TASKS" ] && at_most "$alone_full" 20; then
    bar "time, permille of the unguarded runs'" "$ratio" 1100
else
    say "left alone it stalls ($alone_finished and $run_finished of $TASKS, full $alone_full %): no bar for the time"
fi
finish
