"""``xpander-track doctor``: whether runs can be recorded and delivered from here, and what waits, and why."""

from __future__ import annotations

import platform
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from . import settings
from .delivery.to_platform import REFUSED_KEY, without_secrets
from .local.embedded import KEY as EMBEDDED
from .platform import AnswerUnreadable, ModuleException, NotSent, Task, Unreachable
from .redaction import Redaction, keep_out

if TYPE_CHECKING:
    from pathlib import Path

    from .delivery.store import Deliveries, Store
    from .platform import Configuration

_TIMEOUT = 10.0
_SLOW_DOWN = 429
_REDIRECT, _TROUBLE = 3, 5  # the classes of status codes
_MASKED = 12  # Of a shorter key, nothing is shown.
# The platform has no run of this name; its answer tells that it is there, and takes the key.
_NO_RUN = "xpander-track-doctor"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: *name*, what was found, and whether it is as it should be."""

    name: str
    found: str
    is_well: bool = True


def examine(store: Store, folder: Path) -> list[Finding]:
    """All that can be told, without sending any run."""
    findings = [Finding("version", f"{_version()} on Python {platform.python_version()} ({sys.platform})")]
    try:
        configuration = settings.current().configuration()
    except ValueError as error:
        findings.append(Finding("platform", f"its address or key cannot be used: {error}", is_well=False))
    else:
        findings += (
            [Finding("platform", "embedded: runs are recorded here")]
            if configuration is None
            else _platform(configuration)
        )
    agent_id = settings.current().default_agent_id()
    findings.append(Finding("agent", agent_id or "none: runs must name theirs"))
    size = sum(_size(path) for path in folder.rglob("*"))
    findings.append(Finding("home", f"{folder} ({size / 1e6:.1f} MB)"))
    return [*findings, *map(_delivery, store.deliveries())]


def _platform(configuration: Configuration) -> list[Finding]:
    key = configuration.api_key
    keep_out(key)
    reached, is_well = _reach(configuration)
    return [
        Finding("platform", without_secrets(configuration.base_url)),
        Finding("api key", _masked(key) if key else "none", is_well=bool(key)),
        Finding("organization", configuration.organization_id or "the key's"),
        Finding("reachable", Redaction().text(reached), is_well),
    ]


def _reach(configuration: Configuration) -> tuple[str, bool]:
    started = time.monotonic()
    timed = configuration.model_copy(update={"timeout": _TIMEOUT})
    try:
        Task.load(_NO_RUN, configuration=timed)
    except ModuleException as error:
        if (problem := _problem(error)) is not None:
            return problem, False
    return f"yes, in {(time.monotonic() - started) * 1000:.0f} ms", True


def _problem(error: ModuleException) -> str | None:
    """What *error* says of the platform; None, if it would take runs."""
    status = error.status_code
    if isinstance(error, NotSent):
        return f"not tried: {error.description}"
    if isinstance(error, Unreachable):
        return f"no: {error.description}"
    if isinstance(error, AnswerUnreadable):
        return "no: what answers is not the platform, since its answer is no JSON"
    if status in REFUSED_KEY:
        return f"yes, but it refuses the key (HTTP {status})"
    if status // 100 == _REDIRECT:
        return f"no: what answers sends us elsewhere (HTTP {status})"
    takes_nothing = status == _SLOW_DOWN or status // 100 == _TROUBLE
    return f"yes, but it takes nothing now (HTTP {status})" if takes_nothing else None


def _delivery(found: Deliveries) -> Finding:
    where = "recorded here" if found.destination == EMBEDDED else found.destination
    why = f" ({found.reason})" if found.reason and found.state != "delivered" else ""
    return Finding(found.state, f"{found.count} runs, {where}{why}", is_well=found.state != "rejected")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # A living process has tidied up meanwhile.
        return 0


def _masked(key: str) -> str:
    return f"{key[:3]}…{key[-2:]} ({len(key)} characters)" if len(key) >= _MASKED else f"({len(key)} characters)"


def _version() -> str:
    try:
        return version("xpander-track")
    except PackageNotFoundError:
        return "not installed"
