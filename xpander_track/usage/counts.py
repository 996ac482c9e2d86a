"""
The numbers of a usage object, by whichever names its source has for them.

Verbatim: nothing is taken from the prompt or put to it, but for Gemini's built-in tools and thoughts, which its own
total and its bill have beside the two counts. Where each name is from stands beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .shape import count, field, items, parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Counts(NamedTuple):
    """
    Counts, each None where it was not reported.

    The two of Gemini's that come beside the prompt and the completion stand alone, since in a stream each has a last
    value of its own.
    """

    prompt: int | None = None
    completion: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    beside_prompt: int | None = None
    beside_completion: int | None = None
    cache_in_prompt: bool | None = None

    @property
    def prompt_tokens(self) -> int | None:
        """All of the prompt."""
        return total([self.prompt, self.beside_prompt])

    @property
    def completion_tokens(self) -> int | None:
        """All of the completion."""
        return total([self.completion, self.beside_completion])

    def then(self, later: Counts) -> Counts:
        """Running totals: the last one said holds, each for itself."""
        return Counts(
            self.prompt if later.prompt is None else later.prompt,
            self.completion if later.completion is None else later.completion,
            self.cache_read if later.cache_read is None else later.cache_read,
            self.cache_write if later.cache_write is None else later.cache_write,
            self.beside_prompt if later.beside_prompt is None else later.beside_prompt,
            self.beside_completion if later.beside_completion is None else later.beside_completion,
            self.cache_in_prompt if later.cache_in_prompt is None else later.cache_in_prompt,
        )

    def plus(self, other: Counts) -> Counts:
        """Counts of two things together."""
        return Counts(
            total([self.prompt, other.prompt]),
            total([self.completion, other.completion]),
            total([self.cache_read, other.cache_read]),
            total([self.cache_write, other.cache_write]),
            total([self.beside_prompt, other.beside_prompt]),
            total([self.beside_completion, other.beside_completion]),
            _both(self.cache_in_prompt, other.cache_in_prompt),
        )


def read_counts(usage: object) -> Counts | None:
    """What a usage object says; None if it is none, or says nothing."""
    data = parts(usage)
    if not data:
        return None
    for names, read in _CONVENTIONS:
        for name in names:
            if name in data:
                counts = read(data)
                return None if counts is None or counts[:-1] == _NONE else counts
    return None


def read_by_model(by_model: object) -> Counts | None:
    """``{model: usage}``, added up; None if it is not that."""
    data = parts(by_model)
    counts = [read_counts(usage) for usage in list(data.values())[:_MAX_MODELS]]
    return together(counts) if counts and all(counts) else None


def together(counts: Iterable[Counts | None]) -> Counts | None:
    """The sum of what is there; None where nothing is."""
    whole: Counts | None = None
    for part in counts:
        if part is not None:
            whole = part if whole is None else whole.plus(part)
    return whole


def total(counts: Iterable[int | None]) -> int | None:
    """The sum of what was reported; None where nothing was."""
    said = [number for number in counts if number is not None]
    return sum(said) if said else None


_NONE = (None,) * 6
_MAX_MODELS = 1000


def _first(*values: object) -> int | None:
    for value in values:
        if (number := count(value)) is not None:
            return number
    return None


def _both(one: bool | None, other: bool | None) -> bool | None:
    if one is None or other is None:
        return one if other is None else other
    return one if one is other else None


def _prompt_completion(data: dict[str, Any]) -> Counts | None:
    """OpenAI's chat, and all who copy it; the names of xpander's own Tokens; CrewAI's totals."""
    details = parts(data.get("prompt_tokens_details"))
    counts = Counts(
        prompt=count(data.get("prompt_tokens")),
        completion=count(data.get("completion_tokens")),
        cache_read=_first(
            details.get("cached_tokens"),
            data.get("prompt_cache_hit_tokens"),  # DeepSeek
            data.get("cached_tokens"),  # Moonshot
            data.get("cache_read_input_tokens"),  # LiteLLM: Anthropic's name, but in the prompt
            data.get("cached_prompt_tokens"),  # CrewAI
            data.get("cache_read_tokens"),
        ),
        cache_write=_first(
            details.get("cache_write_tokens"),
            details.get("cache_creation_tokens"),  # LiteLLM
            data.get("cache_creation_input_tokens"),  # LiteLLM
            data.get("cache_creation_tokens"),  # CrewAI
            data.get("cache_write_tokens"),
        ),
    )
    if data.get("successful_requests") == 0 and not any(counts):
        return None  # CrewAI begins with zeros.
    if "cache_read_tokens" in data or "cache_write_tokens" in data:
        return counts  # Whoever put them there knows.
    return _in_prompt(counts)


def _input_output(data: dict[str, Any]) -> Counts | None:  # noqa: PLR0911  # one for each source
    """OpenAI's responses, Anthropic, LangChain, pydantic-ai, agno: told apart by how they name the cache."""
    prompt, completion = count(data.get("input_tokens")), count(data.get("output_tokens"))
    if "input_tokens_details" in data:
        if data.get("requests") == 0 and not prompt and not completion:
            return None  # openai-agents begins with zeros.
        details = parts(data["input_tokens_details"])
        cached = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
        return _in_prompt(Counts(prompt, completion, *cached))
    if "input_token_details" in data:  # LangChain: Anthropic's cache folded in as well
        details = parts(data["input_token_details"])
        written = count(details.get("cache_creation"))
        # Where Anthropic says how long it keeps what was written, langchain-anthropic has the number only there.
        split = total([count(details.get(f"ephemeral_{span}_input_tokens")) for span in ("5m", "1h")])
        return _in_prompt(Counts(prompt, completion, count(details.get("cache_read")), written or split or written))
    if "cache_read_input_tokens" in data or "cache_creation_input_tokens" in data:  # Anthropic
        written = count(data.get("cache_creation_input_tokens"))
        if written is None:
            spans = parts(data.get("cache_creation"))
            written = total([count(spans.get(f"ephemeral_{span}_input_tokens")) for span in ("5m", "1h")])
        read = count(data.get("cache_read_input_tokens"))
        return Counts(prompt, completion, read, written, cache_in_prompt=False)
    cached = count(data.get("cache_read_tokens")), count(data.get("cache_write_tokens"))
    if "cache_audio_read_tokens" in data:  # pydantic-ai: what was not reported is 0, as what was reported as 0
        if not prompt and not completion:
            return None
        return _in_prompt(Counts(prompt, completion, cached[0] or None, cached[1] or None))
    return Counts(prompt, completion, *cached)


def _in_prompt(counts: Counts) -> Counts:
    if counts.cache_read is None and counts.cache_write is None:
        return counts
    return counts._replace(cache_in_prompt=True)


def _bedrock(data: dict[str, Any]) -> Counts:
    """Bedrock's converse, Nova's own form, Claude Code's usage by model."""
    return Counts(
        prompt=count(data.get("inputTokens")),
        completion=count(data.get("outputTokens")),
        cache_read=_first(data.get("cacheReadInputTokens"), data.get("cacheReadInputTokenCount")),
        cache_write=_first(
            data.get("cacheWriteInputTokens"),
            data.get("cacheWriteInputTokenCount"),
            data.get("cacheCreationInputTokens"),
        ),
        cache_in_prompt=False,
    )


def _bedrock_metrics(data: dict[str, Any]) -> Counts:
    """The ``amazon-bedrock-invocationMetrics`` at the end of a stream."""
    return Counts(
        prompt=count(data.get("inputTokenCount")),
        completion=count(data.get("outputTokenCount")),
        cache_read=count(data.get("cacheReadInputTokenCount")),
        cache_write=count(data.get("cacheWriteInputTokenCount")),
        cache_in_prompt=False,
    )


def _gemini(data: dict[str, Any]) -> Counts:
    return _in_prompt(
        Counts(
            prompt=count(data.get("prompt_token_count")),
            # Gemini's, its live API's, Llama's on Bedrock, llama-index's
            completion=_first(
                data.get("candidates_token_count"),
                data.get("response_token_count"),
                data.get("generation_token_count"),
                data.get("completion_token_count"),
            ),
            cache_read=count(data.get("cached_content_token_count")),
            beside_prompt=count(data.get("tool_use_prompt_token_count")),
            beside_completion=count(data.get("thoughts_token_count")),
        )
    )


def _gemini_json(data: dict[str, Any]) -> Counts:
    return _in_prompt(
        Counts(
            prompt=count(data.get("promptTokenCount")),
            completion=_first(data.get("candidatesTokenCount"), data.get("responseTokenCount")),
            cache_read=count(data.get("cachedContentTokenCount")),
            beside_prompt=count(data.get("toolUsePromptTokenCount")),
            beside_completion=count(data.get("thoughtsTokenCount")),
        )
    )


def _ollama(data: dict[str, Any]) -> Counts:
    return Counts(count(data.get("prompt_eval_count")), count(data.get("eval_count")))


def _titan(data: dict[str, Any]) -> Counts:
    written = [count(field(result, "tokenCount")) for result in items(data.get("results"))]
    completion = _first(data.get("totalOutputTextTokenCount"), total(written))
    return Counts(count(data.get("inputTextTokenCount")), completion)


def _llama_index_totals(data: dict[str, Any]) -> Counts:
    return Counts(count(data.get("prompt_llm_token_count")), count(data.get("completion_llm_token_count")))


def _smolagents_totals(data: dict[str, Any]) -> Counts:
    return Counts(count(data.get("total_input_token_count")), count(data.get("total_output_token_count")))


def _cohere(data: dict[str, Any]) -> Counts | None:
    """What went through the model; else what is billed, which leaves the template's tokens out. They are floats."""
    for kind in ("tokens", "billed_units"):
        units = parts(data.get(kind))
        prompt, completion = _whole(units.get("input_tokens")), _whole(units.get("output_tokens"))
        if prompt is not None or completion is not None:
            return _in_prompt(Counts(prompt, completion, _whole(data.get("cached_tokens"))))
    return None


def _whole(value: object) -> int | None:
    if type(value) is float and value.is_integer():
        return count(int(value))
    return count(value)


_CONVENTIONS: tuple[tuple[tuple[str, ...], Callable[[dict[str, Any]], Counts | None]], ...] = (
    (("prompt_tokens", "completion_tokens"), _prompt_completion),
    (("input_tokens", "output_tokens"), _input_output),
    (("inputTokens", "outputTokens"), _bedrock),
    (("prompt_token_count", "candidates_token_count", "completion_token_count"), _gemini),
    (("promptTokenCount", "candidatesTokenCount"), _gemini_json),
    (("prompt_eval_count", "eval_count"), _ollama),
    (("inputTokenCount", "outputTokenCount"), _bedrock_metrics),
    (("inputTextTokenCount", "totalOutputTextTokenCount"), _titan),
    (("prompt_llm_token_count",), _llama_index_totals),
    (("total_input_token_count",), _smolagents_totals),
    (("tokens", "billed_units"), _cohere),
)
