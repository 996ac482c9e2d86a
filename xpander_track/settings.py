"""What the user has decided: ``configure(...)``, over the environment."""

from __future__ import annotations

import dataclasses
import math
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .boundary import misuse
from .limits import Limits
from .platform import Configuration
from .redaction import Redaction, keep_out

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CHARS = 500_000
EXIT_TIMEOUT = 2.0


class _Unset:
    def __repr__(self) -> str:
        return "unchanged"


_UNSET: Any = _Unset()


@dataclass(frozen=True, eq=False)
class Settings:
    """One consistent set of decisions. None means: as the environment says."""

    api_key: str | None = dataclasses.field(default=None, repr=False)
    base_url: str | None = None
    organization_id: str | None = None
    agent_id: str | None = None
    timeout: float | None = None
    wait: float | None = None
    capture_input: bool = True
    capture_result: bool = True
    max_chars: int = MAX_CHARS
    redact: Callable[[str], str] | None = None
    redact_defaults: bool = True
    home: Path | None = None
    keep_days: float = Limits.days
    keep_runs: int = Limits.runs
    keep_bytes: int = Limits.bytes
    fsync: bool = False
    exit_timeout: float = EXIT_TIMEOUT
    enabled: bool | None = None
    propagate: bool = True

    def configuration(self) -> Configuration | None:
        """The platform that runs are reported to; None is the embedded one: no key and no base URL anywhere."""
        given = {
            name: value
            for name in ("api_key", "base_url", "organization_id", "timeout")
            if (value := getattr(self, name)) is not None
        }
        configuration = Configuration(**given)
        keep_out(configuration.api_key)
        return configuration if configuration.api_key or self.base_url or os.environ.get("XPANDER_BASE_URL") else None

    def limits(self) -> Limits:
        """How much is kept at home."""
        return Limits(self.keep_days, self.keep_runs, self.keep_bytes)

    def default_agent_id(self) -> str | None:
        """The agent of runs that name none."""
        return self.agent_id or os.environ.get("XPANDER_AGENT_ID")

    def is_enabled(self) -> bool:
        """Whether runs are recorded at all."""
        if self.enabled is not None:
            return self.enabled
        return os.environ.get("XPANDER_TRACK_DISABLED", "").lower() not in {"1", "true", "yes", "on"}

    def redaction(self) -> Redaction:
        """What takes secrets out of everything captured."""
        return Redaction(self.redact, defaults=self.redact_defaults)


_current = Settings()


def current() -> Settings:
    """The settings in force."""
    return _current


def configure(  # noqa: PLR0913  # every option is a keyword of its own
    *,
    api_key: str | None = _UNSET,
    base_url: str | None = _UNSET,
    organization_id: str | None = _UNSET,
    agent_id: str | None = _UNSET,
    timeout: float | None = _UNSET,
    wait: float | None = _UNSET,
    capture_input: bool | None = _UNSET,
    capture_result: bool | None = _UNSET,
    max_chars: int | None = _UNSET,
    redact: Callable[[str], str] | None = _UNSET,
    redact_defaults: bool | None = _UNSET,
    home: str | os.PathLike[str] | None = _UNSET,
    keep_days: float | None = _UNSET,
    keep_runs: int | None = _UNSET,
    keep_bytes: int | None = _UNSET,
    fsync: bool | None = _UNSET,
    exit_timeout: float | None = _UNSET,
    enabled: bool | None = _UNSET,
    propagate: bool | None = _UNSET,
) -> None:
    """
    Decide how runs are captured and where they are reported. What is not given stays; None takes a decision back.

    Runs that have begun keep what they began with.

    Args:
        api_key: The platform's key. Default: ``XPANDER_API_KEY``.
        base_url: The platform's address. Default: ``XPANDER_BASE_URL``, else the cloud. With neither a key nor an
            address, runs are recorded by the embedded platform, on this machine.
        organization_id: Default: ``XPANDER_ORGANIZATION_ID``.
        agent_id: The agent of runs that name none. Default: ``XPANDER_AGENT_ID``.
        timeout: Seconds that one request to the platform may take as a whole. Default 30; delivery in the background
            takes 10 at most.
        wait: Seconds that the end of a run waits for the platform's Task. Default: it does not wait.
        capture_input: Whether arguments are kept. Default True.
        capture_result: Whether returned values are kept. Default True.
        max_chars: About how many characters are kept of one input, result or tool argument, and ten times as many of
            a raw response; the rest is cut and marked. One item or member is kept for every 150, so that a huge
            container takes no more time than a long text. Default 500,000.
        redact: Your own function of a captured text, giving what is kept of it; called for each text inside of a value.
            If it raises, the text is dropped, which is said in its place. Secrets that can be told by their name or
            shape are taken out without it.
        redact_defaults: False leaves those to your *redact*. The platform's key is taken out in any case. Default True.
        home: The folder where runs are kept until they are delivered, and some days after. Default:
            ``XPANDER_TRACK_HOME``, else the XDG state folder. Must be set before the first run.
        keep_days: How long a run is kept at home, after its start; one that waits, until it was tried ten times.
            Default 14. As *home*, to be set before the first run; so are the other two.
        keep_runs: How many runs are kept. Default 100,000. Where there are more, delivered ones go first, then those
            that wait, of each the oldest; what goes undelivered is counted and said.
        keep_bytes: How many bytes they may take on disk, roughly. Default 200,000,000.
        fsync: Whether a report is brought to the disk itself before the run's end returns, so that it survives a loss
            of power too; that takes milliseconds. Without, it survives whatever becomes of the process. To be set
            before the first run. Default False.
        exit_timeout: Seconds that the interpreter's exit may take in all because of deliveries. Default 2.
        enabled: False switches everything off. Default: on, unless ``XPANDER_TRACK_DISABLED`` is ``1``.
        propagate: Whether child tasks, threads and jobs of thread pools inherit the current run of where they are
            made. It takes a task factory on the loop and wrappers around what starts threads; False takes them away
            when the next run opens. Default True.

    Raises:
        TypeError: An argument of the wrong type, or one that does not exist.
        ValueError: An argument out of its range; the message says which and why.
    """
    global _current  # noqa: PLW0603  # replaced as a whole, so that a run sees one consistent set
    given = {name: value for name, value in locals().items() if value is not _UNSET}
    for name in ("api_key", "base_url", "organization_id", "agent_id"):
        check_text(name, given.get(name))
    for name in ("timeout", "wait", "exit_timeout"):
        check_seconds(name, given.get(name), zero=name != "timeout")
    for name in ("capture_input", "capture_result", "enabled", "fsync", "propagate", "redact_defaults"):
        check_flag(name, given.get(name))
    for name in ("max_chars", "keep_runs", "keep_bytes"):
        _check_number(name, given.get(name))
    _check_days("keep_days", given.get("keep_days"))
    if given.get("redact") is not None and not callable(given["redact"]):
        raise TypeError(f"redact must be a function of a text, not a {type(given['redact']).__name__}.")
    if given.get("base_url") is not None:
        Configuration(base_url=given["base_url"])  # Raises ValueError if that is no address.
    if given.get("home") is not None:
        if not isinstance(home, (str, os.PathLike)):
            raise TypeError(f"home must be the path of a folder, not a {type(home).__name__}.")
        if not str(home):
            raise ValueError("home is empty. Leave it out, or give the path of a folder.")
        given["home"] = Path(home)
    defaults = {field.name: field.default for field in dataclasses.fields(Settings)}
    given = {name: defaults[name] if value is None else value for name, value in given.items()}
    _current = dataclasses.replace(_current, **given)


def _check_number(name: str, value: object) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}.")


def _check_days(name: str, value: object) -> None:
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf
    ):
        raise ValueError(f"{name} must be a number of days above 0, not {value!r}.")


def check_flag(name: str, value: object) -> None:
    """Raise unless *value* is None, True or False."""
    if value is not None and not isinstance(value, bool):
        raise misuse(TypeError(f"{name} must be True or False, not {type(value).__name__}."))


def check_text(name: str, value: object) -> None:
    """Raise unless *value* is None or a text that is not empty."""
    if value is not None and not isinstance(value, str):
        raise misuse(TypeError(f"{name} must be a text, not {type(value).__name__}."))
    if value == "":
        raise misuse(ValueError(f"{name} is empty. Leave it out, or give a text."))


def check_seconds(name: str, value: object, *, zero: bool = True, none: bool = True) -> None:
    """Raise unless *value* is None, if that is allowed, or a usable number of seconds."""
    if value is None and none:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise misuse(TypeError(f"{name} must be a number of seconds, not {type(value).__name__}."))
    if not 0 <= value <= threading.TIMEOUT_MAX or (value == 0 and not zero):
        raise misuse(
            ValueError(f"{name} must be a number of seconds {'of at least' if zero else 'above'} 0, not {value!r}.")
        )
