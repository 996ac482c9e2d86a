"""Which destinations a run has."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .. import settings
from ..boundary import say_once
from ..local.embedded import Embedded
from ..redaction import keep_out
from .home import home
from .to_platform import ToPlatform

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ..platform import Configuration
    from .destination import Destination

# What is read of the environment to tell where runs go.
ENVIRONMENT = ("XPANDER_API_KEY", "XPANDER_BASE_URL", "XPANDER_ORGANIZATION_ID", "IS_STG", "XPANDER_TRACK_HOME")

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}

# What was decided, by what it was decided by: a destination stays the same object for as long as nothing changes.
_decided: dict[Hashable, list[Destination]] = {}
_MAX_DECIDED = 256


def destinations(configuration: Configuration | None) -> list[Destination]:
    """
    Where a run goes that begins now.

    Args:
        configuration: The run's own platform; None is what ``configure`` and the environment say.
    """
    # Its fields, not its identity: a Configuration may be changed, by a new key for instance.
    given = None if configuration is None else tuple(configuration.model_dump().items())
    decided_by = (settings.current(), given, *map(os.environ.get, ENVIRONMENT))
    decided = _decided.get(decided_by)
    if decided is None:
        if len(_decided) >= _MAX_DECIDED:
            _decided.clear()
        decided = _decided[decided_by] = _decide(configuration)
    return decided


def _decide(configuration: Configuration | None) -> list[Destination]:
    is_own = configuration is not None
    why = "No XPANDER_API_KEY and no XPANDER_BASE_URL"
    if configuration is None:
        try:
            configuration = settings.current().configuration()
        except ValueError as error:
            why = f"The platform's address or key cannot be used ({error})"
    elif not configuration.api_key and "base_url" not in configuration.model_fields_set:
        configuration = configuration if os.environ.get("XPANDER_BASE_URL") else None
    if configuration is None:
        return [_embedded(why)]
    keep_out(configuration.api_key)
    _warn_of_plain_http(configuration.base_url)
    return [ToPlatform(configuration, is_own=is_own)]


def _embedded(why: str) -> Embedded:
    folder = home()
    if folder is None:
        say_once("embedded", "%s: runs are recorded in memory.", why)
        return Embedded("memory")
    given = f"XPANDER_TRACK_HOME={shlex.quote(str(folder))} " if settings.current().home else ""
    say_once(
        "embedded", "%s: runs are recorded on this machine, in %s. `%sxpander-track runs` shows them.",
        why, folder, given,
    )  # fmt: skip
    return Embedded(str(folder))


def _warn_of_plain_http(base_url: str) -> None:
    parts = urlsplit(base_url)
    if parts.scheme.lower() == "http" and parts.hostname not in _LOOPBACK:
        say_once("http", "Runs and the API key go to %s unencrypted: use https.", parts.hostname)
