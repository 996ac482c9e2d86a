"""The tables of the store, and how a file of an earlier version comes to have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

# What brings a file from version 0 (it is new) to 1, from 1 to 2, ...: released steps are never changed, only added to.
STEPS = [
    """
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
        line INTEGER NOT NULL
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
    CREATE INDEX by_time ON runs (started_at)
    """,
]


VERSION = len(STEPS)


def version_of(db: sqlite3.Connection) -> int:
    """Which version the tables in *db* are of; 0, if there are none."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def bring_up_to_date(db: sqlite3.Connection) -> None:
    """Make the tables of *db* those of this version, in one transaction. Those of a later one are left alone."""
    if version_of(db) >= VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for number, step in enumerate(STEPS[version_of(db) :], version_of(db) + 1):  # Another process may be first.
            for statement in step.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
