"""The Python module, with a server of its own for a counterpart. tests/programs runs each test by itself; by hand:

    LD_LIBRARY_PATH=build/src/client PYTHONPATH=python python3 -m unittest discover python/tests
"""
import asyncio
import base64
import gc
import inspect
import os
import select
import socket
import tempfile
import threading
import time
import typing
import unittest

import headroom
from headroom import Level, Source, Watch

LIMIT = 10.0


def readable(watch, seconds):
    return bool(select.select([watch], [], [], seconds)[0])


def told(watch, seconds=LIMIT):
    """The next level that the watch tells, None after so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if readable(watch, until - time.monotonic()):
            level = watch.read()
            if level is not None:
                return level
    return None


class Case(unittest.TestCase):
    def setUp(self):
        for name in ("MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE"):
            os.environ.pop(name, None)
        folder = tempfile.TemporaryDirectory(prefix="headroom-")
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "s")
        self.listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listener.close)
        self.listener.bind(self.path)
        self.listener.listen()
        self.listener.settimeout(LIMIT)

    def watch(self, *args, **kwargs):
        watch = Watch(*args, **kwargs)
        self.addCleanup(watch.close)
        return watch

    def connected(self, **kwargs):
        watch = self.watch(self.path, **kwargs)
        server = self.listener.accept()[0]
        self.addCleanup(server.close)
        return watch, server


class Opening(Case):
    def test_socket(self):
        watch, server = self.connected(payload=b"a\0b")
        self.assertEqual(server.recv(16), b"a\0b")
        self.assertEqual((watch.source, watch.path, watch.level), (Source.SOCKET, self.path, Level.CALM))
        self.assertIsNone(watch.read())

    def test_environment(self):
        os.environ["MEMORY_PRESSURE_WATCH"] = self.path
        os.environ["MEMORY_PRESSURE_WRITE"] = base64.b64encode(b"\0x").decode()
        watch = self.watch()
        server = self.listener.accept()[0]
        self.assertEqual(server.recv(16), b"\0x")
        server.close()
        self.assertEqual(watch.path, self.path)

    def test_fifo(self):
        fifo = self.path + ".fifo"
        os.mkfifo(fifo)
        watch = self.watch(fifo)
        self.assertEqual(watch.source, Source.FIFO)
        with open(fifo, "wb", buffering=0) as f:
            f.write(b"c")
            self.assertEqual(told(watch), Level.CRITICAL)

    def test_off(self):
        watch = self.watch("/dev/null")
        self.assertEqual((watch.source, watch.level, watch.read()), (Source.OFF, Level.CALM, None))
        self.assertFalse(readable(watch, 0.1))

    def test_kernel(self):
        if not os.access("/proc/pressure/memory", os.W_OK):
            self.skipTest("this kernel has no PSI")
        self.assertEqual(self.watch("/proc/pressure/memory").source, Source.PSI)

    def test_path_types(self):
        class Path:
            def __fspath__(self):
                return "/dev/null"

        for path in (b"/dev/null", Path()):
            self.assertEqual(self.watch(path).source, Source.OFF)
        self.assertRaises(TypeError, Watch, 3)
        self.assertRaises(ValueError, Watch, "/dev/null\0x")

    def test_errors(self):
        with self.assertRaisesRegex(ValueError, "^relative: not an absolute path$"):
            Watch("relative")
        with self.assertRaisesRegex(ValueError, "neither a pressure file"):
            Watch("/")
        with self.assertRaisesRegex(ValueError, "needs a path"):
            Watch(payload=b"x")
        with self.assertRaisesRegex(ValueError, "longer than 4096 bytes"):
            Watch(self.path, b"x" * 4097)
        with self.assertRaisesRegex(ValueError, "a day at most"):
            Watch(self.path, hold=1e6)
        self.assertRaises(ValueError, Watch, self.path, hold=-1)
        os.environ["MEMORY_PRESSURE_WATCH"] = "x"
        with self.assertRaisesRegex(ValueError, r"^\$MEMORY_PRESSURE_WATCH=x: not an absolute path$"):
            Watch()

    def test_not_there_yet(self):
        watch = self.watch(self.path + ".later")
        self.assertEqual((watch.source, watch.path), (Source.NONE, ""))


class Telling(Case):
    def test_levels(self):
        watch, server = self.connected()
        for byte, level in ((b"l", Level.LOW), (b"x", Level.MEDIUM), (b"c", Level.CRITICAL), (b"m", Level.MEDIUM)):
            server.send(byte)
            self.assertEqual(told(watch), level)
            self.assertEqual(watch.level, level)

    def test_back_to_calm(self):
        watch, server = self.connected(hold=0.2)
        server.send(b"c")
        self.assertEqual(told(watch), Level.CRITICAL)
        self.assertEqual(told(watch), Level.CALM)
        self.assertEqual(watch.level, Level.CALM)

    def test_server_restarts(self):
        watch, server = self.connected()
        server.close()
        until = time.monotonic() + LIMIT
        self.listener.settimeout(0.02)
        server = None
        while server is None and time.monotonic() < until:
            if readable(watch, 0.02):
                watch.read()
            try:
                server = self.listener.accept()[0]
            except socket.timeout:
                pass
        server.send(b"l")
        self.assertEqual(told(watch), Level.LOW)
        server.close()

    def test_fork(self):
        watch, server = self.connected()
        server.send(b"l")
        child = os.fork()
        if child == 0:
            try:
                watch.read()
            except ChildProcessError:
                watch.close()
                os._exit(0)
            os._exit(1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(told(watch), Level.LOW)


class Reacting(Case):
    def test_order(self):
        watch, calls = self.watch("/dev/null"), []
        watch.add_reaction(lambda level: calls.append("trim"), cost=headroom.COST_LAST)
        watch.add_reaction(lambda level: calls.append("dear"), level=Level.CRITICAL, cost=100)
        watch.add_reaction(lambda level: calls.append("cheap"), level=Level.LOW, cost=1)
        watch.add_reaction(lambda level: calls.append(level.name), level=Level.CALM)
        for level, expected in ((Level.CALM, ["CALM"]), (Level.LOW, ["LOW", "cheap", "trim"]),
                                (Level.CRITICAL, ["CRITICAL", "cheap", "dear", "trim"])):
            self.assertEqual(watch.react(level), len(expected))
            self.assertEqual(calls, expected)
            calls.clear()

    def test_ready_made(self):
        watch = self.watch("/dev/null")
        watch.add_reaction(headroom.trim, cost=headroom.COST_LAST)
        watch.add_reaction(headroom.collect)
        for level in (Level.LOW, Level.MEDIUM, Level.CRITICAL):
            self.assertEqual(watch.react(level), 2)

    def test_one_fails(self):
        watch, calls = self.watch("/dev/null"), []

        def fail(level):
            calls.append("fail")
            raise KeyError("x")

        watch.add_reaction(fail)
        watch.add_reaction(calls.append, cost=1)
        self.assertRaises(KeyError, watch.react, Level.LOW)
        self.assertEqual(calls, ["fail", Level.LOW])

    def test_wrong_ones(self):
        watch = self.watch("/dev/null")
        self.assertRaises(TypeError, watch.add_reaction, 3)
        self.assertRaises(ValueError, watch.add_reaction, print, level=7)

    def test_asyncio(self):
        watch, server = self.connected(hold=0.2)
        calls = []

        async def run():
            watch.attach()
            self.assertRaises(RuntimeError, watch.attach)
            self.assertRaises(RuntimeError, watch.start_thread)
            server.send(b"c")
            until = time.monotonic() + LIMIT
            while len(calls) < 2 and time.monotonic() < until:
                await asyncio.sleep(0.02)
            watch.detach()
            server.send(b"c")
            await asyncio.sleep(0.2)

        watch.add_reaction(calls.append, level=Level.CALM)
        asyncio.run(run())
        self.assertEqual(calls, [Level.CRITICAL, Level.CALM])

    def test_thread(self):
        watch, server = self.connected(hold=0.2)
        calls, done, hooked = [], threading.Event(), []

        def react(level):
            calls.append((level, threading.current_thread().name))
            if len(calls) == 2:
                done.set()
            raise KeyError("goes to the hook")

        hook, threading.excepthook = threading.excepthook, hooked.append
        self.addCleanup(setattr, threading, "excepthook", hook)
        watch.add_reaction(react, level=Level.CALM)
        watch.start_thread()
        self.assertRaises(RuntimeError, watch.start_thread)
        server.send(b"m")
        self.assertTrue(done.wait(LIMIT))
        watch.stop_thread()
        watch.stop_thread()
        self.assertEqual(calls, [(Level.MEDIUM, "headroom"), (Level.CALM, "headroom")])
        self.assertEqual([hooked[0].exc_type, len(hooked)], [KeyError, 2])

    def test_thread_cannot_stop_itself(self):
        watch, server = self.connected()
        errors, done = [], threading.Event()

        def react(level):
            for function in (watch.stop_thread, watch.close):
                try:
                    function()
                except RuntimeError as error:
                    errors.append(error)
            done.set()

        watch.add_reaction(react)
        watch.start_thread()
        server.send(b"m")
        self.assertTrue(done.wait(LIMIT))
        watch.close()
        self.assertEqual(len(errors), 2)


class Ending(Case):
    def descriptors(self):
        return len(os.listdir("/proc/self/fd"))

    def test_closed(self):
        watch = Watch("/dev/null")
        watch.close()
        watch.close()
        for use in (watch.fileno, watch.read, lambda: watch.level, lambda: watch.path, watch.start_thread):
            self.assertRaises(ValueError, use)

    def test_nothing_stays(self):
        Watch("/dev/null").close()
        before = self.descriptors()
        for i in range(200):
            with Watch(self.path) as watch:
                server = self.listener.accept()[0]
                watch.add_reaction(headroom.trim)
                if i % 10 == 0:
                    watch.start_thread()
                server.close()
        watch = None
        for _ in range(50):
            Watch("/dev/null")  # not closed: the collector does it
        gc.collect()
        self.assertEqual(self.descriptors(), before)


class Module(unittest.TestCase):
    def test_everything_is_annotated(self):
        functions = [headroom.trim, headroom.collect]
        for _, member in inspect.getmembers(Watch):
            if isinstance(member, property):
                functions.append(member.fget)
            elif inspect.isfunction(member):
                functions.append(member)
        for function in functions:
            names = typing.get_type_hints(function, dict(vars(headroom), asyncio=asyncio))
            expected = set(inspect.signature(function).parameters) - {"self"} | {"return"}
            self.assertEqual(set(names), expected, function.__qualname__)

    def test_says_what_the_header_says(self):
        path = os.path.join(os.path.dirname(__file__), "../../include/headroom.h")
        with open(path, encoding="utf-8") as f:
            header = f.read()
        for enum, prefix in ((Level, "HEADROOM_"), (Source, "HEADROOM_SOURCE_")):
            for member in enum:
                self.assertIn(f"{prefix}{member.name} = {member.value},", header)
        self.assertIn(f'#define HEADROOM_SOCKET "{headroom.SOCKET}"', header)


if __name__ == "__main__":
    unittest.main()
