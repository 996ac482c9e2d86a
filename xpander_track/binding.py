"""A run that goes where its function goes: ``run.bind``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from . import inheritance
from .boundary import misuse
from .current import Entry
from .driving import Scope
from .wrapping import wrapped

if TYPE_CHECKING:
    from .run import Run


def bound(run: Run, function: Any) -> Any:
    """*function*, of any kind, with *run* current while its body runs; see ``Run.bind``."""
    if isinstance(function, type) or not (callable(function) or isinstance(function, classmethod)):
        raise misuse(TypeError(f"run.bind() takes a function, not {type(function).__name__}."))

    def begin(*_: object) -> Scope:
        return _Stay(run)

    return wrapped(function, begin, functools.partial(bound, run))


class _Stay(Entry, Scope):
    """Makes a run current where it would not be."""

    __slots__ = ()

    def enter(self) -> None:
        inheritance.ensure()
        super().enter()

    def end(self, error: BaseException | None, returned: object = None) -> None:  # noqa: ARG002  # nothing is recorded
        self.leave()
