"""Reads usage, tool calls and text off what an agent's code holds, by its shape."""

from __future__ import annotations

from typing import Any

from ..boundary import quietly
from . import (
    agno,
    anthropic,
    autogen,
    bedrock,
    claude_agent,
    cohere,
    crewai,
    dspy,
    google,
    haystack,
    http,
    instructor,
    langchain,
    llama_index,
    mcp,
    messages,
    mistral,
    ollama,
    openai,
    openai_agents,
    plain_usage,
    pydantic_ai,
    smolagents,
    strands,
)
from .fold import summed
from .reading import Read, Reading, conversation
from .shape import is_list, items, parts, text
from .usage import Usage

# Which readers there are, and the names of which one must be in the data; with none, any data may be of the shape. The
# first that knows the shape reads it: those that tell theirs by a name of its own come before those that take what is
# common. A library is one file, and its readers here.
_READERS: tuple[tuple[Read, tuple[str, ...]], ...] = (
    (openai.read_chat, ("choices",)),
    (openai.read_response, ("output",)),
    (openai.read_event, ("type",)),
    (openai.read_batch_line, ("custom_id",)),
    (anthropic.read_message, ("content",)),
    (anthropic.read_event, ("type",)),
    (anthropic.read_batch_result, ("custom_id",)),
    (google.read_content, ("candidates", "prompt_feedback", "promptFeedback", "modelVersion")),
    (google.read_event, ("usage_metadata", "usageMetadata")),
    (google.read_session, ("app_name",)),
    (google.read_embeddings, ("embeddings",)),
    (langchain.read_message, ("response_metadata", "additional_kwargs", "lc", "data")),
    (langchain.read_result, langchain.RESULTS),
    (langchain.read_event, ("event",)),
    (openai_agents.read_result, ("raw_responses", "run_data")),
    (openai_agents.read_event, ("type",)),
    (pydantic_ai.read_result, ("_state", "messages", "_stream_response", "_streamed_run_result")),
    (pydantic_ai.read_message, ("parts",)),
    (pydantic_ai.read_event, ("event_kind", "model_response")),
    (agno.read_run, ("run_id",)),
    (agno.read_event, ("event",)),
    (claude_agent.read_result, ("num_turns",)),
    (claude_agent.read_message, ("parent_tool_use_id", "message_id", "message", "subtype")),
    (strands.read_result, ("metrics", "accumulated_usage")),
    (strands.read_event, ("result", "event", *strands.EVENTS)),
    (bedrock.read_converse, ("output",)),
    (bedrock.read_event, bedrock.EVENTS),
    (bedrock.read_body, ("ResponseMetadata", "generation", "inputTextTokenCount", "outputs")),
    (llama_index.read_response, ("raw",)),
    (llama_index.read_event, ("current_agent_name", "tool_kwargs", "result", "llm_token_counts")),
    (smolagents.read_run, ("steps", "memory")),
    (smolagents.read_step, ("step_number", "task", "plan", "output", "system_prompt")),
    (smolagents.read_message, ("token_usage",)),
    (crewai.read_output, ("raw", "_completed")),
    (haystack.read_message, ("_role", "meta")),
    (haystack.read_chunk, ("component_info",)),
    (haystack.read_result, ("replies", "last_message")),
    (autogen.read_message, ("models_usage", "cached")),
    (autogen.read_result, ("stop_reason", "chat_message")),
    (dspy.read_prediction, ("_lm_usage", "lm_usage", "outputs")),
    (mistral.read_event, ("data",)),
    (mistral.read_conversation, ("conversation_id",)),
    (cohere.read_chat, ("finish_reason", "meta", "generation_id")),
    (cohere.read_event, ("type", "event_type")),
    (ollama.read_answer, ("done", "prompt_eval_count", "eval_count")),
    (mcp.read_result, ("is_error", "isError", "structured_content", "structuredContent")),
    (messages.read_message, ("role",)),
    (messages.read_state, ()),
    (http.read_raw, ("http_response", "_content", "_data")),
    (instructor.read_model, ()),
    (plain_usage.read_holder, plain_usage.HOLDERS),
    (plain_usage.read_usage_object, ()),
)

# The same by name, as bits in their order: most names are nobody's, and most readers need not be asked.
_BY_BIT = {1 << place: read for place, (read, _) in enumerate(_READERS)}
_ALWAYS = sum(1 << place for place, (_, names) in enumerate(_READERS) if not names)
_BITS = {
    name: sum(1 << place for place, (_, names) in enumerate(_READERS) if name in names)
    for _, named in _READERS
    for name in named
}

# Deeper than any real result nests one response in another.
_MAX_DEPTH = 12
# How many objects are looked at for one result, and how many more of them may say nothing than something.
_MAX_OBJECTS = 500_000
_MAX_SILENT = 2_000


class _TooMuch(Exception):
    """It does not end, or is no result."""


class Eye:
    """Looks into one result: no deeper and no longer than its bounds. It is the ``see`` of the readers."""

    __slots__ = ("_depth", "_left", "_silent")

    def __init__(self) -> None:
        self._depth = 0
        self._left = _MAX_OBJECTS
        self._silent = _MAX_SILENT

    def __call__(self, value: object) -> Reading | None:
        """What *value* says; None if nothing."""
        self._left -= 1
        self._depth += 1
        try:
            reading = self._read(value) if self._depth <= _MAX_DEPTH else None
        finally:
            self._depth -= 1
        if reading is None:
            self._silent -= 1
        elif reading.kind != "group":
            self._silent += 1  # Many say something, with as many beside them that do not: LangGraph's metadata.
        if self._left < 0 or self._silent < 0:
            raise _TooMuch
        return reading

    def _read(self, value: object) -> Reading | None:
        data = parts(value)
        if data:
            return self._read_data(data, value)
        if is_list(value):
            return conversation([self(item) for item in items(value)])
        return None

    def _read_data(self, data: dict[str, Any], value: object) -> Reading | None:
        bits = _ALWAYS
        for name in tuple(data):
            if type(name) is str and (of_name := _BITS.get(name)):
                bits |= of_name
        while bits:
            first = bits & -bits
            reading = _BY_BIT[first](data, value, self)
            if reading is not None:
                return reading
            bits ^= first
        return None


def read_usage(obj: object) -> Usage:
    """
    What *obj* says of its usage, tool calls and text; nothing, where it says nothing that we know to read.

    Args:
        obj: A completion, a message, a run's result, a state, a usage object, or their dict forms, of any of the
            libraries that the files beside this one are named after; or a list of them: the chunks or events of a
            stream, whose running totals are not added up, or results of their own, which are. A conversation
            (LangGraph's state, a list of messages) is read from the last word of the user on: what is before belongs
            to earlier runs, as do a strands agent's earlier calls, and a smolagents' memory before its last task.
            Where a result holds the sum of several runs and does not say so (the second kickoff of a CrewAI crew,
            the usage that pydantic-ai is handed by ``usage=``), it is read as it is.

    It is not changed, no code of it is run, no body or stream of it is consumed, and it is read in bounded time.
    Nothing is guessed: what was not reported is None.
    """
    with quietly("read a response", calls_user_code=True):
        if (said := text(obj)) is not None:
            return Usage(text=said)
        reading = read(obj)
        if reading is not None:
            return summed(reading)
    return Usage()


def read(obj: object) -> Reading | None:
    """What *obj* says, with its parts; None if nothing."""
    try:
        return Eye()(obj)
    except (_TooMuch, RecursionError):
        return None
