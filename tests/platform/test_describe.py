from __future__ import annotations

import builtins
import sys
import types
from typing import Any

import pytest

from xpander_track.describe import describe_error, stand_in, well_formed


class Unreadable(Exception):
    def __str__(self) -> str:
        raise SystemExit


class Group(Exception):
    """As the exception groups that Python 3.10 gets from a package."""

    def __init__(self, message: str, *exceptions: BaseException) -> None:
        super().__init__(message)
        self.exceptions = exceptions


class BrokenGroup(Exception):
    @property
    def exceptions(self) -> Any:
        raise SystemExit


@pytest.mark.parametrize(
    ("error", "described"),
    [
        (ValueError("boom"), "ValueError: boom"),
        (ValueError(), "ValueError"),
        (KeyError("k"), "KeyError: 'k'"),
        (SystemExit(3), "SystemExit: 3"),
        (ValueError("lone \ud800"), "ValueError: lone ?"),
        (Unreadable(), "Unreadable: (its message cannot be read: SystemExit)"),
        (Group("two", ValueError("a"), KeyError("b")), "Group: two [ValueError: a; KeyError: 'b']"),
        (Group("none"), "Group: none"),
        (Group("outer", Group("inner", KeyError())), "Group: outer [Group: inner [KeyError]]"),
        (BrokenGroup("alone"), "BrokenGroup: alone"),
    ],
)
def test_error_is_described_by_type_message_and_leaves(error: BaseException, described: str) -> None:
    assert describe_error(error) == described


@pytest.mark.skipif(sys.version_info < (3, 11), reason="has no exception groups")
def test_exception_group_is_described_with_its_leaves() -> None:
    inner = builtins.ExceptionGroup("inner", [KeyError("b")])
    group = builtins.ExceptionGroup("two", [ValueError("a"), inner])
    assert describe_error(group) == (
        "ExceptionGroup: two (2 sub-exceptions) "
        "[ValueError: a; ExceptionGroup: inner (1 sub-exception) [KeyError: 'b']]"
    )


def test_group_that_is_in_itself_is_described_in_bounds() -> None:
    group = Group("circular")
    group.exceptions = (group,) * 3
    assert len(describe_error(group)) < 20_000


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (object, "<class 'object'>"),
        (types.SimpleNamespace(a="x" * 10_000), f"namespace(a='{'x' * 487}…"),
        (ValueError("boom"), "<ValueError: boom>"),
        (types.SimpleNamespace(a="lone \ud800"), "namespace(a='lone \\ud800')"),
    ],
)
def test_stand_in_is_a_short_text(value: object, shown: str) -> None:
    assert stand_in(value) == shown


@pytest.mark.parametrize(
    ("text", "expected"), [("", ""), ("a", "a"), ("é😀", "é😀"), ("a\ud800é", "a?é"), ("\ud83d\ude00", "??")]
)
def test_well_formed_replaces_lone_surrogates(text: str, expected: str) -> None:
    assert well_formed(text) == expected
