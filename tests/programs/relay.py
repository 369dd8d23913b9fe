"""What programs below `headroom run` are told, and by whom: a process of its own in their group, which passes on what headroomd says
and outlives it, so that no program sees the end of its connection (tests/programs/unmodified.py: what that does to some)."""
import os
import select
import signal
import socket
import subprocess
import time

from library import environment
from pressure import clients, notify, place, used
from running import GROUP, Node
from tree import MIB, NOBODY, Tree, expect, wait_for
from unmodified import built

PRESSURE = "run/headroom/pressure.sock"
PLACES = 256  # CLIENTS_MAX of src/cli/run_relay.c

# It says where it was pointed at, and then what it is told, and E for the end; it ends with its standard input.
PROGRAM = """
import os, select, socket, sys
path = os.environ['MEMORY_PRESSURE_WATCH']
os.write(1, path.encode() + b'\\n')
s = socket.socket(socket.AF_UNIX)
s.connect(path)
s.send(b'some 200000 2000000\\0')
os.write(1, b'+')
while True:
    ready = select.select([s, 0], [], [])[0]
    if s in ready:
        told = s.recv(16)
        os.write(1, told or b'E')
        if not told:
            break
    elif not os.read(0, 16):
        break
"""


class Upstream:
    """A socket that speaks as headroomd's does."""

    def __init__(self, tree):
        self.path = tree.path(PRESSURE)
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen(8)
        self.listener.settimeout(30)
        self.client = None

    def take(self):
        self.client, _ = self.listener.accept()
        self.client.settimeout(30)
        return self.client

    def is_asked(self):
        return bool(select.select([self.listener], [], [], 0)[0])

    def say(self, byte):
        self.client.sendall(byte)

    def stop(self):
        os.unlink(self.path)
        self.listener.close()
        if self.client:
            self.client.close()


class Run:
    """`headroom run` of a program that talks to us."""

    def __init__(self, node, *argv, options=(), env=None, user=None, pass_fds=()):
        self.process = subprocess.Popen(node.argv(*options, "--", *(argv or ("python3", "-c", PROGRAM))), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**environment(node.p), **(env or {})},
                                        user=user, group=user, extra_groups=[] if user else None, pass_fds=pass_fds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Whatever the test has left: without its command it ends, and takes everything along."""
        relay = self.relay()
        for pid in self.children():
            if pid != relay:
                os.kill(pid, signal.SIGKILL)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()

    def line(self):
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        expect(ready, "it says nothing")
        line = b""
        while not line.endswith(b"\n"):
            piece = os.read(self.process.stdout.fileno(), 1)
            expect(piece, f"it has ended after {line}: {self.process.stderr.read() if self.process.poll() is not None else ''}")
            line += piece
        return line.decode().strip()

    def heard(self, seconds=30.0):
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        return os.read(self.process.stdout.fileno(), 1) if ready else b""

    def hears(self, byte):
        heard = self.heard()
        expect(heard == byte, f"it was told {heard}, not {byte}")

    def is_told(self, upstream, levels):
        """What headroomd says, one after the other."""
        for level in levels:
            upstream.say(bytes([level]))
            self.hears(bytes([level]))

    def connected(self):
        """The path that it was pointed at."""
        path = self.line()
        expect(self.heard() == b"+", "it has not connected")
        return path

    def children(self):
        try:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as f:
                return [int(pid) for pid in f.read().split()]
        except OSError:
            return []

    def relay(self):
        return next((pid for pid in self.children() if name_of(pid) == "headroom-relay"), None)

    def command(self):
        return next(pid for pid in self.children() if name_of(pid) != "headroom-relay")

    def end(self, code=0):
        self.process.stdin.close()
        err = self.process.stderr.read().decode()
        expect(self.process.wait(timeout=30) == code, f"exit {self.process.returncode}: {err}")
        return err


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as f:
            return f.read().strip()
    except OSError:
        return ""


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_removed(path):
    return not os.path.exists(os.path.dirname(path))


def relay_tells(p):
    """Each level; nothing when headroomd goes; again when it comes back. Nobody is connected there before a program is here."""
    node = Node(p)
    upstream = Upstream(node.tree)
    with Run(node, "sh", "-c", 'read -r go; exec python3 -c "$1"', "sh", PROGRAM) as run:
        wait_for("the relay", run.relay)
        time.sleep(0.3)
        expect(not upstream.is_asked(), "it has connected, though nobody listens")
        run.process.stdin.write(b"go\n")
        run.process.stdin.flush()
        path = run.connected()
        expect(os.path.isabs(path) and path != upstream.path, path)
        upstream.take()
        run.is_told(upstream, b"lmcl")
        upstream.stop()
        expect(run.heard(1) == b"", "it was told of the end")
        upstream = Upstream(node.tree)
        upstream.take()
        run.is_told(upstream, b"m")
        run.end()
        expect(is_removed(path), "the socket is still there")
        expect(upstream.client.recv(16) == b"", "the relay is still there")
    upstream.stop()


def relay_tells_who_comes_later(p):
    """What still holds, at once."""
    node = Node(p)
    upstream = Upstream(node.tree)
    with Run(node) as run:
        path = run.connected()
        upstream.take()
        run.is_told(upstream, b"m")
        with socket.socket(socket.AF_UNIX) as late:
            late.settimeout(30)
            late.connect(path)
            expect(late.recv(16) == b"m", "another level")
        run.end()
    upstream.stop()


def relay_before_headroomd(p):
    """Without a group, and without a headroomd at the start: it comes later."""
    node = Node(p, Run=[{"error": "io.headroom.NotPossible", "parameters": {"text": "because"}}])
    with Run(node) as run:
        path = run.connected()
        expect(run.heard(0.5) == b"", "it was told something")
        upstream = Upstream(node.tree)
        upstream.take()
        run.is_told(upstream, b"c")
        run.end()
        expect(is_removed(path), "the socket is still there")
    upstream.stop()


# Two that never read, and one that does, and says what it was told.
SLOW = PROGRAM.replace("s = socket.socket", "slow = [socket.socket(socket.AF_UNIX) for _ in range(2)]\n[x.connect(path) for x in slow]\ns = socket.socket")


def relay_slow_readers(p):
    """One that does not read loses what it does not read; the others lose nothing."""
    node = Node(p)
    upstream = Upstream(node.tree)
    with Run(node, "python3", "-c", SLOW) as run:
        run.connected()
        upstream.take()
        run.is_told(upstream, b"lmc" * 14)  # a buffer takes a handful
        run.end()
    upstream.stop()


# As many connections as are asked for, all non-blocking. A line lets go of the hundred oldest.
MANY = """
import os, resource, select, socket, sys, time
count = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 64, count + 64))
held = []
while len(held) < count:
    s = socket.socket(socket.AF_UNIX)
    s.setblocking(False)
    if s.connect_ex(os.environ['MEMORY_PRESSURE_WATCH']) != 0:
        break
    held.append(s)
print(len(held), flush=True)
poll = select.poll()
for s in held:
    poll.register(s, select.POLLIN)
poll.register(0, select.POLLIN)
by = {s.fileno(): s for s in held}
while True:
    told = ends = 0
    for fd, _ in poll.poll():
        if fd == 0:
            if not os.read(0, 1):
                sys.exit(0)
            for s in held[:100]:
                poll.unregister(s)
                s.close()
            del held[:100]
            print('gone', flush=True)
            continue
        if by[fd].recv(16):
            told += 1
        else:
            ends += 1
    for _ in range(told):
        os.write(1, b'told\\n')
    for _ in range(ends):
        os.write(1, b'end\\n')
"""


def relay_is_bounded(p):
    """A thousand connections: so many as have a place are told; the others wait for one, and are not let go of."""
    count = 1000
    node = Node(p)
    upstream = Upstream(node.tree)
    with Run(node, "python3", "-c", MANY, str(count)) as run:
        expect(int(run.line()) == count, "not all could connect")
        upstream.take()
        relay = run.relay()
        held = lambda: len(os.listdir(f"/proc/{relay}/fd"))
        wait_for("all places to be taken", lambda: held() >= PLACES)
        before = cpu_seconds(relay)
        upstream.say(b"l")
        heard = [run.line() for _ in range(PLACES)]
        expect(heard == ["told"] * PLACES, f"heard {set(heard)}")
        expect(run.heard(1) == b"", "more were told, or let go of")
        expect(held() <= PLACES + 16, f"{held()} descriptors")
        expect(cpu_seconds(relay) - before < 0.5, "it goes round and round")
        run.process.stdin.write(b"\n")
        run.process.stdin.flush()
        expect(run.line() == "gone", "it did not let go of them")
        expect(not select.select([upstream.client], [], [], 0)[0], "it has hung up")
        # Of those behind the places nobody can tell when they have one, but that they are told then.
        def all_told():
            upstream.say(b"m")
            got = 0
            while run.heard(0.3):
                got += run.line() == "old"  # t, told
            return got == PLACES
        wait_for("the next ones to be told", all_told)
        run.end()
    upstream.stop()


def relay_signals(p):
    """However the command ends, nothing stays. The relay itself is not ended by what is meant for the command."""
    node = Node(p)
    upstream = Upstream(node.tree)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with Run(node) as run:
            path = run.connected()
            upstream.take()
            os.kill(run.relay(), number)
            upstream.say(b"m")
            expect(run.heard() == b"m", f"{number!r}: the relay has ended")
            run.process.send_signal(number)
            # Python makes an exception of one.
            code = run.process.wait(timeout=30)
            expect(code in (-number, 1), f"exit {code}")
            expect(is_removed(path), f"{number!r}: the socket is still there")
            expect(upstream.client.recv(16) == b"", f"{number!r}: the relay is still there")
    # As a kill of the whole group does it.
    with Run(node) as run:
        path = run.connected()
        for pid in (run.relay(), run.command()):
            os.kill(pid, signal.SIGKILL)
        expect(run.process.wait(timeout=30) == 137, f"exit {run.process.returncode}")
        expect(is_removed(path), "the socket is still there after a kill of the group")
    # Nobody cleans up but the relay.
    upstream.stop()
    upstream = Upstream(node.tree)
    with Run(node) as run:
        path = run.connected()
        upstream.take()
        run.process.kill()
        run.process.wait()
        upstream.say(b"c")
        expect(run.heard() == b"c", "after the end of headroom run nobody is told any more")
        run.process.stdin.close()
        wait_for("the socket to be removed", lambda: is_removed(path))
        expect(upstream.client.recv(16) == b"", "the relay is still there")
    upstream.stop()


def relay_of_what_is_left(p):
    """The command has ended, but not what it has left behind: headroom run ends, and that is told all the same."""
    node = Node(p)
    upstream = Upstream(node.tree)
    keep, out = os.pipe(), os.pipe()
    with Run(node, "sh", "-c", 'python3 -c "$1" </dev/fd/$2 >/dev/fd/$3 2>/dev/null & read -r go', "sh", PROGRAM, str(keep[0]), str(out[1]),
             pass_fds=(keep[0], out[1])) as run:
        os.close(keep[0])
        os.close(out[1])
        upstream.take()
        run.process.stdin.write(b"\n")
        run.end()
        upstream.take()  # by the one that stays
        upstream.say(b"m")
        heard = b""
        while not heard.endswith(b"+m"):
            expect(select.select([out[0]], [], [], 30)[0], f"only {heard}")
            heard += os.read(out[0], 256)
        expect(is_removed(heard.split()[0].decode()), "the socket is still there")
        os.close(keep[1])
        expect(upstream.client.recv(16) == b"", "the relay does not end")
        expect(os.read(out[0], 16) == b"", "it was told of the end")
    os.close(out[0])
    upstream.stop()


def relay_holds_nothing(p):
    """Of what the command was given: who waits for the end of its output does not wait for the relay. Nor is it the command's child."""
    node = Node(p)
    program = "import os\ntry:\n    os.wait()\nexcept ChildProcessError:\n    os.write(1, b'alone')\nos.read(0, 1)\n"
    with Run(node, "python3", "-c", program) as run:
        expect(run.heard() == b"a", "the command has a child")
        relay = run.relay()
        expect(os.readlink(f"/proc/{relay}/cwd") == "/", "it holds a directory")
        held = sorted(os.readlink(f"/proc/{relay}/fd/{fd}").split(":")[0] for fd in os.listdir(f"/proc/{relay}/fd"))
        expect(held == ["/dev/null"] * 3 + ["anon_inode", "socket"], held)
        run.end()


def relay_environment(p):
    """What the caller has set is kept; what stands for a cgroup, his own or where he came from, or for another `headroom run`, is not."""
    node = Node(p)
    show = ("sh", "-c", 'echo "$MEMORY_PRESSURE_WATCH,$MEMORY_PRESSURE_WRITE"')
    own = "/sys/fs/cgroup/system.slice/headroom.service/memory.pressure"
    for value in ({"MEMORY_PRESSURE_WATCH": "/dev/null"}, {"MEMORY_PRESSURE_WATCH": ""}, {"MEMORY_PRESSURE_WATCH": "/proc/pressure/memory"},
                  {"MEMORY_PRESSURE_WATCH": "/run/other.sock", "MEMORY_PRESSURE_WRITE": "eA=="}, {"MEMORY_PRESSURE_WRITE": "eA=="}):
        with Run(node, *show, env=value) as run:
            wanted = "%s,%s" % (value.get("MEMORY_PRESSURE_WATCH", ""), value.get("MEMORY_PRESSURE_WRITE", ""))
            expect(run.line() == wanted, f"{value} has become another one")
            run.end()
    for value in (own, own.replace("/headroom.service", ""), "/sys/fs/cgroup/other.slice/memory.pressure", "/run/headroom-run-aB3xYz/pressure.sock", None):
        env = {"MEMORY_PRESSURE_WATCH": value, "MEMORY_PRESSURE_WRITE": "eA=="} if value else {}
        with Run(node, *show, env=env) as run:
            path, written = run.line().split(",")
            expect(path and path != value and os.path.basename(os.path.dirname(path)).startswith("headroom-run-"), f"{value}: {path}")
            expect(not written, f"it is to write {written}")
            run.end()
        with Run(node, *show, options=("--no-watch",), env=env) as run:
            expect(run.line() == ",".join([value or "", "eA==" if value else ""]), "--no-watch changes something")
            expect(run.relay() is None, "there is a relay")
            run.end()


def relay_where(p):
    """In the user's own directory; where that is not, or too far away, where everybody may; nowhere: it is said, and the command runs."""
    node = Node(p)
    where = os.path.join(node.tree.root, "own")
    os.mkdir(where)
    user = NOBODY if os.geteuid() == 0 else None
    if user:
        os.chown(where, user, user)
    far = os.path.join(where, "x" * 90)
    os.mkdir(far)
    show = ("sh", "-c", 'stat -c "%a %U" "$(dirname "$MEMORY_PRESSURE_WATCH")"; echo "$MEMORY_PRESSURE_WATCH"')
    for runtime, inside in ((where, True), (far, False), ("own", False), ("", False), ("/no/such", False)):
        with Run(node, *show, env={"XDG_RUNTIME_DIR": runtime}, user=user) as run:
            mode = run.line().split()[0]
            path = run.line()
            expect(mode == "700" and path.startswith(where + "/") == inside and len(path) < 108, f"{runtime}: {mode} {path}")
            run.end()
        expect(is_removed(path), f"{path} is still there")


def relay_of_a_user(p):
    """One who is not root; and one who becomes another one below root's."""
    if os.geteuid() != 0:
        return "needs root, to be another user"
    node = Node(p)
    os.chmod(node.listener.getsockname(), 0o666)
    upstream = Upstream(node.tree)
    become = f"import os, select, socket, sys\nos.setgroups([])\nos.setgid({NOBODY})\nos.setuid({NOBODY})\n"
    for user, program in ((NOBODY, PROGRAM), (None, become + PROGRAM)):
        with Run(node, "python3", "-c", program, user=user) as run:
            path = run.connected()
            upstream.take()
            run.is_told(upstream, b"l")
            mode = os.stat(os.path.dirname(path)).st_mode & 0o777
            expect(mode == (0o700 if user else 0o711), oct(mode))
            run.end()
            expect(is_removed(path), "the socket is still there")
    upstream.stop()
    return None


def relay_is_one_program(p):
    """To headroomd: a place for all programs of the group, in the group, and only while there is one. Over a restart, too."""
    node = Node(p)
    node.listener.close()
    os.unlink(node.tree.path("run/headroom/headroom.sock"))
    tree = Tree(p.base)
    used(tree, 85)
    d = p.daemon(tree)
    node.tree = tree
    with Run(node, "sh", "-c", 'read -r go; exec python3 -c "$1"', "sh", SLOW) as run:
        relay = wait_for("the relay", run.relay)
        place(tree, "workload.slice/task-1", 300 * MIB, relay)
        clients(p, tree, 0)
        run.process.stdin.write(b"go\n")
        run.process.stdin.flush()
        run.connected()
        clients(p, tree, 1)
        run.hears(b"l")
        line = d.said("action=notify")
        expect("group=workload.slice/task-1 " in line and "programs=1" in line, line)
        used(tree, 50)
        d.stop()
        expect(run.heard(1) == b"", "it was told of the end")
        used(tree, 93)
        d = p.daemon(tree)
        run.hears(b"m")
        expect(notify(p, tree)["clients"] == 1, notify(p, tree))
        run.end()
        clients(p, tree, 0)
    d.stop()


def relay_and_libheadroom(p):
    """The library takes what the environment names first: the relay."""
    node = Node(p)
    upstream = Upstream(node.tree)
    program = ("import headroom, time\n"
               "w = headroom.Watch()\n"
               "print(w.source.name, w.path, flush=True)\n"
               "for level in (headroom.Level.LOW, headroom.Level.CRITICAL):\n"
               "    while w.read() is None or w.level != level:\n        time.sleep(0.01)\n"
               "    print(w.level.name, flush=True)\n"
               "input()\n"
               "print(w.source.name, flush=True)\n")
    with Run(node, "python3", "-c", program) as run:
        source, path = run.line().split()
        expect(source == "SOCKET" and "/headroom-run-" in path, f"{source} {path}")
        upstream.take()
        for byte, level in ((b"l", "LOW"), (b"c", "CRITICAL")):
            upstream.say(byte)
            expect(run.line() == level, "another level")
        upstream.stop()
        run.process.stdin.write(b"\n")
        run.process.stdin.flush()
        expect(run.line() == "SOCKET", "it has lost its source")
        run.end()


def relay_and_unmodified(p):
    """What knows systemd's library alone is asked, and stays quiet when headroomd has gone."""
    program, reason = built(p)
    if not program:
        return reason
    node = Node(p)
    upstream = Upstream(node.tree)
    with Run(node, program, "16") as run:
        expect(run.line() == "ready", "it is not ready")
        upstream.take()
        upstream.stop()
        before, relays = cpu_seconds(run.command()), cpu_seconds(run.relay())
        expect(run.heard(2) == b"", "it takes the end of headroomd for pressure")
        used_by_it, by_relay = cpu_seconds(run.command()) - before, cpu_seconds(run.relay()) - relays
        expect(used_by_it < 0.1 and by_relay < 0.1, f"in 2 s it used {used_by_it} s of CPU, the relay {by_relay} s")
        upstream = Upstream(node.tree)
        upstream.take()
        upstream.say(b"l")
        expect(run.line() == "asked", "it was not asked")
        run.end()
    upstream.stop()
    return None


def relay_ends_with_a_refusal(p):
    """What is not run leaves nothing."""
    node = Node(p, Run=[{"error": "io.headroom.NotAllowed", "parameters": {"text": "because"}}])
    os.chmod(node.listener.getsockname(), 0o666)
    where = os.path.join(node.tree.root, "own")
    os.mkdir(where)
    os.chmod(where, 0o777)
    with Run(node, "true", env={"XDG_RUNTIME_DIR": where}, user=NOBODY if os.geteuid() == 0 else None) as run:
        run.end(125)
    expect(os.listdir(where) == [], os.listdir(where))


TESTS = [relay_tells, relay_tells_who_comes_later, relay_before_headroomd, relay_slow_readers, relay_is_bounded, relay_signals, relay_of_what_is_left,
         relay_holds_nothing, relay_environment, relay_where, relay_of_a_user, relay_is_one_program, relay_and_libheadroom,
         relay_and_unmodified, relay_ends_with_a_refusal]
