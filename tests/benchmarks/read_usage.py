"""
What reading usage costs: one response, and a stream of 1,000 chunks beside the same stream without us.

    python tests/benchmarks/read_usage.py

Each figure is the best of several, so that a busy machine shows least. Nothing is asserted: compare within one run.
"""

from __future__ import annotations

import timeit
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from xpander_track.llm_stream import followed
from xpander_track.usage import Chunks, read_usage

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNKS = 1_000
BEST_OF = 15


def main() -> None:
    """Print the figures."""
    print(f"{'one response':<34}{'µs':>8}")
    for name, response in responses().items():
        print(f"  {name:<32}{best(lambda r=response: read_usage(r), 1_000) * 1e6:8.1f}")  # type: ignore[misc]
    print(f"\n{f'a stream of {CHUNKS} chunks, per chunk':<34}{'alone':>8}{'with us':>9}{'more':>8}   (µs)")
    for name, chunk in chunks().items():
        stream = [chunk] * CHUNKS
        alone = best(lambda s=stream: exhaust(iter(s)), 10) / CHUNKS * 1e6  # type: ignore[misc]
        ours = best(lambda s=stream: follow(s), 10) / CHUNKS * 1e6  # type: ignore[misc]
        print(f"  {name:<32}{alone:8.3f}{ours:9.3f}{ours - alone:8.3f}")


def follow(stream: list[Any]) -> None:
    """Read a stream as a run does, with what the run's end does."""
    chunks = Chunks()
    exhaust(iter(followed(iter(stream), chunks)))
    chunks.read()


def exhaust(stream: Any) -> None:
    """Read all of it."""
    for _ in stream:
        pass


def best(call: Callable[[], object], number: int) -> float:
    """Seconds of one call."""
    return min(timeit.repeat(call, number=number, repeat=BEST_OF)) / number


def responses() -> dict[str, Any]:
    """One response of each kind."""
    chat = {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
        "usage": {
            "prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
            "prompt_tokens_details": {"cached_tokens": 1920},
        },
    }  # fmt: skip
    message = {
        "id": "m", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "ok"}],
        "usage": {"input_tokens": 21, "output_tokens": 393, "cache_read_input_tokens": 1800},
    }  # fmt: skip
    return {
        "a chat completion, a dict": chat,
        "a chat completion, objects": objects(chat),
        "a message, a dict": message,
        "a message, objects": objects(message),
        "a value that says nothing": {"rows": [1, 2, 3], "title": "x"},
        "a text": "the answer",
    }


def chunks() -> dict[str, Any]:
    """One chunk of text of each kind."""
    chat = {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "a"}}]}
    event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}
    made = {
        "chat chunks, dicts": chat,
        "chat chunks, objects": objects(chat),
        "message events, objects": objects(event),
    }
    try:
        from openai.types.chat import ChatCompletionChunk  # noqa: PLC0415
    except ModuleNotFoundError:
        return made
    return {**made, "chat chunks, openai's": ChatCompletionChunk.model_validate({**chat, "created": 1, "model": "m"})}


def objects(value: Any) -> Any:
    """The same as plain objects."""
    if isinstance(value, dict):
        return SimpleNamespace(**{name: objects(part) for name, part in value.items()})
    return [objects(part) for part in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
