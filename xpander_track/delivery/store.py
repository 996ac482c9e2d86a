"""
The queue and the history: one SQLite file.

A run is one row; each destination of it has a delivery of its own. What a process has recorded belongs to it (its
journal's name is the *owner*) until it is dead; then who comes first takes it over. Rows stay for some days after
they are settled.

Not promised: safety from power loss (no ``fsync`` for each commit); a crashed or killed process loses nothing.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import threading
import time
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..boundary import say_once
from .report import Report

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from .report import Ending

FILE = "runs.sqlite3"
KEEP_DAYS = 14
_VERSION = 1
_BUSY_SECONDS = 5.0

_SCHEMA = f"""
CREATE TABLE runs (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    stage TEXT NOT NULL,
    agent_id TEXT,
    name TEXT,
    started_at REAL NOT NULL,
    ending TEXT,
    duration REAL,
    report TEXT NOT NULL,
    owner TEXT NOT NULL,
    line INTEGER NOT NULL,
    version INTEGER NOT NULL
);
CREATE TABLE deliveries (
    run INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
    destination TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'rejected')),
    owner TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    task TEXT,
    PRIMARY KEY (run, destination)
) WITHOUT ROWID;
CREATE INDEX waiting ON deliveries (owner, destination, attempts, run) WHERE state = 'pending';
CREATE INDEX running ON runs (owner) WHERE ending IS NULL;
CREATE INDEX by_time ON runs (started_at);
PRAGMA user_version = {_VERSION};
"""

# Held during every use of SQLite, and taken before a fork. Files are closed then, and opened again when needed:
# a child must inherit neither SQLite's own locks nor its idea of which locks the process has on a file
# (https://www.sqlite.org/howtocorrupt.html, "Carrying an open database connection across a fork").
_in_use = threading.RLock()
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


@dataclass(frozen=True)
class Waiting:
    """A delivery to be made: of this version of the run, which is that line of its owner's journal."""

    run: int
    version: int
    owner: str
    line: int
    report: Report


@dataclass(frozen=True)
class Outcome:
    """What came of trying to make a delivery."""

    run: int
    version: int
    state: str
    reason: str = ""
    task: str | None = None


class Store:
    """
    The store in *folder*.

    Args:
        folder: Where the file is; None keeps everything in memory.

    Raises:
        OSError, sqlite3.Error: The file cannot be used. A damaged one is put aside, and a new one begun.
        NewerStoreError: It is of a newer version.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / FILE
        self._file: tuple[int, int] | None = None
        self._db: sqlite3.Connection | None = None
        with _in_use:
            try:
                self._db = self._connect()
            except sqlite3.OperationalError:
                raise  # Locked, full, not readable: not the file's fault.
            except sqlite3.DatabaseError as error:
                self._put_aside(error)
                self._db = self._connect()
            _stores.add(self)

    def close(self) -> None:
        """Close the file; it is opened again if it is needed."""
        with _in_use:
            if self._db is not None:
                self._db.close()
                self._db = None

    def before_fork(self) -> None:
        """Close the file, if it is one."""
        if self._path is not None:
            self.close()

    # --- recording ---

    def record(self, owner: str, entries: Iterable[tuple[int, Report]]) -> None:
        """
        Write down *entries*, all or none; what was recorded before is not recorded twice.

        Args:
            owner: The journal that they are from.
            entries: Their numbers in that journal, and the reports, in order.
        """
        with self._transaction() as db:
            for line, report in entries:
                self._record(db, owner, line, report)

    def settle(self, destination: str, outcomes: Iterable[Outcome]) -> None:
        """Write down what came of deliveries to *destination*. One whose run has changed meanwhile stays pending."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE deliveries SET attempts = attempts + 1, reason = :reason, task = coalesce(:task, task), state ="
                " CASE WHEN (SELECT version FROM runs WHERE seq = :run) = :version THEN :state ELSE 'pending' END"
                " WHERE run = :run AND destination = :destination",
                [{**vars(outcome), "destination": destination} for outcome in outcomes],
            )

    def waiting(self, owner: str, destination: str, limit: int) -> list[Waiting]:
        """The next deliveries to make: the least tried first, in the order of their runs."""
        with self._using() as db:
            rows = db.execute(
                "SELECT run, version, runs.owner, line, report FROM deliveries JOIN runs ON run = seq"
                " WHERE deliveries.owner = ? AND destination = ? AND state = 'pending'"
                " ORDER BY attempts, run LIMIT ?",
                (owner, destination, limit),
            ).fetchall()
        waiting: list[Waiting] = []
        unreadable: list[Outcome] = []
        for run, version, of, line, report in rows:
            try:
                waiting.append(Waiting(run, version, of, line, Report.from_json(report)))
            except ValueError:  # noqa: PERF203  # one bad row must not hold up the others
                unreadable.append(Outcome(run, version, "rejected", "its record cannot be read"))
        if unreadable:
            self.settle(destination, unreadable)
        return waiting

    def count_waiting(self, owner: str, destination: str | None = None) -> int:
        """How many deliveries of *owner* are to be made, to one destination or to any."""
        with self._using() as db:
            row = db.execute(
                "SELECT count(*) FROM deliveries WHERE state = 'pending' AND owner = ? AND ? IN (destination, '')",
                (owner, destination or ""),
            ).fetchone()
        return int(row[0])

    def is_finished(self, owner: str) -> bool:
        """Whether *owner* has no delivery to make and no run that goes on."""
        with self._using() as db:
            row = db.execute("SELECT EXISTS (SELECT 1 FROM runs WHERE ending IS NULL AND owner = ?)", (owner,))
            return not row.fetchone()[0] and not self.count_waiting(owner)

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
                self._record(db, dead, line + 1, _interrupted(Report.from_json(text)))

    def prune(self) -> None:
        """Forget runs that were settled and began more than ``KEEP_DAYS`` ago."""
        with self._transaction() as db:
            db.execute(
                "DELETE FROM runs WHERE started_at < ? AND ending IS NOT NULL"
                " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE run = seq AND state = 'pending')",
                (time.time() - KEEP_DAYS * 86_400,),
            )

    # --- reading ---

    def runs(self, *, agent_id: str | None = None, limit: int | None = None) -> list[Recorded]:
        """The newest runs first."""
        with self._using() as db:
            rows = db.execute(
                "SELECT seq, report FROM runs WHERE ? IN (agent_id, '') ORDER BY seq DESC LIMIT ?",
                (agent_id or "", -1 if limit is None else limit),
            ).fetchall()
            return [Recorded(Report.from_json(text), _deliveries(db, seq)) for seq, text in rows]

    def find(self, prefix: str) -> list[Recorded]:
        """The run with this id; else those (ten at most) whose id begins with it."""
        with self._using() as db:
            rows = db.execute("SELECT seq, report FROM runs WHERE id = ?", (prefix,)).fetchall()
            if not rows and prefix:
                rows = db.execute(
                    "SELECT seq, report FROM runs WHERE substr(id, 1, ?) = ? ORDER BY seq DESC LIMIT 10",
                    (len(prefix), prefix),
                ).fetchall()
            return [Recorded(Report.from_json(text), _deliveries(db, seq)) for seq, text in rows]

    def figures(self) -> list[Figures]:
        """Of each run what statistics are made of."""
        with self._using() as db:
            rows = db.execute(
                "SELECT agent_id, ending, duration, json_extract(report, '$.tokens.prompt_tokens'),"
                " json_extract(report, '$.tokens.completion_tokens') FROM runs ORDER BY seq"
            ).fetchall()
        return [Figures(*row) for row in rows]

    # --- how ---

    def _record(self, db: sqlite3.Connection, owner: str, line: int, report: Report) -> None:
        row = db.execute(
            "INSERT INTO runs (id, stage, agent_id, name, started_at, ending, duration, report, owner, line, version)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)"
            " ON CONFLICT (id) DO UPDATE SET stage = excluded.stage, agent_id = excluded.agent_id,"
            " name = excluded.name, started_at = excluded.started_at, ending = excluded.ending,"
            " duration = excluded.duration, report = excluded.report, owner = excluded.owner, line = excluded.line,"
            " version = version + 1"
            " WHERE (owner <> excluded.owner OR line < excluded.line)"
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

    @contextmanager
    def _using(self) -> Generator[sqlite3.Connection]:
        """The database, for us alone; found to be damaged, it is put aside, and the next use begins a new one."""
        with _in_use:
            if self._db is None:
                self._db = self._connect()
            try:
                yield self._db
            except sqlite3.DatabaseError as error:
                if type(error) is sqlite3.DatabaseError and self._path is not None:  # Its subclasses: other troubles.
                    self.close()
                    self._put_aside(error)
                raise

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._using() as db:
            db.execute("BEGIN IMMEDIATE")
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
            timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False,
        )  # fmt: skip
        try:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            _check_version(version, self._path)
            _use_wal(db)
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA foreign_keys = ON")
            if version == 0:
                db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        except sqlite3.OperationalError as error:
            if "already exists" not in str(error):  # Another process was first to make it.
                db.close()
                raise
            db.execute("ROLLBACK")
        except BaseException:
            db.close()
            raise
        return db

    def _put_aside(self, error: sqlite3.DatabaseError) -> None:
        assert self._path is not None
        if self._file != _identity(self._path):
            return  # A neighbour was first, and has begun a new one.
        aside = self._path.with_name(f"{FILE}.damaged-{time.time_ns()}")
        self._path.rename(aside)
        for suffix in ("-wal", "-shm"):
            self._path.with_name(FILE + suffix).unlink(missing_ok=True)
        say_once("damaged store", "The run history cannot be read (%s): it was put aside as %s.", error, aside)


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


def _use_wal(db: sqlite3.Connection) -> None:
    # This one statement does not wait while a neighbour is at it: we do.
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:  # noqa: PERF203  # once for each neighbour that is at it
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


def _check_version(version: int, path: Path | None) -> None:
    if version > _VERSION:
        raise NewerStoreError(f"{path} is of version {version}; this package knows up to {_VERSION}")


def _interrupted(report: Report) -> Report:
    result = report.result or "Interrupted: the process ended before the run did."
    return dataclasses.replace(report, stage="ended", ending="interrupted", result=result)


def _before_fork() -> None:
    _in_use.acquire()
    for store in list(_stores):
        store.before_fork()


def _after_in_parent() -> None:
    _in_use.release()


def _after_in_child() -> None:
    global _in_use  # noqa: PLW0603
    _in_use = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
