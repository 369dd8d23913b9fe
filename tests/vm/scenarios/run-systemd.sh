# vm: memory=1024 cpus=2 swap=none timeout=160 root=host systemd=yes install=yes kernels=6.1,6.12
# `headroom run` under systemd: in a slice of systemd's the group is a scope, which root starts; below a unit with
# Delegate=yes headroomd makes it, for users, too. What is said at the end is true of both, and nothing is left. headroomd
# runs in the sandbox of the shipped unit.
. /lib.sh

units=/run/systemd/system
config=/etc/headroom/headroom.conf
mkdir -p /etc/headroom
isolate_config >$config <<'CONFIG'
[Class jobs]
Match=workload.slice/tasks.service/*
AllowGroup=65534
Priority=300
Actions=kill
[Class batch]
Match=workload.slice/*
AllowGroup=65534
Priority=300
Actions=kill
CONFIG
batch() { headroom run --class batch "$@"; }
as_nobody() { /usr/bin/setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
attribute() { python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.headroom." + sys.argv[2]).decode())' "$1" "$2"; }
said() { grep -q "$1" /tmp/said.txt; }
no_groups() { [ -z "$(find "$WORKLOAD" -name 'run-*')" ]; }
programs_of() { # GROUP: without what passes on to them what headroomd says
    for pid in $(cat "$1/cgroup.procs"); do grep -qx headroom-relay "/proc/$pid/comm" || echo "$pid"; done
}
no_relays() { ! ls -d /run/headroom-run-* >/dev/null 2>&1 && ! grep -qsx headroom-relay /proc/[0-9]*/comm; }
no_scopes() { ! systemctl list-units --all --plain --no-legend 'run-*.scope' | grep -q run-; }

mkdir -p $units
printf '%s\n' '[Slice]' >$units/workload.slice
cat >/tmp/tasks.sh <<'TASKS'
own=$(sed 's|^0::|/sys/fs/cgroup|' /proc/self/cgroup)
mkdir "$own/own"
echo $$ >"$own/own/cgroup.procs"
echo +memory >"$own/cgroup.subtree_control"
exec sleep 1000
TASKS
printf '%s\n' '[Service]' Slice=workload.slice Delegate=yes 'ExecStart=/bin/sh /tmp/tasks.sh' >$units/tasks.service
systemctl daemon-reload
systemctl start workload.slice tasks.service
check "headroomd starts" systemctl start headroomd.service || finish

cat >/tmp/look.sh <<'LOOK'
group=/sys/fs/cgroup/$HEADROOM_GROUP
cat /proc/self/cgroup
for name in request priority task retriable run; do
    python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.headroom." + sys.argv[2]).decode())' "$group" $name
done
echo "$HEADROOM_CLASS"
exit 7
LOOK
batch --request 100M --priority 200 --task t1 --retriable -- sh /tmp/look.sh >/tmp/inside.txt 2>/tmp/said.txt
check "the exit status is the command's" [ $? -eq 7 ]
check "it is in a scope of the slice" grep -q '^0::/workload.slice/run-.*\.scope$' /tmp/inside.txt
check "which says what was asked for" [ "$(sed -n 2,6p /tmp/inside.txt | tr '\n' ' ')" = "104857600 200 t1 yes 1 " ]
check "the command knows its class" grep -qx batch /tmp/inside.txt
check "the end names the scope" said 'workload.slice/run-.*\.scope.*; exit 7'
batch -- load task --bytes 100M --seconds 3 --grow-seconds 1 2>/tmp/said.txt
check "and says what it came to" said ': peak \(at least \)\{0,1\}1[0-9][0-9]\.[0-9]M in '
batch -- /no/such/program 2>/tmp/said.txt
check "not found: 127" [ $? -eq 127 ]
batch -- sh -c 'kill -KILL $$' 2>/tmp/said.txt
check "SIGKILL: 137" [ $? -eq 137 ]
batch --request 50M -- load hog --to 2G --hold 60s 2>/tmp/said.txt
check "a hog is killed: 137" [ $? -eq 137 ]
check "and told why" said 'killed by headroomd: .* (headroom explain [0-9]*)'
cat /tmp/said.txt >>/tmp/all-said.txt
check "no scope is left" wait_until 10 no_scopes
check "nor a group" wait_until 10 no_groups

as_nobody headroom run --class batch -- true 2>/tmp/said.txt
check "a user may not start scopes of the system's: 125" [ $? -eq 125 ]
check "he is told why, and what to do" said 'slice of systemd.s, where root alone may start work'
as_nobody headroom run --class jobs -- sh -c 'cat /proc/self/cgroup; id -u' >/tmp/inside.txt 2>/tmp/said.txt
check "in what was handed over he may" [ $? -eq 0 ]
check "he is in a group there" grep -q '^0::/workload.slice/tasks.service/run-' /tmp/inside.txt
check "as himself" grep -qx 65534 /tmp/inside.txt
check "which is gone in the end" wait_until 10 no_groups
as_nobody headroom run --class jobs -- sleep 1000 2>/tmp/said.txt &
there() { [ -n "$(find "$WORKLOAD/tasks.service" -name 'run-*')" ]; }
check "one of his runs" wait_until 10 there
group=$(find "$WORKLOAD/tasks.service" -name 'run-*')
check "whose owner is said" [ "$(attribute "$group" owner)" = 65534 ]
check "and who is not to be its owner by the directory" [ "$(stat -c %u "$group")" = 0 ]
systemctl restart headroomd.service
kill -TERM "$(programs_of "$group")"
check "after a restart it is removed, too" wait_until 20 no_groups

# A program in a scope: told by headroomd, which stops and comes back; and strangers, who find the socket, cannot take it.
cat >/tmp/told.py <<'TOLD'
import os, socket
s = socket.socket(socket.AF_UNIX)
s.connect(os.environ["MEMORY_PRESSURE_WATCH"])
with open("/tmp/relay-path", "w") as f:
    f.write(os.environ["MEMORY_PRESSURE_WATCH"])
while True:
    told = s.recv(16)
    print("told", told.decode() or "of the end", flush=True)
    if not told:
        break
TOLD
cat >/tmp/strangers.py <<'STRANGERS'
import select, socket, sys, time
held = []
for _ in range(300):
    s = socket.socket(socket.AF_UNIX)
    s.connect(open("/tmp/relay-path").read())
    held.append(s)
time.sleep(2)
print(sum(not select.select([s], [], [], 0)[0] for s in held))
STRANGERS
MEMORY_PRESSURE_WATCH=$(sed 's|^0::\(.*\)|/sys/fs/cgroup\1/memory.pressure|' /proc/self/cgroup) \
    headroom run --quiet --class batch -- python3 /tmp/told.py >/tmp/told.txt 2>>/tmp/said.txt &
wrapper=$!
connected() { headroom status --json | grep -q '"clients": '"$1"; }
check "a program in a scope is connected to headroomd, by one that is there, too" wait_until 20 connected 1
check "it was pointed at that one, though systemd had pointed its caller at his own pressure file" \
    grep -q '^/run/headroom-run-' /tmp/relay-path
as_nobody python3 /tmp/strangers.py >/tmp/strangers.txt
check "of those who are not in the group not all are let in" [ "$(cat /tmp/strangers.txt)" -lt 200 ]
check "which headroomd does not see" connected 1
systemctl restart headroomd.service
check "after a restart of headroomd it is connected again" wait_until 70 connected 1
check "and was not told of an end" [ ! -s /tmp/told.txt ]
group=$(find "$WORKLOAD" -name 'run-*.scope')
kill -TERM "$(programs_of "$group")"
wait $wrapper
check "the scope is gone in the end" wait_until 10 no_scopes
check "and nothing of what told its programs is left" wait_until 10 no_relays
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
check "headroomd stops" systemctl stop headroomd.service
finish
