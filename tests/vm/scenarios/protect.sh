# vm: memory=1024 cpus=2 swap=none disk=5G timeout=290
# A guaranteed service reads a file of 200 MiB again and again and holds 200 MiB beside it, while a besteffort group reads a
# file four times as large as the node's memory and another allocates without end (and is started anew whenever it is
# killed). With QoS= (CpuWeight= is part of it) the service does what it does on an idle node; without headroom, in the same
# run, it does not.
. /lib.sh
: "${SECONDS_EACH:=25}" "${RATE:=max}"

config=/tmp/headroom.conf
isolate_config >$config <<'CONFIG'
[Class db]
Match=workload.slice/db
Priority=900
QoS=guaranteed
Request=440M
Limit=500M
CpuWeight=1000
[Class batch]
Match=workload.slice/batch-*
Priority=300
QoS=besteffort
Retriable=yes
Actions=reclaim kill
CpuWeight=10
CONFIG
echo "+cpu" >"$CGROUP/cgroup.subtree_control" 2>/dev/null
echo "+cpu" >"$WORKLOAD/cgroup.subtree_control" 2>/dev/null

# The service's file is the beginning of the disk; the stranger's what is behind it, so that neither reads for the other.
exec 9</dev/data # while it is open, its pages stay
service() { # NAME: its throughput in KiB/s
    run_in "$WORKLOAD/db" load reader --file /dev/data --bytes 200M --anon 200M --rate "$RATE" --loop \
        --seconds "$SECONDS_EACH" --output "/tmp/$1.json" >/dev/null 2>&1
    rate=0 # it was killed
    [ ! -e "/tmp/$1.json" ] || rate=$(($(json_get "/tmp/$1.json" bytes_per_sec) / 1024))
    figure "$1_kib_per_sec" $rate
}
strangers() {
    (while [ ! -e /tmp/stop ]; do run_in "$WORKLOAD/batch-1" load reader --file /dev/data --from 200M --bytes 4G; done) >/dev/null 2>&1 &
    readers=$!
    (while [ ! -e /tmp/stop ]; do run_in "$WORKLOAD/batch-2" load hog --to 3G --rate 300M; sleep 1; done) >/dev/null 2>&1 &
    hogs=$!
}
end_strangers() {
    touch /tmp/stop
    for group in batch-1 batch-2; do echo 1 >"$WORKLOAD/$group/cgroup.kill"; done
    wait $readers $hogs
    rm -f /tmp/stop
}
for group in db batch-1 batch-2; do mkdir -p "$WORKLOAD/$group"; done
qos_sleeper "$WORKLOAD/db"

service warm
service alone
alone=$rate

strangers
service without_headroom
without=$rate
end_strangers
figure without_percent $((without * 100 / alone))
figure without_oom_kills "$(oom_kills)"
say "without headroom: $((without * 100 / alone)) % of its throughput, $(oom_kills) kernel OOM kills"

before=$(oom_kills)
check "headroomd starts" start_headroomd --config $config || finish
protected() { [ "$(cat "$WORKLOAD/db/memory.min")" -ge $((430 << 20)) ]; }
check "the plan stands" wait_until 6 protected
strangers
service with_headroom
with=$rate
end_strangers
figure with_percent $((with * 100 / alone))
lost=$((100 - with * 100 / alone))
bar lost_percent $((lost > 0 ? lost : 0)) 5
check "with headroom the service loses little" [ $((with * 100)) -ge $((alone * 80)) ]
check "without, more than with it" [ "$without" -lt "$with" ]
check "nobody was killed by the kernel" [ "$(oom_kills)" -eq "$before" ]
check "the service was not killed" [ "$(group_event "$WORKLOAD/db" oom_kill)" -eq 0 ]
check "it stops" stop_headroomd
finish
