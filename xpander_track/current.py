"""
Which run is current here, without ``contextvars``: there is no token to detach, so none can be detached wrongly.

*Here* is a place: the running asyncio task, else the thread. A run is entered in a place, and leaves it by identity, in
any order, from anywhere. What a place inherits from the one that made it, ``inheritance.py`` hands over.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from .run import Run

# Weak: a task or thread that outlives a run of its parent's does not keep it.
Inherited: TypeAlias = "tuple[weakref.ref[Run], ...]"


def innermost_run() -> Run | None:
    """The innermost open run of this task, else of this thread; None where there is none."""
    loop = asyncio._get_running_loop()  # noqa: SLF001  # the documented way that does not raise where there is none
    if loop is None:
        return _thread.place.innermost()
    place = _place_of(asyncio.current_task(loop))
    # A loop may run inside of a block of its thread's. But what the thread inherited does not count in it: a loop that
    # some run happened to start serves others too.
    return (place and place.innermost()) or _thread.place.innermost_entered()


class Entry:
    """A run, to be entered in a place; in another one again, when it has left."""

    __slots__ = ("_place", "run")

    def __init__(self, run: Run) -> None:
        self.run = run
        self._place: _Place | None = None

    def enter(self) -> None:
        """The run is current here, by this entry."""
        self._place = place = here()
        place.entered.append(self)

    def leave(self) -> None:
        """The run is not current any more where it was entered, whatever was entered there since."""
        if self._place is not None:
            try:  # noqa: SIM105  # one of the places where time counts
                self._place.entered.remove(self)  # By identity, and in one step: no lock is needed.
            except ValueError:
                pass  # It has left already.

    def is_here(self) -> bool:
        """Whether it was entered by this task or thread."""
        return here() is self._place


# --- for inheritance ---


def open_runs() -> Inherited:
    """The open runs of this place, the innermost last: what a child of it inherits."""
    loop = asyncio._get_running_loop()  # noqa: SLF001  # as above
    if loop is None:
        runs = _thread.place.open()
    else:
        place = _place_of(asyncio.current_task(loop))
        runs = (place and place.open()) or [run for run in _thread.place.runs() if run.is_open]
    return tuple(map(weakref.ref, runs))


def inherit_task(task: asyncio.Task[object], runs: Inherited) -> None:
    """*task* begins with these runs."""
    if runs and task not in _tasks:
        _tasks[task] = _Place(runs)


def inherit_thread(thread: threading.Thread, runs: Inherited) -> None:
    """*thread*, which is about to be started, begins with these runs."""
    _threads[thread] = runs


def visit(runs: Inherited) -> _Place:
    """
    From now on these are this thread's runs: it does a job that comes from where *runs* are open.

    Returns:
        What to give to ``go_back`` when the job is done.
    """
    before = _thread.place
    _thread.place = _Place(runs)
    return before


def go_back(before: _Place) -> None:
    """The thread has its own runs again."""
    _thread.place = before


def births(runs: Inherited) -> list[Inherited]:
    """
    A task that begins to run in this thread now, and is not known yet, inherits *runs*: an eager child runs before
    whoever makes it has it in hand.

    Returns:
        The list whose last item the caller takes away when the task is made.
    """
    _thread.births.append(runs)
    return _thread.births


# --- places ---


class _Place:
    """A task or thread: what was entered in it, and what it inherited."""

    __slots__ = ("entered", "inherited")

    def __init__(self, inherited: Inherited = ()) -> None:
        self.entered: list[Entry] = []
        self.inherited = inherited

    def runs(self) -> list[Run]:
        """Those that were entered, the innermost last."""
        return [entry.run for entry in list(self.entered)]

    def innermost_entered(self) -> Run | None:
        for entry in reversed(self.entered):
            if entry.run.is_open:
                return entry.run
        return None

    def innermost(self) -> Run | None:
        run = self.innermost_entered() if self.entered else None
        if run is None and self.inherited:
            run = next((run for r in reversed(self.inherited) if (run := r()) is not None and run.is_open), None)
        return run

    def open(self) -> list[Run]:
        inherited = [run for reference in self.inherited if (run := reference()) is not None]
        return [run for run in (*inherited, *self.runs()) if run.is_open]


class _Thread(threading.local):
    def __init__(self) -> None:
        # Asked only where some thread has inherited something: for a foreign thread, asking makes an object.
        inherited = _threads.get(threading.current_thread(), ()) if _threads else ()
        self.place = _Place(inherited)
        self.births: list[Inherited] = []


# Weak: what is gone takes its runs along, and nothing else can be mistaken for it.
_tasks: weakref.WeakKeyDictionary[asyncio.Task[object], _Place] = weakref.WeakKeyDictionary()
_threads: weakref.WeakKeyDictionary[threading.Thread, Inherited] = weakref.WeakKeyDictionary()
_thread = _Thread()


def here() -> _Place:
    """The place that this is."""
    loop = asyncio._get_running_loop()  # noqa: SLF001  # as above
    task = None if loop is None else asyncio.current_task(loop)
    if task is None:
        return _thread.place
    place = _place_of(task)
    if place is None:
        place = _tasks[task] = _Place()
    return place


def _place_of(task: asyncio.Task[Any] | None) -> _Place | None:
    """The place of *task*, if it has one yet."""
    if task is None:
        return None
    place = _tasks.get(task)
    if place is None and _thread.births:
        place = _tasks[task] = _Place(_thread.births[-1])
    return place
