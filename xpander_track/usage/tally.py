"""Adds up what a run used; each response counts once, however often it is seen."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ..platform import Tokens

if TYPE_CHECKING:
    from .usage import Usage

_COUNTS = ("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens")


class Tally:
    """The usage of one run."""

    __slots__ = ("_by_hand", "_seen")

    def __init__(self) -> None:
        self._by_hand: list[Tokens] = []
        # By the provider's id, or by identity; the reference keeps the identity from being given to another object.
        self._seen: dict[object, tuple[Usage, object]] = {}

    def add_tokens(self, tokens: Tokens) -> None:
        """Counts that the user read off somewhere."""
        self._by_hand.append(tokens)

    def add(self, usage: Usage, response: object) -> None:
        """What *response* says; a later word on the same response replaces an earlier one."""
        key: object = usage.id or ("object", id(response))
        if key in self._seen:
            usage = _merged(self._seen[key][0], usage)
        self._seen[key] = (usage, None if usage.id else response)

    def tokens(self) -> Tokens | None:
        """The sum; a count that nobody reported is None. None where there is no count at all."""
        if not self._by_hand and not self._seen:
            return None
        counted = [*self._by_hand, *(usage for usage, _ in self._seen.values())]
        sums = {name: _sum([getattr(entry, name) for entry in counted]) for name in _COUNTS}
        return Tokens(**sums) if any(total is not None for total in sums.values()) else None

    def tools(self) -> list[str]:
        """The tool calls that the model asked for."""
        return [name for usage, _ in self._seen.values() for name in usage.tools]


def _merged(earlier: Usage, later: Usage) -> Usage:
    # Counts in a stream are running totals: the last one said is the one that holds.
    counts = {
        name: getattr(earlier, name) if getattr(later, name) is None else getattr(later, name) for name in _COUNTS
    }
    tools = earlier.tools + later.tools if later.is_chunk else later.tools
    return dataclasses.replace(later, tools=tools, **counts)


def _sum(counts: list[int | None]) -> int | None:
    said = [count for count in counts if count is not None]
    return sum(said) if said else None
