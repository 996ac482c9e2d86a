"""
Many readings as one usage.

Three rules cover all lists: a stream's counts are its last word, or add up; results of their own add up; what ends a
run and holds its sum stands for all that came before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .counts import together
from .reading import Reading
from .usage import Usage

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from .counts import Counts
    from .reading import Kind


def summed(reading: Reading) -> Usage:
    """What one reading, or each of its parts, says, as one usage."""
    if reading.kind != "group":
        return _usage(reading.counts, reading.tools, reading.text or "", reading.id)
    responses = _folded([reading]).responses()
    return _usage(
        together([response.counts for response in responses]),
        _calls(responses),
        _last_text(responses),
        responses[0].id if len(responses) == 1 else None,
    )


def merged(kind: Kind, readings: Sequence[Reading | None], *, each: bool = False) -> Reading:
    """
    Many as one reading.

    Args:
        kind: How it stands to its neighbours.
        readings: In their order.
        each: Every one is a response of its own, also where a server gives all of them one id.
    """
    if each:
        responses = [Response(reading) for reading in readings if reading is not None]
    else:
        responses = _folded(readings).responses()
    return Reading(
        kind,
        together([response.counts for response in responses]),
        _calls(responses),
        _last_text(responses),
        parts=[reading for reading in readings if reading is not None],
    )


def responses_of(reading: Reading) -> tuple[Response, list[Response]]:
    """A reading as one response, and the responses that it consists of: itself, if it is one."""
    if reading.kind == "group":
        return Response(merged("whole", [reading])), _folded([reading]).responses()
    whole = Response(reading)
    parts = [Response(part) for part in reading.parts if part.kind in {"whole", "chunk"}]
    return whole, parts or [whole]


class Response:
    """What is known of one response: from one reading, or from a stream's chunks."""

    __slots__ = ("calls", "counts", "id", "key", "texts")

    def __init__(self, reading: Reading) -> None:
        self.id = reading.id
        self.key = reading.key
        self.counts = reading.counts
        self.calls: dict[Hashable, str] = {}
        self.texts: list[str] = []
        self._note(reading)

    @property
    def text(self) -> str:
        """Its visible text."""
        return "".join(self.texts)

    def merge(self, chunk: Reading) -> None:
        """Another chunk of the same stream."""
        if chunk.counts is not None:
            if self.counts is None:
                self.counts = chunk.counts
            else:
                self.counts = self.counts.plus(chunk.counts) if chunk.adds else self.counts.then(chunk.counts)
        self.id = self.id or chunk.id
        self._note(chunk)

    def complete(self, streamed: Response) -> None:
        """Take from what it was streamed as what the whole does not repeat."""
        self.counts = self.counts or streamed.counts
        self.calls = self.calls or streamed.calls
        self.texts = self.texts or streamed.texts

    def _note(self, reading: Reading) -> None:
        if reading.text:
            if reading.retells:
                self.texts.clear()
            self.texts.append(reading.text)
        if reading.tools:
            here = len(self.calls)
            places = reading.places or range(here, here + len(reading.tools))
            for place, called in zip(places, reading.tools):  # noqa: B905  # as many of one as of the other
                self.calls.setdefault(place, called)


class Fold:
    """Takes readings one by one, in their order."""

    __slots__ = ("_done", "_echo", "_open", "_responses")

    def __init__(self) -> None:
        self._responses: dict[Hashable, Response] = {}
        # Which stream a chunk that names none belongs to: the last one of its kind.
        self._open: dict[str, Hashable] = {}
        self._done: list[Response] = []
        self._echo: Reading | None = None

    def add(self, reading: Reading) -> None:
        """The next one."""
        kind = reading.kind
        if kind == "chunk":
            self._add_chunk(reading)
        elif kind == "whole":
            self._add_whole(reading)
        elif kind == "group":
            for part in reading.parts:
                self.add(part)
        elif kind == "terminal":
            self._end_run(reading)
        elif kind == "echo":
            self._echo = reading

    def responses(self) -> list[Response]:
        """What there is to be added up."""
        responses = [*self._done, *self._responses.values()]
        return responses or ([] if self._echo is None else [Response(self._echo)])

    def _add_chunk(self, chunk: Reading) -> None:
        key: Hashable = chunk.key or chunk.id
        if key is not None:
            key = ("stream", key)
        elif not chunk.begins:
            key = self._open.get(chunk.stream)
        if key is None:
            key = (chunk.stream, len(self._responses))
        response = self._responses.get(key)
        if response is None:
            self._responses[key] = Response(chunk)
        else:
            response.merge(chunk)
        if chunk.ends:
            self._open.pop(chunk.stream, None)
        else:
            self._open[chunk.stream] = key

    def _add_whole(self, whole: Reading) -> None:
        key = self._key(whole)
        response, streamed = Response(whole), self._responses.pop(key, None)
        if streamed is not None:
            response.complete(streamed)
        self._responses[key] = response

    def _key(self, whole: Reading) -> Hashable:
        own_stream = ("stream", whole.key or whole.id)
        if own_stream in self._responses:  # What it was streamed as.
            return own_stream
        if whole.stream and whole.stream in self._open:  # It ends the stream.
            return self._open.pop(whole.stream)
        if whole.key is not None:
            return whole.key
        if whole.id is not None:
            # The same response twice counts once. Some servers give all their responses one id: the counts tell.
            return whole.id, whole.counts
        return None, len(self._responses)

    def _end_run(self, terminal: Reading) -> None:
        before = list(self._responses.values())
        run = Response(terminal)
        run.counts = run.counts or together([response.counts for response in before])
        run.calls = run.calls or dict(enumerate(_calls(before)))
        run.texts = run.texts or [_last_text(before)]
        self._done.append(run)
        self._responses.clear()
        self._open.clear()


def _folded(readings: Iterable[Reading | None]) -> Fold:
    fold = Fold()
    for reading in readings:
        if reading is not None:
            fold.add(reading)
    return fold


def _usage(counts: Counts | None, tools: Sequence[str], text: str, response_id: str | None) -> Usage:
    if counts is None:
        return Usage(tools=tuple(tools), text=text, response_id=response_id)
    return Usage(
        counts.prompt_tokens,
        counts.completion_tokens,
        counts.cache_read,
        counts.cache_write,
        tuple(tools),
        text,
        response_id,
        counts.cache_in_prompt,
    )


def _calls(responses: list[Response]) -> list[str]:
    return [called for response in responses for called in response.calls.values()]


def _last_text(responses: list[Response]) -> str:
    return next((text for response in reversed(responses) if (text := response.text)), "")
