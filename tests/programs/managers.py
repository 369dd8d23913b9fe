"""Other managers beside us, the hooks that are configured, and who would be next: what `check` and `status` say."""
import json
import os
import time

from tree import CONFIG, MIB, Tree, expect, wait_for

BATCH = "[Class batch]\nMatch=workload.slice/*\nPriority=300\nRetriable=yes\nActions=pause kill\n"


def process(tree, pid, comm, *argv, environ=""):
    tree.write(f"proc/{pid}/stat", f"{pid} ({comm}) S 1 {pid} {pid} 0 -1 4194560 0 0 0 0 1 1 0 0 20 0 1 0 5 1000000 1000 "
               "18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n")
    tree.write(f"proc/{pid}/cmdline", "".join(a + "\0" for a in argv or (comm,)))
    tree.write(f"proc/{pid}/environ", environ + "\0")


def managers(p, tree, conf=CONFIG):
    code, out, err = p.cli(tree, "--config", p.config(conf), "--json", "check")
    expect(code == 0, f"exit {code}: {out}{err}")
    return [(f["verdict"], f["text"]) for f in json.loads(out) if f["subject"] == "other manager"]


def only(found, verdict, *words):
    expect(len(found) == 1 and found[0][0] == verdict and all(w in found[0][1] for w in words), f"{words}: {found}")


def nobody(p):
    tree = Tree(p.base)
    process(tree, 700, "bash", "bash", "-c", "systemctl status earlyoom")
    process(tree, 701, "vim", "vim", "/etc/default/earlyoom")
    process(tree, 702, "python3", "python3", "-c", "nohang")
    process(tree, 703, "systemd-oom", "systemd-oom")
    process(tree, 704, "oomd-exporter", "oomd-exporter")
    only(managers(p, tree), "ok", "none is active")


def by_process(p):
    cases = (
        ("systemd-oomd", ["/usr/lib/systemd/systemd-oomd"], "warning", ("systemctl disable --now systemd-oomd.service",)),
        ("earlyoom", ["/usr/bin/earlyoom", "-r", "3600"], "warning", ("largest process", "disable --now earlyoom")),
        ("nohang", ["/usr/bin/python3", "/usr/sbin/nohang", "--monitor"], "warning", ("disable --now nohang",)),
        ("python3", ["python3", "-u", "/usr/local/sbin/nohang", "--monitor"], "warning", ("nohang runs (pid 800)",)),
        ("python3.11", ["/usr/bin/python3.11", "/opt/senpai/senpai.py", "/sys/fs/cgroup/x"], "warning", ("memory.high", "stop it")),
        ("oomd", ["/usr/bin/oomd"], "warning", ("disable --now oomd",)),
        ("lmkd", ["/usr/bin/lmkd"], "warning", ("oom_score_adj",)),
        ("psi-notify", ["psi-notify"], "ok", ("nothing to do",)),
        ("low-memory-moni", ["/usr/libexec/low-memory-monitor"], "ok", ("only tells programs",)),
        ("uresourced", ["/usr/libexec/uresourced"], "ok", ("memory.min", "user.slice")),
    )
    for comm, argv, verdict, words in cases:
        tree = Tree(p.base)
        process(tree, 800, comm, *argv)
        only(managers(p, tree), verdict, "(pid 800)", *words)
    tree = Tree(p.base)
    process(tree, 800, "earlyoom", "earlyoom")
    process(tree, 900, "earlyoom", "earlyoom")
    only(managers(p, tree), "warning", "(pid 800 and 1 more)")
    tree.write("proc/800/stat", "800 (earl")
    only(managers(p, tree), "warning", "(pid 900)")


def by_unit_and_socket(p):
    for unit in ("multi-user.target.wants/earlyoom.service", "graphical.target.wants/earlyoom.service"):
        tree = Tree(p.base)
        os.makedirs(tree.path("etc/systemd/system/" + unit.split("/")[0]))
        os.symlink("/lib/systemd/system/earlyoom.service", tree.path("etc/systemd/system/" + unit))
        only(managers(p, tree), "warning", "does not run", "at boot (earlyoom.service is enabled)", "disable --now")
    tree = Tree(p.base)
    tree.write("run/systemd/oom/io.systemd.ManagedOOM", "")
    only(managers(p, tree), "warning", "on demand (/run/systemd/oom/io.systemd.ManagedOOM is there)")
    tree = Tree(p.base)
    os.makedirs(tree.path("etc/systemd/system"))
    os.symlink("/dev/null", tree.path("etc/systemd/system/earlyoom.service"))  # masked
    only(managers(p, tree), "ok", "none is active")


def kubelet(p):
    """It acts first where its threshold is above what headroomd leaves free (SystemReserve=140M)."""
    yaml = "kind: KubeletConfiguration\nevictionHard:\n  memory.available: {}\n  nodefs.available: 10%\nother:\n  memory.available: 9Gi\n"
    cases = (
        (None, (), "ok", "under 100.0M (its default)"),
        (yaml.format('"120Mi"'), (), "ok", "under 120.0M (/var/lib/kubelet/config.yaml)"),
        (yaml.format("'500Mi'"), (), "warning", "under 500.0M"),
        (yaml.format("25%"), (), "warning", "under 256.0M"),
        (yaml.format("many"), (), "ok", "(its default)"),
        ("evictionSoft:\n  memory.available: 1Gi\nevictionHard:\n  memory.available: 100Mi\n", (), "warning", "under 1.0G"),
        (yaml.format("100Mi"), ("--eviction-hard=nodefs.available<10%,memory.available<200Mi,x<1",), "warning",
         "under 200.0M (--eviction-hard)"),
    )
    for text, options, verdict, words in cases:
        tree = Tree(p.base)
        process(tree, 800, "kubelet", "/usr/bin/kubelet", *options)
        if text:
            tree.write("var/lib/kubelet/config.yaml", text)
        found = managers(p, tree)
        only(found, verdict, words, "140.0M")
        expect(("Cure: SystemReserve=" in found[0][1]) == (verdict == "warning"), found)


def ray_and_others_of_which_it_depends(p):
    tree = Tree(p.base)
    process(tree, 800, "raylet", "raylet", environ="A=b")
    only(managers(p, tree), "warning", "RAY_memory_monitor_refresh_ms=0")
    process(tree, 800, "raylet", "raylet", environ="A=b\0RAY_memory_monitor_refresh_ms=0")
    only(managers(p, tree), "ok", "is off")
    tree = Tree(p.base)
    process(tree, 800, "low-memory-moni", "low-memory-monitor")
    tree.write("etc/low-memory-monitor.conf", "[Configuration]\nTriggerKernelOom=true\n")
    only(managers(p, tree), "warning", "TriggerKernelOom=false")
    tree = Tree(p.base)
    process(tree, 800, "oomd", "oomd")
    tree.write("etc/oomd.json", '{"rulesets": [{"plugins": ["senpai"]}]}')
    only(managers(p, tree), "warning", "senpai plugin (/etc/oomd.json)")


def limits_of_groups(p):
    tree = Tree(p.base)
    tree.write("sys/fs/cgroup/workload.slice/task-1/memory.max", f"{100 * MIB}\n")
    code, out, _ = p.cli(tree, "--config", p.config(CONFIG), "check")
    expect(code == 0 and "1 group (workload.slice/task-1) has a memory.max of its own" in out, out)


def hooks(p):
    tree = Tree(p.base)
    tree.write("usr/bin/tell", "#!/bin/sh\n")
    os.chmod(tree.path("usr/bin/tell"), 0o755)
    conf = p.config(CONFIG.replace("[Node]\n", "[Node]\nPreKill=/usr/bin/tell a\nOnLevel=/usr/bin/none\n"))
    code, out, _ = p.cli(tree, "--config", conf, "--json", "check")
    found = {f["text"]: f["verdict"] for f in json.loads(out) if f["subject"] == "hook"}
    expect(code == 0 and found == {"PreKill=/usr/bin/tell a": "ok", "OnLevel=/usr/bin/none: No such file or directory": "warning"},
           found)


def hooks_of_a_dry_run(p):
    """And of one in a tree of files: it is said what would be run, and nothing is."""
    conf = CONFIG.replace("[Node]\n", "[Node]\nPreKill=/bin/touch {0}\nPostKill=/bin/touch {0}\nOnLevel=/bin/touch {0}\n")
    for dry in (["--dry-run"], []):
        tree = Tree(p.base)
        mark = tree.path("mark")
        tree.over()
        d = p.daemon(tree, *dry, config=conf.format(mark) + BATCH)
        d.said(f'event=hook hook=PreKill action=none would_run="/bin/touch {mark}" level=critical victim=workload.slice/task-2')
        d.said("event=hook hook=OnLevel action=none")
        time.sleep(0.3)
        expect(not os.path.exists(mark), "it was run")
        expect(p.status(tree)["counters"]["hooks_run"] == 0, "it was counted")
        d.stop()


def who_is_next(p):
    tree = Tree(p.base)
    process(tree, 800, "earlyoom", "earlyoom")
    d = p.daemon(tree, "--dry-run", config=CONFIG + BATCH)
    s = wait_for("a walk", lambda: (lambda s: s if s["next"] else None)(p.status(tree)))
    found = {n["action"]: n for n in s["next"]}
    expect(found["kill"]["group"] == "workload.slice/task-2" and found["kill"]["class"] == "batch", s["next"])
    expect(found["kill"]["expected_bytes"] == 100 * MIB and "priority 300, retriable" in found["kill"]["why"], s["next"])
    expect(found["pause"]["group"] == "workload.slice/task-2" and "newest of priority 300" in found["pause"]["why"], s["next"])
    expect(found["reclaim"]["group"] is None and "no swap" in found["reclaim"]["why"], s["next"])
    expect(found["notify"]["group"] is None, s["next"])
    expect(len(s["managers"]) == 1 and "earlyoom runs (pid 800)" in s["managers"][0], s["managers"])
    expect(s["missing"] == ["this kernel has no memory.reclaim"], s["missing"])
    code, out, _ = p.cli(tree, "status")
    lines = out.splitlines()
    expect(code == 0 and any(x.startswith("level:     calm; ") and "need none" in x for x in lines), out)
    expect(any(x.strip().startswith("kill     workload.slice/task-2 (batch), frees 100.0M: ") for x in lines), out)
    expect(any(x.startswith("beside us: earlyoom runs") for x in lines), out)
    expect(p.status(tree)["counters"]["decisions"] == 0, "asking took a decision")
    d.stop()


TESTS = [nobody, by_process, by_unit_and_socket, kubelet, ray_and_others_of_which_it_depends, limits_of_groups, hooks,
         hooks_of_a_dry_run, who_is_next]
