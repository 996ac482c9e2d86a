"""What a failed call says, and what it never says."""

from __future__ import annotations

import copy
import email.utils
import pickle
import re
import socket
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track.platform import (
    AnswerUnreadable,
    Configuration,
    InvalidAddress,
    InvalidArgument,
    MissingAgentId,
    MissingApiKey,
    ModuleException,
    NotSent,
    Task,
    Unreachable,
)

from ..platform_server import Answer

if TYPE_CHECKING:
    from ..platform_server import PlatformServer
    from .conftest import Call

REPORT = "Failed to report external task - "
PROMPT, KEY = "canary-prompt", "canary-key"


@dataclass
class Failure:
    """One way in which a report fails, and the error that says so."""

    error: type[ModuleException]
    says: str
    answer: Answer | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    configuration: dict[str, Any] = field(default_factory=dict)


FAILURES = {
    "no agent": Failure(MissingAgentId, "agent_id", arguments={"agent_id": None}),
    "no key": Failure(MissingApiKey, "XPANDER_API_KEY", configuration={"api_key": ""}),
    "key with a line break": Failure(MissingApiKey, "line break", configuration={"api_key": f"{KEY}\n"}),
    "key with a control character": Failure(MissingApiKey, "control", configuration={"api_key": f"{KEY}\x01"}),
    "key that ends with a blank": Failure(MissingApiKey, "blank", configuration={"api_key": f"{KEY} "}),
    "key beyond ASCII": Failure(MissingApiKey, "non-ASCII", configuration={"api_key": f"{KEY}é"}),
    "ill-typed duration": Failure(InvalidArgument, "duration", arguments={"duration": PROMPT}),
    "ill-typed result": Failure(InvalidArgument, "result", arguments={"result": {PROMPT: PROMPT}}),
    "ill-typed count": Failure(InvalidArgument, "prompt_tokens", arguments={"tokens": {"prompt_tokens": PROMPT}}),
    "lone surrogate": Failure(InvalidArgument, "surrogate", arguments={"result": f"{PROMPT}\ud800"}),
    "id that is no segment": Failure(InvalidArgument, "an id", arguments={"agent_id": ".."}),
    "unusable address": Failure(InvalidAddress, "base_url", configuration={"base_url": "http://h:99999"}),
    "refused by status": Failure(ModuleException, "go away", Answer(403, text="go away")),
    "answer without JSON": Failure(AnswerUnreadable, "not JSON", Answer(text=PROMPT)),
    "answer with broken JSON": Failure(
        AnswerUnreadable, "not valid JSON", Answer(body=PROMPT.encode(), headers={"content-type": "application/json"})
    ),
    "answer that is no task": Failure(
        AnswerUnreadable, "agent_id: Field required", Answer(json={"id": PROMPT, "result": {PROMPT: PROMPT}})
    ),
    "closed before answering": Failure(Unreachable, "disconnected", Answer(fault="close")),
    "reset before answering": Failure(Unreachable, "reset", Answer(fault="reset")),
    "reset within the answer": Failure(Unreachable, "reset", Answer(json={}, fault="reset_in_body")),
    "not HTTP": Failure(Unreachable, "illegal|invalid|malformed", Answer(fault="garbage")),
    "truncated head": Failure(Unreachable, "disconnected", Answer(json={}, fault="short_head")),
    "truncated body": Failure(Unreachable, "closed connection", Answer(json={}, fault="short_body")),
    "truncated refusal": Failure(Unreachable, "closed connection", Answer(503, text="x", fault="short_body")),
    "endless head": Failure(Unreachable, "too long", Answer(json={}, headers={"x-long": "x" * 500_000})),
    "out of time": Failure(Unreachable, "0.2 s", Answer(delay=60), configuration={"timeout": 0.2}),
}


def failed(failure: Failure, server: PlatformServer, call: Call) -> ModuleException:
    server.answers([failure.answer])
    arguments = {"agent_id": "agent-1", "input": PROMPT, "result": PROMPT, "llm_response": [PROMPT]}
    configuration = Configuration(**{"api_key": KEY, "base_url": server.url, **failure.configuration})
    with pytest.raises(ModuleException) as raised:
        call(Task.report_external_task, configuration, **{**arguments, **failure.arguments})
    return raised.value


@pytest.fixture(params=FAILURES.values(), ids=FAILURES)
def failure(request: pytest.FixtureRequest) -> Failure:
    failure: Failure = request.param
    return failure


def test_error_has_the_type_of_its_cause_and_names_it(failure: Failure, server: PlatformServer, call: Call) -> None:
    error = failed(failure, server, call)
    text = f"[{error.status_code}] {error.description}"
    assert (type(error), str(error), bool(re.search(failure.says, text))) == (failure.error, text, True)


def test_error_of_our_own_is_coded_500_and_says_which_call_failed(
    failure: Failure, server: PlatformServer, call: Call
) -> None:
    error = failed(failure, server, call)
    own = failure.error is not ModuleException
    assert (error.status_code == 500, error.description.startswith(REPORT)) == (own, own)


def test_error_quotes_neither_prompts_nor_keys(failure: Failure, server: PlatformServer, call: Call) -> None:
    error = failed(failure, server, call)
    shown = [str(error), repr(error), str(error.args), "".join(traceback.format_exception_only(error))]
    assert [text for text in shown if PROMPT in text or KEY in text] == []


def test_error_has_no_context_that_could_quote_them(failure: Failure, server: PlatformServer, call: Call) -> None:
    error = failed(failure, server, call)
    assert (error.__cause__, error.__context__) == (None, None)


def test_key_is_not_in_the_locals_of_our_frames(server: PlatformServer, call: Call) -> None:
    """Error trackers send a traceback's locals along."""
    leaks = []
    for name, failure in FAILURES.items():
        error = failed(failure, server, call)
        frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
        leaks += [
            (name, frame.name, local)
            for frame in frames
            if "xpander_track" in frame.filename and "tests" not in frame.filename
            for local, shown in (frame.locals or {}).items()
            if KEY in shown
        ]
    assert leaks == []


@pytest.mark.parametrize("transport", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
@pytest.mark.parametrize(
    "error",
    [
        kind(500, "why", retry_after=3.0)
        for kind in (
            ModuleException, NotSent, MissingAgentId, MissingApiKey, InvalidArgument, InvalidAddress, Unreachable,
            AnswerUnreadable,
        )
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_error_survives_pickling_and_copying(transport: Any, error: ModuleException) -> None:
    copied = transport(error)
    assert (type(copied), str(copied), vars(copied)) == (type(error), "[500] why", vars(error))


@pytest.mark.parametrize(
    ("kind", "also"),
    [
        (ModuleException, Exception),
        (NotSent, ValueError),
        (MissingAgentId, NotSent),
        (MissingApiKey, NotSent),
        (InvalidArgument, NotSent),
        (InvalidAddress, InvalidArgument),
        (Unreachable, ModuleException),
        (AnswerUnreadable, ModuleException),
    ],
)
def test_error_tree_is_the_documented_one(kind: type[Exception], also: type[Exception]) -> None:
    assert issubclass(kind, also)
    assert issubclass(kind, ModuleException)


@pytest.mark.parametrize("error", [ModuleException(404, "gone"), ModuleException(status_code=404, description="gone")])
def test_error_has_code_and_description(error: ModuleException) -> None:
    assert (error.status_code, error.description, str(error)) == (404, "gone", "[404] gone")


@pytest.mark.parametrize(
    "status", [300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 409, 418, 422, 429, 500, 503, 599]
)
def test_status_outside_2xx_is_the_errors_code_and_the_body_its_description(
    status: int, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    body = "" if status == 304 else '{"detail":\n "näh"}'
    server.answers([Answer(status, text=body)])
    with pytest.raises(ModuleException) as error:
        call(Task.report_external_task, configuration, "agent-1")
    assert (type(error.value), error.value.status_code, error.value.description) == (ModuleException, status, body)


@pytest.mark.parametrize(
    ("answer", "description"),
    [
        (Answer(400), ""),
        (Answer(400, body="é".encode("latin-1"), headers={"content-type": "text/plain; charset=latin-1"}), "é"),
        (Answer(400, body=b"\xff\xfea\x00", headers={"content-type": "text/plain; charset=utf-16"}), "a"),
        (Answer(400, body="é".encode()), "é"),
        (Answer(400, body=b"a\xffb"), "a\N{REPLACEMENT CHARACTER}b"),
        (Answer(400, body="é".encode(), headers={"content-type": "text/plain; charset=unheard-of"}), "é"),
        (Answer(400, text="é", gzip=True), "é"),
        (Answer(400, text="é" * 100, chunked=True), "é" * 100),
        (Answer(400, body=b"not gzip", headers={"content-encoding": "gzip"}), ""),
        (Answer(400, text="x" * 70_000), "x" * 65_536),
    ],
)
def test_description_is_the_body_decoded(
    answer: Answer, description: str, server: PlatformServer, configuration: Configuration
) -> None:
    server.answers([answer])
    with pytest.raises(ModuleException) as error:
        Task.report_external_task(configuration, "agent-1")
    assert (error.value.status_code, error.value.description) == (400, description)


@pytest.mark.parametrize("charset", ["base64", "rot13", "idna", "undefined"])
def test_odd_charset_does_not_hide_the_status(
    charset: str, server: PlatformServer, configuration: Configuration
) -> None:
    content_type = f"text/plain; charset={charset}"
    server.answers([Answer(503, body=b"\xff busy", headers={"content-type": content_type})])
    with pytest.raises(ModuleException) as error:
        Task.report_external_task(configuration, "agent-1")
    assert error.value.status_code == 503


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 0 ", 0.0),
        ("1000000000", 1e9),
        ("9" * 400, pytest.approx(1e12)),
        ("-5", None),
        ("3.5", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        (lambda: email.utils.formatdate(time.time() + 1000, usegmt=True), pytest.approx(1000, abs=60)),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("Wed, 21 Oct 9999999 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_from_a_number_or_a_date(
    header: Any, seconds: float | None, server: PlatformServer, configuration: Configuration
) -> None:
    server.answers([Answer(429, headers={"retry-after": header() if callable(header) else header})])
    with pytest.raises(ModuleException) as error:
        Task.report_external_task(configuration, "agent-1")
    assert error.value.retry_after == seconds


def test_refused_connection_is_unreachable(call: Call) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Unreachable, match=f"{REPORT}.*connect"):
            call(Task.report_external_task, Configuration(api_key="k", base_url=base_url), "agent-1")


def test_unknown_host_is_unreachable(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_name(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    with pytest.raises(Unreachable, match="Name or service not known"):
        call(Task.report_external_task, Configuration(api_key="k", base_url="http://platform.test"), "agent-1")


def test_tls_failure_is_unreachable_and_has_words(server: PlatformServer, call: Call) -> None:
    base_url = server.url.replace("http://", "https://")
    with pytest.raises(Unreachable, match=rf"{REPORT}\S+"):
        call(Task.report_external_task, Configuration(api_key="k", base_url=base_url), "agent-1")


def test_failed_call_is_followed_by_a_good_one(
    failure: Failure, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    failed(failure, server, call)
    assert call(Task.report_external_task, configuration, "agent-1", "run-1").id == "run-1"
