"""Saving, loading, exporting and downloading."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import PIL.Image
from sega_widgets import EditPanel
from sega_widgets.png import BLANK

from sega_session import EditSession
from sega_session.scripts import Script

from .fakes import Model, add, new_session


def test_a_file_needs_a_name(panel: EditPanel) -> None:
    panel.view.files.file.value = "  "
    for button in (panel.view.files.save, panel.view.files.load, panel.view.files.script):
        panel.messages.clear()
        button.click()
        assert "File is &#x27;&#x27;; allowed: the name of a file" in panel.messages.value


def test_save_load_and_script(panel: EditPanel, model: Model, tmp_path: Path) -> None:
    add(panel, "glasses")
    files = panel.view.files
    files.file.value = str(tmp_path / "one.safetensors")
    files.save.click()
    assert "one.safetensors" in panel.messages.value
    assert 'role="status"' in panel.messages.value
    files.script.click()
    assert EditSession.run(tmp_path / "one.json", model).concepts == panel.session.concepts
    add(panel, "beard")
    old = panel.view
    files.load.click()
    assert panel.view is not old
    assert [concept.name for concept in panel.session.concepts] == ["glasses"]
    assert panel.view.files.file.value == str(tmp_path / "one.safetensors")
    panel.concepts.row("glasses").scale.value = 8.0
    assert panel.session.concepts[0].scale == 8
    # The earlier session is still there.
    panel.sessions.value = 0
    assert panel.view is old
    assert [concept.name for concept in panel.session.concepts] == ["glasses", "beard"]


def test_a_script_is_replaced_at_the_second_click(panel: EditPanel, tmp_path: Path) -> None:
    files, script = panel.view.files, tmp_path / "one.json"
    script.write_text("mine")
    files.file.value = str(tmp_path / "one.safetensors")
    files.script.click()
    assert "one.json is there already. Export again to replace it." in panel.messages.value
    assert script.read_text() == "mine"
    add(panel, "glasses")  # an edit forgets the first click
    files.script.click()
    assert script.read_text() == "mine"
    files.script.click()
    assert Script.load(script) == panel.session.script()
    files.script.click()
    assert "is there already" in panel.messages.value


def test_a_script_needs_the_name_of_a_session(panel: EditPanel, tmp_path: Path) -> None:
    files = panel.view.files
    for name in ("victim.conf", "victim", "victim.json"):
        files.file.value = str(tmp_path / name)
        files.script.click()
        assert "allowed: a name that ends in .safetensors" in panel.messages.value
    assert not [*tmp_path.iterdir()]


def test_files_stay_in_the_folder(session: EditSession, inline: None, tmp_path: Path) -> None:
    folder, outside = tmp_path / "here", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    session.save(outside / "a.safetensors")
    (folder / "away").symlink_to(outside)
    (folder / "b.safetensors").symlink_to(outside / "b.safetensors")
    (folder / "c.json").symlink_to(outside / "c.json")
    (folder / "loop").symlink_to("loop")
    before = {path.name for path in outside.iterdir()}
    panel = EditPanel(session, folder=folder)
    panel.view.scene.new.click()  # other sessions of the panel, too
    files = panel.view.files
    for name in (
        *("../outside/a.safetensors", str(outside / "a.safetensors"), "away/a.safetensors"),
        *("b.safetensors", "loop/a.safetensors", "a\0.safetensors", ".", ".."),
    ):
        files.file.value = name
        for button in (files.save, files.load, files.script, files.download):
            panel.messages.clear()
            button.click()
            assert "File is" in panel.messages.value
    files.file.value = "c.safetensors"
    files.script.click()
    assert "File is" in panel.messages.value
    assert {path.name for path in outside.iterdir()} == before
    files.save.click()
    files.load.click()
    assert "Loaded" in panel.messages.value
    assert (folder / "c.safetensors").is_file()
    panel.close()


def test_other_sessions_keep_the_budgets(model: Model, inline: None, tmp_path: Path) -> None:
    panel = EditPanel(new_session(model, cache_bytes=10**6, spill_bytes=12345))
    panel.view.files.file.value = str(tmp_path / "one.safetensors")
    panel.view.files.save.click()
    panel.view.files.load.click()
    panel.view.scene.new.click()
    assert len(panel.views) == 3
    for view in panel.views:
        cache = view.session.cache
        assert (cache.max_bytes, cache.max_spilled_bytes) == (10**6, 12345)
    panel.close()


def test_a_loaded_file_shows_its_images(panel: EditPanel, tmp_path: Path) -> None:
    add(panel, "glasses")
    panel.session.add("beard", warmup=1)
    panel.session.add("hat", warmup=1)
    panel.refresh()
    files = panel.view.files
    files.file.value = str(tmp_path / "one.safetensors")
    files.save.click()
    before = [one.thumbnail.value for one in panel.history.rows]
    files.load.click()
    assert [one.thumbnail.value for one in panel.history.rows] == before
    # One state was never rendered exactly, so its thumbnail is a preview.
    assert BLANK not in before
    notes = ["approximate" in one.button.tooltip for one in panel.history.rows]
    assert notes == [False, False, True, False]


def test_a_file_that_cannot_be_loaded_changes_nothing(panel: EditPanel, tmp_path: Path) -> None:
    view = panel.view
    view.files.file.value = str(tmp_path / "none.safetensors")
    view.files.load.click()
    assert "Not done" in panel.messages.value
    assert panel.view is view


def test_the_downloaded_image_carries_its_session(panel: EditPanel, model: Model) -> None:
    add(panel, "glasses")
    panel.view.files.download.click()
    assert 'download="session.png" href="data:image/png;base64,' in panel.view.files.link.value
    assert panel.view.image.png() is not None
    add(panel, "beard")
    assert panel.view.files.link.value == ""
    png = panel.view.image.png()
    assert png is not None
    with PIL.Image.open(BytesIO(png)) as image:
        assert EditSession.from_image(image, model).concepts == panel.session.concepts
