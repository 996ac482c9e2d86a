"""A language model's stream, which the user reads as before, while what it says of its usage is noted."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import wrapt

from .boundary import misuse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .usage import Chunks

    _ObjectProxy = wrapt.ObjectProxy[Any]
else:
    # Where wrapt has one that cannot be iterated by itself, as not all streams can.
    _ObjectProxy = getattr(wrapt, "BaseObjectProxy", wrapt.ObjectProxy)


class LlmStream(_ObjectProxy):
    """
    Stands for the stream in everything: its methods, attributes and types are the stream's own.

    Nothing has to happen at the end: what has come is noted as it comes, so that a stream that is left early, closed,
    cancelled, broken or forgotten tells as much as the user has seen of it.
    """

    def __init__(self, stream: Any, chunks: Chunks) -> None:
        super().__init__(stream)
        self._self_chunks = chunks


def followed(stream: object, chunks: Chunks) -> Any:
    """
    *stream*, with its chunks taken down in *chunks*.

    Raises:
        TypeError: It can neither be iterated nor entered.
    """
    kind = type(stream)
    ways = tuple(name for name in _WAYS if hasattr(kind, name))
    if not ways:
        raise misuse(TypeError(f"llm_stream() takes a stream of chunks, not a {kind.__name__}."))
    return _kind(ways)(stream, chunks)


@functools.cache
def _kind(ways: tuple[str, ...]) -> type[LlmStream]:
    """The class for streams that can be read in these ways: code that looks at what a stream can finds no more."""
    return type("LlmStream", (LlmStream,), {name: _WAYS[name] for name in ways})


def _iter(self: Any) -> Iterator[Any]:
    return _iterated(iter(self.__wrapped__), self._self_chunks)


def _next(self: Any) -> Any:
    chunk = next(self.__wrapped__)
    self._self_chunks.take(chunk)
    return chunk


def _aiter(self: Any) -> AsyncIterator[Any]:
    return _AsyncIterated(aiter(self.__wrapped__), self._self_chunks)


async def _anext(self: Any) -> Any:
    chunk = await anext(self.__wrapped__)
    self._self_chunks.take(chunk)
    return chunk


def _enter(self: Any) -> Any:
    return _entered(self, self.__wrapped__.__enter__())


def _exit(self: Any, *error: object) -> Any:
    return self.__wrapped__.__exit__(*error)


async def _aenter(self: Any) -> Any:
    return _entered(self, await self.__wrapped__.__aenter__())


async def _aexit(self: Any, *error: object) -> Any:
    return await self.__wrapped__.__aexit__(*error)


_WAYS: dict[str, Any] = {
    "__iter__": _iter, "__next__": _next, "__aiter__": _aiter, "__anext__": _anext,
    "__enter__": _enter, "__exit__": _exit, "__aenter__": _aenter, "__aexit__": _aexit,
}  # fmt: skip


def _entered(stream: Any, entered: Any) -> Any:
    if entered is stream.__wrapped__:
        return stream
    # What manages a stream gives it when it is entered.
    stream._self_chunks.watch(entered)  # noqa: SLF001  # wrapt's place for what is the proxy's own
    return followed(entered, stream._self_chunks)  # noqa: SLF001


def _iterated(iterator: Iterator[Any], chunks: Chunks) -> Iterator[Any]:
    pending, most, read = chunks.pending, chunks.MOST_PENDING, chunks.read_quietly
    for chunk in iterator:  # As `take` does it, without a call for each.
        pending.append(chunk)
        if len(pending) >= most:
            read()
        yield chunk


class _AsyncIterated:
    """An iterator rather than a generator, which the loop would have to close when it is left early."""

    __slots__ = ("_chunks", "_iterator")

    def __init__(self, iterator: AsyncIterator[Any], chunks: Chunks) -> None:
        self._iterator = iterator
        self._chunks = chunks

    def __aiter__(self) -> _AsyncIterated:
        return self

    async def __anext__(self) -> Any:
        chunk = await self._iterator.__anext__()
        self._chunks.take(chunk)
        return chunk
