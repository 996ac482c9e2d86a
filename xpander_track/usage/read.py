"""Reads usage, tool calls and text off what an agent's code holds, by its shape."""

from __future__ import annotations

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

# The first that knows the shape reads it. A library is one file, and its readers in this list; those that tell their
# shape by a name of their own come before those that take what is common.
_READERS: tuple[Read, ...] = (
    openai.read_chat,
    openai.read_response,
    openai.read_event,
    openai.read_batch_line,
    anthropic.read_message,
    anthropic.read_event,
    anthropic.read_batch_result,
    google.read_content,
    google.read_event,
    google.read_session,
    google.read_embeddings,
    langchain.read_message,
    langchain.read_result,
    langchain.read_event,
    openai_agents.read_result,
    openai_agents.read_event,
    pydantic_ai.read_result,
    pydantic_ai.read_message,
    pydantic_ai.read_event,
    agno.read_run,
    agno.read_event,
    claude_agent.read_result,
    claude_agent.read_message,
    strands.read_result,
    strands.read_event,
    bedrock.read_converse,
    bedrock.read_event,
    bedrock.read_body,
    llama_index.read_response,
    llama_index.read_event,
    smolagents.read_run,
    smolagents.read_step,
    smolagents.read_message,
    crewai.read_output,
    haystack.read_message,
    haystack.read_chunk,
    haystack.read_result,
    autogen.read_message,
    autogen.read_result,
    dspy.read_prediction,
    mistral.read_event,
    mistral.read_conversation,
    cohere.read_chat,
    cohere.read_event,
    ollama.read_answer,
    mcp.read_result,
    messages.read_message,
    messages.read_state,
    http.read_raw,
    instructor.read_model,
    plain_usage.read_holder,
    plain_usage.read_usage_object,
)

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
            for read in _READERS:
                reading = read(data, value, self)
                if reading is not None:
                    return reading
            return None
        if is_list(value):
            return conversation([self(item) for item in items(value)])
        return None


def read_usage(obj: object) -> Usage:
    """
    What *obj* says of its usage, tool calls and text; nothing, where it says nothing that we know to read.

    Args:
        obj: A completion, a message, a run's result, a state, a usage object, or their dict forms, of any of the
            libraries that the files beside this one are named after; or a list of them: the chunks or events of a
            stream, whose running totals are not added up, or results of their own, which are. A conversation
            (LangGraph's state, a list of messages) is read from the last word of the user on: what is before belongs
            to earlier runs. Where a result holds the sum of several runs and does not say so (the second kickoff of
            a CrewAI crew; AgentChat's and others' usage that was handed on), it is read as it is.

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
