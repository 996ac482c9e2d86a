"""What ``import xpander_track`` does, and what the package is made of."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import xpander_track

PACKAGE = Path(xpander_track.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

_LOOK = """
import json, os, sys, threading
written = []
writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
sys.addaudithook(lambda event, given: event == "open" and (given[2] or 0) & writing and written.append(str(given[0])))
environment, folder = dict(os.environ), os.listdir(".")
import xpander_track
print(json.dumps({
    "threads": [thread.name for thread in threading.enumerate()],
    "written": written,
    "modules": sorted(sys.modules),
    "handlers": len(__import__("logging").getLogger("xpander_track").handlers),
    "changed": environment != dict(os.environ) or folder != os.listdir("."),
}))
"""


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a fresh process sees after the import."""
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "HOME": str(home), "XPANDER_TRACK_HOME": str(home)}
    line = [sys.executable, "-B", "-W", "error", "-c", _LOOK]
    printed = subprocess.run(line, check=True, capture_output=True, text=True, env=environment, cwd=home).stdout
    return {**json.loads(printed), "home": list(home.iterdir())}


def test_importing_starts_no_thread(looked: dict[str, object]) -> None:
    assert looked["threads"] == ["MainThread"]


def test_importing_writes_nothing_and_leaves_nothing(looked: dict[str, object]) -> None:
    assert (looked["written"], looked["home"], looked["changed"], looked["handlers"]) == ([], [], False, 0)


@pytest.mark.parametrize("name", ["httpx", "openai", "anthropic", "anyio", "xpander_sdk"])
def test_importing_does_not_import(name: str, looked: dict[str, object]) -> None:
    modules = looked["modules"]
    assert isinstance(modules, list)
    assert name not in modules


@pytest.mark.parametrize("source", SOURCES, ids=[str(source.relative_to(PACKAGE)) for source in SOURCES])
def test_contextvars_are_not_used(source: Path) -> None:
    names = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.keyword):
            names.add(node.arg or "")
    assert names.isdisjoint({"contextvars", "ContextVar", "copy_context", "get_context", "Context"})


def test_all_names_what_is_there() -> None:
    public = {
        name for name, value in vars(xpander_track).items()
        if not name.startswith("_") and type(value).__name__ != "module"
    }  # fmt: skip
    assert sorted(xpander_track.__all__) == sorted(public)


def test_all_is_sorted_and_has_no_name_twice() -> None:
    names = xpander_track.__all__
    assert names == sorted(set(names), key=lambda name: (name[0].islower(), name))


@pytest.mark.parametrize("name", xpander_track.__all__)
def test_what_is_public_is_described(name: str) -> None:
    assert (getattr(xpander_track, name).__doc__ or "").strip()


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_only_the_named_packages_are_imported() -> None:
    allowed = {"httpx", "pydantic", "pydantic_core", "wrapt", *sys.stdlib_module_names}
    imported = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").split(".")[0])
    assert imported <= allowed


def test_the_tests_run_on_the_versions_that_are_promised() -> None:
    assert tuple(map(int, version("pydantic").split(".")[:2])) >= (2, 11)
