# vm: memory=1024 cpus=2 swap=none timeout=200
# `headroom run` without systemd: headroomd makes the group for root and for whom the class allows it, the command's exit
# status and signals are the caller's, what is said at the end is true, and nothing is left.
. /lib.sh

cat >>/etc/passwd <<'USERS'
worker:x:1000:1000::/:/bin/sh
stranger:x:1001:1001::/:/bin/sh
USERS
cat >>/etc/group <<'GROUPS'
worker:x:1000:
stranger:x:1001:
queue:x:2000:worker
GROUPS
chmod 755 /tmp
config=/tmp/headroom.conf
isolate_config >$config <<'CONFIG'
[Class batch]
Match=workload.slice/*
AllowGroup=queue
Priority=300
Retriable=yes
Actions=pause kill
PauseLimit=1min
CONFIG
run() { headroom run --class batch "$@"; }
as() { # USER COMMAND
    su -s /bin/sh "$1" -c "cd /; PATH=/bin $2"
}
status_is() { # STATUS COMMAND...
    want=$1
    shift
    "$@" 2>>/tmp/run.txt
    [ $? -eq "$want" ]
}
groups() { ls -d "$WORKLOAD"/run-* 2>/dev/null | wc -l; }
no_groups() { [ "$(groups)" -eq 0 ]; }
some_group() { ls -d "$WORKLOAD"/run-* 2>/dev/null | head -n 1; }
group_is_there() { [ "$(groups)" -eq "$1" ] && grep -q . "$(some_group)/cgroup.procs"; }
said() { grep -q "$1" /tmp/said.txt; }
programs_of() { # GROUP: without what passes on to them what headroomd says
    for pid in $(cat "$1/cgroup.procs"); do grep -qx headroom-relay "/proc/$pid/comm" || echo "$pid"; done
}
no_relays() { ! ls -d /run/headroom-run-* >/dev/null 2>&1 && ! grep -qsx headroom-relay /proc/[0-9]*/comm; }

check "without a daemon it is run all the same" status_is 3 run -- sh -c 'exit 3'
check "with a warning" grep -q "warning: sh runs without a group" /tmp/run.txt
check "--require does not" status_is 125 run --require -- touch /tmp/was-run
check "and has not run it" not test -e /tmp/was-run
check "headroomd starts" start_headroomd --config $config || finish

run --request 100M --task t1 --retriable --priority 200 -- sh -c '
    cat /proc/self/cgroup; echo $HEADROOM_CLASS; echo "$HEADROOM_GROUP"; cat /sys/fs/cgroup/$HEADROOM_GROUP/memory.current
    test -S "$MEMORY_PRESSURE_WATCH" && echo it is told; cat $(cat /sys/fs/cgroup/$HEADROOM_GROUP/cgroup.procs | sed "s|.*|/proc/&/comm|") 2>/dev/null; true' \
    >/tmp/inside.txt 2>/tmp/said.txt
check "the command is in a group below the workload" grep -q '^0::/workload.slice/run-' /tmp/inside.txt
check "it knows its class" grep -qx batch /tmp/inside.txt
check "and its group" grep -q '^workload.slice/run-' /tmp/inside.txt
check "its programs can be told of pressure" grep -qx 'it is told' /tmp/inside.txt
check "by one that is in the group" grep -qx headroom-relay /tmp/inside.txt
check "the end says what it came to" said 'workload.slice/run-[^:]*: peak [0-9.]*[KM] in .*; exit 0'
check "the group is gone" wait_until 3 no_groups

check "an exit status is passed on" status_is 7 run -- sh -c 'exit 7'
check "not found: 127" status_is 127 run -- /no/such/program
check "not executable: 126" status_is 126 run -- /etc/passwd
check "a class that is not there: 125" status_is 125 headroom run --class none -- touch /tmp/was-run
check "and nothing is run" not test -e /tmp/was-run
check "which classes there are is said" grep -q 'its classes are batch, other' /tmp/run.txt
check "a class without a place: 125" status_is 125 headroom run --class other -- true
check "a signal to the command is a signal to the caller: 128 + 15" status_is 143 run -- sh -c 'kill -TERM $$'
check "SIGKILL: 137" status_is 137 run -- sh -c 'kill -KILL $$'

headroom run --class batch -- sh -c 'trap "exit 9" TERM; : >/tmp/trap-is-set; while :; do usleep 100000; done' 2>/tmp/said.txt &
wrapper=$!
check "it runs" wait_until 5 test -e /tmp/trap-is-set
kill -TERM $wrapper
wait $wrapper
check "SIGTERM is passed on, and its exit status back" [ $? -eq 9 ]

as worker 'headroom run --class batch -- sh -c "cat /proc/self/cgroup; id -u"' >/tmp/inside.txt 2>>/tmp/run.txt
check "a user of AllowGroup= may" [ $? -eq 0 ]
check "he is in a group" grep -q '^0::/workload.slice/run-' /tmp/inside.txt
check "as himself" grep -qx 1000 /tmp/inside.txt
check "another one may not: 125" status_is 125 as stranger 'headroom run --class batch -- touch /tmp/was-run'
check "and nothing is run" not test -e /tmp/was-run
check "he is told why" grep -q 'only root and members of the groups of AllowGroup=' /tmp/run.txt
check "nothing is left" wait_until 3 no_groups

as worker 'headroom run --class batch --priority 900 -- sleep 1000' 2>/tmp/said.txt &
user_wrapper=$!
check "a user's runs" wait_until 5 group_is_there 1
group=$(some_group)
check "he cannot change what it says of itself" not as worker "rmdir $group/x; mkdir $group/x"
check "nor put another one into it" not as worker "echo 1 >$group/cgroup.procs"
stranger_ends() {
    as stranger "headroom run --class batch -- true" 2>/dev/null
    [ -d "$group" ]
}
check "nor has a stranger any hold of it" stranger_ends
pid=$(programs_of "$group")
stop_headroomd
check "it goes on without headroomd" [ -d "/proc/$pid" ]
check "headroomd starts again" start_headroomd --config $config
kill -TERM "$pid"
wait $user_wrapper
check "the next one removes it" wait_until 3 no_groups
check "and the end says so" said 'ended by SIGTERM'

# Nobody is there to ask for the end.
headroom run --class batch -- sleep 1000 2>/dev/null &
wrapper=$!
check "one more runs" wait_until 5 group_is_there 1
kill -KILL $wrapper
pid=$(programs_of "$(some_group)")
kill -TERM "$pid"
check "what nobody ends is swept away" wait_until 30 no_groups

run -- sh -c 'sleep 1000 >/dev/null 2>&1 & echo $! >/tmp/left.pid' 2>/tmp/said.txt
check "what is left is said" said '1 process is left in the group'
check "and the group stays" [ "$(groups)" -eq 1 ]
kill "$(cat /tmp/left.pid)"
check "until that has ended" wait_until 30 no_groups

# More than fits: what was done to each is said by its own `headroom run`.
storm() { # NUMBER
    headroom run --class batch --report "/tmp/report-$1.json" -- load task --bytes 160M --seconds 5 --grow-seconds 2 \
        2>"/tmp/said-$1.txt"
    echo $? >"/tmp/status-$1.txt"
}
for i in 1 2 3 4 5 6 7 8; do
    storm $i &
    sleep_msec 300
done
storm_ends() { [ "$(ls /tmp/status-*.txt | wc -l)" -eq 8 ]; }
check "all end" wait_until 60 storm_ends
paused=$(grep -l '; paused ' /tmp/said-*.txt | wc -l) killed=0
for i in 1 2 3 4 5 6 7 8; do
    case $(cat /tmp/status-$i.txt) in
    0) ;;
    137) killed=$((killed + 1)); check "who was killed is told so" grep -q 'killed by headroomd' /tmp/said-$i.txt ;;
    *) check "each ends by itself or by headroomd" false ;;
    esac
done
figure paused "$paused"
figure killed "$killed"
check "some were paused, and told so" [ "$paused" -ge 1 ]
check "it is in the report, too" grep -q '"pauses": [1-9]' /tmp/report-*.json
check "what they came to is said" [ "$(grep -c 'peak 1[5-7][0-9]' /tmp/said-*.txt | grep -c ':1')" -ge 4 ]

# What passing on costs the group: so much more of its memory is used.
held() { # OPTION...
    run --quiet "$@" -- sh -c 'usleep 300000; cat /sys/fs/cgroup/$HEADROOM_GROUP/memory.stat' |
        awk '/^(anon|file|kernel) / { sum += $2 } END { print sum }'
}
figure relay_bytes $(($(held) - $(held --no-watch)))

# One that grows beyond all bounds is killed, and its end says why.
headroom run --class batch --request 50M -- load hog --to 2G --hold 60s 2>/tmp/said.txt
check "a hog is killed: 137" [ $? -eq 137 ]
check "and told why" said 'killed by headroomd: .* (headroom explain [0-9]*)'
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
check "nothing is left in the end" wait_until 5 no_groups
check "nor a socket, after kills, or who would serve it" wait_until 5 no_relays
check "headroomd stops" stop_headroomd
cat /tmp/said*.txt >/tmp/all-said.txt
finish
