"""Objects that google-genai makes, and the events of google-adk."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Expect, ModelServer

pytestmark = pytest.mark.filterwarnings("ignore")


def gemini(*parts: dict[str, Any], response_id: str = "r1", **usage: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "candidates": [{"content": {"role": "model", "parts": list(parts)}, "index": 0}],
        "responseId": response_id,
        "modelVersion": "gemini-2.5-pro",
    }
    return answer | ({"usageMetadata": usage} if usage else {})


CALL = {"functionCall": {"name": "get_weather", "args": {"city": "Oslo"}}}
THOUGHT = {"text": "hm", "thought": True}


@pytest.fixture
def client(server: ModelServer) -> Any:
    genai = pytest.importorskip("google.genai", reason="google-genai is not installed")
    return genai.Client(api_key="k", http_options={"base_url": server.url})


def test_a_response(client: Any, server: ModelServer, expect: Expect) -> None:
    usage = {
        "promptTokenCount": 30, "candidatesTokenCount": 12, "thoughtsTokenCount": 100, "toolUsePromptTokenCount": 120,
        "cachedContentTokenCount": 16,
    }  # fmt: skip
    body = gemini(THOUGHT, {"text": "It is "}, {"text": "4."}, CALL, **usage)
    server.says(body)
    response = client.models.generate_content(model="gemini-2.5-pro", contents="x")
    expect(response, 150, 112, 16, tools=["get_weather"], text="It is 4.")
    expect(response.model_dump(), 150, 112, 16, tools=["get_weather"], text="It is 4.")
    expect(body, 150, 112, 16, tools=["get_weather"], text="It is 4.")
    expect(response.usage_metadata, 150, 112, 16)


def test_no_usage(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says(gemini({"text": "hm"}))
    expect(client.models.generate_content(model="gemini-2.5-pro", contents="x"), None, None, text="hm")


def test_in_a_stream_each_count_is_its_last_one(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says(
        [
            gemini(THOUGHT, promptTokenCount=300, thoughtsTokenCount=40, cachedContentTokenCount=256),
            gemini({"text": "One "}, promptTokenCount=300, candidatesTokenCount=3, thoughtsTokenCount=40),
            gemini({"text": "moment."}, CALL, promptTokenCount=300, candidatesTokenCount=9),
        ]
    )
    chunks = list(client.models.generate_content_stream(model="gemini-2.5-pro", contents="x"))
    expect(chunks, 300, 49, 256, tools=["get_weather"], text="One moment.")


def test_responses_of_their_own_add_up(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says(
        gemini({"text": "a"}, response_id="r1", promptTokenCount=1, candidatesTokenCount=2),
        gemini({"text": "b"}, response_id="r2", promptTokenCount=10, candidatesTokenCount=20),
    )
    answers = [client.models.generate_content(model="gemini-2.5-pro", contents="x") for _ in range(2)]
    expect(answers, 11, 22, text="b")


def test_counting_tokens_uses_none(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says({"totalTokens": 31})
    expect(client.models.count_tokens(model="gemini-2.5-pro", contents="x"), None, None)


def test_a_run_of_the_adk(expect: Expect) -> None:
    pytest.importorskip("google.adk", reason="google-adk is not installed")
    from google.adk.agents import LlmAgent  # noqa: PLC0415
    from google.adk.models import BaseLlm, LlmResponse  # noqa: PLC0415
    from google.adk.runners import InMemoryRunner  # noqa: PLC0415
    from google.genai import types  # noqa: PLC0415

    def said(*parts: Any, **more: Any) -> Any:
        return LlmResponse(content=types.Content(role="model", parts=list(parts)), **more)

    def used(prompt: int, completion: int) -> Any:
        return types.GenerateContentResponseUsageMetadata(
            prompt_token_count=prompt, candidates_token_count=completion, cached_content_token_count=10
        )

    class Model(BaseLlm):
        async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
            if len(llm_request.contents) == 1:
                yield said(types.Part(text="Look"), partial=True)
                call = types.Part(function_call=types.FunctionCall(name="get_weather", args={"city": "Oslo"}))
                yield said(types.Part(text="Looking."), call, usage_metadata=used(100, 20))
            else:
                yield said(types.Part(text="It is 4 degrees."), usage_metadata=used(150, 8))

    def get_weather(city: str) -> str:
        return f"4 degrees in {city}"

    async def main() -> tuple[list[list[Any]], Any]:
        runner = InMemoryRunner(LlmAgent(name="a", model=Model(model="m"), tools=[get_weather]), app_name="app")
        session = await runner.session_service.create_session(app_name="app", user_id="u")
        message = types.Content(role="user", parts=[types.Part(text="weather?")])
        runs: list[list[Any]] = []
        for _ in range(2):
            events = runner.run_async(user_id="u", session_id=session.id, new_message=message)
            runs.append([event async for event in events])
        return runs, await runner.session_service.get_session(app_name="app", user_id="u", session_id=session.id)

    (first, second), session = asyncio.run(main())
    expect(first, 250, 28, 20, tools=["get_weather"], text="It is 4 degrees.")
    expect([event.model_dump() for event in first], 250, 28, 20, tools=["get_weather"], text="It is 4 degrees.")
    # The second time the model has no need of a tool. The session has both runs, of which the last one counts.
    expect(second, 150, 8, 10, text="It is 4 degrees.")
    expect(session, 150, 8, 10, text="It is 4 degrees.")
