"""Each test has a home of its own, no credentials, and no net under our own steps: what fails there, fails the test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from xpander_track import boundary, redaction, settings
from xpander_track.delivery import outbox, routing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OURS = ("XPANDER_", "IS_STG", "IS_XPANDER_CLOUD")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that this test's runs are kept in."""
    for name in list(os.environ):
        if name.startswith(_OURS) or name.lower() in _PROXIES:
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("XPANDER_TRACK_HOME", str(folder))
    monkeypatch.setattr(boundary, "reraise", True)
    forget_everything()
    yield folder
    outbox.shutdown(5)
    forget_everything()


def forget_everything() -> None:
    """As if no run had been in this process."""
    outbox._dispatcher = None
    outbox._is_shut_down = False
    settings._current = settings.Settings()
    routing._decided.clear()
    boundary._said.clear()
    boundary.troubles = 0
    redaction._keys.clear()
