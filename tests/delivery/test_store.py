"""The store: the queue and the history, with a delivery of its own for each destination of a run."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track.delivery import schema
from xpander_track.delivery.store import FILE, Delivery, NewerStoreError, Outcome, Store
from xpander_track.limits import Limits

from .conftest import endings, numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from .conftest import MakeReport, Python

DAY = 86_400.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


@pytest.fixture(params=["on disk", "in memory"])
def store(request: pytest.FixtureRequest, folder: Path) -> Iterator[Store]:
    with closing(Store(folder if request.param == "on disk" else None)) as store:
        yield store


def waiting(store: Store, owner: str = "me", destination: str = "place") -> list[str]:
    return [found.report.id for found in store.waiting(owner, destination, 100)]


def settle(store: Store, state: str, reason: str = "", destination: str = "place", **more: Any) -> None:
    """Settle all that waits, as *state* says."""
    outcomes = [
        Outcome(found.report.id, found.owner, found.line, state, reason, **more)
        for found in store.waiting("me", destination, 100)
    ]
    store.settle(destination, outcomes)


def deliveries(store: Store, run_id: str = "run-1") -> dict[str, str]:
    (recorded,) = store.find(run_id)
    return {delivery.destination: delivery.state for delivery in recorded.deliveries}


# --- recording ---


def test_run_that_has_ended_waits(store: Store, make_report: MakeReport) -> None:
    report = make_report(llm_response={"a": [1, None]}, used_tools=["x"])
    store.record("me", [(1, report)])
    assert [(found.line, found.report) for found in store.waiting("me", "place", 10)] == [(1, report)]


def test_run_that_has_begun_is_seen_and_does_not_wait(store: Store, make_report: MakeReport) -> None:
    started = make_report(stage="started")
    store.record("me", [(1, started)])
    assert (waiting(store), [run.report for run in store.runs()]) == ([], [started])


def test_run_is_one_row_whatever_is_reported_of_it(store: Store, make_report: MakeReport) -> None:
    stages = [make_report(stage=stage) for stage in ("started", "progress", "ended")]
    store.record("me", list(enumerate(stages, 1)))
    assert [run.report for run in store.runs()] == [stages[-1]]
    assert waiting(store) == ["run-1"]


def test_line_is_recorded_once_however_often_it_is_read(store: Store, make_report: MakeReport) -> None:
    """A process that dies before it has shortened its journal leaves lines that are in the store already."""
    lines = [(1, make_report(stage="started")), (2, make_report()), (3, make_report("run-2"))]
    store.record("me", lines)
    settle(store, "delivered")
    store.record("me", lines)
    assert (waiting(store), len(store.runs())) == ([], 2)


def test_older_line_does_not_win(store: Store, make_report: MakeReport) -> None:
    store.record("me", [(5, make_report(result="later")), (4, make_report(result="earlier"))])
    assert [run.report.result for run in store.runs()] == ["later"]


def test_all_of_a_batch_is_recorded_or_none(store: Store, make_report: MakeReport) -> None:
    broken = make_report("run-2", started_at=None)
    with pytest.raises(sqlite3.IntegrityError):
        store.record("me", [(1, make_report()), (2, broken)])
    assert store.runs() == []
    store.record("me", [(1, make_report())])
    assert waiting(store) == ["run-1"]


# --- destinations ---


def test_each_destination_of_a_run_has_a_state_of_its_own(store: Store, make_report: MakeReport) -> None:
    store.record("me", [(1, make_report(destinations=["a", "b", "c"]))])
    settle(store, "delivered", destination="a")
    settle(store, "rejected", "HTTP 400", destination="b")
    assert deliveries(store) == {"a": "delivered", "b": "rejected", "c": "pending"}
    assert [waiting(store, destination=name) for name in "abc"] == [[], [], ["run-1"]]
    assert (store.count_waiting("me", "c"), store.count_waiting("me", "a")) == (1, 0)


def test_outcome_is_kept_with_its_reason_its_task_and_the_number_of_attempts(
    store: Store, make_report: MakeReport
) -> None:
    store.record("me", [(1, make_report())])
    settle(store, "pending", "HTTP 503")
    (once,) = store.find("run-1")
    settle(store, "delivered", task='{"id": "run-1"}')
    (twice,) = store.find("run-1")
    assert (once.deliveries, twice.deliveries) == (
        [Delivery("place", "pending", 1, "HTTP 503", None)],
        [Delivery("place", "delivered", 2, "", {"id": "run-1"})],
    )


def test_run_that_changed_while_it_was_delivered_waits_again(store: Store, make_report: MakeReport) -> None:
    store.record("me", [(1, make_report(stage="progress"))])
    (sent,) = store.waiting("me", "place", 10)
    store.record("me", [(2, make_report())])
    store.settle("place", [Outcome(sent.report.id, sent.owner, sent.line, "delivered")])
    assert [(found.line, found.report.stage) for found in store.waiting("me", "place", 10)] == [(2, "ended")]


def test_run_reported_again_after_its_delivery_waits_again(store: Store, make_report: MakeReport) -> None:
    store.record("me", [(1, make_report(stage="progress"))])
    settle(store, "delivered")
    store.record("me", [(2, make_report())])
    assert waiting(store) == ["run-1"]


def test_least_tried_come_first_then_the_oldest(store: Store, make_report: MakeReport) -> None:
    store.record("me", [(number, make_report(f"run-{number}")) for number in range(1, 4)])
    store.settle("place", [Outcome("run-1", "me", 1, "pending")])
    assert waiting(store) == ["run-2", "run-3", "run-1"]


# --- the dead ---


def test_deliveries_of_others_are_not_ours(store: Store, make_report: MakeReport) -> None:
    store.record("another", [(1, make_report())])
    assert (waiting(store), store.owners(["place"]), store.owners(["elsewhere"])) == ([], {"another"}, set())


def test_take_over_makes_them_ours_where_we_can_deliver(store: Store, make_report: MakeReport) -> None:
    store.record("dead", [(1, make_report(destinations=["place", "elsewhere"]))])
    assert store.take_over("dead", "me", ["place"]) == 1
    assert (waiting(store), waiting(store, "dead", "elsewhere")) == (["run-1"], ["run-1"])


def test_only_the_first_takes_over(store: Store, make_report: MakeReport) -> None:
    store.record("dead", [(1, make_report())])
    assert [store.take_over("dead", owner, ["place"]) for owner in ("me", "another")] == [1, 0]


def test_run_of_a_dead_process_is_interrupted_and_waits(store: Store, make_report: MakeReport) -> None:
    store.record("dead", [(1, make_report(stage="started")), (2, make_report("run-2"))])
    store.record("me", [(1, make_report("run-3", stage="started"))])
    store.interrupt("dead")
    assert [(run.report.id, run.report.ending, run.report.is_success) for run in store.runs()] == [
        ("run-3", None, None),
        ("run-2", "completed", True),
        ("run-1", "interrupted", False),
    ]
    assert store.find("run-1")[0].report.result == "Interrupted: the process ended before the run did."
    assert waiting(store, "dead") == ["run-1", "run-2"]


def test_what_an_interrupted_run_had_come_to_is_kept(store: Store, make_report: MakeReport) -> None:
    store.record("dead", [(1, make_report(stage="progress", result="half of it"))])
    store.interrupt("dead")
    assert [(run.report.result, run.report.ending) for run in store.runs()] == [("half of it", "interrupted")]


def test_interrupting_twice_changes_nothing_more(store: Store, make_report: MakeReport) -> None:
    store.record("dead", [(1, make_report(stage="started"))])
    store.interrupt("dead")
    store.take_over("dead", "me", ["place"])
    settle(store, "delivered")
    store.record("dead", [(1, make_report(stage="started"))])
    store.interrupt("dead")
    assert (waiting(store), deliveries(store)) == ([], {"place": "delivered"})


def test_owner_has_a_run_that_goes_on_until_it_has_ended(store: Store, make_report: MakeReport) -> None:
    answers = [store.has_open("me")]
    store.record("me", [(1, make_report(stage="started"))])
    answers.append(store.has_open("me"))
    store.record("me", [(2, make_report())])
    answers.append(store.has_open("me"))
    assert answers == [False, True, False]


def test_what_is_known_of_a_version_does_not_hold_for_the_next_one(store: Store, make_report: MakeReport) -> None:
    store.record("me", [(1, make_report()), (2, make_report("run-2")), (3, make_report("run-2"))])
    but = [("run-1", "me", 1), ("run-2", "me", 2), ("run-2", "you", 3)]
    assert [waiting.report.id for waiting in store.waiting("me", "place", 10, but=but)] == ["run-2"]
    assert store.count_waiting("me", "place", but=but) == 1


# --- how long ---


def test_runs_are_forgotten_after_some_days_and_undelivered_ones_are_told(
    store: Store, make_report: MakeReport
) -> None:
    old, young = time.time() - (Limits().days + 1) * DAY, time.time() - (Limits().days - 1) * DAY
    states = ("delivered", "rejected", "pending", "untried")
    for line, (age, state) in enumerate([(age, state) for age in (old, young) for state in states], 1):
        store.record("me", [(line, make_report(f"{'old' if age == old else 'young'} {state}", started_at=age))])
        for _ in range({"pending": 10, "untried": 9}.get(state, 1)):
            outcome = state if state != "untried" else "pending"
            store.settle("place", [Outcome(f"{'old' if age == old else 'young'} {state}", "me", line, outcome)])
    store.record("me", [(9, make_report("old running", started_at=old, stage="started"))])
    assert store.prune() == ["old pending"]
    assert sorted(run.report.id for run in store.runs()) == [
        "old running", "old untried", "young delivered", "young pending", "young rejected", "young untried",
    ]  # fmt: skip


@pytest.fixture(params=["by number", "by size"])
def small(request: pytest.FixtureRequest, folder: Path) -> Iterator[Store]:
    """A store with room for 200 runs of a kilobyte, about."""
    limits = Limits(runs=200) if request.param == "by number" else Limits(bytes=300_000)
    with closing(Store(folder, limits)) as store:
        yield store


def fill(store: Store, make_report: MakeReport, numbers: Iterable[int]) -> list[str]:
    """Record runs of a kilobyte; the ids of those that were lost by it."""
    lost: list[str] = []
    for number in numbers:
        lost += store.record("me", [(number + 1, make_report(f"run-{number}", result="x" * 1000))])
    return lost


def test_what_there_is_no_room_for_goes_delivered_ones_first(small: Store, make_report: MakeReport) -> None:
    fill(small, make_report, range(10))
    fill(small, make_report, range(10, 110))
    outcomes = [
        Outcome(each.report.id, each.owner, each.line, "delivered") for each in small.waiting("me", "place", 1000)[10:]
    ]
    small.settle("place", outcomes)
    lost = fill(small, make_report, range(110, 210))
    kept = {run.report.id for run in small.runs()}
    assert (lost, kept >= numbered(10), kept >= numbered(100, 110), "run-10" in kept) == ([], True, True, False)


def test_what_there_is_no_room_for_goes_oldest_first_and_is_told(small: Store, make_report: MakeReport) -> None:
    lost = fill(small, make_report, range(1000))
    kept = [run.report.id for run in small.runs()]
    assert [*lost, *reversed(kept)] == [f"run-{number}" for number in range(1000)]
    assert 100 <= len(kept) <= 250


def test_file_keeps_to_its_limit(folder: Path, make_report: MakeReport) -> None:
    with closing(Store(folder, Limits(bytes=1_000_000))) as store:
        fill(store, make_report, range(5000))
        sizes = [path.stat().st_size for path in folder.iterdir() if path.name == FILE]
    assert sizes[0] < 1_200_000


# --- versions ---


def test_file_of_an_earlier_version_is_brought_up_to_date(
    folder: Path, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Store(folder)) as store:
        store.record("me", [(1, make_report())])
    steps = [*schema.STEPS, "ALTER TABLE runs ADD COLUMN one TEXT; ALTER TABLE runs ADD COLUMN two TEXT"]
    monkeypatch.setattr(schema, "STEPS", steps)
    monkeypatch.setattr(schema, "VERSION", 2)
    for _ in range(2):
        with closing(Store(folder)) as store:
            assert waiting(store) == ["run-1"]
    with closing(sqlite3.connect(folder / FILE)) as db:
        assert db.execute("SELECT one, two FROM runs").fetchall() == [(None, None)]
        assert schema.version_of(db) == 2


def test_step_that_fails_leaves_the_file_as_it_was(
    folder: Path, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Store(folder)) as store:
        store.record("me", [(1, make_report())])
    with monkeypatch.context() as later:
        later.setattr(schema, "STEPS", [*schema.STEPS, "ALTER TABLE runs ADD COLUMN one TEXT; nonsense"])
        later.setattr(schema, "VERSION", 2)
        with pytest.raises(sqlite3.OperationalError, match="nonsense"):
            Store(folder)
    with closing(Store(folder)) as store:
        assert waiting(store) == ["run-1"]


# --- a damaged file ---


def test_what_can_be_read_of_a_damaged_file_is_kept(folder: Path, make_report: MakeReport) -> None:
    """With what became of it: what was delivered is not sent again."""
    with closing(Store(folder)) as store:
        fill(store, make_report, range(300))
        settle(store, "delivered")
    with (folder / FILE).open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096)
    with closing(Store(folder)) as store:
        with suppress(sqlite3.DatabaseError):  # It is put aside, and the next use begins a new one.
            list(store.contents())
            store.runs()
        kept = store.runs()
    assert 280 <= len(kept) < 300
    assert {run.report.id for run in kept} >= numbered(20) | numbered(20, 280)
    delivered = [run for run in kept if run.deliveries[0].state == "delivered"]
    assert len(delivered) > 80


# --- reading ---


def test_runs_are_listed_newest_first(store: Store, make_report: MakeReport) -> None:
    store.record("me", [(n, make_report(f"run-{n}", agent_id=f"agent-{n % 2}")) for n in range(1, 5)])
    assert [run.report.id for run in store.runs(limit=3)] == ["run-4", "run-3", "run-2"]
    assert [run.report.id for run in store.runs(agent_id="agent-1")] == ["run-3", "run-1"]


def test_run_is_found_by_its_id_or_how_it_begins(store: Store, make_report: MakeReport) -> None:
    store.record("me", [(n, make_report(name)) for n, name in enumerate(["ab", "abc", "abd", "x%", "xyz"], 1)])
    found = {prefix: [run.report.id for run in store.find(prefix)] for prefix in ("ab", "abc", "a", "x%", "?", "")}
    assert found == {"ab": ["ab"], "abc": ["abc"], "a": ["abd", "abc", "ab"], "x%": ["x%"], "?": [], "": []}


# --- files ---


def test_files_are_readable_by_nobody_else_whatever_the_umask(folder: Path, make_report: MakeReport) -> None:
    before = os.umask(0)
    try:
        with closing(Store(folder)) as store:
            store.record("me", [(1, make_report())])
            modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys([FILE, f"{FILE}-shm", f"{FILE}-wal"], "0o600")


def test_what_is_recorded_is_there_for_the_next_process(folder: Path, make_report: MakeReport) -> None:
    store = Store(folder)
    store.record("me", [(1, make_report())])  # And is not closed: the process is killed.
    with closing(Store(folder)) as again:
        assert waiting(again) == ["run-1"]
    store.close()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"this is no database " * 1000, id="foreign"),
        pytest.param(lambda content: random.Random(1).randbytes(100) + content[100:], id="a head of noise"),
    ],
)
def test_damaged_file_is_put_aside_and_a_new_one_begun(
    folder: Path, make_report: MakeReport, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Store(folder)) as store:
        store.record("me", [(1, make_report())])
    damaged = damage((folder / FILE).read_bytes())
    (folder / FILE).write_bytes(damaged)
    with closing(Store(folder)) as store:
        store.record("me", [(1, make_report("run-2"))])
        assert waiting(store) == ["run-2"]
    (aside,) = [path for path in folder.iterdir() if "damaged" in path.name]
    assert aside.read_bytes() == damaged
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    assert [str(aside) in record.getMessage() for record in caplog.records] == [True]


def test_neighbours_do_not_put_each_others_new_file_aside(folder: Path, make_report: MakeReport) -> None:
    """Both have it open when it is damaged; the second to find out goes on in what the first has begun."""
    with closing(Store(folder)) as store:
        store.record("me", [(number, make_report(f"run-{number}")) for number in range(200)])
    with closing(Store(folder)) as first, closing(Store(folder)) as second:
        with (folder / FILE).open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
        for store, name in ((first, "run-first"), (second, "run-second")):
            with suppress(sqlite3.DatabaseError):  # It is put aside, and the next use begins a new one.
                store.record(name, [(1, make_report(name))])
            store.record(name, [(1, make_report(name))])
    assert endings(folder) == {"run-first": "completed", "run-second": "completed"}


def test_empty_file_is_used(folder: Path, make_report: MakeReport) -> None:
    (folder / FILE).touch()
    with closing(Store(folder)) as store:
        store.record("me", [(1, make_report())])
    assert endings(folder) == {"run-1": "completed"}


def test_file_of_a_newer_version_is_left_alone(folder: Path, make_report: MakeReport) -> None:
    with closing(Store(folder)) as store:
        store.record("me", [(1, make_report())])
    with closing(sqlite3.connect(folder / FILE)) as db:
        db.execute("PRAGMA user_version = 2")
    before = (folder / FILE).read_bytes()
    with pytest.raises(NewerStoreError, match="version 2"):
        Store(folder)
    assert ((folder / FILE).read_bytes(), [path.name for path in folder.iterdir()]) == (before, [FILE])


def test_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (folder / FILE).symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match=FILE):
        Store(folder)
    assert (tmp_path / "target").read_bytes() == b""


def test_processes_that_open_it_at_once_all_can(python: Python, home: Path) -> None:
    home.mkdir()
    code = """
from xpander_track.delivery.report import Report
from xpander_track.delivery.store import Store
say("ready")
while not Path(os.environ["GO"]).exists(): pass
store = Store(Path(os.environ["XPANDER_TRACK_HOME"]))
me = os.environ["ME"]
for line in range(20):
    store.record(me, [(line, Report(f"{me} {line}", "ended", "a", None, 0.0, ["place"], "completed"))])
say(len(store.waiting(me, "place", 100)))
store.close()
"""
    go = home / "go"
    processes = [python(code, GO=str(go), ME=f"process-{number}") for number in range(6)]
    for process in processes:
        process.until("ready")
    go.touch()
    assert [(process.wait().errors, process.lines[-1]) for process in processes] == [("", "20")] * 6
    assert len(endings(home)) == 120


@pytest.mark.parametrize(
    "mode",
    [
        "DEFERRED",
        "IMMEDIATE",
        "EXCLUSIVE",
    ],
)
def test_file_that_another_process_is_just_making_is_waited_for(folder: Path, mode: str) -> None:
    with closing(sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)) as other:
        other.execute(f"BEGIN {mode}")
        other.execute("SELECT * FROM sqlite_master").fetchall()
        released = threading.Timer(0.3, other.execute, ["ROLLBACK"])
        released.start()
        try:
            Store(folder).close()
        finally:
            released.join()


def test_child_that_leaves_normally_does_not_disturb_its_parents_store(python: Python, home: Path) -> None:
    """The child inherits the open connection; its interpreter tears everything down."""
    code = """
run("before")
flush()
if os.fork() == 0:
    sys.exit()
os.wait()
run("after")
say(flush())
"""
    process = python(code).wait()
    assert (process.lines, process.errors.count("\n")) == (
        ["Flushed(delivered=2, pending=0, rejected=0, dropped=0)"],
        1,
    )
    assert endings(home) == {"run-before": "completed", "run-after": "completed"}


@pytest.mark.parametrize(("fsync", "level"), [(False, 1), (True, 2)])
def test_commits_are_brought_to_the_disk_itself_if_that_is_asked_for(folder: Path, *, fsync: bool, level: int) -> None:
    """SQLite's levels: 1 is NORMAL, 2 is FULL (https://www.sqlite.org/pragma.html#pragma_synchronous)."""
    with closing(Store(folder, fsync=fsync)) as store, store._using() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (level,)


def test_earlier_run_of_another_process_that_is_heard_later_changes_nothing(
    store: Store, make_report: MakeReport
) -> None:
    """It failed, was killed, and somebody else did it again before its journal was found."""
    now = time.time()
    store.record("me", [(1, make_report(started_at=now, result="second try"))])
    settle(store, "delivered")
    store.record("dead", [(5, make_report(started_at=now - 60, ending="failed", result="first try"))])
    assert (store.find("run-1")[0].report.result, deliveries(store)) == ("second try", {"place": "delivered"})
    store.record("me", [(2, make_report(started_at=now - 60, result="by a clock that was set back"))])
    assert store.find("run-1")[0].report.result == "by a clock that was set back"


def test_row_that_cannot_be_read_holds_up_no_other(folder: Path, make_report: MakeReport) -> None:
    with closing(Store(folder)) as store:
        store.record("dead", [(n, make_report(f"run-{n}", stage="started")) for n in (1, 2)])
        with closing(sqlite3.connect(folder / FILE)) as db:
            db.execute("UPDATE runs SET report = 'nonsense' WHERE id = 'run-1'")
            db.commit()
        store.interrupt("dead")
        assert [(run.report.id, run.report.ending) for run in store.runs()] == [("run-2", "interrupted")]
        assert (store.find("run-1"), len(store.figures())) == ([], 1)
