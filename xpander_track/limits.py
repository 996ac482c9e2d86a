"""How much of the run history is kept on disk."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """
    Where there is more than this, delivered runs go first, then those that wait; of each the oldest.

    Args:
        days: How long a run is kept after its start; one that waits, until it was tried ten times.
        runs: How many runs are kept.
        bytes: How much of the disk they take, roughly.
    """

    days: float = 14.0
    runs: int = 100_000
    bytes: int = 200_000_000


# For whoever only looks, or delivers by hand: to forget runs is for the programs that record them.
UNLIMITED = Limits(math.inf, sys.maxsize, sys.maxsize)
