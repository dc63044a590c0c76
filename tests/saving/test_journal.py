"""Autosave: every edit is recovered after a crash."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import evolve

from sega_session import Concept, EditSession, EditState
from sega_session.errors import AutosaveWarning, SessionFileError, UnsupportedPipelineError
from sega_session.files import dump, open_tensors
from sega_session.saving import journal as module
from sega_session.saving import session_file
from sega_session.saving.document import read_document
from sega_session.saving.journal import Autosave, compute_change, recover_history
from sega_session.saving.session_file import journal_path
from sega_session.state import History
from sega_session.testing import FakeModel
from tests.saving.test_document import DOCUMENT


@pytest.fixture
def session() -> EditSession:
    return EditSession(FakeModel(), "a cat", num_inference_steps=6, batch_plan="canonical")


def recover(path: Path) -> EditSession:
    return EditSession.recover(path, FakeModel())


def test_every_edit_is_there_after_a_crash(session: EditSession, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    session.autosave(path)
    walk: list[Callable[[], object]] = [
        lambda: session.add("hat", warmup=1),
        lambda: session.render(output_type="latent"),
        lambda: session.invert("hat"),
        lambda: session.branch("other"),
        session.undo,
        lambda: session.add("beard", warmup=2),
        lambda: session.render("preview", output_type="latent"),
        session.undo,
        session.redo,
        lambda: session.checkout("other"),
        lambda: session.rename_branch("other", "another"),
        lambda: session.remove("hat"),
        lambda: session.render(output_type="latent"),
        lambda: session.momentum(scale=0.2),
    ]
    for number, step in enumerate(walk):
        step()
        # The files as they are at this moment, as after a power cut.
        copy = tmp_path / f"{number}.safetensors"
        shutil.copy(path, copy)
        if journal_path(path).exists():
            shutil.copy(journal_path(path), journal_path(copy))
        assert recover(copy).history == session.history


def test_renders_are_recovered_too(session: EditSession, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    session.autosave(path)
    session.add("hat", warmup=1)
    rendered = session.render(output_type="latent")
    again = recover(path).render(output_type="latent")
    assert (again.evaluations, torch.equal(again.latents, rendered.latents)) == (0, True)


def test_a_gesture_and_a_transaction_are_one_entry(session: EditSession, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    session.add("hat", warmup=1)
    session.autosave(path)
    with session.gesture("scale"):
        session.reweight("hat", scale=6)
        session.reweight("hat", scale=7)
        assert recover(path).history == session.history
        session.reweight("hat", scale=5)
    assert recover(path).history == session.history
    before = session.history
    with session.transaction("both"):
        session.invert("hat")
        session.render(output_type="latent")
        session.momentum(scale=0)
        # An open transaction is not saved, even if it was rendered.
        assert recover(path).history == before
    assert recover(path).history == session.history


def test_embeddings_are_there(session: EditSession, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    session.autosave(path)
    session.add(name="mine", prompt_embeds=torch.ones(1, 1), warmup=1)
    session.invert("mine")
    found = recover(path)
    assert found.history == session.history
    assert torch.equal(
        found.render(output_type="latent").latents, session.render(output_type="latent").latents
    )


def test_an_interrupted_or_damaged_line(session: EditSession, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    session.autosave(path)
    session.add("hat", warmup=1)
    first = session.history
    session.invert("hat")
    journal = journal_path(path)
    lines = journal.read_bytes()
    journal.write_bytes(lines[:-20])
    assert recover(path).history == first
    journal.write_bytes(lines.replace(b'"kept":2', b'"kept":7'))
    with pytest.warns(AutosaveWarning, match=r"damaged in line 2 .*; the 1 edits from .*: 1 edits"):
        assert recover(path).history == first
    journal.write_bytes(lines)
    with pytest.warns(AutosaveWarning, match=r"has a journal with later edits: EditSession.rec"):
        assert EditSession.load(path, FakeModel()).history == History()
    assert recover(path).history == session.history
    # Not the journal of this file, but of the one before it.
    session.save(path)
    journal.write_bytes(lines)
    assert EditSession.load(path, FakeModel()).history == session.history
    assert recover(path).history == session.history


def test_an_edit_stands_where_it_cannot_be_saved(
    session: EditSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SessionFileError, match="cannot be written"):
        session.autosave(tmp_path / "none" / "a.safetensors")
    path = tmp_path / "a.safetensors"
    session.autosave(path)

    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        patched.setattr(os, "fsync", full)
        with pytest.warns(AutosaveWarning, match="the edit was not saved: .*No space left"):
            session.add("hat", warmup=1)
        with pytest.warns(AutosaveWarning, match="the session was not saved: .*No space left"):
            assert session.render(output_type="latent").exact
    # The next line has both edits.
    session.invert("hat")
    assert recover(path).history == session.history


# An edit that was acknowledged is in the file, or in a journal that belongs to it.


def edited(session: EditSession, path: Path) -> None:
    """Edit without a warning, and check that the edit is recovered."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session.reweight("hat", scale=session.concepts[0].scale + 1)
        assert recover(path).history == session.history


@pytest.fixture
def path(session: EditSession, tmp_path: Path) -> Path:
    """Return the path of the session's autosave; it has a concept and lines in its journal."""
    path = tmp_path / "a.safetensors"
    session.autosave(path)
    session.add("hat", warmup=1)
    session.invert("hat")
    return path


def test_a_plain_save_to_the_autosaved_path(
    session: EditSession, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, folder = path.with_name("link.safetensors"), path.with_name("folder")
    link.symlink_to(path)
    folder.symlink_to(path.parent)
    monkeypatch.chdir(path.parent)
    for spelling in (
        path,
        link,
        folder / path.name,
        path.name,
        f"../{path.parent.name}/{path.name}",
    ):
        session.save(spelling, include="state")
        assert recover(path).history == session.history
        edited(session, path)
        edited(session, path)
        session.render(output_type="latent")
        edited(session, path)
    # A file saved elsewhere, and copied there.
    session.save("b.safetensors")
    edited(session, path)
    shutil.copy("b.safetensors", path)
    edited(session, path)


def test_saves_elsewhere_do_not_stop_autosave(session: EditSession, path: Path) -> None:
    for number in range(20):
        session.save(path.with_name(f"{number}.safetensors"))
    edited(session, path)


def test_a_save_by_another_session_is_told_at_the_next_edit(
    session: EditSession, path: Path
) -> None:
    other = recover(path)
    other.add("beard", warmup=1)
    other.save(path)
    content = path.read_bytes()
    told = "the edit was not saved: .* is no longer the file that this session wrote: another"
    for _ in range(2):
        with pytest.warns(AutosaveWarning, match=told):
            session.invert("hat")
    with pytest.warns(AutosaveWarning, match="the session was not saved: .* is no longer the file"):
        session.render(output_type="latent")
    # The other's work is as it was.
    assert path.read_bytes() == content
    assert recover(path).history == other.history
    session.autosave(path.with_name("b.safetensors"))
    edited(session, path.with_name("b.safetensors"))


def test_of_two_sessions_that_autosave_one_path_the_first_is_told(
    session: EditSession, path: Path
) -> None:
    other = EditSession(FakeModel(), "a dog", num_inference_steps=6)
    other.add("hat", warmup=1)
    other.autosave(path)
    edited(other, path)
    with pytest.warns(AutosaveWarning, match="another session or program has replaced it"):
        session.invert("hat")
    edited(other, path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_does_not_write_to_its_parents_autosave(
    session: EditSession, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited(session, path)
    before = path.read_bytes(), journal_path(path).read_bytes()
    real = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: real + 1)
    with pytest.warns(AutosaveWarning, match="the edit was not saved"):
        session.invert("hat")
    assert (path.read_bytes(), journal_path(path).read_bytes()) == before
    monkeypatch.undo()
    edited(session, path)


def failing(name: str, calls: list[int], error: BaseException) -> Callable[..., Any]:
    """Return a function of os of which some calls fail, counted from 0."""
    original, count = getattr(os, name), iter(range(10**9))

    def call(*args: Any, **options: Any) -> Any:
        if next(count) in calls:
            if name == "close":
                original(*args)
            raise error
        return original(*args, **options)

    return call


@pytest.mark.parametrize("name", ["open", "fsync", "close"])
@pytest.mark.parametrize("how", ["save", "render", "edit"])
def test_any_sync_that_fails(
    session: EditSession, path: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    """Each call in turn, that of the folder behind the rename included."""
    told = 0
    for number in range(10):
        edited(session, path)
        before = session.history
        with warnings.catch_warnings(record=True) as seen, monkeypatch.context() as patch:
            warnings.simplefilter("always")
            patch.setattr(os, name, failing(name, [number], OSError(5, os.strerror(5))))
            try:
                if how != "save":
                    session.reweight("hat", scale=100 + number)
                if how == "render":
                    session.render(output_type="latent")
                if how == "save":
                    session.save(path)
            except SessionFileError:
                told += 1
        told += len(seen)
        refused = any("the edit was not saved" in str(one.message) for one in seen)
        assert recover(path).history in (
            [before, session.history] if refused else [session.history]
        )
        edited(session, path)
    # An edit is on the disk before anything is closed.
    assert told or (how, name) == ("edit", "close")


def test_a_journal_that_cannot_be_removed(
    session: EditSession, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Path.unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self.suffix == ".journal":
            raise OSError(13, os.strerror(13))
        original(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    session.render(output_type="latent")
    assert journal_path(path).exists()
    # It belongs to the former file, and is no reason to warn.
    assert EditSession.load(path, FakeModel()).history == session.history
    edited(session, path)
    edited(session, path)


@pytest.mark.parametrize("where", ["before the rename", "behind the rename", "behind an append"])
def test_an_interrupt_anywhere(
    session: EditSession, path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    owner: Any = module if where == "behind an append" else os
    name = "append_line" if where == "behind an append" else "replace"
    original = getattr(owner, name)

    def interrupted(*args: Any) -> None:
        if where != "before the rename":
            original(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            session.invert("hat") if owner is module else session.render(output_type="latent")
    assert recover(path).history == session.history
    edited(session, path)
    session.undo()
    session.redo()
    edited(session, path)


def test_a_line_is_only_added_to_the_journal_that_was_left(
    session: EditSession, path: Path
) -> None:
    journal_path(path).unlink()
    edited(session, path)
    edited(session, path)
    with journal_path(path).open("ab") as file:
        file.write(b"half a li")
    edited(session, path)
    path.unlink()
    edited(session, path)


def test_an_edit_stands_where_the_session_cannot_be_written(
    session: EditSession, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UnsupportedPipelineError("the weights are not in memory")

    with monkeypatch.context() as patch:
        patch.setattr(Autosave, "_write", refuse)
        with pytest.warns(AutosaveWarning, match="the session was not saved: the weights are not"):
            session.render(output_type="latent")
        path.unlink()
        with pytest.warns(AutosaveWarning, match="the edit was not saved: the weights are not"):
            session.invert("hat")
    edited(session, path)


# What is read.


def test_a_full_disk_leaves_no_journal_that_names_embeddings_the_file_lacks(
    session: EditSession, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.warns(AutosaveWarning, match="the edit was not saved: .*No space left"):
            session.add(name="mine", prompt_embeds=torch.ones(1, 1), warmup=1)
    # The state has no such concept any more, the history has.
    session.remove("mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = recover(path)
    assert found.history == session.history
    found.undo()
    session.undo()
    assert torch.equal(
        found.render(output_type="latent").latents, session.render(output_type="latent").latents
    )


def test_a_journal_that_names_embeddings_the_file_lacks_is_refused_at_that_line(
    session: EditSession, path: Path
) -> None:
    before = session.history
    session.update("hat", scale=9)
    lines = journal_path(path).read_bytes().split(b"\n")
    lines[-2] = lines[-2].replace(b'"embedding":null', b'"embedding":"0123456789abcdef"')
    journal_path(path).write_bytes(b"\n".join(lines))
    message = (
        r"line 3 \(it names the embeddings or mask '0123456789abcdef', which the file does not hold"
    )
    with pytest.warns(AutosaveWarning, match=rf"{message}.*recovered: 2 edits of the journal"):
        found = recover(path)
    assert found.history == before
    assert found.render(output_type="latent").exact


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"kept": 0}, "kept is 0, and there are 3 entries"),
        ({"kept": 4}, "kept is 4, and there are 3 entries"),
        ({"current": 3}, "an entry is named, and there are 3"),
        ({"branches": {"a": 3}}, "an entry is named, and there are 3"),
        ({"branch": "a"}, "there is no branch 'a'"),
        ({"branches": {"a\x1b": 0}}, r"the branch's name 'a\\x1b' is not one line"),
        (
            {"visited": [{"entry": 3, "child": None}]},
            "entry 3 was left for None, which is no child",
        ),
        ({"visited": [{"entry": 0, "child": 2}]}, "history entry 0 was left for 2, which is no"),
        ({"visited": [{"entry": -1, "child": 0}]}, "history entry -1 was left for 0"),
        ({"kept": 2, "current": 0}, "history entry 1 was left for 2, which is no child"),
        ({"more": 1}, "'more' is unknown"),
        ({"entries": [{}]}, r"entries\[0\]: 'id' is missing"),
    ],
)
def test_a_line_that_does_not_fit_is_refused(
    session: EditSession, path: Path, line: dict[str, Any], reason: str
) -> None:
    before = session.history
    good = {"session": read_document(path).session, "kept": 3, "entries": [], "visited": []}
    good |= {"current": 1, "branches": {}, "branch": None}
    with journal_path(path).open("a") as file:
        file.write(json.dumps(good) + "\n" + json.dumps({**good, **line}) + "\n")
    with pytest.warns(AutosaveWarning, match=rf"line 4 \(.*{reason}.*recovered: 3 edits"):
        assert recover(path).history == before.checkout(1)


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices")
def test_a_journal_that_is_no_file_is_refused_at_once(session: EditSession, path: Path) -> None:
    journal = journal_path(path)
    for make in (os.mkfifo, lambda one: one.symlink_to("/dev/zero"), os.mkdir):
        journal.rmdir() if journal.is_dir() else journal.unlink()
        make(journal)
        with pytest.raises(SessionFileError, match=r"journal' cannot be read: "):
            recover(path)
        with pytest.warns(AutosaveWarning, match="the edit was not saved|the session was not"):
            session.invert("hat")


def test_a_journal_has_a_longest_length(
    session: EditSession, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_path(path)
    monkeypatch.setattr(module, "MAX_JOURNAL_BYTES", 3000)
    for _ in range(30):
        edited(session, path)
        assert not journal.exists() or journal.stat().st_size < 3000
    with journal.open("ab") as file:
        file.write(b"x" * 3001)
    with pytest.raises(SessionFileError, match="it has more than 3000 bytes, the most"):
        recover(path)


def test_a_file_that_is_written_while_it_is_recovered(
    session: EditSession, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is read first; the file that takes the place of its file has its edits."""
    original = open_tensors

    def late(path: Path) -> Any:
        monkeypatch.undo()
        session.render(output_type="latent")
        assert not journal_path(path).exists()
        return original(path)

    monkeypatch.setattr(session_file, "open_tensors", late)
    assert recover(path).history == session.history


# What an edit costs.


def test_an_edit_is_a_line_of_what_it_changes_in_a_long_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    recoveries = {}
    for count in (100, 800):
        session = EditSession(FakeModel(), "a cat", num_inference_steps=6)
        session.add("hat", warmup=1)
        path = tmp_path / f"{count}.safetensors"
        session.autosave(path)
        for number in range(count):
            session.reweight("hat", scale=(number + 1) / 7)
        size = journal_path(path).stat().st_size
        began = time.process_time()
        found = recover(path)
        recoveries[count] = time.process_time() - began
        assert found.history == session.history
        for number in range(10):
            session.reweight("hat", scale=number / 7 + 0.01)
        assert (journal_path(path).stat().st_size - size) / 10 < 500
    figure(f"recovery of 100 and 800 edits: {recoveries[100]:.2f} s, {recoveries[800]:.2f} s")


def test_changes_lead_from_one_history_to_the_next() -> None:
    """Random moves, several of them in one change, and gestures that replace an entry."""
    dice = random.Random(3)
    for _ in range(30):
        history = noted = History()
        lines = []
        for number in range(60):
            match dice.randrange(6):
                case 0 if history.can_undo:
                    history = history.undo()
                case 1 if history.can_redo:
                    history = history.redo()
                case 2:
                    history = history.checkout(dice.randrange(len(history)))
                case 3:
                    history = history.with_branch(str(number))
                case _:
                    hat = Concept(name="hat", prompt="hat", scale=number)
                    gesture = history.commit(EditState(concepts=(hat,)))
                    if dice.random() < 0.5:
                        lines.append(dump(compute_change("name", noted, gesture)).encode())
                        noted = gesture
                        hat = Concept(name="hat", prompt="hat", scale=number + 0.5)
                        gesture = history.commit(EditState(concepts=(hat,)))
                    history = gesture
            if dice.random() < 0.7:
                lines.append(dump(compute_change("name", noted, history)).encode())
                noted = history
        start = evolve(DOCUMENT, session="name", history=History())
        assert recover_history(Path("none"), tuple(lines), start) == noted


CHILD = """
import sys, warnings
sys.path.insert(0, {root!r})
from sega_session.testing import FakeModel
from sega_session import EditSession
session = EditSession(FakeModel(), "a cat", num_inference_steps=6)
session.autosave({path!r})
session.add("hat", warmup=1)
for scale in range(1, 10**6):
    session.reweight("hat", scale=scale)
    if scale % 7 == 0:
        session.render(output_type="latent")
    print(scale, flush=True)
"""


def test_kill_nine_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    root = str(Path(__file__).parents[2])
    seen = 0
    command = [sys.executable, "-c", CHILD.format(root=root, path=str(path))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            seen = int(line)
            if seen == 40:
                child.kill()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scale = recover(path).state.concept("hat").scale
    assert scale in (seen, seen + 1)
