# vm: memory=1024 cpus=2 swap=none timeout=100 programs=tests/programs/unmodified
# A program that is built against systemd's own library alone is asked by headroomd's socket, and gives back what it holds.
# tests/tools/unmodified BUILD has to have built it.
. /lib.sh
: "${ACTIONS:=notify kill}"

guard_config /tmp/headroom.conf
check "headroomd starts" start_headroomd --config /tmp/headroom.conf || finish
check "it serves the socket" wait_until 5 test -S /run/headroom/pressure.sock || finish
load cgroup-run "$WORKLOAD/cache" -- env MEMORY_PRESSURE_WATCH=/run/headroom/pressure.sock /bin/tests/programs/unmodified 40 >/tmp/unmodified.txt &
client=$!
is_ready() { grep -qx ready /tmp/unmodified.txt; }
check "the program is ready" wait_until 10 is_ready
sleep 2
check "nobody asks it while there is room" not grep -qx asked /tmp/unmodified.txt
load cgroup-run "$WORKLOAD/task" -- load task --bytes 700M --seconds 8 --grow-seconds 6
status=$?
was_asked() { grep -qx asked /tmp/unmodified.txt; }
check "when memory runs short it is asked" wait_until 5 was_asked
wait $client
check "and has ended by itself" [ $? -eq 0 ]
check "the task ends well" [ $status -eq 0 ]
check "nobody was killed" [ "$(kills)" -eq 0 ]
check "nor by the kernel" [ "$(oom_kills)" -eq 0 ]
check "headroomd stops" stop_headroomd
finish
