"""The image of a session: captions, comparison, heat maps, batches, the PNG file."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace
from typing import Any

import PIL.Image
import pytest
from sega_widgets import CompareView, EditPanel
from sega_widgets.captions import describe_accuracy, describe_image
from sega_widgets.concept_row import COLOURS
from sega_widgets.guard import Guard
from sega_widgets.images import ImageView
from sega_widgets.messages import Messages
from sega_widgets.png import BLANK, encode, overlay_heat_map

from sega_session import EditSession

from .fakes import HandTimer, Model, add, new_session, worker_of


def size(png: bytes) -> tuple[int, int]:
    with PIL.Image.open(BytesIO(png)) as image:
        return image.size


@pytest.mark.parametrize(
    ("quality", "errors", "caption"),
    [
        ("rough", (0.002, 0.25), "preview: rough, error about 0.25"),
        ("close", (0.002, 0.001), "preview: approximate, error about 0.002"),
        (None, None, "preview: approximate, error not known"),
    ],
)
def test_a_caption_calls_rough_images_so(quality: Any, errors: Any, caption: str) -> None:
    render: Any = SimpleNamespace(
        exact=False, mode="preview", quality=quality, error_estimate=errors
    )
    assert describe_accuracy(render) == caption


def test_images_say_how_they_were_made(panel: EditPanel, timers: list[HandTimer]) -> None:
    assert panel.view.image.caption.text == "exact"
    assert size(panel.view.image.large.value) == (16, 16)
    assert panel.history.rows[0].thumbnail.value != BLANK
    add(panel, "glasses")
    panel.concepts.row("glasses").scale.value = 9.0
    assert panel.view.image.caption.text.startswith("preview: rough, error about ")
    assert worker_of(panel).posts[-1] is True
    # The slider has stopped moving.
    timers.pop().ring()
    assert worker_of(panel).posts[-1] is False
    assert panel.view.image.caption.text == "exact"
    assert timers == []


def test_an_image_of_an_earlier_state_says_so(panel: EditPanel) -> None:
    panel.session.add("glasses", warmup=1)
    panel.view.image.refresh()
    assert "of an earlier state" in panel.view.image.caption.text


def test_the_image_is_compared_with_the_unedited_one(panel: EditPanel) -> None:
    image = panel.view.image
    unedited = image.large.value
    add(panel, "glasses")
    image.look.value = "Compare"
    assert (image.compared.before, image.compared.after_label) == (unedited, "exact")
    assert image.compared.after == image.pngs[0] != unedited
    assert (image.compared.layout.display, image.large.layout.display) == ("", "none")


def test_a_comparison_renders_the_unedited_image(session: EditSession, inline: None) -> None:
    session.add("glasses", warmup=1)
    panel = EditPanel(session)
    image = panel.view.image
    assert image.compared.before_label == "unedited"
    state = session.state
    image.look.value = "Compare"
    assert image.compared.before_label == "unedited"
    unedited = session.render(state=session.history[0].state)
    assert unedited.evaluations == 0
    assert image.compared.before == encode(unedited.image)
    assert image.compared.before != image.compared.after
    assert (session.state, image.caption.text) == (state, "exact")
    panel.close()


def test_a_heat_map_shows_where_a_concept_acts(panel: EditPanel) -> None:
    image = panel.view.image
    image.look.value = "Where"
    assert image.caption.text == "exact · no concept acts yet"
    assert 'title="a cat"' in image.caption.value
    add(panel, "glasses", "beard")
    assert image.concept.options == ("glasses", "beard")
    assert image.caption.text == "exact · where “glasses” acts"
    assert 'title="a cat; glasses 5; beard 5"' in image.caption.value
    render = image.render
    assert render is not None

    def expected(name: str) -> bytes:
        heat = panel.session.heat_map(render, name)[0]
        return encode(overlay_heat_map(render.image, heat, panel.concepts.colour(name)))

    assert image.large.value == expected("glasses") != expected("beard")
    image.concept.value = "beard"
    assert image.large.value == expected("beard")
    # An estimated image has no heat map, and no other heat map is shown with it.
    panel.concepts.row("glasses").scale.value = 9.0
    assert image.caption.text.startswith("preview: rough")
    assert "acts" not in image.caption.text
    panel.concepts.row("beard").remove.click()
    assert image.concept.value == "glasses"
    image.look.value = "Image"
    assert image.caption.text == "exact"
    assert image.concept.layout.display == "none"


def test_a_heat_map_that_is_not_recorded_is_reported(model: Model, inline: None) -> None:
    panel = EditPanel(new_session(model, cache_bytes=5000))
    add(panel, "glasses")
    panel.view.image.look.value = "Where"
    assert panel.view.image.caption.text == "exact · where “glasses” acts is not recorded"
    assert panel.messages.value == ""
    assert BLANK not in [one.thumbnail.value for one in panel.history.rows]
    panel.close()


def test_a_heat_map_is_shown_only_for_the_selected_concept_and_look(session: EditSession) -> None:
    session.add("glasses", warmup=1)
    session.add("beard", warmup=1)
    guard = Guard(Messages())
    image = ImageView(session, guard, rerender=lambda: None, colour=lambda name: COLOURS[0])
    image.show(session.render())
    image.look.value = "Where"
    plain, show = image.pngs[0], image.heat_maps()
    assert show is not None
    show()
    assert image.large.value != plain
    late = image.heat_maps()
    assert late is not None
    image.look.value = "Image"
    late()  # It was computed while the look changed.
    assert (image.large.value, image.caption.text) == (plain, "exact")
    image.look.value = "Where"
    with guard.updating():  # As when an undo removes the concept.
        image.concept.value = "beard"
    image.refresh()
    assert (image.large.value, image.caption.text) == (plain, "exact")


def test_a_batch_is_a_grid_and_a_click_enlarges(model: Model, inline: None) -> None:
    panel = EditPanel(new_session(model, seed=[3, 4, 5]))
    image = panel.view.image
    assert [button.description for button in image.enlarge] == ["Seed 3", "Seed 4", "Seed 5"]
    assert len({cell.value for cell in image.cells}) == 3
    assert (image.large.layout.display, image.grid.layout.display) == ("none", "grid")
    image.enlarge[1].click()
    assert image.large.value == image.cells[1].value
    assert image.caption.text == "seed 4 · exact"
    assert (image.large.layout.display, image.grid.layout.display) == ("", "none")
    # The PNG file is of the enlarged image.
    render, png = image.render, image.png()
    assert render is not None
    assert png is not None
    with PIL.Image.open(BytesIO(png)) as found:
        one = render.images[1]
        assert isinstance(one, PIL.Image.Image)
        assert found.tobytes() == one.tobytes()
    image.all_seeds.click()
    assert image.grid.layout.display == "grid"
    panel.close()


def test_there_is_no_png_before_the_first_render(session: EditSession) -> None:
    guard = Guard(Messages())
    image = ImageView(session, guard, rerender=lambda: None, colour=lambda name: COLOURS[0])
    assert image.png() is None
    assert image.caption.text == "No image yet."


def test_a_comparison_works_alone() -> None:
    compared = CompareView(before=b"one", after=b"other")
    assert compared.position == 0.5


def test_images_are_described_with_opposites(session: EditSession) -> None:
    session.add("glasses", warmup=0)
    session.add("a crowd", scale=8, warmup=0, inverted=True)
    session.add("smile", scale=4, warmup=0, opposite="sad")
    session.add("old", scale=2, warmup=0, opposite="young", inverted=True)
    words = "a cat; glasses 5; less of a crowd 8; smile instead of sad 4; young instead of old 2"
    assert describe_image("a cat", session.state) == words
    session.disable("old")
    assert describe_image("a cat", session.state) == words.removesuffix("; young instead of old 2")
