"""Saving, opening, renaming and deleting sessions, and the script."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from sega_widgets.files_bar import FilesBar
from sega_widgets.gallery import kept_path, picture_path, saved_path
from sega_widgets.guard import Guard
from sega_widgets.keeper import Keeper
from sega_widgets.messages import Messages

from sega_session import EditSession
from sega_session.scripts import Script

from .fakes import Model, new_session, said, send

LIMIT = 30.0


class Bar:
    """A bar on a session, what it was told to load, and its messages."""

    def __init__(self, session: EditSession, folder: Path, name: str | None = None) -> None:
        self.session, self.messages = session, Messages()
        self.keeper = Keeper(session, folder, name)
        self.loaded: list[Path] = []
        self.widget = FilesBar(
            session,
            Guard(self.messages),
            save=lambda path: str(session.save(path)),
            load=self.loaded.append,
            folder=folder,
            keeper=self.keeper,
        )

    def send(self, kind: str, **values: Any) -> str:
        """Send a message as a page does, and return the answer to the user."""
        send(self.widget, {"kind": kind, **values})
        return said(self.messages)

    def edit(self, name: str) -> None:
        self.session.add(name, warmup=1)
        self.widget.refresh()
        assert self.keeper.wait(LIMIT)


@pytest.fixture
def bar(session: EditSession, tmp_path: Path) -> Iterator[Bar]:
    bar = Bar(session, tmp_path)
    yield bar
    bar.keeper.close()
    bar.widget.close()


def test_an_edit_is_kept(bar: Bar, model: Model, tmp_path: Path) -> None:
    assert bar.widget.kept["status"] == "new"
    bar.edit("glasses")
    assert bar.widget.kept["status"] == "saved"
    again = EditSession.load(kept_path(tmp_path, bar.widget.name), model)
    assert again.history == bar.session.history


def test_save_writes_everything_computed(bar: Bar, model: Model, tmp_path: Path) -> None:
    bar.session.render()
    assert "Saved a-cat.safetensors" in bar.send("save")
    path = saved_path(tmp_path, "a-cat")
    assert EditSession.load(path, model).render().evaluations == 0
    # It is the newer file, from which the session goes on.
    bar.send("list")
    bar.send("open", name="a-cat")
    assert bar.loaded == [path]
    bar.edit("glasses")
    assert "Saved a-cat.safetensors" in bar.send("save")  # its own file, without a question
    assert len(EditSession.load(path, model).history) == 2
    bar.edit("beard")
    bar.send("open", name="a-cat")
    assert bar.loaded[-1] == kept_path(tmp_path, "a-cat")


def test_another_s_file_is_replaced_at_the_second_click(bar: Bar, tmp_path: Path) -> None:
    path = saved_path(tmp_path, "a-cat")
    bar.edit("glasses")
    path.write_text("mine")
    assert "a-cat.safetensors is there already. Click again" in bar.send("save")
    assert (bar.widget.ask, path.read_text()) == ("save", "mine")
    bar.edit("beard")  # an edit forgets the first click
    assert bar.widget.ask == ""
    bar.send("save")
    assert path.read_text() == "mine"
    assert "Saved" in bar.send("save")
    assert (bar.widget.ask, path.stat().st_size > 4) == ("", True)


def test_a_script_is_replaced_at_the_second_click(bar: Bar, tmp_path: Path) -> None:
    path = tmp_path / "a-cat.json"
    bar.edit("glasses")
    assert "Written: a-cat.json" in bar.send("script")
    bar.edit("beard")
    assert "a-cat.json is there already" in bar.send("script")
    assert Script.load(path) != bar.session.script()
    bar.send("script")
    assert Script.load(path) == bar.session.script()


def test_the_gallery_shows_pictures(bar: Bar, model: Model, tmp_path: Path) -> None:
    bar.edit("glasses")
    new_session(model).save(saved_path(tmp_path, "other"))
    PIL.Image.new("RGB", (64, 64), "red").save(picture_path(tmp_path, "other"))
    picture_path(tmp_path, "a-cat").write_bytes(b"damaged")
    bar.send("list")
    shown = {one["name"]: one for one in bar.widget.sessions}
    assert {name: one["prompt"] for name, one in shown.items()} == dict.fromkeys(shown, "a cat")
    assert sorted(shown) == ["a-cat", "other"]
    with PIL.Image.open(BytesIO(shown["other"]["picture"])) as picture:
        assert picture.size == (64, 64)
    assert shown["a-cat"]["picture"] == b""


def test_sessions_are_renamed(bar: Bar, model: Model, tmp_path: Path) -> None:
    new_session(model).save(saved_path(tmp_path, "other"))
    bar.edit("glasses")
    bar.send("save")
    bar.send("list")
    bar.send("rename", name="other", to="third")
    assert sorted(one["name"] for one in bar.widget.sessions) == ["a-cat", "third"]
    bar.send("rename", name="a-cat", to=" mine.safetensors ")
    assert bar.widget.name == "mine"
    assert saved_path(tmp_path, "mine").is_file()
    assert "Saved mine" in bar.send("save")  # still its own file
    assert "There is a session 'third' already" in bar.send("rename", name="mine", to="third")
    assert "There is a session 'mine' already" in bar.send("rename", name="third", to="mine")
    assert bar.widget.name == "mine"


def test_a_session_is_deleted_unless_it_is_open(bar: Bar, model: Model, tmp_path: Path) -> None:
    new_session(model).save(saved_path(tmp_path, "other"))
    bar.edit("glasses")
    bar.send("list")
    assert "'a-cat' is open. Close it first." in bar.send("delete", name="a-cat")
    bar.send("delete", name="other")
    assert [one["name"] for one in bar.widget.sessions] == ["a-cat"]
    assert not saved_path(tmp_path, "other").exists()
    assert "no longer in the folder" in bar.send("open", name="other")
    assert bar.loaded == []


def test_a_new_session_offers_the_newest_of_its_prompt(model: Model, tmp_path: Path) -> None:
    new_session(model).save(saved_path(tmp_path, "mine"))
    EditSession(model, "a dog", num_inference_steps=6).save(saved_path(tmp_path, "newer"))
    bar = Bar(new_session(model), tmp_path)
    assert bar.widget.recent["name"] == "mine"
    bar.send("open", name="mine")
    assert bar.loaded == [saved_path(tmp_path, "mine")]
    assert bar.widget.recent == {}
    bar.widget.close()
    bar = Bar(EditSession(model, "a bird", num_inference_steps=6), tmp_path)
    assert bar.widget.recent["name"] == "newer"
    bar.widget.close()


def test_files_stay_in_the_folder(session: EditSession, tmp_path: Path) -> None:
    folder, outside = tmp_path / "here", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    session.save(outside / "a.safetensors")
    (folder / "a-cat.safetensors").symlink_to(outside / "b.safetensors")
    (folder / "a-cat.json").symlink_to(outside / "b.json")
    (folder / "c.safetensors").symlink_to(outside / "a.safetensors")
    (folder / "loop.safetensors").symlink_to("loop.safetensors")
    before = {path.name for path in outside.iterdir()}
    bar = Bar(session, folder, "a-cat")
    for name in ("../outside/a", str(outside / "a"), "a\0", ".", "..", "", 3, None):
        for kind in ("open", "delete"):
            assert "not done" in bar.send(kind, name=name)
        assert "not done" in bar.send("rename", name="a-cat", to=name)
    for kind in ("save", "script"):
        bar.send(kind)
        assert "is a link out of the folder" in bar.send(kind)
    for name in ("c", "loop"):
        assert "not done" in bar.send("open", name=name)
    assert "not done" in bar.send("rename", name="a-cat", to="loop")
    assert {path.name for path in outside.iterdir()} == before
    assert bar.loaded == []
    bar.keeper.close()
    bar.widget.close()


def test_a_bar_without_a_keeper(session: EditSession, tmp_path: Path) -> None:
    bar = FilesBar(
        session,
        None,
        save=lambda path: str(session.save(path)),
        load=lambda _: None,
        folder=tmp_path,
    )
    send(bar, {"kind": "rename", "name": "a-cat", "to": "mine"})
    send(bar, {"kind": "save"})
    assert [path.name for path in tmp_path.iterdir()] == ["mine.safetensors"]
    bar.close()
