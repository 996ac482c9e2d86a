"""What waits to be delivered by this process: in the store, and, while that cannot be written, in memory."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from ..boundary import say_once
from ..limits import Limits
from .store import NewerStoreError, Store, is_busy

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from .report import Report
    from .store import Outcome, Waiting

# A disk that was full is tried again after this many seconds.
_AGAIN = 1.0
_IN_MEMORY = Limits(bytes=64_000_000)


class Queue:
    """
    A store that never refuses.

    What the disk has no room for is kept in memory, within bounds, and goes to disk when there is room again.

    Args:
        folder: Where the store is; None keeps everything in memory.
        limits: How much the store keeps.
        fsync: As of the store.
    """

    def __init__(self, folder: Path | None, limits: Limits | None = None, *, fsync: bool = False) -> None:
        self.store: Store | None = None
        """The one on disk, if there is one that can be used."""
        self._folder = folder
        self._limits = limits
        self._fsync = fsync
        self._memory: Store | None = None
        self._not_before = 0.0
        self._lost: list[str] = []
        self._open()

    @property
    def is_on_disk(self) -> bool:
        """All that was recorded is on disk."""
        return self.store is not None and self._memory is None

    @property
    def is_in_memory(self) -> bool:
        """Some of it is in memory, and shall not stay there."""
        return self._memory is not None and self._folder is not None

    def record(self, owner: str, entries: list[tuple[int, Report]]) -> None:
        """``Store.record``, in memory if need be. Raises only where a neighbour holds the store's lock for long."""
        if self._may_be_written():
            try:
                self._write(owner, entries)
            except (OSError, sqlite3.OperationalError) as error:
                if is_busy(error):
                    raise
                self._is_full(error)
            else:
                return
        if self._memory is None:
            self._memory = Store(None, _IN_MEMORY)
        self._lost += self._memory.record(owner, entries)

    def lost(self) -> list[str]:
        """The ids of runs that were forgotten undelivered, since the last call."""
        lost, self._lost = self._lost, []
        return lost

    def tidy(self) -> None:
        """Put what is in memory on disk, if there is room again."""
        if self._memory is not None and self._may_be_written():
            self.record("", [])

    def prune(self) -> None:
        """``Store.prune``."""
        if self.store is not None:
            self._lost += self.store.prune()

    def waiting(self, owner: str, destination: str, limit: int) -> list[Waiting]:
        """``Store.waiting``: what is in memory comes first."""
        found = [] if self._memory is None else self._memory.waiting(owner, destination, limit)
        if self.store is not None and len(found) < limit:
            on_disk = self.store.waiting(owner, destination, limit)
            if self._memory is not None:  # Which has the newer version of what both have.
                known = self._memory.known(waiting.report.id for waiting in on_disk)
                on_disk = [waiting for waiting in on_disk if waiting.report.id not in known]
            found += on_disk
        return found

    def settle(self, destination: str, outcomes: Iterable[Outcome]) -> bool:
        """``Store.settle``; whether all was written down. If not, it has to be given again."""
        outcomes = list(outcomes)
        if self._memory is not None:
            self._memory.settle(destination, outcomes)
            known = self._memory.known(outcome.id for outcome in outcomes)
            outcomes = [outcome for outcome in outcomes if outcome.id not in known]
        if outcomes and self.store is not None:
            try:
                self.store.settle(destination, outcomes)
            except (OSError, sqlite3.OperationalError) as error:
                if is_busy(error):
                    raise
                self._is_full(error)
                return False
        return True

    def count_waiting(self, owner: str, destination: str | None = None, *, most: int = -1) -> int:
        """``Store.count_waiting``, of each store."""
        return sum(store.count_waiting(owner, destination, most=most) for store in self._stores())

    def is_finished(self, owner: str) -> bool:
        """``Store.is_finished``."""
        return all(store.is_finished(owner) for store in self._stores())

    def close(self) -> None:
        """Put what is in memory on disk, if there is room, and close both. Nothing is recorded from now on."""
        with suppress(OSError, sqlite3.Error):
            self.tidy()
        for store in self._stores():
            store.close()

    def _stores(self) -> list[Store]:
        return [store for store in (self._memory, self.store) if store is not None]

    def _write(self, owner: str, entries: list[tuple[int, Report]]) -> None:
        if self.store is None:
            self._open()
        if self.store is None:
            raise OSError
        try:
            self._write_to(self.store, owner, entries)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            self._write_to(self.store, owner, entries)  # It was damaged, and is a new one now.

    def _write_to(self, store: Store, owner: str, entries: list[tuple[int, Report]]) -> None:
        if self._memory is not None:
            with closing(self._memory.contents()) as runs:
                self._lost += store.take_in(runs)
            self._memory.close()
            self._memory = None
        if entries:
            self._lost += store.record(owner, entries)

    def _open(self) -> None:
        if self._folder is None:
            return
        try:
            self.store = Store(self._folder, self._limits, fsync=self._fsync)
        except NewerStoreError as error:
            self._folder = None
            say_memory(error)
        except (OSError, sqlite3.Error) as error:
            self._is_full(error)

    def _may_be_written(self) -> bool:
        return self._folder is not None and time.monotonic() >= self._not_before

    def _is_full(self, error: Exception) -> None:
        self._not_before = time.monotonic() + _AGAIN
        say_memory(error)


def say_memory(error: Exception) -> None:
    """Say, once, that the disk cannot be used."""
    say_once("no disk", "Runs cannot be written to disk (%s): they are delivered from memory.", error)
