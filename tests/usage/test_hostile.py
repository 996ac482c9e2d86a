"""Objects that do not mean well, or do not end: reading them does nothing, harms nothing, and takes little time."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, MagicMock, Mock, create_autospec

import pytest

from xpander_track.usage import Usage, read_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 7},
}


class Raising:
    """Raises whatever it is asked."""

    def __init__(self, error: BaseException) -> None:
        object.__setattr__(self, "error", error)

    def __getattribute__(self, name: str) -> Any:
        raise object.__getattribute__(self, "error")

    __iter__ = __len__ = __eq__ = __hash__ = __bool__ = __call__ = __getitem__ = __getattribute__  # type: ignore[assignment]


class LyingClass:
    """Raises when it is asked for its class."""

    @property
    def __class__(self) -> Any:
        raise SystemExit

    @__class__.setter
    def __class__(self, value: Any) -> None:
        raise SystemExit


class RaisingDict:
    """Its very data raises."""

    @property
    def __dict__(self) -> Any:
        raise SystemExit


class Endless:
    """Has every part, and each part has every part."""

    def __getattr__(self, name: str) -> Any:
        return Endless()

    def __getitem__(self, key: Any) -> Any:
        return Endless()

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield Endless()


class HostileMapping(dict):  # type: ignore[type-arg]
    """A dict whose methods are not the dict's."""

    def get(self, *args: Any) -> Any:
        raise SystemExit

    __getitem__ = __iter__ = __contains__ = keys = items = values = copy = get  # type: ignore[assignment]


class HostileList(list):  # type: ignore[type-arg]
    """A list that does not end."""

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield CHAT

    def __len__(self) -> int:
        raise SystemExit


def of_hostile_class() -> Any:
    """An object whose class raises whatever it is asked: in here, since pytest asks all that a test file has."""

    class HostileMeta(type):
        def __getattribute__(cls, name: str) -> Any:
            raise SystemExit

        __hash__ = __eq__ = __instancecheck__ = __subclasscheck__ = __getattribute__  # type: ignore[assignment]

    class OfHostileClass(metaclass=HostileMeta):
        pass

    return OfHostileClass()


def nested(depth: int) -> Any:
    value: Any = CHAT
    for _ in range(depth):
        value = [value]
    return value


def circular() -> Any:
    value: list[Any] = []
    value.extend([value] * 100)
    return value


def circular_responses() -> Any:
    value: dict[str, Any] = {"raw": None, "parsing_error": None, "response": None, "messages": []}
    value["raw"] = value["response"] = value
    value["messages"] = [value] * 50
    return value


OBJECTS = {
    "raises": lambda: Raising(ValueError()),
    "exits": lambda: Raising(SystemExit()),
    "class raises": LyingClass,
    "dict raises": RaisingDict,
    "endless": Endless,
    "list without an end": HostileList,
    "of a hostile class": of_hostile_class,
    "MagicMock": MagicMock,
    "Mock": Mock,
    "AsyncMock": AsyncMock,
    "a mock of a list": lambda: MagicMock(spec=list),
    "a mock with parts that are mocks": lambda: MagicMock(usage=MagicMock(), choices=[MagicMock()], content=[Mock()]),
    "autospec": lambda: create_autospec(Usage),
    "circular": circular,
    "circular responses": circular_responses,
    "deep": lambda: nested(100_000),
    "a million numbers": lambda: list(range(1_000_000)),
    "a million dicts": lambda: [{}] * 1_000_000,
    "a dict of strange keys": lambda: {None: 1, (1, 2): 3, 5: "choices"},
    "a usage that is a method": lambda: SimpleNamespace(usage=CHAT.get, content="x"),
    "a usage that is a text": lambda: {"usage": "5", "choices": "none"},
    "parts of the wrong kind": lambda: {"choices": [None, 5, "x", Raising(SystemExit())], "usage": Endless()},
    "a message of the wrong kind": lambda: {"type": "message", "content": Endless(), "usage": [Endless()]},
    "chunks of the wrong kind": lambda: [
        {"type": "content_block_start", "content_block": 5},
        {"type": "message_start"},
    ],
    "events of the wrong kind": lambda: [{"type": "response.completed", "response": Endless()}],
    "a run of the wrong kind": lambda: {"run_id": Endless(), "metrics": Raising(SystemExit()), "status": []},
}


@pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS)
def test_it_says_nothing_and_takes_little_time(make: Any) -> None:
    obj = make()
    began = time.perf_counter()
    usage = read_usage(obj)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.tools) == (None, None, ())
    assert time.perf_counter() - began < 5  # Hours, or for ever, without bounds.


def test_what_is_stored_in_hostile_containers_is_read_without_asking_them() -> None:
    assert read_usage(HostileMapping(CHAT)) == read_usage(CHAT)
    assert read_usage(HostileList([CHAT])) == read_usage([CHAT])


@pytest.mark.parametrize(
    "count",
    [True, -1, 1.5, "7", None, [7], Mock(), float("nan"), float("inf"), 10**5000],
    ids=lambda count: type(count).__name__,
)
def test_only_a_real_number_of_tokens_is_a_count(count: Any) -> None:
    usage = read_usage({**CHAT, "usage": {"prompt_tokens": count, "completion_tokens": 7}})
    assert (usage.prompt_tokens, usage.completion_tokens) == (None, 7)


def test_a_hundred_thousand_chunks_are_read() -> None:
    chunk = {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "a"}}]}
    last = {"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": {"prompt_tokens": 1}}
    usage = read_usage([chunk] * 100_000 + [last])
    assert (usage.prompt_tokens, len(usage.text)) == (1, 100_000)


def test_nothing_of_an_object_is_called_or_consumed() -> None:
    touched: list[str] = []

    class Watching:
        def __init__(self) -> None:
            self.usage = {"prompt_tokens": 5, "completion_tokens": 7}

        def __getattr__(self, name: str) -> Any:
            touched.append(name)
            raise AttributeError(name)

        def parse(self) -> None:
            touched.append("parse")

        @property
        def text(self) -> str:
            touched.append("text")
            return ""

        def __iter__(self) -> Iterator[Any]:
            touched.append("iter")
            return iter(())

    assert read_usage(Watching()) == Usage(prompt_tokens=5, completion_tokens=7)
    stream = iter([CHAT])
    assert read_usage(stream) == Usage()
    assert (touched, list(stream)) == ([], [CHAT])


def test_no_library_is_imported() -> None:
    """In a fresh process, which then reads a response of each of some of them."""
    libraries = (
        "openai anthropic google.genai boto3 botocore mistralai cohere groq ollama litellm huggingface_hub"
        " langchain_core langgraph llama_index pydantic_ai agents agno smolagents crewai strands dspy haystack"
        " autogen_agentchat autogen_core google.adk claude_agent_sdk instructor mcp requests"
    )
    program = f"""
import sys
from xpander_track import read_usage
from xpander_track.usage import Chunks
for value in ({CHAT!r}, [{CHAT!r}], {{"messages": [{{"role": "assistant", "content": ""}}]}}, object()):
    read_usage(value)
chunks = Chunks()
chunks.take({CHAT!r})
chunks.read()
print([name for name in {libraries.split()!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
