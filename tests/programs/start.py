"""Options, configuration, and what a node may lack."""
import json
import os

from tree import CONFIG, HIGH, LIMIT, NOBODY, RESERVE, SYSTEM_LOW, Tree, expect, wait_for


def options(p):
    for program in (p.headroomd, p.headroom):
        code, out, _ = p.run(program, "--help")
        expect(code == 0 and "--sysroot DIR" in out, f"{program} --help: exit {code}: {out}")
        code, out, _ = p.run(program, "--version")
        expect(code == 0 and out.startswith(os.path.basename(program) + " "), f"--version: exit {code}: {out}")
        for argv in (["--no-such-option"], ["--sysroot"], ["--dry-run=yes"]):
            code, _, err = p.run(program, *argv)
            expect(code == 2 and err, f"{program} {argv}: exit {code}: {err}")
    code, _, err = p.run(p.headroomd, "--check-config", "something")
    expect(code == 2 and "something" in err, f"an argument: exit {code}: {err}")
    for argv in ([], ["no-such-command"], ["status", "x"], ["check", "x"], ["undo", "x"]):
        code, out, err = p.run(p.headroom, *argv)
        expect(code == 2 and err and not out, f"headroom {argv}: exit {code}: {out}{err}")


def check_config(p):
    good = p.config(CONFIG + "[Class batch]\nMatch=workload.slice/*\nPriority=300\n")
    code, _, err = p.run(p.headroomd, "--check-config", "--config", good)
    expect(code == 0 and f"{good}: good" in err, f"exit {code}: {err}")
    cases = (
        ("[Node]\n\nSystemReserv=1G\n", ":3:", "SystemReserve"),
        ("[Node]\nSystemReserve=512\n", ":2:", "SystemReserve"),
        ("[Node]\nSystemReserve=10s\n", ":2:", "SystemReserve"),
        ("[Node]\nMode=isolated\n", ":2:", "isolate"),
        ("[Nod]\nMode=auto\n", ":1:", "Node"),
        ("[Monitor]\nPressure=some 150 1s\n", ":2:", "Pressure"),
        ("[Class batch]\nPriority=300\n", ":1:", "Match"),
        ("[Class batch]\nMatch=a/*\nActions=kil\n", ":3:", "kill"),
        ("[Node]\nWorkload=system.slice/batch\n", ":2:", "system.slice/batch"),
        ("[Node]\nWorkload=a.slice\nProtect=a.slice/b\n", ":3:", "a.slice/b"),
        ("Mode=auto\n", ":1:", ""),
    )
    for text, place, words in cases:
        bad = p.config(text)
        code, _, err = p.run(p.headroomd, "--check-config", "--config", bad)
        expect(code == 3 and bad + place in err and words in err, f"{text!r}: exit {code}: {err}")
    for path in ("/no/such/file", "/"):
        code, _, err = p.run(p.headroomd, "--check-config", "--config", path)
        expect(code == 3 and path in err, f"{path}: exit {code}: {err}")


def bad_config_stops_the_start(p):
    tree = Tree(p.base)
    before = tree.knobs()
    for text, words in (("[Node]\nSystemReserv=1G\n", "SystemReserve"),
                        ("[Node]\nWorkload=system.slice/x\n", "Protect=system.slice")):
        code, _, err = p.once(tree, config=text)
        expect(code == 3 and words in err, f"exit {code}: {err}")
    expect(tree.knobs() == before and not os.path.exists(tree.path("run")), "something was written")


def class_without_groups(p):
    tree = Tree(p.base)
    conf = p.config(CONFIG + "[Class batch]\nMatch=workload.slice/task-*\n[Class none]\nMatch=workload.slice/job-*\n"
                    "[Class outside]\nMatch=system.slice/*\n")
    code, out, err = p.cli(tree, "--config", conf, "--json", "check")
    expect(code == 0, f"exit {code}: {out}{err}")
    found = {f["text"].split("]")[0]: f for f in json.loads(out) if f["subject"] == "class"}
    expect(found["[Class batch"]["verdict"] == "ok" and "2 groups" in found["[Class batch"]["text"], out)
    expect(found["[Class none"]["verdict"] == "warning" and "line 7" in found["[Class none"]["text"], out)
    expect(found["[Class outside"]["verdict"] == "warning", out)


def class_beyond_the_workload(p):
    """headroomd looks only below the workloads: `check` must not count what it will never see."""
    tree = Tree(p.base)
    tree.group("other.slice", 0)
    tree.group("other.slice/job", 0, pid=103, start=5)
    conf = p.config(CONFIG + "[Class batch]\nMatch=other.slice/*\n")
    code, out, _ = p.cli(tree, "--config", conf, "check")
    expect(code == 0 and "[Class batch] matches no group" in out, out)


def check_bad_config(p):
    code, out, _ = p.cli(Tree(p.base), "--config", p.config("[Node]\nMod=auto\n"), "check")
    expect(code == 1 and "FAIL" in out and ":2:" in out, f"exit {code}: {out}")


def check_gaps(p):
    cases = (
        (Tree(p.base, cgroup=False), "there is no cgroup v2 hierarchy"),
        (Tree(p.base, psi=False), "boot with psi=1"),
        (Tree(p.base, options="ro"), "read-only"),
        (Tree(p.base, workload=False), "workload.slice is not there"),
    )
    for tree, words in cases:
        code, out, err = p.cli(tree, "--config", p.config(CONFIG), "check")
        expect(code == 0 and words in out and "warning" in out, f"{words}: exit {code}: {out}{err}")
    code, _, err = p.run(p.headroom, "--sysroot", "/no/such/dir", "check")
    expect(code == 1 and "/no/such/dir" in err, f"exit {code}: {err}")


def two_daemons(p):
    tree = Tree(p.base)
    first = p.daemon(tree)
    code, _, err = p.once(tree)
    expect(code == 4 and f"pid {first.pid} " in err, f"exit {code}: {err}")
    first.stop()
    p.daemon(tree).stop()


def start_without(p, tree, words):
    """Mode=auto: goes on as host, and says why; Mode=isolate: does not start, and says why."""
    before = tree.knobs()
    d = p.daemon(tree)
    line = d.said("event=start ")
    expect("mode=host" in line and words in line, line)
    expect(words in p.status(tree)["mode_reason"], "status has another reason")
    d.stop()
    code, _, err = p.once(tree, config=CONFIG.replace("Mode=auto", "Mode=isolate"))
    expect(code == 5 and words in err, f"exit {code}: {err}")
    expect(tree.knobs() == before, "a knob was written")


def no_cgroup_v2(p):
    start_without(p, Tree(p.base, cgroup=False), "there is no cgroup v2 hierarchy")


def no_memory_controller(p):
    tree = Tree(p.base)
    tree.write("sys/fs/cgroup/cgroup.controllers", "cpu io pids\n")
    start_without(p, tree, "no memory controller")


def read_only_hierarchy(p):
    start_without(p, Tree(p.base, options="ro"), "read-only")


def container(p):
    tree = Tree(p.base)
    tree.group(".", 250 << 20)
    tree.write("sys/fs/cgroup/cgroup.procs", "")
    tree.write("sys/fs/cgroup/memory.max", f"{1 << 29}\n")
    d = p.daemon(tree)
    line = d.said("event=start ")
    expect("mode=host" in line and "container" in line and f"limit={(1 << 29) - (128 << 20)}" in line, line)
    d.stop()


def no_workload(p):
    tree = Tree(p.base, workload=False)
    d = p.daemon(tree, config="[Node]\nMode=auto\n")
    expect("no workload is populated" in d.said("event=start "), d.log())
    code, _, err = p.once(Tree(p.base, workload=False), config="[Node]\nMode=isolate\n")
    expect(code == 5 and "no workload is populated" in err, f"exit {code}: {err}")
    tree.workload()  # as at boot, where the daemon is there before the work is
    expect("mode=isolate" in d.said("event=workload ", 30), d.log())
    wait_for("memory.high", lambda: tree.read(HIGH) != "max")
    expect(p.status(tree)["mode"] == "isolate", p.status(tree)["mode"])
    d.stop()
    expect(tree.read(HIGH) == "max", "memory.high is not put back")


def empty_workload(p):
    tree = Tree(p.base)
    tree.write("sys/fs/cgroup/workload.slice/cgroup.events", "populated 0\nfrozen 0\n")
    d = p.daemon(tree)
    d.said("workload.slice is empty")
    expect(any("is empty" in w for w in p.status(tree)["warnings"]), "not in the status")
    d.stop()


def no_psi(p):
    tree = Tree(p.base, psi=False)
    d = p.daemon(tree)
    d.said("psi=1")
    expect(any("psi=1" in w for w in p.status(tree)["warnings"]), "not in the status")
    wait_for("memory.high", lambda: tree.read(HIGH) == str(LIMIT))
    d.stop()


def no_meminfo(p):
    tree = Tree(p.base)
    os.unlink(tree.path("proc/meminfo"))
    code, _, err = p.once(tree)
    expect(code == 5 and "meminfo" in err, f"exit {code}: {err}")
    code, out, _ = p.cli(tree, "check")
    expect(code == 1 and "meminfo" in out, f"check: exit {code}: {out}")
    code, _, err = p.run(p.headroomd, "--sysroot", "/no/such/dir")
    expect(code == 5 and "/no/such/dir" in err, f"exit {code}: {err}")


def no_privilege(p):
    if os.geteuid() != 0:
        return "needs root, to give it up"
    tree = Tree(p.base)
    before = tree.knobs()
    os.makedirs(tree.path("run"))
    code, _, err = p.once(tree, user=NOBODY)
    expect(code == 5 and "run/headroom" in err and "Permission denied" in err, f"exit {code}: {err}")
    os.makedirs(tree.path("run/headroom"))
    os.chown(tree.path("run/headroom"), NOBODY, NOBODY)
    d = p.daemon(tree, user=NOBODY)
    d.said("memory.low cannot be set: Permission denied")
    expect(p.status(tree)["counters"]["knob_failures"] > 0, "not counted")
    d.said("memory.high .*(cannot be set|could not be written): Permission denied")
    d.stop()
    expect(tree.knobs() == before, "a knob was written")
    return None


def dry_run(p):
    tree = Tree(p.base)
    before = tree.knobs()
    d = p.daemon(tree, "--dry-run")
    tree.over()
    grown = tree.knobs()
    line = d.said("decision=1 ")
    expect("action=kill dry_run=yes" in line and "victim=workload.slice/task-2" in line, line)
    status = p.status(tree)
    expect(status["dry_run"] and status["counters"]["kills"] == 0, status["counters"])
    d.stop()
    expect(tree.knobs() == grown and set(before) == set(grown), "something was written")
    expect(not os.path.exists(tree.path("run/headroom/journal")), "a journal was written")


def knobs_at_start(p):
    tree = Tree(p.base)
    d = p.daemon(tree)
    wait_for("memory.high", lambda: tree.read(HIGH) == str(LIMIT))
    expect(tree.read(SYSTEM_LOW) == str(RESERVE), tree.read(SYSTEM_LOW))
    d.stop()


TESTS = [options, check_config, bad_config_stops_the_start, class_without_groups, class_beyond_the_workload,
         check_bad_config, check_gaps, two_daemons, no_cgroup_v2, no_memory_controller, read_only_hierarchy, container,
         no_workload, empty_workload, no_psi, no_meminfo, no_privilege, dry_run, knobs_at_start]
