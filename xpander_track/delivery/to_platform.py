"""The destination that is the platform, at one address and for one organization."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..platform import AnswerUnreadable, InvalidAddress, MissingApiKey, ModuleException, NotSent, Task, Unreachable
from ..redaction import Redaction
from .destination import Postponed, Rejected

if TYPE_CHECKING:
    from ..platform import Configuration
    from .report import Report

# What may pass: timeouts, "too early", "slow down", and the server's own troubles.
_PASSING = {408, 425, 429}
REFUSED_KEY = {401, 403}
_TOO_LARGE = 413
_CONFLICT = 409  # The platform has it already.

# A key that was refused is tried again this often: it may be given its rights.
_REFUSED_KEY_PAUSE = 60.0
_MAX_TIMEOUT = 10.0
_MAX_REASON = 300

_SECRETS = Redaction()


class ToPlatform:
    """
    The platform as a destination. A run is bound to its key, address and organization: no other credentials are used.

    Args:
        configuration: Today's credentials for it. They stay in memory.
        is_own: They were given to single runs. Where they name no organization, the key alone tells whose runs these
            are, and runs of another key must not be sent with it.
    """

    def __init__(self, configuration: Configuration, *, is_own: bool = False) -> None:
        self.where = without_secrets(configuration.base_url)
        whose = configuration.organization_id or (_mark(configuration.api_key) if is_own else "-")
        self.key = f"platform {self.where} {whose}"
        self.configuration = configuration.model_copy(update={"timeout": min(configuration.timeout, _MAX_TIMEOUT)})

    def __eq__(self, other: object) -> bool:
        """Whether it is the same place, with the same credentials."""
        if not isinstance(other, ToPlatform):
            return NotImplemented
        return (self.key, self.configuration.api_key) == (other.key, other.configuration.api_key)

    def __hash__(self) -> int:
        return hash(self.key)

    async def deliver(self, report: Report) -> Task | None:
        """Report the run as a task; see ``Destination``."""
        if report.agent_id is None:
            raise Rejected("no agent id: give agent_id to the run or to configure(), or set XPANDER_AGENT_ID")
        try:
            return await self._post(report, report.llm_response)
        except ModuleException as error:
            problem = error
        if problem.status_code == _TOO_LARGE and report.llm_response is not None:
            try:
                return await self._post(report, None)
            except ModuleException as error:
                problem = error
        if isinstance(problem, AnswerUnreadable) or problem.status_code == _CONFLICT:
            return None  # It is stored.
        raise _judged(problem)

    async def _post(self, report: Report, llm_response: object) -> Task:
        return await Task.areport_external_task(
            configuration=self.configuration,
            agent_id=report.agent_id,
            id=report.id,
            input=report.input,
            llm_response=llm_response,
            tokens=report.tokens,  # type: ignore[arg-type]  # a dict with the keys of Tokens is accepted
            is_success=report.is_success,
            result=report.result,
            duration=report.duration,
            used_tools=report.used_tools,
        )


def _judged(problem: ModuleException) -> Postponed | Rejected:
    """Whether what failed by *problem* may work later."""
    # An answer may repeat anything, the key of the request included; cut first, half of it would stay.
    cause = _SECRETS.text(problem.description.rpartition("Failed to report external task - ")[2])[:_MAX_REASON]
    status = problem.status_code
    if isinstance(problem, (MissingApiKey, InvalidAddress)):
        return Postponed(cause, after=_REFUSED_KEY_PAUSE)
    if isinstance(problem, Unreachable):
        return Postponed(cause)
    if isinstance(problem, NotSent):
        return Rejected(cause)
    if status in REFUSED_KEY:
        return Postponed(f"the API key was refused (HTTP {status})", after=_REFUSED_KEY_PAUSE)
    # A redirect is a proxy's or a portal's word, not the platform's.
    if status in _PASSING or status // 100 in {3, 5}:
        return Postponed(f"HTTP {status}", after=problem.retry_after)
    return Rejected(f"HTTP {status}: {cause}")


def _mark(key: str | None) -> str:
    """What tells a key from others: far too little of its hash to find the key by."""
    return f"key-{hashlib.sha256((key or '').encode()).hexdigest()[:8]}"


def without_secrets(url: str) -> str:
    """The address without a password, a query or a fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}".rstrip("/")
