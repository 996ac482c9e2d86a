"""``xpander-track``: what has been recorded on this machine, and what becomes of it."""

from __future__ import annotations

import argparse
import io
import math
import os
import sqlite3
import sys
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from . import display
from .delivery.dispatcher import adopt
from .delivery.home import home
from .delivery.store import NewerStoreError, Store
from .doctor import examine
from .limits import UNLIMITED
from .push import NoPlatformError, push
from .statistics import by_agent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


_MAX_COUNT = 1_000_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code: 0, 1 if there is no such run or no history, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    stdout: object = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        cast("io.TextIOWrapper", stdout).reconfigure(errors="backslashreplace")  # For what its encoding lacks.
    try:
        folder = home()
        if folder is None:
            return 1  # It was said why.
        with closing(Store(folder, UNLIMITED)) as store:
            adopt(store, folder)  # What ended processes have left in their journals.
            code = int(options.command(options, store, folder))
            print(end="", flush=True)  # Here, where it is known what a reader that has gone means; not at the exit.
            return code
    except (OSError, sqlite3.Error, NewerStoreError) as error:
        if isinstance(error, BrokenPipeError):
            # `xpander-track runs | head`: not an error. Python would complain when it closes stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"xpander-track: the run history cannot be read: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xpander-track",
        description="The runs recorded on this machine, in XPANDER_TRACK_HOME or the XDG state folder.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    runs = commands.add_parser("runs", help="a table of the newest runs")
    runs.add_argument("--agent", type=_text, metavar="ID", help="only this agent's")
    runs.add_argument("--limit", type=_count, default=20, metavar="N", help="this many (default: 20)")
    runs.set_defaults(command=_runs)
    show = commands.add_parser("show", help="everything of one run")
    show.add_argument("id", type=_text, metavar="ID", help="its id, or how it begins")
    show.set_defaults(command=_show)
    stats = commands.add_parser("stats", help="figures for each agent")
    stats.set_defaults(command=_stats)
    pushed = commands.add_parser("push", help="deliver what waits, now")
    pushed.add_argument("--agent-id", type=_name, metavar="ID", help="whose the runs are that name no agent")
    pushed.add_argument("--include-local", action="store_true", help="also runs recorded without a platform")
    pushed.add_argument("--timeout", type=_seconds, default=60.0, metavar="S", help="seconds, at most (default: 60)")
    pushed.set_defaults(command=_push)
    checkup = commands.add_parser("doctor", help="whether runs can be delivered from here, and what waits, and why")
    checkup.set_defaults(command=_doctor)
    for command in (runs, show, stats, pushed, checkup):
        command.add_argument("--json", action="store_true", help="for programs")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return min(int(text), _MAX_COUNT)


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not UTF-8") from None
    return text


def _name(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return _text(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def _runs(options: argparse.Namespace, store: Store, folder: Path) -> int:
    recorded = store.runs(agent_id=options.agent, limit=options.limit)
    if options.json:
        _print_json([display.summary(run) for run in recorded])
    else:
        print(display.table_of_runs(recorded) if recorded else f"No runs are recorded in {folder}.")
    return 0


def _show(options: argparse.Namespace, store: Store, folder: Path) -> int:
    found = store.find(options.id)
    if len(found) == 1:
        if options.json:
            _print_json(display.whole(found[0]))
        else:
            print(display.page(found[0]))
        return 0
    problem = "no run has" if not found else "several runs have"
    print(f"xpander-track: {problem} an id that begins with {options.id!r} in {folder}.", file=sys.stderr)
    if found:
        print(display.table_of_runs(found), file=sys.stderr)
    return 1


def _stats(options: argparse.Namespace, store: Store, folder: Path) -> int:
    statistics = by_agent(store.figures())
    if options.json:
        _print_json([asdict(agent) for agent in statistics])
    else:
        print(display.table_of_agents(statistics) if statistics else f"No runs are recorded in {folder}.")
    return 0


def _push(options: argparse.Namespace, store: Store, folder: Path) -> int:  # noqa: ARG001  # as all commands
    try:
        result = push(
            store, agent_id=options.agent_id, include_local=options.include_local, timeout=options.timeout
        )  # fmt: skip
    except NoPlatformError as error:
        print(f"xpander-track: {error}.", file=sys.stderr)
        return 1
    if options.json:
        _print_json(asdict(result))
    else:
        print(display.line_of_push(result))
    return 1 if result.pending or result.rejected else 0


def _doctor(options: argparse.Namespace, store: Store, folder: Path) -> int:
    findings = examine(store, folder)
    if options.json:
        _print_json([asdict(finding) for finding in findings])
    else:
        print(display.list_of_findings(findings))
    return 0 if all(finding.is_well for finding in findings) else 1


def _print_json(value: object) -> None:
    print(display.json_text(value))
