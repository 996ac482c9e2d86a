"""What is sent, and kept, of a run: plain frozen data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, TypeAdapter
from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .destination import Destination

Stage: TypeAlias = Literal["started", "progress", "ended"]
Ending: TypeAlias = Literal["completed", "failed", "cancelled", "timed_out", "stopped_early", "interrupted"]

SUCCESSES: frozenset[Ending] = frozenset({"completed", "stopped_early"})


@dataclass(frozen=True)
class Report:
    """
    One state of a run. The last one of an id is what the platform keeps.

    Args:
        id: The run's id.
        stage: ``started`` makes an unfinished run visible and is not sent; ``progress`` and ``ended`` are.
        agent_id: None where none was given: such a run is kept, and cannot be sent.
        name: The decorated function's name, if any.
        ending: How it ended; None while it runs.
        started_at: Seconds since the epoch.
        duration: Seconds.
        input: What it was given.
        result: What came of it, or the error.
        llm_response: The last raw response, as JSON data.
        tokens: The counts of ``Tokens`` by name.
        used_tools: Names in order.
        tool_calls: What is known of each call, for the local history.
        destinations: Keys of where it goes.
    """

    # What has more fields is of a newer version, and is left to it.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    id: str
    stage: Stage
    agent_id: str | None
    name: str | None
    started_at: float
    destinations: list[str]
    ending: Ending | None = None
    duration: float | None = None
    input: str | None = None
    result: str | None = None
    llm_response: Any = None
    tokens: dict[str, int | None] | None = None
    used_tools: list[str] = dataclasses.field(default_factory=list[str])
    tool_calls: list[dict[str, Any]] = dataclasses.field(default_factory=list[dict[str, Any]])

    @property
    def is_success(self) -> bool | None:
        """What the platform is told; None while it runs."""
        return None if self.ending is None else self.ending in SUCCESSES

    def to_json(self) -> bytes:
        """All of it as one line of JSON, without the newline."""
        return to_json(vars(self))

    @classmethod
    def from_json(cls, text: bytes | str) -> Report:
        """
        The report that ``to_json`` gave.

        Raises:
            ValueError: It is not one of ours.
        """
        try:
            return _ADAPTER.validate_json(text)
        except ValueError:
            pass
        raise ValueError("this is no report")  # pydantic's own error quotes it.


# A run writes its reports in pieces, so that nothing is written twice. Put together, they are what ``to_json`` gives,
# but for what is not known yet.


def destinations_part(destinations: Iterable[Destination]) -> bytes:
    """Where the reports of many runs go: the end of a JSON object."""
    return to_json({"destinations": [destination.key for destination in destinations]})[1:]


def begun_part(
    run_id: str, agent_id: str | None, name: str | None, started_at: float, given: str | None, where_to: bytes
) -> bytes:
    """What a run began with: the end of a JSON object."""
    begun = {"id": run_id, "agent_id": agent_id, "name": name, "started_at": started_at, "input": given}
    return to_json(begun)[1:-1] + b"," + where_to


def started(begun: bytes) -> bytes:
    """The report of a run that begins now."""
    return b'{"stage":"started",' + begun


def reported(news: dict[str, object], begun: bytes) -> bytes:
    """The report of a run, with what came of it by the names of the fields."""
    return to_json(news)[:-1] + b"," + begun


# Made at the import: where a thread of ours makes it, imports of pydantic's own are under way, and a child that is
# forked meanwhile would have half of a module for good.
_ADAPTER = TypeAdapter(Report)
