"""The destination that is the platform, at one address and for one organization."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..platform import AnswerUnreadable, MissingApiKey, ModuleException, NotSent, Task, Unreachable
from .destination import Postponed, Rejected

if TYPE_CHECKING:
    from ..platform import Configuration
    from .report import Report

# What may pass: timeouts, "too early", "slow down", and the server's own troubles.
_PASSING = {408, 425, 429}
_CREDENTIALS = {401, 403}
_TOO_LARGE = 413
_CONFLICT = 409  # The platform has it already.

# A key that was refused is tried again this often: it may be given its rights.
_REFUSED_KEY_PAUSE = 60.0
_MAX_TIMEOUT = 10.0
_MAX_REASON = 300


class ToPlatform:
    """
    The platform as a destination. A run is bound to its key, address and organization: no other credentials are used.

    Args:
        configuration: Today's credentials for it. They stay in memory.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.where = re.sub(r"//[^/@]*@", "//", configuration.base_url.rstrip("/"))
        self.key = f"platform {self.where} {configuration.organization_id or '-'}"
        self.configuration = configuration.model_copy(update={"timeout": min(configuration.timeout, _MAX_TIMEOUT)})

    async def deliver(self, report: Report) -> Task | None:
        """Report the run as a task; see ``Destination``."""
        if report.agent_id is None:
            raise Rejected("no agent id: give agent_id to the run or to configure(), or set XPANDER_AGENT_ID")
        try:
            return await self._post(report, with_response=True)
        except AnswerUnreadable:
            return None  # 2xx: it is stored.
        except MissingApiKey as error:
            raise Postponed(_cause(error), after=_REFUSED_KEY_PAUSE) from None
        except Unreachable as error:
            raise Postponed(_cause(error)) from None
        except NotSent as error:
            raise Rejected(_cause(error)) from None
        except ModuleException as error:
            return await self._answered(error, report)

    async def _answered(self, error: ModuleException, report: Report) -> Task | None:
        status = error.status_code
        if status == _CONFLICT:
            return None
        if status in _CREDENTIALS:
            raise Postponed(f"the API key was refused (HTTP {status})", after=_REFUSED_KEY_PAUSE)
        # A redirect is a proxy's or a portal's word, not the platform's.
        if status in _PASSING or status // 100 in {3, 5}:
            raise Postponed(f"HTTP {status}", after=error.retry_after)
        if status == _TOO_LARGE and report.llm_response is not None:
            try:
                return await self._post(report, with_response=False)
            except AnswerUnreadable:
                return None
            except ModuleException as again:
                if again.status_code != _TOO_LARGE:
                    raise Postponed(_cause(again), after=again.retry_after) from None
        raise Rejected(f"HTTP {status}: {error.description[:_MAX_REASON]}")

    async def _post(self, report: Report, *, with_response: bool) -> Task:
        return await Task.areport_external_task(
            configuration=self.configuration,
            agent_id=report.agent_id,
            id=report.id,
            input=report.input,
            llm_response=report.llm_response if with_response else None,
            tokens=report.tokens,  # type: ignore[arg-type]  # a dict with the keys of Tokens is accepted
            is_success=report.is_success,
            result=report.result,
            duration=report.duration,
            used_tools=report.used_tools,
        )


def _cause(error: ModuleException) -> str:
    return error.description.rpartition("Failed to report external task - ")[2][:_MAX_REASON]
