"""Runs scenarios on kernels and keeps what came of it. `./run` is a command line over this; others may import it."""

import fcntl
import os
import re
import resource
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field

from . import image, machine

TAIL_LINES = 30
# An emulated CPU that shares its real one with a compiler is late for reasons that no guard can help.
MAX_OTHERS_CPUS = 0.25
# What in a kernel's console means that a result is not to be trusted, whatever the checks say. Under emulation a
# starved host can cause the stalls; they are shown, not counted as failures.
SUSPICIOUS = re.compile(r"Kernel panic|BUG: |Oops|rcu.*stall|soft lockup|blocked for more than|WARNING: ")


# Under emulation with a thread per CPU, a CPU can still run the breakpoint that another one has just patched away (the
# kernel switches its static branches so); the kernel then takes the breakpoint for a bug. It is the emulator's, rare,
# mostly while booting, and says nothing about what is tested.
EMULATOR_FAULT = re.compile(rb"Oops: int3|int3: 0000 \[#1\]")
# It can also stop before the kernel has said anything, both CPUs waiting for each other: init's first line comes after 3
# to 20 s. A guest that once spoke and then falls silent is not started again: that may be what is tested.
SILENT_BOOT_SECONDS = 150
MAX_BOOTS = 3


class SessionError(Exception):
    pass


@dataclass
class Result:
    kernel: str
    scenario: str
    run: int
    release: str = ""
    accelerator: str = ""
    seconds: float = 0.0  # from power-on to power-off
    boot_seconds: float = 0.0  # until the scenario began
    ended: str = ""
    exit_status: str = ""  # of the scenario's shell
    host_others_cpus: float = 0.0  # CPUs that something else on the host used meanwhile, on average
    host_stolen_cpus: float = 0.0  # CPUs that the host itself was denied meanwhile (it may be a VM too)
    checks: list = field(default_factory=list)  # {"ok", "name", "detail"}
    bars: list = field(default_factory=list)  # {"met", "name", "value", "limit"}
    figures: dict = field(default_factory=dict)
    log_folder: str = ""

    @property
    def passed(self):
        return sum(check["ok"] for check in self.checks)

    @property
    def failed(self):
        return len(self.checks) - self.passed


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def host_busy_seconds():
    """CPU seconds that the host has spent since its boot, waiting not counted."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _iowait, irq, softirq = [int(word) for word in file.readline().split()[1:8]]
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def host_stolen_seconds():
    with open("/proc/stat", encoding="ascii") as file:
        words = file.readline().split()
    return int(words[8]) / os.sysconf("SC_CLK_TCK") if len(words) > 8 else 0.0


class VmLock:
    """Held while a VM runs: two at once would spoil each other's timings. qemu inherits it, so it also outlives a
    runner that was killed until its VM is gone."""

    def __init__(self, say):
        self._say = say
        self._guard = threading.Lock()
        self._users = 0
        self._file = None

    def __enter__(self):
        with self._guard:
            if self._users == 0:
                self._file = open(os.path.join(image.cache_dir(), "vm.lock"), "w", encoding="utf-8")
                try:
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self._say("another run has a VM running; waiting for it to end")
                    fcntl.flock(self._file, fcntl.LOCK_EX)
            self._users += 1
        return self._file.fileno()

    def __exit__(self, *_):
        with self._guard:
            self._users -= 1
            if self._users == 0:
                self._file.close()
                self._file = None


def get_kernel(name):
    """The directory of a kernel; None when it cannot be had."""
    script = os.path.join(image.HERE, "kernels")
    result = subprocess.run([script, "get", name], stdout=subprocess.PIPE, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else None


class Session:
    """on_event(result, kind, name, value) is called for every line of a guest at once: ok, not ok, figure, bar, say,
    live, file, started, done, exit, timeout; `say` is for words about the run itself."""

    def __init__(self, build, on_event=None, say=print, variables=None, accelerator=None, keep=None, strict=False,
                 alone=True):
        self.build = os.path.abspath(build)
        self.variables = dict(variables or {})
        self._on_event = on_event or (lambda *_: None)
        self._say = say
        self._keep = keep
        self._strict = strict  # a bar that was missed is a failed check
        self._accelerator = accelerator
        self._alone = alone  # one machine at a time
        self._prepared = threading.Lock()
        self._base = None
        self._lock = VmLock(say)

    def _prepare(self, kernel):
        with self._prepared:
            if self._base is None:
                self._base = image.base_archive(image.build_load(self.build))
            if self._accelerator is None:
                with self._lock:
                    self._accelerator = machine.choose_accelerator(kernel, self._base)

    def run(self, kernel_name, kernel, scenario, run=1, runs=1):
        self._prepare(kernel)
        accelerator = "tcg" if scenario.clock == "instructions" else self._accelerator
        result = Result(kernel_name, scenario.name, run, accelerator=accelerator)
        result.log_folder = os.path.join(self.build, "vm", kernel_name, scenario.name)
        if runs > 1:
            result.log_folder = os.path.join(result.log_folder, "run-%d" % run)
        elif os.path.isdir(result.log_folder):
            shutil.rmtree(result.log_folder)
        os.makedirs(result.log_folder, exist_ok=True)
        overlay, missing = image.overlay_archive(scenario, self.variables, self.build, kernel)
        for name in missing:
            # Only where the script runs it, by itself or through start_headroomd.
            if not re.search(rb"(^|[\s;|&(_])%s($|[\s;])" % name.encode(), scenario.script, re.MULTILINE):
                continue
            self._event(result, "say", "%s is not built: the guest goes without it" % name, "")
        vm = machine.Machine(kernel, self._base + overlay, scenario.memory_mib, scenario.cpus, scenario.numa_nodes,
                             scenario.disks(), scenario.command_line(), accelerator, scenario.is_on_host_root,
                             self._alone, scenario.clock, scenario.waits_for_disks)
        for boots_left in range(MAX_BOOTS - 1, -1, -1):
            if self._boot(vm, scenario, result, boots_left):
                break
        if self._keep:
            self._keep_files(vm, result, runs)
        return result

    def _boot(self, vm, scenario, result, boots_left):
        """One boot; False when the emulator failed and another boot is allowed."""
        done = []
        result.checks, result.figures, result.bars = [], {}, []

        def on_event(kind, name, value):
            if kind in ("done", "timeout"):
                done.append(kind)
            self._record(result, kind, name, value)

        reader = machine.ResultReader(on_event)
        console = os.path.join(result.log_folder, "console.log")
        with open(os.path.join(result.log_folder, "results.log"), "w", encoding="utf-8") as log:
            def on_line(line):
                log.write("%.2f %s\n" % (time.monotonic() - start, line))
                log.flush()
                reader.line(line)

            with self._lock as lock_fd:
                start, busy, own = time.monotonic(), host_busy_seconds(), children_seconds()
                stolen = host_stolen_seconds()
                result.ended, result.seconds = machine.run_machine(vm, scenario.timeout_seconds, on_line, console,
                                                                   (lock_fd,), SILENT_BOOT_SECONDS)
                others = host_busy_seconds() - busy - (children_seconds() - own)
                result.host_others_cpus = round(max(0.0, others) / result.seconds, 2)
            result.host_stolen_cpus = round((host_stolen_seconds() - stolen) / result.seconds, 2)
        host_matters = vm.clock == "host" or vm.waits_for_disks
        if host_matters and result.host_others_cpus + result.host_stolen_cpus > MAX_OTHERS_CPUS:
            self._event(result, "say", "others used %.2f CPUs of the host meanwhile, %.2f were denied to it: do not trust "
                        "the timings" % (result.host_others_cpus, result.host_stolen_cpus), "")
        fault = None
        if "done" not in done and boots_left and vm.accelerator == "tcg":
            fault = emulator_fault(result.ended, console)
        if fault:
            for name in ("console", "registers"):
                path = os.path.join(result.log_folder, name + ".log")
                if os.path.exists(path):
                    os.rename(path, os.path.join(result.log_folder, "%s-emulator-fault-%d.log" % (name, boots_left)))
            self._event(result, "say", "the emulator failed (%s); starting again" % fault, "")
            return False
        if "timeout" in done:
            result.ended = "timeout"
        self._check_end(result, "done" in done, scenario.timeout_seconds, console)
        return True

    def _check_end(self, result, done, timeout_seconds, console):
        lines = []
        if os.path.exists(console):
            lines = image.read_bytes(console).decode(errors="replace").replace("\r", "").splitlines()
        kernel_log = os.path.join(result.log_folder, "dmesg.log")
        told = list(lines)
        if os.path.exists(kernel_log):
            told = image.read_bytes(kernel_log).decode(errors="replace").splitlines()
        for line in [line for line in told if SUSPICIOUS.search(line)][:5]:
            self._event(result, "say", "the kernel said: " + line, "")
        if done and result.ended == "off":
            return
        detail = {"timeout": "no end within %d s" % timeout_seconds,
                  "silent": "the guest said nothing within %d s" % SILENT_BOOT_SECONDS,
                  "off": "it ended without its closing line, " +
                  ("status " + result.exit_status if result.exit_status else "the guest went down under it")}
        self._record(result, "not ok", "the scenario reaches its end", detail.get(result.ended, result.ended))
        for line in lines[-TAIL_LINES:]:
            self._event(result, "say", "console: " + line, "")
        registers = os.path.join(result.log_folder, "registers.log")
        if os.path.exists(registers):
            for line in re.findall(r"RIP=\S+.*", image.read_bytes(registers).decode(errors="replace")):
                self._event(result, "say", "a CPU stands at " + line.strip(), "")

    def _record(self, result, kind, name, value):
        if kind == "exit":
            result.exit_status = name
        elif kind in ("ok", "not ok"):
            result.checks.append({"ok": kind == "ok", "name": name, "detail": value})
        elif kind == "figure":
            result.figures[name] = number(value)
        elif kind == "bar":
            self._record_bar(result, name, value)
            return
        elif kind == "started":
            uptime, _, result.release = name.partition(" ")
            result.boot_seconds = float(uptime)
        elif kind == "file":
            image.write_atomically(os.path.join(result.log_folder, name), value)
        self._event(result, kind, name, value)

    def _record_bar(self, result, name, value):
        value, limit = [number(word) for word in (value.split() + ["", ""])[:2]]
        met = all(isinstance(n, (int, float)) for n in (value, limit)) and value <= limit
        result.bars.append({"met": met, "name": name, "value": value, "limit": limit})
        self._event(result, "bar met" if met else "bar missed", name, "%s, at most %s" % (value, limit))
        if self._strict:
            self._record(result, "ok" if met else "not ok", "bar: " + name, "%s, at most %s" % (value, limit))

    def _event(self, result, kind, name, value):
        self._on_event(result, kind, name, value)

    def _keep_files(self, vm, result, runs):
        folder = os.path.join(self._keep, result.kernel, result.scenario)
        if runs > 1:
            folder = os.path.join(folder, "run-%d" % result.run)
        shutil.copytree(result.log_folder, folder, dirs_exist_ok=True)
        image.write_atomically(os.path.join(folder, "initrd"), vm.initrd)
        command = machine.qemu_command(vm, folder, os.path.join(folder, "console.log"))
        text = "".join("truncate -s %d %s\n" % (disk.bytes, image.shell_quote(os.path.join(folder, disk.name + ".raw")))
                       for disk in vm.disks)
        text += " ".join(image.shell_quote(word) for word in command) + "\n"
        image.write_atomically(os.path.join(folder, "boot.sh"), text.encode(), 0o755)


def emulator_fault(ended, console):
    """What the emulator did wrong, or None."""
    if os.path.exists(console) and EMULATOR_FAULT.search(image.read_bytes(console)):
        return "a stale breakpoint in patched code"
    return "no word from the guest within %d s of its boot" % SILENT_BOOT_SECONDS if ended == "silent" else None


def number(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
