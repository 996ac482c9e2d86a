"""What became of a report, and waiting for it."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ..platform import Task


@dataclass(frozen=True)
class Receipt:
    """
    What became of a run's report.

    Args:
        state: ``delivered``, ``pending`` (it waits, and will be tried again) or ``rejected`` (it was set aside).
        where: The destination: an address, or the embedded platform's folder.
        reason: Why it is pending or rejected; empty where there is nothing to say.
        task: The platform's record, once delivered and readable.
    """

    state: Literal["delivered", "pending", "rejected"]
    where: str = ""
    reason: str = ""
    task: Task | None = None


# One lock for all tickets: it is held for a few instructions, and never while user code can run.
_lock = threading.Lock()


class Ticket:
    """
    Follows one report. The dispatcher settles it; whoever holds it may look, or wait.

    ``line`` is the number of that report in the journal: what becomes of earlier ones with its id is not its concern.
    """

    __slots__ = ("__weakref__", "_is_left", "_receipt", "_waiters", "line")

    def __init__(self, receipt: Receipt) -> None:
        self.line = 0
        self._receipt = receipt
        self._waiters: list[Future[Receipt]] = []
        self._is_left = False

    @property
    def receipt(self) -> Receipt:
        """What is known now."""
        return self._receipt

    def update(self, receipt: Receipt) -> None:
        """What is known from now on; anything but ``pending`` is final and wakes who waits."""
        with _lock:
            self._receipt = receipt
        if receipt.state != "pending":
            self._wake(receipt)

    def leave(self) -> None:
        """Nobody will settle it any more, in this process: who waits need not wait."""
        self._is_left = True
        self._wake(self._receipt)

    def _wake(self, receipt: Receipt) -> None:
        with _lock:
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if waiter.set_running_or_notify_cancel():
                waiter.set_result(receipt)

    def wait(self, timeout: float | None) -> Receipt:
        """Wait until it is settled, *timeout* seconds at most."""
        future = self._future()
        try:
            return future.result(timeout)
        except FutureTimeoutError:
            return self._receipt
        finally:
            self._leave(future)

    async def await_(self, timeout: float | None) -> Receipt:
        """``wait`` for asynchronous code."""
        future = self._future()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), timeout)
        except asyncio.TimeoutError:
            return self._receipt
        finally:
            self._leave(future)

    def _future(self) -> Future[Receipt]:
        future: Future[Receipt] = Future()
        with _lock:
            if self._receipt.state == "pending" and not self._is_left:
                self._waiters.append(future)
                return future
        future.set_result(self._receipt)
        return future

    def _leave(self, future: Future[Receipt]) -> None:
        with _lock:
            if future in self._waiters:
                self._waiters.remove(future)


def _forget() -> None:
    # A forked child: the lock may have been held at the moment of the fork.
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
