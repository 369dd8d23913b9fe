"""`headroom run` as the shell, or a queue system, meets it: exit statuses, signals, what is asked of headroomd and what is said
at the end. The daemon is a socket that answers as it is told; groups that are really made are the VM's scenario `run`.
"""
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading

from tree import MIB, Tree, expect, wait_for

GROUP = "workload.slice/run-1-abc"
SAYS_WHERE = ["sh", "-c", 'echo "$HEADROOM_CLASS $HEADROOM_GROUP"']


class Node:
    """A tree with a group that was made, and a socket that answers each method with what `replies` has for it; None hangs up."""

    def __init__(self, p, peak=123 * MIB, **replies):
        self.p, self.tree, self.requests, self.silence = p, Tree(p.base), [], False
        self.tree.write(f"sys/fs/cgroup/{GROUP}/cgroup.events", "populated 0\nfrozen 0\n")
        self.tree.write(f"sys/fs/cgroup/{GROUP}/cgroup.procs", "")
        if peak:
            self.tree.write(f"sys/fs/cgroup/{GROUP}/memory.peak", f"{peak}\n")
        self.id = os.stat(self.tree.path(f"sys/fs/cgroup/{GROUP}")).st_ino
        made = {"parameters": {"text": "made", "group": GROUP, "id": self.id}}
        self.replies = {"Run": [made], "RunEnd": [{"parameters": {"text": "gone"}}], **replies}
        os.makedirs(self.tree.path("run/headroom"), exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.tree.path("run/headroom/headroom.sock"))
        self.listener.listen(8)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:  # closed: the test is over
                return
            with s:
                request = b""
                while not request.endswith(b"\0"):
                    piece = s.recv(65536)
                    if not piece:
                        break
                    request += piece
                else:
                    self.requests.append(json.loads(request[:-1]))
                    if self.silence:
                        s.recv(1)  # till its end
                        continue
                    replies = self.replies[self.requests[-1]["method"].rsplit(".", 1)[1]]
                    reply = replies.pop(0) if len(replies) > 1 else replies[0]
                    if reply is not None:
                        s.sendall(json.dumps(reply).encode() + b"\0")

    def asked(self, method):
        return [r["parameters"] for r in self.requests if r["method"] == "io.headroom." + method]

    def argv(self, *more):
        return [self.p.headroom, "--sysroot", self.tree.root, "run", "--class", "batch", *more]

    def run(self, *more):
        return self.p.run(*self.argv(*more))


def refusal(error, text=None):
    return {"error": "io.headroom." + error, "parameters": {"text": text} if text else {}}


def run_in_a_group(p):
    node = Node(p)
    code, out, err = node.run("--", *SAYS_WHERE)
    expect(code == 0 and out == f"batch {GROUP}\n", f"exit {code}: {out}{err}")
    expect(err.startswith(f"headroom run: {GROUP}: peak 123.0M in ") and err.endswith("; exit 0\n"), err)
    expect(node.asked("Run") == [{"class": "batch", "retriable": False}], node.requests)
    expect(node.asked("RunEnd") == [{"group": GROUP, "id": node.id}], node.requests)
    node = Node(p)
    code, out, err = node.run("--request", "1.5G", "--priority", "200", "--retriable", "--task", "a \"b\"", "true", "--request", "x")
    expect(code == 0 and not out, f"exit {code}: {out}{err}")
    wanted = {"class": "batch", "retriable": True, "request_bytes": 3 << 29, "priority": 200, "task": "a \"b\""}
    expect(node.asked("Run") == [wanted], node.requests)


def run_exit_statuses(p):
    node = Node(p)
    for argv, wanted in ((["sh", "-c", "exit 7"], 7), (["/no/such/program"], 127), ([os.path.join(node.tree.root, "proc")], 126),
                         (["sh", "-c", "kill -KILL $$"], 137)):
        code, _, err = node.run("--", *argv)
        expect(code == wanted, f"{argv}: exit {code}: {err}")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGABRT):
        code, _, err = node.run("--", "sh", "-c", f"kill -{int(number)} $$")
        expect(code == -number, f"{number!r}: it did not end as its command: {code}: {err}")
        expect(f"; ended by {number.name}\n" in err, err)


def run_where_children_are_ignored(p):
    """Who starts us may ignore SIGCHLD, which is inherited: the end of the command is seen all the same, and it finds what it would have."""
    node = Node(p)
    code, out, err = p.run("sh", "-c", 'trap "" CHLD; exec "$@"', "sh", p.headroom, "--sysroot", node.tree.root, "run", "--class", "batch", "--",
                           "grep", "SigIgn", "/proc/self/status", timeout=20)
    expect(code == 0, f"exit {code}: {err}")
    expect(int(out.split()[1], 16) & 1 << (signal.SIGCHLD - 1), f"not as it was: {out}")


def run_usage(p):
    node = Node(p)
    for argv in ([], ["--class"], ["--class", "x"], ["--class", "x", "--"], ["true"], ["--class", "", "true"],
                 ["--class", "x", "--request", "512", "true"], ["--class", "x", "--request", "-1M", "true"],
                 ["--class", "x", "--priority", "1001", "true"], ["--class", "x", "--priority", "low", "true"],
                 ["--class", "x", "--task", "", "true"], ["--class", "x", "--task", "y" * 128, "true"],
                 ["--class", "x", "--watch", "true"], ["--class", "x", "--no-such-option", "true"]):
        code, out, err = p.run(p.headroom, "--sysroot", node.tree.root, "run", *argv)
        expect(code == 125 and err and not out, f"{argv}: exit {code}: {out}{err}")
    expect(not node.requests, node.requests)
    code, out, err = p.run(p.headroom, "run", "--help")
    expect(code == 0 and "--class NAME" in out and not err, f"exit {code}: {out}{err}")


def run_refused(p):
    """What the caller has got wrong is not run; what is not possible here, or now, is, with a warning."""
    for error in ("NoSuchGroup", "NotAllowed", "ConfigurationInvalid"):
        node = Node(p, Run=[refusal(error, "because")])
        code, out, err = node.run("--", "echo", "it runs")
        expect(code == 125 and not out and "headroom run --class batch: because\n" in err, f"{error}: exit {code}: {out}{err}")
        expect("echo was not run" in err and "exit" not in err, err)
    for reply in (refusal("Busy", "because"), refusal("NotPossible", "because"), refusal("Failed", "because"),
                  {"error": "org.varlink.service.MethodNotFound", "parameters": {}}, {}):
        node = Node(p, Run=[reply])
        code, out, err = node.run("--", "sh", "-c", "echo $HEADROOM_GROUP it runs; exit 5")
        expect(code == 5 and out == "it runs\n", f"{reply}: exit {code}: {out}{err}")
        expect("warning: sh runs without a group" in err and "no group of headroomd's" in err, err)
        code, out, err = node.run("--require", "--", "echo", "it runs")
        expect(code == 125 and not out and "was not run" in err, f"{reply}: exit {code}: {out}{err}")


def run_without_a_systemd_of_his(p):
    """A scope of the user's own systemd, which does not run: as any other group that cannot be had."""
    place = {"parameters": {"text": "", "group": "user.slice/user@1.service/app.slice/run-1.scope", "id": 0, "of_user": True}}
    nowhere = ["env", "-u", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR=/no/such"]
    node = Node(p, Run=[place])
    code, out, err = p.run(*nowhere, *node.argv("--", "sh", "-c", "echo $HEADROOM_GROUP it runs; exit 5"))
    expect(code == 5 and out == "it runs\n", f"exit {code}: {out}{err}")
    expect("your own systemd, which does not run" in err and "warning: sh runs without a group" in err, err)
    code, out, err = p.run(*nowhere, *node.argv("--require", "--", "echo", "it runs"))
    expect(code == 125 and not out and "was not run" in err, f"exit {code}: {out}{err}")


def run_without_a_daemon(p):
    tree = Tree(p.base)
    code, out, err = p.cli(tree, "run", "--class", "batch", "--", "sh", "-c", "echo it runs; exit 5")
    expect(code == 5 and out == "it runs\n" and "headroomd does not answer" in err and "warning: " in err, f"exit {code}: {out}{err}")
    code, out, err = p.cli(tree, "run", "--class", "batch", "--require", "--", "echo", "it runs")
    expect(code == 125 and not out and "was not run" in err, f"exit {code}: {out}{err}")


def run_comes_again(p):
    """Where many start at once the socket sends some away."""
    made = Node(p).replies["Run"][0]
    node = Node(p, Run=[None, None, made])
    node.replies["Run"][2]["parameters"]["id"] = node.id
    code, out, err = node.run("--", *SAYS_WHERE)
    expect(code == 0 and GROUP in out and len(node.asked("Run")) == 3, f"exit {code}: {out}{err}")


def run_reports(p):
    node = Node(p)
    report = tempfile.mktemp(dir=p.base)
    code, _, err = node.run("--quiet", "--report", report, "--", "sh", "-c", "exit 3")
    with open(report, encoding="utf-8") as f:
        said = json.load(f)
    expect(code == 3 and not err, f"exit {code}: {err}")
    expect(said["exit_code"] == 3 and said["group"] == GROUP and said["class"] == "batch" and said["peak_bytes"] == 123 * MIB, said)
    expect(said["peak_at_least"] is False and said["killed"] is False and said["pauses"] == 0 and said["signal"] is None, said)
    code, _, err = node.run("--report", "/no/such/directory/x", "--", "true")
    expect(code == 0 and "--report /no/such/directory/x: No such file" in err, f"exit {code}: {err}")
    node = Node(p, peak=0)  # before 5.19
    node.tree.write(f"sys/fs/cgroup/{GROUP}/memory.current", f"{77 * MIB}\n")
    code, _, err = node.run("--", "true")
    expect(code == 0 and "peak at least 77.0M" in err, f"exit {code}: {err}")


def run_history(p):
    """What headroomd has left on the group is told."""
    node = Node(p)
    path = node.tree.path(f"sys/fs/cgroup/{GROUP}")
    try:
        os.setxattr(path, "user.headroom.paused", b"2 4000000 0 growth")
    except OSError:
        return "a file system without attributes"
    os.setxattr(path, "user.headroom.killed", b"17 culprit")
    os.setxattr(path, "user.headroom.asked", b"3")
    code, _, err = node.run("--", "sh", "-c", "kill -KILL $$")
    expect(code == 137 and "; asked to give memory back 3 times; paused 2 times for 4.0s in all (" in err, f"exit {code}: {err}")
    expect("; killed by headroomd: it was over its share" in err and "(headroom explain 17); ended by SIGKILL" in err, err)
    node.tree.write(f"sys/fs/cgroup/{GROUP}/cgroup.events", "populated 1\nfrozen 0\n")
    node.tree.write(f"sys/fs/cgroup/{GROUP}/cgroup.procs", "101\n102\n")
    code, _, err = node.run("--", "true")
    expect(code == 0 and "; 2 processes are left in the group" in err, f"exit {code}: {err}")
    expect(len(node.asked("RunEnd")) == 1, "it asked for the end of a group that is not empty")
    return None


def run_passes_signals_on(p):
    """To the command, which decides what they mean; a terminal's own come to it without us."""
    node = Node(p)
    ready = tempfile.mktemp(dir=p.base)
    for number, trap in ((signal.SIGTERM, "TERM"), (signal.SIGHUP, "HUP"), (signal.SIGUSR1, "USR1"), (signal.SIGINT, "INT")):
        script = f'trap "echo {trap}; exit 9" {trap}; : >{ready}; while :; do sleep 0.05; done'
        process = subprocess.Popen(node.argv("--", "sh", "-c", script), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            wait_for("the trap", lambda: os.path.exists(ready))
            process.send_signal(number)
            out, err = process.communicate(timeout=15)
        finally:
            if process.poll() is None:
                process.kill()
        expect(process.returncode == 9 and out == trap + "\n", f"{trap}: exit {process.returncode}: {out}{err}")
        os.unlink(ready)


def run_is_interrupted(p):
    """While it waits for an answer."""
    node = Node(p)
    node.silence = True
    for number in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(node.argv("--", "true"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            wait_for("its question", lambda: node.requests)
            process.send_signal(number)
            out, err = process.communicate(timeout=5)
        finally:
            if process.poll() is None:
                process.kill()
        expect(process.returncode == -number and not out and not err, f"exit {process.returncode}: {out}{err}")
        node.requests.clear()


def run_asks_a_dry_run(p):
    """A headroomd that only looks on makes no group, and says so."""
    tree = Tree(p.base)
    d = p.daemon(tree, "--dry-run", config="[Node]\nWorkload=workload.slice\n[Class batch]\nMatch=workload.slice/*\n")
    code, out, err = p.cli(tree, "run", "--class", "batch", "--", "echo", "it runs")
    expect(code == 0 and out == "it runs\n" and "dry run" in err and "warning: " in err, f"exit {code}: {out}{err}")
    with d.connect() as s:
        for method, parameters in (("Run", "{}"), ("Run", '{"class":7}'), ("Run", '{"class":"x","task":"a\\u0000b"}'),
                                   ("Run", '{"class":"x","priority":1001}'), ("Run", '{"class":"x","request_bytes":-1}'),
                                   ("Run", '{"class":"x","retriable":1}'), ("Run", '{"class":"%s"}' % ("x" * 32)),
                                   ("RunEnd", '{"group":"a"}'), ("RunEnd", '{"id":1}'), ("RunEnd", '{"group":7,"id":1}')):
            s.sendall(b'{"method":"io.headroom.%s","parameters":%s}\0' % (method.encode(), parameters.encode()))
            reply = json.loads(s.recv(65536)[:-1])
            expect("InvalidParameter" in reply["error"], f"{method} {parameters}: {reply}")
        s.sendall(b'{"method":"io.headroom.RunEnd","parameters":{"group":"workload.slice/task-1","id":1}}\0')
        expect("NoSuchGroup" in json.loads(s.recv(65536)[:-1])["error"], "somebody else's group")
    expect(os.path.isdir(tree.path("sys/fs/cgroup/workload.slice/task-1")), "it was removed")
    d.stop()


TESTS = [run_in_a_group, run_exit_statuses, run_usage, run_refused, run_without_a_systemd_of_his, run_without_a_daemon, run_comes_again,
         run_reports, run_history, run_passes_signals_on,
         run_is_interrupted, run_asks_a_dry_run]
