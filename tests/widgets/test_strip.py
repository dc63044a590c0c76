"""The strip of one concept at several scales."""

from __future__ import annotations

from typing import Any

import pytest
from sega_widgets import EditPanel

from sega_session import EditSession, EditState
from sega_session.errors import NotFiniteError

from .fakes import add


def test_a_strip_shows_scales_and_a_click_sets_one(panel: EditPanel) -> None:
    strip = panel.view.strip
    assert strip.shown.disabled
    blank = strip.images[0].value
    add(panel, "glasses")
    strip.shown.value = True
    history = panel.session.history
    assert strip.row.layout.display == "grid"
    labels = [button.description.removesuffix(" (rough)") for button in strip.buttons]
    assert labels == ["-9", "-6", "-3", "0", "3", "6", "9"]
    for button in strip.buttons:
        assert ("(rough)" in button.description) == ("rough" in button.tooltip)
        assert "preview" in button.tooltip or "exact" in button.tooltip
    assert "(rough)" in strip.buttons[0].description
    images = [image.value for image in strip.images]
    assert blank not in images
    # Estimates of small edits can be the image before.
    assert len({*images}) > 4
    assert panel.session.history is history
    strip.buttons[0].click()
    concept = panel.session.concepts[0]
    assert (concept.scale, concept.inverted) == (9, True)
    assert len(panel.session.history) == len(history) + 1
    highlighted = [button.style.button_color is not None for button in strip.buttons]
    assert highlighted == [True] + [False] * 6
    # The states are the same, so no image is rendered again.
    assert [image.value for image in strip.images] == images
    strip.buttons[0].click()
    assert len(panel.session.history) == len(history) + 1
    panel.concepts.row("glasses").threshold.value = 0.5
    assert all(image.value == blank for image in strip.images)


def test_a_strip_reaches_as_far_as_the_concept(panel: EditPanel) -> None:
    panel.session.add("glasses", scale=15, warmup=1)
    panel.refresh()
    panel.view.strip.shown.value = True
    labels = [button.description.removesuffix(" (rough)") for button in panel.view.strip.buttons]
    assert labels == ["-15", "-10", "-5", "0", "5", "10", "15"]
    panel.view.strip.shown.value = False
    assert panel.view.strip.row.layout.display == "none"


def test_further_images_that_fail_are_left_out(
    panel: EditPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    strip = panel.view.strip
    blank = strip.images[0].value
    add(panel, "glasses")
    render, refused = panel.session.render, list[EditState]()

    def some(
        _: object, mode: Any = "exact", *, state: EditState | None = None, **arguments: Any
    ) -> Any:
        if state is not None and state.concepts and state.concepts[0].scale == 9:
            refused.append(state)
            raise NotFiniteError("overflow")
        return render(mode, state=state, **arguments)

    monkeypatch.setattr(EditSession, "render", some)
    strip.shown.value = True
    assert [image.value != blank for image in strip.images] == [False, *[True] * 5, False]
    panel.view.progress.render.click()
    assert len(refused) == 2
    assert panel.messages.value == ""
