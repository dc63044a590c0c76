"""Estimates between anchors, and the anchors of a tolerance, on numbers small enough to check."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sega_session import EditSession, anchored
from sega_session.engine.anchored import (
    AdaptiveAnchors,
    FixedAnchors,
    _error_of,
    anchored_every,
    anchored_within,
    preview,
    root_mean_square,
    shrunk,
)
from sega_session.engine.estimates import (
    IMAGE,
    Correction,
    Estimator,
    extrapolated,
    interpolated,
)
from sega_session.sega import UNCOND
from sega_session.testing import FakeModel

PROMPT = "prompt"
FIRST, SECOND = (
    Correction(4, {UNCOND: torch.tensor(1.0), "hat": torch.tensor(10.0)}),
    Correction(8, {UNCOND: torch.tensor(3.0), "beard": torch.tensor(5.0)}),
)


def numbers(changes: Any) -> dict[str, float]:
    return {condition: float(change) for condition, change in changes.items()}


@pytest.mark.parametrize(("damping", "base"), [(0, 3.0), (0.5, 3.5), (1, 4.0)])
def test_damping_is_the_share_of_the_slope_that_is_followed(damping: float, base: float) -> None:
    # The base moves by 2 in 4 calls; call 10 is 2 calls further. The beard has no slope yet.
    earlier = Correction(0, {UNCOND: torch.tensor(100.0)})
    found = extrapolated([earlier, FIRST, SECOND], 10, damping)
    assert numbers(found) == {UNCOND: base, "beard": 5.0}


def test_one_correction_is_held() -> None:
    assert numbers(extrapolated([FIRST], 7, 0.5)) == numbers(FIRST.changes)


def test_changes_between_anchors_are_linear() -> None:
    # A condition that one anchor lacks keeps the change at the other.
    found = numbers(interpolated(FIRST, SECOND, 5))
    assert found == {UNCOND: 1.5, "hat": 10.0, "beard": 5.0}


def test_what_ships_follows_half_of_the_slope_and_a_preview_none() -> None:
    assert anchored_every(5, signal_and_noise).damping == 0.5
    assert anchored_within(0.1, signal_and_noise).damping == 0.5
    assert preview(signal_and_noise).damping == 0
    assert anchored_every(5, signal_and_noise).error_factor == 1
    assert preview(signal_and_noise).error_factor == 2


def signal_and_noise(call: int) -> tuple[float, float]:
    return 0.8, 0.6


def latents(value: float) -> Tensor:
    return torch.full((1, 4, 2, 2), value)


def estimator(
    guidance_scale: float = 5.0, *, signal: float = 0.8, noise: float = 0.6, **recorded: float
) -> Estimator:
    """Return an estimator on a recording whose every call has the same latents and predictions."""
    recording: Any = SimpleNamespace(
        guider=SimpleNamespace(base=UNCOND if guidance_scale > 1 else PROMPT, origin=UNCOND),
        latents=lambda call: latents(2.0),
        predictions=lambda call: {name: latents(one) for name, one in recorded.items()},
    )
    return Estimator(recording, lambda call: (signal, noise))


def walk(at: float, *needed: str) -> Any:
    return SimpleNamespace(call=3, latents=latents(at), needed=needed, scaled=lambda one: one / 2)


def test_where_nothing_changed_estimates_are_the_recorded_predictions() -> None:
    made = estimator(**{UNCOND: 1.0, PROMPT: 2.0, "hat": 4.0})
    nothing = {UNCOND: latents(0.0), IMAGE: latents(0.0)}
    found = made.predictions(walk(2.0, UNCOND, PROMPT, "hat"), nothing)
    assert {name: float(one.mean()) for name, one in found.items()} == {
        UNCOND: 1.0,
        PROMPT: 2.0,
        "hat": 4.0,
    }


@pytest.mark.parametrize("guidance_scale", [5.0, 1.0])
def test_at_an_anchor_estimates_are_what_was_evaluated(guidance_scale: float) -> None:
    recorded = {UNCOND: 1.0, PROMPT: 2.0, "hat": 4.0}
    evaluated = {UNCOND: 1.5, PROMPT: 2.75, "hat": 3.0, "beard": 7.0}
    if guidance_scale <= 1:
        # Only the prompt is evaluated at every call.
        del recorded[UNCOND], evaluated[UNCOND]
    made = estimator(guidance_scale, **recorded)
    here = walk(3.0, *evaluated)
    predictions = {name: latents(one) for name, one in evaluated.items()}
    correction = made.correction(3, made.moved(here), predictions)
    assert correction.call == 3
    for name, one in made.predictions(here, correction.changes).items():
        torch.testing.assert_close(one, predictions[name])


def test_the_base_holds_the_changes_of_velocity_and_image() -> None:
    # The latents, scaled, are off by 0.5 at the anchor: v = (1.5 - 1 - 0.6 * 0.5) / 0.8 = 0.25,
    # and the image = (0.5 - 0.6 * (1.5 - 1)) / 0.8 = 0.25.
    made = estimator(**{UNCOND: 1.0, PROMPT: 2.0})
    moved = made.moved(walk(3.0))
    evaluated = {UNCOND: latents(1.5), PROMPT: latents(2.75)}
    correction = made.correction(3, moved, evaluated)
    assert numbers({k: v.mean() for k, v in correction.changes.items()}) == pytest.approx(
        {UNCOND: 0.25, IMAGE: 0.25, PROMPT: 0.25}
    )
    # Nearer to the recording, at 2.5, off by 0.25: by v 0.6 * 0.25 + 0.8 * 0.25 = 0.35, by the
    # image (0.25 - 0.8 * 0.25) / 0.6 = 1 / 12, whose share is 0.8. The prompt is 1.25 from it.
    found = made.predictions(walk(2.5, UNCOND, PROMPT), correction.changes)
    assert numbers({k: v.mean() for k, v in found.items()}) == pytest.approx(
        {UNCOND: 1 + 0.2 * 0.35 + 0.8 / 12, PROMPT: 2.25 + 0.2 * 0.35 + 0.8 / 12}
    )


def test_of_an_unknown_schedule_the_predictions_own_change_is_held() -> None:
    made = estimator(noise=0.0, signal=1.0, **{UNCOND: 1.0, PROMPT: 2.0})
    evaluated = {UNCOND: latents(1.5), PROMPT: latents(2.75)}
    correction = made.correction(3, made.moved(walk(3.0)), evaluated)
    found = made.predictions(walk(2.5, UNCOND, PROMPT), correction.changes)
    for name, one in found.items():
        torch.testing.assert_close(one, evaluated[name])


def test_a_change_is_trusted_as_far_as_it_exceeds_its_error() -> None:
    before = latents(1.0)
    for change, error, kept in ((2.0, 0.0, 2.0), (2.0, 1.0, 1.6), (2.0, 2.0, 1.0), (0.0, 0.0, 0.0)):
        found = shrunk(before + change, before, torch.tensor([error]))
        torch.testing.assert_close(found, before + kept)
    # Each image has its own error.
    two = shrunk(latents(3.0).repeat(2, 1, 1, 1), before, torch.tensor([0.0, 2.0]))
    assert two.mean(dim=(1, 2, 3)).tolist() == [3.0, 2.0]


def test_a_condition_without_a_recording_starts_from_the_unconditional_one() -> None:
    made = estimator(1.0, **{UNCOND: 1.0, PROMPT: 2.0})
    evaluated = {PROMPT: latents(2.0), "hat": latents(4.0)}
    correction = made.correction(3, latents(0.0), evaluated)
    # 4 - 2, less 1 - 2, of the unconditional prediction in place of the hat's.
    assert float(correction.changes["hat"].mean()) == pytest.approx(3.0)


def test_the_signal_is_the_share_of_the_image() -> None:
    assert estimator().signal(3) == 0.8


def test_fixed_anchors_are_taken_in_order() -> None:
    anchors = FixedAnchors(20, (0, 4, 9))
    found = []
    while (anchor := anchors.next_anchor()) < 20:
        found.append(anchor)
        anchors.reached(anchor, 1, None)
    assert found == [0, 4, 9]
    assert not anchors.adaptive


def adaptive(tolerance: float = 0.8) -> AdaptiveAnchors:
    """Return anchors after call 10 of 50: each call may have a fortieth of the tolerance."""
    return AdaptiveAnchors(tolerance, 10, 50)


def test_the_first_calls_are_all_anchors_under_a_tolerance() -> None:
    anchors = adaptive()
    found = []
    for _ in range(4):
        found.append(anchors.next_anchor())
        anchors.reached(found[-1], 1, None)
    # Three calls one by one, and then as far as 2.
    assert found == [11, 12, 13, 15]
    assert anchors.possible() == range(11, 49)
    assert anchors.adaptive


@pytest.mark.parametrize(
    ("length", "error", "span"),
    [
        (2, 0.08, 1),  # 0.02 is allowed in a call, and 0.08 was the error of 2.
        (2, 0.04, 2),
        (3, 0.05, 3),  # 3.6 calls, of which whole ones are taken.
        (2, 1e-9, 4),
        (1, 1e-9, 2),  # At most twice as far as before.
        (4, 1e-9, 4),  # At most 4.
        (3, 100.0, 1),
    ],
)
def test_the_next_anchor_depends_on_the_error(length: int, error: float, span: int) -> None:
    anchors = adaptive()
    anchors.reached(20, length, torch.tensor([error / 2, error]))
    assert anchors.next_anchor() == 20 + span


def test_the_last_anchor_under_a_tolerance_is_at_the_last_call_but_one() -> None:
    anchors = adaptive()
    anchors.reached(47, 4, torch.tensor([0.0]))
    assert anchors.next_anchor() == 48
    anchors.reached(48, 1, torch.tensor([0.0]))
    assert anchors.next_anchor() == 50
    # An edit of the last call has no call after it to share the tolerance with.
    assert AdaptiveAnchors(0.1, 50, 50).next_anchor() == 50


def test_anchors_are_told_how_far_apart_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int, bool]] = []
    corrections: list[Tensor] = []
    reached = AdaptiveAnchors.reached

    def spy(self: AdaptiveAnchors, anchor: int, length: int, corrected: Tensor | None) -> None:
        told.append((anchor, length, corrected is not None))
        corrections.extend([] if corrected is None else [corrected])
        reached(self, anchor, length, corrected)

    monkeypatch.setattr(AdaptiveAnchors, "reached", spy)
    session = EditSession(FakeModel(), "a cat", num_inference_steps=20)
    session.add("hat", warmup=4)
    session.render(output_type="latent")
    session.reweight("hat", scale=7)
    session.render(anchored(tolerance=100), output_type="latent")
    # 4 is the first call that the edit changes. Calls were skipped where the distance is not 1.
    assert told == [
        *((5, 1, False), (6, 1, False), (7, 1, False)),
        *((9, 2, True), (13, 4, True), (17, 4, True), (18, 1, False)),
    ]
    # Each is told its own correction.
    assert len({float(one) for one in corrections}) == 3


def test_the_root_mean_square_is_of_each_image() -> None:
    two = torch.stack([torch.full((4, 2, 2), 3.0), torch.tensor(-2.0).expand(4, 2, 2)])
    assert root_mean_square(two).tolist() == [3.0, 2.0]


def test_the_error_at_the_end_weighs_the_last_two_corrections() -> None:
    corrected = [torch.tensor([4.0, 8.0]), torch.tensor([1.0, 2.0]), torch.tensor([3.0, 6.0])]
    torch.testing.assert_close(
        _error_of(corrected), torch.tensor([2.0 * 2 * 4, 4.0 * 4 * 8]).pow(1 / 3)
    )
