"""Which destinations a run has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .. import settings
from ..boundary import say_once
from ..local.embedded import Embedded
from ..redaction import keep_out
from .home import home
from .to_platform import ToPlatform

if TYPE_CHECKING:
    from ..platform import Configuration
    from .destination import Destination

_ENVIRONMENT = ("XPANDER_API_KEY", "XPANDER_BASE_URL", "XPANDER_ORGANIZATION_ID", "IS_STG", "XPANDER_TRACK_HOME")

# The destinations last decided on, and what that was decided by: runs come one after the other in one environment.
_last: tuple[object, list[Destination]] = (None, [])


def destinations(configuration: Configuration | None) -> list[Destination]:
    """
    Where a run goes that begins now.

    Args:
        configuration: The run's own platform; None is what ``configure`` and the environment say.
    """
    global _last  # noqa: PLW0603
    # Its fields, not its identity: a Configuration may be changed, by a new key for instance.
    given = None if configuration is None else configuration.model_dump()
    decided_by = [settings.current(), given, [os.environ.get(name) for name in _ENVIRONMENT]]
    if _last[0] != decided_by:
        _last = (decided_by, _decide(configuration))
    return _last[1]


def _decide(configuration: Configuration | None) -> list[Destination]:
    if configuration is None:
        configuration = settings.current().configuration()
    elif not configuration.api_key and "base_url" not in configuration.model_fields_set:
        configuration = configuration if os.environ.get("XPANDER_BASE_URL") else None
    if configuration is None:
        return [_embedded()]
    keep_out(configuration.api_key)
    return [ToPlatform(configuration)]


def _embedded() -> Embedded:
    folder = home()
    where = "memory" if folder is None else str(folder)
    say_once(
        "embedded",
        "No XPANDER_API_KEY and no XPANDER_BASE_URL: runs are recorded on this machine, in %s. "
        "`xpander-track runs` shows them.",
        where,
    )
    return Embedded(where)
