"""
What the tests of real objects share: a model server on loopback, and one way to compare what was read.

The libraries that make the objects are imported in the tests, which are skipped where a library is not installed.
"""

from __future__ import annotations

import gc
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from xpander_track.usage import read_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

WEATHER = '{"city": "Oslo"}'


class Expect(Protocol):
    """The type of the fixture ``expect``."""

    def __call__(
        self,
        obj: object,
        prompt: int | None,
        completion: int | None,
        cache_read: int | None = ...,
        cache_write: int | None = ...,
        *,
        tools: list[str] = ...,
        text: str = ...,
    ) -> None: ...


@pytest.fixture
def expect() -> Expect:
    """``expect(obj, 120, 64, tools=["search"], text="ok")``: what is read off *obj*, all of it."""

    def compare(
        obj: object,
        prompt: int | None,
        completion: int | None,
        cache_read: int | None = None,
        cache_write: int | None = None,
        *,
        tools: list[str] | None = None,
        text: str = "",
    ) -> None:
        usage = read_usage(obj)
        assert (
            (usage.prompt_tokens, usage.completion_tokens, usage.cache_read_tokens, usage.cache_write_tokens),
            list(usage.tools),
            usage.text,
        ) == ((prompt, completion, cache_read, cache_write), tools or [], text)

    return compare


class ModelServer:
    """Answers any request with the next of its answers; a list is a stream of server-sent events."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                content_type, body = _encoded(server.answers.pop(0))
                self.send_response(200)
                self.send_header("content-type", content_type)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def says(self, *answers: Any) -> None:
        """The next answers, in their order."""
        self.answers = list(answers)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """A model server, which says what it is told to."""
    server = ModelServer()
    yield server
    server.close()
    gc.collect()  # What clients have not closed is collected here, where its warning is this test's.


def _encoded(answer: Any) -> tuple[str, bytes]:
    if isinstance(answer, bytes):
        return "application/vnd.amazon.eventstream", answer
    if not isinstance(answer, list):
        return "application/json", json.dumps(answer).encode()
    if answer and answer[0] == "ndjson":
        return "application/x-ndjson", b"".join(json.dumps(line).encode() + b"\n" for line in answer[1:])
    events = [
        (f"event: {event['type']}\n" if "type" in event else "") + f"data: {json.dumps(event)}\n\n" for event in answer
    ]
    end = "data: [DONE]\n\n" if "choices" in answer[0] else ""
    return "text/event-stream", ("".join(events) + end).encode()


# --- what OpenAI's API, and its many copies, answer ---


def chat(
    text: str | None = "It is 4 degrees.",
    tools: tuple[str, ...] = (),
    usage: tuple[int, int, int] | None = (120, 64, 100),
    **more: Any,
) -> dict[str, Any]:
    """A chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if tools:
        message["tool_calls"] = [
            {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": WEATHER}}
            for n, name in enumerate(tools)
        ]
    return {
        "id": f"chatcmpl-{next(_ids)}",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "gpt-4.1",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if tools else "stop"}],
        "usage": chat_usage(usage),
        **more,
    }


def chat_usage(usage: tuple[int, int, int] | None) -> dict[str, Any] | None:
    """The usage of a chat completion: prompt, completion, cached."""
    if usage is None:
        return None
    prompt, completion, cached = usage
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def chat_stream(
    tools: tuple[str, ...] = ("get_weather", "lookup"), usage: tuple[int, int, int] | None = (19, 10, 5)
) -> list[Any]:
    """The chunks of a chat completion, the last one with the usage."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, {"content": "Hello"}, {"content": " there"}]
    for n, name in enumerate(tools):
        deltas.append(_call_delta(n, id=f"call_{n}", type="function", function={"name": name, "arguments": ""}))
        deltas.append(_call_delta(n, function={"arguments": "{}"}))
    frame = {"id": f"chatcmpl-{next(_ids)}", "object": "chat.completion.chunk", "created": 1790000000, "model": "m"}
    chunks: list[Any] = [{**frame, "choices": [_choice(delta)], "usage": None} for delta in deltas]
    chunks.append({**frame, "choices": [_choice({}, "stop")], "usage": None})
    if usage is not None:
        chunks.append({**frame, "choices": [], "usage": chat_usage(usage)})
    return chunks


def _choice(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _call_delta(index: int, **call: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **call}]}


_ids = iter(range(1, 10**9))


class Api:
    """The answers above, as a fixture: test files do not import each other."""

    chat = staticmethod(chat)
    chat_usage = staticmethod(chat_usage)
    chat_stream = staticmethod(chat_stream)


@pytest.fixture
def api() -> type[Api]:
    """``api.chat(...)``, ``api.chat_stream(...)``: what OpenAI's API, and its many copies, answer."""
    return Api
