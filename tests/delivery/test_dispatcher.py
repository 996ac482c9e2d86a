"""From the journal into the store, and what the dead have left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import boundary
from xpander_track.delivery import dispatcher as module
from xpander_track.delivery.destination import Postponed, Rejected
from xpander_track.delivery.dispatcher import Flushed
from xpander_track.delivery.home import home as made_home
from xpander_track.delivery.journal import line_of
from xpander_track.delivery.receipt import Receipt
from xpander_track.delivery.store import FILE
from xpander_track.local.embedded import Embedded, task_of
from xpander_track.platform import loop

from .conftest import Place, drain, endings, eventually, journals, numbered, post, running, states

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xpander_track import Task
    from xpander_track.delivery.dispatcher import Dispatcher
    from xpander_track.delivery.report import Report

    from ..platform_server import PlatformServer
    from .conftest import MakeReport, Python


def leave(dispatcher: Dispatcher, timeout: float = 5.0) -> Flushed:
    return loop.call(dispatcher.leave(timeout))


def left_by_the_dead(home: Path, *lines: bytes, name: str = "1-000000000000") -> Path:
    """A journal that nobody holds the lock of."""
    (home / "journal").mkdir(parents=True, exist_ok=True)
    journal = home / "journal" / f"{name}.jsonl"
    journal.write_bytes(b"".join(line_of(number, line) for number, line in enumerate(lines, 1)))
    return journal


# --- journal to store ---


def test_journal_is_empty_once_its_lines_are_in_the_store(
    dispatcher: Dispatcher, make_report: MakeReport, home: Path
) -> None:
    post(dispatcher, make_report(), [Place(always=Postponed("later"))])
    assert drain(dispatcher, give_up=True) == Flushed(pending=1)
    assert ([path.read_bytes().strip(b"\0") for path in journals(home)], states(home)) == ([b""], {"run-1": "pending"})


def test_deliveries_go_on_while_more_comes_in_than_is_recorded(
    dispatcher: Dispatcher, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look into the journal finds something: the lanes have their turn in between."""
    place = Place()
    monkeypatch.setattr(module, "_BATCHES", 2)
    read, numbers = dispatcher.journal.read, iter(range(1, 200))

    def read_and_post() -> list[bytes]:
        lines = read()
        if not place.reports:
            post(dispatcher, make_report(f"run-{next(numbers)}"), [place])
        return lines

    monkeypatch.setattr(dispatcher.journal, "read", read_and_post)
    post(dispatcher, make_report("run-0"), [place])
    flushed = drain(dispatcher)
    assert (flushed.delivered, flushed.pending) == (len(place.reports), 0)
    assert 3 < flushed.delivered < 100


def test_nothing_is_left_of_the_journal_when_all_is_delivered(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path
) -> None:
    post(dispatcher, make_report(), [place])
    assert leave(dispatcher) == Flushed(delivered=1)
    assert journals(home) == []


@pytest.mark.parametrize("stage", ["started", "progress"])
def test_journal_stays_while_a_run_is_open(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path, stage: str
) -> None:
    """Its lock, once the process is gone, says that the run was interrupted."""
    post(dispatcher, make_report(stage=stage), [place])
    leave(dispatcher)
    assert len(journals(home)) == 1


def test_leaving_does_not_wait_for_a_destination_that_fails(dispatcher: Dispatcher, make_report: MakeReport) -> None:
    post(dispatcher, make_report(), [Place(always=Postponed("connection refused"))])
    begun = time.monotonic()
    assert leave(dispatcher, 12.0) == Flushed(pending=1)
    assert time.monotonic() - begun < 6


def test_leaving_does_not_wait_for_a_destination_that_asked_for_a_pause(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport
) -> None:
    place.always = Postponed("HTTP 429", after=100.0)
    post(dispatcher, make_report(), [place])
    eventually(lambda: place.reports)
    begun = time.monotonic()
    assert leave(dispatcher, 12.0) == Flushed(pending=1)
    assert time.monotonic() - begun < 6


def test_leaving_waits_for_one_that_does_not_answer_no_longer_than_told(
    dispatcher: Dispatcher, make_report: MakeReport
) -> None:
    async def never(_: Report) -> None:
        await asyncio.Event().wait()

    post(dispatcher, make_report(), [Place(always=never)])
    begun = time.monotonic()
    assert leave(dispatcher, 0.3) == Flushed(pending=1)
    assert 0.3 <= time.monotonic() - begun < 5


def test_what_is_posted_after_the_stop_is_kept_for_the_next_process(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path
) -> None:
    dispatcher.stop()
    post(dispatcher, make_report(), [place])
    dispatcher.journal.abandon()
    with running(made_home()) as following:
        post(following, make_report("run-2"), [place])
        drain(following)
    assert set(place.ids) == {"run-1", "run-2"}


def test_store_that_cannot_be_written_is_tried_again_and_nothing_is_lost(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_STORE", 0.02)
    drain(dispatcher, 0.0)
    store = dispatcher.store
    assert store is not None
    record = store.record
    failures = iter([sqlite3.OperationalError("database is locked"), OSError(28, "No space left on device")] * 2)

    def failing(*arguments: Any) -> None:
        for error in failures:
            raise error
        record(*arguments)

    store.record = failing  # type: ignore[method-assign]
    for number in range(10):
        post(dispatcher, make_report(f"run-{number}"), [place])
        time.sleep(0.01)
    eventually(lambda: len(place.reports) == 10)
    assert sorted(place.ids) == sorted(numbered(10))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(
            lambda content: content[:4096] + b"\xff" * (len(content) - 4096), id="noise behind the first page"
        ),
        pytest.param(lambda content: content[:4096] + bytes(len(content) - 4096), id="zeros behind the first page"),
        pytest.param(lambda content: content[: len(content) // 2], id="cut in half"),
        pytest.param(lambda content: content[:-4096] + b"\xff" * 4096, id="noise in the last page"),
    ],
)
def test_damaged_store_does_not_keep_runs_from_being_delivered(
    python: Python, server: PlatformServer, home: Path, damage: Callable[[bytes], bytes]
) -> None:
    """The file opens; that it is damaged shows only later."""
    python("runs(200); flush()", server=server).wait()
    with contextlib.closing(sqlite3.connect(home / FILE)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (home / FILE).write_bytes(damage((home / FILE).read_bytes()))
    following = python("runs(20, 1000); say(flush(5))", server=server).wait()
    assert numbered(220, 0) - numbered(20, 200) | numbered(20, 1000) == set(server.tasks)
    assert ", pending=0, rejected=0, dropped=0)" in following.lines[0]  # What it is not sure of is sent once more.
    assert numbered(20, 1000) <= set(server.tasks)


# --- the dead ---


def test_what_a_dead_process_has_left_is_delivered(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path
) -> None:
    journal = left_by_the_dead(home, make_report("run-dead").to_json())
    post(dispatcher, make_report(), [place])
    drain(dispatcher)
    assert (set(place.ids), journal.exists()) == ({"run-dead", "run-1"}, False)


def test_open_run_of_a_dead_process_is_delivered_as_interrupted(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path
) -> None:
    left_by_the_dead(home, make_report("run-dead", stage="started").to_json())
    post(dispatcher, make_report(), [place])
    drain(dispatcher)
    assert {(report.id, report.ending) for report in place.reports} == {
        ("run-dead", "interrupted"),
        ("run-1", "completed"),
    }


def test_living_process_takes_over_from_one_that_dies(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ADOPT_EVERY", 0.05)
    post(dispatcher, make_report(), [place])
    drain(dispatcher)
    left_by_the_dead(home, make_report("run-dead").to_json())
    eventually(lambda: "run-dead" in place.ids)


def test_runs_that_a_dead_process_had_in_the_store_are_taken_over(
    place: Place, make_report: MakeReport, home: Path
) -> None:
    with running(made_home()) as first:
        for number in range(5):
            post(first, make_report(f"run-{number}"), [Place(always=Postponed("connection refused"))])
        drain(first, give_up=True)
    with running(made_home()) as second:
        post(second, make_report("run-5"), [place])
        drain(second)
    assert sorted(place.ids) == sorted(numbered(6))
    assert set(states(home).values()) == {"delivered"}


def test_process_that_lives_is_not_taken_over_from(place: Place, make_report: MakeReport, home: Path) -> None:
    with running(made_home()) as first, running(made_home()) as second:
        post(first, make_report("run-0"), [Place(always=Postponed("connection refused"))])
        drain(first, give_up=True)
        post(second, make_report("run-1"), [place])
        drain(second)
    assert place.ids == ["run-1"]


def test_runs_for_another_destination_stay_until_somebody_can_deliver_there(
    place: Place, make_report: MakeReport, home: Path
) -> None:
    left_by_the_dead(home, make_report("run-dead", destinations=["elsewhere"]).to_json())
    with running(made_home()) as first:
        post(first, make_report(), [place])
        drain(first)
    elsewhere = Place("elsewhere")
    with running(made_home()) as second:
        post(second, make_report("run-2", destinations=["elsewhere"]), [elsewhere])
        drain(second)
    assert (place.ids, set(elsewhere.ids)) == (["run-1"], {"run-dead", "run-2"})


@pytest.mark.parametrize(
    "line",
    [
        b"this is no line of ours",
        b"",
        b"\xff\xfe",
        b"{}",
        b'{"id": "cut',
        b'{"id": {"an": 1}, "stage": "ended", "agent_id": null, "name": null, "started_at": 0, "destinations": []}',
        b'{"id": null, "stage": "ended", "agent_id": null, "name": null, "started_at": 0, "destinations": ["place"]}',
    ],
    ids=["text", "nothing", "bytes", "an object", "cut", "an odd id", "no id"],
)
def test_damaged_line_does_not_hold_up_others(
    dispatcher: Dispatcher,
    place: Place,
    make_report: MakeReport,
    home: Path,
    line: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left_by_the_dead(home, make_report("run-before").to_json(), line, make_report("run-after").to_json())
    left_by_the_dead(home, make_report("run-next").to_json(), name="2-000000000000")
    monkeypatch.setattr(boundary, "reraise", False)
    post(dispatcher, make_report(), [place])
    drain(dispatcher, 5.0)
    assert set(place.ids) == {"run-before", "run-after", "run-next", "run-1"}


def test_line_of_a_newer_version_is_kept_for_it(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path
) -> None:
    newer = json.dumps({**json.loads(make_report("run-newer").to_json()), "colour": "blue"}).encode()
    left_by_the_dead(home, newer)
    post(dispatcher, make_report(), [place])
    drain(dispatcher)
    kept = [path.read_bytes() for path in home.rglob("*") if path.is_file() and not path.name.startswith(FILE)]
    assert any(newer in content for content in kept)


def test_thousand_dead_journals_are_taken_in(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path
) -> None:
    for number in range(1000):
        left_by_the_dead(home, make_report(f"run-{number}").to_json(), name=f"{number}-000000000000")
    post(dispatcher, make_report("run-1000"), [place])
    assert drain(dispatcher).pending == 0
    assert (set(place.ids), len(journals(home))) == (numbered(1001), 1)


# --- the store ---


def test_store_of_a_newer_version_is_left_alone_and_runs_are_delivered(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.closing(sqlite3.connect(home / FILE)) as db:
        db.execute("PRAGMA user_version = 99")
    before = (home / FILE).read_bytes()
    post(dispatcher, make_report(), [place])
    assert drain(dispatcher) == Flushed(delivered=1)
    assert ((home / FILE).read_bytes(), len(caplog.records)) == (before, 1)


def test_without_a_home_runs_are_delivered_from_memory(place: Place, make_report: MakeReport) -> None:
    with running(None) as dispatcher:
        for number in range(20):
            post(dispatcher, make_report(f"run-{number}"), [place])
        assert drain(dispatcher) == Flushed(delivered=20)
    assert len(place.reports) == 20


# --- receipts ---


def test_receipt_follows_the_run(dispatcher: Dispatcher, place: Place, make_report: MakeReport) -> None:
    place.answers([Postponed("HTTP 503"), None])
    ticket = dispatcher.follow("run-1", place)
    seen = [ticket.receipt]
    post(dispatcher, make_report(), [place])
    drain(dispatcher, give_up=True)
    seen.append(ticket.receipt)
    drain(dispatcher)
    seen.append(ticket.receipt)
    assert seen == [
        Receipt("pending", "the place"),
        Receipt("pending", "the place", "HTTP 503"),
        Receipt("delivered", "the place"),
    ]


def test_receipt_of_a_rejected_run_says_why(dispatcher: Dispatcher, place: Place, make_report: MakeReport) -> None:
    place.always = Rejected("HTTP 422: too odd")
    ticket = dispatcher.follow("run-1", place)
    post(dispatcher, make_report(), [place])
    drain(dispatcher)
    assert ticket.wait(5) == Receipt("rejected", "the place", "HTTP 422: too odd")


def test_progress_that_arrives_is_not_the_end(dispatcher: Dispatcher, place: Place, make_report: MakeReport) -> None:
    post(dispatcher, make_report(stage="progress"), [place])
    ticket = dispatcher.follow("run-1", place)
    drain(dispatcher)
    assert (place.ids, ticket.receipt.state) == (["run-1"], "pending")


def test_receipt_is_of_the_last_run_with_an_id_not_of_an_earlier_one(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport
) -> None:
    """A retry of the whole run, while the first one's report is under way."""

    async def slowly(report: Report) -> Task:
        await asyncio.sleep(0.2)
        return task_of(report)

    place.always = slowly
    post(dispatcher, make_report(result="first"), [place])
    eventually(lambda: place.reports)
    ticket = dispatcher.follow("run-1", place)
    post(dispatcher, make_report(result="second"), [place])
    task = ticket.wait(5).task
    assert task is not None
    assert (task.result, [report.result for report in place.reports]) == ("second", ["first", "second"])


def test_run_that_begins_again_is_not_sent_before_it_has_ended(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport
) -> None:
    """Its first report still waits when it begins again under the same id."""
    place.answers([Postponed("HTTP 503")])
    post(dispatcher, make_report(result="first"), [place])
    drain(dispatcher, give_up=True)
    post(dispatcher, make_report(stage="started"), [place])
    drain(dispatcher)
    assert [report.stage for report in place.reports if report.stage == "started"] == []


def test_progress_from_another_process_does_not_take_back_an_end(
    place: Place, make_report: MakeReport, home: Path
) -> None:
    with running(made_home()) as first, running(made_home()) as second:
        post(first, make_report(result="final"), [place])
        drain(first)
        post(second, make_report(stage="progress", result="half"), [place])
        drain(second)
    assert (place.reports[-1].result, endings(home)) == ("final", {"run-1": "completed"})


# --- our own bugs ---


def test_thread_of_ours_that_ends_is_replaced(python: Python) -> None:
    """SystemExit and KeyboardInterrupt pass through asyncio, and end its loop."""
    process = python(
        """
from xpander_track.delivery import routing
from xpander_track.local.embedded import Embedded
class Broken(Embedded):
    times = 0
    async def deliver(self, report):
        Broken.times += 1
        if Broken.times == 1:
            raise SystemExit
        return await super().deliver(report)
routing._embedded = lambda *_: Broken("memory")
run(0)
time.sleep(0.5)
run(1)
say(flush(3))
""",
        options=[],
    )
    assert process.wait().lines == ["Flushed(delivered=2, pending=0, rejected=0, dropped=0)"]


def test_error_of_ours_between_journal_and_store_loses_nothing(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_STORE", 0.02)
    drain(dispatcher, 0.0)
    store = dispatcher.store
    assert store is not None
    record = store.record
    failures = iter([MemoryError(), TypeError("ours")])

    def failing(*arguments: Any) -> None:
        for error in failures:
            raise error
        record(*arguments)

    store.record = failing  # type: ignore[method-assign]
    post(dispatcher, make_report(), [place])
    eventually(lambda: place.reports, 5.0)


def test_error_of_ours_while_reading_the_journal_loses_nothing(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = module.entries
    failures = iter([MemoryError(), OSError(28, "No space left on device")])

    def failing(*arguments: Any) -> Any:
        for error in failures:
            raise error
        return entries(*arguments)

    monkeypatch.setattr(module, "_RETRY_STORE", 0.02)
    monkeypatch.setattr(module, "entries", failing)
    for number in range(5):
        post(dispatcher, make_report(f"run-{number}"), [place])
        time.sleep(0.02)
    eventually(lambda: set(place.ids) == numbered(5), 5.0)


def test_lines_that_could_not_be_taken_apart_stay_in_the_journal_of_who_leaves(
    dispatcher: Dispatcher, place: Place, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """As in a child that was forked in the middle of an import: whatever it does fails, until its end."""

    def failing(*_: Any) -> Any:
        raise ImportError("half of a module")

    monkeypatch.setattr(module, "entries", failing)
    post(dispatcher, make_report("run-1"), [place])
    assert leave(dispatcher, 0.2).pending == 1
    assert b'"run-1"' in b"".join(journal.read_bytes() for journal in journals(home))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        pytest.param("https://example.com", "bob@example.com"),
        pytest.param("-----BEGIN PRIVATE KEY-----", "the rest"),
        ("Bearer abcdefghijklmnopqrstuvwxyz", '"quoted"'),
    ],
    ids=["an address and an e-mail address", "half a key", "a token"],
)
def test_answer_that_looks_like_a_secret_is_kept_readable(
    dispatcher: Dispatcher, make_report: MakeReport, text: str, result: str
) -> None:
    """What is taken out of an answer leaves JSON behind."""
    embedded = Embedded("here")
    post(dispatcher, make_report(input=text, result=result, destinations=[embedded.key]), [embedded])
    drain(dispatcher)
    assert dispatcher.store is not None
    (recorded,) = dispatcher.store.runs()
    assert recorded.deliveries[0].task is not None


def test_home_that_is_deleted_meanwhile_does_not_stop_deliveries(python: Python, server: PlatformServer) -> None:
    """A container's clean-up. What is on its way still arrives, and so does what comes after."""
    process = python(
        """
import shutil
runs(10)
flush()
shutil.rmtree(os.environ["XPANDER_TRACK_HOME"])
runs(10, 10)
say(flush(5).delivered)
""",
        server=server,
    )
    assert (process.wait().lines, set(server.tasks)) == (["20"], numbered(20))
