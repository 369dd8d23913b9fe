"""Programs that are asked to give memory back, over headroomd's own socket: the protocol, who is asked, what is recorded, and
that nobody stands in the way of the others."""
import json
import os
import resource
import select
import socket
import stat
import subprocess
import threading
import time

from library import environment
from tree import CONFIG, LIMIT, MIB, NOBODY, Tree, expect, wait_for

SOCKET = "run/headroom/pressure.sock"
PAYLOAD = b"some 200000 2000000\0"  # as it has been seen of systemd


def connect(tree, payload=b""):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(tree.path(SOCKET))
    if payload:
        s.sendall(payload)
    return s


def connected(tree):
    """None while nobody listens behind the socket's name."""
    try:
        return connect(tree)
    except ConnectionRefusedError:
        return None


def notify(p, tree):
    return p.status(tree)["notify"]


def clients(p, tree, count):
    wait_for(f"{count} clients", lambda: notify(p, tree)["clients"] == count)


def place(tree, group, held, pid=None):
    """A client's process is in this group, which holds so much."""
    tree.write(f"proc/{pid or os.getpid()}/cgroup", f"0::/{group}\n")
    tree.stat(group, held)


def used(tree, percent):
    """The workload uses so much of the limit, and none of the node is short of anything."""
    tree.stat("workload.slice", LIMIT * percent // 100)
    tree.meminfo(used=LIMIT * percent // 100 + 20 * MIB)


def decisions(p, tree, action):
    code, out, err = p.cli(tree, "events", "--json")
    expect(code == 0, err)
    return [d for d in map(json.loads, out.splitlines()) if d["action"] == action]


def asked_by_level(p):
    """Whatever a program has written first: a byte for each level, not again and again, and none before there is need."""
    tree = Tree(p.base)
    place(tree, "workload.slice/task-1", 300 * MIB)
    used(tree, 85)
    d = p.daemon(tree)
    mode = os.stat(tree.path(SOCKET)).st_mode
    expect(stat.S_ISSOCK(mode) and mode & 0o777 == 0o666, oct(mode))
    programs = [connect(tree, payload) for payload in (PAYLOAD, b"", b"\0\xff anything", b"l" * 5000)]
    heard = [s.recv(16) for s in programs]
    expect(heard == [b"l"] * 4, f"heard {heard}")
    tree.stat("workload.slice/task-1", 100 * MIB)  # they give something back
    used(tree, 65)
    line = d.said("action=notify")
    expect("group=workload.slice/task-1 " in line and "asked=4" in line and "programs=4" in line, line)
    expect(f"gave={200 * MIB} " in line and f"freed={200 * MIB} " in line, line)
    used(tree, 93)
    heard = [s.recv(16) for s in programs]
    expect(heard == [b"m"] * 4, f"heard {heard}")
    used(tree, 100)
    heard = [s.recv(16) for s in programs]
    expect(heard == [b"c"] * 4, f"heard {heard}")
    for s in programs:
        s.settimeout(1)
        try:
            expect(False, f"and again {s.recv(16)}")
        except socket.timeout:
            pass
    n = notify(p, tree)
    expect(n["served"] and n["asked"] == 12 and n["gave_bytes"] == 200 * MIB and n["refused"] == 0, n)
    first = decisions(p, tree, "notify")[0]
    expect(first["asked"] == 4 and first["freed_bytes"] == 200 * MIB, first)
    row = first["victims"][0]
    expect(row["programs"] == 4 and row["gave_bytes"] == 200 * MIB and row["held_bytes"] == 300 * MIB, row)
    code, out, _ = p.cli(tree, "explain", str(first["id"]))
    expect(code == 0 and "4 programs were asked" in out and "200.0M" in out, out)
    code, out, _ = p.cli(tree, "events")
    expect("workload.slice/task-1 (gave 200.0M)" in out, out)
    code, out, _ = p.cli(tree, "status")
    expect("programs:  4 connected, asked 12 times" in out, out)
    for s in programs:
        s.close()
    clients(p, tree, 0)
    d.stop()
    expect(not os.path.exists(tree.path(SOCKET)), "the socket is still there")


def said_again_while_it_holds(p):
    """In time for a program that takes what is older than 10 s for over."""
    tree = Tree(p.base)
    place(tree, "workload.slice/task-1", 100 * MIB)
    d = p.daemon(tree)
    used(tree, 85)
    s = connect(tree)
    s.recv(1)
    began = time.monotonic()
    expect(s.recv(16) == b"l", "something else")
    expect(5 < time.monotonic() - began < 10, f"after {time.monotonic() - began} s")
    d.stop()
    expect(s.recv(16) == b"", "it is still open")


def library_is_told(p):
    """libheadroom at the socket of a headroomd, and on its own when that stops."""
    tree = Tree(p.base)
    d = p.daemon(tree)
    program = ("import headroom, sys, time\n"
               "w = headroom.Watch()\n"
               "print(w.source.name, w.path, flush=True)\n"
               "while w.read() is None or w.level < headroom.Level.MEDIUM:\n    time.sleep(0.01)\n"
               "print(w.level.name, flush=True)\n")
    child = subprocess.Popen(["python3", "-c", program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                             env=environment(p, MEMORY_PRESSURE_WATCH=tree.path(SOCKET)))
    timer = threading.Timer(60, child.kill)
    timer.start()
    try:
        expect(child.stdout.readline().startswith("SOCKET "), "another source")
        # Only now: a program may be moved after it has connected.
        place(tree, "workload.slice/task-2", 100 * MIB, child.pid)
        used(tree, 93)
        expect(child.stdout.readline() == "MEDIUM\n", "another level")
        expect(child.wait(timeout=20) == 0, "it failed")
    finally:
        timer.cancel()
        child.kill()
        child.wait()
        child.stdout.close()
    d.stop()


# A process of its own, since each is in one cgroup: it connects and passes on what it is told.
PROGRAM = ("import os, socket, sys\n"
           "sys.stdin.readline()\n"
           "s = socket.socket(socket.AF_UNIX)\n"
           "s.connect(sys.argv[1])\n"
           "os.write(1, b'+')\n"
           "while b := s.recv(16):\n    os.write(1, b)\n")


class Program:
    def __init__(self, tree, group, held):
        self.process = subprocess.Popen(["python3", "-c", PROGRAM, tree.path(SOCKET)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        place(tree, group, held, self.process.pid)
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        expect(os.read(self.process.stdout.fileno(), 1) == b"+", "it has not connected")

    def heard(self, seconds):
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        return os.read(self.process.stdout.fileno(), 16) if ready else b""

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def only_whom_class_and_domain_allow(p):
    tree = Tree(p.base)
    used(tree, 85)
    d = p.daemon(tree, config=CONFIG + "[Class quiet]\nMatch=workload.slice/task-1\nActions=kill\n")
    programs = [Program(tree, group, 100 * MIB) for group in ("system.slice", "workload.slice/task-1", "workload.slice/task-2")]
    try:
        expect(programs[2].heard(20) == b"l", "the one that may be asked is not")
        expect([program.heard(1) for program in programs[:2]] == [b"", b""], "others are")
        tree.meminfo(used=1020 * MIB)  # the node itself is short: that those outside hold counts, too
        expect(programs[0].heard(20) == b"c", "those outside are not asked")
        expect(programs[1].heard(1) == b"", "one whose class is not to be asked is")
    finally:
        for program in programs:
            program.end()
    clients(p, tree, 0)
    d.stop()


def fill_slowly(tree, until):
    """From 97.5 % of the limit on, so slowly that there is time to wait, until the condition is true or nearly nothing is left."""
    at = LIMIT * 975 // 1000
    while not until() and at < LIMIT - 9 * MIB:
        tree.stat("workload.slice", at)
        at += MIB // 4
        time.sleep(0.1)
    wait_for("the end of it", until, 20)


def has_heard(s, byte):
    """As its last one; nothing is taken out, so that it can be asked again."""
    if not select.select([s], [], [], 0)[0]:
        return False
    return s.recv(64, socket.MSG_PEEK)[-1:] == byte


def the_ladder_waits(p):
    """For programs that give back in time nobody is killed; for one that does not, the ladder goes on."""
    for gives in (True, False):
        tree = Tree(p.base)
        place(tree, "workload.slice/task-1", 300 * MIB)
        tree.stat("workload.slice", LIMIT * 975 // 1000)
        d = p.daemon(tree, config=CONFIG + "NotifyGrace=1s\n")
        s = connect(tree)
        expect(s.recv(1) == b"m", "it was told something else")
        if gives:
            fill_slowly(tree, lambda: has_heard(s, b"c"))
            tree.stat("workload.slice", LIMIT * 70 // 100)
            tree.stat("workload.slice/task-1", 100 * MIB)
            d.said(f"action=notify .*level=critical .*gave={200 * MIB} ")
            expect("action=kill" not in d.log(), f"somebody was killed: {d.log()[-1500:]}")
        else:
            fill_slowly(tree, lambda: "action=kill" in d.log())
            asked = [e for e in decisions(p, tree, "notify") if e["waited_usec"] > 0]
            killed = decisions(p, tree, "kill")
            expect(asked and killed, f"asked {asked}, killed {killed}")
            late = killed[0]["time_usec"] - asked[-1]["time_usec"]
            figure(f"notify_grace_usec=1000000 ladder_goes_on_after_usec={late}")
            expect(0 < late < 10 * 1000000, f"the ladder went on after {late} us")
        d.stop()


def a_dry_run_tells_nobody(p):
    """And lets nobody in, who would then not listen to the kernel."""
    tree = Tree(p.base)
    d = p.daemon(tree, "--dry-run")
    expect(not os.path.exists(tree.path(SOCKET)), "there is a socket")
    expect(not notify(p, tree)["served"], "it says that it serves")
    d.stop()


def what_a_killed_one_left(p):
    tree = Tree(p.base)
    d = p.daemon(tree)
    s = connect(tree)
    clients(p, tree, 1)
    d.kill()
    expect(s.recv(1) == b"" and os.path.exists(tree.path(SOCKET)), "it has not been killed")
    d = p.daemon(tree)
    s = wait_for("it listens in the place of the one it has found", lambda: connected(tree))
    clients(p, tree, 1)
    s.close()
    d.stop()


def child_floods(tree, count, ready, stop, uid):
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    held = []
    for _ in range(count):
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        try:
            s.connect(tree.path(SOCKET))
            s.send(b"x" * 65536)
        except OSError:
            pass
        held.append(s)
    os.write(ready, b"r")
    os.read(stop, 1)


def a_flood_of_one_user(p):
    """Who takes all places makes room for others, who are told as before."""
    if os.geteuid() != 0:
        return "needs root, to be another user"
    tree = Tree(p.base)
    place(tree, "workload.slice/task-1", 100 * MIB)
    d = p.daemon(tree, config=CONFIG + "MaxClients=64\n")
    ready, stop = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child_floods(tree, 200, ready[1], stop[0], NOBODY)
        finally:
            os._exit(0)
    try:
        os.read(ready[0], 1)
        wait_for("all that were too many to be refused", lambda: notify(p, tree)["refused"] == 200 - 64)
        mine = [connect(tree) for _ in range(32)]
        clients(p, tree, 64)
        wait_for("all of mine", lambda: notify(p, tree)["refused"] == 200 - 32)
        late = connect(tree)
        expect(late.recv(1) == b"", "more than half")
        used(tree, 85)
        expect(all(s.recv(16) for s in mine), "not all were told")
    finally:
        os.write(stop[1], b"x")
        os.waitpid(pid, 0)
    clients(p, tree, 32)
    d.stop()
    return None


def no_heap_for_programs(p):
    if p.sanitized:
        return "a sanitizer has the allocator"
    tree = Tree(p.base)
    armed = tree.path("armed")
    place(tree, "workload.slice/task-1", 100 * MIB)
    d = p.daemon(tree, env={"LD_PRELOAD": p.no_heap, "NO_HEAP_ARMED": armed})
    tree.write("armed", "")
    programs = [connect(tree, PAYLOAD) for _ in range(20)]
    clients(p, tree, 20)
    used(tree, 95)
    expect([s.recv(16)[:1] for s in programs] == [b"m"] * 20, "not all were told")
    d.said("action=notify")
    for s in programs:
        s.close()
    clients(p, tree, 0)
    os.unlink(armed)
    d.stop()
    return None


def smaps(pid, key):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(key + ":"))


def figure(text):
    """Measured, not tested: kept in the file that HEADROOM_FIGURES names."""
    if os.environ.get("HEADROOM_FIGURES"):
        with open(os.environ["HEADROOM_FIGURES"], "a", encoding="ascii") as f:
            f.write(text + "\n")


HOLDER = ("import resource, socket, sys, time\n"
          "path, count = sys.argv[1], int(sys.argv[2])\n"
          "resource.setrlimit(resource.RLIMIT_NOFILE, (count + 64, count + 64))\n"
          "sys.stdin.readline()\n"
          "held = []\n"
          "while len(held) < count:\n"
          "    s = socket.socket(socket.AF_UNIX)\n"
          "    s.setblocking(False)\n"
          "    while s.connect_ex(path) != 0:\n        time.sleep(0.005)\n"
          "    held.append(s)\n"
          "print('connected', flush=True)\n"
          "sys.stdin.readline()\n")


def many_programs(p):
    """MaxClients=10000, from processes in 20 cgroups: what they cost headroomd, and what it takes to ask some of them."""
    count, processes = 10000, 20
    tree = Tree(p.base)
    d = p.daemon(tree, config=CONFIG + f"MaxClients={count}\n")
    if notify(p, tree)["clients_max"] < count:
        d.stop()
        return "so many descriptors are not allowed here"
    before = smaps(d.pid, "Pss")
    holders = [subprocess.Popen(["python3", "-c", HOLDER, tree.path(SOCKET), str(count // processes)], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    try:
        for i, h in enumerate(holders):
            tree.group(f"workload.slice/many-{i}", 20 * MIB)
            place(tree, f"workload.slice/many-{i}", 20 * MIB, h.pid)
            h.stdin.write("\n")
            h.stdin.flush()
        for h in holders:
            expect(h.stdout.readline() == "connected\n", "one could not connect")
        wait_for("all of them", lambda: notify(p, tree)["clients"] == count, 60)
        each = (smaps(d.pid, "Pss") - before) / count
        used(tree, 85)
        wait_for("two rounds", lambda: notify(p, tree)["rounds"] >= 2, 60)
        n = notify(p, tree)
        expect(n["asked"] <= 16 * n["rounds"], n)
        figure(f"pss_bytes_per_program={each:.0f} round_most_usec={n['round_most_usec']} asked={n['asked']} rounds={n['rounds']}")
        expect(each <= 600 or p.sanitized, f"{each:.0f} bytes a program")
        expect(n["round_most_usec"] < 200000, f"a round took {n['round_most_usec']} us")
    finally:
        for h in holders:
            h.kill()
            h.wait()
            h.stdin.close()
            h.stdout.close()
    wait_for("all to have gone", lambda: notify(p, tree)["clients"] == 0, 60)
    d.stop()
    return None


def slow_readers(p):
    """A thousand that never read: those who do are told as soon as they are due."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 4096:
        return "so many descriptors are not allowed here"
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    tree = Tree(p.base)
    place(tree, "workload.slice/task-1", 100 * MIB)
    used(tree, 85)
    d = p.daemon(tree, config=CONFIG + "NotifyWake=256\nNotifyGrace=0\nMaxClients=1100\n")
    slow = [connect(tree) for _ in range(1000)]
    wait_for("all to be told once", lambda: notify(p, tree)["asked"] >= 1000)
    good = [connect(tree) for _ in range(16)]
    began = time.monotonic()
    expect(all(s.recv(16) for s in good), "not all were told")
    figure(f"told_beside_1000_slow_readers_msec={(time.monotonic() - began) * 1000:.0f}")
    expect(time.monotonic() - began < 10, "they were told late")
    for s in slow + good:
        s.close()
    clients(p, tree, 0)
    d.stop()
    return None


def descriptors(pid):
    """The fewest of some looks: headroomd may not have seen yet that the `headroom status` of a moment ago has hung up."""
    seen = []
    for _ in range(20):
        seen.append(len(os.listdir(f"/proc/{pid}/fd")))
        time.sleep(0.02)
    return min(seen)


def over_and_over(p):
    """libheadroom opened and closed at the socket: nothing stays behind on either side. HEADROOM_CYCLES=1000000 is the full count."""
    count = int(os.environ.get("HEADROOM_CYCLES", "20000"))
    tree = Tree(p.base)
    d = p.daemon(tree)
    before = None
    for cycles in (min(count, 2000), count):
        code, out, err = p.run(os.path.join(p.build, "tests/programs/watch_cycles"), tree.path(SOCKET), str(cycles), timeout=3600)
        expect(code == 0, f"{out}{err}")
        clients(p, tree, 0)
        if before:  # connections that nobody has taken yet are closed as they are
            wait_for("the descriptors", lambda: descriptors(d.pid) <= before[0])
        after = descriptors(d.pid), smaps(d.pid, "Anonymous")  # Pss changes with who else has the libraries mapped
        before = before or after
    figure(f"cycles={count} {out.strip()} loop_growth={after[1] - before[1]}")
    expect(after[0] == before[0], f"descriptors: {before[0]}, then {after[0]}")
    expect(after[1] - before[1] < MIB // 4 or p.sanitized, f"anonymous memory: {before[1]}, then {after[1]}")
    d.stop()


TESTS = [the_ladder_waits, over_and_over, many_programs, slow_readers, asked_by_level, said_again_while_it_holds, library_is_told,
         only_whom_class_and_domain_allow, a_dry_run_tells_nobody, what_a_killed_one_left, a_flood_of_one_user, no_heap_for_programs]
