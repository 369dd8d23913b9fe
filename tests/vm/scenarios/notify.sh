# vm: memory=1024 cpus=2 swap=none timeout=200 programs=tests/programs/cache_server
# Two servers with caches of 300 MiB, and a task that grows: asked, they give back what it needs, and nobody is paused or
# killed. The same with servers that do not care: the ladder goes on after NotifyGrace.
. /lib.sh
: "${CACHE:=300}" "${RATE:=40M}" "${RATE_IGNORED:=80M}" "${GROW:=400M}" "${GRACE:=500}" "${LATE:=200}"

# Lines of "ID ACTION TIME_USEC TOTAL_WAITED OUTCOME FREED USED_AFTER LIMIT LEVEL" of all decisions so far.
decisions() { # FILE
    headroom events --json | awk '
        function get(key) { return match($0, "\"" key "\":[^,}]*") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) : "-" }
        { print get("id"), get("action"), get("time_usec"), get("waited_usec"), get("outcome_usec"), get("freed_bytes"),
                get("used_after_bytes"), get("limit_bytes"), get("level") }' | tr -d '"' >"$1"
}
connected() { headroom status --json >/tmp/status.json && grep -q '"clients": 2' /tmp/status.json; }
is_calm() { headroom status --json >/tmp/status.json && grep -q '"level": "calm"' /tmp/status.json; }
servers() { # [ignore]
    for n in 1 2; do
        load cgroup-run "$WORKLOAD/cache-$n" -- /bin/tests/programs/cache_server "$CACHE" "$@" >"/tmp/cache-$n.log" &
    done
    wait_until 20 connected && wait_until 20 is_calm
}
end_groups() {
    for group in "$WORKLOAD"/*/; do echo 1 >"$group/cgroup.kill"; done
    sleep 1
    rmdir "$WORKLOAD"/*/
}
begin() { # [LINE...]: of the configuration
    ACTIONS="notify pause kill" guard_config /tmp/guard.conf
    # Servers are neither paused nor killed.
    awk '/^\[Class batch/ { print "[Class cache]\nMatch=workload.slice/cache-*\nActions=notify" } { print }' /tmp/guard.conf >/tmp/headroom.conf
    printf '%s\n' "$@" >>/tmp/headroom.conf
    : >/tmp/headroomd.log
    check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
}

begin
check "the servers have connected" servers
check "they found the socket by themselves" grep -q "ready at /run/headroom/pressure.sock" /tmp/cache-1.log
load cgroup-run "$WORKLOAD/grower" -- load hog --to "$GROW" --rate "$RATE" &
grower=$!
sleep 14
decisions /tmp/asked.txt
bring_out /tmp/asked.txt
bring_out /tmp/headroomd.log headroomd-asked.log
check "the task has what it wants" [ "$(awk '$1 == "anon" { print $2 }' "$WORKLOAD/grower/memory.stat")" -ge "$(bytes_of "$GROW")" ]
check "and lives" [ -d /proc/$grower ]
check "nobody is killed" [ "$(kills)" -eq 0 ]
check "nobody is paused" [ "$(pauses)" -eq 0 ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
most=$(awk '$2 == "notify" && $6 > most { most = $6; line = $0 } END { print line }' /tmp/asked.txt)
set -- $most
figure gave_bytes "${6:-0}"
figure back_usec "${5:-none}"
check "what they were asked for came back" at_most 100000000 "${6:-0}"
check "and the workload is under its limit then" at_most "${7:-}" "${8:-}"
bar "memory back after, usec" "${5:-0}" 500000
check "within 5 s" at_most "${5:-}" 5000000
headroom status --json >/tmp/status.json
figure round_most_usec "$(json_get /tmp/status.json round_most_usec)"
end_groups
check "headroomd stops when it is told to" stop_headroomd
check "and takes its socket along" [ ! -e /run/headroom/pressure.sock ]

# Only from medium on, and faster, so that it is not known yet that they do not care when a pause is due.
begin "[Level low]" "Actions="
check "servers that do not care have connected" servers ignore
load cgroup-run "$WORKLOAD/grower" -- load hog --to "$GROW" --rate "$RATE_IGNORED" >/dev/null 2>&1 &
acted() { [ $(($(pauses) + $(kills))) -gt 0 ]; }
check "somebody is paused or killed in the end" wait_until 20 acted
sleep 2 # the round has been measured, too
decisions /tmp/ignored.txt
bring_out /tmp/ignored.txt
bring_out /tmp/headroomd.log headroomd-ignored.log
# The last round before the first pause or kill, in the order of time; and whether something was put off for it, which
# is due only then, or after its end.
late=$(sort -n -k3 /tmp/ignored.txt | awk '
    $2 == "notify" { asked = $3; put_off = $4 }
    $2 == "pause" || $2 == "kill" { if (asked) print $3 - asked, put_off; exit }')
put_off=${late#* } late=${late% *}
figure ladder_goes_on_after_usec "${late:-none}"
figure put_off_usec "${put_off:-none}"
check "they were asked before" [ -n "$late" ]
[ "${put_off:-0}" -eq 0 ] || bar "the ladder goes on, usec after asking" "$late" $(((GRACE + LATE) * 1000))
check "the ladder goes on within 5 s" at_most "${late:-}" 5000000
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
end_groups
check "headroomd stops when it is told to" stop_headroomd
finish
