"""
Reads Gemini's responses and streams (google-genai, the REST API's JSON), and the events of Google's ADK.

Where things are: https://ai.google.dev/api/generate-content#UsageMetadata. Thoughts, and what built-in tools put into
the prompt, stand beside the two counts, and are in the total. In a stream, every chunk has the totals so far.
"""

from __future__ import annotations

from typing import Any

from .counts import Counts, read_counts, total
from .reading import NOTHING, Reading, See, conversation
from .shape import count, field, is_list, items, joined, name, parts, text

_MARKS = {"prompt_feedback", "promptFeedback", "modelVersion"}  # Of an answer that was refused, or of a last chunk.


def read_content(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``GenerateContentResponse``: whole, or a chunk of a stream."""
    del value, see
    usage = data.get("usage_metadata") or data.get("usageMetadata")
    counts = read_counts(usage)
    if not is_list(data.get("candidates")) and not _MARKS & data.keys():
        return None
    candidate = next(iter(items(data.get("candidates"))), None)
    calls, said = _content(field(candidate, "content"))
    response_id = name(data.get("response_id")) or name(data.get("responseId"))
    return Reading("chunk", counts, calls, said, response_id, stream="google")


def read_event(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """ADK's ``Event`` or ``LlmResponse``: each is a response of its own, once it is not partial."""
    del value, see
    is_message = "response_metadata" in data  # LangChain's
    if is_message or "content" not in data or not ("usage_metadata" in data or "usageMetadata" in data):
        return None
    if data.get("partial") is True:
        return NOTHING  # What comes after has it all.
    if data.get("author") == "user":
        return Reading("prompt")
    calls, said = _content(data["content"])
    key = ("adk event", event_id) if (event_id := name(data.get("id"))) else None
    return Reading("whole", read_counts(data.get("usage_metadata") or data.get("usageMetadata")), calls, said, key=key)


def read_session(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """ADK's ``Session``: what came after the user's last word."""
    del value
    if "app_name" not in data or not is_list(data.get("events")):
        return None
    return conversation([see(event) for event in items(data["events"])])


def read_embeddings(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """An ``EmbedContentResponse``: Vertex counts the tokens of each."""
    del value, see
    embeddings = [parts(embedding) for embedding in items(data.get("embeddings"))]
    if not embeddings or not any("statistics" in embedding for embedding in embeddings):
        return None
    found = [field(embedding["statistics"], "token_count") for embedding in embeddings if "statistics" in embedding]
    tokens = total([count(int(n) if type(n) is float and n.is_integer() else n) for n in found])
    return Reading(counts=None if tokens is None else Counts(prompt=tokens))


def _content(content: object) -> tuple[list[str], str | None]:
    """Names of the calls in a content, and its visible text."""
    found = [parts(part) for part in items(field(content, "parts"))]
    calls: list[str] = []
    for part in found:
        call = part.get("function_call") or part.get("functionCall")
        if call is not None and (called := name(field(call, "name"))):
            calls.append(called)
        elif part.get("executable_code") is not None or part.get("executableCode") is not None:
            calls.append("code_execution")  # The tool's name; the part has only the code.
    return calls, joined([text(part.get("text")) for part in found if part.get("thought") is not True])
