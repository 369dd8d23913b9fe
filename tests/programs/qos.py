"""headroom qos: plan, apply and undo, over the trees of both of the kubelet's cgroup drivers and over classes of one's own."""
import json
import os
import re
import shutil
import time

from tree import MIB, Tree, expect

GIB = 1 << 30
PAGE = 4096
NODE = "[Node]\nMode=auto\nWorkload={}\nSystemReserve=140M\n"
KUBERNETES = "[Class other]\nQoS=kubernetes\n"
CAPACITY = 64 * GIB
BOUND_MS = 100


def meminfo(tree, total, swap=0):
    free = total // 1024
    tree.write("proc/meminfo", f"MemTotal: {free} kB\nMemFree: {free} kB\nMemAvailable: {free} kB\nActive(file): 0 kB\n"
               f"Inactive(file): 0 kB\nSwapTotal: {swap // 1024} kB\nSwapFree: {swap // 1024} kB\nKReclaimable: 0 kB\n")
    if swap:
        tree.write("proc/swaps", f"Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition {swap // 1024} 0 -2\n")


def process(tree, pid, adj, ppid=1, start=100):
    tree.write(f"proc/{pid}/stat", f"{pid} (task) S {ppid} {pid} {pid} 0 -1 4194304 0 0 0 0 1 1 0 0 20 0 1 0 {start * 100} "
               "1000000 1000 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n")
    tree.write(f"proc/{pid}/oom_score_adj", f"{adj}\n")


def cgroup(tree, path, procs=(), **knobs):
    """Only what this kernel's memory controller would show, and what `qos` reads: a node has hundreds."""
    base = f"sys/fs/cgroup/{path}/"
    files = {"cgroup.events": "populated 1\nfrozen 0\n", "cgroup.procs": "".join(f"{p}\n" for p in procs),
             "cgroup.controllers": "memory\n", "memory.min": "0\n", "memory.low": "0\n", "memory.high": "max\n",
             "memory.max": "max\n", "memory.swap.max": "max\n", "memory.swap.current": "0\n", "memory.oom.group": "0\n",
             "cpu.weight": "100\n"}
    files.update({k.replace("_", "."): f"{v}\n" for k, v in knobs.items()})
    for name, text in files.items():
        tree.write(base + name, text)


class Kubernetes(Tree):
    """A node of 64 GiB with `pods` pods of two containers and a sandbox each, of all tiers by turns."""

    def __init__(self, base, driver, pods, swap=0):
        super().__init__(base, workload=False)
        self.systemd = driver == "systemd"
        self.driver, self.containers = driver, {}
        self.pid = 1000
        meminfo(self, CAPACITY, swap)
        self.top = "kubepods.slice" if self.systemd else "kubepods"
        cgroup(self, self.top, memory_max=CAPACITY - GIB)
        self.stat(self.top, 10 * GIB)
        for tier in ("burstable", "besteffort"):
            cgroup(self, self.tier(tier))
        for i in range(pods):
            self.add_pod(i)

    def tier(self, tier):
        if tier == "guaranteed":
            return self.top
        return f"{self.top}/kubepods-{tier}.slice" if self.systemd else f"{self.top}/{tier}"

    def pod(self, i, tier):
        uid = f"0c8c8dc3-1a2b-4c3d-8e9f-{i:012d}"
        if not self.systemd:
            return f"{self.tier(tier)}/pod{uid}"
        between = "" if tier == "guaranteed" else f"-{tier}"
        return f"{self.tier(tier)}/kubepods{between}-pod{uid.replace('-', '_')}.slice"

    def add_pod(self, i):
        tier = ("guaranteed", "burstable", "besteffort")[i % 3]
        limit = {"guaranteed": 300 * MIB, "burstable": 600 * MIB, "besteffort": None}[tier]
        request = {"guaranteed": 300 * MIB, "burstable": 200 * MIB, "besteffort": 0}[tier]
        adj = {"guaranteed": -997, "burstable": 1000 - 1000 * request // CAPACITY, "besteffort": 1000}[tier]
        pod = self.pod(i, tier)
        cgroup(self, pod, memory_max=2 * limit if limit else "max")
        for c in range(3):
            sandbox = c == 2
            name = f"{i:032x}{c:032x}"
            path = f"{pod}/cri-containerd-{name}.scope" if self.systemd else f"{pod}/{name}"
            self.pid += 1
            process(self, self.pid, -998 if sandbox else adj)
            cgroup(self, path, [self.pid], memory_max=limit if limit and not sandbox else "max")
            self.containers[path] = (tier, 0 if sandbox else 1, adj)

    def config(self, p, more=""):
        return p.config(NODE.format(self.top) + more + KUBERNETES)


def qos(p, tree, config, *argv, code=0):
    got, out, err = p.run(p.headroom, "--sysroot", tree.root, "--config", config, "qos", *argv)
    expect(got == code, f"qos {argv}: exit {got}: {out}{err}")
    return out, err


def plan(p, tree, config, code=0):
    out, _ = qos(p, tree, config, "plan", "--json", code=code)
    whole = json.loads(out)
    return {c["path"]: c for c in whole["cgroups"]}, whole


def knobs(c):
    return {k["knob"]: k for k in c["knobs"]}


def planned(c):
    return {k["knob"]: k["planned"] for k in c["knobs"] if k["set"]}


def pages(bytes):
    return bytes // PAGE * PAGE


def both(p, check):
    for driver in ("systemd", "cgroupfs"):
        check(p, Kubernetes(p.base, driver, 110, swap=8 * GIB))


def pods_are_planned(p):
    def check(p, tree):
        cgroups, whole = plan(p, tree, tree.config(p))
        allocatable = pages(CAPACITY - GIB - 128 * MIB)
        expect(whole["node"]["allocatable_bytes"] == allocatable, whole["node"])
        expect(whole["error"] is None and len(cgroups) == 3 + 110 + 330, len(cgroups))
        for path, (tier, is_container, adj) in tree.containers.items():
            c = cgroups[path]
            expect(c["tier"] == tier and c["class"] == "other" and len(c["pod"]) == 36 and len(c["container"]) == 64, c)
            if not is_container:
                expect(c["request_bytes"] is None and planned(c) == {}, f"a sandbox: {c}")
                continue
            request = {"guaranteed": 300 * MIB, "burstable": CAPACITY * (1000 - adj) // 1000, "besteffort": 0}[tier]
            expect(c["request_bytes"] == request, f"{c} {request}")
            swap = pages(request * 8 * GIB // CAPACITY) if tier == "burstable" else 0
            wanted = {"memory.swap.max": swap}
            if tier == "burstable":
                wanted["memory.high"] = pages(request + (600 * MIB - request) * 9 // 10)
            if tier == "besteffort":
                wanted["memory.high"] = pages(allocatable * 9 // 10)
            expect(planned(c) == wanted, f"{c} {wanted}")
            expect(knobs(c)["oom_score_adj"]["why"] == "kubelet", c)
        for path, c in cgroups.items():
            if path not in tree.containers:
                expect(planned(c) == {}, f"the kubelet's own: {c}")
    both(p, check)


def pods_are_planned_with_the_kubelets(p):
    def check(p, tree):
        cgroups, _ = plan(p, tree, tree.config(p, "KubeletKnobs=set\n"))
        total = {"memory.min": 0, "memory.low": 0}
        for path, (tier, is_container, adj) in tree.containers.items():
            got = {k: v for k, v in planned(cgroups[path]).items() if k in total}
            wanted = {}
            if is_container and tier == "guaranteed":
                wanted["memory.min"] = pages(300 * MIB - 300 * MIB // 50)
            if is_container and tier == "burstable":
                wanted["memory.low"] = pages(CAPACITY * (1000 - adj) // 1000)
            expect(got == wanted, f"{path}: {got} {wanted}")
            for k, v in got.items():
                total[k] += v
        expect(planned(cgroups[tree.tier("burstable")]) == {"memory.low": total["memory.low"]}, cgroups[tree.tier("burstable")])
        expect(planned(cgroups[tree.top]) == {"memory.min": sum(total.values()), "memory.low": total["memory.low"]},
               cgroups[tree.top])
    both(p, check)


def pods_are_applied_and_put_back(p):
    times = []

    def check(p, tree):
        config = tree.config(p)
        before = tree.knobs()
        cgroups, _ = plan(p, tree, config)
        began = time.monotonic()
        out, _ = qos(p, tree, config, "apply", "--json")
        times.append((tree.driver, round((time.monotonic() - began) * 1000)))
        done = json.loads(out)
        wanted = sum(len(planned(c)) for c in cgroups.values())
        expect(done == {"written": wanted, "stood": 0, "restored": 0, "processes": 0, "overwritten": 0, "failed": 0}, f"{done} {wanted}")
        for path, c in cgroups.items():
            for knob, value in planned(c).items():
                expect(tree.read(f"sys/fs/cgroup/{path}/{knob}") == str(value), f"{path} {knob}")
        stands, _ = plan(p, tree, config)
        expect({k: planned(c) for k, c in stands.items()} == {k: planned(c) for k, c in cgroups.items()}, "another plan")
        done = json.loads(qos(p, tree, config, "apply", "--json")[0])
        expect(done["written"] == 0 and done["stood"] == wanted and done["restored"] == 0, done)
        # One pod ends, another comes: two containers of memory.high and memory.swap.max.
        gone = tree.pod(1, "burstable")
        shutil.rmtree(tree.path(f"sys/fs/cgroup/{gone}"))
        tree.add_pod(112)
        done = json.loads(qos(p, tree, config, "apply", "--json")[0])
        expect(done == {"written": 4, "stood": wanted - 4, "restored": 0, "processes": 0, "overwritten": 0, "failed": 0}, f"{done} {wanted}")
        out = json.loads(p.cli(tree, "undo", "--json")[1])
        expect(out["failed"] == 0 and out["restored"] >= wanted - 4, out)
        after = tree.knobs()
        for path, value in before.items():
            expect(gone in path or after[path] == value, f"{path}: {after.get(path)}, it was {value}")
    both(p, check)
    print(f"     qos apply of 110 pods: {times} ms; bound {BOUND_MS}", flush=True)


CLASSES = NODE.format("workload.slice") + """[Class batch]
Match=workload.slice/task-*
QoS=burstable
Request=100M
Limit=300M
Priority=300
Retriable=yes
CpuWeight=50
[Class db]
Match=workload.slice/db
QoS=guaranteed
Limit=200M
Priority=1000
"""


def node(p):
    tree = Tree(p.base)
    cgroup(tree, "workload.slice/task-1", [101, 111])
    cgroup(tree, "workload.slice/db", [103])
    for pid, adj in ((101, 0), (102, 0), (103, -500), (111, 200)):
        process(tree, pid, adj)
    for path in ("workload.slice", "workload.slice/task-2"):
        tree.write(f"sys/fs/cgroup/{path}/memory.oom.group", "0\n")
        tree.write(f"sys/fs/cgroup/{path}/cpu.weight", "100\n")
    return tree


def classes_are_applied_and_put_back(p):
    tree = node(p)
    config = p.config(CLASSES)
    before = tree.knobs()
    expect("headroom qos apply" in p.cli(tree, "--config", config, "check")[1], "check does not say that it is not applied")
    out, _ = qos(p, tree, config, "plan")
    for line in (r"^workload.slice$", r"^    memory.low +0B? -> 200.0M +covers what is in it$",
                 r"^workload.slice/task-1 \(batch, burstable, request 100.0M, limit 300.0M\)$",
                 r"^    memory.high +max -> 280.0M +request \+ ThrottleFactor", r"^    memory.max +max -> 300.0M +Limit=$",
                 r"^    memory.oom.group +0 -> 1 ", r"^    cpu.weight +100 -> 50 ", r"^    oom_score_adj +0 -> 700 ",
                 r"^    memory.min +0B? -> 196.0M +its request, a fiftieth", r"^    oom_score_adj +-500 -> -999 "):
        expect(re.search(line, out, re.M), f"{line}: {out}")
    expect(tree.knobs() == before and not os.path.exists(tree.path("run/headroom")), "a plan has changed something")
    out, _ = qos(p, tree, config, "apply")
    expect("oom_score_adj of 4 processes" in out, out)
    out = p.cli(tree, "--config", config, "check")[1]
    expect("headroom qos apply" not in out and "has been applied" in out, out)
    expect(tree.read("sys/fs/cgroup/workload.slice/memory.min") == str(196 * MIB), "memory.min of the slice")
    expect([tree.read(f"proc/{pid}/oom_score_adj") for pid in (101, 102, 103, 111)] == ["700", "700", "-999", "700"], "scores")
    # Born since: put back to what its parent had.
    process(tree, 120, 700, ppid=111, start=900)
    tree.write("sys/fs/cgroup/workload.slice/task-1/cgroup.procs", "101\n111\n120\n")
    # Somebody else has a reason.
    tree.write("proc/102/oom_score_adj", "5\n")
    tree.write("sys/fs/cgroup/workload.slice/task-2/memory.high", f"{250 * MIB}\n")
    out, _ = qos(p, tree, config, "undo")
    expect("put back" in out and "2 left alone" in out and "0 failed" in out, out)
    after = tree.knobs()
    changed = {k for k in before if before[k] != after[k]}
    expect(changed == {"sys/fs/cgroup/workload.slice/task-2/memory.high", "sys/fs/cgroup/workload.slice/task-1/cgroup.procs"},
           changed)
    expect([tree.read(f"proc/{pid}/oom_score_adj") for pid in (101, 102, 103, 111, 120)] == ["0", "5", "-500", "200", "200"],
           "scores put back")


def what_is_not_asked_for_any_more(p):
    tree = node(p)
    qos(p, tree, p.config(CLASSES), "apply")
    out, _ = qos(p, tree, p.config(CLASSES.replace("CpuWeight=50\n", "ThrottleFactor=0\n")), "apply", "--json")
    done = json.loads(out)
    expect(done["restored"] == 4 and done["failed"] == 0, done)
    for task in ("task-1", "task-2"):
        expect(tree.read(f"sys/fs/cgroup/workload.slice/{task}/memory.high") == "max", task)
        expect(tree.read(f"sys/fs/cgroup/workload.slice/{task}/cpu.weight") == "100", task)
        expect(tree.read(f"sys/fs/cgroup/workload.slice/{task}/memory.max") == str(300 * MIB), task)
    done = json.loads(qos(p, tree, p.config(NODE.format("workload.slice")), "apply", "--json")[0])
    expect(done["failed"] == 0 and done["restored"] > 8, done)
    expect(tree.read("sys/fs/cgroup/workload.slice/memory.min") == "0", "memory.min of the slice")
    expect(tree.read("proc/101/oom_score_adj") == "0", "score")


def what_others_have_overwritten(p):
    """As a daemon-reload does: all of it, at once. What they hold tighter stays, and is theirs from then on."""
    tree = Kubernetes(p.base, "systemd", 30, swap=8 * GIB)
    config = tree.config(p)
    cgroups, _ = plan(p, tree, config)
    qos(p, tree, config, "apply")
    tight = None
    for path, c in cgroups.items():
        if "memory.high" in planned(c):
            tight = tight or path
            tree.write(f"sys/fs/cgroup/{path}/memory.high", f"{5 * MIB}\n" if path == tight else "max\n")
    done = json.loads(qos(p, tree, config, "apply", "--json")[0])
    wanted = sum("memory.high" in planned(c) for c in cgroups.values()) - 1
    expect(wanted > 20 and done["written"] == done["overwritten"] == wanted and done["failed"] == 0, f"{done} {wanted}")
    again, _ = plan(p, tree, config)
    expect(knobs(again[tight])["memory.high"] == {"knob": "memory.high", "why": "tighter", "set": False, "now": 5 * MIB},
           again[tight])
    qos(p, tree, config, "undo")
    for path, c in cgroups.items():
        if "memory.high" in planned(c):
            expect(tree.read(f"sys/fs/cgroup/{path}/memory.high") == (str(5 * MIB) if path == tight else "max"), path)


def too_much_is_refused(p):
    tree = node(p)
    before = tree.knobs()
    config = p.config(CLASSES.replace("Request=100M\nLimit=300M", "Request=500M"))
    out, err = qos(p, tree, config, "plan", code=1)
    expect("workload.slice/task-" in err and "asks for most: 500.0M" in err and "Request= of [Class batch]" in err, err)
    _, whole = plan(p, tree, config, code=1)
    expect("asks for most" in whole["error"], whole["error"])
    out, err = qos(p, tree, config, "apply", code=1)
    expect("asks for most" in err and tree.knobs() == before, f"{out}{err}")


def nothing_to_plan(p):
    tree = node(p)
    before = tree.knobs()
    for config, words in ((NODE.format("workload.slice"), "no group that is there belongs to a class with QoS="),
                          (CLASSES.replace("Mode=auto", "Mode=host"), "Mode=host sets no limits"),
                          (CLASSES.replace("Workload=workload.slice", "Workload=nowhere"), "there is no workload")):
        for what in ("plan", "apply"):
            out, err = qos(p, tree, p.config(config), what)
            expect(what == "apply" or words in out + err, f"{words}: {out}{err}")
    expect(tree.knobs() == before, "something was set")
    code, _, err = p.run(p.headroom, "--sysroot", Tree(p.base, cgroup=False).root, "qos", "plan")
    expect(code == 1 and "no cgroup v2 hierarchy" in err, f"exit {code}: {err}")
    tree.write("sys/fs/cgroup/cgroup.type", "domain\n")
    expect("a container" in qos(p, tree, p.config(CLASSES), "plan")[1], "nothing is said of a container")
    for argv in (["qos"], ["qos", "plans"], ["qos", "plan", "x"]):
        code, _, err = p.run(p.headroom, *argv)
        expect(code == 2 and "qos apply" in err, f"{argv}: exit {code}: {err}")


def recorded_trees(p):
    """What three kernels really show, with swap on zram."""
    fixtures = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")
    config = p.config(NODE.format("workload.slice") + "[Class batch]\nMatch=workload.slice/*\nQoS=burstable\nRequest=20M\n"
                      "Limit=200M\nRetriable=yes\n")
    for name in ("linux-6.1", "linux-6.12", "linux-7.2"):
        code, out, err = p.run(p.headroom, "--sysroot", os.path.join(fixtures, name), "--config", config, "qos", "plan", "--json")
        expect(code == 0 and not err, f"{name}: exit {code}: {err}")
        cgroups = {c["path"]: c for c in json.loads(out)["cgroups"]}
        expect(planned(cgroups["workload.slice"])["memory.low"] == 40 * MIB, cgroups["workload.slice"])
        for task in ("task-1", "task-2"):
            got = planned(cgroups[f"workload.slice/{task}"])
            expect(set(got) == {"memory.low", "memory.high", "memory.max", "memory.swap.max", "memory.oom.group", "oom_score_adj"},
                   f"{name}: {got}")


def names_of_any_bytes(p):
    tree = node(p)
    cgroup(tree, "workload.slice/task-\udcff", [101])
    out, _ = qos(p, tree, p.config(CLASSES), "plan", "--json")
    expect(sum(c["path"] is None for c in json.loads(out)["cgroups"]) == 1, out)
    out = json.loads(qos(p, tree, p.config(CLASSES), "apply", "--json")[0])
    expect(out["failed"] == 0 and tree.read("sys/fs/cgroup/workload.slice/task-\udcff/memory.high") == str(280 * MIB), out)
    out = json.loads(qos(p, tree, p.config(CLASSES), "undo", "--json")[0])
    expect(out["failed"] == 0 and tree.read("sys/fs/cgroup/workload.slice/task-\udcff/memory.high") == "max", out)


def names_are_only_believed_where_root_made_them(p):
    """A user who may make cgroups of his own is not taken for a kubelet."""
    tree = Kubernetes(p.base, "systemd", 2)
    tree.write("sys/fs/cgroup/workload.slice/cgroup.events", "populated 1\nfrozen 0\n")
    if os.geteuid() != 0:
        return "needs root"
    os.chown(tree.path("sys/fs/cgroup/kubepods.slice"), 4711, 4711)
    cgroups, _ = plan(p, tree, tree.config(p))
    expect(all("pod" not in c for c in cgroups.values()), cgroups)
    return None


TESTS = [pods_are_planned, pods_are_planned_with_the_kubelets, pods_are_applied_and_put_back,
         classes_are_applied_and_put_back, what_is_not_asked_for_any_more, what_others_have_overwritten,
         too_much_is_refused, nothing_to_plan, recorded_trees, names_of_any_bytes,
         names_are_only_believed_where_root_made_them]
