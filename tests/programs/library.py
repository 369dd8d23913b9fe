"""libheadroom as others meet it: what it exports and needs, header and pkg-config file as they are installed, the Python module,
the examples, and (if asked for by HEADROOM_VALGRIND) valgrind's opinion. What it does is tested in tests/unit/client."""
import ast
import os
import re
import shutil
import signal
import subprocess
import tempfile

from installed import REPOSITORY, installed, read
from tree import expect, wait_for

PYTHON_TESTS = os.path.join(REPOSITORY, "python/tests")


def library(p):
    return os.path.abspath(os.path.join(p.build, "src/client"))


def environment(p, **more):
    env = dict(os.environ, LD_LIBRARY_PATH=library(p), PYTHONPATH=os.path.join(REPOSITORY, "python"), PYTHONDONTWRITEBYTECODE="1")
    for name in ("MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE"):
        env.pop(name, None)
    if p.sanitized:  # Python itself is not
        asan = subprocess.check_output(["gcc", "-print-file-name=libasan.so"], text=True).strip()
        env.update(LD_PRELOAD=os.path.realpath(asan), ASAN_OPTIONS="detect_leaks=0")
    env.update(more)
    return env


def listed(p):
    return sorted(re.findall(r"(?m)^\s+(headroom_\w+);", read("src/client/libheadroom.map")))


def abi(p):
    """The library exports what the map lists, each with its version, and the header declares the same."""
    code, out, err = p.run("nm", "-D", "--defined-only", os.path.join(library(p), "libheadroom.so.0"))
    expect(code == 0, err)
    symbols = [line.split()[-1] for line in out.splitlines()]
    exported = sorted(s.split("@@")[0] for s in symbols if s != "HEADROOM_0.1")
    expect(exported == listed(p), f"exported and not listed, or the reverse: {set(exported) ^ set(listed(p))}")
    expect(all(s.endswith("@@HEADROOM_0.1") for s in symbols if s.startswith("headroom")), f"versions: {symbols}")
    header = re.sub(r"/\*.*?\*/", "", read("include/headroom.h"), flags=re.S)
    declared = sorted(re.findall(r"\b(headroom_\w+)\(", header))
    expect(declared == listed(p), f"declared and not exported, or the reverse: {set(declared) ^ set(listed(p))}")
    page = read("man/libheadroom.3.scd")
    for name in listed(p):
        expect(name in page, f"libheadroom(3) does not know {name}")


def needs_nothing_else(p):
    _, out, _ = p.run("readelf", "-d", os.path.join(library(p), "libheadroom.so.0"))
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", out)
    sanitizers = {name for name in needed if p.sanitized and re.match(r"lib(asan|ubsan)\.so", name)}
    expect(set(needed) - sanitizers <= {"libc.so.6", "libpthread.so.0"}, f"it needs {needed}")
    expect("[libheadroom.so.0]" in out, f"soname: {out}")


def header_stands_alone(p):
    source = os.path.join(tempfile.mkdtemp(dir=p.base), "x.c")
    with open(source, "w", encoding="utf-8") as f:
        f.write("#include <headroom.h>\n#include <headroom.h>\n"
                "int x(void);\nint x(void) { return headroom_watch_get_fd(0) + HEADROOM_CALM; }\n")
    flags = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-I", os.path.join(REPOSITORY, "include"), source]
    for compiler in (["gcc", "-std=c99"], ["gcc", "-std=c11"], ["g++", "-x", "c++", "-std=c++11"]):
        if shutil.which(compiler[0]) or compiler[0] == "gcc":
            code, _, err = p.run(*compiler, *flags)
            expect(code == 0, f"{compiler}: {err}")


def pkg_config(p):
    """A program is built with what was installed and nothing else, and finds the library by its soname."""
    files = installed(p)
    pc = next(path for name, path in files.items() if name.endswith("/libheadroom.pc"))
    prefix = files["include/headroom.h"][:-len("/include/headroom.h")]
    env = dict(os.environ, PKG_CONFIG_PATH=os.path.dirname(pc))
    flags = subprocess.check_output(["pkg-config", "--define-variable=prefix=" + prefix, "--cflags", "--libs", "libheadroom"],
                                    env=env, text=True).split()
    expect("-lheadroom" in flags and f"-I{prefix}/include" in flags, f"flags: {flags}")
    expect(len([f for f in flags if f.startswith("-l")]) == 1, f"it asks for more libraries: {flags}")
    program = os.path.join(tempfile.mkdtemp(dir=p.base), "cache")
    more = ["-fsanitize=address,undefined"] if p.sanitized else []
    code, _, err = p.run("gcc", "-Wall", "-Wextra", "-Werror", *more, files["share/doc/headroom/examples/cache.c"], "-o", program, *flags,
                         timeout=120)
    expect(code == 0, err)
    directory = next(f[2:] for f in flags if f.startswith("-L"))
    example(p, [program], dict(os.environ, LD_LIBRARY_PATH=directory), "medium")


def example(p, argv, env, closed):
    """Fills its cache, gives back what its head says at each level, and ends well. `closed` is the last level that is told."""
    fifo = os.path.join(tempfile.mkdtemp(dir=p.base), "fifo")
    os.mkfifo(fifo)
    log = fifo + ".log"
    with open(log, "w", encoding="utf-8") as f:
        process = subprocess.Popen(argv, env=dict(env, MEMORY_PRESSURE_WATCH=fifo), stdin=subprocess.DEVNULL, stdout=f, stderr=f)
    try:
        def said(words):
            wait_for(f"'{words}' of {os.path.basename(argv[-1])}: {open(log, encoding='utf-8').read()[-800:]}",
                     lambda: words in open(log, encoding="utf-8").read() or process.poll() is not None)
            expect(words in open(log, encoding="utf-8").read(), f"exit {process.poll()}: {open(log, encoding='utf-8').read()[-800:]}")

        said("ready: 1024 entries")
        before = resident(process.pid)
        with open(fifo, "wb", buffering=0) as f:
            f.write(b"l")
            said("low: 512 entries")
            f.write(closed[:1].encode())
            said(f"{closed}: 0 entries")
        if not p.sanitized:
            wait_for(f"60 of 64 MiB to be given back, {before >> 20} MiB before",
                     lambda: before - resident(process.pid) > 60 << 20)
        process.send_signal(signal.SIGTERM)
        expect(process.wait(timeout=15) == 0, f"exit {process.returncode}: {open(log, encoding='utf-8').read()[-800:]}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def example_in_c(p):
    example(p, [os.path.join(p.build, "examples/cache")], environment(p, LD_PRELOAD="", ASAN_OPTIONS=""), "critical")


def example_in_python(p):
    example(p, ["python3", os.path.join(REPOSITORY, "examples/cache.py")], environment(p), "critical")


def example_on_sd_event(p):
    """Built where libsystemd's header is."""
    program = os.path.join(p.build, "examples/sd_event")
    if not os.path.exists(program):
        return "libsystemd's header is not there"
    fifo = os.path.join(tempfile.mkdtemp(dir=p.base), "fifo")
    os.mkfifo(fifo)
    process = subprocess.Popen([program], env=environment(p, MEMORY_PRESSURE_WATCH=fifo, LD_PRELOAD="", ASAN_OPTIONS=""),
                               stdin=subprocess.DEVNULL)
    try:
        with open(fifo, "wb", buffering=0) as f:
            f.write(b"m")
            f.write(b"c")
            expect(process.wait(timeout=15) == 0, f"exit {process.returncode}")  # it is idle
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return None


def valgrind(p):
    """No leak, no wrong access, no descriptor left, over everything that the library does in its own tests."""
    directory = os.path.join(p.build, "tests/unit/client")
    for name in ("base64", "cycles", "find", "protocol", "psi", "reaction", "thread"):
        r = subprocess.run(["valgrind", "-q", "--error-exitcode=9", "--leak-check=full",
                            # What a forked child of a test still has of cmocka's is "reachable".
                            "--errors-for-leak-kinds=definite,indirect,possible", "--child-silent-after-fork=yes",
                            "--fair-sched=yes",
                            os.path.join(directory, f"test-client-{name}")], env=dict(os.environ, HEADROOM_CYCLES="500"),
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240, check=False)
        expect(r.returncode == 0, f"{name}: exit {r.returncode}: {r.stdout.decode(errors='replace')[-1500:]}")
    return None


def python_test(name):
    """One test of the module's, in a process of its own."""
    def run(p):
        r = subprocess.run(["python3", "-W", "error", "-m", "unittest", "test_headroom." + name], env=environment(p), cwd=PYTHON_TESTS,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
        out = r.stdout.decode(errors="replace")
        expect(r.returncode == 0 and "Ran 1 test" in out, f"exit {r.returncode}: {out[-1500:]}")
        skipped = re.search(r"OK \(skipped=1\)", out)
        return "it says so itself" if skipped else None

    run.__name__ = "python_" + name.replace(".", "_")
    return run


def python_tests():
    tree = ast.parse(read("python/tests/test_headroom.py"))
    return [python_test(f"{c.name}.{f.name}") for c in tree.body if isinstance(c, ast.ClassDef)
            for f in c.body if isinstance(f, ast.FunctionDef) and f.name.startswith("test_")]


TESTS = [abi, needs_nothing_else, header_stands_alone, pkg_config, example_in_c, example_in_python, example_on_sd_event,
         *python_tests(), *([valgrind] if os.environ.get("HEADROOM_VALGRIND") else [])]
