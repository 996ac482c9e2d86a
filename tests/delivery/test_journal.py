"""The journal: lines in a file that is mapped, and a lock that tells the living from the dead."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track.delivery import journal as module
from xpander_track.delivery.journal import Journal, dead_journals, is_alive, line_of, read_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import Python


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "journal"
    folder.mkdir()
    return folder


@pytest.fixture(params=["mapped", "by calls"])
def journal(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    if request.param == "by calls":
        monkeypatch.setattr(module.mmap, "mmap", refuse)
    journal = Journal(folder)
    yield journal
    journal.abandon()


def lines_of(folder: Path) -> list[list[bytes]]:
    """What an adopter finds, journal by journal."""
    return [[line for batch in dead.lines() for line in batch] for dead in dead_journals(folder, "")]


def written(folder: Path) -> list[bytes]:
    """What is in each file, without the room behind it."""
    return [path.read_bytes().rstrip(b"\0") for path in folder.iterdir()]


class Refusing:
    """Room that cannot be written to."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __setitem__(self, place: object, value: object) -> None:
        raise self.error


def everything(journal: Journal) -> list[bytes]:
    """All that its owner reads, batch by batch."""
    return [line for batch in iter(journal.read, []) for line in batch]


# --- one process ---


def test_line_is_in_the_file_when_append_returns(folder: Path, journal: Journal) -> None:
    assert (journal.append(b'{"id":"a"}'), journal.problem) == (1, None)
    assert written(folder) == [line_of(1, b'{"id":"a"}')]


def test_append_makes_no_system_call(folder: Path) -> None:
    """But for now and then, to make room: a call that lets go of the GIL waits for whoever takes it."""
    journal = Journal(folder)
    journal.append(b"first")
    os.close(journal._file)  # type: ignore[arg-type]  # whatever asks the kernel for it fails now
    journal._file = -1
    for _ in range(100):
        journal.append(b"x" * 1000)
    journal._file = None
    assert (journal.problem, written(folder)[0].count(b"\n")) == (None, 101)


@pytest.mark.parametrize("length", [1, 100, 4000, 4096, 100_000, 131_072, 300_000, 9_000_000])
def test_lines_of_any_length_find_room(folder: Path, journal: Journal, length: int) -> None:
    expected = []
    for number in range(1, 8):
        journal.append(b"%d" % number * length)
        expected.append(line_of(number, b"%d" % number * length))
    read = everything(journal)
    assert (read == expected, journal.problem) == (True, None)
    assert written(folder) == [b"".join(expected)]


def test_lines_that_are_read_again_and_again_take_no_more_room(folder: Path, journal: Journal) -> None:
    for _ in range(1000):
        journal.append(b"x" * 1000)
        journal.read()
        journal.forget()
    assert [path.stat().st_size for path in folder.iterdir()] == [module._ROOM]


def test_long_file_is_cut_when_all_of_it_was_read(folder: Path, journal: Journal) -> None:
    for number in range(1, 4):
        journal.append(b"x" * 1_000_000)
        journal.read()
        journal.forget()
        assert (lines_of(folder), written(folder), journal.append(b"y")) == ([], [b""], 2 * number)
        journal.read()
        journal.forget()
    assert [path.stat().st_size for path in folder.iterdir()] == [module._ROOM]


def test_torn_line_takes_no_other_one_with_it(folder: Path, journal: Journal) -> None:
    journal.append(b"a")
    journal.abandon()
    path = folder / f"{journal.owner}.jsonl"
    lines = path.read_bytes().rstrip(b"\0")
    path.write_bytes(lines + b"2 7 e" + bytes(100) + line_of(3, b"c") + bytes(50) + b"\n\n" + bytes(50))
    assert lines_of(folder) == [[line_of(1, b"a"), line_of(3, b"c")]]


@pytest.mark.parametrize(("known", "kind"), [(module._KEEPS_PLACE, module.mmap.mmap), (set(), module._Unmapped)])
def test_file_is_mapped_only_where_what_is_allocated_stays_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, known: set[str], kind: type
) -> None:
    monkeypatch.setattr(module, "_KEEPS_PLACE", known)
    journal = Journal(folder)
    journal.append(b"a")
    if known and not module._may_be_mapped(journal._file):  # type: ignore[arg-type]
        pytest.skip("the temporary folder is on another kind of file system")
    assert type(journal._room) is kind
    journal.abandon()


def test_system_without_a_list_of_mounts_maps_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOUNTS", folder / "nothing")
    journal = Journal(folder)
    journal.append(b"a")
    assert (type(journal._room), written(folder)) == (module._Unmapped, [line_of(1, b"a")])
    journal.abandon()


def test_room_is_made_by_writing_where_it_cannot_be_allocated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As musl says of some network file systems; the GNU C library writes by itself."""

    def refuse(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(module.os, "posix_fallocate", refuse, raising=False)
    journal = Journal(folder)
    for number in range(1, 400):
        journal.append(b"%d" % number * 300)
    assert journal.problem is None
    assert everything(journal) == [line_of(number, b"%d" % number * 300) for number in range(1, 400)]
    journal.abandon()


def test_abandoned_journal_is_let_go_of_though_a_frame_holds_its_room(folder: Path) -> None:
    """Of a thread that the fork has left in the middle of an append."""
    journal = Journal(folder)
    journal.append(b"a")
    held = journal._room
    journal.abandon()
    assert (lines_of(folder), held is not None) == ([[line_of(1, b"a")]], True)


@pytest.mark.parametrize("copied", [slice(0), slice(50), slice(100, None), slice(1, None)])
def test_half_a_line_is_never_taken_for_a_whole_one(folder: Path, journal: Journal, copied: slice) -> None:
    """What a process leaves that is killed in the middle of an append, in whatever order its bytes are copied."""
    journal.append(b"a")
    journal.abandon()
    path = folder / f"{journal.owner}.jsonl"
    half = bytearray(200)
    half[copied] = line_of(2, b"b" * 130)[copied]
    path.write_bytes(path.read_bytes().rstrip(b"\0") + half + bytes(4096))
    ((first, *rest),) = lines_of(folder)
    assert first == line_of(1, b"a")
    for line in rest:
        with pytest.raises(ValueError):  # noqa: PT011  # whatever its message
            read_line(line)


def test_line_that_ctrl_c_breaks_takes_nothing_with_it(
    folder: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(b"a")
    with monkeypatch.context() as patch:
        patch.setattr(journal, "_room", Refusing(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            journal.append(b"b" * 100)
    journal.append(b"c")
    journal.abandon()
    assert lines_of(folder) == [[line_of(1, b"a"), line_of(3, b"c")]]


@pytest.mark.parametrize("fsync", [False, True])
def test_lines_are_brought_to_the_disk_itself_if_that_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, fsync: bool
) -> None:
    """All of each line, by whole pages."""
    journal = Journal(folder, fsync=fsync)
    journal.append(b"first")
    flushed: list[tuple[int, int]] = []

    class Room:
        def __init__(self, room: object) -> None:
            self.room = room

        def __setitem__(self, place: object, value: object) -> None:
            self.room[place] = value  # type: ignore[index]

        def flush(self, start: int, size: int) -> None:
            self.room.flush(start, size)  # type: ignore[attr-defined]
            flushed.append((start, start + size))

    with monkeypatch.context() as patch:
        patch.setattr(journal, "_room", Room(journal._room))
        for _ in range(3):
            journal.append(b"x" * 3000)
    journal.abandon()
    ends = [len(line_of(1, b"first")) + n * len(line_of(2, b"x" * 3000)) for n in (1, 2, 3)]
    assert flushed == ([(0, ends[0]), (0, ends[1]), (4096, ends[2])] if fsync else [])


def test_line_that_the_disk_refuses_is_kept_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(folder)
    journal.append(b"a")
    with monkeypatch.context() as patch:
        patch.setattr(journal, "_room", Refusing(OSError(errno.EIO, os.strerror(errno.EIO))))
        journal.append(b"b")
    journal.append(b"c")
    assert journal.problem is not None
    assert sorted(journal.read()) == [line_of(1, b"a"), line_of(2, b"b"), line_of(3, b"c")]
    journal.abandon()


def test_read_gives_each_line_once_in_order(journal: Journal) -> None:
    journal.append(b"a")
    journal.append(b"b")
    first = journal.read()
    journal.append(b"c")
    assert (first, journal.read(), journal.read()) == ([line_of(1, b"a"), line_of(2, b"b")], [line_of(3, b"c")], [])


def test_forget_shortens_the_file_and_numbers_go_on(folder: Path, journal: Journal) -> None:
    journal.append(b"a")
    journal.read()
    journal.forget()
    assert written(folder) == [b""]
    journal.append(b"b")
    assert journal.read() == [line_of(2, b"b")]


def test_forget_keeps_what_came_in_since_the_last_read(folder: Path, journal: Journal) -> None:
    journal.append(b"a")
    journal.read()
    journal.append(b"b")
    journal.forget()
    assert written(folder) == [line_of(1, b"a") + line_of(2, b"b")]
    assert journal.read() == [line_of(2, b"b")]


def lives(journal: Journal, folder: Path, turns: int, lines: int = 20) -> tuple[list[bytes], list[int]]:
    """A load that never pauses: all that was read, and the file's sizes."""
    read: list[bytes] = []
    sizes: list[int] = []
    journal.append(b"0" * 50)
    for turn in range(turns):
        read += journal.read()
        for number in range(lines):
            journal.append(b"%d" % (turn * lines + number + 1) * 10)
        journal.forget()
        sizes += map(len, written(folder))
    read += journal.read()
    return [read_line(line)[1] for line in read], sizes


def test_file_stays_short_under_a_load_that_never_pauses(
    folder: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONG", 5000)
    read, sizes = lives(journal, folder, 100)
    assert read == [b"0" * 50, *(b"%d" % number * 10 for number in range(1, 2001))]
    assert (len(sizes), max(sizes) < 10_000) == (100, True)


def test_file_that_was_begun_anew_is_a_living_ones_and_then_a_dead_ones(
    folder: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONG", 100)
    journal.append(b"a" * 100)
    journal.read()
    journal.append(b"b")
    journal.forget()
    assert written(folder) == [line_of(2, b"b")]
    assert (lines_of(folder), is_alive(folder, journal.owner)) == ([], True)
    journal.append(b"c")
    journal.abandon()
    assert (lines_of(folder), is_alive(folder, journal.owner)) == ([[line_of(2, b"b"), line_of(3, b"c")]], False)


def test_file_goes_on_where_there_is_no_room_to_begin_anew(
    folder: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: int, operation: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_LONG", 100)
    monkeypatch.setattr(module.fcntl, "flock", refuse)
    read, _ = lives(journal, folder, 3)
    assert read == [b"0" * 50, *(b"%d" % number * 10 for number in range(1, 61))]
    assert [path.name for path in folder.iterdir()] == [f"{journal.owner}.jsonl"]


def test_what_a_process_leaves_that_died_while_it_began_anew_is_removed(folder: Path, journal: Journal) -> None:
    journal.append(b"a")
    journal.abandon()
    (folder / f"{journal.owner}.new").write_bytes(b"half")
    for dead in dead_journals(folder, ""):
        dead.remove()
    assert list(folder.iterdir()) == []


def test_file_that_nobody_shortens_has_a_limit(folder: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes beyond is kept in memory, and the problem is told."""
    monkeypatch.setattr(module, "_MAX_FILE", 40_000)
    monkeypatch.setattr(module, "_ROOM", 4096)
    for _ in range(10):
        journal.append(b"x" * 10_000)
    assert [len(lines) for lines in written(folder)] == [3 * len(line_of(1, b"x" * 10_000))]
    assert (len(journal.read()), journal.problem is not None) == (10, True)


@pytest.mark.parametrize(
    "torn",
    [
        line_of(7, b"report")[:-3] + b"\n",
        line_of(7, b"report").replace(b"rep", b"rap"),
        line_of(7, b"report").replace(b"7", b"8", 1),
        b"7 6 00000000 report\n",
        b"7 report\n",
        b"\0" * 20 + b"\n",
        line_of(7, b"rep")[:-2] + line_of(8, b"report"),
    ],
)
def test_line_that_is_not_whole_is_told_from_one_that_is(torn: bytes) -> None:
    assert read_line(line_of(7, b"report")) == (7, b"report")
    with pytest.raises(ValueError):  # noqa: PT011  # whatever its message
        read_line(torn)


def test_line_longer_than_a_batch_is_read_whole(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 16)
    lines = [b"short", b"l" * 1000, b"short again"]
    for line in lines:
        journal.append(line)
    read = everything(journal)
    assert read == [line_of(number, line) for number, line in enumerate(lines, 1)]


def test_file_is_gone_after_close(folder: Path, journal: Journal) -> None:
    journal.close()
    assert list(folder.iterdir()) == []


def test_close_keeps_a_file_with_lines(folder: Path, journal: Journal) -> None:
    journal.append(b"a")
    journal.close()
    assert written(folder) == [line_of(1, b"a")]


def test_append_after_close_begins_a_new_journal(folder: Path, journal: Journal) -> None:
    owner = journal.owner
    journal.close()
    journal.append(b"a")
    assert journal.owner != owner
    assert written(folder) == [line_of(1, b"a")]


def test_threads_do_not_mix_their_lines(journal: Journal) -> None:
    def append(number: int) -> None:
        for _ in range(100):
            journal.append(b"%d" % number * 500)

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = everything(journal)
    assert [read_line(line)[0] for line in lines] == list(range(1, 801))
    assert sorted(read_line(line)[1] for line in lines) == sorted(b"%d" % n * 500 for n in range(8) for _ in range(100))


@pytest.mark.parametrize("when", range(2))
def test_finalizer_that_appends_during_an_append_neither_deadlocks_nor_breaks_it(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    """The garbage collector may run wherever something is made."""
    monkeypatch.setattr(module, "_ROOM", 4096)
    inner = iter([b"inner" * 900])
    calls = iter(range(10))

    def collect() -> None:
        if next(calls) == when:
            for line in inner:
                journal.append(line)

    class Room:
        def __init__(self, room: object) -> None:
            self.room = room

        def __setitem__(self, place: object, value: object) -> None:
            collect()
            self.room[place] = value  # type: ignore[index]
            collect()

        def __getitem__(self, place: object) -> object:
            return self.room[place]  # type: ignore[index]

    journal.append(b"first")
    monkeypatch.setattr(journal, "_room", Room(journal._room))
    journal.append(b"outer")
    journal.append(b"last")
    lines = everything(journal)
    assert sorted(lines) == [
        line_of(1, b"first"), line_of(2, b"outer"), line_of(3, b"inner" * 900), line_of(4, b"last"),
    ]  # fmt: skip


def appending(journal: Journal, inner: list[bytes], function: Callable[..., Any]) -> Callable[..., Any]:
    """*function*, after which a finalizer appends what is in *inner*."""

    def call(*args: Any, **kwargs: Any) -> Any:
        returned = function(*args, **kwargs)
        while inner:
            journal.append(inner.pop())
        return returned

    return call


def test_finalizer_that_appends_while_the_file_is_cut_loses_nothing(
    folder: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(b"long" * 100_000)
    everything(journal)
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "ftruncate", appending(journal, [b"inner"], os.ftruncate))
        journal.forget()
    journal.append(b"next")
    assert lines_of(folder) == []
    assert everything(journal) == [line_of(2, b"inner"), line_of(3, b"next")]
    journal.forget()
    assert (written(folder), journal.problem) == ([b""], None)


@pytest.mark.parametrize("step", ["unlink", "close"])
def test_finalizer_that_appends_while_the_file_is_closed_loses_nothing(
    folder: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    journal.append(b"a")
    everything(journal)
    journal.forget()
    owner = module.Path if step == "unlink" else os
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, appending(journal, [b"inner"], getattr(owner, step)))
        journal.close()
    journal.append(b"next")
    assert written(folder) == [line_of(2, b"inner") + line_of(3, b"next")]


@pytest.mark.parametrize("step", ["open", "pread", "pwrite", "rename"])
def test_finalizer_that_appends_while_the_file_is_begun_anew_loses_nothing(
    folder: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(module, "_LONG", 100)
    journal.append(b"a" * 100)
    journal.read()
    journal.append(b"b")
    owner = module.Path if step == "rename" else os
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, appending(journal, [b"inner"], getattr(owner, step)))
        journal.forget()
    journal.append(b"next")
    expected = [line_of(2, b"b"), line_of(3, b"inner"), line_of(4, b"next")]
    assert everything(journal) == expected
    journal.abandon()
    assert lines_of(folder) == [expected]


def test_finalizer_that_appends_while_room_is_made_leaves_enough(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = iter([b"inner" * 30_000])
    allocate = module._allocate

    def allocate_and_collect(file: int, start: int, size: int) -> None:
        allocate(file, start, size)
        for line in inner:
            journal.append(line)

    monkeypatch.setattr(module, "_allocate", allocate_and_collect)
    journal.append(b"outer")
    journal.append(b"last")
    assert sorted(journal.read()) == [line_of(1, b"outer"), line_of(2, b"inner" * 30_000), line_of(3, b"last")]


# --- without a disk ---


def test_journal_without_a_folder_keeps_lines_in_memory() -> None:
    journal = Journal(None)
    journal.append(b"a")
    assert (journal.problem, journal.read(), journal.read()) == (None, [line_of(1, b"a")], [])


def test_memory_is_bounded_the_oldest_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_MEMORY", 150)
    journal = Journal(None)
    for number in range(10):
        journal.append(b"%d" % number * 20)
    assert ([line[-2:-1] for line in journal.read()], journal.dropped) == ([b"6", b"7", b"8", b"9"], 6)


def test_full_disk_is_told_and_the_line_kept_whole_in_memory(python: Python, folder: Path) -> None:
    """Of a line that fits in part nothing is left in the file; when there is room again, lines go to disk again."""
    process = python(
        """
import resource
from xpander_track.delivery.journal import Journal, read_line
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(os.environ["FOLDER"]))
file = Path(os.environ["FOLDER"]) / f"{journal.owner}.jsonl"
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
say(journal.append(b"a" * 50), journal.problem)
say(journal.append(b"b" * 70), journal.problem.errno, file.stat().st_size)
say(journal.append(b"c" * 70), journal.problem.errno, file.stat().st_size)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
say(journal.append(b"d" * 70), file.stat().st_size)
say([(number, report[:1]) for number, report in map(read_line, journal.read())])
""",
        FOLDER=str(folder),
    )
    assert process.wait().lines == [
        "1 None",
        "2 27 65",
        "3 27 65",
        "4 131072",
        "[(2, b'b'), (3, b'c'), (1, b'a'), (4, b'd')]",
    ]


# --- the dead and the living ---


def test_journal_of_a_living_process_is_not_adopted(folder: Path, journal: Journal) -> None:
    journal.append(b"a")
    assert (lines_of(folder), is_alive(folder, journal.owner)) == ([], True)


def test_journal_of_a_dead_process_is_adopted(folder: Path, journal: Journal) -> None:
    journal.append(b"a")
    journal.abandon()
    assert (lines_of(folder), is_alive(folder, journal.owner)) == ([[line_of(1, b"a")]], False)


def test_kernel_frees_the_lock_of_a_killed_process(python: Python, folder: Path) -> None:
    process = python(
        """
from xpander_track.delivery.journal import Journal
journal = Journal(Path(os.environ["FOLDER"]))
journal.append(b"a")
say("ready")
threading.Event().wait()
""",
        FOLDER=str(folder),
    )
    process.until("ready")
    before = lines_of(folder)
    process.kill()
    assert (before, lines_of(folder)) == ([], [[line_of(1, b"a")]])


def test_journal_whose_file_is_gone_is_dead(folder: Path) -> None:
    assert not is_alive(folder, "1-abcdef")


def test_our_own_journal_is_never_adopted_by_us(folder: Path, journal: Journal) -> None:
    journal.abandon()
    assert list(dead_journals(folder, journal.owner)) == []


def test_two_adopters_do_not_get_the_same_journal(folder: Path, journal: Journal) -> None:
    journal.append(b"a")
    journal.abandon()
    first = dead_journals(folder, "")
    dead = next(first)
    second = list(dead_journals(folder, ""))
    dead.remove()
    first.close()  # type: ignore[attr-defined]  # it is a generator
    assert (second, list(dead_journals(folder, ""))) == ([], [])


def test_adopter_that_waited_for_another_one_gets_nothing(
    folder: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal was adopted between finding and locking it."""
    journal.append(b"a")
    journal.abandon()
    flock = fcntl.flock

    def remove_first(file: int, operation: int) -> None:
        (folder / f"{journal.owner}.jsonl").unlink()
        flock(file, operation)

    monkeypatch.setattr(module.fcntl, "flock", remove_first)
    assert list(dead_journals(folder, "")) == []


def test_adopter_that_fails_leaves_the_journal_to_the_next(folder: Path, journal: Journal) -> None:
    journal.append(b"a")
    journal.abandon()
    with contextlib.suppress(ZeroDivisionError), contextlib.closing(dead_journals(folder, "")) as dead:  # type: ignore[type-var]
        for _ in dead:
            raise ZeroDivisionError
    assert lines_of(folder) == [[line_of(1, b"a")]]


@pytest.mark.parametrize("torn", [b"3", b"3 ", b'3 {"id":'])
def test_torn_last_line_is_not_adopted(folder: Path, journal: Journal, torn: bytes) -> None:
    """The process was killed while it wrote: that run had not returned."""
    journal.append(b"a")
    journal.append(b"b")
    journal.abandon()
    path = folder / f"{journal.owner}.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\0") + torn)
    assert lines_of(folder) == [[line_of(1, b"a"), line_of(2, b"b")]]


def test_all_batches_of_a_dead_journal_are_read(
    folder: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 16)
    for number in range(50):
        journal.append(b"x" * number)
    journal.abandon()
    assert lines_of(folder) == [[line_of(number + 1, b"x" * number) for number in range(50)]]


def test_forked_child_lets_go_of_its_parents_journal(python: Python, folder: Path) -> None:
    """Else a child that lives on would keep its dead parent's runs from being adopted."""
    process = python(
        """
from xpander_track.delivery.journal import Journal
journal = Journal(Path(os.environ["FOLDER"]))
journal.append(b"a")
if os.fork() == 0:
    journal.abandon()
    say("child is there")
    os.close(1)
    os.close(2)
    threading.Event().wait()
threading.Event().wait()
""",
        FOLDER=str(folder),
    )
    process.until("child is there")
    before = lines_of(folder)
    process.kill()
    assert (before, lines_of(folder)) == ([], [[line_of(1, b"a")]])


def test_new_journal_is_not_adopted_before_it_is_locked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between making the file and locking it, a neighbour may look for dead ones: what is written later is safe."""
    flock = fcntl.flock

    def look_first(file: int, operation: int) -> None:
        monkeypatch.setattr(module.fcntl, "flock", flock)
        for dead in dead_journals(folder, ""):
            dead.remove()
        flock(file, operation)

    monkeypatch.setattr(module.fcntl, "flock", look_first)
    journal = Journal(folder)
    journal.append(b"a")
    journal.abandon()
    assert lines_of(folder) == [[line_of(1, b"a")]]


# --- files ---


def test_file_is_readable_by_nobody_else_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        journal = Journal(folder)
    finally:
        os.umask(before)
    journal.append(b"a")
    modes = [oct(path.stat().st_mode & 0o777) for path in folder.iterdir()]
    journal.abandon()
    assert modes == ["0o600"]


def test_symlinks_are_not_followed(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(line_of(1, b"a"))
    (folder / "1-abcdef.jsonl").symlink_to(target)
    assert (lines_of(folder), is_alive(folder, "1-abcdef")) == ([], False)
    assert target.read_bytes() == line_of(1, b"a")


def test_other_files_in_the_folder_are_left_alone(folder: Path) -> None:
    (folder / "notes.txt").write_bytes(line_of(1, b"a"))
    (folder / "folder.jsonl").mkdir()
    assert lines_of(folder) == []
    assert sorted(path.name for path in folder.iterdir()) == ["folder.jsonl", "notes.txt"]


def test_journal_that_could_not_be_opened_is_opened_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        journal = Journal(folder)
        journal.append(b"in memory")
    owner = journal.owner
    journal.append(b"on disk")
    assert (journal.owner, [path.stem for path in folder.glob("*.jsonl")]) == (owner, [owner])
    assert sorted(read_line(line)[1] for line in journal.read()) == [b"in memory", b"on disk"]
