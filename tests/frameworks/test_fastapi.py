"""FastAPI: what is tracked under a route is seen by FastAPI as it was written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import pytest

from xpander_track import current_run, track_task, track_tool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from xpander_track.delivery.report import Report

fastapi = pytest.importorskip("fastapi", reason="FastAPI is not installed: see .ci/frameworks")
responses = pytest.importorskip("fastapi.responses", reason="FastAPI is not installed: see .ci/frameworks")

app = fastapi.FastAPI()
tracked = track_task(agent_id="agent-1")


@tracked
def sync_setting(prefix: str = "?") -> Generator[str, None, None]:
    yield prefix


@tracked
async def setting(mark: str = "!") -> AsyncGenerator[str, None]:
    yield mark


@app.get("/sync")
@tracked
def sync_answer(question: str, depth: int = 1) -> dict[str, Any]:
    """What the sync one answers."""
    return {"answer": question * depth, "run": bool(current_run())}


@app.get("/async")
@tracked
async def answer(
    question: str,
    prefix: Annotated[str, fastapi.Depends(sync_setting)],
    mark: Annotated[str, fastapi.Depends(setting)],
) -> dict[str, Any]:
    """What the async one answers."""
    return {"answer": prefix + await search(question) + mark, "run": bool(current_run())}


@track_tool
async def search(query: str) -> str:
    await asyncio.sleep(0)
    return query.upper()


@tracked
def sync_words(question: str) -> Generator[str, None, None]:
    yield from question.split()


@tracked
async def words(question: str) -> AsyncGenerator[str, None]:
    for word in question.split():
        await asyncio.sleep(0)
        yield word


@app.get("/sync-stream")
def sync_stream(question: str) -> Any:
    return responses.StreamingResponse(sync_words(question))


@app.get("/stream")
async def stream(question: str) -> Any:
    return responses.StreamingResponse(words(question))


@app.get("/fail")
@tracked
async def fail() -> None:
    raise fastapi.HTTPException(418, "no tea")


def get(*urls: str) -> list[httpx.Response]:
    async def main() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://agent") as client:
            return await asyncio.gather(*(client.get(url) for url in urls))

    return asyncio.run(main())


def test_a_route_has_the_parameters_of_its_function() -> None:
    paths = app.openapi()["paths"]
    parameters = [(p["name"], p["schema"]["type"], p["required"]) for p in paths["/sync"]["get"]["parameters"]]
    assert parameters == [("question", "string", True), ("depth", "integer", False)]
    assert paths["/sync"]["get"]["description"] == "What the sync one answers."
    assert [p["name"] for p in paths["/async"]["get"]["parameters"]] == ["question", "prefix", "mark"]
    get("/sync?question=a")


def test_endpoints_answer_and_are_runs(recorded: Callable[[], list[Report]]) -> None:
    answers = get("/sync?question=ab&depth=2", "/async?question=why&prefix=p", "/sync?depth=x")
    assert [answer.status_code for answer in answers] == [200, 200, 422]
    assert answers[0].json() == {"answer": "abab", "run": True}
    assert answers[1].json() == {"answer": "pWHY!", "run": True}
    runs = {(run.name or "").rpartition(".")[2]: run for run in recorded()}
    assert {name: run.ending for name, run in runs.items()} == {
        "sync_answer": "completed", "answer": "completed", "setting": "completed", "sync_setting": "completed",
    }  # fmt: skip
    assert runs["answer"].used_tools == ["search"]


@pytest.mark.parametrize("path", ["sync-stream", "stream"])
def test_a_stream_is_a_run(path: str, recorded: Callable[[], list[Report]]) -> None:
    (answer,) = get(f"/{path}?question=to be or")
    assert answer.text == "tobeor"
    assert [(run.ending, run.result) for run in recorded()] == [("completed", "tobeor")]


def test_an_http_error_passes_and_the_run_failed(recorded: Callable[[], list[Report]]) -> None:
    (answer,) = get("/fail")
    assert (answer.status_code, answer.json()) == (418, {"detail": "no tea"})
    assert [run.ending for run in recorded()] == ["failed"]


def test_many_at_once_do_not_mix(recorded: Callable[[], list[Report]]) -> None:
    answers = get(*(f"/async?question=q{number}&prefix=p" for number in range(20)))
    assert [answer.json()["answer"] for answer in answers] == [f"pQ{number}!" for number in range(20)]
    assert [run.used_tools for run in recorded() if (run.name or "").endswith(".answer")] == [["search"]] * 20
