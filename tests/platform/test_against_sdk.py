"""
One program, two packages: what it puts on the wire and what it gets back are the same.

The real SDK is looked for in the Python that XPANDER_SDK_PYTHON names, else in this one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import xpander_track

from ..platform_server import Answer, PlatformServer, Request

SCRIPT = Path(__file__).with_name("reporting_script.py")
# Read before the environment is cleared for the tests.
SDK_PYTHON = os.environ.get("XPANDER_SDK_PYTHON") or (
    sys.executable if importlib.util.find_spec("xpander_sdk") else None
)


class Outcome:
    """What one run of the script has sent, and what it has printed."""

    def __init__(self, python: str, package: str, **environment: str) -> None:
        with PlatformServer() as server:
            server.now = lambda: "2026-01-02T03:04:05Z"
            server.always = _refused_agents
            environment |= {
                "PYTHONHASHSEED": "0",
                "XPANDER_API_KEY": "key-of-environment",
                "XPANDER_AGENT_ID": "agent-of-environment",
                "XPANDER_BASE_URL": server.url,
            }
            command = [python, str(SCRIPT), package, server.url]
            done = subprocess.run(
                command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
            )
        assert done.returncode == 0, done.stderr
        self.returned: dict[str, Any] = dict(map(json.loads, done.stdout.splitlines()))
        self.requests = [
            (
                request.method,
                request.target,
                re.sub(rb"(?<=\d)e-0(?=\d)", b"e-", request.body),  # 1e-09 and 1e-9 are one number
                {name: request.headers.get(name) for name in ("x-api-key", "content-type", "accept", "authorization")},
            )
            for request in server.requests
        ]


def _refused_agents(request: Request) -> Answer | None:
    """Agents named ``status-503`` and the like are answered with that status."""
    _, found, status = request.target.partition("/agent-execution/status-")
    if not found:
        return None
    code = int(status.partition("/")[0])
    return Answer(code, text="" if code == 304 else '{"detail": "näh"}', headers={"location": "/elsewhere"})


@pytest.mark.slow
@pytest.mark.skipif(SDK_PYTHON is None, reason="xpander_sdk is not installed, and XPANDER_SDK_PYTHON names no Python")
def test_requests_and_what_is_returned_are_the_same() -> None:
    assert SDK_PYTHON is not None
    ours = Outcome(sys.executable, "xpander_track.platform", PYTHONPATH=str(Path(xpander_track.__file__).parents[1]))
    theirs = Outcome(SDK_PYTHON, "xpander_sdk")
    assert (ours.requests, ours.returned) == (theirs.requests, theirs.returned)
