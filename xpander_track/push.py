"""``xpander-track push``: deliver what waits, now."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import settings
from .delivery import outbox
from .delivery.routing import destinations
from .limits import UNLIMITED
from .local.embedded import KEY as EMBEDDED
from .platform import loop

if TYPE_CHECKING:
    from .delivery.destination import Destination
    from .delivery.store import Store

_STEP = 0.2
_WIDTH = 30


class NoPlatformError(Exception):
    """There is no platform to push to."""


@dataclass(frozen=True)
class Pushed:
    """
    What came of a push.

    Args:
        where: The platform.
        delivered: Runs that it has taken.
        rejected: Runs that it has refused; ``xpander-track show`` says why.
        pending: Runs that still wait.
        reason: Why they wait, of one of them.
        elsewhere: Runs that wait for other platforms, with other credentials.
    """

    where: str
    delivered: int
    rejected: int
    pending: int
    reason: str
    elsewhere: int


def push(store: Store, *, agent_id: str | None, include_local: bool, timeout: float) -> Pushed:
    """
    Deliver what waits for the platform that the environment names.

    Args:
        store: The history.
        agent_id: Whose the runs are that name no agent; None leaves them.
        include_local: Also runs that were recorded by the embedded platform.
        timeout: Seconds, at most.

    Raises:
        NoPlatformError: The environment names none.
    """
    destination = _platform()
    dispatcher = outbox.get(UNLIMITED)
    owner = dispatcher.journal.owner
    if include_local:
        store.send_on(EMBEDDED, destination.key, owner)
    if agent_id is not None:
        store.give_agent(agent_id, destination.key, owner)
    before = _counts(store, destination.key)
    dispatcher.serve(destination)
    # What another living process has recorded is that one's to deliver: nobody here waits for it.
    draining = asyncio.run_coroutine_threadsafe(dispatcher.drain(timeout, give_up=False), loop.get())
    with _Bar(before["pending"]) as bar:
        while not wait([draining], _STEP).done:
            bar.show(before["pending"] - _counts(store, destination.key)["pending"])
        outbox.shutdown(0.0)  # What is delivered from now on would not be in the figures.
        now = _counts(store, destination.key)
        bar.show(before["pending"] - now["pending"])
    deliveries = store.deliveries()
    reasons = [found.reason for found in deliveries if found.destination == destination.key]
    elsewhere = sum(
        found.count
        for found in deliveries
        if found.state == "pending" and found.destination not in {destination.key, EMBEDDED}
    )
    return Pushed(
        destination.where,
        now["delivered"] - before["delivered"],
        now["rejected"] - before["rejected"],
        now["pending"],
        next(filter(None, reasons), ""),
        elsewhere,
    )


def _platform() -> Destination:
    try:
        is_there = settings.current().configuration() is not None
    except ValueError as error:
        raise NoPlatformError(f"the platform's address or key cannot be used: {error}") from error
    if not is_there:
        raise NoPlatformError("no XPANDER_API_KEY and no XPANDER_BASE_URL are set: there is no platform to push to")
    (destination,) = destinations(None)
    return destination


def _counts(store: Store, destination: str) -> dict[str, int]:
    found = {one.state: one.count for one in store.deliveries() if one.destination == destination}
    return {state: found.get(state, 0) for state in ("pending", "delivered", "rejected")}


class _Bar:
    """A line on a terminal that fills; nothing elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._is_shown = sys.stderr.isatty() and total > 0

    def __enter__(self) -> _Bar:
        self.show(0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_shown:
            sys.stderr.write("\n")

    def show(self, done: int) -> None:
        if self._is_shown:
            filled = _WIDTH * done // self._total
            bar = "#" * filled + "." * (_WIDTH - filled)
            sys.stderr.write(f"\r[{bar}] {done} of {self._total}")
            sys.stderr.flush()
