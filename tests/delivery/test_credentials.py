"""Each run is bound to its address and organization; keys are today's, stay in memory, and go to nobody else."""

from __future__ import annotations

import collections
import logging
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import Configuration, configure, current_run, flush, tracked_task
from xpander_track.delivery import outbox
from xpander_track.delivery.to_platform import ToPlatform

from ..platform_server import Answer, PlatformServer
from .conftest import KEY, eventually, posts

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Python


def keys_by_run(server: PlatformServer) -> dict[str, set[str]]:
    """Which keys each run was posted with."""
    keys = collections.defaultdict(set)
    for request in server.requests:
        keys[request.json["id"]].add(request.headers["x-api-key"])
    return dict(keys)


def run(run_id: str, configuration: Configuration | None = None) -> None:
    with tracked_task(agent_id="agent-1", id=run_id, configuration=configuration) as tracked:
        tracked.set_result("done")


@pytest.mark.parametrize("status", [401, 429])
def test_configurations_that_differ_in_other_things_share_the_pause_that_was_asked_for(
    server: PlatformServer, status: int
) -> None:
    server.always = Answer(status, headers={"retry-after": "30"})
    agents = [
        Configuration(api_key="key-of-one", base_url=server.url, organization_id="one", agent_id=name) for name in "ab"
    ]
    for number in range(6):
        run(f"run-{number}", agents[number % 2])
        flush(0.1)
    assert len(server.requests) == 1


# --- whose key ---


def test_two_organizations_in_one_process_keep_their_runs_apart(server: PlatformServer) -> None:
    one = Configuration(api_key="key-of-one", base_url=server.url, organization_id="one")
    two = Configuration(api_key="key-of-two", base_url=server.url, organization_id="two")
    for number in range(20):
        run(f"one-{number}", one)
        run(f"two-{number}", two)
    assert flush().delivered == 40
    assert keys_by_run(server) == {
        f"{name}-{number}": {f"key-of-{name}"} for name in ("one", "two") for number in range(20)
    }


def test_two_keys_without_an_organization_keep_their_runs_apart(server: PlatformServer) -> None:
    """In the cloud the key alone says whose runs they are; both are in use, so neither has replaced the other."""
    one = Configuration(api_key="key-of-one", base_url=server.url)
    two = Configuration(api_key="key-of-two", base_url=server.url)
    for number in range(20):
        run(f"one-{number}", one)
        run(f"two-{number}", two)
    assert flush().delivered == 40
    assert keys_by_run(server) == {
        f"{name}-{number}": {f"key-of-{name}"} for name in ("one", "two") for number in range(20)
    }


def test_same_organization_at_two_addresses_is_two_destinations(server: PlatformServer) -> None:
    with PlatformServer() as other:
        run("here", Configuration(api_key="key-here", base_url=server.url, organization_id="one"))
        run("there", Configuration(api_key="key-there", base_url=other.url, organization_id="one"))
        assert flush().delivered == 2
        assert (keys_by_run(server), keys_by_run(other)) == ({"here": {"key-here"}}, {"there": {"key-there"}})


def test_organization_that_waits_is_not_sent_with_anothers_key_after_a_restart(
    python: Python, away: PlatformServer
) -> None:
    process = python("run('of-one')", server=away, XPANDER_API_KEY="key-of-one", XPANDER_ORGANIZATION_ID="one")
    assert process.wait().code == 0
    with away as server:
        ours = python(
            "run('of-two'); flush()", server=server, XPANDER_API_KEY="key-of-two", XPANDER_ORGANIZATION_ID="two"
        )
        ours.wait()
        apart = keys_by_run(server)
        theirs = python(
            "run('also-of-one'); flush()", server=server, XPANDER_API_KEY="key-of-one", XPANDER_ORGANIZATION_ID="one"
        )
        theirs.wait()
        assert apart == {"run-of-two": {"key-of-two"}}
        assert keys_by_run(server) == {
            "run-of-two": {"key-of-two"},
            "run-of-one": {"key-of-one"},
            "run-also-of-one": {"key-of-one"},
        }


def test_key_that_changed_over_a_restart_delivers_what_waits(python: Python, away: PlatformServer) -> None:
    python("runs(5)", server=away, XPANDER_API_KEY="old-key-of-ours").wait()
    with away as server:
        python("run(5); flush()", server=server, XPANDER_API_KEY="new-key-of-ours").wait()
        assert keys_by_run(server) == {f"run-{number}": {"new-key-of-ours"} for number in range(6)}


def test_refused_key_keeps_everything_until_a_new_one_comes(server: PlatformServer) -> None:
    def gate(request: Any) -> Answer | None:
        return None if request.headers["x-api-key"] == "new-key" else Answer(401)

    server.always = gate
    configure(api_key="old-key", base_url=server.url)
    for number in range(10):
        run(f"run-{number}")
    eventually(lambda: server.requests)
    assert flush(0.3).pending == 10
    refused = len(server.requests)
    configure(api_key="new-key")
    run("run-10")
    eventually(lambda: len(server.tasks) == 11, 5)
    assert refused == 1


def test_refused_key_is_said_once(server: PlatformServer, caplog: pytest.LogCaptureFixture) -> None:
    server.always = Answer(403)
    configure(api_key=KEY, base_url=server.url)
    for number in range(20):
        run(f"run-{number}")
    eventually(lambda: caplog.records)
    flush(0.3)
    messages = [record.getMessage() for record in caplog.records if record.name == "xpander_track"]
    assert len(messages) == 1
    assert "refused" in messages[0]


def test_key_of_a_configuration_that_is_changed_is_the_new_one(server: PlatformServer) -> None:
    configuration = Configuration(api_key="old-key", base_url=server.url)
    run("before", configuration)
    flush()
    configuration.api_key = "new-key"
    run("after", configuration)
    flush()
    assert keys_by_run(server) == {"before": {"old-key"}, "after": {"new-key"}}


# --- where a key never is ---


@pytest.fixture
def exposed(server: PlatformServer, caplog: pytest.LogCaptureFixture, home: Path) -> Any:
    """Runs that went well, were refused, rejected and kept, at DEBUG; what they have left behind."""
    caplog.set_level(logging.DEBUG)
    configure(api_key=KEY, base_url=server.url)
    answers = [
        None,
        Answer(400, text=f"bad request: x-api-key: {KEY}"),
        Answer(302, headers={"location": f"{server.url}/{KEY}"}),
        Answer(503),
        Answer(fault="reset"),
        Answer(401, text=f"{KEY} is wrong"),
    ]
    left = []
    for number, answer in enumerate(answers):
        server.always = answer
        with tracked_task(agent_id="agent-1", id=f"run-{number}", input=f"my key is {KEY}") as tracked:
            tracked.record_tool("call", arguments={"key": KEY}, error=ValueError(KEY))
            current_run().record_llm({"id": "x", "choices": [], "echo": KEY})
        flush(0.3)
        left += [tracked, tracked.receipt, outbox.get(), outbox.get()._lanes]
    eventually(lambda: posts(server)["run-0"])
    return left


def test_key_is_nowhere_on_disk(exposed: Any, home: Path) -> None:
    found = [path.name for path in home.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert (found, KEY in " ".join(path.name for path in home.rglob("*"))) == ([], False)


def test_key_is_in_no_log_line(exposed: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert [line for line in caplog.text.splitlines() if KEY in line] == []


def test_key_is_in_no_repr(exposed: Any) -> None:
    assert [text for text in map(repr, exposed) if KEY in text] == []
    assert KEY not in repr(ToPlatform(Configuration(api_key=KEY, base_url="https://one.example")))


def test_key_is_in_no_pickled_receipt(exposed: Any) -> None:
    assert [state for state in (run_.receipt for run_ in exposed[::4]) if KEY.encode() in pickle.dumps(state)] == []


@pytest.fixture
def password(server: PlatformServer, caplog: pytest.LogCaptureFixture) -> str:
    """A run was reported with a password in the address."""
    caplog.set_level(logging.DEBUG)
    configure(api_key=KEY, base_url=server.url.replace("//", "//user:pass-word@"))
    run("run-1")
    assert flush().delivered == 1
    return "pass-word"


def test_password_of_the_address_is_nowhere_on_disk(password: str, home: Path) -> None:
    assert [path.name for path in home.rglob("*") if path.is_file() and password.encode() in path.read_bytes()] == []


def test_password_of_the_address_is_in_no_log_line(password: str, caplog: pytest.LogCaptureFixture) -> None:
    assert [line for line in caplog.text.splitlines() if password in line] == []
