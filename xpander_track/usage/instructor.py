"""
Reads the answers of instructor: models of the user's own, which keep the provider's response (``_raw_response``).

Where things are: https://python.useinstructor.com/concepts/raw_response/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .shape import private

if TYPE_CHECKING:
    from .reading import Reading, See


def read_model(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """An answer."""
    del data
    raw = private(value, "_raw_response")
    return None if raw is None else see(raw)
