"""What type checkers say of calls as users write them: the right ones are exactly inferred, the wrong ones refused."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import xpander_track

FOLDER = Path(__file__).parent
PACKAGES = str(Path(xpander_track.__file__).parents[1])
EXPECTED = re.compile(r"  # type: ignore\[[\w-]+\]")


def mypy(folder: Path, sources: list[str]) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), *sources]
    environment = {**os.environ, "MYPYPATH": PACKAGES}
    return subprocess.run(line, check=False, capture_output=True, text=True, cwd=folder, env=environment)


def pyright(folder: Path, sources: list[str]) -> subprocess.CompletedProcess[str]:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    settings = {"typeCheckingMode": "strict", "pythonVersion": version, "include": sources, "extraPaths": [PACKAGES]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    line = [sys.executable, "-m", "pyright", "--project", str(folder), "--pythonpath", sys.executable]
    return subprocess.run(line, check=False, capture_output=True, text=True, cwd=folder)


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_right_calls_are_inferred_and_wrong_ones_refused(checker: str, tmp_path: Path) -> None:
    """
    ``api.py`` has no error, and ``wrong.py`` none that it does not ignore, nor an ignored one that is none.

    The other way round: without these comments each of their lines, and no other, has an error.
    """
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    wrong = (FOLDER / "wrong.py").read_text()
    for name, text in {
        "api.py": (FOLDER / "api.py").read_text(), "wrong.py": wrong, "unmarked.py": EXPECTED.sub("", wrong),
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    ended = {"mypy": mypy, "pyright": pyright}[checker](tmp_path, ["api.py", "wrong.py", "unmarked.py"])
    found: dict[str, set[int]] = {"api.py": set(), "wrong.py": set(), "unmarked.py": set()}
    for name, line in re.findall(r"(\w+\.py):(\d+).* error: ", ended.stdout):
        if name in found:
            found[name].add(int(line))
    expected = {number for number, line in enumerate(wrong.splitlines(), 1) if EXPECTED.search(line)}
    assert found == {"api.py": set(), "wrong.py": set(), "unmarked.py": expected}, ended.stdout + ended.stderr
