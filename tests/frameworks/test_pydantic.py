"""pydantic: ``validate_call`` above and below, and what a model holds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError, validate_call

from xpander_track import track_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from xpander_track.delivery.report import Report


@validate_call
@track_task(agent_id="agent-1")
def under(question: str, depth: int = 1) -> str:
    return question * depth


@track_task(agent_id="agent-1")
@validate_call
def over(question: str, depth: int = 1) -> str:
    return question * depth


@validate_call
@track_task(agent_id="agent-1")
async def async_under(question: str, depth: int = 1) -> str:
    await asyncio.sleep(0)
    return question * depth


@pytest.mark.parametrize("function", [under, over], ids=["under", "over"])
def test_arguments_are_validated(function: Callable[..., str], recorded: Callable[[], list[Report]]) -> None:
    assert function("a", "2") == "aa"
    with pytest.raises(ValidationError, match="valid integer"):
        function("a", "many")
    assert recorded()[0].ending == "completed"
    # Above it a call that is refused is none.
    assert len(recorded()) == (1 if function is under else 2)


def test_asynchronous_ones_are_validated(recorded: Callable[[], list[Report]]) -> None:
    given: str = "2"
    assert asyncio.run(async_under("a", given)) == "aa"  # type: ignore[arg-type]
    assert [(run.ending, run.input) for run in recorded()] == [("completed", '{"question":"a","depth":2}')]
