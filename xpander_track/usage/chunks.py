"""The chunks of a stream, while it is read: cheap to take, and at any time as much is known as has come."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from ..boundary import quietly
from .fold import Fold
from .read import read
from .shape import attributes, own_parts, parts

if TYPE_CHECKING:
    from .fold import Response

_PIECES_OF_TEXT = {
    "content_block_delta", "response.output_text.delta", "response.function_call_arguments.delta", "content-delta",
    "response.reasoning_text.delta", "response.reasoning_summary_text.delta", "tool-call-delta",
}  # fmt: skip
# Where the stream helpers of anthropic and openai keep what has come so far.
_SNAPSHOTS = ("__final_message_snapshot", "__current_completion_snapshot", "_completed_response")


class Chunks:
    """
    The chunks that have come so far.

    Attributes:
        pending: Those not read yet: they are read together, since most are a piece of text, which says nothing.
    """

    __slots__ = ("_fold", "_helper", "_lock", "_raw", "pending")

    MOST_PENDING = 256

    def __init__(self) -> None:
        self._fold = Fold()
        self._lock = threading.Lock()
        self.pending: deque[Any] = deque()
        self._raw: object = None
        self._helper: object = None

    def take(self, chunk: object) -> None:
        """The next one."""
        self.pending.append(chunk)
        if len(self.pending) >= self.MOST_PENDING:
            self.read_quietly()

    def read_quietly(self) -> None:
        """Read those that are pending, while the user's code runs."""
        with quietly("read a stream's chunks", calls_user_code=True):
            self.read()

    def watch(self, helper: object) -> None:
        """A stream that may also be read by its own methods (``text_stream``), of which no chunk is seen here."""
        self._helper = helper

    def read(self) -> list[Response]:
        """The responses that they are from: one, of most streams."""
        pending = self.pending
        with self._lock:
            while pending:
                chunk = pending.popleft()
                if not _is_piece_of_text(chunk):
                    self._read(chunk)
            responses = self._fold.responses()
            if not responses and self._helper is not None and (snapshot := _snapshot(self._helper)) is not None:
                self._read(snapshot)
                responses = self._fold.responses()
            return responses

    @property
    def raw(self) -> object:
        """The last chunk that has told something other than a piece of text: the one with the usage, where one has."""
        return self._raw

    def _read(self, chunk: object) -> None:
        reading = read(chunk)
        if reading is None:
            return
        self._fold.add(reading)
        if reading.counts is not None or self._raw is None:
            self._raw = chunk


def _is_piece_of_text(chunk: object) -> bool:
    """Whether it is one of the many that have only text, of which a run keeps nothing. Where in doubt: no."""
    data = own_parts(chunk)
    kind = data.get("type")
    if type(kind) is str:
        return kind in _PIECES_OF_TEXT
    choices = cast("list[Any]", data.get("choices"))
    if type(choices) is not list or len(choices) != 1 or data.get("usage") is not None or "x_groq" in data:
        return False
    delta = own_parts(attributes(choices[0]).get("delta"))
    return "content" in delta and delta.get("tool_calls") is None and delta.get("function_call") is None


def _snapshot(helper: object) -> object:
    data = parts(helper)
    for holder in (data, parts(data.get("_state"))):
        for attribute, value in list(holder.items()):
            if value is not None and attribute.endswith(_SNAPSHOTS):
                return value
    return None
