# vm: memory=1024 cpus=2 swap=none timeout=120 programs=tests/programs/unmodified
# A program that is built against systemd's own library alone, below `headroom run`: it is asked by headroomd, and gives back
# what it holds; while no headroomd runs it is neither asked nor busy, though that library takes the end of a connection for
# pressure. tests/tools/unmodified BUILD has to have built it.
. /lib.sh
: "${ACTIONS:=notify kill}"

guard_config /tmp/headroom.conf
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
check "it serves the socket" wait_until 5 test -S /run/headroom/pressure.sock || finish
headroom run --class batch -- /bin/tests/programs/unmodified 40 >/tmp/unmodified.txt 2>/tmp/said.txt &
wrapper=$!
is_ready() { grep -qx ready /tmp/unmodified.txt; }
was_asked() { grep -qx asked /tmp/unmodified.txt; }
connected() { headroom status --json | grep -q '"clients": 1'; }
used_usec() { cpu_usec "$(ls -d "$WORKLOAD"/run-*)"; }
check "the program is ready" wait_until 10 is_ready
check "and headroomd knows of it" wait_until 10 connected
sleep 2
check "nobody asks it while there is room" not was_asked
check "headroomd stops" stop_headroomd
before=$(used_usec)
sleep 2
used=$(($(used_usec) - before))
figure usec_while_headroomd_is_away "$used"
check "that is not taken for pressure" not was_asked
check "nor does it keep a CPU busy" [ "$used" -lt 100000 ]
check "headroomd starts again" start_headroomd --config /tmp/headroom.conf
check "and knows of it again" wait_until 30 connected
load cgroup-run "$WORKLOAD/task" -- load task --bytes 700M --seconds 8 --grow-seconds 6
status=$?
check "when memory runs short it is asked" wait_until 5 was_asked
wait $wrapper
check "and has ended by itself" [ $? -eq 0 ]
check "headroomd knows in which group it asked" grep -q 'action=notify .*group=workload.slice/run-' /tmp/headroomd.log
check "the task ends well" [ $status -eq 0 ]
check "nobody was killed" [ "$(kills)" -eq 0 ]
check "nor by the kernel" [ "$(oom_kills)" -eq 0 ]
check "headroomd stops in the end" stop_headroomd
finish
