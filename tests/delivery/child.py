"""
What test processes share: ``from child import *`` in the code given to the ``python`` fixture.

Runs have the ids run-0, run-1, ..., so that the parent can tell which are missing.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import xpander_track
from xpander_track import aflush, configure, flush, shutdown, track_task, tracked_task
from xpander_track.delivery import outbox
from xpander_track.platform import loop

__all__ = [
    "Path", "aflush", "asyncio", "atexit", "configure", "contextlib", "finish", "flush", "logging", "loop",
    "multiprocessing", "no_more_threads", "no_network", "os", "outbox", "run", "runs", "say", "shutdown", "signal",
    "sys", "threading", "time", "track_task", "tracked_task", "xpander_track",
]  # fmt: skip


def say(*words: object) -> None:
    """A line for the parent."""
    # One write: what threads and processes say does not mix.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def run(number: object, **options: Any) -> Any:
    """One run, from beginning to end."""
    with tracked_task(id=f"run-{number}", input="question", **options) as tracked:
        tracked.set_result(f"answer {number}")
    return tracked


def runs(count: int, first: int = 0, *, pause: float = 0.0) -> None:
    """Runs one after the other."""
    for number in range(first, first + count):
        run(number)
        if pause:
            time.sleep(pause)


def finish() -> None:
    """The user's code has ended: from here on the parent measures how long the process takes to leave."""
    say("finished", time.monotonic())


def no_more_threads() -> None:
    """As at the end of the interpreter, or where the system is out of threads."""

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    threading.Thread.start = refuse  # type: ignore[method-assign]


def no_network() -> None:
    """From here on a socket is an error, unless it stays inside this machine's processes."""

    class Local(socket.socket):
        def __init__(self, family: int = -1, *args: Any, **kwargs: Any) -> None:
            super().__init__(family, *args, **kwargs)
            if self.family != socket.AF_UNIX:
                self.close()
                raise AssertionError("a network socket was made")

    def refuse(*_: object, **__: object) -> Any:
        raise AssertionError("a name was looked up")

    socket.socket = Local  # type: ignore[misc]
    socket.getaddrinfo = refuse
