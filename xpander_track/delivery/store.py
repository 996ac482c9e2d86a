"""
The queue and the history: one SQLite file.

A run is one row; each destination of it has a delivery of its own. What a process has recorded belongs to it (its
journal's name is the *owner*) until it is dead; then who comes first takes it over. Rows stay for some days, as
long as there is room (``Limits``).

A crashed or killed process loses nothing; a machine that loses its power loses nothing if ``fsync`` is asked for.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import threading
import time
import weakref
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..boundary import say_once
from ..limits import Limits
from . import schema
from .report import Report
from .salvage import contents

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

    from .report import Ending
    from .salvage import Kept

FILE = "runs.sqlite3"
_BUSY_SECONDS = 5.0
# How long SQLite itself waits for a neighbour; a fork of ours waits as long, at most.
_BUSY_STEP = 0.1
# The part of all runs that is forgotten in one step, where there is no room for all.
_STEP = 0.02
# An undelivered run is not too old before it was tried so many times.
_TRIES = 10

_SETTLED = "ending IS NOT NULL AND NOT EXISTS (SELECT 1 FROM deliveries WHERE run = seq AND state = 'pending')"


# Held during every use of SQLite, and taken before a fork. Files are closed then, and opened again when needed:
# a child must inherit neither SQLite's own locks nor its idea of which locks the process has on a file
# (https://www.sqlite.org/howtocorrupt.html, "Carrying an open database connection across a fork").
in_use = threading.RLock()
_stores: weakref.WeakSet[Store] = weakref.WeakSet()


class NewerStoreError(Exception):
    """The file was written by a newer version of this package: it is left alone."""


@dataclass(frozen=True)
class Delivery:
    """One run's way to one destination."""

    destination: str
    state: str
    attempts: int
    reason: str
    task: dict[str, Any] | None


@dataclass(frozen=True)
class Deliveries:
    """The deliveries to one destination that are in one state, with the reason of one of them."""

    destination: str
    state: str
    count: int
    reason: str


@dataclass(frozen=True)
class Recorded:
    """A run as the history has it."""

    report: Report
    deliveries: list[Delivery]


@dataclass(frozen=True)
class Figures:
    """A run in figures."""

    agent_id: str | None
    ending: Ending | None
    duration: float | None
    prompt_tokens: int | None
    completion_tokens: int | None


Version = tuple[str, str, int]
"""A run's id, its owner, and the line of that one's journal that it is as in."""

_TO_MAKE = (
    "FROM deliveries JOIN runs ON run = seq"
    " WHERE state = 'pending' AND deliveries.owner = :owner AND destination = :destination"
    " AND (id, runs.owner, line) NOT IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),"
    " json_extract(value, '$[2]') FROM json_each(:but))"
)


@dataclass(frozen=True)
class Waiting:
    """A delivery to be made: of the run as it was in that line of its owner's journal."""

    owner: str
    line: int
    report: Report


@dataclass(frozen=True)
class Outcome:
    """What came of trying to make a delivery, of the run *id* as it was in that line of its owner's journal."""

    id: str
    owner: str
    line: int
    state: str
    reason: str = ""
    task: str | None = None


class Store:
    """
    The store in *folder*.

    Args:
        folder: Where the file is; None keeps everything in memory.
        limits: How much is kept.
        fsync: Whether each commit is brought to the disk itself.

    Raises:
        OSError, sqlite3.Error: The file cannot be used. A damaged one is put aside, and a new one begun with what can
            still be read of it.
        NewerStoreError: It is of a newer version.
    """

    def __init__(self, folder: Path | None, limits: Limits | None = None, *, fsync: bool = False) -> None:
        self._path = None if folder is None else folder / FILE
        self._fsync = fsync
        self._limits = limits or Limits()
        self._file: tuple[int, int] | None = None
        self._db: sqlite3.Connection | None = None
        _stores.add(self)
        try:
            with self._using():
                pass
        except sqlite3.DatabaseError as error:
            if not _is_damage(error) or self._path is None:
                raise
            with self._using():  # It was put aside.
                pass

    def close(self) -> None:
        """Close the file; it is opened again if it is needed."""
        with in_use:
            if self._db is not None:
                self._db.close()
                self._db = None

    def before_fork(self) -> None:
        """Close the file, if it is one."""
        if self._path is not None:
            self.close()

    # --- recording ---

    def record(self, owner: str, entries: Iterable[tuple[int, Report]]) -> list[str]:
        """
        Write down *entries*, all or none; what was recorded before is not recorded twice.

        Args:
            owner: The journal that they are from.
            entries: Their numbers in that journal, and the reports, in order.

        Returns:
            The ids of runs that had to be forgotten before they were delivered: there is no room for all.
        """
        with self._transaction() as db:
            for line, report in entries:
                self._record(db, owner, line, report)
            return self._make_room(db)

    def settle(self, destination: str, outcomes: Iterable[Outcome]) -> None:
        """Write down what came of deliveries to *destination*. One whose run has changed meanwhile stays pending."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE deliveries SET attempts = attempts + 1, reason = :reason, task = coalesce(:task, task), state ="
                " CASE WHEN (SELECT owner = :owner AND line = :line FROM runs WHERE seq = run) THEN :state"
                " ELSE 'pending' END"
                " WHERE run = (SELECT seq FROM runs WHERE id = :id) AND destination = :destination",
                [{**vars(outcome), "destination": destination} for outcome in outcomes],
            )

    def take_in(self, runs: Iterable[Kept]) -> list[str]:
        """Record what another store had, with its deliveries; gives what ``record`` gives."""
        with self._transaction() as db:
            for run in runs:
                self._record(db, run.owner, run.line, run.report)
                db.executemany(
                    "UPDATE deliveries SET owner = ?, state = ?, attempts = ?, reason = ?, task = ?"
                    " WHERE run = (SELECT seq FROM runs WHERE id = ? AND owner = ? AND line = ?) AND destination = ?",
                    [(*state, run.report.id, run.owner, run.line, where) for where, *state in run.deliveries],
                )
            return self._make_room(db)

    def waiting(self, owner: str, destination: str, limit: int, *, but: Iterable[Version] = ()) -> list[Waiting]:
        """The next deliveries to make, but not of those: the least tried first, in the order of their runs."""
        with self._using() as db:
            rows = db.execute(
                f"SELECT id, runs.owner, line, report {_TO_MAKE} ORDER BY attempts, run LIMIT :limit",
                {"owner": owner, "destination": destination, "limit": limit, "but": json.dumps([*but])},
            ).fetchall()
        waiting: list[Waiting] = []
        unreadable: list[Outcome] = []
        for run_id, of, line, report in rows:
            try:
                waiting.append(Waiting(of, line, Report.from_json(report)))
            except ValueError:  # noqa: PERF203  # one bad row must not hold up the others
                unreadable.append(Outcome(run_id, of, line, "rejected", "its record cannot be read"))
        if unreadable:
            self.settle(destination, unreadable)
        return waiting

    def known(self, ids: Iterable[str]) -> set[Version]:
        """Which of *ids* it has."""
        with self._using() as db:
            values = (json.dumps([*ids]),)
            found = db.execute("SELECT id, owner, line FROM runs WHERE id IN (SELECT value FROM json_each(?))", values)
            return {*found}

    def contents(self) -> Generator[Kept]:
        """All of it, for another store. To be closed: until then nobody else can use a store."""
        with self._using() as db:
            yield from contents(db)

    def count_waiting(self, owner: str, destination: str, *, most: int = -1, but: Iterable[Version] = ()) -> int:
        """How many deliveries of *owner* to *destination* are to be made, but of those, as far as *most*."""
        with self._using() as db:
            row = db.execute(
                f"SELECT count(*) FROM (SELECT 1 {_TO_MAKE} LIMIT :most)",  # noqa: S608
                {"owner": owner, "destination": destination, "most": most, "but": json.dumps([*but])},
            ).fetchone()
        return int(row[0])

    def has_open(self, owner: str) -> bool:
        """Whether a run of *owner* goes on."""
        with self._using() as db:
            row = db.execute("SELECT EXISTS (SELECT 1 FROM runs WHERE ending IS NULL AND owner = ?)", (owner,))
            return bool(row.fetchone()[0])

    # --- taking over from the dead ---

    def owners(self, destinations: Iterable[str]) -> set[str]:
        """Who has deliveries to make to *destinations*."""
        with self._using() as db:
            rows = db.execute(
                "SELECT DISTINCT owner FROM deliveries WHERE state = 'pending'"
                " AND destination IN (SELECT value FROM json_each(?))",
                (json.dumps(list(destinations)),),
            ).fetchall()
        return {owner for (owner,) in rows}

    def take_over(self, dead: str, owner: str, destinations: Iterable[str]) -> int:
        """Make the deliveries of *dead* to *destinations* our own; how many there are."""
        with self._transaction() as db:
            return db.execute(
                "UPDATE deliveries SET owner = ? WHERE state = 'pending' AND owner = ?"
                " AND destination IN (SELECT value FROM json_each(?))",
                (owner, dead, json.dumps(list(destinations))),
            ).rowcount

    def interrupt(self, dead: str) -> None:
        """The runs that *dead* never ended: they are interrupted, and that is to be delivered."""
        with self._transaction() as db:
            rows = db.execute("SELECT report, line FROM runs WHERE ending IS NULL AND owner = ?", (dead,)).fetchall()
            for text, line in rows:
                with suppress(ValueError):  # It cannot be read any more.
                    self._record(db, dead, line + 1, _interrupted(Report.from_json(text)))

    # --- by hand: `xpander-track push` and `doctor` ---

    def give_agent(self, agent_id: str, destination: str, owner: str) -> int:
        """Runs that *destination* has refused for lack of an agent are *agent_id*'s, and *owner* delivers them."""
        with self._transaction() as db:
            given = db.execute(
                "UPDATE deliveries SET state = 'pending', owner = ? WHERE destination = ? AND state = 'rejected'"
                " AND run IN (SELECT seq FROM runs WHERE agent_id IS NULL AND ending IS NOT NULL)",
                (owner, destination),
            ).rowcount
            db.execute(
                "UPDATE runs SET agent_id = ?, report = json_set(report, '$.agent_id', ?)"
                " WHERE agent_id IS NULL AND ending IS NOT NULL AND seq IN"
                " (SELECT run FROM deliveries WHERE destination = ? AND state = 'pending' AND owner = ?)",
                (agent_id, agent_id, destination, owner),
            )
        return given

    def send_on(self, origin: str, destination: str, owner: str) -> int:
        """Runs that were for *origin* are for *destination* as well, and *owner* delivers them; how many there are."""
        with self._transaction() as db:
            return db.execute(
                "INSERT INTO deliveries (run, destination, state, owner)"
                " SELECT run, ?, 'pending', ? FROM deliveries AS there JOIN runs ON run = seq"
                " WHERE there.destination = ? AND ending IS NOT NULL"
                " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE run = seq AND destination = ?)",
                (destination, owner, origin, destination),
            ).rowcount

    def deliveries(self) -> list[Deliveries]:
        """How many there are, by destination and state."""
        with self._using() as db:
            rows = db.execute(
                "SELECT destination, state, count(*), max(reason) FROM deliveries GROUP BY destination, state"
            ).fetchall()
        return [Deliveries(*row) for row in rows]

    def prune(self) -> list[str]:
        """Forget runs that have had their days; gives the ids of those that were not delivered."""
        # What was hardly tried stays: its time may be that of a clock that was wrong, or nothing ran all those days.
        untried = f"SELECT 1 FROM deliveries WHERE run = seq AND state = 'pending' AND attempts < {_TRIES}"  # noqa: S608
        before = time.time() - self._limits.days * 86_400
        old = f"ending IS NOT NULL AND started_at < ? AND NOT EXISTS ({untried})", (before,)
        with self._transaction() as db:
            return [*_forget(db, *old), *self._make_room(db)]

    # --- reading ---

    def runs(self, *, agent_id: str | None = None, limit: int | None = None) -> list[Recorded]:
        """The newest runs first."""
        with self._using() as db:
            rows = db.execute(
                "SELECT seq, report FROM runs WHERE ? IN (agent_id, '') ORDER BY seq DESC LIMIT ?",
                (agent_id or "", -1 if limit is None else limit),
            ).fetchall()
            return list(_recorded(db, rows))

    def find(self, prefix: str) -> list[Recorded]:
        """The run with this id; else those (ten at most) whose id begins with it."""
        with self._using() as db:
            rows = db.execute("SELECT seq, report FROM runs WHERE id = ?", (prefix,)).fetchall()
            if not rows and prefix:
                rows = db.execute(
                    "SELECT seq, report FROM runs WHERE substr(id, 1, ?) = ? ORDER BY seq DESC LIMIT 10",
                    (len(prefix), prefix),
                ).fetchall()
            return list(_recorded(db, rows))

    def figures(self) -> list[Figures]:
        """Of each run what statistics are made of."""
        with self._using() as db:
            rows = db.execute(
                "SELECT agent_id, ending, duration, json_extract(report, '$.tokens.prompt_tokens'),"
                " json_extract(report, '$.tokens.completion_tokens') FROM runs WHERE json_valid(report) ORDER BY seq"
            ).fetchall()
        return [Figures(*row) for row in rows]

    # --- how ---

    def _record(self, db: sqlite3.Connection, owner: str, line: int, report: Report) -> None:
        row = db.execute(
            "INSERT INTO runs (id, stage, agent_id, name, started_at, ending, duration, report, owner, line)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET stage = excluded.stage, agent_id = excluded.agent_id,"
            " name = excluded.name, started_at = excluded.started_at, ending = excluded.ending,"
            " duration = excluded.duration, report = excluded.report, owner = excluded.owner, line = excluded.line"
            " WHERE (owner <> excluded.owner OR line < excluded.line)"
            # Of two processes that ran it one after the other, the later one's word counts, whoever is heard first.
            " AND (owner = excluded.owner OR ending IS NULL OR excluded.started_at >= started_at)"
            # An end stands, whatever is heard of the same run later; a new run with its id begins when it is delivered.
            " AND (excluded.stage = 'ended' OR ending IS NULL OR excluded.started_at > started_at)"
            " AND (excluded.stage <> 'started' OR NOT EXISTS"
            " (SELECT 1 FROM deliveries WHERE run = seq AND state = 'pending'))"
            " RETURNING seq",
            (
                report.id, report.stage, report.agent_id, report.name, report.started_at, report.ending,
                report.duration, report.to_json().decode(), owner, line,
            ),
        ).fetchone()  # fmt: skip
        if row is None or report.stage == "started":
            return
        db.executemany(
            "INSERT INTO deliveries (run, destination, state, owner) VALUES (?, ?, 'pending', ?)"
            " ON CONFLICT (run, destination) DO UPDATE SET state = 'pending', owner = excluded.owner",
            [(row[0], destination, owner) for destination in report.destinations],
        )

    def _make_room(self, db: sqlite3.Connection) -> list[str]:
        """Forget what there is no room for; the ids of runs that were not delivered."""
        if not self._is_over(db):
            return []
        lost: list[str] = []
        some = max(1, int(db.execute("SELECT count(*) FROM runs").fetchone()[0] * _STEP))
        for condition in (_SETTLED, "TRUE"):
            last: int | None = -1
            while last is not None and self._is_over(db, 0.9):
                # From where the last step has ended: what was kept then is not looked at again.
                step = f"SELECT seq FROM runs WHERE seq > ? AND {condition} ORDER BY seq LIMIT {some}"  # noqa: S608
                (newest,) = db.execute(f"SELECT max(seq) FROM ({step})", (last,)).fetchone()  # noqa: S608
                lost += _forget(db, f"seq IN ({step})", (last,))
                last = newest
        return lost

    def _is_over(self, db: sqlite3.Connection, part: float = 1.0) -> bool:
        """Whether there is more than *part* of what may be kept."""
        size, pages, free = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
        )
        # Deleted rows leave gaps: only where there may be too many are they counted.
        (most,) = db.execute("SELECT coalesce(max(seq) - min(seq), 0) + 1 FROM runs").fetchone()
        if size * (pages - free) > self._limits.bytes * part:
            return True
        if most > self._limits.runs * part:
            (most,) = db.execute("SELECT count(*) FROM runs").fetchone()
        return bool(most > self._limits.runs * part)

    @contextmanager
    def _using(self, *, begin: bool = False) -> Generator[sqlite3.Connection]:
        """The database, for us alone; found to be damaged, it is put aside, and the next use begins a new one."""
        until = time.monotonic() + _BUSY_SECONDS
        while not self._use(begin=begin, is_last=time.monotonic() > until):
            time.sleep(0.01)  # Without the lock: a fork need not wait for a neighbour.
        try:
            assert self._db is not None
            yield self._db
        except sqlite3.DatabaseError as error:
            self._note(error)
            raise
        finally:
            in_use.release()

    def _use(self, *, begin: bool, is_last: bool) -> bool:
        """Take the lock, and the database with it; False, if a neighbour is at it, and this is not the *last* try."""
        in_use.acquire()
        try:
            if self._db is not None and self._path is not None and _identity(self._path) not in {self._file, None}:
                self.close()  # A neighbour has put it aside.
            if self._db is None:
                self._db = self._connect()
            if begin:
                self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            in_use.release()
            if is_last or not is_busy(error):
                raise
            return False
        except BaseException as error:
            try:
                if isinstance(error, sqlite3.DatabaseError):
                    self._note(error)
            finally:
                in_use.release()
            raise
        return True

    def _note(self, error: sqlite3.DatabaseError) -> None:
        if _is_damage(error) and self._path is not None:
            self.close()
            self._put_aside(error)

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._using(begin=True) as db:
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _connect(self) -> sqlite3.Connection:
        if self._path is not None:
            # Made by us first, so that it and what SQLite puts beside it are ours alone, whatever the umask.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            self._file = _identity(self._path)
        db = sqlite3.connect(
            ":memory:" if self._path is None else self._path,
            timeout=_BUSY_STEP, isolation_level=None, check_same_thread=False,
        )  # fmt: skip
        try:
            _check_version(db, self._path)  # Before anything is written.
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA journal_size_limit = 8388608")
            db.execute(f"PRAGMA synchronous = {'FULL' if self._fsync else 'NORMAL'}")
            db.execute("PRAGMA foreign_keys = ON")
            schema.bring_up_to_date(db)
        except BaseException:
            db.close()
            raise
        return db

    def _put_aside(self, error: sqlite3.DatabaseError) -> None:
        """The damaged file gets another name; what can be read of it goes into a new one."""
        assert self._path is not None
        if self._file != _identity(self._path):
            return  # A neighbour was first, and has begun a new one.
        aside = self._path.with_name(f"{FILE}.damaged-{time.time_ns()}")
        self._path.rename(aside)
        self._path.with_name(f"{FILE}-shm").unlink(missing_ok=True)
        with suppress(FileNotFoundError):  # What was written last.
            self._path.with_name(f"{FILE}-wal").rename(f"{aside}-wal")
        kept = -1
        with suppress(sqlite3.Error), closing(sqlite3.connect(aside)) as damaged:
            found = list(contents(damaged))
            self.take_in(found)
            kept = len(found)
        say_once(
            "damaged store",
            "The run history cannot be read (%s): it was put aside as %s, and %d runs of it were kept.",
            error, aside, max(0, kept),
        )  # fmt: skip


def _check_version(db: sqlite3.Connection, path: Path | None) -> None:
    version = schema.version_of(db)
    if version > schema.VERSION:
        raise NewerStoreError(f"{path} is of version {version}; this package knows up to {schema.VERSION}")


def is_busy(error: BaseException) -> bool:
    """Whether *error* is only that a neighbour is at it."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return type(error) is sqlite3.DatabaseError  # Its subclasses: other troubles.


def _forget(db: sqlite3.Connection, condition: str, values: tuple[object, ...]) -> list[str]:
    """Delete runs; the ids of those that were not delivered."""
    undelivered = "SELECT DISTINCT id FROM runs JOIN deliveries ON run = seq WHERE state = 'pending'"
    lost = [run_id for (run_id,) in db.execute(f"{undelivered} AND {condition}", values)]
    db.execute(f"DELETE FROM runs WHERE {condition}", values)  # noqa: S608  # our own words
    return lost


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _deliveries(db: sqlite3.Connection, seq: int) -> list[Delivery]:
    rows = db.execute("SELECT destination, state, attempts, reason, task FROM deliveries WHERE run = ?", (seq,))
    return [
        Delivery(destination, state, attempts, reason, json.loads(task) if task else None)
        for destination, state, attempts, reason, task in rows
    ]


def _recorded(db: sqlite3.Connection, rows: list[tuple[int, str]]) -> Iterator[Recorded]:
    """Those of *rows* that can be read."""
    for seq, text in rows:
        with suppress(ValueError):
            yield Recorded(Report.from_json(text), _deliveries(db, seq))


def _interrupted(report: Report) -> Report:
    result = report.result or "Interrupted: the process ended before the run did."
    return dataclasses.replace(report, stage="ended", ending="interrupted", result=result)


def _before_fork() -> None:
    if in_use.acquire(timeout=_BUSY_SECONDS):
        for store in list(_stores):
            store.before_fork()


def _after_in_parent() -> None:
    with suppress(RuntimeError):  # It took too long, and the fork did not wait any more.
        in_use.release()


def _after_in_child() -> None:
    global in_use  # noqa: PLW0603
    in_use = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
