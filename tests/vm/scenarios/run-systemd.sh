# vm: memory=1024 cpus=2 swap=none timeout=160 root=host systemd=yes install=yes kernels=6.1,6.12
# `headroom run` under systemd: in a slice of systemd's the group is a scope, which root starts; below a unit with
# Delegate=yes headroomd makes it, for users, too. What is said at the end is true of both, and nothing is left. headroomd
# runs in the sandbox of the shipped unit.
. /lib.sh

units=/run/systemd/system
config=/etc/headroom/headroom.conf
mkdir -p /etc/headroom
cat >$config <<'CONFIG'
[Node]
Mode=isolate
Workload=workload.slice
Protect=system.slice
SystemReserve=140M
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
kill -TERM "$(cat "$group/cgroup.procs")"
check "after a restart it is removed, too" wait_until 20 no_groups
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
check "headroomd stops" systemctl stop headroomd.service
finish
