"""The folder where runs are kept: ours alone, or none."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from .. import settings
from ..boundary import say_once

_PRIVATE = 0o700
_OURS = ("journal", "runs.sqlite3", "unreadable.jsonl")


def home() -> Path | None:
    """
    The folder, made if need be; None where nothing can be kept on disk.

    ``configure(home=...)``, else ``XPANDER_TRACK_HOME``, else ``xpander_track`` in the XDG state folder
    (https://specifications.freedesktop.org/basedir-spec/), else a temporary folder of this user.
    """
    chosen = settings.current().home or os.environ.get("XPANDER_TRACK_HOME")
    candidates = [Path(chosen).expanduser().absolute()] if chosen else [*_state_folders(), _temporary()]
    problems: list[str] = []
    for folder in candidates:
        try:
            _claim(folder)
            (folder / "journal").mkdir(mode=_PRIVATE, exist_ok=True)
        except (OSError, RuntimeError) as error:
            problems.append(str(error))
            continue
        return folder
    say_once(
        "no home",
        "Nothing can be kept on disk (%s): runs are delivered from memory and are lost if the process dies before. "
        "Set XPANDER_TRACK_HOME to a folder of your own.",
        "; ".join(problems),
    )
    return None


def _state_folders() -> list[Path]:
    base = os.environ.get("XDG_STATE_HOME", "")
    try:
        # The specification: a relative path is to be ignored.
        return [(Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "xpander_track"]
    except RuntimeError:  # No home directory.
        return []


def _temporary() -> Path:
    return Path(tempfile.gettempdir()) / f"xpander_track-{os.getuid()}"


def _claim(folder: Path) -> None:
    """Make *folder* ours, readable by nobody else; or raise OSError."""
    for made in [*reversed(folder.parents), folder]:  # mkdir(parents=True) would leave those to the umask.
        if not made.exists():
            made.mkdir(mode=_PRIVATE, exist_ok=True)
    status = folder.lstat()
    if stat.S_ISLNK(status.st_mode):
        status = folder.stat()
    if status.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another user")
    if status.st_mode & 0o077:
        if any(not entry.name.startswith(_OURS) for entry in folder.iterdir()):
            raise PermissionError(f"{folder} is open to others and holds other files: give a folder of its own")
        folder.chmod(_PRIVATE)
