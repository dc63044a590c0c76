"""`sega-session info --json` has all that the session has, under keys that stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from sega_session import EditSession
from sega_session.cli.contents import contents
from sega_session.testing import FakeModel

from .conftest import Command

GOLDEN = Path(__file__).parents[1] / "data" / "session-v1.safetensors"

KEYS = {
    "": "bytes file format_version history kind model sampler scene state",
    "scene": "clip_skip eta guidance_rescale guidance_scale height negative_embedding "
    "negative_prompt num_inference_steps photograph prompt prompt_embedding seeds skip width",
    "state": "concepts momentum_beta momentum_scale region",
    "concept": "cooldown embedding enabled inverted mask name opposite prompt scale threshold "
    "warmup weight",
    "history": "branch branches current entries",
    "entry": "id label parent state",
}
"""The keys that programs rely on: only add to them."""


@pytest.fixture
def session(command: Command) -> EditSession:
    """Return a session that is saved as a.safetensors, and whose images are a-0.png and a-1.png."""
    session = EditSession(
        FakeModel(), "a\u202ecat", seed=[1, 2], num_inference_steps=4, height=32, width=32
    )
    session.add("hat", mask=(0, 0, 1, 0.5))
    session.branch("main")
    session.add("smile", opposite="sad", cooldown=3)
    session.undo()
    session.render()
    session.save("a.safetensors")
    session.update("hat", mask=None)
    session.render().save("a.png")
    session.undo()
    return session


@pytest.mark.parametrize("name", ["a.safetensors", "a-1.png"])
def test_the_json_is_the_session(name: str, session: EditSession, command: Command) -> None:
    done = command("info", name, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.out.isascii()
    found = json.loads(done.out)
    assert found == contents(Path(name))
    own = {"image"} if name.endswith("png") else {"recorded", "versions"}
    state, history = found["state"], found["history"]
    (concept,) = state["concepts"]
    for kind, part in (
        ("", {key: value for key, value in found.items() if key not in own}),
        ("scene", found["scene"]),
        ("state", state),
        ("concept", concept),
        ("history", history),
        ("entry", history["entries"][0]),
    ):
        assert " ".join(sorted(part)) == KEYS[kind]
    assert found.keys() >= own
    assert found["bytes"] == Path(name).stat().st_size
    assert found["scene"] == {**attrs.asdict(session.scene), "seeds": [1, 2]}


def labels(found: dict[str, Any]) -> list[str]:
    return [entry["label"] for entry in found["history"]["entries"]]


def test_a_session_has_its_history_and_its_records(session: EditSession) -> None:
    found = contents(Path("a.safetensors"))
    history = found["history"]
    assert labels(found) == ["unedited", "hat added", "smile added"]
    assert [entry["parent"] for entry in history["entries"]] == [None, 0, 1]
    assert (history["current"], history["branch"], history["branches"]) == (1, "main", {"main": 2})
    assert found["state"] == history["entries"][1]["state"]
    smile = history["entries"][2]["state"]["concepts"][1]
    assert (smile["opposite"], smile["cooldown"]) == ("sad", 3)
    assert found["state"]["concepts"][0]["mask"]["share"] == 0.5
    assert found["recorded"] == {"renders": 1, "evaluations": 24}
    assert found["versions"].keys() >= {"sega-session", "torch"}


def test_an_image_says_how_it_was_made(session: EditSession) -> None:
    found = contents(Path("a-1.png"))
    assert found["image"] == {"index": 1, "count": 2, "mode": "exact", "exact": True, "given": []}
    assert labels(found) == ["unedited", "from an image"]


def test_old_files_have_the_same_keys() -> None:
    found = contents(GOLDEN)
    assert " ".join(sorted(found.keys() - {"recorded", "versions"})) == KEYS[""]


def test_people_see_the_same(session: EditSession, command: Command) -> None:
    shown = command("info", "a.safetensors").out
    assert "1 render, 24 evaluations" in shown
