# vm: memory=1024 cpus=2 swap=none timeout=120
# A normal day: the workload is removed while it is guarded, and made anew; the hierarchy becomes read-only; a second
# daemon is started; nobody reads stderr.
. /lib.sh

guard_config /tmp/headroom.conf
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
is_set() { [ "$(cat "$WORKLOAD/memory.high")" != max ]; }
check "the limit is set" wait_until 5 is_set
headroomd --config /tmp/headroom.conf >/tmp/second.log 2>&1
check "a second daemon is refused" [ $? -eq 4 ]
check "with the pid of the first" grep -q "pid $headroomd_pid" /tmp/second.log

rmdir "$WORKLOAD"
sleep 3
check "headroomd lives without its workload" headroomd_runs
check "status says so" sh -c 'headroom status | grep -q "workload.slice is not there"'
mkdir "$WORKLOAD"
echo "+memory" >"$WORKLOAD/cgroup.subtree_control"
check "the new workload is limited" wait_until 6 is_set
load cgroup-run "$WORKLOAD/hog" -- load hog --from 100M --to 4G >/dev/null 2>&1
check "and guarded" [ $? -eq 137 ]
check "by headroomd" [ "$(kills)" -ge 1 ]
check "the event monitor watches the new one" sh -c "headroom status | grep -q 'event running'"
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
check "headroomd stops when it is told to" stop_headroomd

# Nobody reads its stderr: a pipe that is full.
mkfifo /tmp/full
sleep 1000 <>/tmp/full &
holder=$!
load cgroup-run "$SYSTEM/headroomd" -- sh -c 'dd if=/dev/zero of=/tmp/full bs=4096 count=1000 oflag=nonblock 2>/dev/null
    exec headroomd --config /tmp/headroom.conf 2>/tmp/full' &
headroomd_pid=$!
check "headroomd starts with a full stderr" wait_until 10 headroom status
load cgroup-run "$WORKLOAD/hog2" -- load hog --from 100M --to 4G >/dev/null 2>&1
check "and guards with it" [ $? -eq 137 ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
check "headroomd stops when it is told to" stop_headroomd
kill -KILL $holder

mount -o remount,ro "$CGROUP"
headroomd --config /tmp/headroom.conf >/tmp/ro.log 2>&1
check "Mode=isolate on a read-only hierarchy is refused" [ $? -eq 5 ]
check "with the reason" grep -q "read-only" /tmp/ro.log
mount -o remount,rw "$CGROUP"
finish
