# vm: memory=1024 cpus=2 swap=none timeout=160 root=host systemd=yes install=yes kernels=6.1,6.12 programs=tests/programs/cache_server
# What an ordinary user starts in his own systemd: a service of his is a group of its class, is asked by headroomd, and
# gives back what it holds; `headroom run` puts his command into a scope of his, from a service of his or from a session,
# with the attributes that he gives, told by a relay, and says what became of it.
. /lib.sh
: "${USER_ID:=1500}"

config=/etc/headroom/headroom.conf
units=/run/systemd/system
home=/run/user/$USER_ID
app=user.slice/user-$USER_ID.slice/user@$USER_ID.service/app.slice
mkdir -p /etc/headroom
cat >$config <<'CONFIG'
[Node]
Mode=isolate
Workload=workload.slice user.slice
Protect=system.slice
SystemReserve=140M
[Class mine]
Match=user.slice/user-*.slice/user@*.service/app.slice/*
AllowGroup=1500 1501
Priority=300
Actions=notify kill
[Class batch]
Match=workload.slice/*
Priority=200
Actions=notify kill
CONFIG

# What a login does by PAM and logind, which are not here. The bus of the system is what a session's systemd-run --scope
# takes: systemd moves the process for the user's own systemd.
mkdir -p $units
printf '%s\n' '[Slice]' >$units/workload.slice
cat >$units/user@.service <<'UNIT'
[Service]
User=%i
Slice=user-%i.slice
Type=notify
ExecStart=/lib/systemd/systemd --user
Environment=XDG_RUNTIME_DIR=/run/user/%i
Delegate=pids memory
KillMode=mixed
UNIT
cat >$units/dbus.socket <<'UNIT'
[Socket]
ListenStream=/run/dbus/system_bus_socket
UNIT
cat >$units/dbus.service <<'UNIT'
[Unit]
Requires=dbus.socket
[Service]
Type=notify
ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation
UNIT
echo "alice:x:$USER_ID:$USER_ID::/tmp:/bin/sh" >>/etc/passwd
echo "alice:x:$USER_ID:" >>/etc/group
mkdir -p "$home" && chown "$USER_ID:$USER_ID" "$home" && chmod 700 "$home"

as_user="/usr/bin/setpriv --reuid=$USER_ID --regid=$USER_ID --clear-groups /usr/bin/env -C /tmp HOME=/tmp
    XDG_RUNTIME_DIR=$home DBUS_SESSION_BUS_ADDRESS=unix:path=$home/bus"
as_user() { $as_user "$@"; }
said() { grep -q "$1" /tmp/said.txt; }
clients() { headroom status --json | grep -q '"clients": '"$1"; }
no_runs() { [ -z "$(find "$CGROUP/user.slice" -name 'run-*.scope')" ]; }
no_relays() { ! ls -d "$home"/headroom-run-* >/dev/null 2>&1 && ! grep -qsx headroom-relay /proc/[0-9]*/comm; }

systemctl daemon-reload
systemctl start workload.slice dbus.socket dbus.service
check "the user's systemd starts" systemctl start "user@$USER_ID.service" || finish
check "headroomd starts" systemctl start headroomd.service || finish
check "a user may talk to his systemd" as_user systemctl --user start app.slice

# A service of his that speaks the protocol.
as_user systemd-run --user --quiet --unit=cache --slice=app.slice -p StandardOutput=append:/tmp/cache.log \
    /guest/bin/tests/programs/cache_server 300
check "his service has connected" wait_until 20 clients 1
check "it found the socket by itself" grep -q 'ready at /run/headroom/pressure.sock' /tmp/cache.log
load cgroup-run "$WORKLOAD/grower" -- load task --bytes 500M --seconds 12 --grow-seconds 10
check "a task that grows ends well" [ $? -eq 0 ]
headroom events >/tmp/events.txt
bring_out /tmp/events.txt
check "his service was asked for what it holds" grep -q "$app/cache.service" /tmp/events.txt
headroom groups >/tmp/groups.txt 2>&1
bring_out /tmp/groups.txt
check "it is a group of its class" grep -q "app.slice/cache.service" /tmp/groups.txt
check "and lives" as_user systemctl --user --quiet is-active cache.service
check "nobody was killed" not grep -q " kill, " /tmp/events.txt
as_user systemctl --user stop cache.service

# headroom run from a service of his.
cat >/tmp/look.sh <<'LOOK'
group=/sys/fs/cgroup/$HEADROOM_GROUP
cat /proc/self/cgroup
for name in request priority task retriable run; do
    python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.headroom." + sys.argv[2]).decode())' "$group" $name
done
echo "$MEMORY_PRESSURE_WATCH"
id -u
exit 7
LOOK
as_user systemd-run --user --quiet --wait --unit=caller -p StandardOutput=file:/tmp/inside.txt \
    -p StandardError=file:/tmp/said.txt \
    headroom run --class mine --request 100M --priority 200 --task t1 --retriable -- sh /tmp/look.sh
check "from a service of his: the exit status is the command's" [ $? -eq 7 ]
bring_out /tmp/inside.txt
bring_out /tmp/said.txt
check "it is in a scope of his" grep -q "^0::/$app/run-.*\.scope$" /tmp/inside.txt
check "which says what was asked for" [ "$(sed -n 2,6p /tmp/inside.txt | tr '\n' ' ')" = "104857600 200 t1 yes 1 " ]
check "its programs are pointed at a relay of his" grep -q "^$home/headroom-run-" /tmp/inside.txt
check "as himself" grep -qx "$USER_ID" /tmp/inside.txt
check "the end names the scope" said "$app/run-.*\.scope.*; exit 7"

# And from outside of it, as a session is.
session=$CGROUP/user.slice/user-$USER_ID.slice/session-1.scope
mkdir "$session"
cat >/tmp/session.sh <<'SESSION'
echo $$ >"$1/cgroup.procs"
shift
exec "$@"
SESSION
in_session() { sh /tmp/session.sh "$session" $as_user "$@"; }
in_session headroom run --class mine --request 100M --priority 200 --task t1 --retriable -- sh /tmp/look.sh \
    >/tmp/inside-session.txt 2>/tmp/said.txt
check "from a session: the exit status is the command's" [ $? -eq 7 ]
cp /tmp/said.txt /tmp/said-session.txt
bring_out /tmp/said-session.txt
bring_out /tmp/inside-session.txt
check "it is in a scope of his, too" grep -q "^0::/$app/run-.*\.scope$" /tmp/inside-session.txt
/usr/bin/setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups \
    headroom run --class mine -- cat /proc/self/cgroup >/tmp/inside.txt 2>/tmp/said.txt
check "without a session's environment as well" grep -q "^0::/$app/run-.*\.scope$" /tmp/inside.txt
other() { /usr/bin/setpriv --reuid=1501 --regid=1501 --clear-groups headroom run --class mine "$@" 2>/tmp/said.txt; }
other -- true
check "one whose systemd does not run gets his command run" [ $? -eq 0 ]
check "and is told why it has no group" said 'your own systemd, which does not run'
other --require -- true
check "or not run, if he wants that: 125" [ $? -eq 125 ]
# Not by the function, which would be in a shell of its own, to which a signal would go.
sh /tmp/session.sh "$session" $as_user headroom run --class mine -- \
    /guest/bin/tests/programs/cache_server 200 >/tmp/told.txt 2>/tmp/said.txt &
wrapper=$!
check "a program in it is connected by the relay" wait_until 20 clients 1
load cgroup-run "$WORKLOAD/grower" -- load task --bytes 600M --seconds 8 --grow-seconds 6
headroom events >/tmp/events.txt
bring_out /tmp/events.txt events-run.txt
check "and is asked" grep -q "$app/run-.*\.scope" /tmp/events.txt
in_session headroom run --class mine --request 50M -- load hog --to 2G --hold 60s 2>/tmp/said.txt
check "a hog of his is killed: 137" [ $? -eq 137 ]
check "and he is told why" said 'killed by headroomd: .* (headroom explain [0-9]*)'
kill -TERM $wrapper
wait $wrapper
check "no scope is left" wait_until 10 no_runs
check "nor a relay" wait_until 10 no_relays
check "no kill by the kernel" [ "$(oom_kills)" -eq 0 ]
journal() { dmesg | grep -i 'headroom\|dbus\|user@' | tail -40; }
journal >/tmp/journal.txt
bring_out /tmp/journal.txt
check "headroomd stops" systemctl stop headroomd.service
finish
