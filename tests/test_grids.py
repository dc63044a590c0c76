"""Grids: what varies, what it costs, what stays as it was, and what a sheet shows."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from PIL import Image

from sega_session import Cell, Concept, EditSession, Grid, Render, Scene, anchored, grid, vary
from sega_session.errors import (
    IncompleteWarning,
    InvalidValueError,
    ModelChangedError,
    NoEffectWarning,
    PromptTruncatedWarning,
    UnknownConceptError,
    warn_caller,
)
from sega_session.models import Conditioning, Request, Role
from sega_session.state import EditState, edits
from sega_session.testing import FakeModel

CALLS = 10
LEFT, RIGHT = (0, 0, 0.5, 1), (0.5, 0, 1, 1)


def begin(model: FakeModel | None = None, **changes: Any) -> EditSession:
    """Return a session with two concepts, in which an image has the same bits in any order."""
    options: dict[str, Any] = {"prompt": "a portrait", "seed": 7, "num_inference_steps": CALLS}
    options |= {"batch_plan": "canonical"} | changes
    session = EditSession(FakeModel() if model is None else model, **options)
    session.add("glasses", scale=6, threshold=0.5, warmup=2)
    session.add("smile", scale=3, threshold=0.6, warmup=4)
    return session


def rendered(cell: Cell) -> Render:
    assert cell.render is not None, cell.error
    return cell.render


def equal(cell: Cell, session: EditSession) -> bool:
    """Return whether a cell has the bits of a session's exact render."""
    return torch.equal(rendered(cell).latents, session.render().latents)


# What varies.

OF_CONCEPTS: dict[str, tuple[Any, Any]] = {
    "prompt": ("sunglasses", "a hat"),
    "opposite": ("eyes", None),
    "mask": (LEFT, None),
    "scale": (1.5, 8),
    "threshold": (0, 0.9),
    "warmup": (0, 7),
    "cooldown": (6, None),
    "weight": (0.5, 2),
    "inverted": (True, False),
    "enabled": (False, True),
    "name": ("spectacles", "goggles"),
}


def test_every_field_of_a_concept_is_tried() -> None:
    fields = {field.name for field in attrs.fields(Concept)}
    assert {*OF_CONCEPTS} == fields - {"embedding"}


@pytest.mark.parametrize("field", OF_CONCEPTS)
def test_a_field_of_a_concept_varies(field: str) -> None:
    values = OF_CONCEPTS[field]
    found = grid(begin(), x=vary(f"glasses.{field}", values))
    assert [cell.x for cell in found.cells[0]] == list(values)
    for cell in found.cells[0]:
        alone = begin()
        alone.update("glasses", **{field: cell.x})
        assert equal(cell, alone)
    one, other = (rendered(cell).latents for cell in found.cells[0])
    assert torch.equal(one, other) == (field == "name")


OF_SCENES: dict[str, tuple[Any, Any]] = {
    "prompt": ("a portrait", "a dog"),
    "negative_prompt": ("", "blurry"),
    "seed": (7, 8),
    "guidance_scale": (7.5, 2),
    "guidance_rescale": (0.0, 0.7),
    "clip_skip": (None, 1),
    "height": (16, 32),
    "width": (16, 8),
    "eta": (0.0, 0.5),
}


@pytest.mark.parametrize("field", OF_SCENES)
def test_a_field_of_the_scene_varies(field: str) -> None:
    session = begin()
    found = grid(session, x=vary(field, OF_SCENES[field]))
    for cell in found.cells[0]:
        assert equal(cell, begin(**{field: cell.x}))
    assert equal(found.cells[0][0], session)


def test_every_field_of_a_scene_is_tried() -> None:
    fields = {field.name for field in attrs.fields(Scene)}
    elsewhere = {"num_inference_steps", "skip"}
    other = {"seeds", "prompt_embedding", "negative_embedding", "photograph"}
    assert {*OF_SCENES} | elsewhere == fields - other | {"seed"}


def test_steps_vary_and_concepts_keep_their_share_of_the_calls() -> None:
    found = grid(begin(), x=vary("num_inference_steps", [5, 20]))
    for cell, warmups in zip(found.cells[0], [(1, 2), (4, 8)], strict=True):
        alone = begin(num_inference_steps=cell.x)
        for name, warmup in zip(("glasses", "smile"), warmups, strict=True):
            alone.update(name, warmup=warmup)
        assert equal(cell, alone)


@pytest.mark.parametrize("field", ["scale", "beta"])
def test_momentum_varies(field: str) -> None:
    found = grid(begin(), x=vary(f"momentum_{field}", [0, 0.5]))
    for cell in found.cells[0]:
        alone = begin()
        alone.momentum(**{field: cell.x})
        assert equal(cell, alone)


def test_two_settings_vary() -> None:
    found = grid(begin(), x=vary("glasses.scale", [0, 3]), y=vary("seed", range(3)))
    assert [[(cell.x, cell.y) for cell in row] for row in found.cells] == [
        [(0, seed), (3, seed)] for seed in range(3)
    ]
    assert found.complete
    for row in found.cells:
        for cell in row:
            alone = begin(seed=cell.y)
            with pytest.warns() if cell.x == 0 else no_warnings():
                alone.reweight("glasses", scale=cell.x)
            assert equal(cell, alone)


@contextmanager
def no_warnings() -> Iterator[None]:
    yield


def test_two_fields_of_a_concept_that_are_valid_together_only() -> None:
    session = begin()
    session.update("glasses", cooldown=5)
    found = grid(session, x=vary("glasses.warmup", [6, 7]), y=vary("glasses.cooldown", [8, 9]))
    alone = begin()
    alone.update("glasses", warmup=7, cooldown=8)
    assert equal(found.cells[0][1], alone)


def test_a_name_with_a_dot() -> None:
    session = begin()
    session.add("3.5 mm film", scale=2)
    found = grid(session, x=vary("3.5 mm film.scale", [1, 4]))
    session.reweight("3.5 mm film", scale=4)
    assert equal(found.cells[0][1], session)


def test_numbers_of_numpy_vary() -> None:
    found = grid(
        begin(),
        x=vary("glasses.scale", np.linspace(1, 2, 3)),
        y=vary("seed", np.arange(2)),
    )
    assert found.x.labels == ("glasses scale 1", "glasses scale 1.5", "glasses scale 2")
    assert found.y is not None
    assert found.y.labels == ("seed 0", "seed 1")


def test_a_batch() -> None:
    session = begin(seed=(1, 2))
    found = grid(session, x=vary("glasses.scale", [2, 4]))
    assert [len(cell) for cell in found.images[0]] == [2, 2]
    session.reweight("glasses", scale=4)
    assert equal(found.cells[0][1], session)


def test_batches_of_other_seeds() -> None:
    found = grid(begin(), x=vary("seed", [(1, 2), (3, 4, 5)]))
    assert [rendered(cell).made_by.scene.seeds for cell in found.cells[0]] == [(1, 2), (3, 4, 5)]
    assert equal(found.cells[0][1], begin(seed=(3, 4, 5)))


def test_masks_vary_in_other_scenes_too() -> None:
    session = begin()
    session.protect((0, 0, 1, 0.5))
    session.update("smile", mask=RIGHT)
    known = session["smile"].mask
    masks = (LEFT, known, None, np.eye(16))
    found = grid(session, x=vary("glasses.mask", masks), y=vary("seed", [7, 8]))
    for row in found.cells:
        for cell in row:
            alone = begin(seed=cell.y)
            alone.protect((0, 0, 1, 0.5))
            alone.update("smile", mask=RIGHT)
            alone.update("glasses", mask=RIGHT if cell.x is known else cell.x)
            assert equal(cell, alone)


def test_embeddings_are_carried_over() -> None:
    def with_gaze(**changes: Any) -> EditSession:
        session = begin(**changes)
        session.add(name="gaze", prompt_embeds=torch.full((1, 1, 1), 0.7), warmup=3)
        return session

    found = grid(with_gaze(), x=vary("gaze.scale", [2, 4]), y=vary("seed", [7, 8]))
    alone = with_gaze(seed=8)
    alone.reweight("gaze", scale=4)
    assert equal(found.cells[1][1], alone)


def test_given_latents_are_those_of_the_own_scene_only() -> None:
    latents = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(3))
    found = grid(begin(latents=latents), x=vary("seed", [7, 8]), y=vary("mode", ["preview"]))
    given = rendered(found.cells[0][0])
    alone = begin(latents=latents)
    unedited = EditState()
    alone.checkout(0)
    alone.render()
    alone.checkout(2)
    assert torch.equal(given.latents, alone.render("preview").latents)
    assert given.before == unedited


def photographed(seed: int = 0) -> EditSession:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    session = EditSession.from_photo(
        pixels, FakeModel(), seed=seed, num_inference_steps=CALLS, batch_plan="canonical"
    )
    session.add("glasses", scale=6, threshold=0.5)
    return session


def test_photographs() -> None:
    session = photographed()
    found = grid(session, x=vary("glasses.scale", [3, 6]), y=vary("seed", [0, 5]))
    for row in found.cells:
        for cell in row:
            alone = photographed(cell.y)
            alone.reweight("glasses", scale=cell.x)
            assert equal(cell, alone)
    assert found.cells[0][1].render is not None
    assert session.plan() == 0


def test_the_skip_of_photographs_varies() -> None:
    found = grid(photographed(), x=vary("skip", [0, 0.5]))
    one, other = (rendered(cell).latents for cell in found.cells[0])
    assert not torch.equal(one, other)


def test_modes_of_photographs_vary() -> None:
    session = photographed()
    session.render()
    found = grid(session, x=vary("mode", ["preview", "exact"]), y=vary("seed", [0, 5]))
    assert [[rendered(cell).mode for cell in row] for row in found.cells] == [
        ["preview", "exact"],
        ["preview", "exact"],
    ]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("height", 32, r"height and width is \(32, 16\); allowed: those of the photographs"),
        ("seed", (1, 2, 3), r"seed is \(1, 2, 3\); allowed: one for all photographs, or 2"),
        ("skip", 1, "skip is 1.0; allowed: .* less than 1"),
    ],
)
def test_what_photographs_do_not_allow(field: str, value: Any, message: str) -> None:
    session = photographed()
    before = session.pipeline.rows
    with pytest.raises(InvalidValueError, match=message):
        grid(session, x=vary(field, [getattr(session.scene, field, 0), value]))
    assert session.pipeline.rows == before


def test_photographs_are_not_inverted_to_check_values() -> None:
    session = photographed()
    before = session.pipeline.rows
    with pytest.raises(InvalidValueError, match="scale is -1"):
        grid(session, x=vary("guidance_scale", [2]), y=vary("glasses.scale", [1, -1]))
    assert session.pipeline.rows == before


# What it costs.


def in_turn(session: EditSession, states: Sequence[EditState]) -> int:
    return sum(session.render(state=state).evaluations for state in states)


def test_a_grid_costs_what_sharing_promises() -> None:
    model = FakeModel()
    session = begin(model)
    session.remove("smile")
    session.momentum(scale=0)
    found = grid(session, x=vary("glasses.scale", [1, 2, 3]), y=vary("seed", [7, 8]))
    # Up to call 2, at which glasses begin, all images of a seed are the same.
    first, later = 2 * CALLS + (CALLS - 2), 3 * (CALLS - 3)
    assert found.evaluations == 2 * (first + 2 * later) == model.rows


def test_a_grid_never_costs_more_than_sessions_apart() -> None:
    scales, seeds = (0, 2, 4, 6), (7, 8, 9)
    model = FakeModel()
    found = grid(begin(model), x=vary("smile.scale", scales), y=vary("seed", seeds))
    apart = 0
    for seed in seeds:
        session = begin(seed=seed)
        states = [edits.update(session.state, "smile", scale=scale) for scale in scales]
        assert in_turn(session, states) == sum(
            rendered(cell).evaluations for cell in found.cells[seeds.index(seed)]
        )
        apart += sum(in_turn(begin(seed=seed), [state]) for state in states)
    assert found.evaluations == model.rows < apart


def test_the_sessions_recordings_are_used_and_added_to() -> None:
    session = begin()
    before = session.render().evaluations
    scales = vary("glasses.scale", [6, 3])
    found = grid(session, x=scales)
    assert rendered(found.cells[0][0]).evaluations == 0
    assert 0 < found.evaluations < before
    assert grid(session, x=scales).evaluations == 0
    session.reweight("glasses", scale=3)
    assert session.render().evaluations == 0


def test_cells_that_share_calls_follow_each_other() -> None:
    """In a cache of about one render, the order decides what is still recorded."""
    x, y = vary("glasses.warmup", [1, 8]), vary("smile.scale", [1, 2, 3])

    def small() -> EditSession:
        session = begin(cache_bytes=40 * 1024)
        session.momentum(scale=0)
        return session

    session = small()
    by_rows = [
        edits.update(edits.update(session.state, "smile", scale=scale), "glasses", warmup=warmup)
        for scale in y.values
        for warmup in x.values
    ]
    order: list[tuple[int, float]] = []
    found = grid(
        small(), x=x, y=y, callback_on_cell_end=lambda cell: order.append((cell.x, cell.y))
    )
    assert order == [(1, 1), (1, 2), (1, 3), (8, 1), (8, 2), (8, 3)]
    assert found.evaluations < in_turn(session, by_rows)


def test_estimates_of_the_own_scene_start_from_the_current_state() -> None:
    session = begin()
    state = session.state
    found = grid(session, x=vary("glasses.scale", [3, 6, 9]), mode="preview")
    renders = [rendered(cell) for cell in found.cells[0]]
    assert [render.mode for render in renders] == ["preview", "exact", "preview"]
    assert {render.before for render in renders} == {state}
    base = begin().render()
    assert found.evaluations == base.evaluations + sum(one.evaluations for one in renders)
    assert found.evaluations == session.pipeline.rows
    # What they start from is recorded, and is nevertheless no start of the session's estimates.
    assert session.plan() == 0
    session.reweight("glasses", scale=9)
    assert session.plan("preview") == session.plan("exact")


def test_estimates_of_another_scene_start_from_the_carried_state() -> None:
    session = begin()
    found = grid(session, x=vary("glasses.scale", [3, 9]), y=vary("seed", [8]), mode="preview")
    alone = begin(seed=8)
    base = alone.render()
    total = base.evaluations
    for cell in found.cells[0]:
        state = edits.update(alone.state, "glasses", scale=cell.x)
        expected = alone.render("preview", state=state)
        total += expected.evaluations
        assert torch.equal(rendered(cell).latents, expected.latents)
        assert rendered(cell).mode == "preview"
    assert found.evaluations == total == session.pipeline.rows


def test_modes_vary_and_nothing_is_exact_because_it_was_recorded() -> None:
    session = begin()
    session.render()
    modes = ["exact", "preview", anchored(every=3)]
    found = grid(session, x=vary("mode", modes), y=vary("seed", [7, 8]))
    for row in found.cells:
        exact, *others = (rendered(cell) for cell in row)
        assert [one.mode for one in others] == ["preview", "anchored(every=3)"]
        assert {one.before for one in others} == {EditState()}
        assert exact.exact
    # The own scene's exact image was recorded.
    assert rendered(found.cells[0][0]).evaluations == 0
    alone = begin(seed=8)
    state = alone.state
    alone.checkout(0)
    alone.render()
    assert torch.equal(
        rendered(found.cells[1][1]).latents, alone.render("preview", state=state).latents
    )


def test_masks_and_modes_vary() -> None:
    session = begin()
    session.render()
    found = grid(
        session, x=vary("mode", ["preview", "exact"]), y=vary("glasses.mask", [LEFT, RIGHT])
    )
    for row in found.cells:
        preview, exact = row
        assert rendered(preview).mode == "preview"
        alone = begin()
        alone.update("glasses", mask=exact.y)
        assert equal(exact, alone)


# What stays as it was.


def test_the_session_stays_as_it_was() -> None:
    session = begin()
    session.render()
    session.reweight("glasses", scale=9)
    history, state = session.history, session.state
    before = session.plan("preview")
    found = grid(
        session,
        x=vary("smile.scale", [1, 2]),
        y=vary("seed", [7, 8]),
        mode="preview",
    )
    grid(session, x=vary("glasses.mask", [LEFT, RIGHT]))
    assert found.complete
    assert session.history is history
    assert session.state is state
    other = begin()
    other.render()
    other.reweight("glasses", scale=9)
    assert before < other.plan("exact")
    render = session.render("preview", state=edits.update(state, "smile", scale=7))
    assert render.before == history[2].state


@pytest.mark.parametrize(
    ("field", "values"),
    [("seed", [7, 8]), ("mode", ["preview", "exact"]), ("glasses.mask", [LEFT, RIGHT])],
)
def test_edits_meanwhile_do_not_change_the_grid(field: str, values: list[Any]) -> None:
    x, y = vary("glasses.scale", [1, 2]), vary(field, values)
    session = begin()

    def edit(_: Cell) -> None:
        session.add(f"hat {len(session)}")

    found = grid(session, x=x, y=y, callback_on_cell_end=edit)
    assert len(session) == 6
    undisturbed = grid(begin(), x=x, y=y)
    for row, others in zip(found.cells, undisturbed.cells, strict=True):
        for cell, other in zip(row, others, strict=True):
            assert torch.equal(rendered(cell).latents, rendered(other).latents)


# Warnings.


def test_concepts_without_effect_are_not_warned_of() -> None:
    session = begin()
    with pytest.warns(NoEffectWarning):
        session.reweight("glasses", scale=0)
    found = grid(session, x=vary("glasses.scale", [0, 2]), y=vary("prompt", ["a cat", "a dog"]))
    assert found.complete


class Cutting(FakeModel):
    """A model that cuts long prompts."""

    def encode_prompt(self, prompt: str, role: Role, scene: Scene) -> Conditioning:
        if len(prompt) > 20:
            warn_caller(f"{prompt!r} is cut", PromptTruncatedWarning)
        return super().encode_prompt(prompt, role, scene)


def test_a_prompt_that_is_cut_is_warned_of_once() -> None:
    session = begin(Cutting())
    long = "a portrait of a man with a hat"
    with pytest.warns(PromptTruncatedWarning, match="with a hat' is cut") as found:
        grid(session, x=vary("prompt", ["a man", long]), y=vary("seed", [7, 8]))
    assert [one.filename for one in found] == [__file__]


# Interruptions and failures.


def interrupted_at(call: int) -> Callable[[Sequence[Request]], None]:
    """Return what stops a model at one of its calls, as ^C does."""
    calls = iter(range(1, 10**6))

    def on_evaluate(_: Sequence[Request]) -> None:
        if next(calls) == call:
            raise KeyboardInterrupt

    return on_evaluate


def test_an_interrupted_grid_keeps_what_is_done() -> None:
    model = FakeModel(on_evaluate=interrupted_at(130))
    session = begin(model)
    history = session.history
    seen: list[Cell] = []
    with pytest.warns(IncompleteWarning, match=r"of 6 cells were rendered; \^C ended") as w:
        found = grid(
            session,
            x=vary("glasses.scale", [1, 2]),
            y=vary("seed", [7, 8, 9]),
            callback_on_cell_end=seen.append,
        )
    assert w[0].filename == __file__
    assert not found.complete
    assert 2 <= len(seen) <= 4
    assert [cell for row in found.cells for cell in row if cell.render is not None] == seen
    assert found.evaluations == sum(rendered(cell).evaluations for cell in seen)
    assert found.sheet().size == grid(session, x=found.x, y=vary("seed", [7, 8, 9])).sheet().size
    assert session.history is history


def test_raising_from_the_callback_ends_the_grid() -> None:
    class StopError(Exception):
        pass

    def stop(_: Cell) -> None:
        raise StopError

    with pytest.raises(StopError):
        grid(begin(), x=vary("seed", [7, 8]), callback_on_cell_end=stop)


def test_a_cell_that_fails_leaves_the_others() -> None:
    x, y = vary("glasses.scale", [3e38, 2]), vary("seed", [7, 8])
    with pytest.warns(IncompleteWarning, match=r"2 of 4 cells were .* the latents overflowed"):
        found = grid(begin(), x=x, y=y)
    for row in found.cells:
        assert "latents" in row[0].error
        assert row[0].render is None
        assert row[1].error == ""
        assert row[1].render is not None
    assert found.images[0][0] == []
    assert not found.complete


def test_cells_fail_if_what_their_estimates_start_from_fails() -> None:
    session = begin()
    session.reweight("glasses", scale=3e38)
    with pytest.warns(IncompleteWarning, match="0 of 3 cells"):
        found = grid(session, x=vary("glasses.scale", [1, 2, 3]), mode="preview")
    assert all("latents" in cell.error for cell in found.cells[0])
    assert found.sheet().width > 0


def test_a_changed_model_is_an_error() -> None:
    model = FakeModel()
    session = begin(model)
    model.components()["scheduler"].register_to_config(beta_end=0.02)
    with pytest.raises(ModelChangedError):
        grid(session, x=vary("seed", [7, 8]))


# What is refused.


@pytest.mark.parametrize(
    ("field", "values", "message"),
    [
        ("glases.scale", [1], r"name is 'glases'; .* Did you mean 'glasses'\?"),
        ("glasses.scal", [1], r"field is 'scal'; .* Did you mean 'scale'\?"),
        ("glasses.embedding", ["x"], "field is 'embedding'; allowed: one of name, prompt"),
        ("glasses", [1], r"allowed: \"CONCEPT.FIELD\".* Try 'glasses.scale'\."),
        ("seeds", [1], r"field is 'seeds'; .* Did you mean 'seed'\?"),
        ("cache_bytes", [1], "field is 'cache_bytes'; allowed: "),
        ("seed", [1, None], "seed is None; allowed: an integer, or several"),
        ("seed", [1, -1], "seed is -1; allowed: an integer, at least 0"),
        ("glasses.scale", [1, -1], "scale is -1.0; allowed: a finite number, at least 0"),
        ("glasses.mask", [LEFT, (2, 2)], "mask is"),
        ("momentum_beta", [0, None], "momentum_beta is None"),
        ("mode", ["exact", "prewiev"], r"mode is 'prewiev'; .* Did you mean 'preview'\?"),
        ("num_inference_steps", [5, 0], "num_inference_steps is 0"),
        ("height", [16, 15], "height is 15; allowed: a multiple of 2"),
        ("skip", [0, 0.5], "skip is 0.5; allowed: 0 where the images are made from noise"),
    ],
)
def test_wrong_values_are_refused_before_anything_is_rendered(
    field: str, values: list[Any], message: str
) -> None:
    model = FakeModel()
    session = begin(model)
    with pytest.raises(InvalidValueError, match=message):
        grid(session, x=vary("glasses.threshold", [0.5]), y=vary(field, values))
    assert model.rows == 0


def test_values_that_do_not_fit_each_other_are_refused() -> None:
    model = FakeModel()
    session = begin(model)
    with pytest.raises(InvalidValueError, match="cooldown is 3; allowed: None, or at least warmup"):
        grid(session, x=vary("glasses.warmup", [1, 5]), y=vary("glasses.cooldown", [3, 9]))
    session.update("glasses", cooldown=4)
    # With as many calls as these, the cool-down is at call 2.
    with pytest.raises(InvalidValueError, match="cooldown is 2; allowed: None, or at least warmup"):
        grid(session, x=vary("glasses.warmup", [3]), y=vary("num_inference_steps", [10, 5]))
    session.update("glasses", cooldown=None, mask=LEFT)
    with pytest.raises(InvalidValueError, match="height and width"):
        grid(session, x=vary("glasses.scale", [3]), y=vary("height", [16, 32]))
    assert model.rows == 0


def test_the_arguments_are_checked() -> None:
    session = begin()
    wrong: Any = [1, 2]
    with pytest.raises(InvalidValueError, match=r"x is \[1, 2\]; allowed: a setting with values"):
        grid(session, x=wrong)
    with pytest.raises(InvalidValueError, match="y is 'seed'; allowed: another field than x"):
        grid(session, x=vary("seed", [1]), y=vary("seed", [2]))
    with pytest.raises(InvalidValueError, match="mode is 'exakt'"):
        grid(session, x=vary("seed", [1]), mode="exakt")
    with pytest.raises(InvalidValueError, match="callback_on_cell_end is"):
        grid(session, x=vary("seed", [1]), callback_on_cell_end=wrong)
    with pytest.raises(UnknownConceptError):
        grid(session, x=vary("hat.scale", [1]))


def test_values_are_a_list() -> None:
    wrong: Any = 5
    with pytest.raises(InvalidValueError, match=r"values is \(\); allowed: at least one value"):
        vary("seed", [])
    with pytest.raises(InvalidValueError, match=r"values is 'a cat'; .* Put it into a list"):
        vary("prompt", "a cat")
    with pytest.raises(InvalidValueError, match="values is 5"):
        vary("seed", wrong)
    with pytest.raises(InvalidValueError, match="field is 5"):
        vary(wrong, [1])
    assert vary("seed", iter([1, 2])).values == (1, 2)


# What is shown.


class Barred(FakeModel):
    """A model that counts its progress bars."""

    def __init__(self) -> None:
        super().__init__()
        self.bars: list[Bar] = []

    def progress_bar(self, total: int) -> Any:
        self.bars.append(Bar(total))
        return self.bars[-1]


class Bar:
    """A progress bar as the models' is used."""

    def __init__(self, total: int) -> None:
        self.total, self.count = total, 0

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self) -> None:
        self.count += 1


def test_one_progress_bar_counts_the_cells() -> None:
    model = Barred()
    grid(begin(model), x=vary("glasses.scale", [1, 2]), y=vary("seed", [7, 8]), mode="preview")
    assert [(bar.total, bar.count) for bar in model.bars] == [(4, 4)]


def test_progress_bars_can_be_hidden() -> None:
    model = Barred()
    session = begin(model)
    grid(session, x=vary("glasses.scale", [1, 2]), progress=False)
    session.render(progress=False)
    assert len([*session.stream(progress=False)]) == 1
    assert model.bars == []
    session.reweight("glasses", scale=3)
    session.render()
    assert [(bar.total, bar.count) for bar in model.bars] == [(CALLS, CALLS)]


@pytest.mark.parametrize(
    ("field", "values", "labels"),
    [
        ("glasses.scale", [0, 2.5], ["glasses scale 0", "glasses scale 2.5"]),
        ("glasses.inverted", [False, True], ["glasses not inverted", "glasses inverted"]),
        ("glasses.cooldown", [None, 7], ["glasses cooldown none", "glasses cooldown 7"]),
        ("glasses.prompt", ["shades"], ["glasses prompt “shades”"]),
        (
            "glasses.mask",
            [None, LEFT],
            ["glasses mask none", "glasses mask 2"],
        ),
        ("seed", [7, (8, 9)], ["seed 7", "seeds 8, 9"]),
        ("prompt", ["a cat"], ["“a cat”"]),
        ("mode", ["preview", anchored(every=5)], ["preview", "anchored(every=5)"]),
        ("num_inference_steps", [20], ["steps 20"]),
        ("guidance_scale", [7.5], ["guidance scale 7.5"]),
        ("momentum_beta", [0.25], ["momentum beta 0.25"]),
    ],
)
def test_headers_are_words(field: str, values: list[Any], labels: list[str]) -> None:
    assert vary(field, values).labels == tuple(labels)


def test_a_grid_shows_and_saves_its_sheet(tmp_path: Path) -> None:
    found = grid(begin(), x=vary("glasses.scale", [1, 2, 3]), y=vary("seed", [7, 8]))
    assert repr(found) == (
        f"<Grid glasses.scale x seed, 3 x 2 cells, 6 rendered, {found.evaluations} evaluations>"
    )
    path = found.save(tmp_path / "grid.png")
    with Image.open(path) as saved:
        assert np.array_equal(np.asarray(saved), np.asarray(found.sheet()))
    with Image.open(io.BytesIO(found._repr_png_())) as shown:
        assert shown.size == found.sheet().size
    with pytest.raises(InvalidValueError, match=r"a file name that ends in \.png"):
        found.save(tmp_path / "grid.jpg")


def test_approximate_images_say_so() -> None:
    """The sheet of a grid with estimates has text below its images, and only then."""

    def height(found: Grid) -> int:
        return found.sheet().height

    x = vary("glasses.scale", [3, 9])
    assert height(grid(begin(), x=x, mode="preview")) > height(grid(begin(), x=x))


def test_large_grids_have_small_images() -> None:
    found = grid(begin(num_inference_steps=5), x=vary("seed", range(40)))
    assert found.sheet().width < 5500
    batch = grid(begin(seed=(1, 2, 3)), x=vary("glasses.scale", [1, 2]))
    assert batch.sheet().width > 2 * 3 * 256
