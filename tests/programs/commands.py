"""pause, resume and hold, and what the status, explain and events say of the paused.

What the command line says to people, and sends, is held against a socket that answers as it is told; who may do what is
asked of headroomd itself.
"""
import json
import os
import socket
import tempfile
import threading

from tree import NOBODY, Tree, expect

ROOM = {"level": "medium", "limit_bytes": 1 << 30, "used_bytes": 900 << 20, "room_bytes": 124 << 20, "margin_bytes": 1,
        "swap_bytes": 0, "need_bytes": 5 << 20, "growth_bytes_per_second": 1 << 20, "time_left_usec": None}
STATUS = {"version": "1", "config": "", "mode": "isolate", "mode_reason": "because", "dry_run": False,
          "uptime_usec": 1000000, "hold_left_usec": None, "room": ROOM, "workloads": [], "monitors": [],
          "worker_running": True, "guardian_running": True,
          "counters": {"kills": 0, "stuck": 0, "pauses": 7, "resumes": 4, "reclaimed_bytes": 0, "decisions": 9},
          "warnings": [], "pauses": [], "pauses_left_out": 0}
PAUSE = {"group": "workload.slice/task-8", "class": "batch", "why": "growth", "waits_for": "20M of room",
         "paused_usec": 3200000, "left_usec": 60000000, "held_bytes": 150 << 20, "frozen": True}


class Answering:
    """A socket that gives each request the messages of `replies`, and keeps what it was asked."""

    def __init__(self, p, *replies):
        self.path = tempfile.mktemp(dir=p.base, suffix=".sock")
        self.replies, self.requests = replies, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            s, _ = self.listener.accept()
            with s:
                request = b""
                while not request.endswith(b"\0"):
                    piece = s.recv(65536)
                    if not piece:
                        break
                    request += piece
                else:
                    self.requests.append(json.loads(request[:-1]))
                    for reply in self.replies:
                        s.sendall((reply if isinstance(reply, bytes) else json.dumps(reply).encode()) + b"\0")


def ask(p, replies, *argv):
    """Exit code, standard output, standard error, and what was sent."""
    server = Answering(p, *replies)
    return (*p.run(p.headroom, "--socket", server.path, *argv), server.requests)


def what_is_sent(p):
    """The names that people write, as headroomd knows them; the reply's sentence is what is printed."""
    reply = {"parameters": {"text": "it is so"}}
    for verb in ("pause", "resume"):
        for written, name in (("workload.slice/a", "workload.slice/a"), ("/workload.slice/a", "workload.slice/a"),
                              ("/sys/fs/cgroup/workload.slice/a/", "workload.slice/a"),
                              ("/sys/fs/cgroup//w/a b\"\\", "w/a b\"\\"), ("w/ray#4711", "w/ray#4711"),
                              ("w/\u00e9\x01", "w/\u00e9\x01"), ("x" * 255, "x" * 255), ("\x01" * 255, "\x01" * 255)):
            code, out, err, sent = ask(p, [reply], verb, written)
            expect(code == 0 and out == "it is so\n" and not err, f"{verb} {written}: exit {code}: {out}{err}")
            expect(len(sent) == 1 and sent[0]["method"] == f"io.headroom.{verb.capitalize()}", sent)
            expect(sent[0]["parameters"] == {"group": name}, sent)
    for written, usec in (("1h", 3600 * 10**6), ("30min", 1800 * 10**6), ("0", 0), ("1.5s", 1500000)):
        code, out, err, sent = ask(p, [reply], "hold", written)
        expect(code == 0 and out == "it is so\n" and not err, f"hold {written}: exit {code}: {out}{err}")
        expect(sent[0]["method"] == "io.headroom.Hold" and sent[0]["parameters"] == {"usec": usec}, sent)
    code, out, _, _ = ask(p, [reply], "--json", "hold", "1h")
    expect(code == 0 and json.loads(out) == {"text": "it is so"}, out)


def usage(p):
    for argv in (["pause"], ["pause", "a", "b"], ["resume"], ["resume", ""], ["pause", "/"], ["pause", "/sys/fs/cgroup/"],
                 ["pause", "x" * 256], ["pause", b"caf\xe9"], ["hold"], ["hold", "90"], ["hold", "--", "-1s"], ["hold", "1h", "x"],
                 ["hold", "soon"], ["hold", "999999999d"]):
        code, out, err, sent = ask(p, [], *argv)
        expect(code == 2 and err.startswith(f"headroom {argv[0]}") and not out, f"{argv}: exit {code}: {out}{err}")
        expect(not sent, f"{argv}: it was sent")
    code, out, _ = p.run(p.headroom, "--help")
    expect(all(f"\n  {verb} " in out for verb in ("pause", "resume", "hold")), out)


def refusals(p):
    """Each names the group, headroomd's reason where it gave one, and what can be done; and is exit code 1."""
    cases = (("NoSuchGroup", "there is none", "/sys/fs/cgroup/"), ("NotAllowed", "its class is not paused", "Actions="),
             ("Busy", "it is frozen by somebody else", "try it again"), ("Failed", "I/O error", ""),
             ("NotPossible", "that is not possible here", ""), ("PermissionDenied", None, "only root"))
    for error, text, hint in cases:
        for json_too in ([], ["--json"]):
            reply = {"error": "io.headroom." + error, "parameters": {"text": text} if text else {}}
            code, out, err, _ = ask(p, [reply], *json_too, "pause", "/workload.slice/a")
            expect(code == 1 and not out, f"{error}: exit {code}: {out}")
            expect(err.startswith("headroom pause workload.slice/a: ") and (text or "") in err and hint in err, err)
            expect(err.count("\n") == 1, err)
    for reply, words in (({"error": "org.varlink.service.MethodNotFound", "parameters": {}}, "restart"), ({}, "something else"),
                         ({"error": 7}, "something else")):
        code, out, err, _ = ask(p, [reply], "hold", "1h")
        expect(code == 1 and err.startswith("headroom hold 1h: ") and words in err, f"{reply}: exit {code}: {out}{err}")
    code, out, err, _ = ask(p, [b"no JSON"], "hold", "1h")
    expect(code == 1 and "something else than JSON" in err and not out, f"exit {code}: {out}{err}")
    code, out, err, _ = ask(p, [], "resume", "a")
    expect(code == 6 and "does not answer" in err and not out, f"exit {code}: {out}{err}")
    code, out, err = p.cli(Tree(p.base), "pause", "workload.slice/a")
    expect(code == 6 and "headroom.sock" in err, f"nobody there: exit {code}: {err}")


def status_of_the_paused(p):
    code, out, err, _ = ask(p, [{"parameters": {"status": STATUS}}], "status")
    expect(code == 0 and "pauses:    7 since start, 4 resumed, 0 now\n" in out, f"exit {code}: {out}{err}")
    expect("paused:" not in out and "hold:" not in out and "reclaimed:" not in out, out)
    process = {**PAUSE, "group": "workload.slice/ray#17 ray::task", "pid": 17, "frozen": False, "why": "operator",
               "waits_for": "", "left_usec": None}
    status = {**STATUS, "pauses": [PAUSE, process], "pauses_left_out": 3, "hold_left_usec": 3540 * 10**6,
              "counters": {**STATUS["counters"], "reclaimed_bytes": 64 << 20}}
    code, out, err, _ = ask(p, [{"parameters": {"status": status}}], "status")
    expect(code == 0, f"exit {code}: {err}")
    first, second, more = [line for line in out.splitlines() if line.startswith("paused:")]
    expect("workload.slice/task-8 (batch) for 3.2s, holds 150.0M; growth: " in first, first)
    expect("; waits for 20M of room; at most 1.0min more" in first and "frozen" not in first, first)
    expect("workload.slice/ray#17 ray::task (batch) for 3.2s (not yet confirmed frozen)" in second, second)
    expect("operator: an operator asked for it" in second and "waits for" not in second and "at most" not in second, second)
    expect(more.endswith("and 3 more"), more)
    expect("7 since start, 4 resumed, 5 now" in out and "reclaimed: 64.0M" in out, out)
    held = [line for line in out.splitlines() if line.startswith("hold:")]
    expect(len(held) == 1 and "operator holds all actions for another 59.0min" in held[0] and "hold 0" in held[0], held)
    code, out, _, _ = ask(p, [{"parameters": {"status": status}}], "status", "--json")
    expect(code == 0 and json.loads(out) == {**status, "missing": [], "managers": []}, out)


def decision(action, why):
    return {"id": 12, "action": action, "method": "order", "why": why, "dry_run": False, "realtime_usec": 10**15,
            "trigger": "event", "detail": "high", "room": ROOM, "groups": 3, "candidates": 2, "candidates_cut": 0,
            "expected_bytes": 50 << 20, "victims": [candidate("a", "chosen")], "ended": True, "gone": 0, "stuck": 1,
            "failed": 0, "freed_bytes": 30 << 20, "used_after_bytes": 1, "need_after_bytes": 0, "select_usec": 1000,
            "signal_usec": 2000, "outcome_usec": 3000}


def candidate(group, verdict):
    return {"group": group, "verdict": verdict, "class": "batch", "priority": 300, "retriable": True,
            "over_request": True, "last": False, "request_bytes": None, "expected_bytes": 50 << 20,
            "progress_usec": 5, "age_usec": 7, "growth_bytes": 0}


def explained(p):
    """Each action in its own words; nothing is said of kills where nobody was killed."""
    verdicts = ("chosen", "culprit", "not-needed", "higher-tier", "protected", "actions", "dying", "frees-nothing",
                "too-many", "of-tomorrow")
    rows = {"candidates": [candidate(f"g-{v}", v) for v in verdicts]}
    cases = (("kill", "none", "killed", "spared", "signalled after 2.0ms"),
             ("pause", "growth", "paused", "runs on", "1 not frozen in time"),
             ("resume", "fits", "resumed", "left as it is", "resumed after 2.0ms"),
             ("reclaim", "none", "its cold memory was pushed out", "left alone", "should free 50.0M"))
    for action, why, did, did_not, outcome in cases:
        replies = [{"parameters": {"decision": decision(action, why)}, "continues": True}, {"parameters": rows}]
        code, out, err, _ = ask(p, replies, "explain", "12")
        expect(code == 0 and out.startswith(f"decision 12: {action}, at ") and outcome in out, f"exit {code}: {out}{err}")
        said = {line.split()[0][2:]: line for line in out.splitlines() if line.startswith("g-")}
        expect(list(said) == list(verdicts), out)
        expect(said["chosen"].endswith(f"  {did}") and f"  {did}" in said["culprit"], said)
        expect(did_not in said["not-needed"] and did_not in said["protected"], said)
        expect("is ending already" in said["dying"] and said["of-tomorrow"].endswith("  of-tomorrow"), said)
        expect((f"\nwhy: {why}: " in out) == (why != "none"), out)
        if action != "kill":
            expect("kill" not in out and "signalled" not in out and "gone" not in out, out)
        code, out, _, _ = ask(p, replies[:1] + [{"parameters": {}}], "events")
        expect(code == 0 and f" #12 {action}, " in out and " a (50.0M, " in out, out)
        expect((f"; {why}: " in out) == (why != "none") and ("; freed 30.0M" in out) == (why == "none"), out)
    short = decision("kill", "none")
    short["room"] = dict(short["room"], nodes="0,2-3")
    rows = {"candidates": [candidate("g", "elsewhere")]}
    replies = [{"parameters": {"decision": short}, "continues": True}, {"parameters": rows}]
    code, out, _, _ = ask(p, replies, "explain", "12")
    expect(code == 0 and "\nshort on nodes 0,2-3: on those used " in out, out)
    expect("spared: it holds nothing on the nodes that are short" in out, out)


def row(group, priority, **more):
    return {"group": group, "class": "batch", "state": "running", "priority": priority, "retriable": False, "over_request": True,
            "last": False, "owner_uid": 0, "used_bytes": 3 << 20, "anon_bytes": 1 << 20, "shmem_bytes": 2 << 20, "kernel_bytes": 0,
            "file_bytes": 7 << 20, "swap_bytes": 5 << 20, "zswap_bytes": 0, "progress_usec": 1000000, "age_usec": 2000000,
            "request_bytes": None, **more}


def groups_by_turn(p):
    """Of two messages one table, those first who would be taken first; page cache apart."""
    rows = [row("w/high", 700), row("w/slow", 300, progress_usec=9), row("w/within", 300, over_request=False, request_bytes=4 << 20),
            row("w/last", 300, last=True), row("w/plain", 300), row("w/again", 300, retriable=True), row("w/low", 1, state="paused")]
    replies = [{"parameters": {"groups": rows[:4]}, "continues": True}, {"parameters": {"groups": rows[4:]}}]
    wanted = ["w/low", "w/again", "w/slow", "w/plain", "w/last", "w/within", "w/high"]
    code, out, err, sent = ask(p, replies, "groups")
    lines = out.splitlines()
    expect(code == 0 and [line.split()[0] for line in lines[1:]] == wanted and not err, f"exit {code}: {out}{err}")
    expect(lines[0].split() == ["group", "class", "priority", "state", "used", "anon", "shmem", "file", "swap", "zswap", "progress",
                                "age", "request"], lines[0])
    expect(lines[1].split()[2:] == ["1", "paused", "3.0M", "1.0M", "2.0M", "7.0M", "5.0M", "0B", "1.0s", "2.0s", "none"], lines[1])
    expect(sent[0]["method"] == "io.headroom.Groups", sent)
    code, out, _, _ = ask(p, replies, "groups", "--json")
    expect(code == 0 and [g["group"] for g in json.loads(out)] == wanted, out)
    code, _, err, _ = ask(p, [], "groups", "x")
    expect(code == 2 and "no arguments" in err, err)


def groups_of_a_node(p):
    """More than one message holds."""
    tree = Tree(p.base)
    for i in range(3, 60):
        tree.group(f"workload.slice/task-{i}", 1 << 20, pid=100 + i, start=100)
    d = p.daemon(tree, "--dry-run", config="[Node]\nWorkload=workload.slice\n[Class batch]\nMatch=workload.slice/*\nPriority=200\n")
    code, out, err = p.cli(tree, "groups", "--json")
    groups = {g["group"]: g for g in json.loads(out or "[]")}
    expect(code == 0 and sorted(groups) == sorted(f"workload.slice/task-{i}" for i in range(1, 60)), f"exit {code}: {out}{err}")
    one = groups["workload.slice/task-1"]
    expect(one["used_bytes"] == one["anon_bytes"] == 100 << 20 and one["file_bytes"] == 0, one)
    expect(one["class"] == "batch" and one["priority"] == 200 and one["state"] == "running" and one["request_bytes"] is None, one)
    if os.geteuid() == 0:
        code, out, err = p.cli(tree, "groups", user=NOBODY)
        expect(code == 1 and not out and "not allowed" in err, f"exit {code}: {out}{err}")
    d.stop()


def who_may_change(p):
    """Not he who may read the status; and nobody is told of what he may not do whether it would be possible."""
    if os.geteuid() != 0:
        return "needs root, to give it up"
    tree = Tree(p.base)
    d = p.daemon(tree, "--dry-run", config="[Node]\nMode=auto\nStatusAccess=all\n")
    for argv in (("pause", "workload.slice/task-1"), ("resume", "no/such"), ("hold", "1h"), ("hold", "0")):
        code, out, err = p.cli(tree, *argv, user=NOBODY)
        expect(code == 1 and not out, f"{argv}: exit {code}: {out}{err}")
        expect(err == f"headroom {argv[0]} {argv[1]}: only root may do that: run it as root\n", err)
    code, out, err = p.cli(tree, "status", user=NOBODY)
    expect(code == 0, f"exit {code}: {out}{err}")
    for verb in ("pause", "resume"):
        code, out, err = p.cli(tree, verb, "/sys/fs/cgroup/no/such/group")
        expect(code == 1 and err.startswith(f"headroom {verb} no/such/group: ") and not out, f"exit {code}: {out}{err}")
    expect(p.status(tree)["counters"]["pauses"] == 0 and p.status(tree)["pauses"] == [], "somebody was paused")
    expect(tree.read("sys/fs/cgroup/workload.slice/task-1/cgroup.procs") == "101", "the tree was touched")
    d.stop()
    return None


def wrong_commands(p):
    """Root's, but not sound: each is refused, and nothing is done."""
    tree = Tree(p.base)
    d = p.daemon(tree, "--dry-run")
    with d.connect() as s:
        for method, parameters in (("Pause", '{}'), ("Pause", '{"group":7}'), ("Pause", '{"group":""}'),
                                   ("Pause", '{"group":"%s"}' % ("x" * 256)), ("Pause", '{"group":"a\\u0000b"}'),
                                   ("Resume", '[]'), ("Hold", '{"usec":-1}'), ("Hold", '{"usec":"1h"}'),
                                   ("Hold", '{"usec":1e9}'), ("Hold", '{"usec":99999999999999999999}')):
            s.sendall(b'{"method":"io.headroom.%s","parameters":%s}\0' % (method.encode(), parameters.encode()))
            reply = json.loads(s.recv(65536)[:-1])
            wanted = ("InvalidParameter",) if os.geteuid() == 0 else ("PermissionDenied", "InvalidParameter")
            expect(any(w in reply["error"] for w in wanted), f"{method} {parameters}: {reply}")
    expect(p.status(tree)["hold_left_usec"] is None, "held")
    d.stop()


TESTS = [what_is_sent, usage, refusals, status_of_the_paused, explained, groups_by_turn, groups_of_a_node, who_may_change, wrong_commands]
