"""A program that is built against systemd's own library alone (254 or newer) is asked over a socket that speaks as headroomd's
does: a connection for each program, and on it a byte that says how short memory is. tests/tools/unmodified builds it."""
import os
import socket
import subprocess
import tempfile

from installed import REPOSITORY
from tree import expect


def built(p):
    """NULL: the library cannot be had now."""
    r = subprocess.run([os.path.join(REPOSITORY, "tests/tools/unmodified"), p.build], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    expect(r.returncode in (0, 2), f"exit {r.returncode}: {r.stderr}")
    return (r.stdout.strip(), "") if r.returncode == 0 else (None, r.stderr.strip())


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


class Unmodified:
    def __init__(self, program, path):
        env = dict(os.environ, MEMORY_PRESSURE_WATCH=path)
        env.pop("MEMORY_PRESSURE_WRITE", None)
        self.process = subprocess.Popen([program, "64"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def unmodified_client(p):
    """Each of the bytes asks it; none does not."""
    program, reason = built(p)
    if not program:
        return reason
    for byte in (b"l", b"m", b"c"):
        path = tempfile.mktemp(dir=p.base, suffix=".sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(8)
            listener.settimeout(20)
            with Unmodified(program, path) as client:
                s, _ = listener.accept()
                with s:
                    expect(client.process.stdout.readline() == "ready\n", "it is not ready")
                    expect(resident(client.process.pid) > 60 << 20, "it does not hold what it should")
                    s.settimeout(0.3)
                    try:
                        expect(s.recv(16) == b"", "it says something, though it has nothing to write")
                    except TimeoutError:
                        pass
                    expect(client.process.poll() is None, "it has ended before it was asked")
                    s.sendall(byte)
                    expect(client.process.stdout.readline() == "asked\n", f"{byte}: it did not react")
                    expect(client.process.wait(timeout=20) == 0, f"{byte}: exit {client.process.returncode}")
    return None


def unmodified_when_it_ends(p):
    """What whoever serves the socket has to know: to systemd's library (254 at least) the end of the connection is as good as being
    asked, and it goes on being so, since nobody takes the descriptor out of its loop. So connections must outlive a restart."""
    program, reason = built(p)
    if not program:
        return reason
    path = tempfile.mktemp(dir=p.base, suffix=".sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)
        listener.settimeout(20)
        with Unmodified(program, path) as client:
            s, _ = listener.accept()
            expect(client.process.stdout.readline() == "ready\n", "it is not ready")
            s.close()
            expect(client.process.stdout.readline() == "asked\n", "an end is no word any more: say so where it is relied upon")
            client.process.wait(timeout=20)
    return None


TESTS = [unmodified_client, unmodified_when_it_ends]
