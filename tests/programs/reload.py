"""The configuration: its files and drop-ins as both programs show them, and read anew while headroomd runs."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from acting import guarded
from tree import CONFIG, HIGH, LIMIT, MIB, NOBODY, RESERVE, SYSTEM_LOW, TOTAL, Tree, expect, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))


class Files:
    """A configuration file with its directory of drop-ins."""

    def __init__(self, p, text, **drop_ins):
        self.path = p.config(text)
        self.directory = self.path + ".d"
        os.mkdir(self.directory)
        os.chmod(self.directory, 0o755)
        for name, content in drop_ins.items():
            self.drop_in(name, content)

    def write(self, text):
        with open(self.path, "w") as f:
            f.write(text)

    def drop_in(self, name, text):
        path = os.path.join(self.directory, name + ".conf")
        with open(path, "w") as f:
            f.write(text)
        return path


def daemon(p, tree, files, *argv, **kwargs):
    """Where --config is given twice the last one counts."""
    return p.daemon(tree, "--config", files.path, *argv, **kwargs)


def reload(p, tree, user=None):
    return p.cli(tree, "reload", user=user)


def good(p, tree):
    code, out, err = reload(p, tree)
    expect(code == 0 and not err, f"reload: exit {code}: {out}{err}")
    return out


def refused(p, tree):
    code, out, err = reload(p, tree)
    expect(code == 1 and not out and err.startswith("headroom reload: the old configuration stays in force: "),
           f"reload: exit {code}: {out}{err}")
    return err


# ---- config show ----

def config_show(p):
    files = Files(p, CONFIG + "[Class batch]\nMatch=workload.slice/*\nPriority=300\n",
                  a="[Node]\nSystemReserve=150M\n[Class batch]\nRetriable=yes\n", b="[Class new]\nMatch=x/*\n\n")
    code, out, err = p.run(p.headroom, "config", "show", "--config", files.path)
    expect(code == 0 and not err, f"exit {code}: {err}")
    lines = {re.sub(r"\s+#", " #", line) for line in out.splitlines()}
    for line in (f"SystemReserve=150M # {files.directory}/a.conf:2", f"Workload=workload.slice # {files.path}:3",
                 "KillLimit=10 # default", f"Priority=300 # {files.path}:7", f"Retriable=yes # {files.directory}/a.conf:4",
                 "PauseLimit=5min # default", f"Match=x/* # {files.directory}/b.conf:2", "#MinFree= not set # default"):
        expect(line in lines, f"{line} is not in {out}")
    expect(out.index("[Class batch]") < out.index("[Class new]") < out.index("[Class other]") < out.index("[Level low]"), out)
    again = Files(p, out)
    code, second, err = p.run(p.headroom, "config", "show", "--config", again.path)
    values = lambda text: [line.split(" #")[0].rstrip() for line in text.splitlines() if not line.startswith("#")]
    expect(code == 0 and values(second) == values(out), f"what is shown reads back as something else: {second}{err}")
    code, out, err = p.run(p.headroom, "--json", "config", "show", "--config", files.path)
    data = json.loads(out)
    expect(data["files"] == [files.path, files.directory + "/a.conf", files.directory + "/b.conf"], data["files"])
    found = {(v["section"], v["key"]): v for v in data["values"]}
    expect(found["[Class batch]", "Retriable"] == {"section": "[Class batch]", "class": "batch", "key": "Retriable", "value": "yes",
                                                   "file": files.directory + "/a.conf", "line": 4}, found)
    expect(found["[Node]", "MinFree"]["value"] is None and found["[Node]", "Mode"]["file"] == files.path, found)
    bad = files.drop_in("c", "[Node]\n\nSystemReserv=1G\n")
    code, out, err = p.run(p.headroom, "config", "show", "--config", files.path)
    expect(code == 1 and not out and f"{bad}:3: " in err and "SystemReserve" in err, f"exit {code}: {out}{err}")
    code, _, err = p.run(p.headroomd, "--check-config", "--config", files.path)
    expect(code == 3 and f"{bad}:3: " in err, f"--check-config: exit {code}: {err}")
    os.unlink(bad)
    code, _, err = p.run(p.headroomd, "--check-config", "--config", files.path)
    expect(code == 0 and "good" in err, f"--check-config: exit {code}: {err}")
    for argv in (["config"], ["config", "shwo"], ["config", "show", "x"], ["reload", "x"]):
        code, out, err = p.run(p.headroom, *argv)
        expect(code == 2 and err and not out, f"{argv}: exit {code}: {out}{err}")


def keys_page(p):
    """docs/keys.md is what the programs say."""
    page = subprocess.check_output([sys.executable, os.path.join(REPOSITORY, "tests/tools/keys-page"), p.base], text=True)
    with open(os.path.join(REPOSITORY, "docs/keys.md")) as f:
        expect(f.read() == page, "docs/keys.md is old: run tests/tools/keys-page build >docs/keys.md")
    code, out, _ = p.run(p.headroom, "config", "keys")
    expect(code == 0 and all(f"{key}=\n" in out for key in ("Mode", "Pressure", "Match", "PriorityMax")), out)


# ---- reload ----

def reload_good_bad_good(p):
    tree = Tree(p.base)
    files = Files(p, CONFIG)
    d = daemon(p, tree, files, "--dry-run")
    expect(p.status(tree)["reload"] == {"good": 0, "refused": 0}, p.status(tree))
    expect("0 values changed" in good(p, tree), "something changed")

    files.drop_in("a", "[Node]\nSystemReserve=150M\n[Class batch]\nMatch=workload.slice/*\nOrder=pressure\n")
    out = good(p, tree)
    expect(out.startswith("2 values changed\n") and "  [Node] SystemReserve=150M (it was 140M)\n" in out and
           "  [Class batch] is new\n" in out and f"  warning: {files.directory}/a.conf:5: Order" in out, out)
    status = p.status(tree)
    expect(status["room"]["limit_bytes"] == TOTAL - 150 * MIB, status["room"])
    expect(status["reload"]["good"] == 2 and status["reload"]["last"] == "good", status["reload"])
    expect("2 values changed" in d.said("event=reload result=good.*2 values"), d.log())
    d.said(r"event=reload text=.*SystemReserve=150M \(it was 140M\)")

    bad = files.drop_in("b", "[Node]\n\nSystemReserve=99\n[Class batch]\nMach=x\n")
    err = refused(p, tree)
    expect(f"{bad}:3: SystemReserve=99" in err and f"  {bad}:5: Mach=" in err, err)
    status = p.status(tree)
    expect(status["room"]["limit_bytes"] == TOTAL - 150 * MIB, status["room"])
    expect(status["reload"]["last"] == "refused" and f"{bad}:3: " in status["reload"]["text"], status["reload"])
    _, out, _ = p.cli(tree, "status")
    expect(re.search(r"^reload: +refused .* ago: .*" + re.escape(bad) + ":3: ", out, re.M), out)
    d.said(r"event=reload result=refused.*" + re.escape(bad) + ":3: ")
    d.said(r"event=reload text=.*" + re.escape(bad) + ":5: ")

    os.unlink(bad)
    os.unlink(files.directory + "/a.conf")
    out = good(p, tree)
    expect("SystemReserve=140M (it was 150M)" in out and "[Class batch] is gone" in out, out)
    expect(p.status(tree)["room"]["limit_bytes"] == LIMIT, p.status(tree)["room"])
    code, out, _ = p.run(p.headroom, "--sysroot", tree.root, "--json", "reload")
    expect(code == 0 and json.loads(out) == {"text": "0 values changed", "details": []}, out)
    d.stop()


def reload_by_signal(p):
    path = tempfile.mktemp(dir=p.base)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    s.settimeout(15)
    tree = Tree(p.base)
    files = Files(p, CONFIG)
    d = daemon(p, tree, files, "--dry-run", env={"NOTIFY_SOCKET": path})
    expect(s.recv(256) == b"READY=1", "not ready")
    for text, result in (("[Node]\nMode=maybe\n", "refused"), ("[Node]\nSystemReserve=150M\n", "good")):
        files.drop_in("a", text)
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        d.signal(signal.SIGHUP)
        first, second = s.recv(256), s.recv(256)
        match = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=(\d+)", first)
        expect(match and before <= int(match.group(1)) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000, first)
        expect(second == b"READY=1", second)
        d.said("event=reload result=" + result)
    expect(p.status(tree)["room"]["limit_bytes"] == TOTAL - 150 * MIB, "not taken over")
    d.stop()


def reload_is_for_root(p):
    if os.geteuid() != 0:
        return "needs root"
    tree = Tree(p.base)
    files = Files(p, CONFIG + "StatusAccess=all\n")
    d = daemon(p, tree, files, "--dry-run")
    code, _, err = reload(p, tree, user=NOBODY)
    expect(code == 1 and "root" in err, f"exit {code}: {err}")
    expect(p.cli(tree, "status", user=NOBODY)[0] == 0, "StatusAccess=all")
    expect(p.status(tree)["reload"] == {"good": 0, "refused": 0}, "it was read")
    files.write(CONFIG)
    good(p, tree)
    expect(p.cli(tree, "status", user=NOBODY)[0] == 1, "StatusAccess=group is not in force")
    d.stop()
    return None


def reload_keeps_what_needs_a_restart(p):
    tree = Tree(p.base)
    files = Files(p, CONFIG)
    d = daemon(p, tree, files, "--dry-run")
    files.write(CONFIG + "MaxGroups=7\nObserve=yes\nKillLimit=3\n")
    for _ in range(2):
        out = good(p, tree)
        expect("some need a restart" in out and "MaxGroups=7 needs a restart of headroomd; until then it is 1024" in out and
               "Observe=yes needs a restart" in out, out)
    expect(out.startswith("0 values changed"), out)
    d.stop()


def reload_mode_that_is_not_possible(p):
    tree = Tree(p.base, cgroup=False)
    files = Files(p, "[Node]\nMode=auto\n")
    d = daemon(p, tree, files, "--dry-run")
    before = p.status(tree)["mode_reason"]
    files.write("[Node]\nMode=isolate\nKillLimit=3\n")
    err = refused(p, tree)
    expect("Mode=isolate is not possible here: there is no cgroup v2" in err, err)
    status = p.status(tree)
    expect(status["mode"] == "host" and status["mode_reason"] == before, status)
    files.write("[Node]\nMode=auto\nKillLimit=3\n")
    expect("1 value changed" in good(p, tree), "the refused one was half applied")
    d.stop()


def companion(d, name):
    """The process of that name, which it takes after the fork."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for pid in d.companions:
            with open(f"/proc/{pid}/comm") as f:
                if f.read().strip() == name:
                    return pid
        time.sleep(0.02)
    raise AssertionError(f"no companion is called {name}")


def reload_without_the_guardian(p):
    """Nobody reads the files: the loop goes on, says so in time, and reads them when it has a guardian again."""
    tree = Tree(p.base)
    files = Files(p, CONFIG)
    d = daemon(p, tree, files, "--dry-run")
    guardian = companion(d, "headroomd-guard")
    os.kill(guardian, signal.SIGSTOP)
    try:
        err = refused(p, tree)
        expect("not be read in time" in err, err)
        expect(p.status(tree)["reload"]["last"] == "refused", p.status(tree)["reload"])
    finally:
        os.kill(guardian, signal.SIGCONT)
    files.drop_in("a", "[Node]\nSystemReserve=150M\n")
    expect("SystemReserve=150M" in good(p, tree), "the answer to the first request was taken for that to the second")
    os.kill(guardian, signal.SIGKILL)
    wait_for("another guardian", lambda: len([pid for pid in d.children() if pid not in d.companions]) == 1)
    d.companions += d.children()
    files.drop_in("a", "[Node]\nSystemReserve=160M\n")
    expect("SystemReserve=160M" in good(p, tree), "no reload")
    d.stop()


def reload_that_hangs(p):
    """Whoever reads the files is given up after a while; meanwhile the guardian and the loop go on."""
    if p.sanitized:
        return "nothing can be loaded before a sanitizer"
    tree = Tree(p.base)
    files = Files(p, CONFIG)
    armed = tree.path("armed")
    d = daemon(p, tree, files, "--dry-run", env={"LD_PRELOAD": p.slow_users, "SLOW_USERS": armed})
    open(armed, "w").close()
    files.drop_in("a", "[Class a]\nMatch=workload.slice/*\nUnit=process\nMatchUser=1000\n[Node]\nSystemReserve=150M\n")
    d.signal(signal.SIGHUP)
    expect(p.status(tree)["guardian_running"], "no guardian")
    line = d.said("event=reload result=refused")
    expect("not be read in time" in line, line)
    expect(p.status(tree)["room"]["limit_bytes"] == LIMIT, "half applied")
    expect(sorted(d.children()) == sorted(d.companions), "the guardian was replaced")
    for pid in d.companions:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            expect(not f.read().strip(), "whoever read is still there")
    os.unlink(armed)
    expect("SystemReserve=150M" in good(p, tree), "no reload after it")
    d.stop()
    return None


def reloads_at_once(p):
    """Several at a time: each is answered, by a reading that began after it was asked for."""
    tree = Tree(p.base)
    files = Files(p, CONFIG)
    d = daemon(p, tree, files, "--dry-run")
    request = b'{"method":"io.headroom.Reload"}\0'
    clients = [d.connect() for _ in range(6)]
    for i, s in enumerate(clients):
        files.drop_in("a", f"[Node]\nKillLimit={20 + i}\n")
        s.sendall(request * 2)
    clients[0].close()
    for s in clients[1:]:
        data = b""
        while data.count(b"\0") < 2:
            data += s.recv(65536)
        for reply in data.split(b"\0")[:2]:
            expect("parameters" in json.loads(reply) and "error" not in json.loads(reply), reply)
        s.close()
    expect("0 values changed" in good(p, tree), "the last change was missed")
    d.stop()


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def reload_leaks_nothing(p):
    """No heap in the loop, and no descriptor in any of the three, over good and bad files and other monitors."""
    tree = Tree(p.base)
    files = Files(p, CONFIG)
    armed = tree.path("armed")
    env = {} if p.sanitized else {"LD_PRELOAD": p.no_heap, "NO_HEAP_ARMED": armed}
    d = daemon(p, tree, files, "--dry-run", env=env)
    texts = ("[Node]\nMode=nonsense\n", "[Node]\nSystemReserve=150M\n[Monitor]\nPressure=full 100ms 1s\nThreshold=off\n",
             "[Class a]\nMatch=workload.slice/*\nActions=pause kill\n[Monitor]\nPressure=off\n",
             "[Node]\nWorkload=workload.slice/task-1 other.slice\n[Class b]\nMatch=*/*\nUnit=process\nMatchUser=root\n",
             "[Node]\nMode=host\n")
    for text in texts:
        files.drop_in("a", text)
        reload(p, tree)
    open(armed, "w").close()
    files.drop_in("a", "")
    good(p, tree)
    p.status(tree)
    time.sleep(0.5)  # the last client has gone
    before = {pid: descriptors(pid) for pid in [d.pid] + d.companions}
    for i in range(60):
        files.drop_in("a", texts[i % len(texts)])
        code, out, err = reload(p, tree)
        expect(code == (i % len(texts) == 0), f"exit {code}: {out}{err}")
    files.drop_in("a", "")
    good(p, tree)
    now = lambda: {pid: descriptors(pid) for pid in before}
    wait_for(f"{before} descriptors, there are {now()}", lambda: now() == before, 5)
    expect(sorted(d.children()) == sorted(d.companions), "companions were replaced")
    expect("no_heap:" not in d.log(), d.log()[-600:])
    expect(p.status(tree)["mode"] == "isolate" and p.status(tree)["room"]["limit_bytes"] == LIMIT, p.status(tree))
    os.unlink(armed)
    d.stop()


def reload_moves_the_knobs(p):
    """In a tree of files, acting: what another configuration asks for is set, and what it does not is put back."""
    tree = Tree(p.base)
    tree.group("other.slice", 10 * MIB)
    before = tree.knobs()
    files = Files(p, CONFIG)
    d = guarded(p, tree, config=CONFIG)
    d.stop()
    d = daemon(p, tree, files)
    wait_for("memory.high", lambda: tree.read(HIGH) == str(LIMIT))
    files.drop_in("a", "[Node]\nSystemReserve=150M\nProtect=other.slice\n")
    good(p, tree)
    wait_for("the new limit", lambda: tree.read(HIGH) == str(TOTAL - 150 * MIB))
    wait_for("memory.low", lambda: tree.read("sys/fs/cgroup/other.slice/memory.low") == str(150 * MIB))
    expect(tree.read(SYSTEM_LOW) == "0", "the old one keeps its protection")
    files.drop_in("a", "[Node]\nProtect=\nWorkload=other.slice\n")
    good(p, tree)
    wait_for("the other's limit", lambda: tree.read("sys/fs/cgroup/other.slice/memory.high") == str(LIMIT))
    expect(tree.read(HIGH) == "max" and tree.read("sys/fs/cgroup/other.slice/memory.low") == "0", tree.knobs())
    files.drop_in("a", "[Node]\nMode=host\n")
    good(p, tree)
    wait_for("nothing set", lambda: tree.knobs() == before)
    expect(p.status(tree)["mode"] == "host", p.status(tree))
    files.drop_in("a", "")
    good(p, tree)
    wait_for("memory.high", lambda: tree.read(HIGH) == str(LIMIT))
    wait_for("memory.low", lambda: tree.read(SYSTEM_LOW) == str(RESERVE))
    d.stop()
    expect(tree.knobs() == before, "not as before")


def reload_lowers_the_limit_gently(p):
    """A limit below what is used does not kill at once: it comes down over 30 s."""
    tree = Tree(p.base)
    tree.stat("workload.slice", 700 * MIB)
    tree.meminfo(used=800 * MIB)
    files = Files(p, CONFIG)
    d = daemon(p, tree, files)
    wait_for("memory.high", lambda: tree.read(HIGH) == str(LIMIT))
    files.drop_in("a", "[Node]\nSystemReserve=424M\n")
    out = good(p, tree)
    expect("steps down over 30 s" in out, out)
    limit = p.status(tree)["room"]["limit_bytes"]
    expect(600 * MIB < limit <= LIMIT, f"limit {limit}")
    expect("action=kill" not in d.log(), d.log())
    d.stop()


def reload_and_the_paused(p):
    """A group stays paused while its class may be, and goes on when it may not."""
    tree = Tree(p.base)
    pausing = CONFIG + ("[Class one]\nMatch=workload.slice/task-1\nActions=pause\n[Class two]\nMatch=workload.slice/task-2\n"
                        "Actions=%s\n[Class other]\nPriority=1000\n")
    files = Files(p, pausing % "pause")
    tree.paused("workload.slice/task-1", "workload.slice/task-2")
    for task in ("task-1", "task-2"):
        tree.write(f"sys/fs/cgroup/workload.slice/{task}/cgroup.events", "populated 1\nfrozen 1\n")
    # The third has all that there is, and is at work: nobody goes on for want of room, or to keep the node busy.
    tree.group("workload.slice/task-3", 650 * MIB, pid=103, start=50)
    tree.meminfo(used=LIMIT - 10 * MIB)
    tree.stat("workload.slice", LIMIT - 12 * MIB)
    frozen = lambda task: tree.read(f"sys/fs/cgroup/workload.slice/{task}/cgroup.freeze")
    stop = threading.Event()

    def work():
        began = time.monotonic()
        while not stop.wait(0.02):
            tree.write("sys/fs/cgroup/workload.slice/task-3/cpu.stat", f"usage_usec {int((time.monotonic() - began) * 1e6):020}\n")

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    d = daemon(p, tree, files)
    d.said("adopted=2")
    good(p, tree)
    time.sleep(1)
    expect(frozen("task-1") == "1" and frozen("task-2") == "1", f"they did not stay paused: {d.log()[-600:]}")
    files.write(pausing % "kill")
    out = good(p, tree)
    expect("1 paused groups go on" in out, out)
    expect(frozen("task-1") == "1" and frozen("task-2") == "0", "the wrong one goes on")
    expect([pause["class"] for pause in p.status(tree)["pauses"]] == ["one"], p.status(tree)["pauses"])
    files.write(CONFIG)
    good(p, tree)
    expect(frozen("task-1") == "0", "its class is gone")
    stop.set()
    worker.join()
    d.stop()


# ---- PodFile= ----

POD = "0c8c8dc3-1a2b-4c3d-8e9f-00000000000{}"


def add_pod(tree, i):
    pod = f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD.format(i).replace('-', '_')}.slice"
    tree.group(pod, 20 * MIB)
    tree.group(f"{pod}/cri-containerd-{i:064x}.scope", 20 * MIB, pid=200 + i, start=100 + i)


def what_holds(p, tree):
    """By the last digit of the pod: what its container is held to have said."""
    code, out, err = p.cli(tree, "groups", "--json")
    expect(code == 0, f"groups: exit {code}: {err}")
    return {int(g["group"][-7]): (g["priority"], g.get("request_bytes")) for g in json.loads(out)}


def replace(path, text, mode=0o644):
    with open(path + ".new", "w") as f:
        f.write(text)
    os.chmod(path + ".new", mode)
    os.rename(path + ".new", path)


def pods_are_followed(p):
    """what a file says of them: as it comes, changes, goes; whoever comes later; a bad line costs that line."""
    tree = Tree(p.base, workload=False)
    for path in ("kubepods.slice", "kubepods.slice/kubepods-burstable.slice"):
        tree.group(path, 60 * MIB)
    for i in (1, 2):
        add_pod(tree, i)
    directory = tempfile.mkdtemp(dir=p.base)
    path = os.path.join(directory, "pods")
    files = Files(p, CONFIG.replace("workload.slice", "kubepods.slice") + f"PodFile={path}\n[Class other]\nPriority=500\n")
    d = daemon(p, tree, files)
    none = what_holds(p, tree)[1][1]
    holds = lambda wanted: lambda: what_holds(p, tree) == wanted
    def becomes(what, **pods):
        wanted = {int(k[1:]): v for k, v in pods.items()}
        try:
            wait_for(what, holds(wanted), 10)
        except Exception as e:
            raise type(e)(f"{e}: {what_holds(p, tree)}; {d.log()[-600:]}")
    becomes("nothing is said", p1=(500, none), p2=(500, none))
    replace(path, f"# uid priority request\n{POD.format(1)} 900 2G\n{POD.format(2).replace('-', '_')} - 30M\n{POD.format(3)} 7\n")
    becomes("it comes", p1=(900, 2 << 30), p2=(500, 30 * MIB))
    add_pod(tree, 3)
    becomes("a pod that comes later", p1=(900, 2 << 30), p2=(500, 30 * MIB), p3=(7, none))
    # In place, and one more line that is not right; the others hold.
    with open(path, "w") as f:
        f.write(f"{POD.format(1)} 1001\nnobody 1\n{POD.format(2)} 100\n")
    becomes("bad lines", p1=(500, none), p2=(100, none), p3=(500, none))
    d.said(f"event=pods text=\"{path}:1: ")
    d.said(f"event=pods text=\"{path}:2: nobody is no pod's uid")
    os.chmod(path, 0o640)  # read again, and not said again
    time.sleep(1)
    expect(d.log().count("nobody is no pod's uid") == 1, d.log()[-900:])
    # What others may write is nobody's word.
    replace(path, f"{POD.format(2)} 900\n", mode=0o666)
    becomes("not root's", p1=(500, none), p2=(500, none), p3=(500, none))
    d.said("Others than root may write it")
    replace(path, f"{POD.format(2)} 900\n")
    becomes("root's", p1=(500, none), p2=(900, none), p3=(500, none))
    # The configuration's other files are not read with it.
    files.write("[Nonsense]\n")
    replace(path, f"{POD.format(2)} 800\n")
    becomes("beside a file that is not right", p1=(500, none), p2=(800, none), p3=(500, none))
    expect(p.status(tree)["reload"]["refused"] == 0, p.status(tree)["reload"])
    os.unlink(path)
    becomes("it goes", p1=(500, none), p2=(500, none), p3=(500, none))
    # A link that is moved on, as Kubernetes mounts such files.
    for name in ("a", "b"):
        with open(os.path.join(directory, name), "w") as f:
            f.write(f"{POD.format(1)} {300 if name == 'a' else 400}\n")
        os.symlink(name, path + ".link")
        os.rename(path + ".link", path)
        becomes(f"the link to {name}", p1=(300 if name == "a" else 400, none), p2=(500, none), p3=(500, none))
    d.stop()


TESTS = [pods_are_followed, config_show, keys_page, reload_good_bad_good, reload_by_signal, reload_is_for_root,
         reload_keeps_what_needs_a_restart, reload_mode_that_is_not_possible, reload_without_the_guardian, reload_that_hangs, reloads_at_once,
         reload_leaks_nothing, reload_moves_the_knobs, reload_lowers_the_limit_gently, reload_and_the_paused]
