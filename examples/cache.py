#!/usr/bin/env python3
"""A cache that gives back what it can do without, in an asyncio program.

What it does at each level:
  low       forgets the older half of its entries
  medium    forgets all of them
  critical  the same, and remembers nothing new until it is calm again
and each time, at last, collects garbage and returns what that has freed to the system.

MEMORY_PRESSURE_WATCH=/tmp/fifo ./cache.py   tries it out: `mkfifo /tmp/fifo`, then `printf m >/tmp/fifo`.
"""
import asyncio
import collections
import signal
import sys
from typing import Deque

import headroom
from headroom import Level

ENTRIES = 1024
ENTRY_BYTES = 64 * 1024


class Cache:
    def __init__(self) -> None:
        self.entries: Deque[bytes] = collections.deque(maxlen=ENTRIES)
        self.closed = False

    def remember(self, number: int) -> None:
        if not self.closed:
            self.entries.append(bytes([number % 256]) * ENTRY_BYTES)

    def on_level(self, level: Level) -> None:
        self.closed = level is Level.CRITICAL
        if level is Level.LOW:
            for _ in range(len(self.entries) // 2):
                self.entries.popleft()
        elif level > Level.LOW:
            self.entries.clear()
        print(f"{level.name.lower()}: {len(self.entries)} entries", flush=True)


async def main() -> None:
    cache = Cache()
    try:
        watch = headroom.Watch()
    except (OSError, ValueError) as error:  # a cache works without being asked, too
        print(f"cache: nobody will ask for memory: {error}", file=sys.stderr)
        watch = headroom.Watch("/dev/null")
    with watch:
        watch.add_reaction(cache.on_level, level=Level.CALM)
        watch.add_reaction(headroom.collect, cost=100)
        watch.add_reaction(headroom.trim, cost=headroom.COST_LAST)
        watch.attach()
        for i in range(4096):
            cache.remember(i)
        print(f"ready: {len(cache.entries)} entries", flush=True)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
