"""A platform of its own for each test, and calls in both forms."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import xpander_track
from xpander_track.platform import Backend, Configuration

from ..platform_server import PlatformServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Call = Callable[..., Any]
    RunPython = Callable[..., subprocess.CompletedProcess[str]]

KEY = "key-1"


@pytest.fixture(autouse=True)
def _no_backend_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backend, "_of_the_process", None)


@pytest.fixture
def server() -> Iterator[PlatformServer]:
    with PlatformServer() as server:
        yield server


@pytest.fixture
def configuration(server: PlatformServer) -> Configuration:
    return Configuration(api_key=KEY, base_url=server.url, timeout=10)


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """``call(Task.load, "run-1")``: the method, or its async form in a loop of its own."""

    def call_async(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return asyncio.run(getattr(method.__self__, f"a{method.__name__}")(*args, **kwargs))

    return call_async if request.param == "async" else lambda method, *args, **kwargs: method(*args, **kwargs)


@pytest.fixture
def run_python() -> RunPython:
    """
    ``run_python(code, XPANDER_API_KEY="k")``: a process of its own, where a warning is an error.

    What needs the process while it runs is given as ``during=function_of_the_process``.
    """

    def run(
        code: str, *, during: Callable[[subprocess.Popen[str]], object] = lambda _: None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        path = {"PYTHONPATH": str(Path(xpander_track.__file__).parents[1])}
        pipes = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.PIPE)
        command = [sys.executable, "-W", "error", "-c", code]
        with subprocess.Popen(command, text=True, env={**os.environ, **path, **environment}, **pipes) as process:
            try:
                during(process)
                output, errors = process.communicate(timeout=60)
            finally:
                process.kill()
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    return run
