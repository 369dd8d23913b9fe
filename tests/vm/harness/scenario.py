"""Scenarios: scripts with a header that declares the machine they need.

    # vm: memory=1024 cpus=2 swap=none disk=4G timeout=240

memory    MiB                                  cpus      virtual CPUs
swap      none, disk:SIZE, zram:SIZE, zswap:SIZE; a disk's rate may follow: disk:512M:100M (bytes per second)
disk      an empty virtio disk, /dev/data in the guest; a rate may follow in the same way
numa      number of NUMA nodes                 timeout   seconds from power-on to power-off on a machine that is
                                               left to us; PATIENCE times that is allowed
kernels   only on these (6.1,6.12,newest)      modules   further features of modules.order (9p, overlay)
programs  further programs of the build or of this machine (a,b)
append    words for the kernel's command line
clock     host: the guest's time is the host's
          instructions: each instruction of the guest takes a nanosecond, and nothing else takes any: what is measured there
          depends neither on what else the host does nor on how the emulator does it. One CPU, whatever cpus= says. Waits
          for a disk still take what they take on the host.
root      initramfs: busybox and the programs under test, nothing else; our own PID 1
          host: this machine's root, read-only, under an overlay in memory; needs systemd=yes
systemd   yes: PID 1 is this machine's systemd, with nothing of what is configured here; the scenario is a service of
          system.slice. Needs root=host.
install   yes: what `meson install` of the build installs lies where it belongs, instead of the two programs in /guest/bin.
          Needs root=host.
"""

import os
import re
import shlex
from dataclasses import dataclass

from .image import HERE
from .machine import Disk

KEYS = {"memory": "1024", "cpus": "2", "swap": "none", "disk": "", "numa": "1", "timeout": "240", "kernels": "",
        "modules": "", "programs": "", "append": "", "clock": "host", "root": "initramfs", "systemd": "no", "install": "no"}
PATIENCE = 3
SYSTEMD = "/lib/systemd/systemd"
# The log goes where dmesg has it; the default of an old systemd may be the hybrid hierarchy.
SYSTEMD_WORDS = ("systemd.unified_cgroup_hierarchy=1 systemd.show_status=0 systemd.log_target=kmsg "
                 "systemd.log_level=info printk.devkmsg=on")


class ScenarioError(Exception):
    pass


def parse_bytes(text):
    match = re.fullmatch(r"([0-9]+)([KMGT]?)", text)
    if not match:
        raise ScenarioError("'%s' is not a size (like 512M)" % text)
    return int(match.group(1)) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[match.group(2)]


def split_list(text):
    return [word for word in text.split(",") if word]


@dataclass
class Scenario:
    name: str
    script: bytes
    settings: dict

    def _number(self, key):
        try:
            return int(self.settings[key])
        except ValueError as error:
            raise ScenarioError("%s: %s=%s is not a number" % (self.name, key, self.settings[key])) from error

    @property
    def is_on_host_root(self):
        return self.settings["root"] == "host"

    @property
    def memory_mib(self):
        return self._number("memory")

    @property
    def cpus(self):
        return 1 if self.clock == "instructions" else self._number("cpus")

    @property
    def clock(self):
        return self.settings["clock"]

    @property
    def waits_for_disks(self):
        return self.swap()[0] == "disk" or bool(self.settings["disk"])

    @property
    def numa_nodes(self):
        return self._number("numa")

    @property
    def timeout_seconds(self):
        return self._number("timeout") * PATIENCE

    @property
    def is_installed(self):
        return self.settings["install"] == "yes"

    @property
    def programs(self):
        under_test = [] if self.is_installed else ["headroomd", "headroom"]
        return under_test + split_list(self.settings["programs"])

    def runs_on(self, kernel):
        return not self.settings["kernels"] or kernel in split_list(self.settings["kernels"])

    def swap(self):
        """(kind, bytes, rate)"""
        kind, _, rest = self.settings["swap"].partition(":")
        size, _, rate = rest.partition(":")
        if kind == "none":
            return kind, 0, 0
        if kind not in ("disk", "zram", "zswap") or not size:
            raise ScenarioError("%s: swap=%s: none, disk:SIZE, zram:SIZE or zswap:SIZE" % (self.name, self.settings["swap"]))
        return kind, parse_bytes(size), parse_bytes(rate) if rate else 0

    def disks(self):
        disks = []
        kind, size, rate = self.swap()
        if kind in ("disk", "zswap"):
            disks.append(Disk("swap", size, rate))
        if self.settings["disk"]:
            size, _, rate = self.settings["disk"].partition(":")
            disks.append(Disk("data", parse_bytes(size), parse_bytes(rate) if rate else 0))
        return disks

    def features(self):
        kind = self.swap()[0]
        features = ["9p", "overlay"] if self.is_on_host_root else []
        features += ["blk"] if self.disks() else []
        features += [kind] if kind in ("zram", "zswap") else []
        return features + split_list(self.settings["modules"])

    def command_line(self):
        words = ["headroom.swap=" + ":".join(self.settings["swap"].split(":")[:2])]
        if self.features():
            words.append("headroom.features=" + ",".join(self.features()))
        # The guest gives up first, so that it can still bring its logs out.
        words.append("headroom.timeout=%d" % max(self.timeout_seconds - 20, self.timeout_seconds * 3 // 4))
        if self.is_on_host_root:
            words.append(SYSTEMD_WORDS)
        return " ".join(words + [self.settings["append"]]).strip()


def read_words(name, words, settings):
    for word in words:
        key, equal, value = word.partition("=")
        if not equal or key not in KEYS:
            raise ScenarioError("%s: vm: '%s' is none of %s" % (name, word, ", ".join(sorted(KEYS))))
        settings[key] = value


def check_settings(name, settings):
    if (settings["root"], settings["systemd"]) not in (("initramfs", "no"), ("host", "yes")):
        raise ScenarioError("%s: root=%s and systemd=%s do not go together: initramfs and no, or host and yes" %
                            (name, settings["root"], settings["systemd"]))
    if settings["clock"] not in ("host", "instructions"):
        raise ScenarioError("%s: clock=%s: host or instructions" % (name, settings["clock"]))
    if settings["install"] == "yes" and settings["root"] != "host":
        raise ScenarioError("%s: install=yes needs root=host" % name)
    if settings["systemd"] == "yes" and not os.access(SYSTEMD, os.X_OK):
        raise ScenarioError("%s: %s is missing (Debian: apt install systemd)" % (name, SYSTEMD))


def parse_scenario(name, script, overrides=()):
    settings = dict(KEYS)
    for line in script.decode(errors="replace").splitlines():
        match = re.match(r"^#\s*vm:\s*(.*)$", line)
        if match:
            read_words(name, shlex.split(match.group(1)), settings)
    read_words(name, overrides, settings)
    check_settings(name, settings)
    return Scenario(name, script, settings)


def scenario_folder():
    return os.path.join(HERE, "scenarios")


def scenario_names():
    return sorted(name[:-3] for name in os.listdir(scenario_folder()) if name.endswith(".sh"))


def load_scenario(name, overrides=()):
    """By name, or by the path of a script that lies elsewhere; overrides are words like those of a vm: line."""
    path = name if "/" in name else os.path.join(scenario_folder(), name + ".sh")
    if not os.path.isfile(path):
        raise ScenarioError("no scenario %s; there are: %s" % (name, ", ".join(scenario_names())))
    with open(path, "rb") as file:
        script = file.read()
    base = os.path.basename(path)
    return parse_scenario(base[:-3] if base.endswith(".sh") else base, script, overrides)
