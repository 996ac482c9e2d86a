"""What a model's response says it used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """
    What one response says of itself. None is "not reported", 0 is "reported as none".

    Args:
        id: The provider's id of the response.
        prompt_tokens: As the provider says: OpenAI's include what came from the cache, Anthropic's do not.
        completion_tokens: Reasoning included, where the provider includes it.
        cache_read_tokens: Prompt tokens read from the cache.
        cache_write_tokens: Prompt tokens written to the cache.
        tools: Names of the tool calls that the model asked for, in order, with repeats.
        text: The visible answer.
        is_chunk: It is a part of a stream: parts with one id belong together.
        places: Of a chunk, where in the whole response each of *tools* stands.
    """

    id: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    tools: tuple[str, ...] = ()
    text: str | None = None
    is_chunk: bool = False
    places: tuple[object, ...] = ()
