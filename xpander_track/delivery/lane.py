"""The deliveries to one destination: many at a time once one has arrived, one now and then while none does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from typing import TYPE_CHECKING

from ..boundary import say, trouble
from ..plain import dumps, plain
from ..redaction import Redaction
from .destination import Postponed, Rejected
from .receipt import Receipt
from .store import Outcome

if TYPE_CHECKING:
    from .destination import Destination
    from .dispatcher import Dispatcher
    from .queue import Queue
    from .store import Version, Waiting

# So many are sent at a time where answers take long (at an ordinary distance, 50 ms, 200 are away within a second), or
# where very many wait. Else it is one at a time: of those that are under way when a process is killed nobody knows
# whether they have arrived, and they are sent twice.
_WIDTH = 16
_MANY = 256
# Seconds that an answer may take, also that of a busy machine, for one at a time. Beyond, the number grows with the
# square.
_NEAR = 0.012
# Where no answer comes for that long, it is time to look how many may be sent.
_STILL = 0.05
# The last answer's part in what is known of the time that they take. One that is quicker counts at once.
_SMOOTHING = 0.2
# What the platform says again of a run need not be kept twice.
_SENT = {"input", "result"}
_FETCH = 64
# Full jitter ("Exponential Backoff and Jitter", AWS Architecture Blog, 2015): uniform in 0..min(cap, base * 2 ** n).
_BASE = 0.5
_CAP = 30.0
_MAX_ASKED = 300.0  # of a Retry-After
# While a destination fails, a new run makes us try again, if the last failure is longer ago than this.
_EAGER = 3.0
_RETRY_STORE = 1.0
_SAY_EVERY = 60.0


# An answer may repeat anything, the key of the request included.
_SECRETS = Redaction()


class Lane:
    """
    Delivers what the store has for *destination*.

    Args:
        dispatcher: Whose store and tickets.
        destination: Where to; may be replaced by one with the same key and newer credentials.
    """

    def __init__(self, dispatcher: Dispatcher, destination: Destination) -> None:
        self.destination = destination
        self._dispatcher = dispatcher
        self._queue: deque[Waiting] = deque()
        self._in_flight: dict[str, asyncio.Task[None]] = {}  # By the run's id.
        self._outcomes: dict[str, Outcome] = {}  # The same; not yet written down,
        self._has_no_room = False  # for which there was no room, when last tried.
        self._is_empty = False  # The store had nothing more, when last asked.
        self._is_long = False  # It had very many.
        self._is_proven = False  # The last delivery to end has arrived.
        self._took = 0.0  # Seconds that one takes, lately.
        self._moved_at = 0.0  # When one has ended, or the first of some begun.
        self._looking: asyncio.TimerHandle | None = None
        self._failures = 0
        self._failed_at = 0.0
        self._not_before = 0.0  # Our own backoff, which somebody who waits may cut short.
        self._asked_until = 0.0  # The destination's wish, which nobody may.
        self._is_eager = False
        self._said_at: float | None = None
        self._is_stopped = False
        self._wake = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def is_down(self) -> bool:
        """The last deliveries have failed."""
        return self._failures > 0

    @property
    def is_idle(self) -> bool:
        """There is nothing to deliver."""
        return self._is_empty and not self._in_flight

    @property
    def is_written(self) -> bool:
        """What came of its deliveries is written down, as far as there is room."""
        return not self._outcomes or self._has_no_room

    @property
    def is_stuck(self) -> bool:
        """Nothing is under way, and nothing will be for a while."""
        return not self._in_flight and self._pause_left() > 0

    def look(self) -> None:
        """There may be something new in the store."""
        self._is_empty = False
        self._is_eager |= time.monotonic() - self._failed_at > _EAGER
        self._wake.set()

    def hurry(self) -> None:
        """Somebody waits: try now, unless the destination has asked for a pause."""
        self._is_eager = True
        self.look()

    def serve(self, destination: Destination) -> None:
        """The same place, with today's credentials: what the earlier ones were told does not hold for these."""
        is_new = destination != self.destination
        self.destination = destination
        if is_new:
            self._asked_until = 0.0
            self.hurry()

    def commit(self) -> None:
        """Write down what came of deliveries; what cannot be written is kept, and tried again."""
        if not self._outcomes or self._dispatcher.queue is None:
            return
        try:
            left = self._dispatcher.queue.settle(self.destination.key, self._outcomes.values())
            self._has_no_room = bool(left)
            # Of what is to be tried again only the number of tries would be written down.
            self._outcomes = {outcome.id: outcome for outcome in left if outcome.state != "pending"}
        except Exception as error:  # noqa: BLE001  # the disk's trouble, or ours: the lane goes on
            trouble("record what was delivered", error)

    def stop(self) -> None:
        """Deliver no more."""
        self._is_stopped = True
        if self._looking is not None:
            self._looking.cancel()
        for task in (self._task, *self._in_flight.values()):
            task.cancel()

    def count_waiting(self, queue: Queue, *, most: int = -1) -> int | None:
        """How many deliveries are to be made, as far as *most*; None, if that is not known."""
        return queue.count_waiting(self._dispatcher.journal.owner, self.destination.key, most=most, but=self._known())

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self.commit()
            pause = self._pause_left()
            try:
                if pause <= 0:
                    self._is_eager = False
                    self._begin_some()
            except Exception as error:  # noqa: BLE001  # whatever it is, the lane goes on
                trouble(f"deliver runs to {self.destination.where}", error)
                self._failed(type(error).__name__, time.monotonic(), None)
                pause = self._pause_left()
            if not self._in_flight:  # Who waits for us waits for that.
                self._dispatcher.changed.set()
            elif self._looking is None and not self._is_empty:
                self._looking = asyncio.get_running_loop().call_later(_STILL, self._look_again)
            queue = self._dispatcher.queue
            is_behind = self._outcomes or (queue is not None and queue.has_failed)
            until_then = pause if pause > 0 else _RETRY_STORE if is_behind else None
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), until_then)

    def _pause_left(self) -> float:
        """Seconds until the destination may be tried; 0 or less: now."""
        until = self._asked_until
        if self._failures and not self._is_eager:
            until = max(until, self._not_before)
        return until - time.monotonic()

    def _begin_some(self) -> None:
        while len(self._in_flight) < self._width():
            waiting = self._next()
            if waiting is None:
                break
            if not self._in_flight:
                self._moved_at = time.monotonic()
            self._in_flight[waiting.report.id] = asyncio.create_task(self._deliver(waiting))

    def _width(self) -> int:
        """How many deliveries may be under way at a time."""
        if not self._is_proven:
            return 1
        takes = max(self._took, time.monotonic() - self._moved_at) if self._in_flight else self._took
        return _WIDTH if self._is_long else min(_WIDTH, 1 + int((takes / _NEAR) ** 2))

    def _look_again(self) -> None:
        self._looking = None
        self._wake.set()

    def _next(self) -> Waiting | None:
        queue = self._dispatcher.queue
        if not self._queue and queue is not None:
            self.commit()
            limit = _FETCH + len(self._in_flight)
            found = queue.waiting(self._dispatcher.journal.owner, self.destination.key, limit, but=self._known())
            self._is_long = len(found) >= _FETCH and (self.count_waiting(queue, most=_MANY) or 0) >= _MANY
            self._queue.extend(waiting for waiting in found if waiting.report.id not in self._in_flight)
            self._is_empty = not self._queue
        return self._queue.popleft() if self._queue else None

    def _known(self) -> set[Version]:
        """Of which the outcome is known, though not to the store."""
        return {(outcome.id, outcome.owner, outcome.line) for outcome in self._outcomes.values()}

    async def _deliver(self, waiting: Waiting) -> None:
        started = time.monotonic()
        where = self.destination.where
        task_json = None
        try:
            task = await self.destination.deliver(waiting.report)
            if task is not None:
                answer = task.model_dump(mode="json", exclude_defaults=True, exclude=_SENT)
                task_json = dumps(plain(answer, scrub=_SECRETS))
            receipt = Receipt("delivered", where, task=task)
            self._succeeded(started)
        except Rejected as rejected:
            receipt = Receipt("rejected", where, rejected.reason)
            self._succeeded(started)
        except Postponed as postponed:
            receipt = Receipt("pending", where, postponed.reason)
            self._failed(postponed.reason, started, postponed.after)
        except BaseException as error:  # A bug of ours, or of a destination's, must not stop the lane.
            if self._is_stopped:
                raise
            trouble(f"deliver a run to {where}", error)
            receipt = Receipt("pending", where, f"{type(error).__name__} in xpander_track")
            self._failed(receipt.reason, started, None)
        run_id = waiting.report.id
        self._outcomes[run_id] = Outcome(
            run_id, waiting.owner, waiting.line, receipt.state, receipt.reason, task_json
        )  # fmt: skip
        del self._in_flight[run_id]
        self._moved_at = time.monotonic()
        self._is_empty = False  # It may wait again, or a newer version of it.
        self._dispatcher.settled(waiting, receipt)
        self._wake.set()

    def _succeeded(self, started: float) -> None:
        took = time.monotonic() - started
        self._took = min(took, self._took + _SMOOTHING * (took - self._took))
        if self._failures:
            say(logging.INFO, "%s takes runs again.", self.destination.where)
        self._failures = 0
        self._is_proven = True

    def _failed(self, reason: str, started: float, asked: float | None) -> None:
        """Back off. Deliveries that were under way together fail together: that is one failure."""
        now = time.monotonic()
        if started >= self._failed_at or not self._failures:
            self._failures += 1
            pause = random.uniform(0, min(_CAP, _BASE * 2 ** min(self._failures, 10)))  # noqa: S311  # no secret
            self._not_before = now + pause
        if asked is not None:
            self._asked_until = max(self._asked_until, now + min(asked, _MAX_ASKED))
        self._failed_at = now
        self._is_proven = False
        # What is at the head has failed: let the least tried go first next time.
        self._queue.clear()
        if self._said_at is None or now - self._said_at > _SAY_EVERY:
            self._said_at = now
            say(
                logging.WARNING,
                "Runs cannot be delivered to %s now (%s): they are kept and tried again.",
                self.destination.where,
                reason,
            )
