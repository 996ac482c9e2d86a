"""
Which run is current here, without ``contextvars``: there is no token to detach, so none can be detached wrongly.

A run is entered where it begins: in the running asyncio task, else in the thread. It leaves by identity, in any order,
from anywhere.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from typing import TypeAlias

from .run import NO_RUN, Run

Stack: TypeAlias = "list[Run]"


# A run may be left elsewhere than it was entered: two threads may change one stack. Re-entrant, for finalizers.
_leaving = threading.RLock()


class _Thread(threading.local):
    def __init__(self) -> None:
        self.stack: Stack = []


_thread = _Thread()
# Weak: a task that is gone takes its runs along, and no other task can be mistaken for it.
_tasks: weakref.WeakKeyDictionary[asyncio.Task[object], Stack] = weakref.WeakKeyDictionary()


def current_run() -> Run:
    """
    The innermost open run of this asyncio task, else of this thread.

    Where there is none, a run that does nothing: everything can be called on it, and nothing comes of it.
    """
    stack = _stack()
    return next((run for run in reversed(stack) if run.is_open), NO_RUN)


def enter(run: Run) -> Stack:
    """Make *run* the current one here; what is given back is to be handed to ``leave``."""
    stack = _stack(make=True)
    stack.append(run)
    return stack


def leave(run: Run, stack: Stack) -> None:
    """*run* is not current any more where it was entered, whatever was entered there since."""
    with _leaving:
        for position in range(len(stack) - 1, -1, -1):
            if stack[position] is run:
                del stack[position]
                return


def is_here(stack: Stack) -> bool:
    """Whether *stack*, from ``enter``, is that of this task or thread."""
    return _stack() is stack


def _stack(*, make: bool = False) -> Stack:
    # asyncio.current_task() would raise where no loop runs; this way is the documented one that does not.
    loop = asyncio._get_running_loop()  # noqa: SLF001
    task = None if loop is None else asyncio.current_task(loop)
    if task is None:
        return _thread.stack
    stack = _tasks.get(task)
    if stack is None:
        stack = []
        if make:
            _tasks[task] = stack
    return stack


def _after_in_child() -> None:
    global _leaving  # noqa: PLW0603  # it may have been held at the moment of the fork
    _leaving = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
