"""Adds up what a run used; each response counts once, however often it is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..platform import Tokens
from .counts import total
from .fold import Response, responses_of

if TYPE_CHECKING:
    from collections.abc import Hashable

    from .chunks import Chunks
    from .reading import Reading


class Tally:
    """
    The usage of one run.

    A response is told from others by its id, else by its identity. What holds several (a framework's result, a list)
    counts as a whole; unless some of them are counted already: then the others do.

    Args:
        outer: That of the run around it: what is counted in here is not to be counted out there as well.
    """

    __slots__ = ("_by_hand", "_followed", "_inside", "_kept", "_names", "_open", "_outer", "_responses", "_streams")

    def __init__(self, outer: Tally | None = None) -> None:
        self._outer = outer
        self._by_hand: list[Tokens] = []
        self._responses: dict[Hashable, Response] = {}
        # All that the counted ones are known by; and those that a run inside of this one has counted.
        self._names: set[Hashable] = set()
        self._inside: set[Hashable] = set()
        # An object's identity lasts as long as it does.
        self._kept: list[object] = []
        # Which of them are told chunk by chunk, and to which one a chunk without an id belongs.
        self._streams: set[Hashable] = set()
        self._open: dict[str, Hashable] = {}
        self._followed: list[tuple[Chunks, bool]] = []

    def add_tokens(self, tokens: Tokens) -> None:
        """Counts that the user read off somewhere."""
        self._by_hand.append(tokens.model_copy())

    def add(self, reading: Reading, response: object, *, but_inside: bool = False) -> None:
        """
        What *response* says; a later word on the same response replaces an earlier one.

        Args:
            reading: What it says.
            response: The object itself.
            but_inside: Leave out what a run inside of this one has counted.
        """
        self._read_followed()
        if reading.kind == "chunk":
            self._add_chunk(reading, response)
            return
        counted, parts = responses_of(reading)
        own: Hashable = reading.key or reading.id or ("object", id(response))
        if own in self._responses:
            self._put(own, counted, response)
            return
        known = self._names | self._inside if but_inside else self._names
        others = [part for part in parts if not _known_as(part) & known]
        if own in known or not parts:
            return
        if len(others) == len(parts):
            self._put(own, counted, response)
            self._note({own, *(name for part in parts for name in _names(part))})
            return
        for part in others:
            self._put(part.key or part.id or ("object", id(part)), part, part)
            self._note(_names(part))

    def follow(self, chunks: Chunks, *, but_inside: bool = False) -> None:
        """A stream that is about to be read: what has come of it counts, however it ends. See ``add``."""
        self._followed.append((chunks, but_inside))

    def settle(self) -> None:
        """The run has ended: what its streams have told counts, what they tell later does not."""
        self._read_followed()
        self._followed.clear()

    def note_inside(self, names: set[Hashable]) -> None:
        """A run inside of this one has counted what is known by *names*."""
        self._inside |= names
        if self._outer is not None:
            self._outer.note_inside(names)

    def tokens(self) -> Tokens | None:
        """The sum; a count that nobody reported is None. None where there is no count at all."""
        self._read_followed()
        if not self._responses and not self._by_hand:
            return None
        # Copied in one step: another thread may be recording.
        counted = [counts for response in list(self._responses.values()) if (counts := response.counts) is not None]
        by_hand = list(self._by_hand)
        sums = {
            "prompt_tokens": total([c.prompt_tokens for c in counted] + [t.prompt_tokens for t in by_hand]),
            "completion_tokens": total([c.completion_tokens for c in counted] + [t.completion_tokens for t in by_hand]),
            "cache_read_tokens": total([c.cache_read for c in counted] + [t.cache_read_tokens for t in by_hand]),
            "cache_write_tokens": total([c.cache_write for c in counted] + [t.cache_write_tokens for t in by_hand]),
        }
        return Tokens(**sums) if any(number is not None for number in sums.values()) else None

    def tools(self) -> list[str]:
        """The tool calls that the model asked for."""
        self._read_followed()
        return [called for response in list(self._responses.values()) for called in list(response.calls.values())]

    def _add_chunk(self, chunk: Reading, value: object) -> None:
        own: Hashable = chunk.key or chunk.id
        if own is None and not chunk.begins:
            own = self._open.get(chunk.stream)
        if own is None:
            own = ("object", id(value))
        response = self._responses.get(own)
        if response is None:
            if own in self._names:
                return  # A stream that is followed has it.
            response = Response(chunk)
            self._put(own, response, value)
            self._streams.add(own)
            self._note({own, *_names(response)})
        elif own in self._streams:  # Else it was given as a whole: that has what the chunk has.
            response.merge(chunk)
        if chunk.ends:
            self._open.pop(chunk.stream, None)
        else:
            self._open[chunk.stream] = own

    def _read_followed(self) -> None:
        for chunks, but_inside in list(self._followed):
            known = self._names | self._inside if but_inside else self._names
            for response in chunks.read():
                own = ("object", id(response))  # It may get its id, and more, with later chunks.
                if own not in self._responses:
                    if _known_as(response) & known:
                        continue
                    self._put(own, response, response)
                self._note({own, *_names(response)})

    def _put(self, own: Hashable, response: Response, kept: object) -> None:
        earlier = self._responses.get(own)
        if earlier is not None:
            response.complete(earlier)
        self._streams.discard(own)
        self._responses[own] = response
        self._kept.append(kept)

    def _note(self, names: set[Hashable]) -> None:
        self._names |= names
        if self._outer is not None:
            self._outer.note_inside(names)


def _names(response: Response) -> set[Hashable]:
    """What a counted response is known by: a framework's message by its own id, and also by the provider's."""
    if response.key is not None:
        return {response.key, ("also", response.id)} if response.id is not None else {response.key}
    return set() if response.id is None else {response.id}


def _known_as(response: Response) -> set[Hashable]:
    """What it would be known by, had it been counted."""
    if response.key is not None:
        return {response.key} if response.id is None else {response.key, response.id}
    return set() if response.id is None else {response.id, ("also", response.id)}
