# vm: memory=1024 cpus=2 swap=disk:512M timeout=200 root=host systemd=yes
# The swap budget of a unit of systemd's: its memory.swap.max is moved without systemd, which sets its own with each
# daemon-reload: that is no drift, and is set again; nothing of it is left in systemd's drop-ins, whoever ends first.
. /lib.sh

units=/run/systemd/system
config=/tmp/headroom.conf
isolate_config >$config <<'CONFIG'
ThrottleDeadline=30min
[Class web]
Match=workload.slice/web*.service
Priority=600
Actions=kill
QoS=burstable
Request=20M
Limit=200M
ThrottleFactor=0.2
SwapMax=100%
SwapWriteLimit=1M
CONFIG
swap_max() { cat "$WORKLOAD/web.service/memory.swap.max"; }
is_paced() { [ "$(swap_max)" != max ]; }
same() { knobs_save /tmp/after.txt; knobs_compare /tmp/before.txt /tmp/after.txt; }
drifts() { headroom status --json >/tmp/status.json; json_get /tmp/status.json drifts; }
drop_ins() { find /run/systemd -name '*MemorySwapMax*' 2>/dev/null; }
no_drop_in() { [ -z "$(drop_ins)" ]; }

mkdir -p $units
printf '%s\n' "[Slice]" >$units/workload.slice
printf '%s\n' "[Service]" Type=notify "ExecStart=/guest/bin/headroomd --config $config" \
    StandardError=append:/tmp/headroomd.log OOMPolicy=continue >$units/headroomd.service
systemctl daemon-reload
systemctl start workload.slice
check "work starts in the slice" systemd-run --slice=workload.slice --unit=web load task --bytes 150M --seconds 600 \
    --grow-seconds 1 --touch-all-seconds 2
sleep 3
knobs_save /tmp/before.txt

before=$(awk '$1 == "pswpout" { print $2 }' /proc/vmstat)
systemctl start headroomd.service
check "it is paced" wait_until 15 is_paced
sleep 8
written=$((($(awk '$1 == "pswpout" { print $2 }' /proc/vmstat) - before) * 4))
figure written_kib_in_the_first_seconds $written
check "what systemd resets beside it does not stay for long" [ $written -le $((64 * 1024)) ]
say "memory.high $(cat "$WORKLOAD/web.service/memory.high"), swap.max $(swap_max), systemd has $(systemctl show -P MemorySwapMax web.service)"
check "what systemd writes beside it is no drift" [ "$(drifts)" -eq 0 ]
for reload in 1 2 3; do
    systemctl daemon-reload
    sleep 3
    check "it is paced after daemon-reload $reload" wait_until 4 is_paced
done
check "three of them are no drift" [ "$(drifts)" -eq 0 ]
systemctl set-property --runtime web.service CPUWeight=50
sleep 3
check "it is paced after a stranger's set-property" wait_until 4 is_paced
check "systemd knows of no limit of swap" no_drop_in
systemctl stop headroomd.service
sleep 2
check "every knob is as it was" same
say "after the stop: $(for f in $(drop_ins); do echo "$f: $(tail -n 1 "$f")"; done)"
systemctl daemon-reload
check "a daemon-reload changes nothing" same

systemctl start headroomd.service
check "it is paced again" wait_until 15 is_paced
systemctl stop web.service
sleep 3
say "after the unit's end: $(for f in $(drop_ins); do echo "$f: $(tail -n 1 "$f")"; done)"
check "a unit that ends leaves nothing" wait_until 10 no_drop_in
systemctl stop headroomd.service
check "nobody was killed by the kernel" [ "$(oom_kills)" -eq 0 ]
finish
