"""A language model's stream, which the user reads as before, while what it says of its usage is noted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .usage import Chunks


class LlmStream(wrapt.ObjectProxy):  # type: ignore[misc,name-defined,unused-ignore]
    """
    Stands for the stream in everything: its methods, attributes and types are the stream's own.

    Nothing has to happen at the end: what has come is noted as it comes, so that a stream that is left early, closed,
    cancelled, broken or forgotten tells as much as the user has seen of it.
    """

    def __init__(self, stream: Any, chunks: Chunks) -> None:
        super().__init__(stream)
        self._self_chunks = chunks

    def __iter__(self) -> Iterator[Any]:
        return _iterated(iter(self.__wrapped__), self._self_chunks)

    def __next__(self) -> Any:
        chunk = next(self.__wrapped__)
        self._self_chunks.take(chunk)
        return chunk

    def __aiter__(self) -> AsyncIterator[Any]:
        return _AsyncIterated(aiter(self.__wrapped__), self._self_chunks)

    async def __anext__(self) -> Any:
        chunk = await anext(self.__wrapped__)
        self._self_chunks.take(chunk)
        return chunk

    def __enter__(self) -> Any:
        return self._self_entered(self.__wrapped__.__enter__())

    def __exit__(self, *error: object) -> Any:
        return self.__wrapped__.__exit__(*error)

    async def __aenter__(self) -> Any:
        return self._self_entered(await self.__wrapped__.__aenter__())

    async def __aexit__(self, *error: object) -> Any:
        return await self.__wrapped__.__aexit__(*error)

    def _self_entered(self, entered: Any) -> Any:
        if entered is self.__wrapped__:
            return self
        # What manages a stream gives it when it is entered.
        self._self_chunks.watch(entered)
        return LlmStream(entered, self._self_chunks)


def is_stream(value: object) -> bool:
    """Whether *value* can be read as a stream, or entered to get one."""
    return any(hasattr(type(value), way) for way in ("__iter__", "__aiter__", "__enter__", "__aenter__"))


def _iterated(iterator: Iterator[Any], chunks: Chunks) -> Iterator[Any]:
    take = chunks.take
    for chunk in iterator:
        take(chunk)
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
