"""The deliveries to one destination: many at a time once one has arrived, one now and then while none does."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from typing import TYPE_CHECKING

from ..boundary import logger, quietly, trouble
from .destination import Postponed, Rejected
from .receipt import Receipt
from .store import Outcome, Waiting

if TYPE_CHECKING:
    from .destination import Destination
    from .dispatcher import Dispatcher

# Enough for a backlog at an ordinary distance; the client looks at every idle connection before each request.
_WIDTH = 10
_FETCH = 64
# Full jitter ("Exponential Backoff and Jitter", AWS Architecture Blog, 2015): uniform in 0..min(cap, base * 2 ** n).
_BASE = 0.5
_CAP = 30.0
_MAX_ASKED = 300.0  # of a Retry-After
# While a destination fails, a new run makes us try again, if the last try was longer ago than this.
_EAGER = 3.0
_SAY_EVERY = 60.0


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
        self._in_flight: dict[int, asyncio.Task[None]] = {}
        self._outcomes: list[Outcome] = []
        self._failures = 0
        self._is_proven = False
        self._failed_at = 0.0
        self._not_before = 0.0
        self._asked_until = 0.0
        self._said_at = 0.0
        self._is_empty = False
        self._work = asyncio.Event()
        self._again = asyncio.Event()
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
    def is_stuck(self) -> bool:
        """The last deliveries have failed, and none is being tried."""
        return self._failures > 0 and not self._in_flight and not self._again.is_set()

    def look(self) -> None:
        """There may be something new in the store."""
        self._is_empty = False
        self._work.set()
        if time.monotonic() - self._failed_at > _EAGER:
            self._again.set()

    def serve(self, destination: Destination) -> None:
        """The same place, with today's credentials: what the earlier ones were told does not hold for these."""
        if destination is not self.destination:
            self.destination = destination
            self._asked_until = 0.0
            self.hurry()

    def hurry(self) -> None:
        """Somebody waits: try now, unless the destination has asked for a pause."""
        self.look()
        self._again.set()

    def stop(self) -> None:
        """Deliver no more."""
        for task in (self._task, *self._in_flight.values()):
            task.cancel()

    def commit(self) -> None:
        """Write down what came of deliveries."""
        if self._outcomes and self._dispatcher.store is not None:
            outcomes, self._outcomes = self._outcomes, []
            with quietly("record what was delivered"):
                self._dispatcher.store.settle(self.destination.key, outcomes)

    async def _run(self) -> None:
        while True:
            self._work.clear()
            try:
                await self._pause()
                while len(self._in_flight) < (_WIDTH if self._is_proven else 1):
                    waiting = self._next()
                    if waiting is None:
                        break
                    task = asyncio.create_task(self._deliver(waiting))
                    self._in_flight[waiting.run] = task
            except Exception as error:  # noqa: BLE001  # whatever it is, the lane goes on
                trouble(f"deliver runs to {self.destination.where}", error)
                self._failed(None, time.monotonic(), None)
            self._dispatcher.changed.set()
            await self._work.wait()

    async def _pause(self) -> None:
        """Until the destination may be tried again."""
        while self._failures and (left := self._not_before - time.monotonic()) > 0:
            self._again.clear()
            try:
                await asyncio.wait_for(self._again.wait(), left)
            except asyncio.TimeoutError:
                return
            if time.monotonic() >= self._asked_until:
                break
        self._again.clear()

    def _next(self) -> Waiting | None:
        store = self._dispatcher.store
        if not self._queue and store is not None:
            self.commit()
            found = store.waiting(self._dispatcher.journal.owner, self.destination.key, _FETCH + len(self._in_flight))
            self._queue.extend(waiting for waiting in found if waiting.run not in self._in_flight)
            self._is_empty = not self._queue
        return self._queue.popleft() if self._queue else None

    async def _deliver(self, waiting: Waiting) -> None:
        started = time.monotonic()
        where = self.destination.where
        task_json = None
        try:
            task = await self.destination.deliver(waiting.report)
            receipt = Receipt("delivered", where, task=task)
            task_json = None if task is None else task.model_dump_json(exclude_defaults=True)
            self._succeeded()
        except Rejected as rejected:
            receipt = Receipt("rejected", where, rejected.reason)
            self._succeeded()
        except Postponed as postponed:
            receipt = Receipt("pending", where, postponed.reason)
            self._failed(postponed.reason, started, postponed.after)
        except Exception as error:  # noqa: BLE001  # a bug of ours must not stop the lane
            trouble(f"deliver a run to {where}", error)
            receipt = Receipt("pending", where, f"{type(error).__name__} in xpander_track")
            self._failed(receipt.reason, started, None)
        self._outcomes.append(Outcome(waiting.run, waiting.version, receipt.state, receipt.reason, task_json))
        del self._in_flight[waiting.run]
        self._dispatcher.settled(waiting.report, receipt)
        self._dispatcher.changed.set()
        self._work.set()

    def _succeeded(self) -> None:
        if self._failures:
            logger.info("%s takes runs again.", self.destination.where)
        self._failures = 0
        self._is_proven = True

    def _failed(self, reason: str | None, started: float, asked: float | None) -> None:
        """Back off. Deliveries that were under way together fail together: that is one failure."""
        now = time.monotonic()
        if started >= self._failed_at or not self._failures:
            self._failures += 1
        self._failed_at = now
        self._is_proven = False
        if asked is None:
            self._not_before = now + random.uniform(0, min(_CAP, _BASE * 2**self._failures))  # noqa: S311  # no secret
        else:
            self._not_before = self._asked_until = now + min(asked, _MAX_ASKED)
        # What is at the head has failed: let the least tried go first next time.
        self._queue.clear()
        if now - self._said_at > _SAY_EVERY or not self._said_at:
            self._said_at = now
            logger.warning(
                "Runs cannot be delivered to %s now (%s): they are kept and tried again.",
                self.destination.where,
                reason,
            )
