"""Autosave: every edit is recovered after a crash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sega_session import EditSession
from sega_session.errors import AutosaveWarning, SessionFileError
from sega_session.saving.journal import journal_path
from sega_session.testing import FakeModel


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
    journal.write_bytes(lines.replace(b'"kept": 2', b'"kept": 7'))
    with pytest.warns(AutosaveWarning, match=r"damaged in line 2 .*; the 1 edits from there on"):
        assert recover(path).history == first
    # Not the journal of this file, but of the one before it.
    journal.write_bytes(lines)
    session.save(path)
    with pytest.warns(AutosaveWarning, match=r"has a journal with later edits: EditSession.rec"):
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
