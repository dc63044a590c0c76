"""The page of `sega-session app`; with the embedded checkpoint in tests/cli."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from sega_widgets import EditPanel
from sega_widgets.app import StudioPage, name_in_address, open_panel
from sega_widgets.gallery import kept_path

from .fakes import Model, new_session


@pytest.fixture(autouse=True)
def fake_model(model: Model, inline: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Load a fake model, in an empty folder."""
    monkeypatch.setattr("sega_session.models.load_quietly", lambda *_: model)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sega_widgets.app.SHOWN", 0)  # there is no page


def opened(**arguments: Any) -> tuple[StudioPage, EditPanel]:
    page = open_panel(**arguments)
    page.wait()
    assert page.panel is not None, page.loading.error
    assert [*page.children] == [page.panel]
    return page, page.panel


def test_a_checkpoint_that_recommends_nothing_gets_the_documented_example(model: Model) -> None:
    page, panel = opened()
    scene = panel.session.scene
    assert (scene.prompt, scene.seeds) == ("a photo of the face of a woman", (21,))
    assert scene.guidance_scale == model.spec.default_guidance_scale
    page.close()
    page, panel = opened(prompt="a dog", seed=3)
    assert (panel.session.scene.prompt, panel.session.scene.seeds) == ("a dog", (3,))
    page.close()


def test_the_page_is_there_before_the_model(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    go_on = threading.Event()

    def load(*_: object) -> Model:
        assert go_on.wait(30)
        return model

    monkeypatch.setattr("sega_session.models.load_quietly", load)
    page = open_panel()
    assert [*page.children] == [page.loading]
    go_on.set()
    page.wait()
    assert page.panel is not None
    page.close()


def test_the_steps_are_there_before_torch() -> None:
    check = "import sys, sega_widgets.app; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_the_address_says_which_session_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page, panel = opened(prompt="a dog", seed=3)
    panel.session.add("hat", warmup=1)
    panel.refresh()
    page.close()
    assert kept_path(tmp_path, "a-dog").is_file()
    monkeypatch.setenv("QUERY_STRING", "token=x&session=a-dog")
    page, again = opened(prompt="another")
    assert again.session.history == panel.session.history
    assert again.view.files.name == "a-dog"
    # The same page twice: the second one goes on with a copy.
    other_page, other = opened()
    assert other.session.history == panel.session.history
    assert other.view.files.kept["copy_of"] == "a-dog"
    page.close()
    other_page.close()
    monkeypatch.setenv("QUERY_STRING", "session=gone")
    page, new = opened(prompt="another")
    assert new.session.scene.prompt == "another"
    page.close()


def test_a_file_from_elsewhere_gets_a_name_here(model: Model, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for path in (tmp_path / "elsewhere" / "one.safetensors", tmp_path / "one.safetensors"):
        new_session(model).save(path)
    page, panel = opened(file=str(tmp_path / "elsewhere" / "one.safetensors"))
    assert panel.view.files.name == "one-2"
    page.close()
    page, panel = opened(file=str(tmp_path / "one.safetensors"))
    assert panel.view.files.name == "one"
    page.close()


def test_errors_are_shown_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_panel(file="none.safetensors")
    page.wait()
    assert "'none.safetensors' cannot be read" in page.loading.error
    assert [*page.children] == [page.loading]

    def fail(*_: object) -> None:
        raise RuntimeError("no such device")

    monkeypatch.setattr("sega_session.models.load_quietly", fail)
    page = open_panel()
    page.wait()
    assert page.loading.error == "RuntimeError: no such device"


def test_names_in_the_address() -> None:
    for query in ("", "token=x", "session=", "session=..%2Fa", "session=.x"):
        assert name_in_address(query) is None
    assert name_in_address("token=x&session=my%20cat") == "my cat"
