"""
The process's own event loop, on one daemon thread.

All network I/O happens here: one HTTP client can then serve every caller, on whatever loop or thread, and no caller's
loop is patched, nested or blocked. Started on first use; a forked child starts its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

_lock = threading.Lock()
_loop: _Loop | None = None


def call(coroutine: Coroutine[Any, Any, T]) -> T:
    """
    Run *coroutine* on our loop and wait for it, from synchronous code: with or without a running loop, in any thread.

    Raises:
        RuntimeError: When called on our own loop's thread, where waiting would never end.
    """
    loop = _get_for(coroutine)
    # By thread, not by what asyncio says: under gevent our thread, and its running loop, are the caller's too.
    if threading.get_ident() == loop.thread:
        coroutine.close()
        message = "A synchronous platform call was made on xpander_track's own loop; use the async form there."
        raise RuntimeError(message)
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()  # Ctrl-C while waiting: the request ends too.
        raise


async def acall(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run *coroutine* on our loop, from any other; being cancelled cancels it."""
    loop = _get_for(coroutine)
    if asyncio.get_running_loop() is loop:
        return await coroutine
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))


def get() -> _Loop:
    """
    Our loop, running.

    Raises:
        RuntimeError: Where no thread can be started (the interpreter is shutting down, or the system is out of them).
    """
    global _loop  # noqa: PLW0603  # one loop per process is the point of this file
    loop = _loop
    if loop is None:
        with _lock:
            loop = _loop
            if loop is None:
                loop = _Loop()
                try:
                    threading.Thread(target=_run, args=(loop,), name="xpander-track", daemon=True).start()
                except BaseException:
                    loop.close()
                    raise
                _loop = loop
    return loop


def _get_for(coroutine: Coroutine[Any, Any, Any]) -> _Loop:
    try:
        return get()
    except BaseException:
        coroutine.close()  # Nobody will await it, and nobody should be told so.
        raise


def _run(loop: _Loop) -> None:
    loop.thread = threading.get_ident()
    asyncio.set_event_loop(loop)
    while not loop.is_closed():
        # SystemExit and KeyboardInterrupt, raised in a callback, end run_forever(); the loop is as good as before.
        with contextlib.suppress(BaseException):
            loop.run_forever()


class _Loop(asyncio.SelectorEventLoop):
    thread: int | None = None

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002  # asyncio's signature
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """Names are looked up on daemon threads: the default executor's would be joined, and waited for, at exit."""
        future: asyncio.Future[Any] = self.create_future()

        def settle(result: object, error: BaseException | None) -> None:
            if not future.done():
                future.set_exception(error) if error else future.set_result(result)

        def look_up() -> None:
            try:
                found, error = socket.getaddrinfo(host, port, family, type, proto, flags), None
            except Exception as failure:  # noqa: BLE001  # handed to the waiting request
                found, error = [], failure
            self.call_soon_threadsafe(settle, found, error)

        try:
            threading.Thread(target=look_up, name="xpander-track-dns", daemon=True).start()
        except RuntimeError:  # At the interpreter's exit (Python 3.12), or there are no more: then it holds us up.
            look_up()
        return await future


def _forget() -> None:
    # In a forked child the thread is gone, and the lock may have been held at the moment of the fork.
    global _loop, _lock
    if _loop is not None:
        _inherited.append(_loop)
    _loop, _lock = None, threading.Lock()


# Kept, with the connections that it watches: closed in a child, they would be taken out of what the parent watches.
_inherited: list[asyncio.AbstractEventLoop] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
