from __future__ import annotations

import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from xpander_track.platform import Configuration

CLOUD = "https://inbound.xpander.ai"
STAGING = "https://inbound.stg.xpander.ai"


@pytest.fixture
def environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)
    return dict(request.param)


@pytest.mark.parametrize(
    ("environment", "base_url"),
    [
        ({}, CLOUD),
        ({"IS_STG": "true"}, STAGING),
        ({"IS_STG": "True"}, CLOUD),
        ({"IS_STG": "1"}, CLOUD),
        ({"XPANDER_BASE_URL": ""}, CLOUD),
        ({"XPANDER_BASE_URL": "", "IS_STG": "true"}, STAGING),
        ({"XPANDER_BASE_URL": "http://own.test", "IS_STG": "true"}, "http://own.test"),
        ({"XPANDER_BASE_URL": "own.test"}, "https://own.test"),
    ],
    indirect=["environment"],
)
def test_address_comes_from_the_environment_and_else_is_the_cloud(environment: dict[str, str], base_url: str) -> None:
    assert Configuration().base_url == base_url


@pytest.mark.parametrize(
    ("environment", "credentials"),
    [
        ({}, (None, None, None)),
        ({"XPANDER_API_KEY": "k", "XPANDER_ORGANIZATION_ID": "o", "XPANDER_AGENT_ID": "a"}, ("k", "o", None)),
        ({"XPANDER_API_KEY": "", "XPANDER_ORGANIZATION_ID": ""}, ("", "", None)),
    ],
    indirect=["environment"],
)
def test_key_and_organization_come_from_the_environment_and_the_agent_does_not(
    environment: dict[str, str], credentials: tuple[str | None, ...]
) -> None:
    configuration = Configuration()
    assert (configuration.api_key, configuration.organization_id, configuration.agent_id) == credentials


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "ORGANIZATION_ID", "BASE_URL"):
        monkeypatch.setenv(f"XPANDER_{name}", "from-environment")
    given = {"api_key": "k", "base_url": "http://given.test", "agent_id": "a", "organization_id": "o", "timeout": 5.0}
    assert Configuration(**given).model_dump() == given


def test_explicit_none_stays_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XPANDER_API_KEY", "k")
    monkeypatch.setenv("XPANDER_ORGANIZATION_ID", "o")
    configuration = Configuration(api_key=None, organization_id=None)
    assert (configuration.api_key, configuration.organization_id) == (None, None)


def test_environment_is_read_when_the_object_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XPANDER_API_KEY", "early")
    configuration = Configuration()
    monkeypatch.setenv("XPANDER_API_KEY", "late")
    assert (configuration.api_key, Configuration().api_key) == ("early", "late")


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize("how", ["argument", "assignment"])
def test_explicit_empty_address_takes_the_environment(
    empty: str | None, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XPANDER_BASE_URL", "own.test")
    assert _with_base_url(empty, how).base_url == "https://own.test"


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize("how", ["argument", "assignment"])
@pytest.mark.parametrize("environment", [{}, {"IS_STG": "true"}, {"XPANDER_BASE_URL": ""}], indirect=True)
def test_explicit_empty_address_never_falls_back_to_the_cloud(
    empty: str | None, how: str, environment: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="XPANDER_BASE_URL"):
        _with_base_url(empty, how)


def _with_base_url(value: Any, how: str) -> Configuration:
    if how == "argument":
        return Configuration(base_url=value)
    configuration = Configuration(base_url="http://before.test")
    configuration.base_url = value
    return configuration


@pytest.mark.parametrize(
    ("given", "base_url"),
    [
        ("own.test", "https://own.test"),
        ("own.test:8080/path", "https://own.test:8080/path"),
        ("http://own.test", "http://own.test"),
        ("HTTP://own.test", "HTTP://own.test"),
        ("Https://own.test/", "Https://own.test/"),
        ("http:own.test", "https://http:own.test"),
        (" own.test ", "https:// own.test "),
    ],
)
def test_scheme_is_put_in_front_where_there_is_none(given: str, base_url: str) -> None:
    assert Configuration(base_url=given).base_url == base_url


@pytest.mark.parametrize("given", ["ftp://own.test", "unix:///run/x", "httpx://own.test", "HTTPSX://own.test"])
def test_other_schemes_are_refused(given: str) -> None:
    with pytest.raises(ValidationError, match="http:// or https://"):
        Configuration(base_url=given)


@pytest.mark.parametrize(
    ("base_url", "full_url"),
    [
        ("https://inbound.xpander.ai", "https://inbound.xpander.ai"),
        ("http://own.test/", "http://own.test/"),
        ("http://own.test/prefix", "http://own.test/prefix"),
        ("http://agent-controller.own.test", "http://agent-controller.own.test/org-1"),
        ("http://my-agent-controller-2.own.test:80", "http://my-agent-controller-2.own.test:80/org-1"),
        ("http://Agent-Controller.own.test", "http://Agent-Controller.own.test/org-1"),
        ("http://agent-controller.own.test/", "http://agent-controller.own.test//org-1"),
        ("http://own.test:9016", "http://own.test:9016/org-1"),
        ("http://[::1]:9016", "http://[::1]:9016/org-1"),
        ("http://own.test:19016", "http://own.test:19016"),
        ("http://own.test/agent-controller", "http://own.test/agent-controller/org-1"),
        ("http://own.test/AGENT-controller/more", "http://own.test/AGENT-controller/more/org-1"),
        ("http://own.test/agent-controllers", "http://own.test/agent-controllers"),
        ("http://own.test/v1/agent-controller", "http://own.test/v1/agent-controller"),
        ("http://own.test/?agent-controller", "http://own.test/?agent-controller"),
        ("http://agent-controller:9016@own.test", "http://agent-controller:9016@own.test"),
    ],
)
def test_organization_is_part_of_an_agent_controllers_url_only(base_url: str, full_url: str) -> None:
    assert Configuration(base_url=base_url, organization_id="org-1").get_full_url() == full_url


def test_missing_organization_shows_in_the_full_url() -> None:
    assert Configuration(base_url="http://own.test:9016").get_full_url() == "http://own.test:9016/None"


def test_unknown_keywords_are_ignored() -> None:
    assert "color" not in Configuration(api_key="k", color="red").model_dump()  # type: ignore[call-arg]


def test_configurations_of_the_same_values_are_equal() -> None:
    assert Configuration(api_key="k") == Configuration(api_key="k")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key", 1),
        ("api_key", ["k"]),
        ("organization_id", 1),
        ("agent_id", 1),
        ("base_url", 1),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", float("inf")),
        ("timeout", float("nan")),
        ("timeout", "soon"),
        ("timeout", None),
    ],
)
@pytest.mark.parametrize("how", ["argument", "assignment"])
def test_wrong_values_are_refused_as_arguments_and_assignments(name: str, value: Any, how: str) -> None:
    configuration = Configuration()
    with pytest.raises(ValidationError, match=name):
        Configuration(**{name: value}) if how == "argument" else setattr(configuration, name, value)


def test_timeout_is_30_seconds_unless_given() -> None:
    assert (Configuration().timeout, Configuration(timeout=5).timeout) == (30.0, 5.0)


@pytest.mark.parametrize("show", [repr, str, "{}".format, lambda value: f"{[value]}"])
def test_shown_configuration_masks_key_and_password(show: Any) -> None:
    configuration = Configuration(api_key="canary-key", base_url="http://user:canary-word@own.test/p", agent_id="a")
    shown = show(configuration)
    assert ("canary" in shown, "own.test/p" in shown, "agent_id='a'" in shown) == (False, True, True)


def test_shown_configuration_masks_a_password_with_an_at_sign() -> None:
    assert "canary" not in repr(Configuration(base_url="http://user:p@canary@own.test"))


def test_shown_configuration_tells_a_missing_key() -> None:
    assert "api_key=None" in repr(Configuration())


@pytest.mark.parametrize("arguments", [{"base_url": "ftp://user:canary@own.test"}, {"api_key": ["canary"]}])
def test_refusal_does_not_quote_what_may_be_secret(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refusal:
        Configuration(**arguments)
    assert "canary" not in str(refusal.value)


def test_configuration_survives_pickling() -> None:
    configuration = Configuration(api_key="k", base_url="http://own.test", organization_id="o", timeout=5)
    assert pickle.loads(pickle.dumps(configuration)).model_dump() == configuration.model_dump()
