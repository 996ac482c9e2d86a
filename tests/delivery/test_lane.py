"""Deliveries to one destination: in order, many at a time once one has arrived, one now and then while none does."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track.delivery import lane as module
from xpander_track.delivery.destination import Postponed, Rejected
from xpander_track.delivery.dispatcher import Flushed

from .conftest import Place, drain, eventually, numbered, post, states

if TYPE_CHECKING:
    from pathlib import Path

    from xpander_track.delivery.dispatcher import Dispatcher
    from xpander_track.delivery.report import Report

    from .conftest import MakeReport


@pytest.fixture
def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first retry comes after some milliseconds instead of up to a second."""
    monkeypatch.setattr(module, "_BASE", 0.005)


def after(seconds: float, outcome: Any = None) -> Any:
    async def answer(_: Report) -> Any:
        await asyncio.sleep(seconds)
        return outcome

    return answer


# --- what arrives ---


def test_what_is_posted_is_delivered(dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path) -> None:
    report = make_report()
    post(dispatcher, report, [place])
    assert drain(dispatcher) == Flushed(delivered=1)
    assert (place.reports, states(home)) == ([report], {"run-1": "delivered"})


def test_beginning_of_a_run_is_not_sent(dispatcher: Dispatcher, place: Place, make_report: MakeReport) -> None:
    post(dispatcher, make_report(stage="started"), [place])
    assert (drain(dispatcher), place.reports) == (Flushed(), [])


def test_each_destination_of_a_run_gets_it(dispatcher: Dispatcher, make_report: MakeReport) -> None:
    places = [Place("a"), Place("b"), Place("c", always=Rejected("no"))]
    post(dispatcher, make_report(destinations=["a", "b", "c"]), places)
    drain(dispatcher)
    assert [place.ids for place in places] == [["run-1"]] * 3


@pytest.mark.usefixtures("quick_backoff")
def test_destination_that_is_down_does_not_hold_up_another_one(dispatcher: Dispatcher, make_report: MakeReport) -> None:
    down, up = Place("down", always=Postponed("HTTP 503")), Place("up")
    for number in range(20):
        post(dispatcher, make_report(f"run-{number}", destinations=["down", "up"]), [down, up])
    flushed = drain(dispatcher, 0.5)
    assert (flushed.pending, set(up.ids)) == (20, numbered(20))


# --- order ---


def test_updates_of_a_run_arrive_in_order_the_final_one_last(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport
) -> None:
    """Slow answers, and updates that come in while an earlier one is under way."""
    place.always = after(0.02)
    expected: dict[str, list[str]] = {}
    for step in range(6):
        for run in range(8):
            stage = "ended" if step == 5 else "progress"
            post(dispatcher, make_report(f"run-{run}", stage=stage, result=f"{step}"), [place])
        time.sleep(0.02)
    drain(dispatcher)
    for run in range(8):
        expected[f"run-{run}"] = [r.result or "" for r in place.reports if r.id == f"run-{run}"]
    assert all(steps == sorted(steps) and steps[-1] == "5" for steps in expected.values()), expected
    assert all(report.stage == "ended" for report in place.reports if report.result == "5")


def test_run_is_never_under_way_twice(dispatcher: Dispatcher, place: Place, make_report: MakeReport) -> None:
    under_way: set[str] = set()
    twice: list[str] = []

    async def deliver(report: Report) -> None:
        if report.id in under_way:
            twice.append(report.id)
        under_way.add(report.id)
        await asyncio.sleep(0.01)
        under_way.discard(report.id)

    place.always = deliver
    for step in range(10):
        for run in range(5):
            post(dispatcher, make_report(f"run-{run}", result=f"{step}"), [place])
        time.sleep(0.007)
    drain(dispatcher)
    assert (twice, set(place.ids)) == ([], numbered(5))


def test_updates_that_wait_together_are_sent_as_one(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport
) -> None:
    place.answers([after(0.3)])
    post(dispatcher, make_report("run-first"), [place])
    eventually(lambda: place.reports)
    for step in range(5):
        post(dispatcher, make_report(stage="ended" if step == 4 else "progress", result=f"{step}"), [place])
    drain(dispatcher)
    assert [(report.id, report.result) for report in place.reports] == [("run-first", "answer"), ("run-1", "4")]


# --- how many at a time ---


def test_one_at_a_time_until_one_has_arrived_then_many(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport
) -> None:
    widths: list[int] = []

    async def deliver(_: Report) -> None:
        widths.append(place.in_flight)
        await asyncio.sleep(0.05)

    place.always = deliver
    for number in range(40):
        post(dispatcher, make_report(f"run-{number}"), [place])
    drain(dispatcher)
    assert widths[0] == 1
    assert 8 <= place.most_in_flight <= 16
    assert (sorted(place.ids), len(widths)) == (sorted(numbered(40)), 40)


def most_under_way(dispatcher: Dispatcher, make_report: MakeReport, count: int, *, answers_after: float) -> int:
    place = Place(always=after(answers_after))
    for number in range(count):
        post(dispatcher, make_report(f"run-{number}"), [place])
    assert drain(dispatcher, 30).delivered == count
    return place.most_in_flight


def test_one_at_a_time_where_answers_come_at_once(
    dispatcher: Dispatcher, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a process that is killed has one under way."""
    monkeypatch.setattr(module, "_NEAR", 1.0)  # However busy this machine is.
    assert most_under_way(dispatcher, make_report, 100, answers_after=0.001) == 1


def test_many_at_a_time_where_answers_take_long(dispatcher: Dispatcher, make_report: MakeReport) -> None:
    assert most_under_way(dispatcher, make_report, 100, answers_after=0.06) == place_width()


def test_many_at_a_time_where_very_many_wait(
    dispatcher: Dispatcher, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_NEAR", 1.0)
    assert most_under_way(dispatcher, make_report, 500, answers_after=0.001) == place_width()


def test_one_that_is_not_answered_does_not_hold_up_the_others(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport
) -> None:
    async def deliver(report: Report) -> None:
        if report.id == "run-5":
            await asyncio.sleep(60)

    place.always = deliver
    for number in range(30):
        post(dispatcher, make_report(f"run-{number}"), [place])
    assert drain(dispatcher, 3).delivered == 29


@pytest.mark.usefixtures("quick_backoff")
def test_one_at_a_time_while_none_arrives(dispatcher: Dispatcher, place: Place, make_report: MakeReport) -> None:
    place.always = after(0.005, Postponed("HTTP 503"))
    for number in range(40):
        post(dispatcher, make_report(f"run-{number}"), [place])
    drain(dispatcher, 0.5)
    assert (place.most_in_flight, len(place.reports) > 3) == (1, True)


@pytest.mark.usefixtures("quick_backoff")
def test_after_an_outage_everything_is_delivered_once(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path
) -> None:
    place.answers([Postponed("connection refused")] * 4)
    for number in range(50):
        post(dispatcher, make_report(f"run-{number}"), [place])
    assert drain(dispatcher) == Flushed(delivered=50)
    assert len(place.reports) == 54
    assert states(home) == dict.fromkeys((f"run-{number}" for number in range(50)), "delivered")


@pytest.mark.usefixtures("quick_backoff")
def test_flush_goes_on_when_all_that_was_under_way_has_failed(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport
) -> None:
    post(dispatcher, make_report("run-first"), [place])
    drain(dispatcher)
    place.answers([after(0.1, Postponed("HTTP 503"))] * 5)
    for number in range(5):
        post(dispatcher, make_report(f"run-{number}"), [place])
    eventually(lambda: place.in_flight == 5)
    assert drain(dispatcher) == Flushed(delivered=6)


def test_deliveries_that_fail_together_are_one_failure(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten at once that fail must not make the pause a thousand times as long."""
    longest: list[float] = []
    monkeypatch.setattr(module.random, "uniform", lambda low, high: longest.append(high) or low)
    post(dispatcher, make_report("run-first"), [place])
    drain(dispatcher)
    place.answers([after(0.1, Postponed("HTTP 503"))] * place_width())
    for number in range(place_width()):
        post(dispatcher, make_report(f"run-{number}"), [place])
    assert drain(dispatcher).delivered == place_width() + 1
    assert (max(longest), place.most_in_flight) == (1.0, place_width())


def place_width() -> int:
    return module._WIDTH


# --- when ---


def test_pause_grows_with_each_failure_up_to_a_cap(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest: list[float] = []
    monkeypatch.setattr(module.random, "uniform", lambda low, high: longest.append(high) or low)
    place.answers([Postponed("HTTP 503")] * 9)
    post(dispatcher, make_report(), [place])
    drain(dispatcher)
    assert longest == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]


@pytest.mark.usefixtures("quick_backoff")
def test_pause_is_short_again_after_a_success(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest: list[float] = []
    monkeypatch.setattr(module.random, "uniform", lambda low, high: longest.append(high) or low)
    place.answers([Postponed("")] * 3 + [None] + [Postponed("")])
    for number in range(2):
        post(dispatcher, make_report(f"run-{number}"), [place])
        drain(dispatcher)
    assert longest == [0.01, 0.02, 0.04, 0.01]


@pytest.mark.parametrize("impatient", [False, True], ids=["by itself", "while somebody flushes"])
def test_destination_is_left_alone_for_as_long_as_it_asked(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, impatient: bool
) -> None:
    place.answers([Postponed("HTTP 429", after=1.0)])
    post(dispatcher, make_report(), [place])
    eventually(lambda: place.reports)
    for number in range(3):
        post(dispatcher, make_report(f"run-{number}"), [place])
        if impatient:
            drain(dispatcher, 0.2)
    eventually(lambda: len(place.reports) == 4)
    assert 1.0 <= place.times[1] - place.times[0] < 5.0


@pytest.mark.parametrize("asked", [10**9, 301.0, float("inf")])
def test_it_is_left_alone_for_five_minutes_at_most(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, asked: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_ASKED", 0.2)
    place.answers([Postponed("HTTP 429", after=asked)])
    post(dispatcher, make_report(), [place])
    assert drain(dispatcher) == Flushed(delivered=1)


@pytest.mark.parametrize(
    "others",
    [after(0.1), after(0.1, Postponed("HTTP 503")), after(0.1, Postponed("HTTP 429", after=0.0))],
    ids=["arrives", "fails", "asks for less"],
)
def test_longest_pause_asked_for_holds_whatever_becomes_of_others(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, others: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some were under way already when one was told to wait."""
    monkeypatch.setattr(module.random, "uniform", lambda low, high: low)
    post(dispatcher, make_report("run-first"), [place])
    drain(dispatcher)
    place.answers([Postponed("HTTP 429", after=2.0), others, others])
    for number in range(3):
        post(dispatcher, make_report(f"run-{number}"), [place])
    eventually(lambda: len(place.reports) >= 4 and not place.in_flight)
    drain(dispatcher, 1.0)
    post(dispatcher, make_report("run-last"), [place])
    eventually(lambda: "run-last" in place.ids)
    told_at = place.times[1]
    assert [at - told_at for at in place.times[4:] if at - told_at < 2.0] == []


def test_new_run_tries_again_long_before_the_pause_is_over(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.random, "uniform", lambda low, high: 1000.0)
    monkeypatch.setattr(module, "_EAGER", 0.2)
    place.answers([Postponed("connection refused")])
    post(dispatcher, make_report("run-0"), [place])
    eventually(lambda: place.reports)
    time.sleep(0.3)
    post(dispatcher, make_report("run-1"), [place])
    eventually(lambda: len(place.reports) == 3, 5.0)
    assert sorted(place.ids) == ["run-0", "run-0", "run-1"]


def test_burst_of_runs_does_not_hammer_a_destination_that_is_down(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport
) -> None:
    place.always = Postponed("connection refused")
    for number in range(200):
        post(dispatcher, make_report(f"run-{number}"), [place])
        time.sleep(0.005)
    drain(dispatcher, give_up=True)
    assert len(place.reports) <= 10


@pytest.mark.parametrize("asked", [0.0, 0.001])
def test_destination_that_asks_for_no_pause_at_all_is_not_hammered(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, asked: float
) -> None:
    place.always = Postponed("HTTP 503", after=asked)
    post(dispatcher, make_report(), [place])
    eventually(lambda: place.reports)
    time.sleep(1.0)
    assert len(place.reports) <= 10


# --- what will never be taken ---


def test_rejected_run_is_set_aside_with_the_reason_and_others_go_on(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def poisoned(report: Report) -> Any:
        return Rejected("HTTP 400: poison") if report.id == "run-3" else None

    place.always = poisoned
    for number in range(20):
        post(dispatcher, make_report(f"run-{number}"), [place])
    assert drain(dispatcher) == Flushed(delivered=19, rejected=1)
    expected = {f"run-{number}": "rejected" if number == 3 else "delivered" for number in range(20)}
    assert (states(home), place.times_of("run-3"), len(place.reports)) == (expected, 1, 20)
    assert "HTTP 400: poison" in caplog.text


def test_rejection_is_said_once_and_the_rest_counted(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, caplog: pytest.LogCaptureFixture
) -> None:
    place.always = Rejected("HTTP 422")
    for number in range(20):
        post(dispatcher, make_report(f"run-{number}"), [place])
    assert drain(dispatcher) == Flushed(rejected=20)
    assert len(caplog.records) == 1


# --- what goes wrong ---


class OddError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.usefixtures("quick_backoff")
@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), RecursionError(), OddError()], ids=repr)
def test_destination_that_raises_anything_is_tried_again(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, error: Exception
) -> None:
    place.answers([error, error])
    for number in range(5):
        post(dispatcher, make_report(f"run-{number}"), [place])
    assert (drain(dispatcher), len(place.reports)) == (Flushed(delivered=5), 7)


@pytest.mark.usefixtures("quick_backoff")
def test_destination_that_is_cancelled_from_within_is_tried_again(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport
) -> None:
    place.answers([asyncio.CancelledError()])
    post(dispatcher, make_report(), [place])
    assert drain(dispatcher, 3.0) == Flushed(delivered=1)


@pytest.mark.usefixtures("quick_backoff")
def test_store_that_cannot_be_read_once_is_read_again(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport
) -> None:
    """Without any new run that would wake us."""
    drain(dispatcher, 0.0)
    store = dispatcher.store
    assert store is not None
    read = store.waiting
    failures = iter([OSError("disk")])

    def waiting(*arguments: Any, **options: Any) -> Any:
        for error in failures:
            raise error
        return read(*arguments, **options)

    store.waiting = waiting  # type: ignore[method-assign]
    post(dispatcher, make_report(), [place])
    eventually(lambda: place.reports, 2.0)


def test_run_is_not_sent_again_and_again_while_its_outcome_cannot_be_written_down(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xpander_track.boundary.reraise", False)
    drain(dispatcher, 0.0)
    store = dispatcher.store
    assert store is not None
    settle = store.settle
    is_full = True

    def full(*arguments: Any) -> None:
        if is_full:
            raise OSError(28, "No space left on device")
        settle(*arguments)

    store.settle = full  # type: ignore[method-assign]
    for number in range(5):
        post(dispatcher, make_report(f"run-{number}"), [place])
    time.sleep(1.0)
    sent = len(place.reports)
    is_full = False
    drain(dispatcher)
    assert (sent, len(place.reports)) == (5, 5)
    assert states(home) == dict.fromkeys((f"run-{number}" for number in range(5)), "delivered")


def test_outcome_is_written_down_while_others_are_under_way(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path
) -> None:
    """Else a kill has all of them sent twice."""

    async def never(_: Report) -> None:
        await asyncio.Event().wait()

    place.answers([None] * 20)
    place.always = never
    for number in range(40):
        post(dispatcher, make_report(f"run-{number}"), [place])
    eventually(lambda: place.in_flight == place_width())
    eventually(lambda: list(states(home).values()).count("delivered") == 20, 3.0)


def test_row_that_cannot_be_read_does_not_hold_up_others(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.answers([Postponed("later", after=1.0)])
    post(dispatcher, make_report("run-0"), [place])
    eventually(lambda: place.reports)
    drain(dispatcher, 0.0)
    with sqlite3.connect(home / "runs.sqlite3") as db:
        db.execute("""UPDATE runs SET report = '{"id": "run-0", "of": "tomorrow"}'""")
    db.close()
    for number in range(1, 5):
        post(dispatcher, make_report(f"run-{number}"), [place])
    drain(dispatcher, 4.0)
    assert set(place.ids) == numbered(5)


def test_backlog_goes_on_at_once_when_one_has_arrived(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest does not sit out a pause that was meant for a destination that is down."""
    monkeypatch.setattr(module.random, "uniform", lambda low, high: 1000.0)
    place.answers([Postponed("connection refused")])
    for number in range(20):
        post(dispatcher, make_report(f"run-{number}"), [place])
    eventually(lambda: place.reports)
    post(dispatcher, make_report("run-20"), [place])
    assert drain(dispatcher, 5.0) == Flushed(delivered=21)


# --- credentials ---


def test_newer_credentials_are_used_for_what_waits(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport
) -> None:
    """The key was refused for a minute; with a new one nobody waits for that."""
    place.always = Postponed("the API key was refused (HTTP 401)", after=60.0)
    post(dispatcher, make_report("run-0"), [place])
    eventually(lambda: place.reports)
    renewed = Place(place.key)
    post(dispatcher, make_report("run-1"), [renewed])
    eventually(lambda: len(renewed.reports) == 2, 5.0)
    assert (set(renewed.ids), place.ids) == (numbered(2), ["run-0"])


def test_handler_of_the_log_that_raises_stops_no_delivery(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the disk of the logs is full")

    monkeypatch.setattr("xpander_track.boundary.logger.log", broken)
    place.answers([Postponed("busy")])
    post(dispatcher, make_report(), [place])
    assert drain(dispatcher, 5.0) == Flushed(delivered=1)
