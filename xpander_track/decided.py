"""What holds for the runs that begin now: the settings, the environment, and where they are reported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import settings
from .capture import Capture
from .delivery.report import destinations_part
from .delivery.routing import ENVIRONMENT, destinations
from .describe import well_formed

if TYPE_CHECKING:
    from .delivery.destination import Destination

# All that is read of the environment.
_NAMES = (*ENVIRONMENT, "XPANDER_AGENT_ID", "XPANDER_TRACK_DISABLED")


class Decided:
    """One consistent set of decisions, worked out once for as long as nothing changes."""

    __slots__ = ("agent_id", "capture", "environment", "is_enabled", "route", "settings")

    def __init__(self, environment: list[object]) -> None:
        self.settings = settings.current()
        self.environment = environment
        self.is_enabled = self.settings.is_enabled()
        agent_id = self.settings.default_agent_id()
        self.agent_id = well_formed(agent_id) if agent_id else None
        self.capture = Capture(self.settings.max_chars, self.settings.redaction())
        # Where runs go that have no platform of their own, and the same as a part of their reports; None: not found.
        self.route: tuple[list[Destination], bytes] | None = None

    def find_route(self) -> tuple[list[Destination], bytes]:
        """The route, found when it is needed: it is said where none of the user's is found."""
        found = destinations(None)
        self.route = found, destinations_part(found)
        return self.route


def decided() -> Decided:
    """What is decided now."""
    global _decided  # noqa: PLW0603  # replaced as a whole, so that a run sees one consistent set
    known, environment = _decided, _environment()
    if known is None or known.settings is not settings.current() or known.environment != environment:
        known = _decided = Decided(environment)
    return known


_decided: Decided | None = None


def _environment() -> list[object]:
    """What the environment says, in whatever form is the quickest to compare: it is looked at for each run."""
    variables: Any = os.environ
    # Ten times quicker than by os.environ itself, which decodes each value. Where it has no such attribute, by that.
    raw = getattr(variables, "_data", None)
    if raw is None:
        return [*map(variables.get, _NAMES)]
    get = raw.get
    return [get(_KEY), get(_URL), get(_ORGANIZATION), get(_STAGING), get(_HOME), get(_AGENT), get(_DISABLED)]


_KEY, _URL, _ORGANIZATION, _STAGING, _HOME, _AGENT, _DISABLED = map(os.fsencode, _NAMES)
