"""Atomic replacement and journals: a fault at every system call, kills, two writers."""

from __future__ import annotations

import errno
import io
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from sega_session.errors import InvalidValueError, SessionFileError, SessionFormatError
from sega_session.files import append_line, atomic, locked
from tests.support.saver import content, is_free, kill_appends, kill_saves, left_beside

OLD, NEW = content(0), content(1)

CALLS = [
    *("open", "close", "read", "write", "lseek", "fsync", "ftruncate", "replace", "unlink"),
    *("stat", "lstat", "fstat", "chmod", "scandir", "readlink"),
]
"""The functions of os that the module, pathlib and FileLock call."""

on_posix = pytest.mark.skipif(os.name != "posix", reason="permissions, signals and forks")


def write_new(file: BinaryIO) -> None:
    for begin in range(0, len(NEW), 100_000):
        file.write(NEW[begin : begin + 100_000])


def write_again(file: BinaryIO) -> None:
    file.write(b"again")


def replace_file(
    path: Path,
    write: Callable[[BinaryIO], None],
    before_move: Callable[[], None] = lambda: None,
) -> None:
    """Replace a file as sessions do."""
    with locked(path) as target:
        atomic.replace_file(target, write, before_move)


def append_first(path: Path) -> None:
    with locked(path) as target:
        append_line(target, b"", 0)


def failure(call: Callable[[], object]) -> str | None:
    """Return the message of the SessionFileError that a call raises, or None."""
    try:
        call()
    except SessionFileError as error:
        return str(error)
    return None


class Faults:
    """A count of the calls into os, one of which fails (a write: after half of its bytes)."""

    def __init__(self, fail_at: int | None = None, code: int = errno.EIO) -> None:
        self.fail_at, self.code = fail_at, code
        self.called: list[str] = []

    @property
    def failed(self) -> str:
        return self.called[self.fail_at or 0]

    def wrapped(self, name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        def call(*args: Any, **options: Any) -> Any:
            self.called.append(name)
            if len(self.called) - 1 != self.fail_at:
                return original(*args, **options)
            if name == "close":
                original(*args)
            elif name == "write":
                original(args[0], args[1][: len(args[1]) // 2])
            raise OSError(self.code, os.strerror(self.code))

        return call

    @contextmanager
    def active(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self.wrapped(name))
            patch.setattr(atomic, "open", open_through_os, raising=False)
            yield


class _ThroughOs(io.RawIOBase):
    """An open file whose bytes go through os.write, where faults can be injected."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: Any) -> int:
        return os.write(self._descriptor, bytes(data))

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._descriptor)


def open_through_os(path: Path, mode: str, opener: Callable[[str, int], int]) -> io.BufferedWriter:
    assert mode == "xb"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    return io.BufferedWriter(_ThroughOs(opener(os.fspath(path), flags)))


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.sega"
    replace_file(path, lambda file: None)
    assert path.read_bytes() == b""
    replace_file(path, write_new)
    assert path.read_bytes() == NEW
    assert left_beside(path) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("there", [True, False], ids=["replace", "make"])
def test_a_fault_at_any_call_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, there: bool, code: int, figure: Callable[[str], None]
) -> None:
    def fresh(number: int | str) -> Path:
        path = tmp_path / str(number) / "a.sega"
        path.parent.mkdir()
        if there:
            path.write_bytes(OLD)
        return path

    recorded = Faults()
    path = fresh("recorded")
    with recorded.active():
        replace_file(path, write_new)
    assert {"open", "write", "fsync", "close", "replace", "scandir"} <= set(recorded.called)
    assert recorded.called.count("write") >= 4
    passed_over = []
    for number in range(len(recorded.called)):
        path, faults = fresh(number), Faults(number, code)
        with faults.active():
            message = failure(partial(replace_file, path, write_new))
        if message is None:
            passed_over.append(faults.failed)
        else:
            assert str(path) in message
            assert os.strerror(code) in message
            assert "\n" not in message
            assert ("is written, but" in message) == ("replace" in faults.called[:number])
        if message is None or "is written, but" in message:
            assert path.read_bytes() == NEW
        else:
            assert (path.read_bytes() if path.exists() else None) == (OLD if there else None)
        assert left_beside(path) in ([], [".a.sega.lock"])
        assert is_free(path)
        replace_file(path, write_new)
        assert left_beside(path) == []
    # Errors of these calls are ignored: looking at parent folders, sweeping, removing the lock and
    # closing it.
    assert [name for name in passed_over if name != "lstat"] == ["scandir", "unlink", "close"]
    figure(f"{len(recorded.called)} calls of a save failed in turn; {len(passed_over)} did no harm")


def test_a_temp_that_cannot_be_removed_is_swept_by_the_next_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sega"
    path.write_bytes(OLD)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        patch.setattr(os, "unlink", fail)
        with pytest.raises(SessionFileError, match=r"a\.sega' cannot be written: Input/output"):
            replace_file(path, write_new)
    assert [name[-4:] for name in left_beside(path)] == [".tmp", "lock"]
    assert path.read_bytes() == OLD
    replace_file(path, write_new)
    assert left_beside(path) == []


def test_stale_temps_of_this_file_are_swept_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a+.sega"
    stale = [".a+.sega.1-0123abcd.tmp", ".a+.sega.99999-ffffffff.tmp"]
    kept = [
        ".aa.sega.1-0123abcd.tmp",
        ".a+.sega.tmp",
        "a+.sega.1-0123abcd.tmp",
        ".b.1-01234567.tmp",
    ]
    for name in (*stale, *kept):
        (tmp_path / name).write_bytes(b"")
    replace_file(path, write_new)
    assert left_beside(path) == sorted(kept)


@pytest.mark.parametrize("error", [SessionFormatError("not so"), KeyboardInterrupt(), ValueError()])
@pytest.mark.parametrize("where", ["write", "before it is moved"])
def test_other_errors_pass_through_and_leave_nothing(
    tmp_path: Path, where: str, error: BaseException
) -> None:
    path = tmp_path / "a.sega"
    path.write_bytes(OLD)

    def write(file: BinaryIO) -> None:
        file.write(b"some")
        if where == "write":
            raise error

    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        replace_file(path, write, fail)
    assert caught.value is error
    assert path.read_bytes() == OLD
    assert left_beside(path) == []
    assert is_free(path)


def test_the_new_file_is_complete_before_it_is_moved(tmp_path: Path) -> None:
    path = tmp_path / "a.sega"
    path.write_bytes(OLD)
    seen: list[list[bytes]] = []

    def look() -> None:
        temporary = sorted(tmp_path.glob(".a.sega.*.tmp"))
        seen.append([one.read_bytes() for one in (*temporary, path)])

    replace_file(path, write_new, look)
    assert seen == [[NEW, OLD]]


def test_a_lock_file_stays_only_while_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "a.sega"
    with locked(path):
        assert left_beside(path) == [".a.sega.lock"]
    assert left_beside(path) == []
    # A killed writer's stays; the next writer removes it.
    (tmp_path / ".a.sega.lock").write_bytes(b"")
    replace_file(path, write_new)
    assert left_beside(path) == []


def test_writers_exclude_each_other_while_locks_come_and_go(tmp_path: Path) -> None:
    """Between many writers that remove the lock file, no two are ever inside at once."""
    path, code = (
        tmp_path / "a.sega",
        """if True:
        import os, sys
        from pathlib import Path
        from sega_session.files import locked
        path = Path(sys.argv[1])
        for _ in range(150):
            with locked(path):
                inside = os.open(path.with_name("inside"), os.O_CREAT | os.O_EXCL)
                os.close(inside)
                os.unlink(path.with_name("inside"))
    """,
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, path]) for _ in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert list(tmp_path.iterdir()) == []


@on_posix
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_on_a_new_file(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        replace_file(tmp_path / "a.sega", write_new)
        append_line(tmp_path / "a.journal", b"line", 0)
    finally:
        os.umask(before)
    for name in ("a.sega", "a.journal"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode


@on_posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666, 0o777])
def test_a_file_keeps_its_permissions_and_never_has_more(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.sega"
    path.write_bytes(OLD)
    path.chmod(mode)
    during = []

    def write(file: BinaryIO) -> None:
        during.append(stat.S_IMODE(os.fstat(file.fileno()).st_mode))
        write_new(file)

    replace_file(path, write)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert during == [mode]
    assert path.read_bytes() == NEW


@on_posix
def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link, other = tmp_path / "real" / "a.sega", tmp_path / "link", tmp_path / "other"
    link.symlink_to("other")
    other.symlink_to(real)
    replace_file(link, write_new)
    replace_file(other, write_again)
    with locked(link) as target:
        assert target == real
    append_line(link, b" and again", 0)
    assert real.read_bytes() == b" and again\n"
    assert link.is_symlink()
    assert other.is_symlink()
    assert left_beside(real) == []
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link", "other", "real"]


@on_posix
def test_a_link_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    real, link = tmp_path / "a.sega", tmp_path / "link"
    real.write_bytes(OLD)
    link.symlink_to(real)
    recorded = Faults()
    with recorded.active():
        replace_file(link, write_new)
    for number in range(len(recorded.called)):
        real.write_bytes(OLD)
        with Faults(number).active():
            message = failure(lambda: replace_file(link, write_new))
        assert link.is_symlink()
        written = message is None or "is written, but" in message
        assert real.read_bytes() == (NEW if written else OLD)


def refusals(folder: Path) -> dict[str, tuple[Path, str]]:
    (folder / "a folder").mkdir()
    (folder / "a file").write_bytes(b"")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "a pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(folder / "a socket"))
    return {
        "no folder": (folder / "none" / "a.sega", "No such file or directory .*a folder must be"),
        "a folder": (folder / "a folder", "Is a directory. Give the path of a file"),
        "a file as folder": (folder / "a file" / "a.sega", "Not a directory"),
        "a pipe": (folder / "a pipe", "it is no regular file. Correct the path"),
        "a socket": (folder / "a socket", "it is no regular file"),
        "a loop": (folder / "loop", "it is no regular file"),
        "a long name": (folder / ("x" * 254), "name too long .*Take a shorter name"),
        "a nul": (folder / "a\0b", "embedded null"),
    }


@on_posix
@pytest.mark.parametrize("call", [lambda p: replace_file(p, write_new), append_first])
def test_what_cannot_be_written_is_one_line_with_path_reason_and_remedy(
    tmp_path: Path, call: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path, message in refusals(tmp_path).values():
        with pytest.raises(SessionFileError, match=message) as caught:
            call(path)
        assert str(caught.value).startswith(f"{str(path)!r} cannot be written: ")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "none").exists()
    assert stat.S_ISFIFO((tmp_path / "a pipe").stat().st_mode)


@on_posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SessionFileError, match=r"Permission denied .*Change the permissions"):
        replace_file(tmp_path / "a.sega", write_new)


@on_posix
def test_a_file_system_that_cannot_sync_folders_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    replace_file(tmp_path / "a.sega", write_new)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "Free some space"),
        (errno.EACCES, "Change the permissions"),
        (errno.EROFS, "can be written to"),
        (errno.EIO, "Check the disk"),
    ],
)
def test_each_reason_has_its_remedy(tmp_path: Path, code: int, remedy: str) -> None:
    path = tmp_path / "a.sega"

    def write(file: BinaryIO) -> None:
        raise OSError(code, os.strerror(code))

    message = f"{str(path)!r} cannot be written: {os.strerror(code)}. "
    with pytest.raises(SessionFileError, match=f"^{re.escape(message)}.*{remedy}"):
        replace_file(path, write)
    assert left_beside(path) == []


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    path, inside, most, done = tmp_path / "a.sega", [], [], []

    def write(file: BinaryIO) -> None:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        write_new(file)
        inside.pop()

    def work() -> None:
        for _ in range(3):
            replace_file(path, write)
        done.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
    assert len(most) == 12
    assert max(most) == 1


def test_a_writer_waits_for_another_process_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sega"
    path.write_bytes(OLD)
    code = """if True:
        import sys
        from pathlib import Path
        from sega_session.files import locked, replace_file
        def write(file):
            print("inside", flush=True)
            sys.stdin.readline()
            file.write(b"other")
        with locked(Path(sys.argv[1])) as path:
            replace_file(path, write)
    """
    other = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        stdin, stdout = other.stdin, other.stdout
        assert stdin
        assert stdout
        assert stdout.readline() == b"inside\n"

        def release() -> None:
            stdin.write(b"\n")
            stdin.flush()

        monkeypatch.setattr(atomic, "LOCK_SECONDS", 0.1)
        with pytest.raises(SessionFileError, match=r"another writer has held '.*\.a\.sega\.lock'"):
            replace_file(path, write_new)
        assert path.read_bytes() == OLD
        assert len(left_beside(path)) == 2  # the other's temporary file, and its lock
        monkeypatch.setattr(atomic, "LOCK_SECONDS", 20.0)
        threading.Timer(0.2, release).start()
        replace_file(path, write_new)
    assert other.returncode == 0
    assert path.read_bytes() == NEW
    assert left_beside(path) == []


@on_posix
def test_kills_at_random_moments_leave_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    during, changed = kill_saves(tmp_path / "a.sega", 25)
    assert during + changed > 0
    replace_file(tmp_path / "a.sega", write_new)
    assert (tmp_path / "a.sega").read_bytes() == NEW
    assert left_beside(tmp_path / "a.sega") == []


@on_posix
def test_kills_leave_a_journal_of_whole_lines(tmp_path: Path) -> None:
    assert kill_appends(tmp_path / "a.journal", 10) > 0


def test_lines_follow_each_other(tmp_path: Path) -> None:
    path, size = tmp_path / "a.journal", 0
    for line in (b"one", b"", "zwölf".encode(), b"y" * 300_000):
        size = append_line(path, line, size) or 0
        assert path.stat().st_size == size
    assert path.read_bytes() == b"one\n\n" + "zwölf\n".encode() + b"y" * 300_000 + b"\n"
    with pytest.raises(
        InvalidValueError, match=r"line is b'a\\nb'; allowed: bytes without a newline"
    ):
        append_line(path, b"a\nb", size)


def test_a_new_journal_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_bytes(b"lines\nof another fi")
    assert append_line(path, b"next", 0) == 5
    assert path.read_bytes() == b"next\n"


@pytest.mark.parametrize("found", [None, b"", b"one", b"one\ntwo\n"])
def test_a_journal_that_is_not_as_it_was_left_is_not_continued(
    tmp_path: Path, found: bytes | None
) -> None:
    path = tmp_path / "a.journal"
    if found is not None:
        path.write_bytes(found)
    assert append_line(path, b"next", 4) is None
    assert (path.read_bytes() if path.exists() else None) == found


def test_a_short_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, sizes = os.write, []

    def write(descriptor: int, data: bytes) -> int:
        sizes.append(len(data))
        return original(descriptor, data[: max(1, len(data) // 2)])

    monkeypatch.setattr(os, "write", write)
    append_line(tmp_path / "a.journal", b"abcdefg", 0)
    assert (tmp_path / "a.journal").read_bytes() == b"abcdefg\n"
    assert sizes == [8, 4, 2, 1]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("before", [b"", b"one\n"], ids=["new", "continued"])
def test_a_fault_at_any_call_leaves_a_journal_of_whole_lines(
    tmp_path: Path, before: bytes, code: int
) -> None:
    def fresh(number: int | str) -> Path:
        path = tmp_path / str(number) / "a.journal"
        path.parent.mkdir()
        if before:
            path.write_bytes(before)
        return path

    recorded = Faults()
    with recorded.active():
        append_line(fresh("recorded"), b"next", len(before))
    assert {"open", "write", "fsync", "close"} <= set(recorded.called)
    for number in range(len(recorded.called)):
        path, faults = fresh(number), Faults(number, code)
        with faults.active():
            message = failure(partial(append_line, path, b"next", len(before)))
        found = path.read_bytes() if path.exists() else b""
        if message is None or "is written, but" in message:
            assert found == before + b"next\n"
        else:
            assert found == before
            assert append_line(path, b"last", len(before)) == len(before) + 5
            assert path.read_bytes() == before + b"last\n"


def test_a_line_that_cannot_be_taken_back_is_not_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.journal"
    append_line(path, b"one", 0)
    original = os.write

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def write(descriptor: int, data: bytes) -> int:
        if len(data) < 5:
            fail()
        return original(descriptor, data[:2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        patch.setattr(os, "ftruncate", fail)
        with pytest.raises(SessionFileError, match=r"Input/output error. Check the disk"):
            append_line(path, b"next", 4)
    assert path.read_bytes() == b"one\nne"
    assert append_line(path, b"last", 4) is None
