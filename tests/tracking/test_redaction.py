"""Secrets are taken out before anything is kept."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import UserDict
from collections.abc import Iterator, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest
from pydantic import BaseModel, SecretBytes, SecretStr, model_serializer

from xpander_track import Configuration, configure, current_run, flush, track_task, track_tool, tracked_task
from xpander_track.redaction import Redaction, keep_out

from ..platform_server import PlatformServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Call, RunsRecorded

CANARY = "canary-hunter2"


def on_disk(home: Path) -> bytes:
    """Everything that is kept, whatever the file."""
    flush()
    return b"\n".join(path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file())


# --- by name ---

SECRET_NAMES = [
    "password", "passwd", "PASSWORD", "db_password", "passphrase", "secret", "client_secret", "clientSecret", "api_key",
    "apikey", "apiKey", "API_KEY", "x-api-key", "X-Api-Key", "openai_api_key", "access_key", "aws_secret_access_key",
    "private_key", "privateKey", "authorization", "Authorization", "cookie", "set-cookie", "credentials",
    "access_token", "accessToken", "refresh_token", "auth_token", "session_token", "id_token", "csrf_token",
    "bearer_token",
]  # fmt: skip
OTHER_NAMES = [
    "question", "max_tokens", "tokens", "prompt_tokens", "completion_tokens", "total_tokens", "token_count",
    "next_page", "key", "keys", "monkey", "passage", "author", "tokenizer", "user", "name", "cooking", "compass",
]  # fmt: skip


def test_what_a_secret_name_names_is_left_out(recorded: RunsRecorded, home: Path) -> None:
    flat: dict[str, object] = dict.fromkeys(SECRET_NAMES, CANARY)
    given = {**flat, "deep": [{"er": flat}], "parts": {name: [{"inner": CANARY}] for name in SECRET_NAMES}}
    hidden: dict[str, object] = dict.fromkeys(SECRET_NAMES, "[redacted]")
    with tracked_task(input=given) as run:
        run.set_result(given)
        run.record_tool("t", arguments=given, result=given)
        run.record_llm(given)
    (report,) = recorded()
    assert json.loads(report.input or "") == {**hidden, "deep": [{"er": hidden}], "parts": hidden}
    assert report.input == report.result
    assert CANARY.encode() not in on_disk(home)


def test_other_names_are_left_alone(recorded: RunsRecorded) -> None:
    with tracked_task(input=dict.fromkeys(OTHER_NAMES, "plain")):
        pass
    assert json.loads(recorded()[0].input or "") == dict.fromkeys(OTHER_NAMES, "plain")


@pytest.mark.parametrize("value", [4096, 0.5, True, None])
def test_numbers_are_no_secrets(value: object, recorded: RunsRecorded) -> None:
    given = dict.fromkeys([*SECRET_NAMES, "max_tokens", "token"], value)
    with tracked_task(input=given):
        pass
    assert json.loads(recorded()[0].input or "") == given


def test_arguments_are_known_by_their_names(call: Call, recorded: RunsRecorded, home: Path) -> None:
    @track_tool
    def log_in(user: str, password: str) -> str:
        return user

    def answer(question: str, api_key: str, **options: str) -> str:
        return log_in(question, password=CANARY)

    call(answer, "why?", CANARY, client_secret=CANARY)
    (report,) = recorded()
    assert report.input == '{"question":"why?","api_key":"[redacted]","options":{"client_secret":"[redacted]"}}'
    assert report.tool_calls[0]["arguments"] == {"user": "why?", "password": "[redacted]"}
    assert CANARY.encode() not in on_disk(home)


def test_a_lone_parameter_is_known_by_its_name(call: Call, recorded: RunsRecorded) -> None:
    def log_in(password: str) -> None: ...

    call(log_in, CANARY)
    assert [report.input for report in recorded()] == ["[redacted]"]


class Login(BaseModel):
    user: str = "ada"
    password: str = CANARY


@dataclasses.dataclass
class Credentials:
    user: str = "ada"
    api_key: str = CANARY


class Pair(NamedTuple):
    user: str = "ada"
    password: str = CANARY


class Masked(BaseModel):
    text: SecretStr = SecretStr(CANARY)
    octets: SecretBytes = SecretBytes(CANARY.encode())


class Raw(BaseModel):
    password: str = CANARY
    raw: bytes = b"\xff"  # JSON has no form for these.


@dataclasses.dataclass
class Lazy:
    password: str = CANARY
    later: str = dataclasses.field(init=False, repr=False)  # It is not there yet.


class OwnDump(BaseModel):
    password: str = CANARY

    @model_serializer
    def dump(self) -> dict[str, str]:
        raise RuntimeError("no dump")


class Liar:
    """isinstance() asks for its class, and that fails."""

    @property
    def __class__(self) -> Any:  # type: ignore[misc]
        raise RuntimeError("no class")

    def __hash__(self) -> int:
        return 1


class Request(Mapping[str, Any]):
    """A web framework's request is a mapping of all that it knows, its headers as pairs of bytes."""

    scope: ClassVar[dict[str, Any]] = {
        "type": "http",
        "headers": [(b"cookie", CANARY.encode()), (b"x-api-key", CANARY.encode()), (b"accept", b"*/*")],
    }

    def __getitem__(self, name: str) -> Any:
        return self.scope[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scope)

    def __len__(self) -> int:
        return len(self.scope)


def circular() -> dict[str, Any]:
    value: dict[str, Any] = {"password": CANARY}
    value["self"] = value
    return value


HOLDERS: dict[str, Callable[[], object]] = {
    "model": Login,
    "dataclass": Credentials,
    "secret types": Masked,
    "bytes": lambda: {"password": CANARY.encode()},
    "named tuple": Pair,
    "pairs": lambda: [["Cookie", CANARY], ("x-api-key", CANARY), (b"authorization", b"Basic " + CANARY.encode())],
    "request": Request,
    "model that cannot be dumped": Raw,
    "model whose own dump fails": OwnDump,
    "dataclass with an unset field": Lazy,
    "beside a hostile value": lambda: {"password": CANARY, "evil": Liar()},
    "beside a hostile key": lambda: {"password": CANARY, Liar(): 1},
    "circular": circular,
    "mapping proxy": lambda: MappingProxyType({"password": CANARY}),
    "user dict": lambda: UserDict(password=CANARY),
    "namespace": lambda: SimpleNamespace(password=CANARY),
}


@pytest.mark.parametrize("make", HOLDERS.values(), ids=HOLDERS)
def test_a_secret_name_hides_whatever_holds_it(make: Callable[[], object], home: Path) -> None:
    track_task(lambda given, second: given)(make(), 0)
    track_task(lambda given, second: [given])([{"deep": make()}], 0)
    kept = on_disk(home)
    assert b"given" in kept
    assert CANARY.encode() not in kept


MESSAGES = [
    ("connect(password='{}') failed", "connect(password=[redacted]) failed"),
    ('{{"user": "ada", "password": "{}"}}', '{{"user": "ada", "password": [redacted]}}'),
    ("{{'X-Api-Key': '{}', 'accept': '*/*'}}", "{{'X-Api-Key': [redacted], 'accept': '*/*'}}"),
    ("[(b'authorization', b'Basic {}'), (b'a', b'b')]", "[(b'authorization', [redacted]), (b'a', b'b')]"),
    ("Authorization: Basic {} is refused", "Authorization: Basic [redacted] is refused"),
    ("password={} is wrong", "password=[redacted] is wrong"),
    ("https://host/?api_key={} is refused", "https://host/?api_key=[redacted] is refused"),
    ("no columns 'password', 'user'", "no columns 'password', 'user'"),
]


@pytest.mark.parametrize(("message", "kept"), MESSAGES)
def test_a_secret_name_in_an_exceptions_message_hides_its_value(
    message: str, kept: str, call: Call, recorded: RunsRecorded, home: Path
) -> None:
    """As in the same exception where it is a value."""

    @track_tool
    def connect() -> None:
        raise RuntimeError(message.format(CANARY))

    def answer() -> None:
        try:
            connect()
        except RuntimeError as error:
            current_run().record_tool("t", result=error, error=error)
            raise

    with pytest.raises(RuntimeError):
        call(answer)
    (report,) = recorded()
    expected = f"RuntimeError: {kept.format()}"
    assert report.result == report.tool_calls[0]["error"] == report.tool_calls[1]["error"] == expected
    assert report.tool_calls[1]["result"] == f"<{expected}>"
    assert CANARY.encode() not in on_disk(home)


def test_a_long_message_of_an_exception_is_cut_and_left_without_secrets(recorded: RunsRecorded) -> None:
    configure(max_chars=1_000)
    with pytest.raises(ValueError, match="password"), tracked_task():
        raise ValueError(f"password='{CANARY}' " * 1_000)
    result = recorded()[0].result or ""
    assert len(result) < 1_100
    assert "characters left out" in result
    assert CANARY not in result


# --- the models' own words ---

LOGPROBS = {
    "logprobs": {"content": [{"token": "Hello", "bytes": [72], "top_logprobs": [{"token": " there", "logprob": -1}]}]}
}


def test_the_token_of_a_model_is_left_alone(recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        run.record_llm(LOGPROBS)
        run.record_llm({**LOGPROBS, "usage": {"max_tokens": 4096, "token": 7}})
    assert recorded()[0].llm_response == {**LOGPROBS, "usage": {"max_tokens": 4096, "token": 7}}


@pytest.mark.parametrize("word", ["----------------", "================", "________________", "internationalization"])
def test_the_long_tokens_of_a_model_are_left_alone(word: str, recorded: RunsRecorded) -> None:
    with tracked_task(input={"token": word}):
        pass
    assert json.loads(recorded()[0].input or "") == {"token": word}


def test_a_token_that_looks_like_a_secret_is_one(recorded: RunsRecorded) -> None:
    with tracked_task(input={"token": "8f14e45fceea167a5a36dedd4bea2543"}):
        pass
    assert json.loads(recorded()[0].input or "") == {"token": "[redacted]"}


@pytest.mark.parametrize("name", ["github_token", "bot_token", "hf_token", "slackToken"])
def test_the_token_of_a_service_that_looks_like_a_secret_is_one(name: str, recorded: RunsRecorded) -> None:
    with tracked_task(input={name: "8f14e45fceea167a5a36dedd4bea2543"}):
        pass
    assert json.loads(recorded()[0].input or "") == {name: "[redacted]"}


# --- by shape ---

SHAPES = [
    "sk-proj-abcdefghijklmnopqrstuvwxyz012345",
    "sk-ant-api03-abcdefghijklmnopqrst_uv-wxyz",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "github_pat_abcdefghijklmnopqrstuvwxyz",
    "xoxb-123456789012-abcdefghijkl",
    "gsk_abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOP",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "Bearer abcdefghijklmnopqrstuvwxyz",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabc\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEA that was cut",
]


@pytest.mark.parametrize("secret", SHAPES, ids=[shape[:6] for shape in SHAPES])
def test_what_is_shaped_like_a_key_is_taken_out_of_a_text(secret: str, recorded: RunsRecorded, home: Path) -> None:
    def answer(question: str) -> str:
        current_run().record_tool("t", arguments=[f"a {secret}"], result=question, error=f"b {secret}")
        raise ValueError(f"c {secret}")

    with pytest.raises(ValueError, match="c "):
        track_task(answer)(f"use {secret} please")
    (report,) = recorded()
    assert (report.input or "").startswith("use [redacted]")
    assert (report.result or "").startswith("ValueError: c [redacted]")
    assert secret.encode() not in on_disk(home).replace(b"\\n", b"\n")


def test_credentials_in_a_url_are_taken_out(recorded: RunsRecorded) -> None:
    with tracked_task(input=f"postgres://ada:{CANARY}@db/x and https://db:5432/y?at=a@b"):
        pass
    assert [report.input for report in recorded()] == ["postgres://[redacted]@db/x and https://db:5432/y?at=a@b"]


def test_a_password_in_a_url_is_taken_out_where_there_is_no_user(recorded: RunsRecorded) -> None:
    with tracked_task(input=f"redis://:{CANARY}@cache:6379/0 and https://[::1]:80/a?b=c@d"):
        pass
    assert [report.input for report in recorded()] == ["redis://[redacted]@cache:6379/0 and https://[::1]:80/a?b=c@d"]


@pytest.mark.parametrize(
    "text",
    [
        "sk-short",
        "gsk_short",
        "task-force-one-two-three-four",
        "eyJ",
        "a bearer of good news",
        "https://host:80/a",
        "BEGIN PRIVATE KEY",
    ],
)
def test_ordinary_text_is_left_alone(text: str, recorded: RunsRecorded) -> None:
    with tracked_task(input=text):
        pass
    assert [report.input for report in recorded()] == [text]


@pytest.mark.parametrize("seed", ["-eyJaaaaaaaa", "://a:", "Bearer ", "-----BEGIN A", "sk-aaa", "a://b:c "])
def test_no_text_takes_long(seed: str) -> None:
    """Twice the text takes about twice the time, not four times."""

    def seconds(length: int) -> float:
        text = seed * (length // len(seed))
        best = 1e9
        for _ in range(3):
            started = time.thread_time()
            with tracked_task(input=text):
                pass
            best = min(best, time.thread_time() - started)
        return best

    assert seconds(160_000) < 16 * seconds(20_000) + 0.05


@pytest.mark.parametrize("seed", ["a", "password", "password='", "password = ", "'password', '", "password=(", "pwd\n"])
def test_no_message_of_an_exception_takes_long(seed: str) -> None:
    """The same, of the names in it."""

    def seconds(length: int) -> float:
        text = seed * (length // len(seed))
        started = time.thread_time()
        Redaction().representation(text)
        return time.thread_time() - started

    assert min(seconds(160_000) for _ in range(3)) < 16 * min(seconds(20_000) for _ in range(3)) + 0.05


# --- the platform's key ---

KEY = "platform-key-0123456789"


@pytest.mark.parametrize("source", ["configure", "environment", "configuration"])
def test_the_platforms_key_is_kept_nowhere(
    source: str, monkeypatch: pytest.MonkeyPatch, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with PlatformServer() as server:
        options: dict[str, Any] = {}
        if source == "configure":
            configure(api_key=KEY, base_url=server.url)
        elif source == "environment":
            monkeypatch.setenv("XPANDER_API_KEY", KEY)
            monkeypatch.setenv("XPANDER_BASE_URL", server.url)
        else:
            options["configuration"] = Configuration(api_key=KEY, base_url=server.url)

        @track_task(agent_id="agent-1", **options)
        def answer(question: str) -> str:
            run = current_run()
            run.record_tool(f"t {KEY}", arguments={KEY: [KEY]}, result=f"x{KEY}y", error=KEY)
            run.record_llm({"headers": {"x": KEY}, KEY: 1})
            run.report_progress(result=KEY)
            raise ValueError(KEY)

        with pytest.raises(ValueError, match=KEY):
            answer(f"what is {KEY}?")
        kept = on_disk(home)
        assert b"what is [redacted]?" in kept
        assert KEY.encode() not in kept
        assert not [request for request in server.requests if KEY.encode() in request.body]
        assert {request.headers["x-api-key"] for request in server.requests} == {KEY}
    assert KEY not in caplog.text


def test_a_key_at_the_cut_is_not_left_in_part(recorded: RunsRecorded) -> None:
    configure(api_key=KEY, base_url="http://127.0.0.1:9", max_chars=1_000)
    for shift in range(len(KEY)):
        with tracked_task(input="x" * shift + f"{KEY} " * 200):
            pass
    assert [report.id for report in recorded() if "platform" in (report.input or "")] == []


# --- the user's own ---


def test_a_redact_function_sees_each_text(call: Call, recorded: RunsRecorded) -> None:
    configure(redact=lambda text: text.replace("Ada", "[name]"))
    call(lambda question, more: {"Ada": "Ada"}, "who is Ada?", ["Ada", 1])
    (report,) = recorded()
    assert report.input == '{"question":"who is [name]?","more":["[name]",1]}'
    assert report.result == '{"[name]":"[name]"}'


def test_a_redact_function_comes_after_our_own_redaction(recorded: RunsRecorded) -> None:
    seen: list[str] = []

    def redact(text: str) -> str:
        seen.append(text)
        return text

    configure(redact=redact)
    with tracked_task(input=f"use {SHAPES[0]}"):
        pass
    assert seen == ["use [redacted]"]


@pytest.mark.parametrize("error", [ValueError, SystemExit, RecursionError, GeneratorExit])
def test_a_redact_function_that_raises_drops_the_text(
    call: Call, error: type[BaseException], recorded: RunsRecorded, home: Path
) -> None:
    def redact(text: str) -> str:
        raise error(text)

    configure(redact=redact)
    assert call(lambda question: question, CANARY) == CANARY
    dropped = f"[dropped: the redact function raised {error.__name__}]"
    assert [(report.input, report.result) for report in recorded()] == [(dropped, dropped)]
    assert CANARY.encode() not in on_disk(home)


@pytest.mark.parametrize("given", [None, 7, b"bytes", ["text"]], ids=["None", "int", "bytes", "list"])
def test_a_redact_function_that_gives_no_text_drops_the_text(given: Any, recorded: RunsRecorded) -> None:
    configure(redact=lambda text: given)
    with tracked_task(input=CANARY):
        pass
    dropped = f"[dropped: the redact function gave a {type(given).__name__}, not a text]"
    assert [report.input for report in recorded()] == [dropped]


# --- card numbers ---

CARDS = [
    "4242424242424242", "4242 4242 4242 4242", "4242-4242-4242-4242", "4222222222222", "5555555555554444",
    "2223003122003222", "378282246310005", "3782 822463 10005", "6011111111111117", "3530111333300000",
    "30569309025904",
]  # fmt: skip
NO_CARDS = [
    "4242424242424241",  # The check digit is wrong.
    "1700000000000", "1700000000000000",  # Times.
    "0.4242424242424242", "14242424242424242", "42424242424242421",  # Parts of other numbers.
    "4242 4242 42424242", "4242-4242 4242-4242", "9999 9999 9999 9995", "4242", "é4242424242é",
]  # fmt: skip


@pytest.mark.parametrize("text", ["{}", "card {}, thanks", "é… {}\n{}", "({})", "é{}é", "a{}"])
@pytest.mark.parametrize("card", CARDS)
def test_card_numbers_are_left_out(card: str, text: str) -> None:
    assert Redaction().text(text.format(card, card)) == text.format("[redacted]", "[redacted]")


@pytest.mark.parametrize("number", NO_CARDS)
def test_other_numbers_are_left_alone(number: str) -> None:
    assert Redaction().text(f"no {number} is") == f"no {number} is"


def test_a_card_number_that_is_a_number_is_left_out(recorded: RunsRecorded) -> None:
    with tracked_task(input={"pay": 4242424242424242, "order": 4242424242424241}):
        pass
    assert json.loads(recorded()[0].input or "") == {"pay": "[redacted]", "order": 4242424242424241}


# --- of one's own ---


def test_without_defaults_only_the_own_function_and_the_platforms_key_count(recorded: RunsRecorded) -> None:
    configure(redact=lambda text: text.replace("secret", "***"), redact_defaults=False)
    keep_out("platform-key-1")
    with tracked_task(input={"password": "secret", "card": "4242424242424242", "key": "platform-key-1"}):
        pass
    expected = {"password": "***", "card": "4242424242424242", "key": "[redacted]"}
    assert json.loads(recorded()[0].input or "") == expected
