# vm: memory=1024 cpus=2 swap=none timeout=120
# Every knob is as it was found: after a stop, after SIGKILL and undo, after SIGKILL, restart and stop. What somebody
# else has set meanwhile, and a new cgroup of an old name, are left alone.
. /lib.sh

high=$WORKLOAD/memory.high
guard_config /tmp/headroom.conf
load cgroup-run "$WORKLOAD/keeper" -- load task --bytes 50M --seconds 600 --grow-seconds 1 &
keeper=$!
mkdir -p "$SYSTEM/headroomd" # where it will run; there before the first look at the knobs
knobs_save /tmp/before.txt
same() { knobs_save /tmp/after.txt; knobs_compare /tmp/before.txt /tmp/after.txt; }
is_set() { [ "$(cat "$high")" != max ]; }
# Kills headroomd and, unless it stays, its guardian: what a lost power of the manager looks like without the fence.
kill_it() { kill -KILL "$headroomd_pid"; wait "$headroomd_pid" 2>/dev/null; }

start_headroomd --config /tmp/headroom.conf
check "memory.high is set" wait_until 5 is_set
check "memory.low is set" [ "$(cat "$SYSTEM/memory.low")" -gt 0 ]
ours=$(cat "$high")
check "it stops" stop_headroomd
check "after a stop every knob is as it was" same

start_headroomd --config /tmp/headroom.conf
wait_until 5 is_set
kill_it
check "undo works" headroom undo
check "after SIGKILL and undo every knob is as it was" same
sleep 3
check "and stays so" same

start_headroomd --config /tmp/headroom.conf
wait_until 5 is_set
kill_it
check "the successor starts" start_headroomd --config /tmp/headroom.conf
sleep 3
check "the successor keeps the limit" [ "$(cat "$high")" = "$ours" ]
check "nobody has fenced meanwhile" [ "$(cat "$WORKLOAD/memory.max")" = max ]
check "it stops" stop_headroomd
check "after SIGKILL, restart and stop every knob is as it was" same

# Drift: somebody sets our knob; tighter stays theirs, looser is tightened again, and theirs is what is put back.
start_headroomd --config /tmp/headroom.conf
wait_until 5 is_set
echo 900M >"$high"
back() { [ "$(cat "$high")" = "$ours" ]; }
check "a looser value is tightened again" wait_until 6 back
echo 300M >"$high"
sleep 5
check "a tighter value is left" [ "$(cat "$high")" = $((300 << 20)) ]
check "it stops" stop_headroomd
check "their value is left on the way out" [ "$(cat "$high")" = $((300 << 20)) ]
echo max >"$high"

# Undo after somebody changed one of the two, and after the cgroup was made anew.
start_headroomd --config /tmp/headroom.conf
wait_until 5 is_set
kill_it
echo 500M >"$high"
headroom undo >/tmp/undo.txt
check "undo leaves what is not ours" [ "$(cat "$high")" = $((500 << 20)) ]
check "and puts back the rest" [ "$(cat "$SYSTEM/memory.low")" = "$(sed -n "s|^$SYSTEM/memory.low ||p" /tmp/before.txt)" ]
echo max >"$high"

start_headroomd --config /tmp/headroom.conf
wait_until 5 is_set
kill_it
kill -KILL $keeper
wait $keeper 2>/dev/null
wait_until 5 rmdir "$WORKLOAD/keeper"
rmdir "$WORKLOAD"
mkdir "$WORKLOAD"
echo "$ours" >"$high"
headroom undo >/tmp/undo.txt
check "undo leaves a new cgroup of the same name alone" [ "$(cat "$high")" = "$ours" ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
finish
