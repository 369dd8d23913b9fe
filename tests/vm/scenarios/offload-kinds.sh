# vm: memory=1024 cpus=2 clock=instructions swap=zswap:1G disk=1G timeout=780 programs=oomd
# What offloading saves and what it costs a service of 400 MiB of which 120 MiB are hot, by who does it: headroom with TMO's
# constants, headroom's adaptive law, and senpai, where Debian's oomd is on the machine. KIND=anon, file or mixed is what
# the service's memory is: its own, a file's that is mapped, or half and half. READ_AHEAD=128 is KiB of the file around a page
# that is wanted back: 7.2 reads 8192 of a virtual disk, and so brings back in one fault what was taken in two seconds.
. /lib.sh
: "${KIND:=anon}" "${WHO:=tmo adaptive senpai}" "${BYTES:=400M}" "${HOT:=120M}" "${RATE:=200}" "${ALONE:=20}" "${SECONDS_ON:=180}"

case $KIND in
anon) from= ;;
file) from="--file /dev/data --file-share 95" ;;
mixed) from="--file /dev/data --file-share 50" ;;
*)
    check "KIND is anon, file or mixed" false
    finish
    ;;
esac
[ -z "${READ_AHEAD:-}" ] || echo "$READ_AHEAD" >"/sys/block/$(basename "$(readlink -f /dev/data)")/queue/read_ahead_kb"
resident() { awk '$1 == "anon" || $1 == "file" { bytes += $2 } END { print bytes }' "$WORKLOAD/service/memory.stat"; }
compressed() { awk '$1 == "zswap" { bytes = $2 } END { print bytes + 0 }' "$WORKLOAD/service/memory.stat"; }

start_tmo() {
    service_config /tmp/headroom.conf "OffloadRatio=0.0005" "OffloadInterval=6s"
    start_headroomd --config /tmp/headroom.conf
}
start_adaptive() {
    service_config /tmp/headroom.conf "OffloadRatio=adaptive"
    start_headroomd --config /tmp/headroom.conf
}
# Its memory.high and memory.reclaim with the constants that it has by itself; the group is never made smaller than what
# headroom leaves a group, either.
start_senpai() {
    mkdir -p /run/oomd "$SYSTEM/oomd"
    cat >/tmp/oomd.json <<'JSON'
{"rulesets": [{"name": "senpai", "silence-logs": "engine",
  "detectors": [["always", {"name": "continue", "args": {}}]],
  "actions": [{"name": "senpai", "args": {"cgroup": "workload.slice/service", "limit_min_bytes": "16777216"}}]}]}
JSON
    load cgroup-run "$SYSTEM/oomd" -- oomd -i 1 -C /tmp/oomd.json >/tmp/oomd.log 2>&1 &
    oomd_pid=$!
    sleep 1
    [ -d "/proc/$oomd_pid" ]
}
stop_tmo() { stop_headroomd; }
stop_adaptive() { stop_headroomd; }
stop_senpai() {
    kill "$oomd_pid"
    wait "$oomd_pid" 2>/dev/null
    echo max >"$WORKLOAD/service/memory.high" # it leaves it as it was last
}
cpu_group() { case $1 in senpai) echo "$SYSTEM/oomd" ;; *) echo "$SYSTEM/headroomd" ;; esac }

for who in $WHO; do
    if [ "$who" = senpai ] && ! command -v oomd >/dev/null; then
        say "oomd is not on this machine: without senpai"
        continue
    fi
    rm -f /tmp/service-ready /tmp/service.txt
    check "$who: the service is up" service_start $from || finish
    sleep "$ALONE"
    before=$(resident)
    check "$who starts" "start_$who" || finish
    service_stalls_begin
    cpu_before=$(cpu_usec "$(cpu_group "$who")")
    sleep "$SECONDS_ON"
    service_stalls_end
    saved=$((before - $(resident) - $(compressed)))
    figure "${who}_saved_permille" $((saved * 1000 / before))
    figure "${who}_some_ppm" "$service_some_ppm"
    figure "${who}_cpu_ppm" $((($(cpu_usec "$(cpu_group "$who")") - cpu_before) / SECONDS_ON))
    check "$who stops" "stop_$who"
    service_stop
    service_spans /tmp/service.txt 1 $((ALONE - 1))
    figure "${who}_p99_alone_usec" "$service_p99"
    service_spans /tmp/service.txt "$ALONE" $((ALONE + SECONDS_ON - 1))
    figure "${who}_p99_usec" "$service_p99"
done
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
finish
