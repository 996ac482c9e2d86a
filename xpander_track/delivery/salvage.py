"""All runs of a store, as far as they can be read: to be taken into another one."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROWS = "SELECT seq, owner, line, report FROM runs WHERE seq > ? ORDER BY seq"


@dataclass(frozen=True)
class Kept:
    """
    A run as a store has it.

    Args:
        owner: The journal that it is from,
        line: and its number there.
        report: The run.
        deliveries: Of each its destination, owner, state, attempts, reason and task; those that cannot be read are not
            there, and will be made once more.
    """

    owner: str
    line: int
    report: Report
    deliveries: list[tuple[Any, ...]]


def contents(db: sqlite3.Connection) -> Iterator[Kept]:
    """Each run that can be read: from the oldest to where it is damaged, then from the newest back to there."""
    last = -1
    for order in ("", " DESC"):
        with suppress(sqlite3.DatabaseError):
            for seq, owner, line, text in db.execute(_ROWS + order, (last,)):
                last = seq if not order else last
                with suppress(ValueError):  # It is not one of ours any more.
                    yield Kept(owner, line, Report.from_json(text), _deliveries(db, seq))
            return


def _deliveries(db: sqlite3.Connection, seq: int) -> list[tuple[Any, ...]]:
    columns = "destination, owner, state, attempts, reason, task"
    with suppress(sqlite3.DatabaseError):
        return db.execute(f"SELECT {columns} FROM deliveries WHERE run = ?", (seq,)).fetchall()  # noqa: S608
    return []
