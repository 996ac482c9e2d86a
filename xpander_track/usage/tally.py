"""Adds up what a run used; each response counts once, however often it is seen."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ..platform import Tokens

if TYPE_CHECKING:
    from .usage import Usage

_COUNTS = ("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens")


class Tally:
    """
    The usage of one run.

    Args:
        outer: That of the run around it: what is counted in here is not to be counted out there as well.
    """

    __slots__ = ("_by_hand", "_inside", "_outer", "_seen")

    def __init__(self, outer: Tally | None = None) -> None:
        self._outer = outer
        self._inside: dict[object, object] = {}
        self._by_hand: list[Tokens] = []
        # By the provider's id, else by identity.
        self._seen: dict[object, tuple[Usage, object]] = {}

    def add_tokens(self, tokens: Tokens) -> None:
        """Counts that the user read off somewhere."""
        self._by_hand.append(tokens.model_copy())

    def add(self, usage: Usage, response: object) -> None:
        """What *response* says; a later word on the same response replaces an earlier one."""
        if not usage.id and not usage.tools and all(getattr(usage, name) is None for name in _COUNTS):
            return  # It says nothing: then there is no need to keep it.
        key, kept = _key(usage, response)
        if key in self._seen:
            usage = _merged(self._seen[key][0], usage)
        self._seen[key] = (usage, kept)
        if self._outer is not None:
            self._outer.note_inside(key, kept)

    def note_inside(self, key: object, kept: object) -> None:
        """A run inside of this one has counted the response *key*."""
        self._inside[key] = kept
        if self._outer is not None:
            self._outer.note_inside(key, kept)

    def is_counted_inside(self, usage: Usage, response: object) -> bool:
        """Whether a run inside of this one has counted *response*."""
        return _key(usage, response)[0] in self._inside

    def tokens(self) -> Tokens | None:
        """The sum; a count that nobody reported is None. None where there is no count at all."""
        if not self._by_hand and not self._seen:
            return None
        # Copied in one step: another thread may be recording.
        counted = [*self._by_hand, *(usage for usage, _ in list(self._seen.values()))]
        sums = {name: _sum([getattr(entry, name) for entry in counted]) for name in _COUNTS}
        return Tokens(**sums) if any(total is not None for total in sums.values()) else None

    def tools(self) -> list[str]:
        """The tool calls that the model asked for."""
        return [name for usage, _ in list(self._seen.values()) for name in usage.tools]


def _key(usage: Usage, response: object) -> tuple[object, object]:
    """What tells *response* from others, and what must be kept for that: an object's identity lasts as long as it."""
    return (usage.id, None) if usage.id else (("object", id(response)), response)


def _merged(earlier: Usage, later: Usage) -> Usage:
    # Counts in a stream are running totals: the last one said is the one that holds.
    counts = {
        name: getattr(earlier, name) if getattr(later, name) is None else getattr(later, name) for name in _COUNTS
    }
    if not later.is_chunk:
        return dataclasses.replace(later, **counts)
    # A chunk names the calls that begin in it, each at its place: the same chunk may be seen again.
    calls = {**dict(zip(earlier.places, earlier.tools)), **dict(zip(later.places, later.tools))}  # noqa: B905  # pairs
    return dataclasses.replace(later, tools=tuple(calls.values()), places=tuple(calls), **counts)


def _sum(counts: list[int | None]) -> int | None:
    said = [count for count in counts if count is not None]
    return sum(said) if said else None
