"""What waits to be delivered by this process: in the store, and, while that cannot be written, in memory."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, TypeVar

from ..boundary import say_once
from ..limits import Limits
from .store import NewerStoreError, Store, is_busy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from .report import Report
    from .store import Outcome, Version, Waiting

# A disk that was full is tried again after this many seconds.
_AGAIN = 1.0
_IN_MEMORY = Limits(bytes=64_000_000)

T = TypeVar("T")


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
        # Of runs that are in memory: what the disk has of them is older.
        self._outdated: set[Version] = set()
        self._not_before = 0.0
        self._lost: list[str] = []
        self._open()

    @property
    def is_on_disk(self) -> bool:
        """All that was recorded is on disk."""
        return self.store is not None and self._memory is None

    @property
    def has_failed(self) -> bool:
        """The disk could not be used: it shall be tried again, whether there is anything new or not."""
        return self._folder is not None and self._not_before > 0

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
        self._outdated |= self._ask(lambda store: store.known(report.id for _, report in entries), set())

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

    def waiting(self, owner: str, destination: str, limit: int, *, but: set[Version]) -> list[Waiting]:
        """``Store.waiting``: what is in memory comes first."""
        found = [] if self._memory is None else self._memory.waiting(owner, destination, limit, but=but)
        if len(found) < limit:
            but = but | self._outdated
            found += self._ask(lambda store: store.waiting(owner, destination, limit, but=but), [])
        return found

    def settle(self, destination: str, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """``Store.settle``; gives those that there is no room to write down: they have to be given again."""
        outcomes = list(outcomes)
        if self._memory is not None:
            self._memory.settle(destination, outcomes)
            known = {run_id for run_id, *_ in self._memory.known(outcome.id for outcome in outcomes)}
            outcomes = [outcome for outcome in outcomes if outcome.id not in known]
        if outcomes and self.store is not None:
            try:
                self.store.settle(destination, outcomes)
            except (OSError, sqlite3.OperationalError) as error:
                if is_busy(error):
                    raise
                self._is_full(error)
                return outcomes
        return []

    def count_waiting(self, owner: str, destination: str, *, most: int = -1, but: set[Version]) -> int | None:
        """``Store.count_waiting``, of what ``waiting`` gives; None, if the disk has more that cannot be read now."""
        found = 0 if self._memory is None else self._memory.count_waiting(owner, destination, most=most, but=but)
        if self.store is not None:
            but = but | self._outdated
            on_disk = self._ask(lambda store: store.count_waiting(owner, destination, most=most, but=but), None)
            return None if on_disk is None else found + on_disk
        return found

    def has_open(self, owner: str) -> bool:
        """Whether a run of *owner* may go on, as far as the disk knows."""
        on_disk = self.store is not None and self._ask(lambda store: store.has_open(owner), True)  # noqa: FBT003
        return on_disk or bool(self._outdated) or (self._memory is not None and self._memory.has_open(owner))

    def close(self) -> None:
        """Put what is in memory on disk, if there is room, and close both. Nothing is recorded from now on."""
        self._not_before = 0.0  # It is the last chance.
        with suppress(OSError, sqlite3.Error):
            self.tidy()
        for store in (self._memory, self.store):
            if store is not None:
                store.close()

    def _ask(self, question: Callable[[Store], T], unknown: T) -> T:
        """What the disk says; *unknown*, if it says nothing: one that is full cannot always be read."""
        if self.store is None:
            return unknown
        try:
            answer = question(self.store)
        except (OSError, sqlite3.OperationalError) as error:
            if is_busy(error):
                raise
            self._is_full(error)
            return unknown
        if self._memory is None:
            self._not_before = 0.0
        return answer

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
            self._memory, self._outdated = None, set()
        if entries:
            self._lost += store.record(owner, entries)
        self._not_before = 0.0

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
