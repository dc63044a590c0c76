"""The Jupyter panel without a browser: controls, edits, pictures, errors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from ipywidgets import Widget
from sega_widgets import CompareView, ConceptList, EditPanel, HistoryView, Progress
from sega_widgets.concept_row import COLOURS, ConceptRow
from sega_widgets.history_view import tree
from sega_widgets.png import BLANK
from torch import Tensor

from sega_session import EditSession, EditState
from sega_session.denoisers import Decoded, OutputType
from sega_session.errors import SegaSessionError

from .fake_denoiser import FakeFamily, use_fake

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
    ) -> None:
        self.session, self.show, self.progress, self.fail = session, show, progress, fail
        self.posts: list[bool] = []
        self.cancels = 0
        self.closed = False

    def post(self, *, moving: bool = False) -> None:
        self.posts.append(moving)
        try:
            self.show(self.session.render("preview" if moving else "exact"))
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
    return Decoded([PIL.Image.fromarray(one).resize((16, 16)) for one in grey], None)


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
    panel = EditPanel(session, PIPELINE)
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


def everything(widget: Widget) -> Iterator[Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from everything(child)


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
    assert panel.view.picture.caption.value == "exact"
    assert size(panel.view.picture.large.value) == (16, 16)
    assert panel.history.rows[0].thumbnail.value != BLANK
    add(panel, "glasses")
    row(panel, "glasses").scale.value = 9.0
    assert panel.view.picture.caption.value.startswith("preview: approximate, error about ")
    assert worker(panel).posts[-1] is True
    # The slider is let go: nothing moves any more.
    timers.pop().ring()
    assert worker(panel).posts[-1] is False
    assert panel.view.picture.caption.value == "exact"
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
    assert "of a state before" in panel.view.picture.caption.value


def test_the_picture_is_compared_with_the_unedited_one(panel: EditPanel) -> None:
    picture = panel.view.picture
    unedited = picture.large.value
    add(panel, "glasses")
    assert not picture.compare.disabled
    picture.compare.value = True
    assert (picture.compared.before, picture.compared.after_label) == (unedited, "exact")
    assert picture.compared.after == picture._pngs[0]
    assert (picture.compared.layout.display, picture.large.layout.display) == ("", "none")


def test_a_batch_is_a_grid_and_a_click_enlarges(session: EditSession, inline: None) -> None:
    panel = EditPanel(EditSession(None, "a cat", seed=[3, 4, 5], num_inference_steps=6))
    picture = panel.view.picture
    assert [button.description for button in picture.enlarge] == ["Seed 3", "Seed 4", "Seed 5"]
    assert len({cell.value for cell in picture.cells}) == 3
    assert (picture.large.layout.display, picture._grid.layout.display) == ("none", "grid")
    picture.enlarge[1].click()
    assert picture.large.value == picture.cells[1].value
    assert picture.caption.value == "seed 4 · exact"
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
    assert (view.cancel.disabled, view.bar.layout.visibility) == (True, "hidden")
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
    assert panel.view.picture.caption.value == "exact"
    panel.messages.error(RuntimeError("of another kind"))
    assert "RuntimeError: of another kind" in panel.messages.value


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
    assert old._worker.closed
    assert [concept.name for concept in panel.session.concepts] == ["glasses"]
    assert panel.view.files.file.value == str(tmp_path / "one.safetensors")
    row(panel, "glasses").scale.value = 8.0
    assert panel.session.concepts[0].scale == 8


def test_what_cannot_be_loaded_leaves_the_panel_as_it_was(panel: EditPanel, tmp_path: Path) -> None:
    view = panel.view
    view.files.file.value = str(tmp_path / "none.safetensors")
    view.files.load.click()
    assert "Not done" in panel.messages.value
    assert panel.view is view
    panel._pipeline = None
    view.files.load.click()
    assert "EditPanel(session, pipeline)" in panel.messages.value


def test_the_downloaded_picture_says_what_made_it(panel: EditPanel) -> None:
    add(panel, "glasses")
    panel.view.files.download.click()
    assert 'download="session.png" href="data:image/png;base64,' in panel.view.files.link.value
    png = panel.view.picture.png()
    assert png is not None
    with PIL.Image.open(BytesIO(png)) as image:
        assert EditSession.from_image(image, PIPELINE).concepts == panel.session.concepts


# The whole.


def test_every_control_says_what_it_is_for(panel: EditPanel) -> None:
    add(panel, "glasses")
    controls = [one for one in everything(panel) if hasattr(one, "disabled")]
    assert len(controls) > 20
    for control in controls:
        assert control.tooltip, control
        assert control.description, control


def test_parts_work_alone(session: EditSession) -> None:
    concepts = ConceptList(session, lambda moving: None)
    concepts.text.value = "glasses"
    concepts.text.value = "glasses"
    assert "Not done" in concepts.children[-1].value
    compared = CompareView(before=b"one", after=b"other")
    assert compared.position == 0.5


def test_closing_ends_the_thread(session: EditSession, inline: None) -> None:
    panel = EditPanel(session)
    panel.close()
    assert worker(panel).closed


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
