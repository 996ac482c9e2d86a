"""The process's one dispatcher: made at the first run, flushed at exit, made anew in a forked child."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any

from .. import settings
from ..boundary import quietly
from ..platform import connections, loop
from . import store
from .dispatcher import Dispatcher, Flushed
from .home import home

if TYPE_CHECKING:
    from ..limits import Limits

FLUSH_TIMEOUT = 10.0
# What the loop needs to answer after its own deadline.
_GRACE = 0.1

# Of the seconds that the exit may take in all, these are for stopping, and for what the interpreter does itself.
_LEAVING = 0.25

# A fork does not wait longer for a thread of ours that may itself be waiting for who forks.
_FORK_SECONDS = 1.0

_lock = threading.RLock()
_held: list[Any] = []  # during a fork
_dispatcher: Dispatcher | None = None
_is_shut_down = False


def get(limits: Limits | None = None) -> Dispatcher:
    """The dispatcher. One that is made now keeps within *limits*; None is what ``configure`` says."""
    global _dispatcher  # noqa: PLW0603
    dispatcher = _dispatcher
    if dispatcher is None:
        with _lock:
            dispatcher = _dispatcher
            if dispatcher is None:
                decided = settings.current()
                dispatcher = _dispatcher = Dispatcher(home(), limits or decided.limits(), fsync=decided.fsync)
                atexit.register(_at_exit)
    return dispatcher


def flush(timeout: float = FLUSH_TIMEOUT) -> Flushed:
    """
    Send what is waiting, and wait for it.

    Args:
        timeout: Seconds, at most. Within them, a destination that fails is tried again.

    Returns:
        What has become of this process's runs. ``pending`` ones are not lost: they are kept and sent later.
    """
    settings.check_seconds("timeout", timeout, none=False)
    if _dispatcher is None:
        return Flushed()
    return _dispatcher.estimate() if _is_shut_down else _wait(_dispatcher, timeout, give_up=False)


async def aflush(timeout: float = FLUSH_TIMEOUT) -> Flushed:
    """``flush`` for asynchronous code."""
    settings.check_seconds("timeout", timeout, none=False)
    if _dispatcher is None:
        return Flushed()
    if _is_shut_down:
        return _dispatcher.estimate()
    try:
        draining = loop.acall(_dispatcher.drain(timeout, give_up=False))
        return await asyncio.wait_for(draining, timeout + _GRACE)
    except (asyncio.TimeoutError, RuntimeError):  # Our loop is busy, or cannot be started.
        return _dispatcher.estimate()


def shutdown(timeout: float = FLUSH_TIMEOUT) -> Flushed:
    """
    Flush, then stop for good: runs that end later are kept on disk, and sent by the next process.

    The interpreter's exit does this by itself, with ``configure(exit_timeout=...)``, 2 seconds by default.

    Args:
        timeout: Seconds, at most. A destination that fails is not tried again.
    """
    global _is_shut_down  # noqa: PLW0603
    settings.check_seconds("timeout", timeout, none=False)
    if _dispatcher is None:
        return Flushed()
    if _is_shut_down:
        return _dispatcher.estimate()
    _is_shut_down = True
    flushed = _wait(_dispatcher, timeout, give_up=True)
    with quietly("stop"):
        _dispatcher.stop()
    return flushed


def _wait(dispatcher: Dispatcher, timeout: float, *, give_up: bool) -> Flushed:
    try:
        running = loop.get()
    except RuntimeError:  # No thread can be started: what waits stays on disk.
        return dispatcher.estimate()
    draining = dispatcher.leave(timeout) if give_up else dispatcher.drain(timeout, give_up=False)
    future = asyncio.run_coroutine_threadsafe(draining, running)
    try:
        return future.result(timeout + _GRACE)
    except FutureTimeoutError:
        # The loop is busy with something longer; what waits stays on disk.
        future.cancel()
        return dispatcher.estimate()


def _at_exit() -> None:
    with quietly("deliver the last runs at exit"):
        seconds = settings.current().exit_timeout
        shutdown(seconds - min(_LEAVING, seconds / 8))


def _before_fork() -> None:
    # No other thread shall be opening a journal, or writing to it, meanwhile: its lock would live on in the child.
    # Before that come the locks of our own thread, in the middle of whose work a finalizer may end a run.
    for lock in (connections.importing, store.in_use, _lock):
        if lock.acquire(timeout=_FORK_SECONDS):
            _held.insert(0, lock)
    if _dispatcher is not None and _dispatcher.journal.lock.acquire(timeout=_FORK_SECONDS):
        _held.insert(0, _dispatcher.journal.lock)


def _after_in_parent() -> None:
    global _held
    held, _held = _held, []
    for lock in held:
        lock.release()


def _after_in_child() -> None:
    # The parent's journal, connections, thread and queue are the parent's.
    global _dispatcher, _lock, _is_shut_down, _held
    if _dispatcher is not None:
        _dispatcher.journal.abandon()
        _dispatcher.leave_waiters()
        _inherited.append(_dispatcher)
        atexit.unregister(_at_exit)
    _dispatcher, _lock, _is_shut_down, _held = None, threading.RLock(), False, []


# Kept, so that nothing of a parent's dispatcher is finalized in a child.
_inherited: list[Dispatcher] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
