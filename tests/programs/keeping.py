"""The plan of memory QoS as headroomd keeps it: over drift, reloads, crashes and stops; on a tree of files."""
import ctypes
import json
import os
import signal
import time

from qos import CLASSES, GIB, NODE, Kubernetes, cgroup, meminfo, node, plan, planned, process, qos
from reload import Files, companion, daemon, good
from tree import MIB, CONFIG, expect, has_ended, wait_for

TASK = "sys/fs/cgroup/workload.slice/task-1"
HIGH = f"{TASK}/memory.high"
OURS = str(280 * MIB)
LOOK = 2


def is_read(tree, path, value):
    return lambda: tree.read(path) == value


def keeper(d):
    """The guardian's child of that name."""
    guardian = companion(d, "headroomd-guard")
    def find():
        with open(f"/proc/{guardian}/task/{guardian}/children") as f:
            for pid in f.read().split():
                with open(f"/proc/{pid}/comm") as comm:
                    if comm.read().strip() == "headroomd-qos":
                        return int(pid)
        return None
    return wait_for("a keeper", find, 10)


def kept(p, tree, config=CLASSES, **kwargs):
    d = p.daemon(tree, config=config, **kwargs)
    wait_for("the plan", is_read(tree, HIGH, OURS), 10)
    wait_for("the score", is_read(tree, "proc/101/oom_score_adj", "700"), 10)
    # A file here can be found cut short where its writer is killed, which no kernel file can: the look has to end.
    wait_for("a whole look", lambda: p.status(tree).get("qos", {}).get("leases", 0) > 0, 10)
    return d


def drifts(p, tree):
    code, out, err = p.cli(tree, "events", "--json")
    expect(code == 0, f"events: exit {code}: {err}")
    events = [json.loads(line) for line in out.splitlines()]
    return [(v["group"], v["knob"], v["ours"], v["found"], v["done"]) for e in events if e["action"] == "drift"
            for v in e["victims"]]


def drifts_of(p, tree, wanted, seconds):
    """Waits for one drift of each of the knobs, and says which are missing where they do not come."""
    until = time.monotonic() + seconds
    while True:
        got = [f"sys/fs/cgroup/{group}/{knob}" for group, knob, *_ in drifts(p, tree)]
        if len(got) >= len(wanted) or time.monotonic() > until:
            break
        time.sleep(0.02)
    missing = [(k, tree.read(k)) for k in wanted if k not in got]
    more = sorted(k for k in set(got) if k not in wanted or got.count(k) > 1)
    expect(not missing and not more, f"{len(got)} events of {len(wanted)} knobs: {len(missing)} are missing: {missing[:5]}; "
           f"not wanted or twice: {more[:5]}; status: {p.status(tree)['qos']}")


def differs(before, after):
    return {k: (before[k], v) for k, v in after.items() if k in before and before[k] != v}


def kept_from_start_to_stop(p):
    tree = node(p)
    before = tree.knobs()
    d = kept(p, tree)
    wait_for("status", lambda: p.status(tree).get("qos", {}).get("leases", 0) > 10, 10)
    expect("knobs kept of" in p.cli(tree, "status")[1], "status does not say that it is kept")
    config = p.config(CLASSES)
    for what in ("apply", "undo"):
        began = time.monotonic()
        _, err = qos(p, tree, config, what, code=1)
        expect(f"headroom qos {what}: headroomd runs and keeps the plan itself" in err, err)
        expect(time.monotonic() - began < 2, "it was waited for")
    out, _ = qos(p, tree, config, "plan")
    expect("280.0M" in out, out)
    # Who comes is in it with the next look.
    cgroup(tree, "workload.slice/task-9", [190])
    process(tree, 190, 5)
    began = time.monotonic()
    wait_for("the new group", is_read(tree, "sys/fs/cgroup/workload.slice/task-9/memory.high", OURS), 10)
    print(f"     a group that comes is planned after {time.monotonic() - began:.1f} s", flush=True)
    wait_for("its score", is_read(tree, "proc/190/oom_score_adj", "700"), 5)
    # So is a new process of a group that was there.
    process(tree, 191, 0, start=300)
    tree.write(f"{TASK}/cgroup.procs", "101\n111\n191\n")
    wait_for("a new process's score", is_read(tree, "proc/191/oom_score_adj", "700"), 10)
    expect(drifts(p, tree) == [], drifts(p, tree))
    # Not one write more than is needed.
    stamp = os.stat(tree.path(HIGH)).st_mtime_ns
    journal = os.stat(tree.path("run/headroom/journal-qos")).st_size
    time.sleep(2 * LOOK + 1)
    expect(os.stat(tree.path(HIGH)).st_mtime_ns == stamp, "written again, though it stands")
    expect(os.stat(tree.path("run/headroom/journal-qos")).st_size == journal, "the journal grows")
    d.stop()
    tree.write(f"{TASK}/cgroup.procs", "101\n111\n")
    expect(differs(before, tree.knobs()) == {}, differs(before, tree.knobs()))
    expect(tree.read("sys/fs/cgroup/workload.slice/task-9/memory.high") == "max", "task-9")
    expect([tree.read(f"proc/{pid}/oom_score_adj") for pid in (101, 102, 103, 111, 190, 191)] ==
           ["0", "0", "-500", "200", "5", "0"], "scores")


def set_again_once(p):
    tree = node(p)
    d = kept(p, tree)
    tree.write(HIGH, "max\n")
    wait_for("ours again", is_read(tree, HIGH, OURS), 10)
    tree.write(HIGH, f"{290 * MIB}\n")
    # Tighter is his at once; a score, too.
    low = "sys/fs/cgroup/workload.slice/task-2/memory.high"
    tree.write(low, f"{50 * MIB}\n")
    tree.write("proc/111/oom_score_adj", "5\n")
    wait_for("four drifts", lambda: len(drifts(p, tree)) >= 4, 10)
    time.sleep(2 * LOOK + 1)
    expect(tree.read(HIGH) == str(290 * MIB) and tree.read(low) == str(50 * MIB), tree.read(HIGH))
    expect(tree.read("proc/111/oom_score_adj") == "5", "a score was fought for")
    tree.write(HIGH, "max\n")
    tree.write("proc/111/oom_score_adj", "6\n")
    time.sleep(LOOK + 1)
    expect(tree.read(HIGH) == "max" and tree.read("proc/111/oom_score_adj") == "6", "it is still fought for")
    expect(sorted(drifts(p, tree), key=str) == sorted([
        ("workload.slice/task-1", "memory.high", 280 * MIB, None, "reapplied"),
        ("workload.slice/task-1", "memory.high", 280 * MIB, 290 * MIB, "yielded"),
        ("workload.slice/task-2", "memory.high", 280 * MIB, 50 * MIB, "yielded"),
        ("workload.slice/task-1", "oom_score_adj:111", 700, 5, "yielded")], key=str), drifts(p, tree))
    out = p.cli(tree, "events")[1]
    expect("workload.slice/task-1 memory.high: ours was 293601280, somebody set max; set again, once" in out, out)
    expect("; left to him" in p.cli(tree, "explain", "1")[1] + p.cli(tree, "explain", "2")[1], "explain")
    d.said("action=drift group=workload.slice/task-1 class=batch knob=memory.high ours=293601280 found=max done=reapplied")
    expect(p.status(tree)["qos"]["yielded"] == 3, p.status(tree)["qos"])
    d.stop()
    expect(tree.read(HIGH) == "max" and tree.read(low) == str(50 * MIB), "theirs is not left on the way out")
    expect(tree.read("proc/111/oom_score_adj") == "6" and tree.read("proc/101/oom_score_adj") == "0", "scores")


def yielded_at_once(p):
    tree = node(p)
    files = Files(p, CLASSES.replace("[Class batch]", "Drift=yield\n[Class batch]", 1))
    d = daemon(p, tree, files)
    wait_for("the plan", is_read(tree, HIGH, OURS), 10)
    tree.write(HIGH, "max\n")
    wait_for("the drift", lambda: drifts(p, tree) == [("workload.slice/task-1", "memory.high", 280 * MIB, None, "yielded")], 10)
    time.sleep(LOOK + 1)
    expect(tree.read(HIGH) == "max", "it was set again")
    # What was yielded is in the journal, so that a successor does not begin anew; another configuration does.
    d.kill()
    wait_for("the guardian's end", lambda: all(has_ended(pid) for pid in d.companions), 10)
    d = daemon(p, tree, files)
    d.said("event=qos adopted=")
    time.sleep(LOOK + 1)
    expect(tree.read(HIGH) == "max" and drifts(p, tree) == [], f"the successor fights: {drifts(p, tree)}")
    files.drop_in("a", "[Class batch]\nCpuWeight=60\n")
    good(p, tree)
    wait_for("ours again", is_read(tree, HIGH, OURS), 10)
    wait_for("the new weight", is_read(tree, f"{TASK}/cpu.weight", "60"), 5)
    d.stop()
    expect(tree.read(HIGH) == "max" and tree.read(f"{TASK}/cpu.weight") == "100", "not as found")


def kept_over_reloads(p):
    """A plan that is asked for later, changed, and not asked for any more."""
    tree = node(p)
    before = tree.knobs()
    files = Files(p, NODE.format("workload.slice"))
    d = daemon(p, tree, files)
    time.sleep(0.5)
    guardian = companion(d, "headroomd-guard")
    with open(f"/proc/{guardian}/task/{guardian}/children") as f:
        expect(f.read() == "", "there is a keeper without a plan")
    expect("qos" not in p.status(tree) and not os.path.exists(tree.path("run/headroom/lock-qos")), "a trace of a plan")
    high = tree.read("sys/fs/cgroup/workload.slice/memory.high")
    files.write(CLASSES)
    good(p, tree)
    wait_for("the plan", is_read(tree, HIGH, OURS), 5)
    files.write(CLASSES.replace("Limit=300M", "Limit=400M"))
    good(p, tree)
    wait_for("the other limit", is_read(tree, f"{TASK}/memory.max", str(400 * MIB)), 2)
    files.write(CLASSES.replace("Request=100M\nLimit=300M", "Request=500M"))
    good(p, tree)
    d.said("memory QoS stays as it is: workload.slice/task-")
    expect(tree.read(f"{TASK}/memory.max") == str(400 * MIB), "what cannot be had was applied")
    first = keeper(d)
    files.write(NODE.format("workload.slice"))
    good(p, tree)
    wait_for("the keeper's end", lambda: has_ended(first), 10)
    after = {k: v for k, v in tree.knobs().items() if k not in ("sys/fs/cgroup/workload.slice/memory.high",
                                                                "sys/fs/cgroup/system.slice/memory.low")}
    expect(differs(before, after) == {}, differs(before, after))
    expect(tree.read("sys/fs/cgroup/workload.slice/memory.high") == high, "the brake")
    expect("qos" not in p.status(tree), "status")
    files.write(CLASSES)
    good(p, tree)
    wait_for("the plan again", is_read(tree, HIGH, OURS), 5)
    d.stop()
    expect(differs(before, tree.knobs()) == {}, differs(before, tree.knobs()))


def kept_over_crashes(p):
    tree = node(p)
    before = tree.knobs()
    d = kept(p, tree)
    first = keeper(d)
    os.kill(first, signal.SIGKILL)
    second = wait_for("another keeper", lambda: keeper(d) if keeper(d) != first else None, 15)
    d.said("event=qos-ended")
    d.said("event=qos adopted=")
    tree.write(HIGH, "max\n")
    wait_for("ours again", is_read(tree, HIGH, OURS), 15)
    # All of it at once.
    for pid in (second, *d.companions, d.pid):
        os.kill(pid, signal.SIGKILL)
    d.process.wait(timeout=10)
    time.sleep(0.2)
    expect(tree.read(HIGH) == OURS, "somebody has put it back")
    d = kept(p, tree)
    adopted = d.said("event=qos adopted=")
    expect(int(adopted.rsplit("=", 1)[1]) > 10, adopted)
    d.stop()
    expect(differs(before, tree.knobs()) == {}, differs(before, tree.knobs()))
    # The loop alone, and no successor: the keeper leaves it to who comes, and headroom undo is one.
    d = kept(p, tree)
    last = keeper(d)
    d.kill()
    wait_for("the keeper's end", lambda: has_ended(last), 10)
    expect(tree.read(HIGH) == OURS, "somebody has put it back")
    wait_for("the guardian's end", lambda: all(has_ended(pid) for pid in d.companions), 10)
    code, out, err = p.cli(tree, "undo")
    expect(code == 0, f"undo: exit {code}: {out}{err}")
    expect(differs(before, tree.knobs()) == {}, differs(before, tree.knobs()))
    expect([tree.read(f"proc/{pid}/oom_score_adj") for pid in (101, 103, 111)] == ["0", "-500", "200"], "scores")


def nobody_is_left_to_put_it_back(p):
    """A keeper, or the guardian, that has just died when headroomd is stopped; a start without a plan after a crash."""
    tree = node(p)
    before = tree.knobs()
    restored = lambda what: expect(differs(before, tree.knobs()) == {}, f"{what}: {differs(before, tree.knobs())}")
    d = kept(p, tree)
    for _ in range(2):  # the second time it is not started again at once
        last = keeper(d)
        os.kill(last, signal.SIGKILL)
        wait_for("its end", lambda: has_ended(last), 5)
    d.stop()
    restored("without a keeper")
    d = kept(p, tree)
    last = keeper(d)
    os.kill(companion(d, "headroomd-guard"), signal.SIGKILL)
    wait_for("the keeper's end", lambda: has_ended(last), 10)
    d.stop()
    wait_for("all as it was", lambda: differs(before, tree.knobs()) == {}, 10)
    expect([tree.read(f"proc/{pid}/oom_score_adj") for pid in (101, 103, 111)] == ["0", "-500", "200"], "scores")
    d = kept(p, tree)
    for pid in (keeper(d), *d.companions, d.pid):
        os.kill(pid, signal.SIGKILL)
    d.process.wait(timeout=10)
    expect(tree.read(HIGH) == OURS, "somebody has put it back")
    d = p.daemon(tree, config=CONFIG)
    wait_for("all as it was", is_read(tree, HIGH, "max"), 10)
    d.stop()
    restored("without a plan")


def the_runtime_directory_is_full(p):
    """so that the journal cannot be written anew: what it says is still put back, by a successor and by undo."""
    if not p.may_mount:
        return "mounting is not allowed here"
    tree = node(p)
    before = tree.knobs()
    runtime = tree.path("run/headroom")
    os.makedirs(runtime, exist_ok=True)
    expect(ctypes.CDLL(None).mount(b"none", runtime.encode(), b"tmpfs", 0, b"size=64k") == 0, "mount")
    tree.write("run/headroom/lock", "")
    filler = os.open(os.path.join(runtime, "filler"), os.O_WRONLY | os.O_CREAT)
    for config in (CONFIG, None):
        os.ftruncate(filler, 0)
        d = kept(p, tree)
        for pid in (keeper(d), *d.companions, d.pid):
            os.kill(pid, signal.SIGKILL)
        d.process.wait(timeout=10)
        try:
            while True:
                os.write(filler, b"x" * 1024)
        except OSError:
            pass
        expect(tree.read(HIGH) == OURS, "somebody has put it back")
        if config:  # without a plan: a keeper puts it back, whatever becomes of the rest
            d = p.daemon(tree, config=config)
            wait_for("all as it was", is_read(tree, HIGH, "max"), 10)
            d.stop()
        else:
            code, out, err = p.cli(tree, "undo")
            expect(code == 0, f"undo: exit {code}: {out}{err}")
            expect(differs(before, tree.knobs()) == {}, differs(before, tree.knobs()))
    os.close(filler)
    return None


def what_an_operator_has_applied(p):
    """is taken over by a headroomd that starts, and set anew where it was overwritten meanwhile; while `headroom qos` is at
    work, it waits."""
    tree = node(p)
    before = tree.knobs()
    qos(p, tree, p.config(CLASSES), "apply")
    d = kept(p, tree)
    d.said("event=qos adopted=")
    d.stop()
    expect(differs(before, tree.knobs()) == {}, differs(before, tree.knobs()))


def pods_are_kept(p):
    """of a node with 110, of both drivers; what is the kubelet's is left; a daemon-reload resets all of it at once."""
    for driver in ("systemd", "cgroupfs"):
        tree = Kubernetes(p.base, driver, 110, swap=8 * GIB)
        before = tree.knobs()
        config = tree.config(p)
        cgroups, _ = plan(p, tree, config)
        wanted = {f"sys/fs/cgroup/{path}/{k}": str(v) for path, c in cgroups.items() for k, v in planned(c).items()}
        d = p.daemon(tree, "--config", config)
        stands = lambda: all(tree.read(k) == v for k, v in wanted.items())
        wait_for("the plan", stands, 15)
        time.sleep(4 * LOOK)  # what was only just written is not yet known to stand, and so no drift
        calm = p.status(tree)["qos"]
        expect(calm["leases"] == len(wanted) and calm["failures"] == calm["drifts"] == 0, calm)
        for k in wanted:
            tree.write(k, before[k] + "\n")
        wait_for("the plan again", stands, 15)
        drifts_of(p, tree, wanted, 10)
        expect({done for *_, done in drifts(p, tree)} == {"reapplied"}, drifts(p, tree)[:5])
        busy = p.status(tree)["qos"]
        print(f"     {driver}: a look at {calm['groups']} cgroups with {len(wanted)} knobs: {calm['look_usec']} us when all stands", flush=True)
        expect(busy["yielded"] == 0 and busy["drifts"] == len(wanted), busy)
        d.stop()
        expect(differs(before, tree.knobs()) == {}, list(differs(before, tree.knobs()).items())[:5])


def no_drift_is_lost(p):
    """of a knob that cannot be read for a while; of hundreds, while the loop stands still."""
    tree = node(p)
    d = kept(p, tree)
    looks = lambda: p.status(tree)["qos"]["looks"]
    calm, leases = looks(), p.status(tree)["qos"]["leases"]
    tree.write(HIGH, "not a number\n")
    wait_for("two looks", lambda: looks() >= calm + 2, 15)
    expect(p.status(tree)["qos"]["leases"] == leases and drifts(p, tree) == [], p.status(tree)["qos"])
    tree.write(HIGH, "max\n")
    drifts_of(p, tree, [HIGH], 10)
    wait_for("ours again", is_read(tree, HIGH, OURS), 10)
    d.stop()
    tree = Kubernetes(p.base, "cgroupfs", 300, swap=8 * GIB)
    config = tree.config(p)
    cgroups, _ = plan(p, tree, config)
    wanted = {f"sys/fs/cgroup/{path}/{k}": str(v) for path, c in cgroups.items() for k, v in planned(c).items()}
    before = tree.knobs()
    d = p.daemon(tree, "--config", config)
    stands = lambda: all(tree.read(k) == v for k, v in wanted.items())
    wait_for("the plan", stands, 15)
    calm = looks()
    wait_for("a look at it", lambda: looks() >= calm + 2, 15)
    os.kill(d.pid, signal.SIGSTOP)
    try:
        for k in wanted:
            tree.write(k, before[k] + "\n")
        wait_for("the plan again", stands, 15)
    finally:
        os.kill(d.pid, signal.SIGCONT)
    # The record has no room for all of them: the first ones go.
    wait_for("the count", lambda: p.status(tree)["qos"]["drifts"] == len(wanted), 10)
    last = list(wanted)[-1]
    wait_for("the last one", lambda: last in [f"sys/fs/cgroup/{group}/{knob}" for group, knob, *_ in drifts(p, tree)], 10)
    got = len(drifts(p, tree))
    print(f"     {got} events of {len(wanted)} knobs are in the record", flush=True)
    d.stop()


def swap_writes_are_paced(p):
    """by memory.swap.max, which follows what is charged; nothing while more was written than allowed."""
    tree = node(p)
    meminfo(tree, GIB, GIB)
    before = tree.knobs()
    d = kept(p, tree, CLASSES.replace("[Class batch]\n", "[Class batch]\nSwapMax=100%\nSwapWriteLimit=1M\n", 1))
    first, second = f"{TASK}/memory.swap.max", "sys/fs/cgroup/workload.slice/task-2/memory.swap.max"
    # A plain file is empty for a moment while it is written.
    wait_for("what may be put by", lambda: 0 < int(tree.read(first) or 0) <= 2 * MIB, 10)
    tree.write(f"{TASK}/memory.swap.current", f"{50 * MIB}\n")
    for path in (first, second):
        wait_for("nothing, for all of the class", is_read(tree, path, "0"), 10)
    time.sleep(LOOK + 1)
    expect([tree.read(path) for path in (first, second)] == ["0", "0"], "what is owed was forgotten")
    batch = [c for c in p.status(tree)["qos"]["classes"] if c["class"] == "batch"]
    expect(len(batch) == 1 and batch[0]["swap_written_bytes"] == batch[0]["last_minute_bytes"] == 50 * MIB and
           batch[0]["limit_bytes_per_second"] == MIB, batch)
    expect("batch wrote 50.0M to swap devices" in p.cli(tree, "status")[1], p.cli(tree, "status")[1])
    # Somebody else's is his.
    tree.write(first, f"{7 * MIB}\n")
    wait_for("the drift", lambda: [v[4] for v in drifts(p, tree)] == ["reapplied"], 10)
    wait_for("nothing again", is_read(tree, first, "0"), 10)
    tree.write(first, f"{7 * MIB}\n")
    wait_for("the second one", lambda: sorted(v[4] for v in drifts(p, tree)) == ["reapplied", "yielded"], 10)
    time.sleep(1)
    expect(tree.read(first) == str(7 * MIB) and tree.read(second) == "0", "it is fought for")
    d.stop()
    expect(tree.read(first) == str(7 * MIB), "his is not left on the way out")
    tree.write(first, "max\n")
    tree.write(f"{TASK}/memory.swap.current", "0\n")
    expect(differs(before, tree.knobs()) == {}, differs(before, tree.knobs()))


def who_may_not_swap_has_no_part(p):
    """of what his class may write: it is all the other's."""
    tree = node(p)
    meminfo(tree, GIB, GIB)
    other = "sys/fs/cgroup/workload.slice/task-2/memory.swap.max"
    tree.write(other, "0\n")
    d = kept(p, tree, CLASSES.replace("[Class batch]\n", "[Class batch]\nSwapMax=100%\nSwapWriteLimit=1M\n", 1))
    groups = [g for g in os.listdir(tree.path("sys/fs/cgroup/workload.slice")) if g.startswith("task-")]
    for g in groups:
        if g != "task-1":
            tree.write(f"sys/fs/cgroup/workload.slice/{g}/memory.swap.max", "0\n")
    wait_for("all that can be put by", is_read(tree, f"{TASK}/memory.swap.max", str(2 * MIB)), 15)
    expect(tree.read(other) == "0", tree.read(other))
    d.stop()


def nothing_is_kept(p):
    """in a dry run, or without a limit."""
    tree = node(p)
    before = tree.knobs()
    for config, argv in ((CLASSES, ["--dry-run"]), (CLASSES.replace("Mode=auto", "Mode=host"), []), (CONFIG, [])):
        d = p.daemon(tree, *argv, config=config)
        time.sleep(0.5)
        guardian = companion(d, "headroomd-guard")
        with open(f"/proc/{guardian}/task/{guardian}/children") as f:
            expect(f.read() == "", f"there is a keeper: {argv}")
        d.stop()
        expect(differs(before, tree.knobs()) == {}, differs(before, tree.knobs()))


TESTS = [kept_from_start_to_stop, set_again_once, yielded_at_once, kept_over_reloads, kept_over_crashes,
         nobody_is_left_to_put_it_back, the_runtime_directory_is_full, what_an_operator_has_applied, pods_are_kept, no_drift_is_lost,
         swap_writes_are_paced, who_may_not_swap_has_no_part, nothing_is_kept]
