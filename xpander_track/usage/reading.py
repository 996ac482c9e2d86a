"""What one object says, before it is known what stands beside it in a list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from .counts import Counts

Kind: TypeAlias = Literal["whole", "chunk", "terminal", "echo", "group", "prompt"]


@dataclass(slots=True)
class Reading:
    """
    What one object says.

    Args:
        kind: How it stands to its neighbours in a list.

            - ``whole``: a response of its own.
            - ``chunk``: a piece of a response; its counts are running totals, or (``adds``) parts of a sum.
            - ``terminal``: it ends a run, and holds the sum of what came before.
            - ``echo``: it repeats what others say, and counts where it stands alone.
            - ``group``: several, each of its own: ``parts``.
            - ``prompt``: the user speaks: what came before in the conversation belongs to earlier runs.
        counts: Its counts.
        tools: Names of the calls that it makes.
        text: Its visible text.
        id: The provider's id of the response.
        key: What tells it from others, where that is not its id.
        stream: Of a chunk without an id: which kind of stream it is from. A whole with it ends that stream.
        begins: A stream begins with this chunk.
        ends: The stream ends with this chunk.
        adds: Its counts add up with those of the other chunks.
        retells: Its text is the whole one so far.
        places: Of a chunk, where in the response each of ``tools`` stands: the same place is the same call.
        parts: What it consists of: with a group they count, each of its own; else they are in the counts already.
    """

    kind: Kind = "whole"
    counts: Counts | None = None
    tools: Sequence[str] = ()
    text: str | None = None
    id: str | None = None
    key: tuple[str | None, ...] | None = None
    stream: str = ""
    begins: bool = False
    ends: bool = False
    adds: bool = False
    retells: bool = False
    places: Sequence[Hashable] | None = None
    parts: Sequence[Reading] = field(default_factory=list["Reading"])


class See(Protocol):
    """Reads what is inside of an object: within the bounds of depth and number."""

    def __call__(self, value: object) -> Reading | None:
        """What *value* says; None if nothing."""
        ...


class Read(Protocol):
    """
    One shape's reader.

    Args:
        data: The object's stored data by name.
        value: The object itself.
        see: Reads what is inside of it.

    Returns:
        None if the object has another shape.
    """

    def __call__(self, data: dict[str, Any], value: object, see: See, /) -> Reading | None:
        """What *value* says."""
        ...


NOTHING = Reading("group")  # Of a known shape, which has nothing to say.


def group(readings: Sequence[Reading | None]) -> Reading:
    """Several, each of its own."""
    return Reading("group", parts=[reading for reading in readings if reading is not None])


def conversation(readings: Sequence[Reading | None]) -> Reading:
    """
    The messages of a conversation: those after the last word of the user.

    The ones before are from earlier runs of the same thread, and were counted there.
    """
    said = [reading for reading in readings if reading is not None]
    prompts = [place for place, reading in enumerate(said) if reading.kind == "prompt"]
    return group(said[prompts[-1] + 1 :] if prompts else said)
