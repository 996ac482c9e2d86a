"""Waiting for a run's report, and what becomes of it."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import Receipt, Task, configure, current_run, flush, shutdown, track_task, tracked_task

from ..platform_server import Answer, PlatformServer
from .conftest import KEY, QUIET, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Python

SLOWLY = 0.4


@pytest.fixture(autouse=True)
def _platform(server: PlatformServer) -> None:
    configure(api_key=KEY, base_url=server.url, agent_id="agent-1")


@pytest.fixture(params=["sync", "async"])
def wait_for(request: pytest.FixtureRequest) -> Callable[..., Task | None]:
    """``run.reported(timeout)``, or ``await run.areported(timeout)``."""
    if request.param == "sync":
        return lambda run, *timeout: run.reported(*timeout)
    return lambda run, *timeout: asyncio.run(run.areported(*timeout))


def ended(**options: Any) -> Any:
    with tracked_task(**options) as run:
        run.set_result("done")
    return run


# --- reported ---


def test_reported_gives_the_platforms_task(server: PlatformServer, wait_for: Any) -> None:
    run = ended()
    task = wait_for(run, 10)
    assert (task.id, task.result, task.status.value) == (run.id, "done", "completed")
    assert run.receipt == Receipt("delivered", server.url, "", task)


def test_reported_again_gives_the_same_at_once(server: PlatformServer, wait_for: Any) -> None:
    run = ended()
    assert wait_for(run, 10) is wait_for(run, 0)
    assert len(server.requests) == 1


def test_reported_gives_none_when_time_is_up(server: PlatformServer, wait_for: Any) -> None:
    server.always = Answer(200, json={}, delay=20)
    run = ended()
    begun = time.monotonic()
    assert wait_for(run, 0.2) is None
    assert 0.2 <= time.monotonic() - begun < 5
    assert run.receipt == Receipt("pending", server.url)


def test_reported_gives_none_for_a_rejected_run_and_the_receipt_says_why(server: PlatformServer, wait_for: Any) -> None:
    server.always = Answer(422, text="too odd")
    run = ended()
    assert wait_for(run, 10) is None
    assert run.receipt == Receipt("rejected", server.url, "HTTP 422: too odd")


def test_reported_waits_until_the_platform_is_back(server: PlatformServer, wait_for: Any) -> None:
    server.answers([Answer(503)])
    assert wait_for(ended()).status.value == "completed"


def test_receipt_of_a_run_that_waits_says_where_and_why(server: PlatformServer) -> None:
    server.always = Answer(503)
    run = ended()
    eventually(lambda: run.receipt.reason)
    assert run.receipt == Receipt("pending", server.url, "HTTP 503")


def test_receipt_of_an_open_run_is_pending(server: PlatformServer) -> None:
    with tracked_task() as run:
        assert (run.receipt, run.reported(5)) == (Receipt("pending", server.url, "the run is open"), None)


def test_receipt_of_no_run_is_pending_and_nothing_is_waited_for() -> None:
    assert (current_run().receipt.state, current_run().reported()) == ("pending", None)


def test_answer_that_cannot_be_read_is_delivered_without_a_task(server: PlatformServer, wait_for: Any) -> None:
    server.always = Answer(200, text="thanks")
    run = ended()
    assert wait_for(run, 10) is None
    assert run.receipt == Receipt("delivered", server.url)


def test_many_may_wait_for_one_run(server: PlatformServer) -> None:
    server.always = Answer(503)
    run = ended()
    found: list[Any] = []

    async def several() -> None:
        found.extend(await asyncio.gather(*(run.areported(20) for _ in range(5))))

    threads = [threading.Thread(target=lambda: found.append(run.reported(20))) for _ in range(5)]
    threads.append(threading.Thread(target=lambda: asyncio.run(several())))
    for thread in threads:
        thread.start()
    server.always = None
    for thread in threads:
        thread.join()
    assert [task.id for task in found] == [run.id] * 10


def test_waiting_can_be_cancelled_and_the_run_arrives_all_the_same(server: PlatformServer) -> None:
    server.always = Answer(503)

    async def impatient() -> Any:
        run = ended()
        task = asyncio.create_task(run.areported())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return run

    run = asyncio.run(impatient())
    server.always = None
    flush()
    assert run.receipt.state == "delivered"


def test_loop_that_ends_while_a_run_is_waited_for_leaves_no_trace(
    server: PlatformServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.always = Answer(200, json={}, delay=0.3)

    async def main() -> Any:
        run = ended()
        main.task = asyncio.create_task(run.areported())  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return run

    run = asyncio.run(main())
    run.reported(10)
    assert caplog.records == []


@pytest.mark.parametrize("timeout", ["5", True, -1, float("nan"), float("inf")])
def test_timeout_that_is_no_number_of_seconds_is_refused(timeout: Any, wait_for: Any) -> None:
    run = ended()
    with pytest.raises((TypeError, ValueError), match="timeout must be a number of seconds"):
        wait_for(run, timeout)


# --- wait= ---


def block(**options: Any) -> Any:
    with tracked_task(**options) as run:
        pass
    return run


def function(**options: Any) -> Any:
    @track_task(**options)
    def answer() -> Any:
        return current_run()

    return answer()


def async_block(**options: Any) -> Any:
    async def main() -> Any:
        async with tracked_task(**options) as run:
            pass
        return run

    return asyncio.run(main())


def async_function(**options: Any) -> Any:
    @track_task(capture_result=False, **options)
    async def answer() -> Any:
        return current_run()

    return asyncio.run(answer())


FORMS = [block, function, async_block, async_function]


@pytest.mark.parametrize("form", FORMS)
def test_run_that_waits_has_its_task_when_it_ends(server: PlatformServer, form: Any) -> None:
    server.always = after(SLOWLY)
    assert form(wait=10).receipt.task is not None


@pytest.mark.parametrize("form", FORMS)
def test_wait_may_be_configured(server: PlatformServer, form: Any) -> None:
    server.always = after(SLOWLY)
    configure(wait=10)
    assert form().receipt.task is not None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("options", [{}, {"wait": 0}], ids=["by default", "with wait=0"])
def test_nobody_waits(server: PlatformServer, form: Any, options: Any) -> None:
    server.always = Answer(200, json={}, delay=20)
    begun = time.monotonic()
    assert form(**options).receipt.state == "pending"
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("form", FORMS)
def test_waiting_is_bounded(server: PlatformServer, form: Any) -> None:
    server.always = Answer(200, json={}, delay=20)
    begun = time.monotonic()
    assert form(wait=0.2).receipt.state == "pending"
    assert 0.2 <= time.monotonic() - begun < 5


@pytest.mark.parametrize("form", FORMS)
def test_nobody_waits_while_the_platform_is_known_to_be_down(server: PlatformServer, form: Any) -> None:
    server.always = Answer(503)
    first = form()
    eventually(lambda: first.receipt.reason)
    begun = time.monotonic()
    assert form(wait=20).receipt.state == "pending"
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("form", FORMS)
def test_nobody_waits_after_shutdown(server: PlatformServer, form: Any) -> None:
    form()
    shutdown()
    begun = time.monotonic()
    assert form(wait=8).receipt.state == "pending"
    assert time.monotonic() - begun < 4


def test_plain_block_inside_a_running_loop_never_waits(server: PlatformServer) -> None:
    server.always = Answer(200, json={}, delay=20)

    async def main() -> float:
        begun = time.monotonic()
        block(wait=20)
        function(wait=20)
        return time.monotonic() - begun

    assert asyncio.run(main()) < 5


def test_loop_runs_on_while_an_async_run_waits(server: PlatformServer) -> None:
    server.always = after(SLOWLY)

    async def main() -> tuple[Any, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        async with tracked_task(wait=10) as run:
            pass
        ticking.cancel()
        return run, ticks

    run, ticks = asyncio.run(main())
    assert (run.receipt.state, ticks >= 5) == ("delivered", True)


def test_error_of_the_users_comes_through(server: PlatformServer) -> None:
    server.always = after(SLOWLY)

    @track_task(wait=10)
    def answer() -> None:
        raise ZeroDivisionError("theirs")

    with pytest.raises(ZeroDivisionError, match="theirs"):
        answer()


def after(seconds: float) -> Callable[[Any], None]:
    """An answer of the platform's own, after a while."""

    def answer(_: Any) -> None:
        time.sleep(seconds)

    return answer


def test_run_in_an_atexit_handler_does_not_hold_up_the_exit_by_its_waiting(
    python: Python, server: PlatformServer, home: Path
) -> None:
    process = python("atexit.register(run, 1, wait=9)\nrun(0, wait=9)\nfinish()", server=server).wait()
    assert (process.code, process.leaving < 6) == (0, True)


def test_nobody_waits_for_a_report_after_the_shutdown(server: PlatformServer, wait_for: Any) -> None:
    server.always = Answer(503)
    run = ended()
    shutdown(0.1)
    assert (wait_for(run), run.receipt.state) == (None, "pending")
    assert wait_for(ended()) is None


def test_who_waits_for_a_report_is_let_go_by_the_shutdown(server: PlatformServer) -> None:
    server.always = Answer(503)
    run = ended()
    waiter = threading.Thread(target=run.reported, daemon=True)
    waiter.start()
    shutdown(0.1)
    waiter.join(10)
    assert not waiter.is_alive()


def test_nobody_waits_in_a_forked_child_for_a_report_of_its_parents(python: Python, away: PlatformServer) -> None:
    code = """
with tracked_task() as run: run.receipt
if os.fork() == 0:
    say("child", run.reported())
    os._exit(0)
os.wait()
"""
    assert python(code, server=away, options=QUIET).wait().lines == ["child None"]
