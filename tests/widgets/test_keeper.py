"""A session is written to the folder after every edit."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sega_widgets import keeper as module
from sega_widgets.gallery import KEPT, kept_path, saved_path
from sega_widgets.keeper import Keeper, Kept, NameLock, held

from sega_session import EditSession
from sega_session.errors import SegaSessionError

from .fakes import Model, new_session

LIMIT = 30.0
"""Seconds after which a test fails instead of hanging."""

EDIT_AND_END = """
import sys
from pathlib import Path
from sega_widgets.keeper import Keeper
from sega_session import EditSession
from sega_session.testing import FakeModel

session = EditSession(FakeModel(), "a cat")
keeper = Keeper(session, Path(sys.argv[1]))
session.add("glasses")
keeper.note()
"""


@pytest.fixture
def keeper(session: EditSession, tmp_path: Path) -> Iterator[Keeper]:
    keeper = Keeper(session, tmp_path)
    yield keeper
    keeper.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_written_before_the_first_edit(
    keeper: Keeper, session: EditSession, tmp_path: Path
) -> None:
    keeper.note()
    keeper.note_render(session.render())
    assert keeper.wait(LIMIT)
    assert names(tmp_path) == []
    assert keeper.kept == Kept("a-cat")
    assert keeper.words == ""


def test_every_edit_is_kept_with_the_last_picture(
    keeper: Keeper, session: EditSession, model: Model, tmp_path: Path
) -> None:
    seen: list[Kept] = []
    keeper.follow(seen.append)
    keeper.note_render(session.render())
    for name in ("glasses", "beard"):
        session.add(name, warmup=1)
        keeper.note()
        assert keeper.wait(LIMIT)
        again = EditSession.load(kept_path(tmp_path, "a-cat"), model)
        assert again.history == session.history
    assert keeper.picture.is_file()
    assert names(tmp_path) == [KEPT]
    statuses = [one.status for one in seen]
    assert statuses[:3] == ["new", "saving", "saved"]
    assert statuses[-1] == "saved"
    assert seen[-1].when > 0
    assert keeper.words == "sega-session/a-cat.safetensors"
    session.undo()
    keeper.note()
    assert keeper.wait(LIMIT)
    assert EditSession.load(kept_path(tmp_path, "a-cat"), model).history == session.history


def test_a_kept_file_has_nothing_that_can_be_computed_again(
    keeper: Keeper, session: EditSession, tmp_path: Path
) -> None:
    session.add("glasses", warmup=1)
    session.render()
    keeper.note()
    assert keeper.wait(LIMIT)
    session.save(tmp_path / "all.safetensors")
    kept = kept_path(tmp_path, "a-cat").stat().st_size
    assert kept < (tmp_path / "all.safetensors").stat().st_size


def test_a_failure_is_told_and_tried_again(
    keeper: Keeper, session: EditSession, model: Model, tmp_path: Path
) -> None:
    failed, seen = threading.Event(), []

    def show(kept: Kept) -> None:
        seen.append(kept)
        if kept.status == "failed":
            failed.set()

    keeper.follow(show)
    (tmp_path / KEPT).write_text("a file where the folder should be")
    session.add("glasses", warmup=1)
    keeper.note()
    assert failed.wait(LIMIT)
    assert keeper.kept.status == "failed"
    assert KEPT in keeper.kept.why
    (tmp_path / KEPT).unlink()
    session.add("beard", warmup=1)
    keeper.note()  # an edit tries at once, without waiting
    assert keeper.wait(LIMIT)
    assert (keeper.kept.status, keeper.kept.why) == ("saved", "")
    assert EditSession.load(kept_path(tmp_path, "a-cat"), model).history == session.history


def test_a_failure_is_tried_again_without_an_edit(
    keeper: Keeper, session: EditSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN", 0.05)
    (tmp_path / KEPT).write_text("a file where the folder should be")
    failed = threading.Event()
    keeper.follow(lambda kept: failed.set() if kept.status == "failed" else None)
    session.add("glasses", warmup=1)
    keeper.note()
    assert failed.wait(LIMIT)
    (tmp_path / KEPT).unlink()
    assert keeper.wait(LIMIT)
    assert keeper.kept.status == "saved"


def test_two_sessions_never_write_to_one_file(model: Model, tmp_path: Path) -> None:
    keepers = [Keeper(new_session(model), tmp_path) for _ in range(3)]
    for number, keeper in enumerate(keepers):
        assert keeper.kept.name == "a-cat"
        keeper._session.add(f"concept {number}", warmup=1)  # noqa: SLF001
        keeper.note()
        assert keeper.wait(LIMIT)
    assert [one.kept.name for one in keepers] == ["a-cat", "a-cat-2", "a-cat-3"]
    for keeper in keepers:
        keeper.close()


def test_an_open_session_goes_on_elsewhere_as_a_copy(
    keeper: Keeper, session: EditSession, model: Model, tmp_path: Path
) -> None:
    session.add("glasses", warmup=1)
    keeper.note()
    assert keeper.wait(LIMIT)
    path = kept_path(tmp_path, "a-cat")
    before = path.read_bytes()
    other = EditSession.load(path, model)
    second = Keeper(other, tmp_path, "a-cat")
    assert second.kept == Kept("a-cat-2", copy_of="a-cat")
    other.add("beard", warmup=1)
    second.note()
    second.close()
    assert path.read_bytes() == before
    assert EditSession.load(kept_path(tmp_path, "a-cat-2"), model).history == other.history
    keeper.close()
    third = Keeper(other, tmp_path, "a-cat")
    assert (third.kept.name, third.kept.status) == ("a-cat", "saved")
    third.close()


def test_a_session_is_renamed_with_its_files(
    keeper: Keeper, session: EditSession, tmp_path: Path
) -> None:
    session.add("glasses", warmup=1)
    keeper.note()
    keeper.note_render(session.render())
    assert keeper.wait(LIMIT)
    session.save(saved_path(tmp_path, "a-cat"))
    session.save(saved_path(tmp_path, "taken"))
    with pytest.raises(SegaSessionError, match=r"There is a session 'taken' already\. Choose"):
        keeper.rename("taken")
    assert keeper.kept.name == "a-cat"
    keeper.rename("my cat")
    assert names(tmp_path) == ["my cat.safetensors", "sega-session", "taken.safetensors"]
    assert names(tmp_path / KEPT) == [".my cat.open", "my cat.png", "my cat.safetensors"]
    session.add("beard", warmup=1)
    keeper.note()
    keeper.close()
    assert names(tmp_path / KEPT) == ["my cat.png", "my cat.safetensors"]


def test_closing_writes_what_is_waiting(model: Model, tmp_path: Path) -> None:
    session = new_session(model)
    keeper = Keeper(session, tmp_path)
    session.add("glasses", warmup=1)
    keeper.note()
    keeper.close()
    assert EditSession.load(kept_path(tmp_path, "a-cat"), model).history == session.history
    session.add("beard", warmup=1)
    keeper.note()
    assert keeper.wait(LIMIT)


def test_the_last_edit_of_a_process_is_kept(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", EDIT_AND_END, str(tmp_path)], check=True)
    assert names(tmp_path / KEPT) == ["a-cat.safetensors"]


def test_an_open_session_is_not_touched(tmp_path: Path) -> None:
    lock = NameLock(tmp_path, "one")
    assert lock.take()
    with pytest.raises(SegaSessionError, match=r"'one' is open\. Close it"), held(tmp_path, "one"):
        pass
    lock.give_back()
    with held(tmp_path, "one"):
        assert not NameLock(tmp_path, "one").take()
