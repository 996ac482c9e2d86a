"""
Connections to the platform, kept between requests.

Each is an httpx client of its own with room for one connection, used by one request at a time. Whatever ends a request
before its answer was read, a cancellation above all, ends the connection too, and the next request has another one:
a pool that is shared loses places for good to requests that are cancelled while it connects them (httpcore 1.0).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import threading
import time
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    import httpx

# How many requests may be under way at once; more wait.
_MOST = 64
# Seconds. Servers close connections that are idle for five (gunicorn, uvicorn) and more.
_KEEP_IDLE = 4.0
# A fork waits for our first import of the HTTP library, but not longer than this.
_IMPORT_SECONDS = 5.0


@asynccontextmanager
async def borrowed(url: str) -> AsyncGenerator[httpx.AsyncClient]:
    """A client for one request to *url*, connected already if one has been there lately. To be called on our loop."""
    pool = _pool()
    async with pool.places:
        connection = pool.take(urlsplit(url)[:2])
        try:
            yield connection.client
        except BaseException:
            pool.close(connection)
            raise
        pool.give_back(connection)


def http_library() -> Any:
    """The module ``httpx``, loaded at the first request: importing xpander_track must stay cheap."""
    with importing:
        if _HTTP not in _loaded:
            _loaded[_HTTP] = importlib.import_module(_HTTP)
            for name in _LOADED_LATER:
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)
        return _loaded[_HTTP]


@dataclass
class _Connection:
    client: httpx.AsyncClient
    address: tuple[str, ...]
    idle_since: float = 0.0


@dataclass
class _Pool:
    """The connections of one loop."""

    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MOST))
    idle: deque[_Connection] = field(default_factory=deque[_Connection])  # The one used last is the last one.
    closing: set[asyncio.Task[None]] = field(
        default_factory=set[asyncio.Task[None]]
    )  # asyncio itself holds them weakly.
    trust: ssl.SSLContext | None = None

    def take(self, address: tuple[str, ...]) -> _Connection:
        while self.idle and self.idle[0].idle_since < time.monotonic() - _KEEP_IDLE:
            self.close(self.idle.popleft())
        for connection in reversed(self.idle):
            if connection.address == address:
                self.idle.remove(connection)
                return connection
        return _Connection(self.make(), address)

    def give_back(self, connection: _Connection) -> None:
        connection.idle_since = time.monotonic()
        self.idle.append(connection)

    def close(self, connection: _Connection) -> None:
        # In a task of its own: whoever was cancelled must not wait for it, nor cut it short.
        task = asyncio.ensure_future(connection.client.aclose())
        self.closing.add(task)
        task.add_done_callback(self.closed)

    def closed(self, task: asyncio.Task[None]) -> None:
        self.closing.discard(task)
        if not task.cancelled():
            task.exception()  # Of a connection that is broken already.

    def make(self) -> httpx.AsyncClient:
        httpx = http_library()
        if self.trust is None:
            with importing:
                self.trust = httpx.create_ssl_context()  # Once: it reads all certificates, tens of milliseconds.
        # One account's cookies are nothing to another's.
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        # The deadline of the whole request rules; a proxy and trusted certificates come from the environment.
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEEP_IDLE)
        return httpx.AsyncClient(  # type: ignore[no-any-return]
            verify=self.trust, timeout=None, limits=limits, follow_redirects=False, cookies=no_cookies
        )  # fmt: skip


# By loop: a forked child, having a new loop, has new ones.
_pools: dict[asyncio.AbstractEventLoop, _Pool] = {}

_HTTP = "httpx"
# What httpx itself imports when it first connects.
_LOADED_LATER = ("httpcore", "h11", "certifi", "anyio", "anyio._backends._asyncio", "encodings.idna")
_loaded: dict[str, Any] = {}
# Taken before a fork: a child that is forked in the middle of an import would inherit half of a module, and its lock,
# which nobody frees; in the middle of reading the certificates, a lock of OpenSSL's.
importing = threading.RLock()


def _pool() -> _Pool:
    running = asyncio.get_running_loop()
    if running not in _pools:
        _pools.clear()
        _pools[running] = _Pool()
    return _pools[running]


def _before_fork() -> None:
    importing.acquire(timeout=_IMPORT_SECONDS)


def _after_in_parent() -> None:
    with contextlib.suppress(RuntimeError):  # It took too long, and the fork did not wait any more.
        importing.release()


def _after_in_child() -> None:
    global importing  # noqa: PLW0603
    importing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
