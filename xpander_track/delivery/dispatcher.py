"""
The dispatcher: moves what the journal holds into the store, and from there to its destinations.

It lives on the package's own loop (``platform/loop.py``); only ``post``, ``follow`` and ``wake`` are called from
elsewhere. Nothing here looks at a user's objects.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..boundary import logger, quietly, say_once, trouble
from ..platform import loop
from .journal import Journal, dead_journals, is_alive, read_line, set_aside
from .lane import Lane
from .receipt import Receipt, Ticket
from .report import Report
from .store import NewerStoreError, Store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from .destination import Destination
    from .store import Waiting

# Ends of runs that come within this many seconds are recorded together.
_GATHER = 0.005
# How often a living process looks for runs that a dead one has left.
_ADOPT_EVERY = 5.0
_RETRY_STORE = 1.0


@dataclass(frozen=True)
class Flushed:
    """
    What has become of this process's runs.

    Args:
        delivered: Reports that their destinations have taken.
        pending: Reports that wait and will be tried again: by this process, or by the next one on this machine.
        rejected: Reports set aside; ``run.receipt`` and ``xpander-track show`` say why.
    """

    delivered: int = 0
    pending: int = 0
    rejected: int = 0


class Dispatcher:
    """
    The dispatcher of this process.

    Args:
        home: The folder of journal and store; None keeps both in memory.
    """

    def __init__(self, home: Path | None) -> None:
        self._home = home
        self.journal = _journal(home)
        self.store: Store | None = None
        self.delivered = 0
        self.rejected = 0
        self._ended = 0
        self._lanes: dict[str, Lane] = {}
        self._destinations: dict[str, Destination] = {}
        self._tickets: weakref.WeakValueDictionary[str, Ticket] = weakref.WeakValueDictionary()
        self._taken: list[bytes] = []  # Lines of the journal that are to be taken apart,
        self._unrecorded: list[tuple[int, Report]] = []  # and what they say, which is to be recorded.
        self._woken = False
        self._is_started = False
        self._is_stopped = False
        self._collecting: asyncio.TimerHandle | None = None
        self._adopting: asyncio.TimerHandle | None = None
        self.changed = asyncio.Event()

    # --- from any thread ---

    def post(self, report: Report, destinations: Iterable[Destination]) -> None:
        """Take *report*: when this returns, it survives the process. Sending it is for later."""
        for destination in destinations:
            self._destinations[destination.key] = destination
        self._ended += report.stage == "ended"
        line = self.journal.append(report.to_json())
        ticket = self._tickets.get(report.id)
        if ticket is not None:
            ticket.line = line
        if self.journal.problem is not None:
            _say_memory(self.journal.problem)
        self.wake()

    def follow(self, run_id: str, destination: Destination) -> Ticket:
        """A ticket for the run *run_id*; runs with one id, which are one record, share it."""
        receipt = Receipt("pending", destination.where)
        ticket = self._tickets.get(run_id)
        if ticket is None:
            ticket = self._tickets[run_id] = Ticket(receipt)
        else:
            ticket.update(receipt)
        return ticket

    def wake(self) -> None:
        """There is something in the journal."""
        if self._woken or self._is_stopped:
            return
        self._woken = True
        try:
            loop.get().call_soon_threadsafe(self._on_wake)
        except BaseException:
            self._woken = False
            raise

    def is_down(self, destination: str) -> bool:
        """Whether nothing is delivered to *destination*: the last deliveries have failed, or we have stopped."""
        lane = self._lanes.get(destination)
        return self._is_stopped or (lane is not None and lane.is_down)

    def estimate(self) -> Flushed:
        """What has become of this process's runs, as far as can be told without asking the store."""
        return Flushed(self.delivered, max(0, self._ended - self.delivered - self.rejected), self.rejected)

    def stop(self) -> None:
        """Send no more; what is posted from now on is written down, for the next process."""
        self._is_stopped = True
        loop.get().call_soon_threadsafe(self._stop)

    # --- on our loop ---

    async def drain(self, timeout: float, *, give_up: bool) -> Flushed:
        """
        Deliver what waits.

        Args:
            timeout: Seconds, at most.
            give_up: Do not go on with a destination that fails.
        """
        until = time.monotonic() + timeout
        self._start()
        self._collect()
        for lane in self._lanes.values():
            lane.hurry()
        while self._unrecorded or not all(lane.is_idle or (give_up and lane.is_stuck) for lane in self._lanes.values()):
            self.changed.clear()
            left = until - time.monotonic()
            if left <= 0:
                break
            try:
                await asyncio.wait_for(self.changed.wait(), left)
            except asyncio.TimeoutError:
                break
        for lane in self._lanes.values():
            lane.commit()
        try:
            pending = self.store.count_waiting(self.journal.owner) if self.store is not None else 0
        except sqlite3.Error as error:
            trouble("count the runs that wait", error)
            return self.estimate()
        return Flushed(self.delivered, pending + len(self._unrecorded), self.rejected)

    async def leave(self, timeout: float) -> Flushed:
        """The process is about to end: deliver what can be delivered, leave nothing behind that is finished."""
        flushed = await self.drain(timeout, give_up=True)
        with quietly("tidy up the journal"):
            if self.store is not None and not self._unrecorded and self.store.is_finished(self.journal.owner):
                self.journal.forget()
                self.journal.close()
        return flushed

    def settled(self, waiting: Waiting, receipt: Receipt) -> None:
        """A delivery came out as *receipt* says."""
        report = waiting.report
        if receipt.state == "delivered":
            self.delivered += report.stage == "ended"
        elif receipt.state == "rejected":
            self.rejected += report.stage == "ended"
            say_once(
                f"rejected {receipt.where}",
                "A run was set aside by %s: %s. `xpander-track show %s` has it whole; further ones are only counted.",
                receipt.where, receipt.reason, report.id,
            )  # fmt: skip
        ticket = self._tickets.get(report.id)
        is_earlier = ticket is not None and waiting.owner == self.journal.owner and waiting.line < ticket.line
        if ticket is not None and not is_earlier and (receipt.state == "pending" or report.stage == "ended"):
            ticket.update(receipt)

    def _stop(self) -> None:
        for lane in self._lanes.values():
            lane.stop()
        for timer in (self._collecting, self._adopting):
            if timer is not None:
                timer.cancel()
        if self.store is not None:
            self.store.close()

    def _on_wake(self) -> None:
        self._woken = False
        if self._is_stopped:
            return
        self._start()
        if self._collecting is None:
            self._collecting = asyncio.get_running_loop().call_later(_GATHER, self._collect)

    def _start(self) -> None:
        if not self._is_started:
            self._is_started = True
            self._open_store()
            with quietly("prune the run history"):
                if self.store is not None:
                    self.store.prune()
            self._adopt()

    def _open_store(self) -> None:
        try:
            self.store = Store(self._home)
        except (OSError, sqlite3.Error, NewerStoreError) as error:
            _say_memory(error)
            self.store = Store(None)
            self._home = None

    def _collect(self) -> None:
        """Journal to store; then the lanes go on."""
        if self._collecting is not None:
            self._collecting.cancel()
            self._collecting = None
        try:
            self._record()  # What could not be recorded before.
            while self._taken or self._take():
                self._unrecorded = entries(self._taken, self._home)
                self._taken = []
                self._record()
        except Exception as error:  # noqa: BLE001  # whatever it is: the lines are kept, and tried again
            trouble("record finished runs in the history", error)
            self._collecting = asyncio.get_running_loop().call_later(_RETRY_STORE, self._collect)
        self.changed.set()
        self._open_lanes()
        for lane in self._lanes.values():
            lane.look()

    def _take(self) -> bool:
        self._taken = self.journal.read()
        return bool(self._taken)

    def _record(self) -> None:
        assert self.store is not None
        if self._unrecorded:
            try:
                self.store.record(self.journal.owner, self._unrecorded)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                self.store.record(self.journal.owner, self._unrecorded)  # It was damaged, and is a new one now.
            self._unrecorded = []
            if self._home is not None:  # Else the journal is the only safe place there is.
                self.journal.forget()

    def _open_lanes(self) -> None:
        for key, destination in list(self._destinations.items()):
            lane = self._lanes.get(key)
            if lane is None:
                self._lanes[key] = Lane(self, destination)
                self._take_over()
            else:
                lane.serve(destination)

    def _adopt(self) -> None:
        """Take in what dead processes have left; again every few seconds."""
        self._adopting = asyncio.get_running_loop().call_later(_ADOPT_EVERY, self._adopt)
        with quietly("take in the runs of ended processes"):
            if self._home is not None and self.store is not None:
                adopt(self.store, self._home, but=self.journal.owner)
                self._take_over()

    def _take_over(self) -> None:
        if self._home is None or self.store is None:
            return
        keys = list(self._lanes)
        for owner in self.store.owners(keys) - {self.journal.owner}:
            if not is_alive(self._home / "journal", owner) and self.store.take_over(owner, self.journal.owner, keys):
                for lane in self._lanes.values():
                    lane.look()


def adopt(store: Store, home: Path, *, but: str = "") -> None:
    """Record what the journals of dead processes in *home* hold; what they had not ended was interrupted."""
    for dead in dead_journals(home / "journal", but):
        for lines in dead.lines():
            store.record(dead.owner, entries(lines, home))
        store.interrupt(dead.owner)
        dead.remove()


def entries(lines: list[bytes], home: Path | None) -> list[tuple[int, Report]]:
    """What the lines of a journal say; those that cannot be read are kept in a file in *home*."""
    found: list[tuple[int, Report]] = []
    unreadable: list[bytes] = []
    for line in lines:
        try:
            number, report = read_line(line)
            found.append((number, Report.from_json(report)))
        except ValueError:
            unreadable.append(line)
    if unreadable:
        kept = None if home is None else set_aside(home / "journal", unreadable)
        logger.error("%d lines of a journal cannot be read; they are kept in %s.", len(unreadable), kept)
    return found


def _journal(home: Path | None) -> Journal:
    try:
        return Journal(None if home is None else home / "journal")
    except OSError as error:
        _say_memory(error)
        return Journal(None)


def _say_memory(error: Exception) -> None:
    say_once("no disk", "Runs cannot be written to disk (%s): they are delivered from memory.", error)
