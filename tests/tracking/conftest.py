"""What was recorded, and one way to call tracked functions of either kind."""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from xpander_track import boundary, current, flush, track_task
from xpander_track.delivery.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from xpander_track.delivery.report import Report

    Log = Callable[[], list[str]]


class RunsRecorded(Protocol):
    """The type of the fixture ``recorded``."""

    def __call__(self) -> list[Report]: ...


class Call(Protocol):
    """The type of the fixture ``call``."""

    def __call__(
        self, function: Callable[..., Any], /, *args: Any, decorator: Callable[..., Any] = ..., **kwargs: Any
    ) -> Any: ...


@pytest.fixture(autouse=True)
def _no_run_left() -> Iterator[None]:
    """What a failed test has left open in this thread is not current in the next one."""
    yield
    current._thread.place.entered.clear()


@pytest.fixture
def recorded(home: Path) -> RunsRecorded:
    """``recorded()``: what this test's home has of every run, the first one first."""

    def read() -> list[Report]:
        flush()
        if not home.exists():
            return []
        with closing(Store(home)) as store:
            return [run.report for run in reversed(store.runs())]

    return read


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """``call(function, *args, decorator=track_task(...))``: *function*, or its async twin, decorated and called."""

    def run(
        function: Callable[..., Any], /, *args: Any, decorator: Callable[..., Any] = track_task, **kwargs: Any
    ) -> Any:
        if request.param == "sync":
            return decorator(function)(*args, **kwargs)

        @functools.wraps(function)
        async def twin(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            return function(*args, **kwargs)

        async def main() -> Any:
            return await decorator(twin)(*args, **kwargs)

        return asyncio.run(main())

    return run


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> None:
    """The boundary as users have it: trouble of ours is logged, counted, and goes no further."""
    monkeypatch.setattr(boundary, "reraise", False)


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Threads take turns as often as they can: what can go wrong between two instructions does."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    """``log()``: the lines that our logger has written, debugging left out."""
    caplog.set_level(logging.INFO, logger=boundary.logger.name)
    return lambda: [line.getMessage() for line in caplog.records if line.name == boundary.logger.name]
