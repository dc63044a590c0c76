"""Scripts made from histories hold the plainest operations that lead there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from sega_session.scripts import ScriptScene, script_from_history
from sega_session.scripts.operations import (
    Add,
    Branch,
    Checkout,
    Disable,
    Fields,
    Invert,
    Momentum,
    Remove,
    Render,
    Reweight,
    Save,
    Transaction,
    Undo,
    Update,
)
from sega_session.state import Concept, EditState, History, Scene, edits

SCENE = Scene(prompt="a cat", height=64, width=32, seeds=(1, 2))
HAT = Concept(name="hat", prompt="hat")
BOW = Concept(name="bow", prompt="a red bow", enabled=False)


def test_the_scene_is_kept() -> None:
    script = script_from_history(SCENE, History())
    assert script.scene == ScriptScene(
        prompt="a cat",
        num_inference_steps=50,
        guidance_scale=7.5,
        height=64,
        width=32,
        seeds=(1, 2),
    )
    assert script.operations == (Checkout(target=0),)


def test_every_edit_is_the_plainest() -> None:
    state, history = EditState(), History()
    changes: list[Callable[[EditState], EditState]] = [
        lambda s: edits.add(s, HAT),
        lambda s: edits.update(s, "hat", scale=6),
        lambda s: edits.update(s, "hat", inverted=True),
        lambda s: edits.update(s, "hat", enabled=False),
        lambda s: edits.update(s, "hat", enabled=True, scale=2),
        lambda s: edits.update(s, "hat", name="cap"),
        lambda s: edits.momentum(s, beta=0.2),
        lambda s: edits.add(s, BOW),
        lambda s: EditState(concepts=s.concepts[::-1], momentum_beta=0.2),
    ]
    for change in changes:
        state = change(state)
        history = history.commit(state)
    cap = state.concept("cap")
    again = Add(prompt="hat", warmup=10, name="cap", scale=cap.scale, inverted=True)
    bow = (Add(prompt="a red bow", warmup=10, name="bow"), Disable(name="bow"))
    assert script_from_history(SCENE, history).operations[:9] == (
        Add(prompt="hat", warmup=10),
        Reweight(name="hat", scale=6),
        Invert(name="hat"),
        Disable(name="hat"),
        Update(name="hat", fields=Fields(scale=2, enabled=True)),
        Update(name="hat", fields=Fields(name="cap")),
        Momentum(beta=0.2),
        Transaction(label="bow added", operations=bow),
        Transaction(
            label="order changed",
            operations=(Remove(name="cap"), Remove(name="bow"), *bow, again),
        ),
    )


def test_branches_and_the_position_are_kept() -> None:
    history = History().commit(EditState(concepts=(HAT,))).with_branch("main")
    history = history.commit(EditState()).undo()
    assert script_from_history(SCENE, history).operations == (
        Add(prompt="hat", warmup=10),
        Remove(name="hat"),
        *(Checkout(target=2), Branch(name="main")),
        *(Checkout(target=2), Checkout(target=1)),
        *(Checkout(target="main"), Undo()),
    )


def test_a_label_of_its_own_makes_a_transaction() -> None:
    history = History().commit(EditState(concepts=(HAT,)), "dress up")
    assert script_from_history(SCENE, history).operations[0] == Transaction(
        label="dress up", operations=(Add(prompt="hat", warmup=10),)
    )


def test_a_last_render_is_written_on_request() -> None:
    history = History().commit(EditState(concepts=(HAT,)))
    script = script_from_history(SCENE, history, output="a.png")
    assert script.operations == (
        *script_from_history(SCENE, history).operations,
        Render(output="a.png"),
    )
    # The scene has two seeds.
    assert script.outputs == (Path("a-0.png"), Path("a-1.png"))
    saved = attrs.evolve(script, operations=(Render(), Save(output="b/c.safetensors")))
    assert saved.outputs == (Path("b/c.safetensors"),)
