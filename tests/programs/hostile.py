"""Clients of the control socket that mean no good, and those that come at the same time."""
import json
import os
import socket
import time

from tree import NOBODY, Tree, expect

STATUS = b'{"method":"io.headroom.Status"}\0'
CLIENTS_MAX = 8


def ask(s, request=STATUS):
    """One request to one reply; None where the other side hung up."""
    s.sendall(request)
    reply = b""
    while not reply.endswith(b"\0"):
        try:
            piece = s.recv(65536)
        except ConnectionResetError:
            return None
        if not piece:
            return None
        reply += piece
    return json.loads(reply[:-1])


def hung_up(s):
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True
    except socket.timeout:
        return False


def garbage(p):
    tree = Tree(p.base)
    d = p.daemon(tree)
    with d.connect() as s:
        for request in (b"\0", b"garbage\0", b"{}\0", b"[]\0", b"\xff\xfe\0", b'{"method":7}\0'):
            reply = ask(s, request)
            expect(reply and "InvalidParameter" in reply["error"], f"{request}: {reply}")
        expect("MethodNotFound" in ask(s, b'{"method":"io.headroom.Undo"}\0')["error"], "an unknown method")
        info = ask(s, b'{"method":"org.varlink.service.GetInfo"}\0')["parameters"]
        expect(info["product"] == "headroomd" and "io.headroom" in info["interfaces"], info)
        expect("status" in ask(s)["parameters"], "no status after garbage")
    for _ in range(200):  # random bytes, each to its own client
        with d.connect() as s:
            s.sendall(os.urandom(500) + b"\0")
    p.status(tree)
    d.stop()


def greedy(p):
    """Requests that want more of the parser than there is for it."""
    tree = Tree(p.base)
    d = p.daemon(tree)
    for filler in (b"{},", b"[],", b"[", b'{"a":', b'"",', b"1,", b'{"a":{}},'):
        for rest in (0, 10, 100, 500, 1000, 2000, 3000, 4000):
            with d.connect() as s:
                body = b"[" + filler * ((4000 - rest) // len(filler)) + b'"' + b"s" * rest + b'"'
                ask(s, body[:4095] + b"\0")
    p.status(tree)
    d.stop()


def endless(p):
    tree = Tree(p.base)
    d = p.daemon(tree)
    with d.connect() as s:
        try:
            for _ in range(10000):
                s.sendall(b"x" * 1000)
        except (BrokenPipeError, ConnectionResetError):
            pass
        else:
            expect(False, "it is still listened to")
    p.status(tree)
    d.stop()


def does_not_read(p):
    tree = Tree(p.base)
    d = p.daemon(tree)
    deaf = d.connect()
    deaf.setblocking(False)
    sent = 0
    until = time.monotonic() + 1
    while time.monotonic() < until:
        try:
            sent += deaf.send(STATUS)
        except BlockingIOError:
            time.sleep(0.01)
    expect(sent > 0, "nothing was taken")
    begin = time.monotonic()
    p.status(tree)
    expect(time.monotonic() - begin < 2, "others wait for it")
    looks = p.status(tree)["counters"]["wakeups"]
    time.sleep(2)
    expect(p.status(tree)["counters"]["wakeups"] - looks < 100, "it keeps the daemon awake")
    deaf.close()
    d.stop()


def too_many(p):
    tree = Tree(p.base)
    d = p.daemon(tree)
    sitting = [d.connect() for _ in range(CLIENTS_MAX)]
    expect("status" in ask(sitting[0])["parameters"], "the first one")
    p.status(tree)  # there is always room for one who asks
    expect("status" in ask(sitting[0])["parameters"], "the one that asked last had to go")
    expect(hung_up(sitting[1]), "the silent one was kept")
    for s in sitting:
        s.close()
    crowd = [d.connect() for _ in range(100)]
    p.status(tree)
    for s in crowd:
        s.close()
    p.status(tree)
    d.stop()


def strangers_keep_nobody_out(p):
    """Those who may not read the status hold all places, and come again at once: root is answered all the same."""
    if os.geteuid() != 0:
        return "needs root, to give it up"
    tree = Tree(p.base)
    d = p.daemon(tree)
    path = tree.path("run/headroom/headroom.sock")
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        held = []
        until = time.monotonic() + 3
        os.write(told, b"x")
        while time.monotonic() < until:
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            try:
                s.connect(path)
            except OSError:
                pass
            held = held[-50:] + [s]
        os._exit(0)
    os.read(ready, 1)
    try:
        for _ in range(20):
            p.status(tree)
            time.sleep(0.05)
    finally:
        os.waitpid(child, 0)
        os.close(ready)
        os.close(told)
    d.stop()
    return None


def half_requests(p):
    tree = Tree(p.base)
    d = p.daemon(tree)
    with d.connect() as s:
        for byte in STATUS[:-1]:
            s.sendall(bytes([byte]))
        expect("status" in ask(s, STATUS[-1:])["parameters"], "byte by byte")
        s.sendall(STATUS * 3)
        reply = b""
        while reply.count(b"\0") < 3:
            reply += s.recv(65536)
        s.sendall(STATUS[:5])
        s.shutdown(socket.SHUT_WR)
        expect(hung_up(s), "half a request and no more")
    p.status(tree)
    d.stop()


TESTS = [garbage, greedy, endless, does_not_read, too_many, strangers_keep_nobody_out, half_requests]
