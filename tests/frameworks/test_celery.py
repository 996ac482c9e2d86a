"""Celery: a tracked function is a task, run by a real worker over an in-memory broker, or eagerly."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import current_run, track_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from xpander_track.delivery.report import Report

celery = pytest.importorskip("celery", reason="Celery is not installed: see .ci/frameworks")
worker = pytest.importorskip("celery.contrib.testing.worker", reason="Celery is not installed: see .ci/frameworks")

# Celery closes none of the memory it makes for a broker.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture
def app() -> Any:
    made = celery.Celery("agents", broker="memory://", backend="cache+memory://", set_as_current=False)
    made.conf.broker_connection_retry_on_startup = True
    return made


def tasks(app: Any) -> dict[str, Any]:
    @app.task(name="plain", shared=False)
    @track_task(agent_id="agent-1")
    def plain(question: str, depth: int = 1) -> str:
        """The docstring."""
        return f"{question * depth} {bool(current_run())}"

    @app.task(name="bound", shared=False, bind=True)
    @track_task(agent_id="agent-1")
    def bound(self: Any, question: str) -> str:
        return f"{self.name}: {question}"

    @app.task(name="fails", shared=False, bind=True, max_retries=1)
    @track_task(agent_id="agent-1")
    def fails(self: Any) -> None:
        raise ValueError("no")

    return {"plain": plain, "bound": bound, "fails": fails}


def test_a_task_is_what_its_function_is(app: Any, recorded: Callable[[], list[Report]]) -> None:
    made = tasks(app)
    assert (made["plain"].name, made["plain"].__doc__) == ("plain", "The docstring.")
    assert made["plain"]("a", depth=2) == "aa True"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'question'"):
        made["plain"].delay()
    assert pickle.loads(pickle.dumps(made["plain"].s("a"))) == made["plain"].s("a")
    assert [(run.ending, run.result) for run in recorded()] == [("completed", "aa True")]


def test_a_worker_runs_them(app: Any, recorded: Callable[[], list[Report]]) -> None:
    made = tasks(app)
    with worker.start_worker(app, perform_ping_check=False, shutdown_timeout=20):
        assert made["plain"].delay("a", 2).get(timeout=20) == "aa True"
        assert made["bound"].delay("why?").get(timeout=20) == "bound: why?"
        with pytest.raises(ValueError, match="no"):
            made["fails"].delay().get(timeout=20)
    assert [(run.ending, run.result) for run in recorded()] == [
        ("completed", "aa True"), ("completed", "bound: why?"), ("failed", "ValueError: no"),
    ]  # fmt: skip
    # A bound task is the receiver of its function.
    assert [run.input for run in recorded()] == ['{"question":"a","depth":2}', "why?", None]


def test_an_eager_one_is_a_run(app: Any, recorded: Callable[[], list[Report]]) -> None:
    made = tasks(app)
    assert made["bound"].apply(args=["why?"]).get() == "bound: why?"
    assert [run.ending for run in recorded()] == ["completed"]
