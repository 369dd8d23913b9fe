"""Be asked for memory before it is taken: libheadroom for Python.

    import headroom

    watch = headroom.Watch()
    watch.add_reaction(lambda level: cache.clear(), level=headroom.Level.MEDIUM, cost=10)
    watch.add_reaction(headroom.trim, cost=headroom.COST_LAST)
    watch.start_thread()            # or, with asyncio: watch.attach()

Where the telling comes from ($MEMORY_PRESSURE_WATCH, headroomd, the pressure file of the own cgroup or of the node), and what
each level means, is told in libheadroom(3). Nothing but the shared library is needed.
"""
from __future__ import annotations

import ctypes
import enum
import errno
import gc
import os
import select
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Tuple, Type, Union

if TYPE_CHECKING:  # a program without it need not load it
    import asyncio

__all__ = ["COST_LAST", "SOCKET", "Level", "Source", "Watch", "collect", "trim"]

SOCKET = "/run/headroom/pressure.sock"
COST_LAST = 2**32 - 1
ERROR_SIZE = 512


class Level(enum.IntEnum):
    """How short memory is."""

    CALM = 0
    LOW = 1
    MEDIUM = 2
    CRITICAL = 3


class Source(enum.IntEnum):
    """Who tells."""

    NONE = 0  # nobody at this moment; it is looked for again, at least once a minute
    OFF = 1  # /dev/null: nobody ever will
    SOCKET = 2
    FIFO = 3
    PSI = 4


class _Options(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("path", ctypes.c_char_p),
        ("payload", ctypes.c_char_p),
        ("payload_length", ctypes.c_size_t),
        ("hold_usec", ctypes.c_uint64),
        ("thread_stack_bytes", ctypes.c_size_t),
        ("error", ctypes.c_char_p),
        ("error_size", ctypes.c_size_t),
    ]


def _load() -> Any:
    library = ctypes.CDLL("libheadroom.so.0")
    watch = ctypes.c_void_p
    for name, result, arguments in (
        ("headroom_watch_new", ctypes.c_int, [ctypes.POINTER(_Options), ctypes.POINTER(watch)]),
        ("headroom_watch_free", watch, [watch]),
        ("headroom_watch_get_fd", ctypes.c_int, [watch]),
        ("headroom_watch_read", ctypes.c_int, [watch, ctypes.POINTER(ctypes.c_int)]),
        ("headroom_watch_get_level", ctypes.c_int, [watch]),
        ("headroom_watch_get_source", ctypes.c_int, [watch]),
        ("headroom_watch_get_path", ctypes.c_char_p, [watch]),
        ("headroom_reaction_trim", None, [ctypes.c_void_p, ctypes.c_int]),
    ):
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


_library = _load()


def trim(level: Level = Level.LOW) -> None:
    """Returns the free memory of the C library's malloc to the system. A reaction; the level is not used."""
    _library.headroom_reaction_trim(None, int(level))


def collect(level: Level = Level.LOW) -> None:
    """A full run of Python's garbage collector. A reaction; the level is not used."""
    gc.collect()


class Watch:
    """Tells when memory is short. To be closed, or used in a `with`.

    `path` (and `payload`, bytes that are written to it once it is open) instead of what the environment says; `hold` is for how many
    seconds a level holds after it was last told (10 by default). ValueError: the path or the environment makes no sense;
    OSError: it cannot be opened. A path that is not there yet is waited for.

    One thread at a time may use a watch; `level` and `source` may be asked from any. After os.fork() it is the parent's.
    """

    def __init__(self, path: Union[str, bytes, "os.PathLike[str]", None] = None, payload: bytes = b"",
                 *, hold: float = 0.0) -> None:
        self._watch: Optional[int] = None
        self._reactions: List[Tuple[int, Level, Callable[[Level], object]]] = []
        self._thread: Optional[threading.Thread] = None
        self._stop: Optional[Tuple[int, int]] = None
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._path = None if path is None else os.fsencode(path)
        if self._path is not None and b"\0" in self._path:
            raise ValueError("embedded null byte in the path")
        if hold < 0:
            raise ValueError("a level cannot be held for less than no time")
        error = ctypes.create_string_buffer(ERROR_SIZE)
        options = _Options(ctypes.sizeof(_Options), self._path, payload or None, len(payload),
                           max(int(hold * 1e6), 1 if hold > 0 else 0), 0,
                           ctypes.cast(error, ctypes.c_char_p), ERROR_SIZE)
        pointer = ctypes.c_void_p()
        result = _library.headroom_watch_new(ctypes.byref(options), ctypes.byref(pointer))
        if result < 0:
            message = error.value.decode(errors="replace") or os.strerror(-result)
            raise _exception(-result, message)
        self._watch = pointer.value

    def _pointer(self) -> int:
        if self._watch is None:
            raise ValueError("the watch is closed")
        return self._watch

    def close(self) -> None:
        """Lets go of everything. A second time does nothing. Not to be called by a reaction in the watch's own thread."""
        if self._watch is None:
            return
        self.detach()
        self.stop_thread()
        watch, self._watch = self._watch, None
        _library.headroom_watch_free(watch)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self.close()

    def __del__(self) -> None:
        watch = getattr(self, "_watch", None)
        if watch is not None and getattr(self, "_thread", None) is None:
            self._watch = None
            _library.headroom_watch_free(watch)

    def fileno(self) -> int:
        """Readable when read() or dispatch() has something to do. Always the same; poll it and nothing else."""
        return int(_library.headroom_watch_get_fd(self._pointer()))

    @property
    def level(self) -> Level:
        """As it was last told; CALM once that is older than the hold time."""
        return Level(_library.headroom_watch_get_level(self._pointer()))

    @property
    def source(self) -> Source:
        return Source(_library.headroom_watch_get_source(self._pointer()))

    @property
    def path(self) -> str:
        """Of the source; empty while there is none."""
        return os.fsdecode(_library.headroom_watch_get_path(self._pointer()) or b"")

    def read(self) -> Optional[Level]:
        """The level, if it was told (again) or has fallen back to calm since the last time; else None. Never blocks."""
        level = ctypes.c_int()
        result = _library.headroom_watch_read(self._pointer(), ctypes.byref(level))
        if result < 0:
            raise _exception(-result, os.strerror(-result))
        return Level(level.value) if result > 0 else None

    def add_reaction(self, reaction: Callable[[Level], object], *, level: Level = Level.LOW, cost: int = 0) -> None:
        """`reaction` is called with the level, at this one and worse (CALM: at every one, also when it falls back to calm), the
        cheapest first. Ready-made: collect, trim."""
        if not callable(reaction):
            raise TypeError("a reaction is something that can be called")
        # A new list: the thread may be going through the old one.
        self._reactions = sorted(self._reactions + [(cost, Level(level), reaction)], key=lambda entry: entry[0])

    def react(self, level: Level) -> int:
        """Calls the reactions that are due at the level and says how many. All are called; then the first exception is raised."""
        due = [reaction for _, at, reaction in self._reactions if level >= at]
        first: Optional[Exception] = None
        for reaction in due:
            try:
                reaction(Level(level))
            except Exception as exception:  # pylint: disable=broad-except
                first = first or exception
        if first is not None:
            raise first
        return len(due)

    def dispatch(self) -> Optional[Level]:
        """read(), and the reactions to it."""
        level = self.read()
        if level is not None:
            self.react(level)
        return level

    def attach(self, loop: Optional[asyncio.AbstractEventLoop] = None) -> None:
        """Reactions are called by this event loop (the running one by default) until detach() or close()."""
        if self._loop is not None or self._thread is not None:
            raise RuntimeError("somebody reads this watch already")
        if loop is None:
            from asyncio import get_running_loop

            loop = get_running_loop()
        loop.add_reader(self.fileno(), self.dispatch)
        self._loop = loop

    def detach(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self.fileno())

    def start_thread(self) -> None:
        """Reactions are called by a thread of the watch's own until stop_thread() or close(). An exception of theirs goes to
        threading.excepthook, and the thread goes on."""
        if self._loop is not None or self._thread is not None:
            raise RuntimeError("somebody reads this watch already")
        self._stop = os.pipe()
        self._thread = threading.Thread(target=self._run, args=(self.fileno(), self._stop[0]), name="headroom", daemon=True)
        self._thread.start()

    def stop_thread(self) -> None:
        """Waits for a reaction that is under way; not to be called by one."""
        thread, stop = self._thread, self._stop
        if thread is None or stop is None:
            return
        if thread is threading.current_thread():
            raise RuntimeError("a reaction cannot stop the thread that it runs in")
        os.write(stop[1], b"x")
        thread.join()
        self._thread = self._stop = None
        for fd in stop:
            os.close(fd)

    def _run(self, fd: int, stop: int) -> None:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(stop, select.POLLIN)
        while True:
            ready = [entry for entry, _ in poll.poll()]
            if stop in ready:
                return
            try:
                self.dispatch()
            except Exception as exception:  # pylint: disable=broad-except
                arguments = (type(exception), exception, exception.__traceback__, threading.current_thread())
                threading.excepthook(threading.ExceptHookArgs(arguments))


def _exception(number: int, message: str) -> Exception:
    """What Python would raise: ValueError for what makes no sense, else the OSError of that number."""
    if number in (errno.EINVAL, errno.EBADMSG, errno.E2BIG, errno.ENOTTY, errno.ENAMETOOLONG):
        return ValueError(message)
    return OSError(number, message)
