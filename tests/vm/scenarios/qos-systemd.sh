# vm: memory=1024 cpus=2 swap=none timeout=200 root=host systemd=yes
# The plan of memory QoS for units of systemd's: what is kept is set through systemd beside the brake, stays over a
# daemon-reload and a restart of the unit, and is gone from the kernel and from systemd after a stop, and after SIGKILL and
# undo. A unit that ends leaves nothing of it; one that is over its memory.high does not hold PID 1 up.
. /lib.sh

units=/run/systemd/system
config=/tmp/headroom.conf
isolate_config >$config <<'CONFIG'
[Class web]
Match=workload.slice/web*.service
Priority=600
QoS=burstable
Request=100M
Limit=300M
OomGroup=yes
CONFIG
shown() { systemctl show -P "$2" "$1"; } # UNIT PROPERTY
is_shown() { [ "$(shown "$1" "$2")" = "$3" ]; }
is_knob() { [ "$(cat "$WORKLOAD/$1")" = "$2" ]; } # KNOB VALUE
MIB=1048576
planned() {
    is_knob web.service/memory.low $((100 * MIB)) && is_knob web.service/memory.high $((280 * MIB)) &&
        is_knob web.service/memory.max $((300 * MIB)) && is_knob web.service/memory.oom.group 1 &&
        is_knob memory.low $((100 * MIB)) && is_knob memory.high "$high"
}
shown_too() {
    is_shown web.service MemoryLow $((100 * MIB)) && is_shown web.service MemoryHigh $((280 * MIB)) &&
        is_shown web.service MemoryMax $((300 * MIB)) && is_shown workload.slice MemoryLow $((100 * MIB)) &&
        is_shown workload.slice MemoryHigh "$high"
}
guarded() { ! is_knob memory.high max; }
same() { knobs_save /tmp/after.txt; knobs_compare /tmp/before.txt /tmp/after.txt; }
as_before() { # WHEN
    check "$1 every knob is as it was" same
    check "$1 systemd says so, too" is_shown web.service MemoryHigh infinity
    check "$1 of the slice, too" is_shown workload.slice MemoryHigh infinity
    check "$1 and of what covers it" is_shown workload.slice MemoryLow 0
    systemctl daemon-reload
    check "$1 a daemon-reload changes nothing" same
}
start() {
    systemctl start headroomd.service
    check "it starts" guarded
    high=$(cat "$WORKLOAD/memory.high")
    check "the plan stands" wait_until 15 planned
}

mkdir -p $units
printf '%s\n' "[Slice]" >$units/workload.slice
printf '%s\n' "[Service]" Type=notify "ExecStart=/guest/bin/headroomd --config $config" \
    StandardError=append:/tmp/headroomd.log OOMPolicy=continue >$units/headroomd.service
systemctl daemon-reload
systemctl start workload.slice
check "work starts in the slice" systemd-run --slice=workload.slice --unit=web load task --bytes 60M --seconds 600 \
    --grow-seconds 1
sleep 2
knobs_save /tmp/before.txt

start
check "systemd knows of it" wait_until 6 shown_too
sleep 5
check "and it stays" planned
check "without having met itself" [ "$(headroom events | wc -l)" -eq 0 ]
systemctl daemon-reload
check "over a daemon-reload, but for what systemd has no property for, which is set again" wait_until 6 planned
# With each set-property systemd resets what it has no property for: the second time that is left to it.
systemctl set-property --runtime web.service CPUWeight=50
sleep 5
headroom events >/tmp/events.txt
bring_out /tmp/events.txt
say "events: $(wc -l </tmp/events.txt), $(head -n 1 /tmp/events.txt)"
check "all else stays over a stranger's set-property" shown_too
check "in the kernel, too" is_knob web.service/memory.high $((280 * MIB))
check "the events tell of nothing else" [ "$(grep -vc 'web.service memory.oom.group' /tmp/events.txt)" -eq 0 ]

# A unit that is started anew, at once and later; and a transient one, which systemd forgets with all but its drop-ins.
printf '%s\n' "[Service]" Slice=workload.slice "ExecStart=/guest/bin/load task --bytes 20M --seconds 600 --grow-seconds 1" \
    >$units/web2.service
systemctl daemon-reload
systemctl start web2.service
planned2() { is_knob web2.service/memory.high $((280 * MIB)) && is_shown web2.service MemoryHigh $((280 * MIB)); }
check "another unit is planned" wait_until 15 planned2
cgroup_id() { stat -c %i "$WORKLOAD/web2.service"; }
id=$(cgroup_id)
systemctl restart web2.service
check "its restart makes another cgroup" [ "$(cgroup_id)" != "$id" ]
sleep 5
check "which has it" planned2
check "it is still ours" grep -q "id=$(cgroup_id) knob=memory.high was=max" /run/headroom/journal-qos
left() { [ -e /run/systemd/system.control/web2.service.d/50-MemoryHigh.conf ] && ! is_shown web2.service MemoryHigh infinity; }
systemctl stop web2.service
check "stopped, it has nothing of ours" wait_until 15 not left
systemctl start web2.service
check "started again, it is planned" wait_until 15 planned2
systemctl stop web2.service
systemd-run --slice=workload.slice --unit=web3 load task --bytes 20M --seconds 600 --grow-seconds 1
planned3() { is_knob web3.service/memory.high $((280 * MIB)); }
drop_ins3() { ls /run/systemd/system.control/web3.service.d/50-Memory* 2>/dev/null; }
check "a transient one is planned" wait_until 15 planned3
systemctl stop web3.service
has_drop_ins3() { [ -n "$(drop_ins3)" ]; }
check "and leaves no drop-ins" wait_until 20 not has_drop_ins3
check "it stops" systemctl stop headroomd.service
as_before "after a stop"

start
systemctl kill -s KILL headroomd.service
sleep 3
check "undo works" headroom undo
as_before "after SIGKILL and undo"

# Started anew, time and again, both writers at once: ready means that the brake stands, and it stays.
for round in 1 2 3; do
    systemctl reset-failed headroomd.service
    start
    high=$(cat "$WORKLOAD/memory.high")
    sleep 1
    check "round $round: the brake stays beside the plan" is_knob memory.high "$high"
    check "round $round: it stops" systemctl stop headroomd.service
    as_before "round $round: after a stop"
done
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
finish
