"""Where the platform is, and who we are to it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .task import Task

PRODUCTION = "https://inbound.xpander.ai"
STAGING = "https://inbound.stg.xpander.ai"
DEFAULT_TIMEOUT = 30.0

_CONTROLLER_PORT = 9016

_OTHER_SCHEME = re.compile(r"(?!https?://)[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def _default_base_url() -> str:
    return os.environ.get("XPANDER_BASE_URL") or (STAGING if os.environ.get("IS_STG") == "true" else PRODUCTION)


class State:
    """What a configuration was last used for."""

    __slots__ = ("task",)

    def __init__(self) -> None:
        self.task: Task | None = None

    def __eq__(self, other: object) -> bool:
        # Configurations are equal if their fields are, whatever they were used for.
        return isinstance(other, State)

    __hash__ = None  # type: ignore[assignment]  # the one that goes with __eq__


class Configuration(BaseModel):
    """
    Credentials and address of the xpander platform.

    Every field may be left out; unknown keywords are ignored, as ``xpander_sdk`` does. Assignments are validated like
    arguments. The environment is read when the object is made. Its ``repr`` never shows the key.

    Args:
        api_key: Sent verbatim as ``x-api-key``. Default: ``XPANDER_API_KEY``.
        base_url: Default: ``XPANDER_BASE_URL``, else the staging cloud if ``IS_STG`` is ``true``, else the cloud.
            ``https://`` is put in front where there is no ``http://`` or ``https://``. An explicit empty value takes
            ``XPANDER_BASE_URL`` and never falls back to the cloud.
        agent_id: Used by the tracking API where a run names no agent; the report call itself does not read it.
        organization_id: Part of the URL of an agent controller (see ``get_full_url``).
            Default: ``XPANDER_ORGANIZATION_ID``.
        timeout: Seconds a whole request may take, from the first byte sent to the last one read. Default 30.

    Raises:
        ValidationError: A ``ValueError``; a field of the wrong type, an explicit empty *base_url* with no
            ``XPANDER_BASE_URL``, or a scheme other than http and https.
    """

    model_config = ConfigDict(validate_assignment=True, hide_input_in_errors=True)

    api_key: str | None = Field(default_factory=lambda: os.environ.get("XPANDER_API_KEY"))
    base_url: str = Field(default_factory=_default_base_url, validate_default=True)
    agent_id: str | None = None
    organization_id: str | None = Field(default_factory=lambda: os.environ.get("XPANDER_ORGANIZATION_ID"))
    timeout: float = Field(default=DEFAULT_TIMEOUT, gt=0, allow_inf_nan=False)

    _state: State = PrivateAttr(default_factory=State)

    @property
    def state(self) -> State:
        """What this configuration was last used for: ``state.task`` is the last Task made with it."""
        return self._state

    def get_full_url(self) -> str:
        """
        The URL that every route is appended to.

        It is *base_url*, followed by the organization where the address is that of an agent controller: a host name
        with ``agent-controller`` in it, port 9016, or ``agent-controller`` as first segment of the path.
        """
        return f"{self.base_url}/{self.organization_id}" if self.needs_organization() else self.base_url

    def needs_organization(self) -> bool:
        """Whether the address is that of an agent controller, whose URLs carry the organization."""
        parts = urlsplit(self.base_url.lower())
        try:
            port = parts.port
        except ValueError:  # Out of range: the request will say so.
            port = None
        first_segment = parts.path.lstrip("/").split("/", 1)[0]
        return (
            "agent-controller" in (parts.hostname or "")
            or port == _CONTROLLER_PORT
            or first_segment == "agent-controller"
        )

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            if name == "api_key" and value:
                yield name, "***"
            elif name == "base_url":
                yield name, re.sub(r"//[^/]*@", "//***@", str(value))
            else:
                yield name, value

    @field_validator("base_url", mode="before")
    @classmethod
    def _complete_base_url(cls, value: object) -> object:
        if value is None or value == "":
            value = os.environ.get("XPANDER_BASE_URL")
            if not value:
                message = "base_url is empty. Give base_url, or set XPANDER_BASE_URL."
                raise ValueError(message)
        if not isinstance(value, str):
            return value
        if _OTHER_SCHEME.match(value):
            message = "base_url must begin with http:// or https://."
            raise ValueError(message)
        return value if value.lower().startswith(("http://", "https://")) else f"https://{value}"


# pydantic sets itself up at the first validation, under a lock that a child which is forked in that moment waits for
# for ever (seen with pydantic-core 2.50). So that is done here, where no other thread is at it yet.
Configuration(api_key=None, base_url=PRODUCTION, organization_id=None)
