"""What a model's response says it used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """
    What a response, or a whole run's result, says of itself. None is "not reported", 0 is "reported as none".

    Args:
        prompt_tokens: As the source says: OpenAI's include what came from the cache, Anthropic's do not.
        completion_tokens: Reasoning included, where the source bills it as output.
        cache_read_tokens: Prompt tokens read from the cache.
        cache_write_tokens: Prompt tokens written to the cache.
        tools: Names of the tool calls that the model made, in order, with repeats.
        text: The last visible answer; empty where there is none.
        response_id: The provider's id, where it is one response.
        cache_in_prompt: Whether the cached tokens are among ``prompt_tokens``; None is not known.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    tools: tuple[str, ...] = ()
    text: str = ""
    response_id: str | None = None
    cache_in_prompt: bool | None = None
