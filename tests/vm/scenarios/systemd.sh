# vm: memory=1024 cpus=2 swap=none timeout=300 root=host systemd=yes
# headroomd as a service of systemd, guarding a slice of systemd's: what it sets is set through systemd, stays over a
# daemon-reload and a stranger's set-property, and is gone from the kernel and from systemd after a stop, after SIGKILL
# and undo, after SIGKILL or a hang and a restart by systemd.
. /lib.sh

units=/run/systemd/system
log=/tmp/headroomd.log
guard_config /tmp/headroom.conf

shown() { systemctl show -P "$2" "$1"; } # UNIT PROPERTY
is_shown() { [ "$(shown "$1" "$2")" = "$3" ]; }
knob() { cat "$CGROUP/$1/$2"; } # GROUP KNOB
is_knob() { [ "$(knob "$1" "$2")" = "$3" ]; }
high_is_set() { ! is_knob workload.slice memory.high max; }
# The kernel and systemd say the same: GROUP VALUE
high_agrees() { is_knob "$1" memory.high "$2" && is_shown "$1" MemoryHigh "$2"; }
low_agrees() { is_knob "$1" memory.low "$2" && is_shown "$1" MemoryLow "$2"; }
max_agrees() { is_knob "$1" memory.max "$2" && is_shown "$1" MemoryMax "$2"; }
guarded() { high_agrees workload.slice "$high" && low_agrees system.slice "$low"; }
fenced() { is_knob workload.slice memory.max "$high" && is_knob workload.slice memory.high max; }

same() { knobs_save /tmp/after.txt; knobs_compare /tmp/before.txt /tmp/after.txt; }
as_before() { # WHEN
    check "$1 every knob is as it was" same
    check "$1 systemd says so, too" is_shown workload.slice MemoryHigh infinity
    check "$1 and of the protected slice" is_shown system.slice MemoryLow 0
    systemctl daemon-reload
    check "$1 a daemon-reload changes nothing" same
}

slice_write() { # [LINE...]
    printf '%s\n' "[Slice]" "$@" >$units/workload.slice
    systemctl daemon-reload
}
service_write() { # [LINE...]
    printf '%s\n' "[Service]" Type=notify "ExecStart=/guest/bin/headroomd --config /tmp/headroom.conf" \
        "StandardError=append:$log" OOMPolicy=continue WatchdogSec=4s "$@" >$units/headroomd.service
    systemctl daemon-reload
}
main_pid() { shown headroomd.service MainPID; }
is_active() { is_shown "$1" ActiveState active; }
is_failed() { is_shown "$1" ActiveState failed; }
is_another() { main=$(main_pid) && [ "$main" -ne 0 ] && [ "$main" -ne "$1" ] && is_active headroomd.service; }

mkdir -p $units
slice_write
service_write
systemctl start workload.slice
check "work starts in the slice" systemd-run --slice=workload.slice --unit=keeper load task --bytes 60M --seconds 600 \
    --grow-seconds 1
sleep 2
knobs_save /tmp/before.txt

begin=$(uptime_msec)
check "a start as Type=notify succeeds" systemctl start headroomd.service || finish
figure start_msec $(($(uptime_msec) - begin))
check "when it is ready, memory.high is set" high_is_set
high=$(knob workload.slice memory.high) low=$(bytes_of "${RESERVE:-140M}")
check "memory.high is set through systemd" high_agrees workload.slice "$high"
check "memory.low is set through systemd" wait_until 3 low_agrees system.slice "$low"
check "nobody is asked for a daemon-reload" is_shown workload.slice NeedDaemonReload no
systemctl daemon-reload
check "both stay over a daemon-reload" guarded
systemctl set-property --runtime workload.slice CPUWeight=50
systemctl set-property --runtime system.slice CPUWeight=200
check "both stay over a stranger's set-property" guarded
slice_write MemoryMax=2G
check "the operator's change of the slice's file is heard" max_agrees workload.slice $((2 << 30))
slice_write
check "and so is its end" is_knob workload.slice memory.max max
systemctl set-property --runtime workload.slice MemoryHigh=400M
sleep 3
check "a tighter MemoryHigh is left" high_agrees workload.slice $((400 << 20))
systemctl set-property --runtime workload.slice MemoryHigh=infinity
check "a looser one is tightened again" wait_until 6 guarded

systemd-run --slice=workload.slice --unit=hog load hog --to 2G --hold 60s
check "a hog beyond the limit is killed, its unit has failed" wait_until 30 is_failed hog.service
check "and systemd says why" is_shown hog.service Result oom-kill
check "of headroomd's" [ "$(kill_lines | grep -c 'victim=workload.slice/hog.service')" -eq 1 ]
check "not of the kernel's" [ "$(oom_kills)" -eq 0 ]
check "the work beside it goes on" is_active keeper.service
sleep 5
check "it outlives its watchdog's time" is_active headroomd.service

begin=$(uptime_msec)
check "it stops" systemctl stop headroomd.service
figure stop_msec $(($(uptime_msec) - begin))
check "without a failure" is_shown headroomd.service Result success
as_before "after a stop"

# systemd lets the guardian of a KillMode=control-group put up its fence (it ignores SIGTERM), and kills that of a
# KillMode=mixed at once.
for mode in control-group mixed; do
    service_write KillMode=$mode
    systemctl start headroomd.service
    check "$mode: it starts" wait_until 3 guarded
    systemctl kill -s KILL --kill-whom=main headroomd.service
    check "$mode: after SIGKILL it is down" wait_until 10 is_failed headroomd.service
    case $mode in
    control-group) check "$mode: there is a fence" fenced; systemctl daemon-reload; check "$mode: a daemon-reload leaves the fence" fenced ;;
    mixed) check "$mode: the brake still stands" guarded ;;
    esac
    check "$mode: undo works" headroom undo
    as_before "$mode: after SIGKILL and undo"
    systemctl reset-failed headroomd.service
done

restarted() { # NAME COMMAND...: what makes systemd restart headroomd
    name=$1
    shift
    systemctl start headroomd.service
    check "$name: it starts" wait_until 3 guarded
    first=$(main_pid) begin=$(uptime_msec)
    "$@"
    check "$name: there is a successor" wait_until 20 is_another "$first"
    figure "${name}_restart_msec" $(($(uptime_msec) - begin))
    check "$name: which has the same brake" wait_until 6 guarded
    check "$name: and no fence" is_knob workload.slice memory.max max
    check "$name: it stops" systemctl stop headroomd.service
    as_before "$name: after a restart and a stop"
}
for mode in process control-group mixed; do
    service_write KillMode=$mode Restart=on-failure RestartSec=100ms
    restarted $mode systemctl kill -s KILL --kill-whom=main headroomd.service
done
service_write KillMode=process Restart=on-failure RestartSec=100ms
restarted hang systemctl kill -s STOP --kill-whom=main headroomd.service

# A group with the name of a unit below what was handed to somebody else is not a unit of this systemd's.
cat >/tmp/inner.sh <<'INNER'
inner=$(sed 's|^0::|/sys/fs/cgroup|' /proc/self/cgroup)
mkdir "$inner/app.slice" "$inner/own"
echo $$ >"$inner/own/cgroup.procs"
echo +memory >"$inner/cgroup.subtree_control"
exec load cgroup-run "$inner/app.slice" -- load task --bytes 60M --seconds 600
INNER
inner=handed.slice/inner.service/app.slice
systemd-run --slice=handed.slice --unit=inner -p Delegate=yes sh /tmp/inner.sh
check "a service has a tree of its own" wait_until 5 test -e "$CGROUP/$inner/memory.high"
sed -i "s|^Workload=.*|Workload=$inner|" /tmp/headroom.conf
systemctl start headroomd.service
check "a slice that is not systemd's is guarded" is_knob $inner memory.high "$high"
check "and systemd hears nothing of it" [ ! -e /run/systemd/system.control/app.slice.d ]
systemctl stop headroomd.service
check "after a stop it is as before" is_knob $inner memory.high max
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
finish
