"""After each test nothing is left of its runs: no line, no task, no thread, no object."""

from __future__ import annotations

import gc
import logging
import weakref
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from xpander_track import boundary, current, flush
from xpander_track.delivery.store import Store
from xpander_track.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from xpander_track.delivery.report import Report

# Said once in each process: what a run without a platform is told.
_EXPECTED = "No XPANDER_API_KEY"


@pytest.fixture
def recorded(home: Path) -> Callable[[], list[Report]]:
    """``recorded()``: every run of this test, the first one first."""

    def read() -> list[Report]:
        flush()
        with closing(Store(home)) as store:
            return [run.report for run in reversed(store.runs())]

    return read


@pytest.fixture(autouse=True)
def _nothing_is_left(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    runs: list[weakref.ref[Run]] = []
    begin = Run.begin

    def begin_and_note(run: Run, given: str | None) -> None:
        runs.append(weakref.ref(run))
        begin(run, given)

    monkeypatch.setattr(Run, "begin", begin_and_note)
    caplog.set_level(logging.INFO, logger=boundary.logger.name)
    yield
    gc.collect()
    ours = [line.getMessage() for line in caplog.records if line.name == boundary.logger.name]
    assert [line for line in ours if not line.startswith(_EXPECTED)] == []
    assert [
        line.getMessage() for line in caplog.records if line.name == "asyncio" and line.levelno > logging.INFO
    ] == []
    assert (list(current._tasks), list(current._threads), current._thread.place.entered) == ([], [], [])
    assert runs
    assert [run() for run in runs if run() is not None] == []
