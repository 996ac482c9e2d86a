"""What each answer of the platform means for a run."""

from __future__ import annotations

import asyncio
import email.utils
import time
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import Configuration, Task
from xpander_track.delivery.destination import Postponed, Rejected
from xpander_track.delivery.to_platform import ToPlatform
from xpander_track.redaction import keep_out

from ..platform_server import Answer, PlatformServer
from .conftest import KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import MakeReport

PASSING = [408, 425, 429, 500, 501, 502, 503, 504, 507, 520, 599]
REFUSED = [400, 402, 404, 405, 406, 410, 411, 414, 415, 418, 422, 451, 499]
REDIRECTS = [300, 301, 302, 303, 304, 307, 308]


@pytest.fixture
def platform(server: PlatformServer) -> ToPlatform:
    return ToPlatform(Configuration(api_key=KEY, base_url=server.url, timeout=5))


@pytest.fixture
def outcome(platform: ToPlatform, make_report: MakeReport) -> Callable[..., Any]:
    """``outcome(**fields)``: what comes of delivering one report."""

    def deliver(**fields: Any) -> Any:
        try:
            return asyncio.run(platform.deliver(make_report(**fields)))
        except (Postponed, Rejected) as error:
            return error

    return deliver


# --- delivered ---


def test_report_becomes_a_task(outcome: Callable[..., Any], server: PlatformServer) -> None:
    task = outcome(
        llm_response={"raw": [1]},
        tokens={"prompt_tokens": 3, "completion_tokens": 4, "cache_read_tokens": None, "cache_write_tokens": 0},
        used_tools=["search", "read", "search"],
    )
    assert isinstance(task, Task)
    (request,) = server.requests
    assert (request.target, request.json) == (
        "/agent-execution/agent-1/report_task",
        {
            "id": "run-1",
            "input": "question",
            "llm_response": {"raw": [1]},
            "tokens": {
                "completion_tokens": 4, "prompt_tokens": 3, "cache_read_tokens": None, "cache_write_tokens": 0,
                "total_tokens": 7,
            },
            "is_success": True,
            "result": "answer",
            "duration": 1.5,
            "used_tools": ["search", "read", "search"],
        },
    )  # fmt: skip


def test_report_is_the_same_bytes_each_time(outcome: Callable[..., Any], server: PlatformServer) -> None:
    server.answers([Answer(503), None])
    outcome(llm_response={"b": 1, "a": 2})
    outcome(llm_response={"b": 1, "a": 2})
    first, second = server.requests
    assert first.body == second.body


@pytest.mark.parametrize("status", [200, 201, 202, 203])
def test_any_2xx_is_delivered(outcome: Callable[..., Any], server: PlatformServer, status: int) -> None:
    task = outcome()
    answer = task.model_dump(mode="json", exclude={"configuration"})
    server.always = Answer(status, json=answer)
    assert outcome().id == "run-1"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(204),
        Answer(200),
        Answer(200, text="thank you"),
        Answer(200, json=None),
        Answer(200, json=[]),
        Answer(200, json={"id": "run-1"}),
        Answer(200, body=b"{broken", headers={"content-type": "application/json"}),
        Answer(200, body=b"x" * 1_000_000, headers={"content-type": "application/json"}),
        Answer(200, body=b"not gzip", headers={"content-encoding": "gzip", "content-type": "application/json"}),
        Answer(409, text="exists"),
    ],
    ids=["204", "empty", "text", "null", "array", "too little", "broken", "1 MB", "not gzip", "409"],
)
def test_answer_that_cannot_be_read_is_delivered_all_the_same(
    outcome: Callable[..., Any], server: PlatformServer, answer: Answer
) -> None:
    server.always = answer
    assert outcome() is None
    assert len(server.requests) == 1


# --- postponed ---


@pytest.mark.parametrize("status", PASSING + REDIRECTS)
def test_what_may_pass_is_postponed(outcome: Callable[..., Any], server: PlatformServer, status: int) -> None:
    server.always = Answer(status, text="secret words", headers={"location": f"{server.url}/elsewhere"})
    postponed = outcome()
    assert (type(postponed), postponed.reason, postponed.after) == (Postponed, f"HTTP {status}", None)
    assert len(server.requests) == 1


def test_redirect_is_not_followed_with_the_key(outcome: Callable[..., Any], server: PlatformServer) -> None:
    with PlatformServer() as other:
        server.always = Answer(307, headers={"location": f"{other.url}/agent-execution/agent-1/report_task"})
        assert isinstance(outcome(), Postponed)
        assert (len(server.requests), other.connections) == (1, 0)


@pytest.mark.parametrize("fault", ["close", "reset", "garbage", "short_head", "short_body", "reset_in_body"])
def test_what_is_no_answer_is_postponed(outcome: Callable[..., Any], server: PlatformServer, fault: Any) -> None:
    server.always = Answer(200, json={"id": "run-1"}, fault=fault)
    assert isinstance(outcome(), Postponed)


def test_platform_that_is_away_is_postponed(outcome: Callable[..., Any], server: PlatformServer) -> None:
    server.stop()
    postponed = outcome()
    server.start()
    assert (type(postponed), postponed.after) == (Postponed, None)


def test_whole_request_has_a_deadline(server: PlatformServer, make_report: MakeReport) -> None:
    """A byte now and then does not prolong it."""
    server.always = Answer(200, text="x" * 1000, drip=0.1)
    platform = ToPlatform(Configuration(api_key=KEY, base_url=server.url, timeout=0.5))
    begun = time.monotonic()
    with pytest.raises(Postponed, match="within"):
        asyncio.run(platform.deliver(make_report()))
    assert time.monotonic() - begun < 5


def test_background_does_not_wait_longer_than_ten_seconds_for_one_request(server: PlatformServer) -> None:
    platform = ToPlatform(Configuration(api_key=KEY, base_url=server.url, timeout=300))
    assert platform.configuration.timeout == 10


AFTER = {
    "3": 3.0,
    " 3 ": 3.0,
    "0": 0.0,
    "1000000000": 1e9,
    "9" * 100: 999_999_999_999.0,
    "-5": None,
    "1.5": None,
    "soon": None,
    "": None,
    "\u00b2": None,
    "Wed, 21 Oct 2015 07:28:00 GMT": 0.0,
    "Wed, 99 Oct 2015 99:28:00 GMT": None,
    "Wed, 21 Oct 9999 07:28:00 GMT": "far",
}


@pytest.mark.parametrize("header", AFTER)
@pytest.mark.parametrize("status", [302, 408, 425, 429, 500, 503])
def test_pause_that_the_platform_asks_for_is_handed_on(
    outcome: Callable[..., Any], server: PlatformServer, status: int, header: str
) -> None:
    server.always = Answer(status, headers={"retry-after": header})
    after = outcome().after
    assert after > 1e9 if AFTER[header] == "far" else after == AFTER[header]


def test_pause_may_be_a_date(outcome: Callable[..., Any], server: PlatformServer) -> None:
    server.always = Answer(429, headers={"retry-after": email.utils.formatdate(time.time() + 100, usegmt=True)})
    assert 95 < outcome().after <= 100


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("header", [None, "1", "100000"])
def test_refused_key_pauses_the_destination_for_a_minute(
    outcome: Callable[..., Any], server: PlatformServer, status: int, header: str | None
) -> None:
    server.always = Answer(status, text=f"key {KEY} is wrong", headers={"retry-after": header})
    postponed = outcome()
    assert (type(postponed), postponed.after) == (Postponed, 60.0)
    assert postponed.reason == f"the API key was refused (HTTP {status})"


@pytest.mark.parametrize("key", [None, "", "with\nbreak", "ключ", " blank "])
def test_without_a_usable_key_nothing_is_sent_and_everything_kept(
    server: PlatformServer, make_report: MakeReport, key: str | None
) -> None:
    platform = ToPlatform(Configuration(api_key=key, base_url=server.url))
    with pytest.raises(Postponed) as postponed:
        asyncio.run(platform.deliver(make_report()))
    assert (server.connections, postponed.value.after) == (0, 60.0)


# --- rejected ---


@pytest.mark.parametrize("status", REFUSED)
@pytest.mark.parametrize("header", [None, "3"])
def test_what_will_never_be_taken_is_rejected_after_one_try_with_the_reason(
    outcome: Callable[..., Any], server: PlatformServer, status: int, header: str | None
) -> None:
    server.always = Answer(status, text="result: too odd", headers={"retry-after": header})
    rejected = outcome()
    assert (type(rejected), rejected.reason) == (Rejected, f"HTTP {status}: result: too odd")
    assert len(server.requests) == 1


def test_reason_is_not_endless(outcome: Callable[..., Any], server: PlatformServer) -> None:
    server.always = Answer(422, text="x" * 60_000)
    assert len(outcome().reason) < 500


def test_run_without_an_agent_is_rejected_and_says_what_to_do(
    outcome: Callable[..., Any], server: PlatformServer
) -> None:
    rejected = outcome(agent_id=None)
    assert (type(rejected), server.connections) == (Rejected, 0)
    assert "XPANDER_AGENT_ID" in rejected.reason


@pytest.mark.parametrize("agent_id", [".", ".."])
def test_agent_id_that_cannot_be_sent_is_rejected(
    outcome: Callable[..., Any], server: PlatformServer, agent_id: str
) -> None:
    assert isinstance(outcome(agent_id=agent_id), Rejected)
    assert server.connections == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PROXY", "http://proxy:port"), ("ALL_PROXY", "socks4://127.0.0.1:9"),
        ("NO_PROXY", "localhost,fd00::/8,[::1]"), ("XPANDER_BASE_URL", "http://h:99999"),
        ("XPANDER_BASE_URL", "http://127.0.0.1:9/?x=1"), ("XPANDER_BASE_URL", "http://127.0.0.1:9/\n"),
    ],
)  # fmt: skip
def test_address_or_proxy_that_cannot_be_used_is_no_fault_of_the_run(
    server: PlatformServer, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("XPANDER_BASE_URL", server.url)
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("xpander_track.platform.connections._pools", {})
    with pytest.raises(Postponed):
        asyncio.run(ToPlatform(Configuration(api_key=KEY)).deliver(make_report()))
    assert server.requests == []


@pytest.mark.parametrize("before", [0, 250, 270, 299])
def test_key_that_an_answer_repeats_is_not_in_the_reason_and_no_part_of_it(
    outcome: Callable[..., Any], server: PlatformServer, before: int
) -> None:
    keep_out(KEY)
    server.always = Answer(422, text="x" * before + KEY)
    assert KEY[:8] not in outcome().reason


# --- too large ---


def test_too_large_is_tried_once_more_without_the_raw_response(
    outcome: Callable[..., Any], server: PlatformServer
) -> None:
    server.answers([Answer(413), None])
    assert outcome(llm_response={"raw": "x"}).id == "run-1"
    first, second = (request.json for request in server.requests)
    assert second == {**first, "llm_response": None}


def test_too_large_without_a_raw_response_is_rejected_at_once(
    outcome: Callable[..., Any], server: PlatformServer
) -> None:
    server.always = Answer(413, text="too large")
    assert outcome().reason == "HTTP 413: too large"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (Answer(413), Rejected),
        (Answer(400), Rejected),
        (Answer(404), Rejected),
        (Answer(422), Rejected),
        (Answer(503), Postponed),
        (Answer(429, headers={"retry-after": "7"}), Postponed),
        (Answer(401), Postponed),
        (Answer(fault="close"), Postponed),
        (Answer(204), type(None)),
        (Answer(409), type(None)),
    ],
    ids=["413", "400", "404", "422", "503", "429", "401", "closed", "204", "409"],
)
def test_second_try_of_what_was_too_large_counts_like_any_other(
    outcome: Callable[..., Any], server: PlatformServer, second: Answer, expected: type
) -> None:
    server.answers([Answer(413), second])
    assert type(outcome(llm_response={"raw": "x"})) is expected
    assert len(server.requests) == 2


def test_second_try_that_is_refused_for_its_key_pauses_too(outcome: Callable[..., Any], server: PlatformServer) -> None:
    server.answers([Answer(413), Answer(401)])
    assert outcome(llm_response={"raw": "x"}).after == 60.0


# --- how a destination is named ---


def test_key_on_disk_is_address_and_organization_and_no_secret() -> None:
    named = {
        ToPlatform(Configuration(api_key=key, base_url=url, organization_id=organization)).key
        for key in ("key-1", "key-2")
        for url in ("https://one.example", "https://one.example/")
        for organization in ("org-1", None)
    }
    assert named == {"platform https://one.example org-1", "platform https://one.example -"}


@pytest.mark.parametrize(
    "userinfo", ["user:password", "user", ":password", "user:pass@word", "user:p%40ss", "us@er:password"]
)
def test_password_in_the_address_is_not_part_of_its_name(userinfo: str) -> None:
    platform = ToPlatform(Configuration(api_key="k", base_url=f"https://{userinfo}@one.example/path"))
    assert (platform.where, platform.key) == ("https://one.example/path", "platform https://one.example/path -")


@pytest.mark.parametrize("more", ["?api_key=secret", "#secret"])
def test_secret_in_the_query_of_the_address_is_not_part_of_its_name(more: str) -> None:
    platform = ToPlatform(Configuration(api_key="k", base_url=f"https://one.example/{more}"))
    assert "secret" not in platform.where + platform.key
