"""One boot of one kernel in qemu, and the lines that come out of it."""

import base64
import binascii
import ctypes
import gzip
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import zlib
from dataclasses import dataclass, field

from .cpio import Archive
from .image import cache_dir, read_bytes, write_atomically

PROBE_SECONDS = 6
MONITOR_SECONDS = 2
QEMU = "qemu-system-x86_64"

# Emulation is most of the cost of a page fault. smap makes each copy to user memory switch translations, erms and fsrm
# make the kernel clear pages by one emulated string instruction: without the three, touching memory takes half the time.
TCG_CPU = "max,la57=off,smap=off,erms=off,fsrm=off"


class MachineError(Exception):
    pass


@dataclass
class Disk:
    name: str  # its serial number, by which the guest finds it
    bytes: int
    rate_bytes: int = 0  # per second; 0: as fast as the host's page cache


@dataclass
class Machine:
    kernel: str  # a directory of `kernels get`
    initrd: bytes
    memory_mib: int = 1024
    cpus: int = 2
    numa_nodes: int = 1
    disks: list = field(default_factory=list)
    append: str = ""
    accelerator: str = "tcg"
    shares_root: bool = False  # the host's root, read-only over 9p under the tag "host"
    alone: bool = True  # no other machine runs beside it
    clock: str = "host"  # or "instructions"; see scenario.py
    waits_for_disks: bool = False


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a killed runner leaves no VM behind


def place_threads(pid, machine):
    """Gives each CPU of the guest one of the host's for itself, and lets the thread with its timers run at once.

    Left to itself the host puts that thread behind a CPU of the guest, or both of those on one of its own while the
    other is idle: whatever runs in the guest then stands still for a slice or two (4 to 9 ms were measured as soon as
    both CPUs of a guest were busy), which says nothing of headroom. Where it is not allowed it stays as it is.
    """
    if machine.clock == "instructions":
        return
    hosts = sorted(os.sched_getaffinity(0))
    for thread in os.listdir("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/comm" % (pid, thread), encoding="utf-8") as file:
                cpu = re.match(r"CPU (\d+)/", file.read())
            if cpu is None:
                os.sched_setscheduler(int(thread), os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
            elif machine.alone and machine.cpus <= len(hosts):
                os.sched_setaffinity(int(thread), {hosts[int(cpu.group(1))]})
        except OSError:
            pass


def qemu_command(machine, work, console_log):
    cpu = {"kvm": ["-accel", "kvm", "-cpu", "host"], "tcg": ["-accel", "tcg,thread=multi", "-cpu", TCG_CPU]}
    # While the guest is idle its time need not pass, unless it is idle because it waits for a disk: that takes its time on
    # the host. (More than one CPU and a clock of instructions do not boot with qemu 7.2.)
    counted = ["-accel", "tcg,thread=single", "-cpu", TCG_CPU, "-icount",
               "shift=0,sleep=" + ("on" if machine.waits_for_disks else "off")]
    # The emulated TSC is the host's, the same on all CPUs; without tsc=reliable the kernel distrusts it and
    # reads the time from an emulated device, which costs more than a page fault.
    # Only errors go to the console (a kill is one): each character of a report is an exit of the emulated CPU, and a
    # report for each of a hundred kills is felt by the service that is measured. The rest is in the guest's dmesg.log.
    words = "console=ttyS0 loglevel=4 panic=-1 psi=1 mitigations=off tsc=reliable " + machine.append
    command = [QEMU, "-name", "headroom,debug-threads=on", "-nodefaults", "-no-user-config", "-display", "none",
               "-no-reboot", *(counted if machine.clock == "instructions" else cpu[machine.accelerator]),
               "-smp", "%d,sockets=%d" % (machine.cpus, machine.numa_nodes), "-m", str(machine.memory_mib),
               "-chardev", "file,id=console,path=" + console_log.replace(",", ",,"), "-serial", "chardev:console",
               "-chardev", "stdio,id=results,signal=off", "-serial", "chardev:results",
               "-monitor", "unix:%s,server=on,wait=off" % os.path.join(work, "monitor").replace(",", ",,"),
               "-kernel", os.path.join(machine.kernel, "vmlinuz"), "-initrd", os.path.join(work, "initrd"),
               "-append", words.strip()]
    if machine.shares_root:
        command += ["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"]
    for disk in machine.disks:
        path = os.path.join(work, disk.name + ".raw")
        rate = ",throttling.bps-total=%d" % disk.rate_bytes if disk.rate_bytes else ""
        command += ["-drive", "if=none,id=%s,file=%s,format=raw,cache=unsafe,discard=unmap%s" %
                    (disk.name, path.replace(",", ",,"), rate),
                    "-device", "virtio-blk-pci,drive=%s,serial=%s" % (disk.name, disk.name)]
    if machine.numa_nodes > 1:
        share = machine.memory_mib // machine.numa_nodes
        for node in range(machine.numa_nodes):
            size = share if node + 1 < machine.numa_nodes else machine.memory_mib - share * node
            cpus = [cpu for cpu in range(machine.cpus) if cpu * machine.numa_nodes // machine.cpus == node]
            command += ["-object", "memory-backend-ram,id=node%d,size=%dM" % (node, size), "-numa",
                        "node,nodeid=%d,memdev=node%d%s" % (node, node, "".join(",cpus=%d" % cpu for cpu in cpus))]
    return command


def run_machine(machine, timeout_seconds, on_line, console_log, pass_fds=(), first_line_seconds=None):
    """Boot, hand each line of the results port to on_line, wait for the power-off.

    Returns (how it ended, seconds): "off", "timeout", "silent" (no line within first_line_seconds), or a message of
    qemu's. on_line may return False to stop. Where the CPUs stood at a timeout is written beside the console's log.
    """
    if shutil.which(QEMU) is None:
        raise MachineError("%s is missing (Debian: apt install qemu-system-x86)" % QEMU)
    with tempfile.TemporaryDirectory(prefix="headroom-vm-") as work:
        with open(os.path.join(work, "initrd"), "wb") as file:
            file.write(machine.initrd)
        for disk in machine.disks:
            with open(os.path.join(work, disk.name + ".raw"), "wb") as file:
                file.truncate(disk.bytes)
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(qemu_command(machine, work, console_log), stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=errors, pass_fds=pass_fds,
                                       preexec_fn=_die_with_parent)
            start = time.monotonic()
            try:
                ended = _read_lines(process, machine, start + timeout_seconds, on_line,
                                    start + (first_line_seconds or timeout_seconds))
                if ended in ("timeout", "silent"):
                    _save_registers(os.path.join(work, "monitor"), os.path.join(os.path.dirname(console_log),
                                                                                "registers.log"))
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()
                process.stdout.close()
            seconds = time.monotonic() - start
            errors.seek(0)
            if ended == "off" and process.returncode != 0:
                text = errors.read().decode(errors="replace").strip().splitlines()
                ended = "qemu failed (%d): %s" % (process.returncode, text[-1] if text else "no message")
            return ended, seconds


def _save_registers(monitor, path):
    """Where each CPU of a guest that no longer answers stands; a monitor that does not answer either is told there."""
    text = b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(MONITOR_SECONDS)
            connection.connect(monitor)
            connection.sendall(b"info registers -a\n")
            while True:
                part = connection.recv(65536)
                if not part:
                    break
                text += part
    except OSError as error:
        if not text:
            text = ("qemu's monitor: %s\n" % error).encode()
    write_atomically(path, text)


def _read_lines(process, machine, deadline, on_line, first_deadline):
    pending, placed = b"", False
    os.set_blocking(process.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = min(deadline, first_deadline) - time.monotonic()
            if left <= 0:
                return "timeout" if first_deadline >= deadline else "silent"
            if not selector.select(min(left, 1.0)):
                continue
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                # The guest is off; the process itself needs a moment more.
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    return "timeout"
                return "off"
            *lines, pending = (pending + data).split(b"\n")
            if lines and not placed:
                first_deadline, placed = deadline, True
                place_threads(process.pid, machine)
            for line in lines:
                if on_line(line.decode(errors="replace").rstrip("\r")) is False:
                    return "stopped"


class ResultReader:
    """Splits the guest's lines into events: on_event(kind, name, value)."""

    def __init__(self, on_event):
        self._on_event = on_event
        self._file = None
        self._data = []

    def line(self, line):
        if self._file is not None:
            if line == "end":
                self._finish_file()
                return
            # Lines of others can come between those of a file; base64 has no blank.
            if " " not in line and line not in ("done", "timeout"):
                self._data.append(line)
                return
        self._message(line)

    def _finish_file(self):
        try:
            data = gzip.decompress(base64.b64decode("".join(self._data)))
        except (OSError, EOFError, binascii.Error, zlib.error) as error:
            data = ("could not be brought out of the guest: %s\n" % error).encode()
        self._on_event("file", self._file, data)
        self._file, self._data = None, []

    def _message(self, line):
        word, _, rest = line.partition(" ")
        if line.startswith("ok - "):
            self._on_event("ok", line[5:], "")
        elif line.startswith("not ok - "):
            name, _, detail = line[9:].partition(": ")
            self._on_event("not ok", name, detail)
        elif word in ("figure", "bar"):
            name, _, value = rest.partition("=")
            self._on_event(word, name, value)
        elif word == "file":
            self._file, self._data = os.path.basename(rest), []
        elif word in ("say", "live", "started", "exit", "done", "timeout"):
            self._on_event(word, rest, "")
        elif line:
            self._on_event("say", line, "")


def _probe_boots(kernel, base, accelerator):
    """Really boot, and do a little work: KVM can be present and abort, or hang in silence."""
    archive = Archive()
    archive.file("init", b"""#!/bin/busybox sh
/bin/busybox mkdir -p /dev
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox dd if=/dev/zero of=/filled bs=1M count=32 2>/dev/null
/bin/busybox sleep 0.2
echo alive >/dev/ttyS1
/bin/busybox poweroff -f
""", 0o755)
    seen = []
    machine = Machine(kernel=kernel, initrd=base + archive.finish(), memory_mib=256, accelerator=accelerator)
    with tempfile.TemporaryDirectory(prefix="headroom-probe-") as work:
        ended, _ = run_machine(machine, PROBE_SECONDS, seen.append, os.path.join(work, "console.log"))
    return ended == "off" and "alive" in seen


def choose_accelerator(kernel, base):
    """kvm when a probe shows that it works, else tcg; the answer is kept until the host boots anew."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot_id = read_bytes("/proc/sys/kernel/random/boot_id").decode().strip()
    path = os.path.join(cache_dir(), "kvm-probe")
    if os.path.exists(path):
        known = read_bytes(path).decode().split()
        if len(known) == 2 and known[0] == boot_id:
            return known[1]
    answer = "kvm" if _probe_boots(kernel, base, "kvm") else "tcg"
    write_atomically(path, ("%s %s\n" % (boot_id, answer)).encode())
    return answer
