"""The log, systemd's protocol, status, undo without a daemon, and the rule that the loop process takes no heap."""
import fcntl
import os
import signal
import socket
import time

from tree import CONFIG, MIB, NOBODY, SLICE, Failed, Tree, expect, wait_for

F_SETPIPE_SZ = 1031


def blocked_stderr(p):
    """A full pipe that nobody reads: the daemon goes on and answers, counts what it loses, and says so later."""
    tree = Tree(p.base)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, F_SETPIPE_SZ, 4096)
    d = p.daemon(tree, stderr=writer)
    os.set_blocking(writer, True)

    def lost():
        for _ in range(100):
            d.signal(signal.SIGHUP)
            time.sleep(0.0002)
        return p.status(tree)["counters"]["log_lines_dropped"]

    count = wait_for("lost lines", lost, 60)
    expect(p.status(tree)["counters"]["looks"] > 0, "it does not look")
    os.set_blocking(reader, False)
    text = ""

    def said():
        nonlocal text
        d.signal(signal.SIGHUP)
        try:
            text += os.read(reader, 65536).decode()
        except BlockingIOError:
            pass
        return "log_lines_dropped=" in text

    wait_for("the count of lost lines", said)
    expect("event=start " in text, "the first line is not there")
    expect(all(line == "" or "=" in line for line in text.split("\n")[:-1]), "a torn line")
    expect(count > 0, "none counted")
    d.stop()
    os.close(reader)
    os.close(writer)


def blocked_stderr_at_the_end(p):
    """Nor does it keep the daemon from stopping."""
    tree = Tree(p.base)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(writer, True)
    d = p.daemon(tree, stderr=writer)
    d.stop()
    os.close(reader)
    os.close(writer)


def readiness(p):
    tree = Tree(p.base)
    path = os.path.join(tree.root, "notify")
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    s.settimeout(15)
    d = p.daemon(tree, env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"})
    heard = [s.recv(256) for _ in range(5)]
    expect(heard.count(b"READY=1") == 1 and heard.count(b"WATCHDOG=1") == 4, heard)
    d.stop()
    last = b""
    s.settimeout(1)
    try:
        while True:
            last = s.recv(256)
    except socket.timeout:
        pass
    expect(last == b"STOPPING=1", last)


def status_of_nobody(p):
    code, _, err = p.cli(Tree(p.base), "status")
    expect(code == 6 and "headroom.sock" in err, f"exit {code}: {err}")
    code, _, err = p.run(p.headroom, "--socket", "/" + "x" * 300, "status")
    expect(code == 6 and err, f"a long name: exit {code}: {err}")


def undo_of_nothing(p):
    tree = Tree(p.base)
    code, out, err = p.cli(tree, "undo")
    expect(code == 0 and "nothing to undo" in out, f"exit {code}: {out}{err}")
    os.makedirs(tree.path("run/headroom"))
    code, out, err = p.cli(tree, "undo")
    expect(code == 0 and "nothing to undo" in out, f"exit {code}: {out}{err}")
    code, out, err = p.run(p.headroom, "--sysroot", "/no/such/dir", "undo")
    expect(code == 1 and "/no/such/dir" in err, f"no tree: exit {code}: {out}{err}")
    if os.geteuid() == 0:
        os.chmod(tree.path("run"), 0o700)
        code, out, err = p.cli(tree, "undo", user=NOBODY)
        expect(code == 1 and "Permission denied" in err, f"not allowed: exit {code}: {out}{err}")


def who_may_read_the_status(p):
    if os.geteuid() != 0:
        return "needs root, to give it up"
    for access, good in (("", False), ("StatusAccess=all\n", True)):
        tree = Tree(p.base)
        d = p.daemon(tree, config="[Node]\nMode=auto\n" + access)
        code, out, err = p.cli(tree, "status", user=NOBODY)
        if good:
            expect(code == 0 and "mode:" in out, f"exit {code}: {out}{err}")
        else:
            expect(code == 1 and "not allowed" in err and not out, f"exit {code}: {out}{err}")
        d.stop()
    return None


def no_heap(p):
    """Looks, status, hostile requests, a decision and a kill, without one allocation in the loop process."""
    if p.sanitized:
        return "a sanitizer has the allocator"
    tree = Tree(p.base)
    armed = tree.path("armed")
    d = p.daemon(tree, env={"LD_PRELOAD": p.no_heap, "NO_HEAP_ARMED": armed})
    p.status(tree)
    open(armed, "w").close()
    with d.connect() as s:
        for request in (b"garbage", b'{"method":"x"}', b'{"method":"io.headroom.Hold","parameters":{"usec":0}}',
                        b'{"method":"io.headroom.Pause","parameters":{"group":"no/such"}}',
                        b'{"method":"io.headroom.Resume","parameters":{"group":"no/such#1"}}', b"[" * 2000, b'[' + b'{},' * 1300 + b'"' + b"x" * 100 + b'"'):
            s.sendall(request + b"\0")
            s.recv(65536)
    d.signal(signal.SIGHUP)
    tree.over()
    tree.event(high=1)
    wait_for("cgroup.kill", lambda: d.process.poll() is not None or tree.read(SLICE + "/task-2/cgroup.kill") == "1")
    tree.calm()
    tree.write(SLICE + "/task-2/cgroup.events", "populated 0\nfrozen 0\n")
    d.said("decision=1 ")
    p.status(tree)
    time.sleep(2.5)
    os.rename(tree.path(SLICE), tree.path("gone"))
    tree.workload()
    time.sleep(2.5)
    p.status(tree)
    expect("no_heap:" not in d.log(), d.log())
    os.unlink(armed)
    d.stop()
    return None


def no_heap_with_many_groups(p):
    """More groups than MaxGroups, a dry run with decisions, and every kind of request, hostile ones among them."""
    if p.sanitized:
        return "a sanitizer has the allocator"
    tree = Tree(p.base)
    for i in range(80):
        tree.group(f"workload.slice/many-{i:03}", 4 * MIB, pid=200 + i, start=300 + i)
    armed = tree.path("armed")
    d = p.daemon(tree, "--dry-run", env={"LD_PRELOAD": p.no_heap, "NO_HEAP_ARMED": armed},
                 config=CONFIG + "MaxGroups=64\n")
    open(armed, "w").close()
    tree.over()
    d.said("decision=1 ")
    requests = [b'{"method":"org.varlink.service.GetInfo"}', b'{"method":"org.varlink.service.GetInterfaceDescription"}',
                b'{"method":"io.headroom.Status"}', b'{"method":"io.headroom.Explain"}',
                b'{"method":"io.headroom.Explain","parameters":{"id":1}}',
                b'{"method":"io.headroom.Explain","parameters":{"id":99}}',
                b'{"method":"io.headroom.Explain","parameters":{"id":"x"}}',
                b'{"method":"io.headroom.Events","parameters":{"since_usec":100000000}}',
                b'{"method":"io.headroom.Hold","parameters":{"usec":1000}}',
                b'{"method":"io.headroom.Pause","parameters":{"group":"workload.slice/many-001"}}',
                b'{"method":"io.headroom.Resume","parameters":{"group":"workload.slice/many-001"}}',
                b'{"method":"io.headroom.Nothing"}', b'{"method":7}', b"[]", b"", b"\xff\xfe", b'"' + b"x" * 3000 + b'"',
                b'{"a":{"a":{"a":{"a":{"a":{"a":[1.5e300,-1,true,null]}}}}}}']
    for request in requests:
        with d.connect() as s:
            s.sendall(request + b"\0")
            try:
                s.recv(65536)
            except socket.timeout:
                raise Failed(f"no answer to {request[:80]}") from None
    with d.connect() as follower, d.connect() as silent:
        follower.sendall(b'{"method":"io.headroom.Events","parameters":{"follow":true},"more":true}\0')
        silent.sendall(b'{"method":"io.headroom.Explain"}\0' * 20)  # and it reads nothing
        d.said("decision=2 ", 30)
        expect(b"decision" in follower.recv(65536), "the follower hears nothing")
    clients = [d.connect() for _ in range(12)]  # more than there is room for
    for c in clients:
        c.close()
    d.signal(signal.SIGHUP)
    status = p.status(tree)
    expect(status["counters"]["groups_left_out"] >= 16, status["counters"])
    expect("no_heap:" not in d.log() and d.process.poll() is None, d.log()[-600:])
    os.unlink(armed)
    d.stop()
    return None


def no_heap_can_fail(p):
    """The same preload, armed before the start, ends the daemon: the test above is able to fail."""
    if p.sanitized:
        return "a sanitizer has the allocator"
    tree = Tree(p.base)
    open(tree.path("armed"), "w").close()
    code, _, err = p.run("/usr/bin/env", f"LD_PRELOAD={p.no_heap}", f"NO_HEAP_ARMED={tree.path('armed')}", p.headroomd,
                         "--sysroot", tree.root, "--check-config", "--config", p.config("[Node]\n"))
    expect(code == -signal.SIGABRT and "no_heap: " in err, f"exit {code}: {err}")
    return None


TESTS = [blocked_stderr, blocked_stderr_at_the_end, readiness, status_of_nobody, undo_of_nothing,
         who_may_read_the_status, no_heap, no_heap_with_many_groups, no_heap_can_fail]
