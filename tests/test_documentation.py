"""What the README and the examples show is what happens."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import xpander_track

from .platform_server import PlatformServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
SNIPPETS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def run(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        check=True, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(xpander_track.__file__).parents[1]), **environment},
    )  # fmt: skip
    return done.stdout


def imported(snippet: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(snippet)):
        if isinstance(node, ast.ImportFrom) and node.module == "xpander_track":
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippet_of_the_readme_is_python_and_imports_what_there_is(snippet: str) -> None:
    assert set(imported(snippet)) <= set(xpander_track.__all__)


def test_quickstarts_runs_are_in_the_history_afterwards() -> None:
    printed = run(str(ROOT / "examples" / "quickstart.py"))
    recorded = json.loads(run("-m", "xpander_track", "runs", "--json"))
    assert [(one["agent_id"], one["ending"], one["used_tools"]) for one in recorded] == [
        ("stdlib-docs", "failed", ["search"]),
        ("stdlib-docs", "completed", ["search", "read_doc", "read_source"]),
    ]
    assert all(one["id"] in printed for one in recorded)
    assert "statistics.median" in recorded[1]["result"]


def test_quickstarts_runs_arrive_at_a_platform_that_is_configured() -> None:
    with PlatformServer() as server:
        run(str(ROOT / "examples" / "quickstart.py"), XPANDER_API_KEY="key-1", XPANDER_BASE_URL=server.url)
        assert sorted(task["status"] for task in server.tasks.values()) == ["completed", "failed"]
        assert {request.headers["x-api-key"] for request in server.requests} == {"key-1"}
