from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from xpander_track.platform import Tokens

KEYS = ["completion_tokens", "prompt_tokens", "cache_read_tokens", "cache_write_tokens", "total_tokens"]


def test_counts_are_0_unless_given_and_keep_their_order() -> None:
    assert list(Tokens().model_dump().items()) == [(key, 0) for key in KEYS]


@pytest.mark.parametrize(
    ("given", "total"),
    [
        ({"completion_tokens": 7, "prompt_tokens": 5}, 12),
        ({"completion_tokens": 7, "cache_read_tokens": 100, "cache_write_tokens": 1000}, 7),
        ({"completion_tokens": None, "prompt_tokens": 5}, 5),
        ({"completion_tokens": None, "prompt_tokens": None}, 0),
        ({"completion_tokens": 7, "total_tokens": 1000}, 7),
        ({"completion_tokens": 10**30, "prompt_tokens": 1}, 10**30 + 1),
        ({"completion_tokens": -7, "prompt_tokens": 5}, -2),
    ],
)
def test_total_is_completion_plus_prompt(given: dict[str, Any], total: int) -> None:
    assert Tokens(**given).total_tokens == total


def test_none_stays_none() -> None:
    tokens = Tokens(completion_tokens=None, prompt_tokens=None, cache_read_tokens=None, cache_write_tokens=None)
    assert list(tokens.model_dump().values()) == [None, None, None, None, 0]


def test_unknown_keywords_are_ignored() -> None:
    assert Tokens(prompt_tokens=5, color="red") == Tokens(prompt_tokens=5)  # type: ignore[call-arg]


@pytest.mark.parametrize(("given", "count"), [("12", 12), (12.0, 12), (True, 1), (False, 0), (-3, -3)])
def test_whole_numbers_in_other_clothes_are_taken(given: Any, count: int) -> None:
    tokens = Tokens(prompt_tokens=given)
    assert (tokens.prompt_tokens, type(tokens.prompt_tokens)) == (count, int)


@pytest.mark.parametrize("given", [1.5, "many", "", [], {}, float("nan"), float("inf"), object()])
def test_what_is_no_whole_number_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError, match="prompt_tokens"):
        Tokens(prompt_tokens=given)


def test_assigned_count_changes_the_total() -> None:
    tokens = Tokens(prompt_tokens=5)
    tokens.completion_tokens = 7
    assert tokens.total_tokens == 12
