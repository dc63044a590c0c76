"""Test calibration: the curve, where its renders are placed, and what a session does for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sega_session import EditSession
from sega_session.calibration import (
    BEGIN,
    END,
    RENDERS,
    VISIBLE,
    Calibration,
    Images,
    measure_changes,
)
from sega_session.errors import InvalidValueError, NoEffectWarning, UnknownConceptError
from sega_session.testing import FakeModel

CURVE = Calibration(
    concept="glasses", scales=(0, 0.25, 1, 4), changes=(0.1, 0.7, 0.2), evaluations=7
)


# The curve, without a session.


@st.composite
def calibrations(draw: st.DrawFn) -> Calibration:
    """Return a calibration of any shape; parts of it may not change."""
    scales = sorted(draw(st.sets(st.floats(0, 100), min_size=2, max_size=6)))
    changes = draw(
        st.lists(st.floats(0, 1), min_size=len(scales) - 1, max_size=len(scales) - 1).filter(
            lambda found: sum(found) > 1e-6
        )
    )
    return Calibration(
        concept="glasses", scales=tuple(scales), changes=tuple(changes), evaluations=0
    )


@settings(deadline=None)
@given(calibrations(), st.integers(2, 30))
def test_steps_ascend_within_the_range(calibration: Calibration, count: int) -> None:
    steps = calibration.steps(count)
    assert len(steps) == count
    assert (steps[0], steps[-1]) == (calibration.low, calibration.high)
    assert np.diff(steps).min() >= -1e-12 * steps[-1]
    margin = 1e-12 * calibration.scales[-1]
    assert calibration.scales[0] - margin <= steps[0]
    assert steps[-1] <= calibration.scales[-1] + margin


@settings(deadline=None)
@given(calibrations().filter(lambda one: min(one.changes) > 1e-3), st.floats(0, 1))
def test_a_scale_has_its_share_of_the_change(calibration: Calibration, share: float) -> None:
    roots = np.sqrt(calibration.scales)
    assume(np.diff(roots).min() > 1e-3)
    done = np.interp(np.sqrt(calibration.scale(share)), roots, np.cumsum([0, *calibration.changes]))
    assert done / sum(calibration.changes) == pytest.approx(BEGIN + share * (END - BEGIN))


def test_a_curve_by_hand() -> None:
    # 0.1 of the change is done at scale 0.25 and 0.8 at 1, linear in the root between.
    assert CURVE.low == pytest.approx(0.25**2)
    assert CURVE.scale(0.5) == pytest.approx((0.5 + 0.5 * 4 / 7) ** 2)
    assert CURVE.high == pytest.approx(1.75**2)


def test_a_flat_part_is_passed_over() -> None:
    flat = Calibration(concept="hat", scales=(0, 1, 4, 9), changes=(0.5, 0, 0.5), evaluations=0)
    assert flat.scale(0.5 - 1e-9) == pytest.approx(1)
    assert flat.scale(0.5 + 1e-9) == pytest.approx(4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scales": (0,), "changes": ()}, "scales is .*allowed: at least two, ascending"),
        ({"scales": (0, 1, 1, 4)}, "at least two, ascending"),
        ({"scales": (0, 1, 4, 2)}, "at least two, ascending"),
        ({"scales": (-1, 1, 2, 4)}, "scales is -1.0; allowed: a finite number, at least 0"),
        ({"scales": (0, 1, float("nan"), 4)}, "scales is nan; allowed: a finite number"),
        ({"changes": (0.1, 0.7)}, "allowed: 3, one fewer than the scales"),
        ({"changes": (0.1, -0.7, 0.2)}, "changes is -0.7; allowed: a finite number, at least 0"),
        ({"changes": (0.1, float("nan"), 0.2)}, "changes is nan"),
        ({"changes": (0, 0, 0)}, "at least one above 0"),
        ({"evaluations": -1}, "evaluations is -1; allowed: an integer, at least 0"),
        ({"concept": ""}, "concept is ''; allowed: text, not empty"),
    ],
)
def test_what_is_no_curve_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        attrs.evolve(CURVE, **change)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), "half", True])
def test_a_share_outside_its_range_is_refused(share: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"share is .*at least 0, at most 1"):
        CURVE.scale(share)


@pytest.mark.parametrize("count", [1, 0, -3, 2.5, True])
def test_a_count_outside_its_range_is_refused(count: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"count is .*an integer, at least 2"):
        CURVE.steps(count)


# Where the renders are.


def followed(image: Callable[[float], float], scale: float) -> tuple[list[float], list[float]]:
    """Return the scales in the order they were rendered, and the changes found."""
    rendered: list[float] = []

    def render(scale: float) -> Images:
        rendered.append(scale)
        return np.full((1, 2, 2, 3), image(scale))

    scales, changes = measure_changes(render, scale)
    assert list(scales) == sorted(rendered)
    return rendered, list(changes)


def test_renders_close_in_on_a_jump() -> None:
    rendered, changes = followed(lambda scale: float(scale > 0.3), 4)
    assert rendered == pytest.approx([0, 4, 1, 0.25, 0.75**2])
    assert changes == [0, 1, 0, 0]


def test_renders_are_spread_over_a_steady_change() -> None:
    rendered, changes = followed(lambda scale: scale**0.5, 4)
    assert sorted(rendered) == pytest.approx([0, 0.25, 1, 2.25, 4])
    assert changes == pytest.approx([0.5] * 4)


def test_the_end_is_doubled_until_a_change_is_visible() -> None:
    rendered, _ = followed(lambda scale: float(scale > 12), 4)
    assert rendered == pytest.approx([0, 4, 8, 16, (8**0.5 / 2 + 2) ** 2])
    rendered, _ = followed(lambda scale: VISIBLE if scale >= 4 else 0.0, 4)
    assert max(rendered) == 4


def test_images_that_do_not_change_visibly_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"scale is 4; .*visibly; 16 does not either"):
        followed(lambda scale: 0.9 * VISIBLE * float(scale > 0), 4)


# Sessions. 10 model calls.


def opened(model: FakeModel, **arguments: Any) -> EditSession:
    session = EditSession(model, "a portrait", **{"num_inference_steps": 10, **arguments})
    session.add("glasses", scale=6, threshold=0.5)
    return session


def test_a_calibration_of_a_session() -> None:
    session = opened(FakeModel(), seed=[1, 2])
    session.add("hat")
    calibration = session.calibrate("glasses")
    assert calibration.concept == "glasses"
    assert (calibration.scales[0], calibration.scales[-1]) == (0, 6)
    assert len(calibration.scales) == RENDERS
    assert 0 < calibration.low < calibration.high < 6
    # The other concept applies: alone, the images change by another amount.
    session.remove("hat")
    assert session.calibrate("glasses").changes != calibration.changes


def test_the_renders_are_mostly_approximate_and_evaluate_nothing_twice() -> None:
    model = FakeModel()
    session = opened(model)
    assert session["glasses"].warmup == 2
    # The unedited image: 2 conditions at 10 calls. The concept at calls 0 to 2, where the latents
    # do not differ yet. Then, for each of the four scales, 3 conditions at 3 anchors.
    calibration = session.calibrate("glasses")
    assert calibration.evaluations == model.rows == 20 + 3 + 4 * 3 * 3
    assert session.calibrate("glasses") == attrs.evolve(calibration, evaluations=0)
    assert model.rows == calibration.evaluations


def test_what_is_recorded_is_not_evaluated() -> None:
    session = opened(FakeModel())
    session.disable("glasses")
    session.render(output_type="latent")
    session.enable("glasses")
    session.render(output_type="latent")
    # The unedited image and that at the concept's own scale are there, with calls 0 to 2.
    assert session.calibrate("glasses").evaluations == 3 * 3 * 3


def test_a_photograph_is_where_the_range_begins() -> None:
    photograph = np.full((16, 16, 3), 128, np.uint8)
    session = EditSession.from_photo(photograph, FakeModel(), num_inference_steps=10)
    session.add("glasses", scale=6, threshold=0.5)
    # The unedited image is recorded, with the prompt. The concept and what it is measured against
    # at calls 2 to 4; then, for each of the four scales, 3 conditions at 2 anchors.
    assert session["glasses"].warmup == 4
    assert session.calibrate("glasses").evaluations == 3 * 2 + 4 * 3 * 2


def test_a_calibration_leaves_the_session_as_it_was() -> None:
    session = opened(FakeModel())
    history, state = session.history, session.state
    session.calibrate("glasses")
    assert (session.history, session.state) == (history, state)
    first = session.render("preview", output_type="latent")
    assert (first.mode, first.before) == ("exact", None)  # there was no exact render of a state
    session.calibrate("glasses")
    session.reweight("glasses", 5)
    assert session.render("preview", output_type="latent").before == state


def test_a_calibration_that_fails_leaves_the_session_as_it_was() -> None:
    model = FakeModel()
    session = opened(model)

    def fail(_: object) -> None:
        if model.calls == 15:  # in the second of the renders
            raise RuntimeError("the device is gone")

    model.on_evaluate = fail
    history = session.history
    with pytest.raises(RuntimeError, match="the device is gone"):
        session.calibrate("glasses")
    assert session.history == history
    model.on_evaluate, done = None, model.rows
    whole = opened(FakeModel()).calibrate("glasses")
    # What was evaluated before the failure is not evaluated again.
    again = session.calibrate("glasses")
    assert again == attrs.evolve(whole, evaluations=whole.evaluations - done)


def test_a_concept_without_effect_is_refused() -> None:
    model = FakeModel()
    session = opened(model)
    session.add("hat")
    session.disable("hat")
    with pytest.warns(NoEffectWarning):
        session.add("beard", scale=0)
    with pytest.warns(NoEffectWarning):
        session.add("smile", warmup=10)
    for name, reason in (
        ("hat", r"it is muted\. Call enable\(\) first"),
        ("beard", r"scale is 0\. Raise scale"),
        ("smile", "warmup is 10, and a render has only 10 model calls"),
    ):
        with pytest.raises(InvalidValueError, match=f"'{name}'; .*has an effect.*{reason}"):
            session.calibrate(name)
    with pytest.raises(UnknownConceptError, match="Did you mean 'glasses'"):
        session.calibrate("glases")
    assert model.rows == 0


def test_a_concept_that_never_changes_the_image_is_refused() -> None:
    session = EditSession(FakeModel(), "a portrait", num_inference_steps=10)
    session.add("x", scale=3)  # FakeModel predicts the same for it as without a prompt
    with pytest.raises(InvalidValueError, match=r"scale is 3\.0; .*visibly; 12 does not either"):
        session.calibrate("x")
