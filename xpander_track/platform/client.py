"""One request to the platform: over a pooled client, within a deadline, its answer read within bounds."""

from __future__ import annotations

import asyncio
import email.utils
import functools
import json
import re
import time
import zlib
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, quote, urlsplit
from uuid import UUID

from . import connections, loop
from .errors import AnswerUnreadable, InvalidAddress, InvalidArgument, MissingApiKey, ModuleException, Unreachable

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    import httpx

    from .configuration import Configuration

T = TypeVar("T")

# An answer may repeat what was sent, non-ASCII characters as \u escapes (three times their size at most).
_ANSWER_MARGIN = 64 * 1024
_ESCAPING = 3
_MAX_LOADED = 16 * 1024 * 1024

# What may stand unescaped in a path segment (RFC 3986, section 3.3: pchar), and so keeps the bytes of ordinary ids.
_SEGMENT_SAFE = ":@!$&'()*+,;=~"

# What may stand in a header as it is (RFC 9110, section 5.5, without what is not ASCII).
_KEY = re.compile(r"[\x21-\x7e]+([ \t]+[\x21-\x7e]+)*")

# Seconds of a deadline that pass at least while the process is stopped.
_STEP = 1.0
# How long after its cancellation a request that goes on is cancelled once more, in seconds.
_AGAIN = 0.1


async def exchange(
    configuration: Configuration,
    method: str,
    *segments: object,
    failure: str,
    body: bytes | None = None,
    query: Mapping[str, Any] | None = None,
) -> Any:
    """
    Send one request and give back the JSON of its answer.

    Args:
        configuration: Whose key, address and timeout are used.
        method: ``GET`` or ``POST``.
        segments: The route. Each is escaped as one path segment.
        failure: What the message of an error begins with.
        body: JSON to send.
        query: Filters to send in the URL.

    Raises:
        NotSent: The key, an id or the address cannot be used.
        Unreachable: No complete answer within the timeout.
        ModuleException: Any answer outside 2xx, redirects included: they are never followed with the key.
        AnswerUnreadable: 2xx, but not JSON.
    """
    _check_key(configuration, failure)
    url = _url(configuration, segments, failure)
    limit = _MAX_LOADED if body is None else _ANSWER_MARGIN + _ESCAPING * len(body)
    request: dict[str, Any] = {"method": method, "url": url, "content": body, "params": query}
    return await loop.acall(_send(configuration, limit, failure, request))


async def _send(configuration: Configuration, limit: int, failure: str, request: dict[str, Any]) -> Any:
    httpx = connections.http_library()
    error: ModuleException
    try:
        return await _within(configuration.timeout, _answer(configuration, limit, failure, request))
    except asyncio.TimeoutError:
        error = Unreachable(500, f"{failure} - no complete answer within {configuration.timeout:g} s")
    except ModuleException:
        raise
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, ValueError) as cause:
        error = InvalidAddress(500, f"{failure} - the request cannot be made: {_describe(cause)}")
    except Exception as cause:  # noqa: BLE001  # httpx's own, and what ssl, anyio and the resolver let through
        error = Unreachable(500, f"{failure} - {_describe(cause)}")
    # Raised out here, so that the library's frames, with the key in their locals, are not part of the error. In our
    # own frames no local has it: error trackers send locals along.
    raise error


async def _within(seconds: float, request: Coroutine[Any, Any, T]) -> T:
    """
    What *request* returns, or ``TimeoutError`` after *seconds*: not later, even where it does not end then.

    Time in which the process was stopped, or the machine slept, does not count: the answer may have come meanwhile.
    """
    task = asyncio.ensure_future(request)
    left = seconds
    try:
        while not task.done():
            if left <= 0:
                raise asyncio.TimeoutError
            step = min(left, _STEP)
            await asyncio.wait({task}, timeout=step)
            left -= step
    finally:
        _end(task)
    return task.result()


def _end(task: asyncio.Task[Any]) -> None:
    """Cancel *task* until it has ended: up to Python 3.10 anyio may swallow what meets the end of its connecting."""
    if task.done():
        if not task.cancelled():
            task.exception()  # Seen: asyncio shall not complain that nobody has.
        return
    task.cancel()
    task.get_loop().call_later(_AGAIN, _end, task)


@functools.lru_cache(maxsize=64)
def _parsed(url: str) -> httpx.URL:
    """*url* as httpx has it: most reports go to one address."""
    return connections.http_library().URL(url)  # type: ignore[no-any-return]  # it is loaded late, and so not typed


async def _answer(configuration: Configuration, limit: int, failure: str, request: dict[str, Any]) -> Any:
    url: str = request.pop("url")
    async with (
        connections.borrowed(url) as client,
        client.stream(url=_parsed(url), **request, headers=_headers(configuration, request)) as response,
    ):
        body, whole = await _read(response, limit if response.is_success else _ANSWER_MARGIN)
    if not response.is_success:
        wait = _retry_after(response.headers.get("retry-after"))
        raise ModuleException(response.status_code, _text(body, response.charset_encoding), retry_after=wait)
    if not whole:
        raise AnswerUnreadable(
            500, f"{failure} - the platform accepted it, but its answer is larger than {limit} bytes"
        )
    media_type = response.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        what = f"{media_type or 'untyped'} content" if body else "empty"
        raise AnswerUnreadable(500, f"{failure} - the platform accepted it, but its answer is {what}, not JSON")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    raise AnswerUnreadable(500, f"{failure} - the platform accepted it, but its answer is not valid JSON")


def _headers(configuration: Configuration, request: dict[str, Any]) -> dict[str, str]:
    content_type = {} if request["content"] is None else {"Content-Type": "application/json"}
    return {"Accept-Encoding": "gzip, deflate", "x-api-key": configuration.api_key or "", **content_type}


async def _read(response: httpx.Response, limit: int) -> tuple[bytes, bool]:
    """The decoded body up to *limit* bytes, and whether that is all of it. A gzip bomb is not inflated beyond it."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    inflate = zlib.decompressobj(wbits=47) if encoding in {"gzip", "x-gzip", "deflate"} else None
    body = bytearray()
    async for chunk in response.aiter_raw():
        try:
            body += chunk if inflate is None else inflate.decompress(chunk, limit + 1 - len(body))
        except zlib.error:
            return b"", True  # Said to be compressed and is not: unreadable, whatever the status.
        if len(body) > limit:
            return bytes(body[:limit]), False
    return bytes(body), True


def _url(configuration: Configuration, segments: tuple[object, ...], failure: str) -> str:
    parts = _parts(configuration.base_url)
    if parts is None:
        raise InvalidAddress(500, f"{failure} - base_url has no host, or a port that is not in 1-65535")
    if parts.query or parts.fragment:
        raise InvalidAddress(500, f"{failure} - base_url has a query or a fragment; give scheme, host and path only")
    if configuration.needs_organization() and not configuration.organization_id:
        raise InvalidAddress(
            500, f"{failure} - this base_url needs an organization: set organization_id or XPANDER_ORGANIZATION_ID"
        )
    route = "/".join(_segment(segment, failure) for segment in segments)
    return f"{configuration.get_full_url().rstrip('/')}/{route}"


def _parts(url: str) -> SplitResult | None:
    """The parts of *url*; None if it names no host and port."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def _segment(value: object, failure: str) -> str:
    """*value* as one path segment: no id can change the route."""
    value = value.value if isinstance(value, Enum) else value
    text = str(value) if isinstance(value, (str, int, UUID)) else ""
    if not text or text in {".", ".."}:
        kind = "an empty text" if value == "" else f"{text!r}" if text else f"a {type(value).__name__}"
        raise InvalidArgument(500, f"{failure} - an id must be a text that can be a path segment, not {kind}")
    try:
        return quote(text, safe=_SEGMENT_SAFE)
    except UnicodeEncodeError:
        pass
    raise InvalidArgument(500, f"{failure} - an id has a lone surrogate, which UTF-8 has no form for")


def _check_key(configuration: Configuration, failure: str) -> None:
    if not configuration.api_key:
        raise MissingApiKey(
            500, f"{failure} - no API key: XPANDER_API_KEY is unset and the configuration has none. Set one of them."
        )
    if not _KEY.fullmatch(configuration.api_key):
        raise MissingApiKey(
            500,
            f"{failure} - the API key has characters that a header cannot carry "
            "(a line break, another control character, a blank at its beginning or end, non-ASCII)",
        )


def _text(body: bytes, charset: str | None) -> str:
    try:
        return body.decode(charset or "utf-8", errors="replace")
    except (LookupError, ValueError):  # No charset, or one that is no encoding of text.
        return body.decode(errors="replace")


def _describe(error: Exception) -> str:
    """The library's words, or, where it has none (a reset, a TLS failure), the kind of error and its cause's words."""
    cause: BaseException | None = error
    while cause is not None:
        if str(cause):
            return str(cause) if cause is error else f"{type(error).__name__}: {cause}"
        cause = cause.__cause__ or cause.__context__
    return f"{type(error).__name__}: the connection broke"


def _retry_after(value: str | None) -> float | None:
    """Seconds, from a number of seconds or an HTTP date (RFC 9110, section 10.2.3); None where it is neither."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip()[:12])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
