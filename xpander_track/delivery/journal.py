"""
Where the end of a run is written down at once.

Promises: what ``append`` has written survives the process, however it dies. A lock on the file, which the kernel
frees, tells the living from the dead: only the owner of a living journal reads it, and whoever gets a dead one's lock
adopts it. The file exists for as long as its owner has something unfinished, and is shortened when its lines are safe
elsewhere, also under a load that never pauses.

The end of the file is mapped into memory, and a line is copied there: no system call, so that the GIL is not let go
of. (``write`` lets go, and beside a busy Python thread gets it back after 1.5 ms on average: measured, in
``tests/benchmarks/journal_append.py``.) The room is allocated before it is mapped, and mapped only where it then stays
the file's own: a full disk must not be found out about by a signal. Elsewhere a line is written.

A line is ``number length checksum report``, the first three in hexadecimal: one that is torn is told from a whole one.
Zeros between lines, and behind the last one, are room.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import random
import threading
import zlib
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIX = ".jsonl"
_NEW = ".new"
_UNREADABLE = "unreadable.jsonl"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
# So much is mapped at a time: some hundred runs. What is read soon is overwritten, and no more is ever used.
_ROOM = 128 * 1024
_MOUNTS = Path("/proc/self/mountinfo")  # See proc(5).
# Where a file that was allocated is written to in place.
_KEEPS_PLACE = {"ext2", "ext3", "ext4", "xfs", "tmpfs", "ramfs", "overlay"}
_NOT_KNOWN_THERE = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
# What is read at a time is in memory several times over, as Python objects.
_BATCH = 256 * 1024
# A file of which this much was read is begun anew, though more comes in all the time.
_LONG = 16 * 1024 * 1024
# A file that nobody shortens (the store cannot be used) gets no longer than this.
_MAX_FILE = 256 * 1024 * 1024
# Lines that could not be written wait in memory, up to this many bytes; beyond, the oldest is dropped and counted.
_MAX_MEMORY = 64 * 1024 * 1024


class Journal:
    """
    The journal of this process.

    Args:
        folder: Where its file is; None keeps the lines in memory.
        fsync: Whether each line is brought to the disk itself, so that it survives the machine as well.
    """

    def __init__(self, folder: Path | None, *, fsync: bool = False) -> None:
        self._folder = folder
        self._fsync = fsync
        self._file: int | None = None
        self._size = 0  # of the lines in the file
        self._read_to = 0
        self._lines = 0
        # The part of the file that is mapped. There is none yet where the two are equal.
        self._room: mmap.mmap | _Unmapped | None = None
        self._room_start = self._room_end = 0
        self._may_map = False
        self._memory: deque[bytes] = deque()
        self._memory_size = 0
        # Re-entrant: a finalizer that runs inside of append() may end a run of its own.
        self.lock = threading.RLock()
        self.owner = ""
        self._is_owner_known = False  # There was a file of that name.
        self.problem: OSError | None = None
        self.dropped = 0
        try:
            self._open()
        except OSError as error:  # Too many open files, for instance: each line tries again.
            self.problem = error

    def append(self, report: bytes) -> int:
        """
        Write down *report* as a line, on disk or else in memory; its number.

        What kept it from the disk is in ``problem``, not raised.
        """
        with self.lock:
            self._lines = number = self._lines + 1
            line = line_of(number, report)
            length = len(line)
            if self._size + length > self._room_end and not self._finds_room(length):
                self._remember(line)
                return number
            room = self._room
            assert room is not None
            # First of all, so that what a finalizer or a signal's handler appends in the middle of this goes behind it.
            self._size += length
            end = self._size - self._room_start
            start = end - length
            try:
                room[start:end] = line
                if self._fsync:
                    page = start - start % mmap.PAGESIZE
                    room.flush(page, end - page)
            except (OSError, IndexError, ValueError) as error:
                # The disk; or, in the middle of this, a signal's handler has made room, or forked.
                self.problem = error if isinstance(error, OSError) else self.problem
                self._remember(line)
            return number

    def read(self) -> list[bytes]:
        """The complete lines since the last ``read``, about 256 KiB at a time; to be followed by ``forget``."""
        with self.lock:
            lines: list[bytes] = []
            while self._memory:  # One by one: a finalizer may append in the middle of this.
                lines.append(self._memory.popleft())
                self._memory_size -= len(lines[-1])
            if self._file is None or self._read_to == self._size:
                return lines
            if self._room is not None and self._read_to >= self._room_start:
                data = self._room[self._read_to - self._room_start : self._size - self._room_start]
            else:
                data = _read_lines(self._file, self._read_to)
            self._read_to += len(data)
        return lines + _split(data)

    def forget(self) -> None:
        """What was read is safe elsewhere: shorten the file."""
        with self.lock:
            if self._file is None or not self._read_to:
                return
            zeros, whole = bytes(min(self._read_to, _ROOM)), slice(0, self._read_to)
            # From here to the end of the block nothing is made, so that no finalizer appends in the middle of it.
            if self._size == self._read_to:
                if self._room is not None and self._room_start == 0 < self._room_end <= _ROOM:
                    self._room[whole] = zeros
                else:
                    self._room_end = 0
                    os.ftruncate(self._file, 0)
                if self._size == self._read_to:  # Else after that call: it goes on where it was.
                    self._size = self._read_to = 0
            elif self._read_to > _LONG:
                self._begin_anew()

    def close(self) -> None:
        """Nothing is unfinished: remove the file. A later ``append`` begins a new one."""
        with self.lock:
            file = self._file
            if file is None:
                return
            path = self._path()
            if not self._size:
                # First of all, so that what a finalizer appends in the middle of this begins a new one.
                self._file, self._room, self._room_end = None, None, 0
                path.unlink(missing_ok=True)
                os.close(file)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's file, whose lock would else live on in us."""
        if self._room is not None and not isinstance(self._room, _Unmapped):
            self._room.close()  # It has a descriptor of its own; a thread's frame that the fork has left may hold it.
        self._unmap()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _path(self) -> Path:
        assert self._folder is not None
        return self._folder / f"{self.owner}{_SUFFIX}"

    def _open(self) -> None:
        self._size = self._read_to = 0
        self._unmap()
        if not self.owner or self._is_owner_known:
            self.owner = f"{os.getpid()}-{random.SystemRandom().getrandbits(48):012x}"
            self._is_owner_known = False
        if self._folder is None:
            return
        file = os.open(self._path(), _FLAGS | os.O_EXCL, 0o600)
        self._is_owner_known = True
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file).st_nlink:
            self._file = file
            self._may_map = _may_be_mapped(file)
            self._bring_folder_to_disk()
        else:  # Before we had the lock, another process took it for a dead one's, and removed it.
            os.close(file)
            self._open()

    def _begin_anew(self) -> None:
        """What was not read yet goes into a new file, which takes the place of the long one in one step."""
        old = self._file
        assert old is not None
        new = self._path().with_suffix(_NEW)
        file = os.open(new, _FLAGS | os.O_TRUNC, 0o600)
        copied = 0

        def copy() -> None:
            nonlocal copied
            rest = os.pread(old, self._size - self._read_to - copied, self._read_to + copied)
            _write_whole(file, rest, copied)
            copied += len(rest)

        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            copy()
            if self._fsync:
                os.fsync(file)
            new.rename(self._path())
            while self._read_to + copied < self._size:  # A finalizer has appended in the middle of this.
                copy()
        except OSError:  # There is no room for both: the long one goes on, until all of it was read.
            os.close(file)
            new.unlink(missing_ok=True)
            return
        # Without a call in between, as in forget(): nothing is appended in the middle.
        self._room, self._room_start, self._room_end = None, 0, 0
        self._file, self._size, self._read_to = file, copied, 0
        os.close(old)
        self._bring_folder_to_disk()

    def _bring_folder_to_disk(self) -> None:
        """The name of the file is safe as well."""
        if self._fsync:
            folder = os.open(self._path().parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _finds_room(self, length: int) -> bool:
        """Whether there is room for *length* bytes, now that more of the file is mapped."""
        try:
            while self._size + length > self._room_end and self._folder is not None:
                self._make_room(length)
        except OSError as error:
            self.problem = error
        return self._size + length <= self._room_end

    def _make_room(self, length: int) -> None:
        """Map the end of the file, and *length* bytes more at least; or raise OSError."""
        if self._size + length > _MAX_FILE:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if self._file is None:
            self._open()
        assert self._file is not None
        start = self._size - self._size % mmap.ALLOCATIONGRANULARITY
        needed = self._size - start + length
        size = max(_ROOM, needed)
        try:
            _allocate(self._file, start, size)
        except OSError:  # It may be enough for this one.
            size = needed
            _allocate(self._file, start, size)
        room: mmap.mmap | _Unmapped = _Unmapped(self._file, start)
        if self._may_map:
            with contextlib.suppress(OSError):
                room = mmap.mmap(self._file, size, offset=start)
        self._room, self._room_start, self._room_end = room, start, start + size

    def _unmap(self) -> None:
        self._room = None
        self._room_start = self._room_end = 0

    def _remember(self, line: bytes) -> None:
        self._memory.append(line)
        self._memory_size += len(line)
        while self._memory_size > _MAX_MEMORY:
            self._memory_size -= len(self._memory.popleft())
            self.dropped += 1


class _Unmapped:
    """Room in a file that cannot be mapped, as on some shared folders: written by calls, else as if it were mapped."""

    def __init__(self, file: int, start: int) -> None:
        self._file = file
        self._start = start

    def __setitem__(self, place: slice, data: bytes) -> None:
        _write_whole(self._file, data, self._start + place.start)

    def __getitem__(self, place: slice) -> bytes:
        return os.pread(self._file, place.stop - place.start, self._start + place.start)

    def flush(self, _: int, __: int) -> None:
        os.fsync(self._file)


class DeadJournal:
    """A journal whose process is gone, while we hold its lock."""

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._file = file
        self.owner = path.name.removesuffix(_SUFFIX)

    def lines(self) -> Iterator[list[bytes]]:
        """All of its complete lines, in batches."""
        read_to = 0
        while data := _read_lines(self._file, read_to):
            read_to += len(data)
            yield _split(data)

    def remove(self) -> None:
        """Everything of it is safe elsewhere."""
        self._path.with_suffix(_NEW).unlink(missing_ok=True)  # It died while it began anew.
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the lock."""
        os.close(self._file)


def dead_journals(folder: Path, but: str) -> Iterator[DeadJournal]:
    """Each journal in *folder* that no living process owns, locked for us; *but* is our own."""
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        if path.name == f"{but}{_SUFFIX}":
            continue
        try:
            file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # Gone meanwhile, a link, or not ours to read.
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            continue  # Its process lives, or another one is adopting it.
        journal = DeadJournal(path, file)
        try:
            if os.fstat(file).st_nlink:  # Else it was adopted between open() and flock().
                yield journal
        finally:
            journal.close()


def set_aside(folder: Path, lines: list[bytes]) -> Path:
    """Keep *lines* that cannot be read, in a file beside; which one."""
    path = folder.parent / _UNREADABLE
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, b"".join(lines))
    finally:
        os.close(file)
    return path


def is_alive(folder: Path, owner: str) -> bool:
    """Whether the process that owns the journal *owner* still runs."""
    while True:
        try:
            file = os.open(folder / f"{owner}{_SUFFIX}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if os.fstat(file).st_nlink:
                return False
        except OSError:
            return True
        finally:
            os.close(file)
        # Between open() and flock() it has begun a new file, or is gone: look again.


def line_of(number: int, report: bytes) -> bytes:
    """*report* as line *number* of a journal."""
    return b"%x %x %x %b\n" % (number, len(report), zlib.crc32(report, number), report)


def read_line(line: bytes) -> tuple[int, bytes]:
    """
    The number of a line, and its report.

    Raises:
        ValueError: It is torn, or was changed, or is of another format.
    """
    number, length, checksum, report = line.rstrip(b"\n").split(b" ", 3)
    if int(length, 16) != len(report) or int(checksum, 16) != zlib.crc32(report, int(number, 16)):
        raise ValueError("the checksum is wrong")
    return int(number, 16), report


def _may_be_mapped(file: int) -> bool:
    """
    Whether what is allocated of *file* stays its own, so that writing to it where it is mapped needs no more room.

    Not so where each write goes to another place (btrfs, zfs, ...), or to another machine: there a full disk would be
    told by a signal that ends the process.
    """
    device = os.fstat(file).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # No Linux.
        return False
    kinds = [line.partition(" - ")[2].split(" ", 1)[0] for line in mounts if line.split(" ", 3)[2] == number]
    return bool(kinds) and kinds[-1] in _KEEPS_PLACE


def _allocate(file: int, start: int, size: int) -> None:
    """Take so many bytes of the disk for *file*; OSError, if there are not as many."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file, start, size)
        except OSError as error:
            if error.errno not in _NOT_KNOWN_THERE:
                raise
        else:
            return
    missing = max(0, start + size - os.fstat(file).st_size)
    _write_whole(file, bytes(missing), start + size - missing)


def _write_whole(file: int, data: bytes, at: int) -> None:
    if os.pwrite(file, data, at) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _read_lines(file: int, position: int) -> bytes:
    """Complete lines from *position*; a single line longer than a batch is read whole."""
    size = _BATCH
    while True:
        data = os.pread(file, size, position)
        end = data.rfind(b"\n") + 1
        if end or len(data) < size:
            return data[:end]
        size *= 2


def _split(data: bytes) -> list[bytes]:
    """The lines of *data*. Before one there may be room, and what was torn before that."""
    lines = (line[line.rfind(b"\0") + 1 :] for line in data.splitlines(keepends=True))
    return [line for line in lines if line.strip()]
