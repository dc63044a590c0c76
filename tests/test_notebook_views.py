"""Short texts and notebook views of values; looking at a session evaluates nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from attrs import evolve
from PIL import Image

from sega_session import Concept, EditSession, EditState, Scene
from sega_session.state import Mask
from sega_session.testing import FakeModel

HAT = Concept(name="hat", prompt="a <hat>", scale=7, warmup=2)


def new_session(**arguments: Any) -> EditSession:
    return EditSession(FakeModel(), "a <cat>", num_inference_steps=6, **arguments)


def cells(html: str) -> list[list[str]]:
    """Return the texts of a table, row by row; the first is its header."""
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def images(html: str) -> int:
    return html.count('<img alt="a &lt;cat&gt;" src="data:image/png;base64,iVBOR')


def caption(html: str) -> str:
    found: str
    (found,) = re.findall(r"<figcaption>(.*?)</figcaption>", html)
    return found


# Values.


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (HAT, "Concept(name='hat', prompt='a <hat>', scale=7.0, warmup=2)"),
        (
            evolve(HAT, opposite="wig", inverted=True, enabled=False, cooldown=4),
            "Concept(name='hat', prompt='a <hat>', opposite='wig', scale=7.0, warmup=2, "
            "cooldown=4, inverted=True, enabled=False)",
        ),
        (EditState(), "EditState()"),
        (
            EditState(concepts=(Concept(name="a", prompt="b"),), momentum_beta=0.5),
            "EditState(concepts=(Concept(name='a', prompt='b'),), momentum_beta=0.5)",
        ),
        (
            Scene(prompt="x", seeds=(1, 2), height=8, width=16),
            "Scene(prompt='x', seeds=(1, 2), height=8, width=16)",
        ),
    ],
)
def test_the_repr_is_the_call_without_defaults(value: object, expected: str) -> None:
    assert repr(value) == expected
    assert eval(expected) == value


def test_a_concept_is_a_row_of_what_is_not_usual() -> None:
    assert cells(HAT._repr_html_()) == [
        ["concept", "prompt", "scale", "threshold", "calls"],
        ["hat", "a &lt;hat&gt;", "7", "0.9", "from 2"],
    ]
    full = Concept(
        name="old",
        prompt="old",
        opposite="young",
        mask=Mask("0" * 16, 0.25),
        warmup=0,
        cooldown=3,
        weight=2,
        inverted=True,
        enabled=False,
    )
    assert cells(full._repr_html_()) == [
        ["concept", "against", "scale", "threshold", "calls", "weight", "mask", ""],
        ["old", "young", "5", "0.9", "0 to 2", "2", "25% of the image", "inverted, muted"],
    ]
    assert cells(evolve(full, cooldown=0)._repr_html_())[1][4] == "none"
    assert cells(Concept(name="x", prompt="", embedding="0")._repr_html_())[1][1] == "embeddings"


def test_a_state_is_a_table_with_its_momentum() -> None:
    assert EditState()._repr_html_() == "<p>no concepts; momentum 0.1, beta 0.4</p>"
    state = EditState(concepts=(HAT, evolve(HAT, name="cap")), region=Mask("0" * 16, 0.5))
    shown = state._repr_html_()
    assert [row[0] for row in cells(shown)] == ["concept", "hat", "cap"]
    assert "momentum 0.1, beta 0.4; edits confined to 50%</caption>" in shown


def test_a_measurement_has_a_row_for_each_image() -> None:
    session = new_session(seed=[1, 2])
    session.add("hat", warmup=1)
    shown = session.measure(session.render())._repr_html_()
    assert cells(shown) == [
        ["image", "PSNR", "SSIM", "missed"],
        ["0", "inf dB", "1.0000", "0.000"],
        ["1", "inf dB", "1.0000", "0.000"],
    ]
    assert "evaluations: 0</caption>" in shown


# Images.


def test_images_of_a_batch_are_a_grid_with_their_seeds() -> None:
    session = new_session(seed=[3, 14])
    shown = session.render()._repr_html_()
    assert shown is not None
    assert images(shown) == 2
    assert re.findall(r"seed \d+", shown) == ["seed 3", "seed 14"]
    assert "flex-wrap: wrap" in shown
    render = session.render()
    large = evolve(render, images=[Image.new("RGB", (2000, 1000))] * 2)
    assert len(large._repr_html_() or "") < 20_000
    single = new_session().render()._repr_html_()
    assert single is not None
    assert images(single) == 1
    assert "seed" not in single


# Sessions.


def test_a_session_shows_the_image_of_its_state_if_it_is_recorded() -> None:
    session = new_session(seed=[1, 2])
    shown = session._repr_html_()
    assert images(shown) == 0
    assert "&lt;EditSession &#x27;a &lt;cat&gt;&#x27;, seeds 1, 2, concepts: none&gt;" in shown
    assert "no concepts" in shown
    session.render()
    assert (images(session._repr_html_()), caption(session._repr_html_())) == (2, "exact")
    session.add("hat", warmup=1)
    shown = session._repr_html_()
    assert images(shown) == 2
    assert caption(shown) == "the last exact image; since then: hat added"
    assert [row[0] for row in cells(shown)] == ["concept", "hat"]
    session.render("preview")
    assert caption(session._repr_html_()) == caption(shown)
    session.render()
    assert caption(session._repr_html_()) == "exact"
    session.undo()
    assert caption(session._repr_html_()) == "exact"
    session.close()
    assert images(session._repr_html_()) == 0


@pytest.mark.parametrize("spilled", [False, True])
def test_looking_at_a_session_changes_nothing(spilled: bool) -> None:
    model = FakeModel()
    budget: dict[str, Any] = {"cache_bytes": 0, "spill_bytes": 10**6} if spilled else {}
    session = EditSession(model, "a <cat>", num_inference_steps=6, **budget)
    session.add("hat", warmup=1)
    session.render()
    before = model.rows, session.cache, session.history, session.state, session.plan("preview")
    shown = session._repr_html_()
    assert images(shown) == 1
    same = session.render()._repr_html_() or ""
    assert shown.count(same.partition("base64,")[2].partition('"')[0]) == 1
    session.undo()
    session.redo()
    after = model.rows, session.cache, session.history, session.state, session.plan("preview")
    assert after[:1] + after[2:] == before[:1] + before[2:]
    assert after[1].bytes == before[1].bytes


def test_a_session_whose_model_changed_shows_its_concepts() -> None:
    from tests.support.pipelines import tiny_stable_diffusion  # noqa: PLC0415

    session = EditSession(tiny_stable_diffusion(), "a <cat>", num_inference_steps=2)
    session.render()
    assert images(session._repr_html_()) == 1
    session.pipeline.unet.conv_in.weight.data.mul_(2)
    assert images(session._repr_html_()) == 0
