"""Fixture trees and the programs that run over them.

Nothing here runs headroomd on the machine's own tree: Daemon always names a --sysroot, and in a tree that is not / it
signals no process and writes only below it. Every process that a test starts is ended by its pid.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

MIB = 1 << 20
TOTAL = 1024 * MIB
RESERVE = 140 * MIB
LIMIT = TOTAL - RESERVE
NOBODY = 65534

CONFIG = "[Node]\nMode=auto\nWorkload=workload.slice\nSystemReserve=140M\n"
MOUNTINFO = "24 1 0:22 / /proc rw - proc proc rw\n"
CGROUP2 = "28 25 0:25 / /sys/fs/cgroup {} - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
PSI = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
SLICE = "sys/fs/cgroup/workload.slice"
HIGH = SLICE + "/memory.high"
SYSTEM_LOW = "sys/fs/cgroup/system.slice/memory.low"


class Failed(Exception):
    pass


def expect(condition, detail):
    if not condition:
        raise Failed(detail)


def wait_for(what, condition, seconds=15):
    """Polls until condition() is true and returns what it gave."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Tree:
    """A node of 1 GiB with a system.slice and a workload.slice of two tasks, the second the newer one."""

    def __init__(self, base, psi=True, cgroup=True, options="rw", workload=True):
        self.root = tempfile.mkdtemp(dir=base)
        os.chmod(self.root, 0o755)
        self.write("proc/self/mountinfo", MOUNTINFO + (CGROUP2.format(options) if cgroup else ""))
        self.write("proc/self/cgroup", "0::/system.slice/headroom.service\n")
        self.write("proc/sys/kernel/random/boot_id", "0d7c8f54-1111-4222-8333-944445555666\n")
        self.write("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n")
        self.meminfo(used=100 * MIB)
        if psi:
            self.write("proc/pressure/memory", PSI)
        if cgroup:
            self.write("sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n")
            self.write("sys/fs/cgroup/cgroup.procs", "")
            self.group("system.slice", 50 * MIB)
            if workload:
                self.workload()

    def workload(self):
        self.group("workload.slice", 200 * MIB)
        self.group("workload.slice/task-1", 100 * MIB, pid=101, start=100)
        self.group("workload.slice/task-2", 100 * MIB, pid=102, start=200)

    def path(self, path):
        return os.path.join(self.root, path)

    def write(self, path, text):
        """In place, without a moment at which the file is empty: who reads it may hold it open."""
        full = self.path(path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        fd = os.open(full, os.O_WRONLY | os.O_CREAT, 0o644)
        os.pwrite(fd, text.encode(), 0)
        os.ftruncate(fd, len(text.encode()))
        os.close(fd)

    def read(self, path):
        with open(self.path(path)) as f:
            return f.read().strip()

    def meminfo(self, used):
        free = (TOTAL - used) // 1024
        self.write("proc/meminfo", f"MemTotal: {TOTAL // 1024:12} kB\nMemFree: {free:12} kB\nMemAvailable: {free:12} kB\n"
                   "Active(file): 0 kB\nInactive(file): 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nKReclaimable: 0 kB\n")

    def paused(self, *groups):
        """As a daemon that was killed has left them: paused in this order, and in its journal."""
        lines = [f"headroom-journal 1 {self.read('proc/sys/kernel/random/boot_id')}"]
        for group in groups:
            inode = os.stat(self.path(f"sys/fs/cgroup/{group}")).st_ino
            lines.append(f"lease id={inode} knob=cgroup.freeze was=0 ours=1 path={group}")
            self.write(f"sys/fs/cgroup/{group}/cgroup.freeze", "1\n")
        self.write("run/headroom/journal", "\n".join(lines) + "\n")

    def stat(self, group, anon):
        """Of one width, so that a reader never sees a part of it."""
        self.write(f"sys/fs/cgroup/{group}/memory.current", f"{anon:020}\n")
        self.write(f"sys/fs/cgroup/{group}/memory.stat",
                   f"anon {anon:020}\nfile 0\nkernel 0\nsock 0\nshmem 0\nslab_reclaimable 0\n")

    def group(self, group, anon, pid=0, start=0):
        base = f"sys/fs/cgroup/{group}/"
        for name, text in (("cgroup.events", "populated 1\nfrozen 0\n"), ("cgroup.kill", ""), ("cgroup.freeze", "0\n"), ("cgroup.type", "domain\n"),
                           ("cgroup.procs", f"{pid}\n" if pid else ""), ("cgroup.controllers", "memory\n"),
                           ("memory.high", "max\n"), ("memory.max", "max\n"), ("memory.low", "0\n"),
                           ("memory.min", "0\n"), ("memory.pressure", PSI), ("memory.swap.max", "max\n"),
                           ("memory.swap.current", "0\n"),
                           ("memory.events.local", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n")):
            self.write(base + name, text)
        self.stat(group, anon)
        if pid:
            self.write(f"proc/{pid}/stat", f"{pid} (task) S 1 {pid} {pid} 0 -1 4194304 0 0 0 0 1 1 0 0 20 0 1 0 "
                       f"{start * 100} 1000000 1000 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n")

    def over(self):
        """The second task has grown, and the node with it: over the limit."""
        self.meminfo(used=LIMIT + 50 * MIB)
        self.stat("workload.slice/task-2", LIMIT - 50 * MIB)
        self.stat("workload.slice", LIMIT + 50 * MIB)

    def calm(self):
        self.stat("workload.slice", 100 * MIB)
        self.meminfo(used=100 * MIB)

    def event(self, high):
        self.write(SLICE + "/memory.events.local",
                   f"low 0\nhigh {high}\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n")

    def knobs(self):
        """All that headroomd could have written to, but for PSI's files, which take triggers."""
        found = {}
        for where, _, names in os.walk(self.path("sys")):
            for name in names:
                if name != "memory.pressure":
                    with open(os.path.join(where, name)) as f:
                        found[os.path.relpath(os.path.join(where, name), self.root)] = f.read().strip()
        return found


class Programs:
    """The two programs, copied to where everybody may run them."""

    def __init__(self, build, base):
        self.base = base
        self.started = []
        for name in ("headroomd", "headroom"):
            shutil.copy(os.path.join(build, name), os.path.join(base, name))
        self.headroomd = os.path.join(base, "headroomd")
        self.headroom = os.path.join(base, "headroom")
        self.build = build
        self.no_heap = os.path.join(build, "tests/programs/no_heap.so")
        self.slow_users = os.path.join(build, "tests/programs/slow_users.so")
        with open(self.headroomd, "rb") as f:
            self.sanitized = b"__asan_init" in f.read()

    def run(self, *argv, user=None, timeout=30):
        """Exit code, standard output, standard error."""
        r = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=timeout, user=user, group=user, extra_groups=[] if user else None)
        return r.returncode, r.stdout.decode(), r.stderr.decode(errors="replace")

    def cli(self, tree, *argv, user=None):
        return self.run(self.headroom, "--sysroot", tree.root, *argv, user=user)

    def status(self, tree):
        code, out, err = self.cli(tree, "status", "--json")
        expect(code == 0, f"status: exit {code}: {err}")
        return json.loads(out)

    def once(self, tree, *argv, config=CONFIG, user=None):
        """headroomd, expected to end by itself."""
        return self.run(self.headroomd, "--sysroot", tree.root, "--config", self.config(config), *argv, user=user)

    def config(self, text):
        fd, path = tempfile.mkstemp(dir=self.base, suffix=".conf")
        os.write(fd, text.encode())
        os.close(fd)
        os.chmod(path, 0o644)
        return path

    def daemon(self, tree, *argv, **kwargs):
        return Daemon(self, tree, *argv, **kwargs)


class Daemon:
    def __init__(self, programs, tree, *argv, config=CONFIG, user=None, env=None, stderr=None):
        self.programs, self.tree = programs, tree
        fd, self.log_path = tempfile.mkstemp(dir=programs.base, suffix=".log")
        os.fchmod(fd, 0o666)
        self.process = subprocess.Popen(
            [programs.headroomd, "--sysroot", tree.root, "--config", programs.config(config), *argv],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=fd if stderr is None else stderr,
            env=dict(os.environ, **(env or {})), user=user, group=user, extra_groups=[] if user else None)
        os.close(fd)
        self.companions = []
        programs.started.append(self)
        self.pid = self.process.pid
        if stderr is None:
            self.said("event=start ")
        wait_for(f"the control socket: {self.log()[-600:]}",
                 lambda: os.path.exists(tree.path("run/headroom/headroom.sock")))
        self.companions = self.children()

    def children(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as f:
            return [int(pid) for pid in f.read().split()]

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def said(self, pattern, seconds=15):
        """The first line of the log in which the pattern is found."""
        def find():
            if self.process.poll() is not None and not re.search(pattern, self.log()):
                raise Failed(f"headroomd ended (exit {self.process.returncode}), without {pattern}: {self.log()[-600:]}")
            for line in self.log().splitlines():
                if re.search(pattern, line):
                    return line
            return None
        return wait_for(f"{pattern} in the log: {self.log()[-600:]}", find, seconds)

    def signal(self, number):
        expect(self.process.poll() is None, f"headroomd has ended: {self.log()[-600:]}")
        os.kill(self.pid, number)

    def stop(self):
        """SIGTERM; it ends well and leaves nobody behind."""
        self.signal(signal.SIGTERM)
        code = self.process.wait(timeout=20)
        expect(code == 0, f"exit {code} after SIGTERM: {self.log()[-600:]}")
        for pid in self.companions:
            wait_for(f"companion {pid} to end", lambda p=pid: has_ended(p), 10)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait(timeout=10)

    def end(self):
        """Whatever the test has left of it."""
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        for pid in self.companions:
            if not has_ended(pid):
                os.kill(pid, signal.SIGKILL)

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.connect(self.tree.path("run/headroom/headroom.sock"))
        s.settimeout(10)
        return s


def has_ended(pid):
    """Of a companion: gone, or a zombie that waits for its (by now: our) wait."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            text = f.read()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return "(headroomd" not in text or text.rsplit(")", 1)[1].split()[0] in "ZX"
