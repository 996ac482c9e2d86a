"""Which reader a response is for."""

from __future__ import annotations

from . import anthropic, openai
from .usage import Usage

# In this order; the first that knows the shape reads it. A provider is one file and one line here.
_READERS = (openai.read_chat, openai.read_response, anthropic.read_message)


def extract_usage(response: object) -> Usage:
    """
    What *response* says of its usage, tool calls and text; all None where it says nothing that we know to read.

    Args:
        response: OpenAI's ``ChatCompletion``, ``ChatCompletionChunk`` or ``Response``, Anthropic's ``Message``, what
            has their shape, or the dict form of these. It is not changed, and nothing of it is called.
    """
    for read in _READERS:
        usage = read(response)
        if usage is not None:
            return usage
    return Usage()
