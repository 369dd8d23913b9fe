# vm: memory=1024 cpus=2 swap=none timeout=120
# Nothing to gain: files on tmpfs outlive their writer. At most two kills, then an alarm; shared anonymous memory, which
# dies with its group, is recognised and killed.
. /lib.sh

guard_config /tmp/headroom.conf
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
start_heartbeat
for n in 1 2 3 4; do
    load cgroup-run "$WORKLOAD/innocent-$n" -- load task --bytes 40M --seconds 600 --grow-seconds 1 >/dev/null 2>&1 &
done
sleep 2
load cgroup-run "$WORKLOAD/hog" -- load hog --shared --from 10M --to 2G --rate 200M >/dev/null 2>&1
check "a hog of shared anonymous memory is killed" [ $? -eq 137 ]
sleep 2 # a decision is told when its outcome is known
hog_kills=$(kills)
figure kills_of_the_hog "$hog_kills"
innocents() { find "$WORKLOAD" -name 'innocent-*' -exec cat {}/cgroup.events \; | grep -c 'populated 1'; }
check "and nobody else" [ "$(innocents)" -eq 4 ]
rmdir "$WORKLOAD/hog"

mount -t tmpfs -o size=90% tmpfs /mnt 2>/dev/null || { mkdir -p /mnt; mount -t tmpfs -o size=90% tmpfs /mnt; }
load cgroup-run "$WORKLOAD/filler" -- load filler --dir /mnt --bytes 850M >/dev/null 2>&1 &
filler=$!
check "the filler is acted on" wait_until 30 kill_count_is_more "$hog_kills"
sleep 10
figure kills_for_the_filler $(($(kills) - hog_kills))
victims=$(kill_lines | tail -n +$((hog_kills + 1)) | grep -o ' victim=[^ ]*' | wc -l)
figure victims_for_the_filler "$victims"
check "at most two are killed for files" [ "$victims" -le 2 ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
kill -KILL $filler 2>/dev/null
stop_heartbeat
check "headroomd stops when it is told to" stop_headroomd
finish
