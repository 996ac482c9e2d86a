"""
The dispatcher: moves what the journal holds into the store, and from there to its destinations.

It lives on the package's own loop (``platform/loop.py``); only ``post``, ``follow`` and ``wake`` are called from
elsewhere. Nothing here looks at a user's objects.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..boundary import quietly, say, say_once, trouble
from ..platform import loop
from .journal import Journal, dead_journals, is_alive, read_line, set_aside
from .lane import Lane
from .queue import Queue, say_memory
from .receipt import Receipt, Ticket
from .report import Report

if TYPE_CHECKING:
    from pathlib import Path

    from ..limits import Limits
    from .destination import Destination
    from .store import Store, Waiting

# Ends of runs that come within this many seconds are recorded together.
_GATHER = 0.005
# So many batches of the journal are recorded before deliveries have their turn again.
_BATCHES = 8
# How often a living process looks for runs that a dead one has left.
_ADOPT_EVERY = 5.0
_RETRY_STORE = 1.0
_PRUNE_EVERY = 3600.0
_SAY_EVERY = 60.0


@dataclass(frozen=True)
class Flushed:
    """
    What has become of this process's runs.

    Args:
        delivered: Reports that their destinations have taken.
        pending: Reports that wait and will be tried again: by this process, or by the next one on this machine.
            Those that it has taken over from ended processes are among them.
        rejected: Reports set aside; ``run.receipt`` and ``xpander-track show`` say why.
        dropped: Reports of which nothing is left: too many, or too old, to be kept until they could be delivered.
    """

    delivered: int = 0
    pending: int = 0
    rejected: int = 0
    dropped: int = 0


class Dispatcher:
    """
    The dispatcher of this process.

    Args:
        home: The folder of journal and store; None keeps both in memory.
        limits: How much the store keeps.
        fsync: Whether everything is brought to the disk itself before it counts as kept.
    """

    def __init__(self, home: Path | None, limits: Limits | None = None, *, fsync: bool = False) -> None:
        self._home = home
        self._limits = limits
        self._fsync = fsync
        self.journal = Journal(None if home is None else home / "journal", fsync=fsync)
        self.queue: Queue | None = None
        self.delivered = 0
        self.rejected = 0
        self._lost = 0
        self._said_dropped = 0
        self._say_dropped_after = self._prune_after = 0.0
        self._ended = 0
        self._owners: set[str] = set()  # The names of our journals.
        self._lanes: dict[str, Lane] = {}
        self._destinations: dict[str, Destination] = {}
        self._posted_to: list[Destination] = []
        self._tickets: weakref.WeakValueDictionary[str, Ticket] = weakref.WeakValueDictionary()
        self._is_followed = False  # There is or was a ticket: most programs never ask for one.
        self._taken: list[bytes] = []  # Lines of the journal that are to be taken apart,
        self._unrecorded: list[tuple[int, Report]] = []  # and what they say, which is to be recorded.
        self._woken = False
        self._is_behind = False  # There is more in the journal than was taken in so far.
        self._is_started = False
        self._is_stopped = False
        self._collecting: asyncio.TimerHandle | None = None
        self._adopting: asyncio.TimerHandle | None = None
        self.changed = asyncio.Event()

    # --- from any thread ---

    def post(self, report: bytes, run_id: str, destinations: list[Destination], *, is_end: bool) -> None:
        """
        Take a report: when this returns, it survives the process. Sending it is for later.

        Args:
            report: As ``Report.to_json`` gives it, or with only what is known in it.
            run_id: Its run's id.
            destinations: Where it goes.
            is_end: It is the run's last one.
        """
        if destinations is not self._posted_to:
            self._posted_to = destinations
            self._destinations.update((destination.key, destination) for destination in destinations)
        self._ended += is_end
        line = self.journal.append(report)
        if self._is_followed and (ticket := self._tickets.get(run_id)) is not None:
            ticket.line = line
        if self.journal.problem is not None:
            say_memory(self.journal.problem)
        if not self._woken:
            self.wake()

    def serve(self, destination: Destination) -> None:
        """Deliver what waits for *destination*, though nothing new may come."""
        self._destinations[destination.key] = destination
        self.wake()

    def follow(self, run_id: str, destination: Destination) -> Ticket:
        """A ticket for the run *run_id*; runs with one id, which are one record, share it."""
        receipt = Receipt("pending", destination.where)
        self._is_followed = True
        ticket = self._tickets.get(run_id)
        if ticket is None:
            ticket = self._tickets[run_id] = Ticket(receipt)
        else:
            ticket.update(receipt)
        if self._is_stopped:
            ticket.leave()
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

    @property
    def dropped(self) -> int:
        """How many reports there was no room for."""
        return self._lost + self.journal.dropped

    def estimate(self) -> Flushed:
        """What has become of this process's runs, as far as can be told without asking the store."""
        pending = max(0, self._ended - self.delivered - self.rejected - self.dropped)
        return Flushed(self.delivered, pending, self.rejected, self.dropped)

    def stop(self) -> None:
        """Send no more; what is posted from now on is written down, for the next process."""
        self._is_stopped = True
        loop.get().call_soon_threadsafe(self._stop)

    def leave_waiters(self) -> None:
        """Who waits for a report need not wait: this process delivers no more."""
        for ticket in list(self._tickets.values()):
            ticket.leave()

    # --- on our loop ---

    @property
    def store(self) -> Store | None:
        """The store on disk, if there is one."""
        return None if self.queue is None else self.queue.store

    @property
    def _is_recorded(self) -> bool:
        """The store has all that the journal had."""
        return not (self._is_behind or self._taken or self._unrecorded)

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
        while not self._is_recorded or not all(
            (lane.is_idle and (give_up or lane.is_written)) or (give_up and lane.is_stuck)
            for lane in self._lanes.values()
        ):
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
            assert self.queue is not None
            waiting = [lane.count_waiting(self.queue) for lane in self._lanes.values()]
        except sqlite3.Error as error:
            trouble("count the runs that wait", error)
            return self.estimate()
        if None in waiting or not self._is_recorded:
            return self.estimate()
        return Flushed(self.delivered, sum(filter(None, waiting)), self.rejected, self.dropped)

    async def leave(self, timeout: float) -> Flushed:
        """The process is about to end: deliver what can be delivered, leave nothing behind that is finished."""
        flushed = await self.drain(timeout, give_up=True)
        with quietly("tidy up the journal"):
            assert self.queue is not None
            if self._is_recorded and not flushed.pending and not self.queue.has_open(self.journal.owner):
                self.journal.forget()
                self.journal.close()
                for lane in self._lanes.values():
                    lane.commit()  # On a full disk there may be room now.
        return flushed

    def settled(self, waiting: Waiting, receipt: Receipt) -> None:
        """A delivery came out as *receipt* says."""
        report = waiting.report
        is_counted = report.stage == "ended" and waiting.owner in self._owners
        if receipt.state == "delivered":
            self.delivered += is_counted
        elif receipt.state == "rejected":
            self.rejected += is_counted
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
        if self.queue is not None:
            self.queue.close()
        self.leave_waiters()

    def _on_wake(self) -> None:
        if self._is_stopped:
            return
        self._start()
        if self._collecting is None:
            self._collecting = asyncio.get_running_loop().call_later(_GATHER, self._collect)

    def _start(self) -> None:
        if not self._is_started:
            self._is_started = True
            self.queue = Queue(self._home, self._limits, fsync=self._fsync)
            self._adopt()

    def _collect(self) -> None:
        """Journal to store; then the lanes go on."""
        if self._collecting is not None:
            self._collecting.cancel()
            self._collecting = None
        self._woken = False  # Before the journal is read: what comes in later wakes us again.
        try:
            self._record()  # What could not be recorded before.
            self._is_behind = self._take_in()
        except Exception as error:  # noqa: BLE001  # whatever it is: the lines are kept, and tried again
            trouble("record finished runs in the history", error)
            self._collecting = asyncio.get_running_loop().call_later(_RETRY_STORE, self._collect)
        else:
            if self._woken and not self._is_stopped:
                # Where there was something, there will be more: to look again takes less than to be woken.
                soon = 0.0 if self._is_behind else _GATHER
                self._collecting = asyncio.get_running_loop().call_later(soon, self._collect)
        self.changed.set()
        self._open_lanes()
        for lane in self._lanes.values():
            lane.look()

    def _take_in(self) -> bool:
        """Record what is in the journal, up to a bound: deliveries go on meanwhile. Whether there may be more."""
        for _ in range(_BATCHES):
            if not self._taken and not self._take():
                return False
            self._woken = True
            self._unrecorded = entries(self._taken, self._home)
            self._taken = []
            self._record()
        return True

    def _take(self) -> bool:
        self._taken = self.journal.read()
        return bool(self._taken)

    def _record(self) -> None:
        assert self.queue is not None
        if self._unrecorded:
            self._owners.add(self.journal.owner)
            self.queue.record(self.journal.owner, self._unrecorded)
            self._unrecorded = []
        else:
            self.queue.tidy()
        if self.queue.is_on_disk and not self._taken:  # Else the journal is the only safe place there is.
            self.journal.forget()
        self._note_lost(self.queue.lost())

    def _note_lost(self, ids: list[str]) -> None:
        """What there was no room for is counted, and said once a minute."""
        self._lost += len(ids)
        for run_id in ids:
            ticket = self._tickets.get(run_id)
            if ticket is not None and ticket.receipt.state == "pending":
                ticket.update(Receipt("rejected", ticket.receipt.where, "dropped: too many, or too old, to be kept"))
        now = time.monotonic()
        if self.dropped > self._said_dropped and now >= self._say_dropped_after:
            self._say_dropped_after = now + _SAY_EVERY
            self._said_dropped = self.dropped
            say(
                logging.WARNING,
                "%d runs were dropped before they could be delivered: too many, or too old, to be kept.",
                self.dropped,
            )

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
        assert self.queue is not None
        with quietly("prune the run history"):
            if time.monotonic() >= self._prune_after:
                self._prune_after = time.monotonic() + _PRUNE_EVERY
                self.queue.prune()
        if self.queue.has_failed:
            self._collect()  # There may be room again.
        with quietly("take in the runs of ended processes"):
            if self._home is not None and self.store is not None and self.queue.is_on_disk:
                self._note_lost(adopt(self.store, self._home, but=self.journal.owner))
                self._take_over()

    def _take_over(self) -> None:
        if self._home is None or self.store is None:
            return
        keys = list(self._lanes)
        for owner in self.store.owners(keys) - {self.journal.owner}:
            if not is_alive(self._home / "journal", owner) and self.store.take_over(owner, self.journal.owner, keys):
                for lane in self._lanes.values():
                    lane.look()


def adopt(store: Store, home: Path, *, but: str = "") -> list[str]:
    """
    Record what the journals of dead processes in *home* hold; what they had not ended was interrupted.

    Returns:
        The ids of runs that there was no room for.
    """
    lost: list[str] = []
    for dead in dead_journals(home / "journal", but):
        for lines in dead.lines():
            lost += store.record(dead.owner, entries(lines, home))
        store.interrupt(dead.owner)
        dead.remove()
    return lost


def entries(lines: list[bytes], home: Path | None) -> list[tuple[int, Report]]:
    """What the lines of a journal say; those that cannot be read are kept in a file in *home*."""
    found: list[tuple[int, Report]] = []
    unreadable: list[bytes] = []
    for line in lines:
        try:
            number, report = read_line(line)
            found.append((number, Report.from_json(report)))
        except ValueError:  # noqa: PERF203  # one bad line must not hold up the others
            unreadable.append(line)
    if unreadable:
        kept = None if home is None else set_aside(home / "journal", unreadable)
        say(logging.ERROR, "%d lines of a journal cannot be read; they are kept in %s.", len(unreadable), kept)
    return found
