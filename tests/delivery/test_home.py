"""The folder that runs are kept in: ours alone, or none."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import xpander_track
from xpander_track import configure
from xpander_track.delivery.home import home as find_home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Python


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


@pytest.fixture
def no_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody has chosen a folder; the user's own is given."""
    monkeypatch.delenv("XPANDER_TRACK_HOME")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    return tmp_path


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


# --- which ---


def test_configure_comes_before_the_environment(tmp_path: Path, home: Path) -> None:
    configure(home=tmp_path / "configured")
    assert find_home() == tmp_path / "configured"
    assert not home.exists()


def test_environment_comes_before_the_state_folder(home: Path) -> None:
    assert find_home() == home


def test_tilde_is_the_users_folder(no_choice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XPANDER_TRACK_HOME", "~/runs")
    assert find_home() == no_choice / "user" / "runs"


def test_state_folder_is_xdgs(no_choice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(no_choice / "state"))
    assert find_home() == no_choice / "state" / "xpander_track"


@pytest.mark.parametrize("state", [None, "", "relative/path"])
def test_default_is_under_the_users_folder(no_choice: Path, monkeypatch: pytest.MonkeyPatch, state: str | None) -> None:
    if state is not None:
        monkeypatch.setenv("XDG_STATE_HOME", state)
    assert find_home() == no_choice / "user" / ".local" / "state" / "xpander_track"


def test_without_a_users_folder_it_is_a_temporary_one(no_choice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(no_choice / "a file" / "user"))
    (no_choice / "a file").touch()
    found = find_home()
    assert found is not None
    assert found.parent == no_choice / "tmp"


def test_process_without_any_environment_keeps_its_runs(tmp_path: Path) -> None:
    """No HOME and no entry in the list of users."""
    code = (
        "import os, pwd; pwd.getpwuid = lambda uid: (_ for _ in ()).throw(KeyError(uid))\n"
        "import tempfile; tempfile.tempdir = os.getcwd()\n"
        "from xpander_track.delivery.home import home; print(home())"
    )
    environment = {"PYTHONPATH": str(Path(xpander_track.__file__).parents[1])}
    command = [sys.executable, "-W", "error", "-c", code]
    found = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    assert Path(found.stdout.strip()).parent == tmp_path


# --- ours alone ---


def test_folders_are_open_to_nobody_else_whatever_the_umask(home: Path, open_umask: None) -> None:
    find_home()
    assert (mode(home), mode(home / "journal")) == ("0o700", "0o700")


def test_folders_made_on_the_way_are_open_to_nobody_else(tmp_path: Path, open_umask: None) -> None:
    """Whoever may write to a folder above may put another one in its place."""
    configure(home=tmp_path / "state" / "deep" / "home")
    find_home()
    assert [mode(tmp_path / "state"), mode(tmp_path / "state" / "deep")] == ["0o700", "0o700"]


def test_folder_that_was_open_to_others_is_closed(home: Path) -> None:
    home.mkdir()
    home.chmod(0o777)
    assert find_home() == home
    assert mode(home) == "0o700"


def test_folder_of_somebody_else_is_not_used(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    home.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    assert find_home() is None
    assert "belongs to another user" in caplog.text


def test_link_to_a_folder_of_somebody_else_is_not_used(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").mkdir()
    home.symlink_to(tmp_path / "theirs")
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    assert find_home() is None


# --- none ---


@pytest.fixture(params=["below a file", "a file", "below nothing that can be made"])
def impossible(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "file").touch()
    return {
        "below a file": tmp_path / "file" / "home",
        "a file": tmp_path / "file",
        "below nothing that can be made": Path("/proc/nothing/home"),
    }[request.param]


def test_home_that_cannot_be_made_is_none_with_one_warning(
    impossible: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XPANDER_TRACK_HOME", str(impossible))
    assert (find_home(), find_home()) == (None, None)
    assert [(record.levelno, record.name) for record in caplog.records] == [(logging.WARNING, "xpander_track")]
    assert "delivered from memory" in caplog.text


def test_without_a_home_runs_are_delivered_from_memory_after_one_warning(python: Python, impossible: Path) -> None:
    process = python("runs(20); say(flush())", XPANDER_TRACK_HOME=str(impossible)).wait()
    assert (process.code, process.lines) == (0, ["Flushed(delivered=20, pending=0, rejected=0, dropped=0)"])
    assert process.errors.count("Nothing can be kept on disk") == 1


def test_relative_home_stays_where_it_was_when_the_folder_is_changed(
    python: Python, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    process = python(
        "run(0); os.chdir('elsewhere'); runs(5, 1); say(flush().delivered); finish()", XPANDER_TRACK_HOME="kept"
    ).wait()
    assert (process.lines[0], list((tmp_path / "elsewhere").iterdir())) == ("6", [])
    assert (tmp_path / "kept" / "runs.sqlite3").exists()
