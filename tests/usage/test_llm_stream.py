"""``run.llm_stream``: the user reads the stream as before, and the run knows what it has told, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import re
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import Tokens, current_run, tracked_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .conftest import Api, ModelServer

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def chunk(content: str | None = None, tool: str | None = None, usage: int | None = None) -> dict[str, Any]:
    delta: dict[str, Any] = {"content": content}
    if tool:
        delta["tool_calls"] = [{"index": 0, "id": "c", "function": {"name": tool, "arguments": ""}}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta}],
        "usage": None if usage is None else {"prompt_tokens": 19, "completion_tokens": usage},
    }


# Running totals, so that what is known depends on how far it was read.
CHUNKS = [chunk("Hel", usage=1), chunk("lo", usage=2), chunk(tool="search", usage=5), chunk(usage=10)]
USED = Tokens(prompt_tokens=19, completion_tokens=10, cache_read_tokens=None, cache_write_tokens=None)


class Stream:
    """A provider's stream: an iterator and a context manager, sync and async, with methods of its own."""

    def __init__(self, chunks: list[Any], error: BaseException | None = None) -> None:
        self.response = "the HTTP response"
        self.is_closed = False
        self._chunks = iter(chunks)
        self._error = error

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._chunks)
        except StopIteration:
            if self._error is not None:
                raise self._error from None
            raise

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Any:
        await asyncio.sleep(0)
        try:
            return next(self)
        except StopIteration:
            raise StopAsyncIteration from None

    def close(self) -> None:
        self.is_closed = True

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()


def generated(chunks: list[Any]) -> Iterator[Any]:
    yield from chunks


async def generated_async(chunks: list[Any]) -> AsyncIterator[Any]:
    for part in chunks:
        await asyncio.sleep(0)
        yield part


def read(stream: Any, limit: int | None = None) -> list[Any]:
    """As many chunks as asked for, by ``for`` or ``async for``."""
    if not hasattr(stream, "__aiter__") or hasattr(stream, "__next__"):
        got = []
        for part in stream:
            got.append(part)
            if len(got) == limit:
                break
        return got

    async def main() -> list[Any]:
        got = []
        async for part in stream:
            got.append(part)
            if len(got) == limit:
                break
        return got

    return asyncio.run(main())


KINDS: dict[str, Any] = {
    "stream": Stream,
    "list": list,
    "iterator": iter,
    "generator": generated,
    "async generator": generated_async,
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@each_kind
def test_each_chunk_is_the_streams_own_and_the_usage_is_the_runs(kind: Any) -> None:
    with tracked_task() as run:
        got = read(run.llm_stream(kind(CHUNKS)))
    assert all(a is b for a, b in zip(got, CHUNKS, strict=True))
    assert (run.tokens, run.used_tools) == (USED, ["search"])


@each_kind
def test_a_stream_that_is_left_early_has_told_what_was_read(kind: Any) -> None:
    with tracked_task() as run:
        read(run.llm_stream(kind(CHUNKS)), limit=3)
    assert (run.tokens and run.tokens.completion_tokens, run.used_tools) == (5, ["search"])


@pytest.mark.parametrize(
    "error", [ConnectionError("cut"), asyncio.CancelledError(), GeneratorExit(), KeyboardInterrupt()]
)
def test_a_stream_that_breaks_has_told_what_was_read(error: BaseException) -> None:
    with tracked_task() as run, contextlib.suppress(type(error)):
        for _ in run.llm_stream(Stream(CHUNKS[:2], error)):
            pass
        pytest.fail("The error has not come through.")
    assert run.tokens
    assert run.tokens.completion_tokens == 2


def test_a_chunk_is_passed_on_before_the_next_one_is_asked_for() -> None:
    asked: list[int] = []

    def stream() -> Iterator[Any]:
        for number, part in enumerate(CHUNKS):
            asked.append(number)
            yield part

    with tracked_task() as run:
        for number, _ in enumerate(run.llm_stream(stream())):
            assert asked == list(range(number + 1))


def test_by_next_and_by_hand_it_is_the_same_stream() -> None:
    with tracked_task() as run:
        stream = run.llm_stream(Stream(CHUNKS))
        assert next(stream) is CHUNKS[0]
        assert list(stream) == CHUNKS[1:]
    assert run.tokens == USED


def test_the_stream_keeps_all_that_it_has() -> None:
    original = Stream(CHUNKS)
    with tracked_task() as run:
        with run.llm_stream(original) as stream:
            assert (stream.response, isinstance(stream, Stream)) == ("the HTTP response", True)
            read(stream)
            assert not original.is_closed
        assert original.is_closed
        generator = run.llm_stream(generated(CHUNKS))
        assert inspect.isgenerator(generator)
        next(generator)
        generator.close()
        assert list(generator) == []
    assert run.tokens == USED


def test_an_asynchronous_context_manager() -> None:
    async def main() -> Any:
        async with tracked_task() as run:
            async with run.llm_stream(Stream(CHUNKS)) as stream:
                first = await stream.__anext__()
                rest = [part async for part in stream]
            assert [first, *rest] == CHUNKS
        return run

    assert asyncio.run(main()).tokens == USED


def test_what_manages_a_stream_gives_one_that_is_followed() -> None:
    @contextlib.contextmanager
    def manager() -> Iterator[Any]:
        yield Stream(CHUNKS)

    with tracked_task() as run, run.llm_stream(manager()) as stream:
        assert read(stream) == CHUNKS
    assert run.tokens == USED


def test_a_generator_that_is_left_is_closed_as_without_us() -> None:
    closed: list[bool] = []

    def stream() -> Iterator[Any]:
        try:
            yield from CHUNKS
        finally:
            closed.append(True)

    with tracked_task() as run:
        for _ in run.llm_stream(stream()):
            break
        gc.collect()
        assert closed == [True]


def test_the_stream_is_not_kept_alive() -> None:
    with tracked_task() as run:
        original = Stream(CHUNKS)
        alive = weakref.ref(original)
        read(run.llm_stream(original), limit=1)
        del original
        gc.collect()
        assert alive() is None


def test_two_streams_and_a_response_add_up() -> None:
    other = [{**part, "id": "chatcmpl-2"} for part in CHUNKS]
    with tracked_task() as run:
        first, second = run.llm_stream(Stream(CHUNKS)), run.llm_stream(Stream(other))
        for one, two in zip(first, second, strict=True):
            del one, two
        run.record_llm({"id": "x", "choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": 1}})
    assert run.tokens
    assert (run.tokens.prompt_tokens, run.tokens.completion_tokens) == (39, 20)


def test_a_streamed_response_that_is_also_recorded_counts_once() -> None:
    whole = {"id": "chatcmpl-1", "choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": 19}}
    for first_recorded in (True, False):
        with tracked_task() as run:
            if first_recorded:
                run.record_llm({**whole, "usage": {"prompt_tokens": 19, "completion_tokens": 10}})
            read(run.llm_stream(Stream(CHUNKS)))
            run.record_llm(CHUNKS)
            run.record_llm(CHUNKS[-1])
            run.record_llm({**whole, "usage": {"prompt_tokens": 19, "completion_tokens": 10}})
        assert run.tokens == USED


def test_a_returned_list_of_chunks_that_were_followed_counts_once() -> None:
    from xpander_track import track_task  # noqa: PLC0415

    runs = []

    @track_task
    def answer() -> list[Any]:
        runs.append(current_run())
        return list(current_run().llm_stream(Stream(CHUNKS)))

    assert answer() == CHUNKS
    assert runs[0].tokens == USED


def test_what_a_stream_tells_after_the_runs_end_changes_nothing() -> None:
    with tracked_task() as run:
        stream = iter(run.llm_stream(Stream(CHUNKS)))
        next(stream)
    assert list(stream) == CHUNKS[1:]
    assert run.tokens
    assert run.tokens.completion_tokens == 1


def test_the_raw_response_is_the_last_chunk_with_a_usage() -> None:
    with tracked_task() as run:
        read(run.llm_stream(Stream([*CHUNKS, chunk("")])))
        run.report_progress()
        assert run._response.raw is CHUNKS[-1]


def test_without_a_usage_none_is_counted() -> None:
    with tracked_task() as run:
        read(run.llm_stream(Stream([chunk("a"), chunk(tool="search")])))
    assert (run.tokens, run.used_tools) == (None, ["search"])


def test_a_long_stream_is_read_as_it_comes_and_not_kept() -> None:
    class Part(SimpleNamespace):
        """One that can be watched."""

    made: list[weakref.ref[Any]] = []

    def stream() -> Iterator[Any]:
        for number in range(1_000):
            part = Part(**chunk("a", usage=number))
            made.append(weakref.ref(part))
            yield part

    with tracked_task() as run:
        read(run.llm_stream(stream()))
        gc.collect()
        assert sum(part() is not None for part in made) < 300
    assert run.tokens
    assert run.tokens.completion_tokens == 999


def test_where_no_run_is_it_is_the_stream_itself() -> None:
    stream = Stream(CHUNKS)
    assert current_run().llm_stream(stream) is stream
    with tracked_task() as run:
        pass
    assert run.llm_stream(stream) is stream


@pytest.mark.parametrize("value", [None, 5, object(), len])
def test_what_is_no_stream_is_refused(value: Any) -> None:
    with tracked_task() as run, pytest.raises(TypeError, match="llm_stream"):
        run.llm_stream(value)


def test_an_awaitable_is_refused() -> None:
    async def stream() -> None: ...

    coroutine = stream()
    with tracked_task() as run, pytest.raises(TypeError, match="not a coroutine"):
        run.llm_stream(coroutine)
    coroutine.close()


def test_chunks_that_cannot_be_read_are_passed_on() -> None:
    class Odd:
        def __getattribute__(self, name: str) -> Any:
            raise SystemExit

    odd = [Odd(), None, 5, b"bytes", "text", *CHUNKS]
    with tracked_task() as run:
        got = read(run.llm_stream(Stream(odd)))
    assert all(a is b for a, b in zip(got, odd, strict=True))
    assert run.tokens == USED


# --- the real ones ---


def test_openais_streams(server: ModelServer, api: type[Api]) -> None:
    openai = pytest.importorskip("openai", reason="openai is not installed")

    async def main() -> Any:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="k") as client, tracked_task() as run:
            stream = run.llm_stream(await client.chat.completions.create(model="m", messages=[], stream=True))
            assert isinstance(stream, openai.AsyncStream)
            assert stream.response.status_code == 200
            text = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
            assert text == "Hello there"
        return run

    server.says(api.chat_stream())
    run = asyncio.run(main())
    expected = Tokens(prompt_tokens=19, completion_tokens=10, cache_read_tokens=5, cache_write_tokens=None)
    assert (run.tokens, run.used_tools) == (expected, ["get_weather", "lookup"])

    server.says(api.chat_stream(), api.chat_stream())
    with openai.OpenAI(base_url=server.url, api_key="k") as client:
        for finish in (list, lambda stream: stream.get_final_completion()):
            with (
                tracked_task() as run,
                run.llm_stream(client.chat.completions.stream(model="m", messages=[])) as stream,
            ):
                finish(stream)
            assert (run.tokens, run.used_tools) == (expected, ["get_weather", "lookup"])


def test_what_the_readme_shows(server: ModelServer, api: type[Api], capsys: pytest.CaptureFixture[str]) -> None:
    openai = pytest.importorskip("openai", reason="openai is not installed")
    readme = Path(__file__).parents[2] / "README.md"
    (snippet,) = [
        part for part in re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL) if "llm_stream" in part
    ]
    server.says(api.chat("ok", ("search",)), api.chat_stream())
    expected = Tokens(prompt_tokens=139, completion_tokens=74, cache_read_tokens=105, cache_write_tokens=None)
    shown: list[Any] = []
    with openai.OpenAI(base_url=server.url, api_key="k") as client:
        exec(snippet.replace("[...]", "[]"), {"client": client, "show": shown.append})
    assert (len(shown), capsys.readouterr().out) == (
        len(api.chat_stream()),
        f"{expected} {['search', 'get_weather', 'lookup']}\n",
    )


EVENTS: list[Any] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
            "stop_sequence": None, "usage": {"input_tokens": 19, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 10}},
    {"type": "message_stop"},
]  # fmt: skip


@pytest.mark.parametrize("way", ["iterated", "text_stream", "final message", "raw"])
def test_anthropics_streams(server: ModelServer, way: str) -> None:
    anthropic = pytest.importorskip("anthropic", reason="anthropic is not installed")
    options: Any = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "x"}]}
    server.says(EVENTS)
    with anthropic.Anthropic(base_url=server.url, api_key="k") as client, tracked_task() as run:
        if way == "raw":
            list(run.llm_stream(client.messages.create(**options, stream=True)))
        else:
            with run.llm_stream(client.messages.stream(**options)) as stream:
                read = {"iterated": list, "text_stream": lambda s: list(s.text_stream)}
                read.get(way, lambda s: s.get_final_message())(stream)
    assert run.tokens == USED
