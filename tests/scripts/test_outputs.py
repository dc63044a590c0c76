"""Paths of outputs stay inside the folder of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from sega_session.errors import InvalidValueError, ScriptError
from sega_session.scripts import Script
from sega_session.scripts.operations import Render, Save
from sega_session.scripts.outputs import output_path
from tests.scripts.test_script import document

BAD_PATHS = [
    "",
    "a.png/",
    "/a.png",
    "//host/a.png",
    "a//b.png",
    "../a.png",
    "a/../b.png",
    "./a.png",
    "a/./b.png",
    "C:a.png",
    "C:/a.png",
    "C:\\a.png",
    "a\\b.png",
    "..\\a.png",
    "\\\\host\\a.png",
    "a.txt:b.png",
    "a\0.png",
    "a\nb.png",
    "a\x7fb.png",
    "a\x9bb.png",
    "\ud800.png",
    "a./b.png",
    "a /b.png",
    ".../b.png",
    " /b.png",
    "a.png.",
    "a.png ",
    "a.png\n",
]


@pytest.mark.parametrize("name", [*BAD_PATHS, "a", ".png", "a/.png", "a.jpg", "a.PNG", "png"])
def test_outputs_are_checked_before_the_run(name: str) -> None:
    with pytest.raises(InvalidValueError, match=r"allowed: a relative path .* ending in \.png"):
        Render(output=name)
    with pytest.raises(InvalidValueError, match=r"ending in \.safetensors"):
        Save(output=name.replace("png", "safetensors"))
    with pytest.raises(ScriptError, match="operation 0: output"):
        Script.parse(document({"op": "render", "output": name}))


@pytest.mark.parametrize("name", BAD_PATHS)
def test_outputs_stay_inside(tmp_path: Path, name: str) -> None:
    with pytest.raises(ScriptError, match=f"leads out of {tmp_path}/out. Use another name"):
        output_path(tmp_path / "out", name)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["a.png", "a/b c/d.e.png", "-.png", "..a.png", "猫/ü.png"])
def test_output_path(tmp_path: Path, name: str) -> None:
    assert Render(output=name).output == name
    folder = tmp_path / "out"
    path = output_path(folder, name)
    assert path == folder.resolve() / name
    path.write_bytes(b"")
    assert output_path(folder, name) == path


def test_links_do_not_lead_out(tmp_path: Path) -> None:
    folder, outside = tmp_path / "out", tmp_path / "outside"
    (folder / "inside").mkdir(parents=True)
    outside.mkdir()
    (outside / "a.png").write_bytes(b"precious")
    (folder / "away").symlink_to(outside)
    (folder / "relative").symlink_to("../outside")
    (folder / "a.png").symlink_to(outside / "a.png")
    (folder / "new.png").symlink_to(outside / "new.png")
    (folder / "self.png").symlink_to(folder)
    for name in (
        "away/a.png",
        "relative/new/a.png",
        "away/x/a.png",
        "a.png",
        "new.png",
        "self.png",
    ):
        with pytest.raises(ScriptError, match="leads out of"):
            output_path(folder, name)
    assert [path.name for path in outside.iterdir()] == ["a.png"]

    (folder / "near").symlink_to(folder / "inside")
    assert output_path(folder, "near/a.png") == folder.resolve() / "inside" / "a.png"
    (tmp_path / "link").symlink_to(folder)
    assert output_path(tmp_path / "link", "b.png") == folder.resolve() / "b.png"


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "one").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "one")
    for name in ("file/a.png", "file/b/a.png", "one/a.png"):
        with pytest.raises(ScriptError, match=f"output '{name}' has no place in {tmp_path}: "):
            output_path(tmp_path, name)
