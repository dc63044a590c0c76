"""The Jupyter panel without a browser: controls, edits, pictures, errors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch
from ipywidgets import ToggleButtons
from sega_widgets import CompareView, ConceptList, EditPanel, HistoryView, Progress
from sega_widgets.access import Access
from sega_widgets.children import everything
from sega_widgets.concept_row import COLOURS, ConceptRow
from sega_widgets.history_view import tree
from sega_widgets.png import BLANK, encode, heated
from sega_widgets.worker import More
from torch import Tensor

from sega_session import EditSession, EditState
from sega_session.errors import (
    NotFiniteError,
    PromptTruncatedWarning,
    SegaSessionError,
    warn_caller,
)
from sega_session.models import Decoded, OutputType
from tests.support.fake_denoiser import FakeFamily, use_fake

PIPELINE = object()


class InlineWorker:
    """Draws as soon as it is asked, on the caller's thread: previews while moving, else exact."""

    def __init__(
        self,
        session: EditSession,
        *,
        show: Callable[[Any], object],
        progress: Callable[[Progress | None], object],
        fail: Callable[[Exception], object],
        more: More,
        turn: object,
    ) -> None:
        self.session, self.show, self.progress, self.fail = session, show, progress, fail
        self.more = more
        self.posts: list[bool] = []
        self.cancels = 0
        self.closed = False

    def post(self, *, moving: bool = False) -> None:
        self.posts.append(moving)
        try:
            self.show(self.session.render("preview" if moving else "exact"))
            if not moving:
                for put_up in self.more(lambda *_: None):
                    put_up()
        except SegaSessionError as error:
            self.fail(error)

    def cancel(self) -> None:
        self.cancels += 1

    def wait(self, timeout: float | None = None) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class HandTimer:
    """A timer that a test lets ring."""

    waiting: list[HandTimer]

    def __init__(self, seconds: float, ring: Callable[[], None]) -> None:
        self.ring, self.daemon = ring, False

    def start(self) -> None:
        self.waiting.append(self)

    def cancel(self) -> None:
        if self in self.waiting:
            self.waiting.remove(self)


def decode(self: object, latents: Tensor, output_type: OutputType) -> Decoded:
    if output_type != "pil":
        return Decoded(latents, None)
    grey = (latents.mean(dim=1) * 40 + 128).clamp(0, 255).byte().cpu().numpy()
    images = [PIL.Image.fromarray(one).resize((16, 16)).convert("RGB") for one in grey]
    return Decoded(images, None)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> EditSession:
    use_fake(monkeypatch)
    monkeypatch.setattr(FakeFamily, "decode", decode)
    return EditSession(None, "a cat", num_inference_steps=6)


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[HandTimer]:
    waiting: list[HandTimer] = []
    monkeypatch.setattr(HandTimer, "waiting", waiting, raising=False)
    monkeypatch.setattr("sega_widgets.drawing.Timer", HandTimer)
    return waiting


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch, timers: list[HandTimer]) -> None:
    monkeypatch.setattr("sega_widgets.session_view.RenderWorker", InlineWorker)


@pytest.fixture
def panel(session: EditSession, inline: None) -> Iterator[EditPanel]:
    panel = EditPanel(session)
    yield panel
    panel.close()


def worker(panel: EditPanel) -> InlineWorker:
    found = panel.view._worker
    assert isinstance(found, InlineWorker)
    return found


def row(panel: EditPanel, name: str) -> ConceptRow:
    return panel.concepts._rows[name]


def add(panel: EditPanel, *names: str) -> None:
    for name in names:
        panel.concepts.text.value = name


def size(png: bytes) -> tuple[int, int]:
    with PIL.Image.open(BytesIO(png)) as image:
        return image.size


# Concepts.


def test_a_concept_is_added_by_text(panel: EditPanel) -> None:
    add(panel, "glasses", "a beard")
    assert [concept.name for concept in panel.session.concepts] == ["glasses", "a beard"]
    assert panel.concepts.text.value == ""
    assert [one.scale.description for one in panel.concepts.rows] == ["glasses", "a beard"]
    assert [one.colour for one in panel.concepts.rows] == list(COLOURS[:2])
    # Of 6 model calls the default warm-up, 10, would leave none.
    assert panel.session.concepts[0].warmup == 1
    add(panel, "   ")
    assert len(panel.session.history) == 3


def test_a_name_that_is_taken_is_refused_and_stays_to_be_mended(panel: EditPanel) -> None:
    add(panel, "glasses", "glasses")
    assert "Not done" in panel.messages.value
    assert "no other concept has" in panel.messages.value
    assert panel.concepts.text.value == "glasses"
    add(panel, "beard")
    assert panel.messages.value == ""
    assert len(panel.session.concepts) == 2


def test_a_drag_is_one_entry_and_the_next_another(session: EditSession) -> None:
    session.add("glasses", warmup=0)
    clock, heard = Clock(), list[bool]()
    concepts = ConceptList(session, heard.append, clock=clock)
    slider = concepts.rows[0].scale
    for value in (5.5, 6.0, 6.5):
        clock.now += 0.1
        slider.value = value
    assert [entry.label for entry in session.history][2:] == ["glasses: scale 5 -> 6.5"]
    assert heard == [True] * 3
    clock.now += 5
    slider.value = 7.0
    assert [entry.label for entry in session.history][3:] == ["glasses: scale 6.5 -> 7"]


def test_crossing_zero_inverts(panel: EditPanel) -> None:
    add(panel, "glasses")
    glasses = row(panel, "glasses")
    for value in (2.0, 0.0, -3.0):
        glasses.scale.value = value
        assert panel.session.concepts[0].scale == abs(value)
    assert panel.session.concepts[0].inverted
    assert len(panel.session.history) == 3
    glasses.scale.value = 0.0
    assert panel.session.concepts[0].inverted
    glasses.scale.value = 1.0
    assert not panel.session.concepts[0].inverted


def test_invert_mute_and_remove(panel: EditPanel) -> None:
    add(panel, "glasses")
    glasses = row(panel, "glasses")
    glasses.invert.click()
    assert glasses.scale.value == -5
    glasses.enabled.value = False
    assert not panel.session.concepts[0].enabled
    glasses.remove.click()
    assert panel.session.concepts == ()
    assert panel.concepts.rows == ()
    labels = [entry.label for entry in panel.session.history]
    assert labels[2:] == ["glasses inverted", "glasses disabled", "glasses removed"]
    # An event of a slider that is gone by now.
    glasses.scale.value = 3.0
    assert panel.messages.value == ""
    assert len(panel.session.history) == len(labels)


def test_the_fold_out_holds_threshold_and_warm_up(panel: EditPanel) -> None:
    add(panel, "glasses")
    glasses = row(panel, "glasses")
    assert glasses._fold.layout.display == "none"
    glasses.more.value = True
    assert glasses._fold.layout.display == ""
    glasses.threshold.value = 0.95
    glasses.warmup.value = 3
    concept = panel.session.concepts[0]
    assert (concept.threshold, concept.warmup) == (0.95, 3)


def test_ranges_widen_for_values_set_by_code(panel: EditPanel) -> None:
    panel.session.add("glasses", scale=30, threshold=0.999, warmup=0, inverted=True)
    panel.refresh()
    glasses = row(panel, "glasses")
    assert (glasses.scale.value, glasses.threshold.value) == (-30, 0.999)
    assert len(panel.session.history) == 2


def test_a_value_that_the_page_rounds_is_no_edit(panel: EditPanel) -> None:
    panel.session.add("glasses", scale=5.123, threshold=0.9, warmup=1)
    panel.refresh()
    glasses = row(panel, "glasses")
    panel.messages.note("Loaded")
    glasses.threshold.value = 0.9000000000000001
    glasses.scale.value = 5.1
    assert len(panel.session.history) == 2
    assert "Loaded" in panel.messages.value
    glasses.scale.value = 5.2000000000000002
    assert panel.session.concepts[0].scale == 5.2


def test_a_refused_value_goes_back(panel: EditPanel) -> None:
    panel.session.add("glasses", warmup=1, cooldown=3)
    panel.refresh()
    row(panel, "glasses").warmup.value = 5
    assert "cooldown is 3" in panel.messages.value
    assert row(panel, "glasses").warmup.value == 1
    assert len(panel.session.history) == 2


# History.


def test_undo_and_redo_move_the_controls_and_edit_nothing(panel: EditPanel) -> None:
    history = panel.history
    assert (history.undo.disabled, history.redo.disabled) == (True, True)
    add(panel, "glasses")
    slider = row(panel, "glasses").scale
    slider.value = -7.0
    assert len(panel.session.history) == 3
    history.undo.click()
    assert slider.value == 5
    history.undo.click()
    assert panel.concepts.rows == ()
    history.redo.click()
    history.redo.click()
    assert row(panel, "glasses").scale.value == -7
    assert len(panel.session.history) == 3
    assert worker(panel).posts[-4:] == [False] * 4


def test_a_click_goes_to_an_entry(panel: EditPanel) -> None:
    add(panel, "glasses", "beard")
    panel.history.rows[1].button.click()
    assert panel.session.history.current == 1
    add(panel, "hat")
    assert [number for number, _ in tree(panel.session.history)] == [0, 1, 2, 3]
    assert [depth for _, depth in tree(panel.session.history)] == [0, 0, 1, 1]
    last = panel.history.rows[3]
    assert last.button.description == "● 3 hat added"
    assert last.layout.margin == "0 0 0 20px"


def test_a_branch_is_named_and_gone_along(panel: EditPanel) -> None:
    add(panel, "glasses")
    panel.history.name.value = "cheerful"
    assert panel.history.name.value == ""
    assert panel.history.rows[1].button.description == "● 1 glasses added (cheerful)"
    panel.history.rows[0].button.click()
    panel.history.rows[1].button.click()
    assert panel.session.history.branch == "cheerful"
    panel.history.name.value = "cheerful"
    assert "no other branch has" in panel.messages.value


def test_a_drag_back_to_where_it_began_takes_its_entry_back(panel: EditPanel) -> None:
    add(panel, "glasses")
    slider = row(panel, "glasses").scale
    slider.value = 6.0
    assert len(panel.history.rows) == 3
    slider.value = 5.0
    assert len(panel.history.rows) == 2


def test_thumbnails_are_kept_and_the_exact_ones_stay(session: EditSession) -> None:
    history = HistoryView(session, lambda moving: None)
    unedited = session.state
    history.picture(unedited, b"exact", exact=True)
    history.picture(unedited, b"rough", exact=False)
    assert history.rows[0].thumbnail.value == b"exact"
    session.add("glasses", warmup=1)
    history.picture(session.state, b"rough", exact=False)
    history.refresh()
    assert history.rows[1].thumbnail.value == b"rough"
    assert "approximate" in history.rows[1].button.tooltip
    history.picture(EditState(momentum_scale=0.7), b"of nothing here", exact=True)
    history.refresh()
    assert len(history._thumbnails) == 2


# Pictures.


def test_pictures_say_how_they_were_made(panel: EditPanel, timers: list[HandTimer]) -> None:
    assert panel.view.picture.caption.text == "exact"
    assert size(panel.view.picture.large.value) == (16, 16)
    assert panel.history.rows[0].thumbnail.value != BLANK
    add(panel, "glasses")
    row(panel, "glasses").scale.value = 9.0
    assert panel.view.picture.caption.text.startswith("preview: approximate, error about ")
    assert worker(panel).posts[-1] is True
    # The slider is let go: nothing moves any more.
    timers.pop().ring()
    assert worker(panel).posts[-1] is False
    assert panel.view.picture.caption.text == "exact"
    assert timers == []


def test_moving_on_waits_anew_and_an_edit_ends_the_wait(
    panel: EditPanel, timers: list[HandTimer]
) -> None:
    add(panel, "glasses")
    for value in (6.0, 7.0, 8.0):
        row(panel, "glasses").scale.value = value
    assert len(timers) == 1
    row(panel, "glasses").invert.click()
    assert timers == []


def test_a_picture_of_the_state_before_says_so(panel: EditPanel) -> None:
    panel.session.add("glasses", warmup=1)
    panel.view.picture.refresh()
    assert "of a state before" in panel.view.picture.caption.text


def test_the_picture_is_compared_with_the_unedited_one(panel: EditPanel) -> None:
    picture = panel.view.picture
    unedited = picture.large.value
    add(panel, "glasses")
    picture.look.value = "Compare"
    assert (picture.compared.before, picture.compared.after_label) == (unedited, "exact")
    assert picture.compared.after == picture._pngs[0]
    assert (picture.compared.layout.display, picture.large.layout.display) == ("", "none")


def test_a_comparison_has_the_unedited_picture_drawn(session: EditSession, inline: None) -> None:
    session.add("glasses", warmup=1)
    panel = EditPanel(session)
    picture = panel.view.picture
    assert picture.compared.before_label == "unedited"
    state = session.state
    picture.look.value = "Compare"
    assert picture.compared.before_label == "unedited"
    unedited = session.render(state=session.history[0].state)
    assert unedited.evaluations == 0
    assert picture.compared.before == encode(unedited.image)
    assert picture.compared.before != picture.compared.after
    assert (session.state, picture.caption.text) == (state, "exact")
    panel.close()


def test_a_heat_map_shows_where_a_concept_acts(panel: EditPanel) -> None:
    picture = panel.view.picture
    picture.look.value = "Where"
    assert picture.caption.text == "exact · no concept acts yet"
    assert 'title="a cat"' in picture.caption.value
    add(panel, "glasses", "beard")
    assert picture.concept.options == ("glasses", "beard")
    assert picture.caption.text == "exact · where “glasses” acts"
    assert 'title="a cat; glasses 5; beard 5"' in picture.caption.value
    render = picture.render
    assert render is not None

    def expected(name: str) -> bytes:
        heat = panel.session.heat_map(render, name)[0]
        return encode(heated(render.image, heat, panel.concepts.colour(name)))

    assert picture.large.value == expected("glasses") != expected("beard")
    picture.concept.value = "beard"
    assert picture.large.value == expected("beard")
    # What is estimated has no heat map of its own, and is not shown with another's.
    row(panel, "glasses").scale.value = 9.0
    assert picture.caption.text.startswith("preview: approximate")
    assert "acts" not in picture.caption.text
    row(panel, "beard").remove.click()
    assert picture.concept.value == "glasses"
    picture.look.value = "Picture"
    assert picture.caption.text == "exact"
    assert picture.concept.layout.display == "none"


def test_a_heat_map_that_is_not_recorded_is_said(session: EditSession, inline: None) -> None:
    small = EditSession(None, "a cat", num_inference_steps=6, cache_bytes=5000)
    panel = EditPanel(small)
    add(panel, "glasses")
    panel.view.picture.look.value = "Where"
    assert panel.view.picture.caption.text == "exact · where “glasses” acts is not recorded"
    assert panel.messages.value == ""
    assert BLANK not in [one.thumbnail.value for one in panel.history.rows]
    panel.close()


def test_a_heat_map_is_of_the_concept_and_the_look_that_are_chosen(panel: EditPanel) -> None:
    add(panel, "glasses", "beard")
    picture = panel.view.picture
    picture.look.value = "Where"
    plain, late = picture._pngs[0], picture.heated()
    assert late is not None
    assert picture.large.value != plain
    picture.look.value = "Picture"
    late()  # It was drawn while the look changed.
    assert (picture.large.value, picture.caption.text) == (plain, "exact")
    picture.look.value = "Where"
    with panel._guard.setting():  # As when an undo takes the concept away.
        picture.concept.value = "beard"
    picture.refresh()
    assert (picture.large.value, picture.caption.text) == (plain, "exact")


def test_what_cannot_be_drawn_aside_is_left_out(
    panel: EditPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(panel, "glasses")
    render, refused = panel.session.render, list[EditState]()

    def some(mode: Any = "exact", *, state: EditState | None = None, **arguments: Any) -> Any:
        if state is not None and state.concepts and state.concepts[0].scale == 9:
            refused.append(state)
            raise NotFiniteError("overflow")
        return render(mode, state=state, **arguments)

    monkeypatch.setattr(panel.session, "render", some)
    strip = panel.view.strip
    strip.shown.value = True
    drawn = [image.value != strip._nothing for image in strip.images]
    assert drawn == [False, *[True] * 5, False]
    panel.view.progress.draw.click()
    assert len(refused) == 2
    assert panel.messages.value == ""


def test_heat_takes_the_colour_and_the_rest_is_pale() -> None:
    image = PIL.Image.new("RGB", (16, 16), "#204060")
    heat = torch.zeros(4, 4)
    heat[:, :2] = 1
    found = heated(image, heat, "#d55e00")
    hot, cold = (found.getpixel((x, 8)) for x in (2, 14))
    assert isinstance(hot, tuple)
    assert isinstance(cold, tuple)
    assert hot[0] - hot[2] > 120
    assert max(cold) - min(cold) < 20


def test_a_strip_shows_scales_and_a_click_takes_one(panel: EditPanel) -> None:
    strip = panel.view.strip
    assert strip.shown.disabled
    add(panel, "glasses")
    strip.shown.value = True
    history = panel.session.history
    assert strip._row.layout.display == "grid"
    labels = [button.description for button in strip.buttons]
    assert labels == ["-9", "-6", "-3", "0", "3", "6", "9"]
    pictures = [image.value for image in strip.images]
    assert len(set(pictures)) == 7
    assert panel.session.history is history
    strip.buttons[0].click()
    concept = panel.session.concepts[0]
    assert (concept.scale, concept.inverted) == (9, True)
    assert len(panel.session.history) == len(history) + 1
    assert [button.style.button_color is not None for button in strip.buttons] == [True] + [
        False
    ] * 6
    # The states are the same ones, so nothing is drawn again.
    assert [image.value for image in strip.images] == pictures
    strip.buttons[0].click()
    assert len(panel.session.history) == len(history) + 1
    row(panel, "glasses").threshold.value = 0.5
    assert all(image.value == strip._nothing for image in strip.images)


def test_a_strip_reaches_as_far_as_the_concept(panel: EditPanel) -> None:
    panel.session.add("glasses", scale=15, warmup=1)
    panel.refresh()
    panel.view.strip.shown.value = True
    labels = [button.description for button in panel.view.strip.buttons]
    assert labels == ["-15", "-10", "-5", "0", "5", "10", "15"]
    panel.view.strip.shown.value = False
    assert panel.view.strip._row.layout.display == "none"


def test_a_batch_is_a_grid_and_a_click_enlarges(session: EditSession, inline: None) -> None:
    panel = EditPanel(EditSession(None, "a cat", seed=[3, 4, 5], num_inference_steps=6))
    picture = panel.view.picture
    assert [button.description for button in picture.enlarge] == ["Seed 3", "Seed 4", "Seed 5"]
    assert len({cell.value for cell in picture.cells}) == 3
    assert (picture.large.layout.display, picture._grid.layout.display) == ("none", "grid")
    picture.enlarge[1].click()
    assert picture.large.value == picture.cells[1].value
    assert picture.caption.text == "seed 4 · exact"
    assert (picture.large.layout.display, picture._grid.layout.display) == ("", "none")
    picture.all_seeds.click()
    assert picture._grid.layout.display == "grid"
    panel.close()


def test_progress_and_cancel(panel: EditPanel) -> None:
    view = panel.view.progress
    assert view.cancel.disabled
    worker(panel).progress(Progress("exact", 3, 6, 12.4))
    assert (view.bar.value, view.bar.max) == (3, 6)
    assert view.text.value == "exact: 3 of 6, 12 s left"
    view.cancel.click()
    assert worker(panel).cancels == 1
    worker(panel).progress(Progress("exact", 0, 6, None))
    assert view.text.value == "exact: 0 of 6"
    worker(panel).progress(None)
    assert (view.cancel.disabled, view.bar.layout.display) == (True, "none")
    view.draw.click()
    assert worker(panel).posts[-1] is False


# Errors and files.


def test_an_error_is_shown_and_the_panel_goes_on(
    panel: EditPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(FakeFamily, "predict", lambda self, inputs: out_of_memory())
        add(panel, "glasses")
    assert "no memory &lt;left&gt;; lower height" in panel.messages.value
    assert 'role="alert"' in panel.messages.value
    panel.view.progress.draw.click()
    assert panel.messages.value == ""
    assert panel.view.picture.caption.text == "exact"
    panel.messages.error(RuntimeError("of another kind"))
    assert "RuntimeError: of another kind" in panel.messages.value


def test_a_defect_is_told_too(panel: EditPanel, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    panel._guard.act(broken)
    assert "RuntimeError: broken" in panel.messages.value
    assert "a defect in sega_widgets" in caplog.text


def test_a_file_needs_a_name(panel: EditPanel) -> None:
    panel.view.files.file.value = "  "
    for button in (panel.view.files.save, panel.view.files.load, panel.view.files.script):
        panel.messages.clear()
        button.click()
        assert "File is &#x27;&#x27;; allowed: the name of a file" in panel.messages.value


def out_of_memory() -> None:
    raise SegaSessionError("no memory <left>; lower height")


def test_save_load_and_script(panel: EditPanel, tmp_path: Path) -> None:
    add(panel, "glasses")
    files = panel.view.files
    files.file.value = str(tmp_path / "one.safetensors")
    files.save.click()
    assert "one.safetensors" in panel.messages.value
    assert 'role="status"' in panel.messages.value
    files.script.click()
    assert EditSession.run(tmp_path / "one.json", PIPELINE).concepts == panel.session.concepts
    add(panel, "beard")
    old = panel.view
    files.load.click()
    assert panel.view is not old
    assert [concept.name for concept in panel.session.concepts] == ["glasses"]
    assert panel.view.files.file.value == str(tmp_path / "one.safetensors")
    row(panel, "glasses").scale.value = 8.0
    assert panel.session.concepts[0].scale == 8
    # The session before is still there.
    panel.sessions.value = 0
    assert panel.view is old
    assert [concept.name for concept in panel.session.concepts] == ["glasses", "beard"]


def test_a_loaded_file_shows_its_pictures(panel: EditPanel, tmp_path: Path) -> None:
    add(panel, "glasses")
    panel.session.add("beard", warmup=1)
    panel.session.add("hat", warmup=1)
    panel.refresh()
    files = panel.view.files
    files.file.value = str(tmp_path / "one.safetensors")
    files.save.click()
    before = [one.thumbnail.value for one in panel.history.rows]
    files.load.click()
    assert [one.thumbnail.value for one in panel.history.rows] == before
    # One was passed over too quickly to be drawn, so a preview stands for it.
    assert BLANK not in before
    notes = ["approximate" in one.button.tooltip for one in panel.history.rows]
    assert notes == [False, False, True, False]


def test_another_prompt_is_another_session(panel: EditPanel) -> None:
    first = panel.view
    add(panel, "glasses")
    scene = first.scene
    scene.prompt.value, scene.seeds.value, scene.steps.value = "a dog", "3, 4", 5
    scene.guidance.value, scene.negative.value = 6.0, "blurry"
    scene.new.click()
    found = panel.session.scene
    assert (found.prompt, found.seeds, found.num_inference_steps) == ("a dog", (3, 4), 5)
    assert (found.guidance_scale, found.negative_prompt) == (6, "blurry")
    assert panel.session.concepts == ()
    assert panel.view.picture.caption.text == "exact"
    titles = [title for title, _ in panel.sessions.options]
    assert titles == ["1: a cat, seed 0", "2: a dog, seed 3, 4"]
    assert panel.view.files.file.value == "session-2.safetensors"
    assert panel.session.pipeline is first.session.pipeline
    panel.sessions.value = 0
    assert panel.view is first
    # What was typed belongs to the other.
    assert (first.scene.prompt.value, first.scene.seeds.value) == ("a cat", "0")
    add(panel, "beard")
    assert [concept.name for concept in panel.session.concepts] == ["glasses", "beard"]
    assert [len(view.session.concepts) for view in panel._views] == [2, 0]


def test_a_session_is_closed(panel: EditPanel) -> None:
    first = panel.view
    first.scene.new.click()
    second = panel.view
    assert panel._bar.layout.display == ""
    panel.end.click()
    assert panel.view is first
    assert second.comm is None
    assert second._worker.closed
    assert panel._bar.layout.display == "none"
    first.scene.new.click()
    assert panel.view.files.file.value == "session-3.safetensors"


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("seeds", "eight", "Seed is"),
        ("seeds", "-1", "seed"),
        ("seeds", "", "Seed is"),
        ("steps", 0, "num_inference_steps is 0; allowed"),
        ("guidance", -1.0, "guidance_scale is -1.0; allowed"),
    ],
)
def test_a_scene_that_is_refused_changes_nothing(
    panel: EditPanel, field: str, text: object, message: str
) -> None:
    getattr(panel.view.scene, field).value = text
    panel.view.scene.new.click()
    assert "Not done" in panel.messages.value
    assert message in panel.messages.value
    assert len(panel._views) == 1


def test_keys_undo_and_redo(panel: EditPanel) -> None:
    (access,) = (one for one in everything(panel) if isinstance(one, Access))
    add(panel, "glasses")
    press: Any = access._handle_custom_msg
    press({"step": "undo"}, [])
    assert panel.session.concepts == ()
    press({"step": "undo"}, [])
    press({"step": "redo"}, [])
    assert len(panel.session.concepts) == 1
    assert panel.messages.value == ""


def test_a_warning_is_a_message(panel: EditPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = FakeFamily.encode

    def warning(self: Any, prompt: str, **arguments: Any) -> Any:
        warn_caller("the end does not fit", PromptTruncatedWarning)
        return encode(self, prompt, **arguments)

    monkeypatch.setattr(FakeFamily, "encode", warning)
    add(panel, "a very long concept")
    assert panel.messages.value == '<div role="status">the end does not fit</div>'
    assert len(panel.session.concepts) == 1


def test_what_cannot_be_loaded_leaves_the_panel_as_it_was(panel: EditPanel, tmp_path: Path) -> None:
    view = panel.view
    view.files.file.value = str(tmp_path / "none.safetensors")
    view.files.load.click()
    assert "Not done" in panel.messages.value
    assert panel.view is view


def test_the_downloaded_picture_says_what_made_it(panel: EditPanel) -> None:
    add(panel, "glasses")
    panel.view.files.download.click()
    assert 'download="session.png" href="data:image/png;base64,' in panel.view.files.link.value
    png = panel.view.picture.png()
    assert png is not None
    add(panel, "beard")
    assert panel.view.files.link.value == ""
    png = panel.view.picture.png()
    assert png is not None
    with PIL.Image.open(BytesIO(png)) as image:
        assert EditSession.from_image(image, PIPELINE).concepts == panel.session.concepts


# The whole.


def test_every_control_says_what_it_is_for(panel: EditPanel) -> None:
    add(panel, "glasses")
    panel.view.strip.shown.value = True
    controls = [one for one in everything(panel) if hasattr(one, "disabled")]
    assert len(controls) > 20
    (access,) = (one for one in everything(panel) if isinstance(one, Access))
    assert {"Prompt", "Seed", "Concept", "Branch", "File", "of", "Session"} <= set(access.tips)
    for control in controls:
        if isinstance(control, ToggleButtons):
            assert len(control.tooltips) == len(control.options)
            continue
        assert control.tooltip, control
        assert control.description, control


def test_parts_work_alone(session: EditSession) -> None:
    concepts = ConceptList(session, lambda moving: None)
    concepts.text.value = "glasses"
    concepts.text.value = "glasses"
    assert "Not done" in concepts.children[-1].value
    compared = CompareView(before=b"one", after=b"other")
    assert compared.position == 0.5


def test_closing_ends_the_threads_and_all_widgets(session: EditSession, inline: None) -> None:
    panel = EditPanel(session)
    panel.view.scene.new.click()
    widgets = [*everything(panel), *everything(panel._views[0])]
    panel.close()
    for view in panel._views:
        assert view._worker.closed
    assert [one for one in widgets if one.comm is not None] == []


def test_edits_from_many_threads_leave_controls_and_session_alike(
    session: EditSession, timers: list[HandTimer]
) -> None:
    """With the real worker."""
    panel = EditPanel(session)
    add(panel, "glasses")
    slider, begin = row(panel, "glasses").scale, threading.Barrier(4)

    def drag(offset: int) -> None:
        begin.wait()
        for value in range(20):
            slider.value = float((value * 7 + offset) % 19)

    def walk() -> None:
        begin.wait()
        for _ in range(20):
            panel.history.undo.click()
            panel.history.redo.click()

    threads = [threading.Thread(target=drag, args=(n,)) for n in (0, 5)]
    threads.append(threading.Thread(target=walk))
    for thread in threads:
        thread.start()
    begin.wait()
    for thread in threads:
        thread.join(60)
    panel.view.progress.draw.click()
    assert panel.view._worker.wait(60)
    names = [concept.name for concept in panel.session.concepts]
    assert [one.scale.description for one in panel.concepts.rows] == names
    for one, concept in zip(panel.concepts.rows, panel.session.concepts, strict=True):
        assert one.scale.value == (-concept.scale if concept.inverted else concept.scale)
    assert panel.session.history.problems() == []
    render = panel.view.picture.render
    assert render is not None
    assert render.exact
    assert render.state == panel.session.state
    panel.close()
