"""
What an append to the journal costs its caller, and what one ``os.write`` of the same line would, beside a thread that
computes and alone: seconds on the wall, since who waits for the GIL uses no CPU.

Run it with the package installed: ``python tests/benchmarks/journal_append.py``.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from xpander_track.delivery.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_APPENDS = 3_000
_REPORT = b"x" * 300


def measure(append: Callable[[], object], *, busy: bool) -> tuple[float, float, float]:
    """Median, 99th percentile and mean, in microseconds, of appends with some work in between."""
    took: list[float] = []
    with _busy_thread() if busy else contextlib.nullcontext():
        for _ in range(_APPENDS):
            started = time.perf_counter()
            append()
            took.append((time.perf_counter() - started) * 1e6)
            sum(range(500))
    took.sort()
    return statistics.median(took), took[int(len(took) * 0.99)], statistics.mean(took)


@contextlib.contextmanager
def _busy_thread() -> Iterator[None]:
    done = threading.Event()

    def compute() -> None:
        while not done.is_set():
            sum(range(500))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def main() -> None:
    """Print a line for each case."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder))
        file = os.open(Path(folder) / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        ways: dict[str, Callable[[], object]] = {
            "journal": lambda: journal.append(_REPORT),
            "os.write": lambda: os.write(file, _REPORT),
        }
        for busy in (False, True):
            for name, append in ways.items():
                median, p99, mean = measure(append, busy=busy)
                beside = "beside a busy thread" if busy else "alone"
                print(f"{name:9} {beside:21} median {median:8.2f} µs   p99 {p99:8.1f} µs   mean {mean:8.1f} µs")
        os.close(file)
        journal.abandon()


if __name__ == "__main__":
    main()
