# vm: memory=1024 cpus=2 swap=none timeout=400 programs=earlyoom
# How fast: from the kernel's event to the kill, and from the kill to the memory back, over many kills of a group of
# about 300 MiB, with and without process_mrelease; and the same load under earlyoom where it is in the guest (put its
# binary into the build directory). Figures only.
. /lib.sh
: "${ROUNDS:=50}" "${AFTER:=20}"

median() { sort -n | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : "none" }'; }
field() { sed -n "s/.* $1=\([0-9]*\).*/\1/p"; }
rounds() { # BELOW COUNT
    for round in $(seq "$2"); do
        load reaction --below "$1" -- load cgroup-run "$WORKLOAD/hog" -- load hog --from 10M --to 4G --rate max 2>/dev/null |
            sed -n 's/.*"reaction_usec": \([0-9]*\),.*/\1/p'
        rmdir "$WORKLOAD/hog"
    done
}

guard_config /tmp/headroom.conf
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
limit=$(cat "$WORKLOAD/memory.high")
# A keeper leaves the hog about 300 MiB; it is older, so the hog is the one that goes.
keeper_mib=$((limit / 1048576 - 320))
load cgroup-run "$WORKLOAD/keeper" -- load task --bytes ${keeper_mib}M --seconds 3000 --grow-seconds 3 >/dev/null 2>&1 &
keeper=$!
sleep 5
echo -900 >/proc/$keeper/oom_score_adj # for earlyoom, which would take the larger one
below=$(($(meminfo_bytes MemAvailable) - 306 * 1048576))

rounds "$below" "$ROUNDS" >/tmp/outside.txt
figure headroomd_outside_usec_median "$(median </tmp/outside.txt)"
figure headroomd_event_to_signal_usec_median "$(kill_lines | field signal_us | median)"
kill_lines | awk '{ for (i = 1; i <= NF; i++) { split($i, f, "="); v[f[1]] = f[2] } print v["outcome_us"] - v["signal_us"] }' |
    tail -n "$AFTER" >/tmp/with.txt
figure signal_to_memory_back_usec_median_with_mrelease "$(median </tmp/with.txt)"
check "the keeper lives" [ -d /proc/$keeper ]

# Without its worker headroomd kills as before, and nobody calls process_mrelease.
kill -KILL "$(pgrep -f headroomd-work | head -n 1)" 2>/dev/null || kill -KILL "$(pidof headroomd-work)"
sleep 1
before=$(kills)
rounds "$below" "$AFTER" >/dev/null
kill_lines | tail -n +$((before + 1)) |
    awk '{ for (i = 1; i <= NF; i++) { split($i, f, "="); v[f[1]] = f[2] } print v["outcome_us"] - v["signal_us"] }' >/tmp/without.txt
figure signal_to_memory_back_usec_median_without "$(median </tmp/without.txt)"
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
check "headroomd stops when it is told to" stop_headroomd

if command -v earlyoom >/dev/null; then
    # Its bound as a share of memory, set to what leaves the hog as much as above.
    percent=$((below * 100 / $(meminfo_bytes MemTotal)))
    load cgroup-run "$SYSTEM/earlyoom" -- earlyoom -m "$percent,$((percent / 2))" -r 0 --avoid '^init$' >/tmp/earlyoom.log 2>&1 &
    earlyoom=$!
    sleep 2
    rounds $((percent * $(meminfo_bytes MemTotal) / 100)) "$ROUNDS" >/tmp/outside-earlyoom.txt
    figure earlyoom_outside_usec_median "$(median </tmp/outside-earlyoom.txt)"
    figure earlyoom_kernel_kills "$(oom_kills)"
    kill $earlyoom
    wait $earlyoom
fi
finish
