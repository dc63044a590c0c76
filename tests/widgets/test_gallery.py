"""The sessions in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sega_widgets import gallery
from sega_widgets.gallery import (
    KEPT,
    check_name,
    delete,
    free_name,
    kept_path,
    list_sessions,
    name_after,
    newest_path,
    picture_path,
    rename,
    saved_path,
)

from sega_session import EditSession
from sega_session.errors import SegaSessionError

from .fakes import Model, new_session


def save(session: EditSession, path: Path, changed: float) -> None:
    path.parent.mkdir(exist_ok=True)
    session.save(path)
    os.utime(path, (changed, changed))


def test_sessions_are_listed_once_and_the_newest_first(model: Model, tmp_path: Path) -> None:
    session = new_session(model)
    save(session, saved_path(tmp_path, "old"), 100)
    save(session, saved_path(tmp_path, "both"), 300)
    save(session, kept_path(tmp_path, "both"), 200)
    save(session, kept_path(tmp_path, "newest"), 400)
    (tmp_path / "model.safetensors").write_bytes(b"another program's")
    (tmp_path / ".hidden.safetensors").write_bytes(saved_path(tmp_path, "old").read_bytes())
    found = list_sessions(tmp_path)
    assert [(one.name, one.changed) for one in found] == [
        ("newest", 400.0),
        ("both", 300.0),
        ("old", 100.0),
    ]
    assert {one.prompt for one in found} == {"a cat"}
    assert found[1].bytes > found[2].bytes
    assert newest_path(tmp_path, "both") == saved_path(tmp_path, "both")
    os.utime(kept_path(tmp_path, "both"), (500, 500))
    assert newest_path(tmp_path, "both") == kept_path(tmp_path, "both")
    assert [one.name for one in list_sessions(tmp_path, limit=1)] == ["both"]
    assert list_sessions(tmp_path / "none") == []


def test_names_of_new_sessions(model: Model, tmp_path: Path) -> None:
    assert name_after("A portrait of a person") == "a-portrait-of-a-person"
    assert name_after("Ein Mädchen, 4k!") == "ein-madchen-4k"
    assert name_after("一只猫") == name_after("") == "session"
    assert len(name_after("very " * 100)) <= 40
    assert free_name(tmp_path, "one") == "one"
    save(new_session(model), saved_path(tmp_path, "one"), 1)
    save(new_session(model), kept_path(tmp_path, "one-2"), 1)
    assert free_name(tmp_path, "one") == "one-3"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "needs a name"),
        ("  ", "needs a name"),
        (None, "needs a name"),
        (".safetensors", "needs a name"),
        ("x" * 81, "too long"),
        (".hidden", "Choose one that"),
        ("..", "Choose one that"),
        ("../a", "Choose one that"),
        ("a/b", "Choose one that"),
        ("a\\b", "Choose one that"),
        ("a\0b", "Choose one that"),
        ("a\nb", "Choose one that"),
    ],
)
def test_names_that_are_refused(name: object, message: str) -> None:
    with pytest.raises(SegaSessionError, match=message):
        check_name(name)


def test_a_name_may_come_with_blanks_and_the_ending() -> None:
    assert check_name(" my cat.safetensors ") == "my cat"
    assert check_name("grün 猫") == "grün 猫"


def test_files_are_renamed_and_deleted_together(model: Model, tmp_path: Path) -> None:
    session = new_session(model)
    save(session, saved_path(tmp_path, "one"), 1)
    save(session, kept_path(tmp_path, "one"), 2)
    picture_path(tmp_path, "one").write_bytes(b"png")
    rename(tmp_path, "one", "two")
    assert newest_path(tmp_path, "one") is None
    assert picture_path(tmp_path, "two").is_file()
    assert [one.name for one in list_sessions(tmp_path)] == ["two"]
    delete(tmp_path, "two")
    assert list_sessions(tmp_path) == []
    assert not [*(tmp_path / KEPT).iterdir()]
    delete(tmp_path, "two")


def test_many_sessions_are_cut(model: Model, tmp_path: Path) -> None:
    session = new_session(model)
    save(session, saved_path(tmp_path, "0"), 0)
    content = saved_path(tmp_path, "0").read_bytes()
    for number in range(1, gallery.SHOWN + 2):
        path = saved_path(tmp_path, f"{number}")
        path.write_bytes(content)
        os.utime(path, (number, number))
    found = list_sessions(tmp_path)
    assert len(found) == gallery.SHOWN
    assert found[0].name == f"{gallery.SHOWN + 1}"
