# vm: memory=1024 cpus=2 swap=none timeout=400
# Hooks are told the right things; and whatever they do (hang, fail, are not there), whatever becomes of the log (nobody
# reads stderr, its disk is full), every kill comes as soon as without them.
. /lib.sh
: "${ROUNDS:=8}" "${FROM:=100M}"

cat >/tmp/hook-tell <<'HOOK'
#!/bin/sh
{
    echo "== $HEADROOM_EVENT"
    env | grep -v '^_=' | sort
    echo "adj=$(cat /proc/self/oom_score_adj) nice=$(cut -d' ' -f19 /proc/self/stat) user=$(id -u) args=$*"
    ls -l /proc/self/fd | grep -v '/proc/' | sed -n 's/.* -> /fd /p'
} >>"$1"
HOOK
cat >/tmp/hook-hang <<'HOOK'
#!/bin/sh
trap '' TERM
sleep 10000 &
while :; do sleep 1000; done
HOOK
chmod +x /tmp/hook-tell /tmp/hook-hang

config() { # LINES-OF-[Node]
    guard_config /tmp/guard.conf
    { sed 1q /tmp/guard.conf; printf '%s\n' "$1"; sed 1d /tmp/guard.conf; } >/tmp/headroom.conf
}

begin() { # STDERR
    load cgroup-run "$SYSTEM/headroomd" -- headroomd --config /tmp/headroom.conf 2>>"$1" >/dev/null &
    headroomd_pid=$!
    wait_until 10 headroom status
}

hog() { # GROUP: true when it was killed
    load cgroup-run "$1" -- load hog --from "$FROM" --to 4G --rate max >/dev/null 2>&1
    hog_status=$?
    rmdir "$1"
    [ $hog_status -eq 137 ]
}

counter() { headroom --json status >/tmp/status.json && json_get /tmp/status.json "$1"; } # KEY
counter_is_more() { [ "$(counter "$1")" -gt "$2" ]; }

kill_values() { grep -h '"action":"kill"' "$@" | sed -n 's/.*"'"$key"'":\([0-9]*\).*/\1/p'; } # FILE...; key=

killed=0 hogs=0
round() { # NAME: some hogs, and what the record says of their kills
    for n in $(seq "$ROUNDS"); do
        hogs=$((hogs + 1))
        hog "$WORKLOAD/hog-$hogs" && killed=$((killed + 1))
    done
    headroom --json events >"/tmp/$1.json"
    for key in select_usec signal_usec outcome_usec; do
        figure "$1_$key" "$(kill_values "/tmp/$1.json" | median)"
    done
}

# What is told. A name may hold nearly anything (the kernel refuses a newline).
odd=$(printf '%s/odd\033[2J\tname' "$WORKLOAD")
config "PreKill=/tmp/hook-tell /tmp/told a b
PostKill=/tmp/hook-tell /tmp/told
OnLevel=/tmp/hook-tell /tmp/levels
HookTimeout=10s"
check "headroomd starts with hooks" begin /tmp/headroomd.log || finish
check "a hog is killed" hog "$WORKLOAD/first"
told() { [ "$(grep -c '^==' /tmp/told)" -ge "$1" ]; }
check "both hooks are told" wait_until 10 told 2
check "first of the kill that is to come" [ "$(sed -n '/^== /p' /tmp/told | head -n 1)" = "== pre-kill" ]
check "then of what it brought" [ "$(sed -n '/^== /p' /tmp/told | sed -n 2p)" = "== post-kill" ]
for line in HEADROOM_EVENT=pre-kill HEADROOM_LEVEL=critical HEADROOM_VICTIM=workload.slice/first HEADROOM_CLASS=batch \
    HEADROOM_DECISION=1 HEADROOM_VICTIM_NUMBER=1 HEADROOM_VICTIM_COUNT=1 HEADROOM_GONE=1 HEADROOM_STUCK=0 \
    "adj=0 nice=0 user=0 args=/tmp/told a b"; do
    check "it says $line" grep -q -x "$line" /tmp/told
done
check "with a need" grep -q '^HEADROOM_NEED_BYTES=[1-9]' /tmp/told
check "and what was freed" grep -q '^HEADROOM_FREED_BYTES=[1-9]' /tmp/told
check "and why" grep -q -E '^HEADROOM_REASON=(need|culprit)$' /tmp/told
check "the id is the cgroup's" grep -q '^HEADROOM_VICTIM_ID=[1-9]' /tmp/told
check "nothing of ours is open in it" [ "$(grep '^fd ' /tmp/told | sort -u | grep -v -c -e /dev/null -e /tmp/told -e pipe:)" -eq 0 ]
check "nor in its environment" [ "$(grep -E '^[A-Z_]+=' /tmp/told | grep -v -c -e ^HEADROOM_ -e ^PATH= -e ^PWD= -e ^SHLVL= -e ^OLDPWD=)" -eq 0 ]
check "levels are told, too" grep -q -x HEADROOM_LEVEL_BEFORE=calm /tmp/levels
check "up to critical" wait_until 5 grep -q -x HEADROOM_LEVEL=critical /tmp/levels
check "a group with control characters in its name is killed" hog "$odd"
check "which are not passed on" wait_until 10 grep -q -x -F 'HEADROOM_VICTIM=workload.slice/odd?[2J?name' /tmp/told
check "status counts them" counter_is_more hooks_run 3
bring_out /tmp/told
stop_headroomd

# As soon as without them?
config ""
check "headroomd starts without hooks" begin /tmp/headroomd.log || finish
round none
stop_headroomd

config "PreKill=/tmp/hook-hang
PostKill=/bin/false
OnLevel=/tmp/no-such-hook"
check "headroomd starts with hooks that hang, fail and miss" begin /tmp/headroomd.log || finish
round hang
check "what hangs is stopped" wait_until 10 counter_is_more hooks_timed_out 0
check "what fails is counted" wait_until 20 counter_is_more hooks_failed 1
check "and said" wait_until 10 grep -q 'event=hook-failed hook=PostKill.*status=1' /tmp/headroomd.log
check "as is what is not there" grep -q 'event=hook-failed hook=OnLevel.*error="No such file' /tmp/headroomd.log
figure hooks_timed_out "$(counter hooks_timed_out)"
stop_headroomd
check "nothing of a hook is left" wait_until 20 not pgrep -f hook-hang

mkfifo /tmp/full
sleep 10000 <>/tmp/full &
holder=$!
dd if=/dev/zero of=/tmp/full bs=4096 count=1000 oflag=nonblock 2>/dev/null
config "PreKill=/tmp/hook-hang
OnLevel=/tmp/hook-hang
HookTimeout=1min"
check "headroomd starts with a stderr that blocks, and hooks that hang" begin /tmp/full || finish
round pipe
figure hooks_dropped "$(counter hooks_dropped)"
check "headroomd stops with both" stop_headroomd
kill -KILL $holder
pkill -KILL -f hook-hang

mkdir /tmp/tiny
mount -t tmpfs -o size=64k none /tmp/tiny
dd if=/dev/zero of=/tmp/tiny/fill bs=4096 2>/dev/null
config "PreKill=/tmp/hook-hang"
check "headroomd starts with its log on a full disk" begin /tmp/tiny/log || finish
round disk
check "lost lines are counted" [ "$(counter log_lines_dropped)" -gt 0 ]
check "nothing came to the log" [ ! -s /tmp/tiny/log ]
stop_headroomd

config ""
check "headroomd starts without hooks again" begin /tmp/headroomd.log || finish
round none_again
stop_headroomd

figure kills "$killed"
check "every hog is killed" [ "$killed" -eq "$hogs" ]
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
for key in signal_usec outcome_usec; do
    base=$(kill_values /tmp/none.json /tmp/none_again.json | median)
    figure "without_$key" "$base"
    for name in hang pipe disk; do
        with=$(kill_values /tmp/$name.json | median)
        figure "later_${name}_$key" $((with - base))
        bar "later with $name, $key" $((with - base)) 1000
    done
done
finish
