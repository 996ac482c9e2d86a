"""flush, aflush and shutdown: what they wait for, and what they tell."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import Flushed, aflush, boundary, configure, flush, shutdown, tracked_task
from xpander_track.delivery import outbox
from xpander_track.platform import loop

from ..platform_server import Answer, PlatformServer
from .conftest import KEY, eventually, numbered, states

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def _platform(server: PlatformServer) -> None:
    configure(api_key=KEY, base_url=server.url, agent_id="agent-1")


@pytest.fixture(params=["flush", "aflush"])
def either(request: pytest.FixtureRequest) -> Callable[..., Flushed]:
    return flush if request.param == "flush" else lambda *timeout: asyncio.run(aflush(*timeout))


def runs(count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        with tracked_task(id=f"run-{number}"):
            pass


def test_flush_delivers_what_waits(server: PlatformServer, either: Any) -> None:
    runs(30)
    assert (either(), set(server.tasks)) == (Flushed(delivered=30), numbered(30))


def test_flush_counts_what_became_of_each_run(server: PlatformServer, either: Any) -> None:
    def answer(request: Any) -> Answer | None:
        return {"run-1": Answer(422), "run-2": Answer(503)}.get(request.json["id"])

    server.always = answer
    runs(5)
    assert either(2) == Flushed(delivered=3, pending=1, rejected=1)


def test_flush_again_counts_all_runs_of_the_process(server: PlatformServer, either: Any) -> None:
    runs(2)
    either()
    runs(3, 2)
    assert (either(), either()) == (Flushed(delivered=5), Flushed(delivered=5))


def test_run_that_reports_progress_is_counted_once(server: PlatformServer, either: Any) -> None:
    with tracked_task(id="run-0") as run:
        run.report_progress(result="half")
        either()
    assert (either(), [request.json["result"] for request in server.requests]) == (Flushed(delivered=1), ["half", None])


def test_flush_before_any_run_is_nothing(either: Any, home: Path) -> None:
    assert (either(), home.exists()) == (Flushed(), False)


def test_flush_is_bounded(server: PlatformServer, either: Any) -> None:
    server.always = Answer(200, json={}, delay=20)
    runs(3)
    begun = time.monotonic()
    assert either(0.3) == Flushed(pending=3)
    assert 0.3 <= time.monotonic() - begun < 5


def test_flush_with_no_time_at_all_tells_what_is_known(server: PlatformServer, either: Any) -> None:
    server.always = Answer(200, json={}, delay=20)
    runs(3)
    assert either(0) == Flushed(pending=3)


def test_flush_tries_again_within_its_time(server: PlatformServer, either: Any) -> None:
    server.answers([Answer(503), Answer(fault="close")])
    runs(3)
    assert either(20) == Flushed(delivered=3)


def test_flush_works_inside_a_running_loop(server: PlatformServer) -> None:
    async def main() -> Flushed:
        runs(3)
        return flush()

    assert asyncio.run(main()) == Flushed(delivered=3)


def test_loop_runs_on_during_aflush(server: PlatformServer) -> None:
    server.always = Answer(503)
    runs(1)

    async def main() -> int:
        flushing = asyncio.create_task(aflush(0.5))
        ticks = 0
        while not flushing.done():
            ticks += 1
            await asyncio.sleep(0.01)
        return ticks

    assert asyncio.run(main()) >= 5


def test_many_may_flush_at_once(server: PlatformServer) -> None:
    results: list[Flushed] = []

    def work(first: int) -> None:
        runs(10, first)
        results.append(flush())

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 80, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (set(server.tasks), max(result.delivered for result in results)) == (numbered(80), 80)
    assert len(server.requests) == 80


@pytest.mark.parametrize("timeout", ["5", True, -1, float("nan"), float("inf"), None])
@pytest.mark.parametrize("function", [flush, shutdown, lambda timeout: asyncio.run(aflush(timeout))])
def test_timeout_that_is_no_number_of_seconds_is_refused(function: Any, timeout: Any) -> None:
    runs(1)
    with pytest.raises((TypeError, ValueError), match="timeout must be a number of seconds"):
        function(timeout)


def test_flush_does_not_raise_when_the_store_fails(
    server: PlatformServer, monkeypatch: pytest.MonkeyPatch, either: Any
) -> None:
    monkeypatch.setattr(boundary, "reraise", False)
    runs(1)
    either()

    def broken(*_: object, **__: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    store = outbox.get().store
    with monkeypatch.context() as patched:
        patched.setattr(store, "count_waiting", broken)
        assert isinstance(either(), Flushed)


def test_flush_does_not_say_that_all_is_well_when_it_does_not_know(
    server: PlatformServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our loop is held up, by a neighbour that holds the store's lock for instance."""
    server.always = Answer(503)
    runs(5)
    eventually(lambda: server.requests)
    loop.get().call_soon_threadsafe(time.sleep, 1.0)
    assert flush(0.1).pending == 5


# --- shutdown ---


def test_shutdown_delivers_what_waits(server: PlatformServer) -> None:
    runs(10)
    assert (shutdown(), set(server.tasks)) == (Flushed(delivered=10), numbered(10))


def test_shutdown_does_not_go_on_with_a_platform_that_fails(server: PlatformServer) -> None:
    server.always = Answer(503)
    runs(10)
    begun = time.monotonic()
    assert shutdown(20) == Flushed(pending=10)
    assert time.monotonic() - begun < 10


def test_after_shutdown_nothing_is_sent_and_everything_kept(server: PlatformServer, home: Path) -> None:
    runs(1)
    shutdown()
    runs(5, 1)
    time.sleep(0.2)
    assert set(server.tasks) == numbered(1)
    kept = b"".join(path.read_bytes() for path in (home / "journal").iterdir())
    assert [name for name in sorted(numbered(5, 1)) if name.encode() not in kept] == []


@pytest.mark.parametrize("function", [flush, shutdown])
def test_flush_after_shutdown_does_not_claim_that_nothing_waits(server: PlatformServer, function: Any) -> None:
    runs(1)
    shutdown()
    runs(5, 1)
    assert function().pending == 5


def test_second_shutdown_is_harmless(server: PlatformServer) -> None:
    runs(1)
    shutdown()
    begun = time.monotonic()
    shutdown()
    assert time.monotonic() - begun < 1


def test_shutdown_before_any_run_is_nothing_and_tracking_goes_on(server: PlatformServer, home: Path) -> None:
    assert shutdown() == Flushed()
    runs(1)
    assert flush() == Flushed(delivered=1)
    assert states(home) == {"run-0": "delivered"}


def test_configure_says_whether_the_disk_itself_is_waited_for() -> None:
    configure(fsync=True)
    runs(1)
    flush()
    dispatcher = outbox.get()
    assert dispatcher.store is not None
    with dispatcher.store._using() as db:
        assert (db.execute("PRAGMA synchronous").fetchone(), dispatcher.journal._fsync) == ((2,), True)
