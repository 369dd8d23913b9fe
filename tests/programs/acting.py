"""The acting mode over a tree: knobs and what becomes of them, and a kill."""
import ctypes
import json
import os
import re
import signal
import time

from tree import (CONFIG, HIGH, LIMIT, RESERVE, SLICE, SYSTEM_LOW, Tree, expect, wait_for)


def guarded(p, tree, **kwargs):
    """A daemon whose knobs stand."""
    d = p.daemon(tree, **kwargs)
    wait_for("memory.high", lambda: tree.read(HIGH) == str(LIMIT))
    wait_for("memory.low", lambda: tree.read(SYSTEM_LOW) == str(RESERVE))
    return d


def undo(p, tree):
    code, out, err = p.cli(tree, "--json", "undo")
    expect(code == 0, f"undo: exit {code}: {out}{err}")
    return json.loads(out)


def stop_restores(p):
    tree = Tree(p.base)
    before = tree.knobs()
    d = guarded(p, tree)
    journal = tree.read("run/headroom/journal")
    expect(f"knob=memory.high was=max ours={LIMIT} path=workload.slice" in journal, journal)
    expect(f"knob=memory.low was=0 ours={RESERVE} path=system.slice" in journal, journal)
    code, _, err = p.cli(tree, "undo")
    expect(code == 1 and "headroomd runs" in err, f"undo beside it: exit {code}: {err}")
    d.stop()
    expect("restored=2 left=0 failed=0" in d.log(), d.log())
    expect(tree.knobs() == before, "not as before")
    expect(not os.path.exists(tree.path("run/headroom/headroom.sock")), "the socket is left")
    code, _, _ = p.cli(tree, "status")
    expect(code == 6, f"status of nobody: exit {code}")
    expect(undo(p, tree) == {"restored": 0, "left": 0, "failed": 0}, "something left to undo")


def killed_and_undone(p):
    tree = Tree(p.base)
    before = tree.knobs()
    guarded(p, tree).kill()
    expect(tree.read(HIGH) == str(LIMIT), "nobody was there to put it back")
    expect(undo(p, tree) == {"restored": 2, "left": 0, "failed": 0}, "not all restored")
    expect(tree.knobs() == before, "not as before")


def killed_restarted_and_stopped(p):
    tree = Tree(p.base)
    before = tree.knobs()
    guarded(p, tree).kill()
    d = guarded(p, tree)
    expect("adopted=2 restored=0" in d.said("event=journal"), d.log())
    d.stop()
    expect(tree.knobs() == before, "not as before")


def killed_and_started_with_another_configuration(p):
    tree = Tree(p.base)
    before = tree.knobs()
    guarded(p, tree).kill()
    d = p.daemon(tree, config="[Node]\nMode=host\n")
    expect("adopted=0 restored=2" in d.said("event=journal"), d.log())
    expect(tree.knobs() == before, "not as before")
    d.stop()
    guarded(p, tree).kill()
    d = p.daemon(tree, config=CONFIG.replace("140M", "200M"))
    wait_for("the new limit", lambda: tree.read(HIGH) == str((1024 - 200) << 20))
    d.stop()
    expect(tree.knobs() == before, "not as before the first of them")


def another_boot(p):
    tree = Tree(p.base)
    guarded(p, tree).kill()
    tree.write("proc/sys/kernel/random/boot_id", "another\n")
    expect(undo(p, tree)["restored"] == 0, "a journal of another boot was believed")
    expect(tree.read(HIGH) == str(LIMIT), "written")


def journal_torn(p):
    """Cut at each of many places: undo never fails, and restores what was whole."""
    tree = Tree(p.base)
    guarded(p, tree).kill()
    journal = tree.read("run/headroom/journal") + "\n"
    knobs = tree.knobs()
    for cut in list(range(0, len(journal), 7)) + [len(journal)]:
        tree.write("run/headroom/journal", journal[:cut])
        for path in (HIGH, SYSTEM_LOW):
            tree.write(path, knobs[path])
        whole = journal[:cut].rpartition("\n")[0].count("lease ")
        expect(undo(p, tree)["restored"] == whole, f"cut at {cut}: not {whole} restored")


def others_value_is_left(p):
    tree = Tree(p.base)
    d = guarded(p, tree)
    tree.write(HIGH, "123456789\n")
    d.kill()
    result = undo(p, tree)
    expect(result == {"restored": 1, "left": 1, "failed": 0}, result)
    expect(tree.read(HIGH) == "123456789", tree.read(HIGH))


def value_set_meanwhile_is_put_back(p):
    """Somebody asks for less while we run: that is what is kept, and what stands in the end."""
    tree = Tree(p.base)
    d = guarded(p, tree)
    tree.write(HIGH, f"{500 << 20}\n")
    wait_for("the tighter limit", lambda: p.status(tree)["room"]["limit_bytes"] == 500 << 20)
    time.sleep(2.5)
    expect(tree.read(HIGH) == str(500 << 20), tree.read(HIGH))
    tree.write(HIGH, "max\n")
    wait_for("ours again", lambda: tree.read(HIGH) == str(LIMIT))
    d.stop()
    expect(tree.read(HIGH) == "max", tree.read(HIGH))


def new_cgroup_of_the_name_is_left(p):
    tree = Tree(p.base)
    d = guarded(p, tree)
    d.kill()
    os.rename(tree.path(SLICE), tree.path("aside"))
    tree.workload()
    tree.write(HIGH, f"{LIMIT}\n")
    result = undo(p, tree)
    expect(result == {"restored": 1, "left": 1, "failed": 0}, result)
    expect(tree.read(HIGH) == str(LIMIT), "somebody else's knob was written")


def workload_comes_and_goes(p):
    tree = Tree(p.base, workload=False)
    d = p.daemon(tree)
    expect("1 of the workloads" in d.log() and "not there" in d.log(), d.log())
    expect(not p.status(tree)["workloads"][0]["present"], "present")
    tree.workload()
    wait_for("memory.high", lambda: tree.read(HIGH) == str(LIMIT))
    expect(p.status(tree)["workloads"][0]["present"], "not present")
    os.rename(tree.path(SLICE), tree.path("gone"))
    time.sleep(2.5)
    expect(p.status(tree)["counters"]["looks_failed"] == 0, "a workload that vanishes is no failure")
    tree.workload()
    wait_for("memory.high of the new one", lambda: tree.read(HIGH) == str(LIMIT))
    d.stop()
    expect(tree.read(HIGH) == "max", tree.read(HIGH))


def kills_the_newest(p):
    tree = Tree(p.base)
    d = guarded(p, tree)
    tree.over()
    tree.event(high=5)
    wait_for("cgroup.kill", lambda: tree.read(SLICE + "/task-2/cgroup.kill") == "1")
    tree.calm()
    tree.write(SLICE + "/task-2/cgroup.events", "populated 0\nfrozen 0\n")
    line = d.said("decision=1 ")
    fields = dict(re.findall(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|\S+)', line))
    expect(fields["action"] == "kill" and fields["victim"] == "workload.slice/task-2", line)
    expect(fields["gone"] == "1" and fields["stuck"] == "0" and fields["failed"] == "0", line)
    expect(int(fields["need"]) > 0 and int(fields["freed"]) > 0 and int(fields["outcome_us"]) > 0, line)
    expect(tree.read(SLICE + "/task-1/cgroup.kill") == "", "task-1 was killed, too")
    expect(p.status(tree)["counters"]["kills"] == 1, "not counted")
    code, out, _ = p.cli(tree, "explain", "--json")
    expect(code == 0 and json.loads(out)["victims"][0]["group"] == "workload.slice/task-2", out)
    expect({row["verdict"] for row in json.loads(out)["considered"]} == {"culprit", "higher-tier"}, out)
    code, out, _ = p.cli(tree, "explain", "1")
    expect(code == 0 and "workload.slice/task-2" in out and "workload.slice/task-1" in out, out)
    code, out, _ = p.cli(tree, "explain", "99")
    expect(code == 1, out)
    code, out, _ = p.cli(tree, "events", "--since", "1h")
    expect(code == 0 and len(out.splitlines()) == 1 and "workload.slice/task-2" in out, out)
    code, out, _ = p.cli(tree, "events", "--since", "5")
    expect(code == 2, out)
    time.sleep(0.5)
    expect(d.log().count("decision=") == 1, d.log())
    d.stop()


def numa_node(tree, node, used):
    """Of 512 MiB, and of one width."""
    tree.write(f"sys/devices/system/node/node{node}/meminfo", f"Node {node} MemTotal: {512 << 10:12} kB\n"
               f"Node {node} MemFree: {(512 << 10) - used // 1024:12} kB\n")


def numa_group(tree, group, node, anon):
    tree.stat(group, anon)
    tree.write(f"sys/fs/cgroup/{group}/cpuset.mems.effective", f"{node}\n")
    held = [anon if n == node else 0 for n in (0, 1)]
    tree.write(f"sys/fs/cgroup/{group}/memory.numa_stat",
               f"anon N0={held[0]:020} N1={held[1]:020}\nshmem N0=0 N1=0\nkernel_stack N0=0 N1=0\n")


def kills_where_it_is_short(p):
    """The older task has filled the NUMA node that it is bound to; the newer one is bound to the other."""
    tree = Tree(p.base)
    tree.write("sys/devices/system/node/has_memory", "0-1\n")
    numa_node(tree, 0, 150 << 20)
    numa_node(tree, 1, 150 << 20)
    numa_group(tree, "workload.slice/task-1", 0, 100 << 20)
    numa_group(tree, "workload.slice/task-2", 1, 100 << 20)
    d = guarded(p, tree)
    wait_for("the sets", lambda: "nodes_room" in p.status(tree))
    tree.meminfo(used=650 << 20)
    tree.stat("workload.slice", 500 << 20)
    numa_group(tree, "workload.slice/task-1", 0, 400 << 20)
    numa_node(tree, 0, 500 << 20)
    wait_for("cgroup.kill", lambda: tree.read(SLICE + "/task-1/cgroup.kill") == "1")
    numa_node(tree, 0, 100 << 20)
    tree.calm()
    tree.write(SLICE + "/task-1/cgroup.events", "populated 0\nfrozen 0\n")
    line = d.said("decision=1 ")
    expect(" action=kill " in line and " nodes=0 " in line and " victim=workload.slice/task-1 " in line, line)
    expect(" gone=1 " in line and " need_after=0 " in line, line)
    expect(tree.read(SLICE + "/task-2/cgroup.kill") == "", "task-2 was killed, too")
    code, out, _ = p.cli(tree, "explain", "--json", "1")
    rows = {row["group"]: row["verdict"] for row in json.loads(out)["considered"]}
    expect(code == 0 and rows["workload.slice/task-2"] == "elsewhere", out)
    expect(json.loads(out)["room"]["nodes"] == "0", out)
    time.sleep(0.5)
    expect(d.log().count("decision=") == 1, d.log())
    d.stop()


def victim_that_stays(p):
    """The first one does not die: after KillDeadline it is recorded as stuck, and the next one is taken."""
    tree = Tree(p.base)
    tree.stat("workload.slice/task-1", 300 << 20)
    d = guarded(p, tree, config=CONFIG + "KillDeadline=1s\n")
    tree.over()
    wait_for("cgroup.kill of task-2", lambda: tree.read(SLICE + "/task-2/cgroup.kill") == "1")
    expect(tree.read(SLICE + "/task-1/cgroup.kill") == "", "both at once")
    expect("gone=0 stuck=1" in d.said("decision=1 "), d.log())
    wait_for("cgroup.kill of task-1", lambda: tree.read(SLICE + "/task-1/cgroup.kill") == "1")
    tree.calm()
    d.stop()


def nobody_to_kill(p):
    tree = Tree(p.base)
    d = guarded(p, tree, config=CONFIG + "[Class keep]\nMatch=workload.slice/*\nPriority=1000\n")
    tree.over()
    line = d.said("action=no-candidate")
    expect("candidates=0" in line, line)
    time.sleep(2)
    expect(d.log().count("decision=") < 3, "the same is said again and again")
    for task in ("task-1", "task-2"):
        expect(tree.read(f"{SLICE}/{task}/cgroup.kill") == "", f"{task} was killed")
    d.stop()


def look_fails(p):
    """What cannot be read is not acted on, and is said; it goes on by itself."""
    tree = Tree(p.base)
    d = guarded(p, tree)
    good = tree.read(SLICE + "/memory.stat")
    tree.write(SLICE + "/memory.stat", "anon 999999999999999999999999\n")
    d.said("event=look-failed")
    expect(p.status(tree)["counters"]["looks_failed"] > 0, "not counted")
    tree.write(SLICE + "/memory.stat", good + "\n")
    looks = p.status(tree)["counters"]
    wait_for("good looks", lambda: p.status(tree)["counters"]["looks"] > looks["looks"] + 1)
    expect(tree.read(SLICE + "/task-2/cgroup.kill") == "", "killed without knowing")
    d.stop()


def stopped_and_continued(p):
    """In a tree the guardian only watches: nothing is fenced, and the daemon goes on where it stood."""
    tree = Tree(p.base)
    d = guarded(p, tree)
    knobs = tree.knobs()
    d.signal(signal.SIGSTOP)
    time.sleep(3.5)
    expect(tree.knobs() == knobs, "a knob was changed")
    d.signal(signal.SIGCONT)
    expect(p.status(tree)["guardian_running"], "the guardian is gone")
    d.stop()
    expect("fence" not in d.log(), d.log())


def full_inotify_queue(p):
    """What was dropped cannot be told: it looks, and says why."""
    tree = Tree(p.base)
    tree.group("user.slice", 0)
    tree.group("user.slice/a", 0, pid=103, start=5)
    d = p.daemon(tree, config=CONFIG.replace("Workload=workload.slice", "Workload=workload.slice user.slice"))
    wait_for("both guarded", lambda: tree.read("sys/fs/cgroup/user.slice/memory.high") != "max")
    time.sleep(2.5)  # the watches are set up with the second look at the latest
    with open("/proc/sys/fs/inotify/max_queued_events") as f:
        length = int(f.read())
    d.signal(signal.SIGSTOP)
    fds = [os.open(tree.path(f"sys/fs/cgroup/{s}.slice/memory.events.local"), os.O_WRONLY) for s in ("workload", "user")]
    for _ in range(length // 2 + 100):  # in turn, since the kernel makes one of two equal events in a row
        for fd in fds:
            os.pwrite(fd, b"low 0", 0)
    for fd in fds:
        os.close(fd)
    tree.over()
    d.signal(signal.SIGCONT)
    expect("trigger=event detail=overflow" in d.said("decision=1 "), d.log())
    tree.calm()
    d.stop()


def companions_end(p):
    """The worker and the guardian of a daemon that was killed do not outlive it."""
    tree = Tree(p.base)
    d = guarded(p, tree)
    expect(len(d.companions) == 2, d.companions)
    d.kill()
    wait_for("its companions to end", lambda: all(not os.path.exists(f"/proc/{c}") or
                                                  open(f"/proc/{c}/stat").read().rsplit(")", 1)[1].split()[0] == "Z"
                                                  for c in d.companions), 10)


def full_file_system(p):
    if not p.may_mount:
        return "mounting is not allowed here"
    tree = Tree(p.base)
    before = tree.knobs()
    runtime = tree.path("run/headroom")
    os.makedirs(runtime)
    expect(ctypes.CDLL(None).mount(b"none", runtime.encode(), b"tmpfs", 0, b"size=16k") == 0, "mount")
    os.makedirs(tree.path("run/headroom"), exist_ok=True)
    tree.write("run/headroom/lock", "")
    filler = os.open(os.path.join(runtime, "filler"), os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(filler, b"x" * 1024)
    except OSError:
        pass
    d = p.daemon(tree)
    d.said("knobs are not changed")
    time.sleep(2.5)
    expect(tree.knobs() == before, "a knob was changed")
    expect(any("journal" in w for w in p.status(tree)["warnings"]), "not in the status")
    d.stop()
    os.ftruncate(filler, 0)
    guarded(p, tree).kill()
    try:
        while True:
            os.write(filler, b"x" * 1024)
    except OSError:
        pass
    os.close(filler)
    expect(undo(p, tree) == {"restored": 2, "left": 0, "failed": 0}, "a full file system keeps us from undoing")
    expect(tree.knobs() == before, "not as before")
    return None


def pauses_are_undone(p):
    """What a daemon that was killed has paused runs again; what others froze or thawed is left."""
    tree = Tree(p.base)
    for name in ("task-3", "task-4"):
        tree.group(f"workload.slice/{name}", 0)
    before = tree.knobs()
    tree.paused("workload.slice/task-2", "workload.slice/task-1", "workload.slice/task-3")
    tree.write(SLICE + "/task-3/cgroup.freeze", "0\n")
    tree.write(SLICE + "/task-4/cgroup.freeze", "1\n")
    result = undo(p, tree)
    expect(result == {"restored": 2, "left": 1, "failed": 0}, result)
    expect(tree.read(SLICE + "/task-4/cgroup.freeze") == "1", "somebody else's freeze was undone")
    tree.write(SLICE + "/task-4/cgroup.freeze", "0\n")
    expect(tree.knobs() == before, "not as before")
    expect(undo(p, tree) == {"restored": 0, "left": 0, "failed": 0}, "something left to undo")


def stopped_process_of_a_tree_is_left(p):
    """In a tree that is not this machine a pid is somebody else's: nothing is signalled, and that is said."""
    tree = Tree(p.base)
    tree.paused("workload.slice/task-1")
    with open(tree.path("run/headroom/journal"), "a") as f:
        f.write("lease id=20000000 knob=SIGSTOP:102 was=0 ours=1 path=workload.slice/task-2\n")
    code, out, err = p.cli(tree, "--json", "undo")
    expect(code == 1 and json.loads(out) == {"restored": 1, "left": 0, "failed": 1}, f"exit {code}: {out}{err}")
    expect(tree.read(SLICE + "/task-1/cgroup.freeze") == "0", "one that fails keeps the others")


def pauses_of_a_class_that_may_not(p):
    """A start lets run what the configuration does not pause any more, and keeps what it still does."""
    for actions, frozen, found in (("reclaim kill", "0", "adopted=0 restored=2"), ("pause kill", "1", "adopted=2 restored=0")):
        tree = Tree(p.base)
        tree.paused("workload.slice/task-2", "workload.slice/task-1")
        d = p.daemon(tree, config=CONFIG + f"[Class batch]\nMatch=workload.slice/*\nActions={actions}\n")
        expect(found in d.said("event=journal"), d.log())
        if frozen == "0":
            expect(tree.read(SLICE + "/task-1/cgroup.freeze") == "0", f"with {actions}")
        d.stop()
        for task in ("task-1", "task-2"):
            expect(tree.read(f"{SLICE}/{task}/cgroup.freeze") == "0", f"{task} is frozen after a stop, with {actions}")


def full_file_system_keeps_nobody_paused(p):
    if not p.may_mount:
        return "mounting is not allowed here"
    tree = Tree(p.base)
    runtime = tree.path("run/headroom")
    os.makedirs(runtime)
    expect(ctypes.CDLL(None).mount(b"none", runtime.encode(), b"tmpfs", 0, b"size=16k") == 0, "mount")
    tree.write("run/headroom/lock", "")
    tree.paused("workload.slice/task-1", "workload.slice/task-2")
    with open(os.path.join(runtime, "filler"), "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"x" * 1024)
        except OSError:
            pass
    d = p.daemon(tree, config=CONFIG + "[Class batch]\nMatch=workload.slice/*\nActions=pause kill\n")
    d.said("knobs are not changed")
    for task in ("task-1", "task-2"):
        expect(tree.read(f"{SLICE}/{task}/cgroup.freeze") == "0", f"{task} stays frozen")
    d.stop()
    return None


TESTS = [full_file_system_keeps_nobody_paused, pauses_are_undone, stopped_process_of_a_tree_is_left, pauses_of_a_class_that_may_not, stop_restores, killed_and_undone, killed_restarted_and_stopped, killed_and_started_with_another_configuration,
         another_boot, journal_torn, others_value_is_left, value_set_meanwhile_is_put_back,
         new_cgroup_of_the_name_is_left, workload_comes_and_goes, kills_the_newest, kills_where_it_is_short, victim_that_stays, nobody_to_kill,
         look_fails, stopped_and_continued, full_inotify_queue, companions_end, full_file_system]
