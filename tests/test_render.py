"""Test `Render`: whose it is, what it shows, what it costs to keep."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
import torch
from attrs import evolve

from sega_session import EditSession, Render, anchored
from sega_session.errors import InvalidValueError, ModelChangedError
from sega_session.models import as_model, identify
from sega_session.render import ROUGH
from sega_session.saving import read_provenance
from sega_session.testing import FakeModel
from tests.support.pipelines import tiny_stable_diffusion


def fake_session(model: FakeModel | None = None, **arguments: Any) -> EditSession:
    return EditSession(
        FakeModel() if model is None else model, "a <cat>", num_inference_steps=6, **arguments
    )


def edited_session(**arguments: Any) -> EditSession:
    session = fake_session(**arguments)
    session.render()
    session.add("hat", warmup=1)
    return session


# Whose it is.


def test_a_render_from_before_a_change_of_the_model_is_not_measured() -> None:
    session = edited_session()
    render = session.render()
    session.refresh_model()
    for attempt in (session.measure, lambda one: session.heat_map(one, "hat")):
        with pytest.raises(InvalidValueError, match="with the model that it has now"):
            attempt(render)
    session.measure(session.render())


def test_another_sessions_render_is_not_measured() -> None:
    session, other = edited_session(), edited_session()
    render = other.render("preview")
    for call in (lambda: session.measure(render), lambda: session.heat_map(render, "hat")):
        with pytest.raises(
            InvalidValueError,
            match=r"render is <Render preview.*>; allowed: one that this session made, with the "
            r"model that it has now. Render it here: session.render\(state=render.state\)\.",
        ):
            call()
    with pytest.raises(InvalidValueError, match="render is 'hat'; allowed: one that this session"):
        session.measure("hat")  # type: ignore[arg-type]
    assert other.measure(render).evaluations > 0


def test_a_render_that_was_pickled_is_still_the_sessions_own() -> None:
    session = edited_session()
    render = pickle.loads(pickle.dumps(session.render()))
    assert session.measure(render).missed == (0.0,)
    assert session.heat_map(render, "hat").shape == (1, 8, 8)


# What it shows.


@pytest.mark.parametrize(("distilled", "expected"), [(False, "unconditional"), (True, "prompt")])
def test_a_render_says_what_its_concepts_are_measured_against(
    distilled: bool, expected: str
) -> None:
    model = FakeModel(distilled=distilled)
    session = fake_session(model)
    session.add("hat", warmup=1)
    render = session.render()
    assert render.measured_against == expected
    assert pickle.loads(pickle.dumps(render)).measured_against == expected
    assert ("a <cat>, hat" in model.encoded) is distilled
    assert ("hat" in model.encoded) is not distilled


def test_the_repr_is_one_short_line() -> None:
    session = edited_session(seed=[1, 2])
    assert repr(session.render()) == "<Render exact, 2 images 16x16, 28 evaluations>"
    session.reweight("hat", scale=7)
    assert repr(session.render("replay")) == (
        "<Render replay, approximate, error not estimated, 2 images 16x16, 16 evaluations>"
    )
    render = session.render("preview")
    assert render.error_estimate is not None
    for error, word in ((ROUGH / 2, "approximate"), (ROUGH, "rough")):
        assert repr(evolve(render, error_estimate=(0.0, error))) == (
            f"<Render preview, {word}, about {100 * error:.2g}% off, "
            f"2 images 16x16, {render.evaluations} evaluations>"
        )
    assert repr(fake_session().render()) == "<Render exact, 1 image 16x16, 12 evaluations>"


def test_one_rough_image_makes_a_render_rough() -> None:
    session = edited_session(seed=[1, 2])
    assert session.render().quality == "exact"
    session.reweight("hat", scale=7)
    assert session.render("replay").quality is None
    render = session.render("preview")
    for errors, quality in (
        ((0.0, 0.9 * ROUGH), "close"),
        ((0.0, ROUGH), "rough"),
        ((2 * ROUGH, 0.0), "rough"),
        (None, None),
    ):
        assert evolve(render, error_estimate=errors).quality == quality
        # An exact render is exact whatever is said besides.
        assert evolve(render, error_estimate=errors, exact=True).quality == "exact"


def test_measurements_and_the_cache_are_short_too() -> None:
    session = edited_session(cache_bytes=10**6, spill_bytes=2 * 10**6)
    assert repr(session.measure(session.render())) == (
        "<Measurement PSNR inf dB; SSIM 1.0000; missed 0.000; evaluations 0>"
    )
    assert repr(session.cache) == (
        "<CacheInfo 0.0 of 1.0 MB, 0.0 of 2.0 MB in host memory, renders: 2, hits: 6>"
    )
    assert repr(fake_session(cache_bytes=10**7).cache) == (
        "<CacheInfo 0.0 of 10.0 MB, renders: 0, hits: 0>"
    )


def test_a_notebook_shows_the_images_with_mode_and_cost() -> None:
    session = edited_session(seed=[1, 2])
    shown = session.render(anchored(every=5))._repr_html_()
    assert shown is not None
    assert shown.count('<img alt="a &lt;cat&gt;" src="data:image/png;base64,iVBOR') == 2
    assert "<figcaption>anchored(every=5), rough, about " in shown
    assert shown.endswith(" evaluations</figcaption></figure>")
    assert session.render(output_type="latent")._repr_html_() is None


# What it costs to keep.


def weights(session: EditSession) -> Any:
    return ref(session.pipeline.unet)


def test_a_render_keeps_neither_the_session_nor_the_pipeline() -> None:
    session = EditSession(tiny_stable_diffusion(), "a cat", num_inference_steps=2)
    render, alive = session.render(), weights(session)
    del session
    gc.collect()
    assert alive() is None
    assert render.image.size == (16, 16)


def test_a_session_that_is_dropped_is_freed_at_once() -> None:
    """Without waiting for the garbage collector: it holds gigabytes."""
    session = EditSession(FakeModel(), "a cat", num_inference_steps=2)
    session.add("hat", warmup=1)
    session.render(output_type="latent")
    alive = ref(session)
    gc.disable()
    try:
        del session
        assert alive() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("output_type", ["pil", "latent"])
def test_a_render_is_pickled_as_its_images_and_little_else(output_type: Any) -> None:
    session = EditSession(tiny_stable_diffusion(), "a cat", seed=[1, 2], num_inference_steps=4)
    session.add("hat", warmup=1)
    for render in (session.render(output_type=output_type), session.render()):
        pickled = pickle.dumps(render)
        pixels = 2 * 16 * 16 * 3
        assert len(pickled) < pixels + 2 * 2 * 4 * 8 * 8 * 4 + 6000
        again = pickle.loads(pickled)
        assert isinstance(again, Render)
        assert repr(again) == repr(render)
        assert torch.equal(again.latents, render.latents)
        assert again.provenance() == render.provenance()


def test_a_render_is_saved_with_its_metadata_when_the_session_is_gone(tmp_path: Path) -> None:
    pipeline = tiny_stable_diffusion()
    session = EditSession(pipeline, "a cat", num_inference_steps=2)
    render = session.render()
    saved = session.render()
    saved.save(tmp_path / "before.png")
    alive = ref(session)
    del session
    gc.collect()
    assert alive() is None
    render.save(tmp_path / "after.png")
    before, after = (read_provenance(tmp_path / f"{name}.png") for name in ("before", "after"))
    assert before == after


def test_a_render_is_saved_with_its_metadata_when_the_pipeline_is_gone(tmp_path: Path) -> None:
    def make() -> Render:
        return EditSession(tiny_stable_diffusion(), "a cat", num_inference_steps=2).render()

    render = make()
    gc.collect()
    for one in (render, pickle.loads(pickle.dumps(render))):
        one.save(tmp_path / "known.png")
        found, _ = read_provenance(tmp_path / "known.png")
        assert found.model == identify(as_model(tiny_stable_diffusion())).digest


def test_a_pipeline_that_was_changed_is_not_named_as_the_one_that_rendered(tmp_path: Path) -> None:
    def make() -> Render:
        session = EditSession(tiny_stable_diffusion(), "a cat", num_inference_steps=2)
        render = session.render()
        with torch.no_grad():
            session.pipeline.unet.conv_in.weight.mul_(2)
        with pytest.raises(ModelChangedError, match="unet: weights changed"):
            render.save(tmp_path / "changed.png")
        return render

    render = make()
    gc.collect()
    for one in (render, pickle.loads(pickle.dumps(render))):
        with pytest.raises(
            InvalidValueError,
            match=r"metadata is True; allowed: False, because the pipeline that made this render "
            r"is gone .* Save renders while their pipeline is there, or pass metadata=False\.",
        ):
            one.save(tmp_path / "changed.png")
        assert not (tmp_path / "changed.png").exists()
        one.save(tmp_path / "pixels.png", metadata=False)


# Progress.


class Bars(FakeModel):
    """A model that records the bars it opens, as [steps, steps that were shown]."""

    def __init__(self) -> None:
        super().__init__()
        self.bars: list[list[int]] = []

    @contextmanager
    def progress_bar(self, total: int) -> Iterator[Any]:
        self.bars.append([total, 0])
        yield self

    def update(self) -> None:
        self.bars[-1][1] += 1


def test_a_bar_is_shown_only_if_something_is_evaluated() -> None:
    model = Bars()
    session = fake_session(model)
    session.render()
    assert model.bars == [[6, 6]]
    session.render()
    session.render("preview")
    assert model.bars == [[6, 6]]
    session.add("hat", warmup=1)
    session.render()
    for mode in ("replay", "preview", "anchored", "exact"):
        session.reweight("hat", scale=session["hat"].scale + 1)
        session.render(mode)
    assert model.bars == [[6, 6]] * 6


# Faults.


@pytest.mark.parametrize(
    "mode", ["exact", "replay", "preview", "anchored", anchored(tolerance=0.1)]
)
def test_a_fault_of_the_model_leaves_the_session_as_it_was(mode: Any) -> None:
    nth = 0
    while True:
        model, cold = FakeModel(), FakeModel()
        session = edited_session(model=model, batch_plan="canonical")
        session.render()
        session.reweight("hat", scale=7)
        before = session.state, session.history
        left = nth

        def fail(_: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyError("a noise tree of the sampler's")

        model.on_evaluate = fail
        try:
            session.render(mode)
        except KeyError:
            pass
        else:
            break
        model.on_evaluate = None
        assert (session.state, session.history) == before
        again = session.render(mode, output_type="latent")
        expected = fake_session(cold, batch_plan="canonical")
        expected.render()
        expected.add("hat", warmup=1)
        expected.render()
        expected.reweight("hat", scale=7)
        wanted = expected.render(mode, output_type="latent")
        assert torch.equal(again.latents, wanted.latents)
        assert again.mode == wanted.mode
        nth += 1
    assert nth >= 3
