"""The list of concepts on the stage: chips, sliders, keyboard, focus and late messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Locator, expect
from sega_widgets import ConceptList

from sega_session import EditSession
from sega_session.models import Preset, Recommended

from ..widgets.fakes import Model, new_session
from .stage import Stage

MINUS = "\N{MINUS SIGN}"

FOUND = Recommended(
    prompt="a cat",
    seed=0,
    guidance_scale=None,
    concepts={
        "glasses": Preset(scale=4, threshold=0.95, warmup=0.5),
        "hat": Preset(scale=7, threshold=0.8, warmup=0),
    },
    removals={"no glasses": Preset(scale=4, threshold=0.93, warmup=0.5, opposite="glasses")},
    opposites={"smile": Preset(scale=3, threshold=0.96, warmup=0.5, opposite="sad")},
)


class ListPage:
    """A list of concepts on a stage.

    Attributes:
        heard: what the list reported of each change: whether a slider was moving.
    """

    def __init__(self, stage: Stage, **arguments: Any) -> None:
        self.stage, self.page = stage, stage.page
        self.session: EditSession = new_session(Model())
        self.heard: list[bool] = []
        self.list = ConceptList(self.session, self.heard.append, **arguments)
        stage.show(self.list)

    @property
    def text(self) -> Locator:
        return self.page.get_by_role("textbox", name="Add a concept")

    @property
    def labels(self) -> list[str]:
        return [entry.label for entry in self.session.history][1:]

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def slider(self, name: str, field: str = "scale") -> Locator:
        return self.page.get_by_role("slider", name=f"{name}: {field}", exact=True)

    def number(self, name: str, field: str = "scale") -> Locator:
        return self.page.get_by_role("textbox", name=f"{name}: {field}, as a number")

    def add(self, *texts: str) -> None:
        for text in texts:
            self.text.fill(text)
            self.text.press("Enter")
            expect(self.slider(text)).to_be_attached()

    def edit(self, act: Callable[[], object]) -> None:
        """Edit by code, as another part of a panel does."""
        act()
        self.list.refresh()

    def place(self, name: str, share: float) -> tuple[float, float]:
        """Return where a share of a slider's range is on the page, in pixels."""
        box = self.slider(name).bounding_box()
        assert box is not None
        return box["x"] + 7 + (box["width"] - 14) * share, box["y"] + box["height"] / 2

    @contextmanager
    def dragged(self, name: str, share: float) -> Iterator[Callable[[float], None]]:
        """Press a slider's handle, or its track, until the end of the block."""
        x, y = self.place(name, share)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        # Inside the block the slider may have another range than it gets at the end.
        box = self.slider(name).bounding_box()
        assert box is not None
        yield lambda share: self.page.mouse.move(box["x"] + 7 + (box["width"] - 14) * share, y + 40)
        self.page.mouse.up()

    def until(self, done: Callable[[], bool]) -> None:
        """Wait until the session is in a state."""
        for _ in range(400):
            if done():
                return
            self.page.wait_for_timeout(10)
        raise AssertionError(self.labels)

    def until_scale(self, name: str, scale: float) -> None:
        self.until(lambda: self.session[name].scale == scale)

    def quiet(self) -> None:
        """Wait until messages that are under way must have arrived."""
        self.page.wait_for_timeout(150)


@pytest.fixture
def concepts(stage: Stage) -> ListPage:
    return ListPage(stage)


@pytest.fixture
def with_presets(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> ListPage:
    monkeypatch.setattr("sega_widgets.concepts.recommended", lambda pipeline: FOUND)
    return ListPage(stage)


# Adding and removing.


def test_a_phrase_is_added_by_enter_or_the_button(concepts: ListPage) -> None:
    expect(concepts.page.get_by_text("No concepts yet")).to_be_visible()
    concepts.add("glasses")
    expect(concepts.text).to_have_value("")
    expect(concepts.text).to_be_focused()
    expect(concepts.page.get_by_text("No concepts yet")).to_be_hidden()
    concepts.text.fill("a beard")
    concepts.button("Add").click()
    expect(concepts.slider("a beard")).to_be_attached()
    assert [one.name for one in concepts.session.concepts] == ["glasses", "a beard"]
    expect(concepts.number("glasses")).to_have_value("5.0")


def test_a_refused_phrase_stays_with_the_reason(concepts: ListPage) -> None:
    concepts.add("glasses")
    concepts.text.fill("glasses")
    concepts.button("Add").click()
    expect(concepts.page.get_by_role("alert")).to_have_text(
        "“glasses” is already in the list. Choose another name, or move its slider."
    )
    expect(concepts.text).to_have_value("glasses")
    expect(concepts.text).to_have_attribute("aria-invalid", "true")
    expect(concepts.text).to_be_focused()
    # It can be sent again.
    concepts.edit(lambda: concepts.session.remove("glasses"))
    concepts.text.press("Enter")
    expect(concepts.slider("glasses")).to_be_attached()
    expect(concepts.page.get_by_role("alert")).to_be_hidden()


def test_names_are_text(concepts: ListPage) -> None:
    concepts.add("<b>&amp;")
    expect(concepts.page.get_by_text("<b>&amp;", exact=True)).to_be_visible()


def test_a_chip_adds_its_concept_and_removes_it(with_presets: ListPage) -> None:
    concepts = with_presets
    group = concepts.page.get_by_role("group", name="Replace")
    chip = group.get_by_role("button", name="smile instead of sad")
    expect(chip).to_have_attribute("title", "scale 3, threshold .96, warm-up 3")
    expect(chip).to_have_attribute("aria-pressed", "false")
    before = chip.bounding_box()
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "true")
    assert chip.bounding_box() == before
    expect(concepts.slider("smile instead of sad")).to_be_attached()
    expect(concepts.page.get_by_text("threshold .96, warm-up 3")).to_be_visible()
    assert concepts.session["smile"].opposite == "sad"
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "false")
    assert concepts.session.concepts == ()


def test_no_chips_without_presets(concepts: ListPage) -> None:
    expect(concepts.page.get_by_role("group")).to_have_count(0)


def test_the_focus_moves_on_when_a_row_is_removed(concepts: ListPage) -> None:
    concepts.add("glasses", "hat", "beard")
    for removed, then in (("hat", "beard"), ("beard", "glasses")):
        concepts.button(f"Remove {removed}").focus()
        concepts.page.keyboard.press("Enter")
        expect(concepts.slider(removed)).to_have_count(0)
        expect(concepts.button(f"Remove {then}")).to_be_focused()
    concepts.page.keyboard.press("Enter")
    expect(concepts.text).to_be_focused()
    concepts.add("glasses", "hat")
    concepts.slider("glasses").focus()
    concepts.edit(lambda: concepts.session.remove("glasses"))
    expect(concepts.slider("hat")).to_be_focused()


def test_switch_invert_and_reset(with_presets: ListPage) -> None:
    concepts = with_presets
    concepts.add("glasses")
    switch = concepts.page.get_by_role("switch", name="glasses on")
    expect(switch).to_be_checked()
    switch.click()
    expect(switch).not_to_be_checked()
    concepts.button("Invert glasses").click()
    expect(concepts.number("glasses")).to_have_value(f"{MINUS}4.0")
    expect(concepts.button("Invert glasses")).to_have_attribute("aria-pressed", "true")
    expect(concepts.slider("glasses")).to_have_attribute(
        "aria-valuetext", f"{MINUS}4.0, away from it"
    )
    details = concepts.page.get_by_role("group", name="Details of glasses")
    expect(details).to_be_hidden()
    concepts.button("Details of glasses").click()
    expect(concepts.button("Details of glasses")).to_have_attribute("aria-expanded", "true")
    concepts.slider("glasses", "threshold").press("Home")
    concepts.slider("glasses", "warm-up").press("ArrowRight")
    concepts.until(lambda: concepts.session["glasses"].warmup == 4)
    assert concepts.session["glasses"].threshold == 0
    concepts.button("Reset").click()
    expect(concepts.number("glasses")).to_have_value("4.0")
    expect(concepts.button("Reset")).to_be_disabled()
    assert concepts.session["glasses"].threshold == 0.95
    # The details stay open when undo brings the concept back.
    concepts.edit(lambda: concepts.session.remove("glasses"))
    concepts.edit(concepts.session.undo)
    expect(details).to_be_visible()


def test_the_button_of_a_mask_says_whether_there_is_one(stage: Stage) -> None:
    asked = list[str]()
    concepts = ListPage(stage, edit_mask=asked.append)
    concepts.add("glasses")
    concepts.button("Mask of glasses").click()
    concepts.until(lambda: asked == ["glasses"])
    concepts.edit(lambda: concepts.session.update("glasses", mask=(0, 0, 0.5, 0.5)))
    expect(concepts.button("Mask of glasses, 25% of the image")).to_be_visible()


# Drags.


def test_a_drag_is_one_entry(concepts: ListPage) -> None:
    concepts.add("glasses")
    concepts.heard.clear()
    with concepts.dragged("glasses", 0.75) as move:
        for step in range(30):
            move(0.75 + step / 150)
        # While the pointer is down, values from elsewhere do not move the handle.
        concepts.until(lambda: concepts.session["glasses"].scale > 8)
        place = concepts.number("glasses").input_value()
        concepts.edit(lambda: None)
        concepts.quiet()
        expect(concepts.number("glasses")).to_have_value(place)
        assert {*concepts.heard} == {True}
        move(1.0)
    concepts.until_scale("glasses", 10)
    concepts.until(lambda: concepts.heard[-1] is False)
    assert concepts.labels == ["glasses added", "glasses: scale 5 -> 10"]
    with concepts.dragged("glasses", 1.0) as move:
        move(0.8)
    concepts.until_scale("glasses", 6)
    assert len(concepts.labels) == 3


def test_a_press_on_the_track_moves_the_handle_there(concepts: ListPage) -> None:
    concepts.add("glasses")
    concepts.page.mouse.click(*concepts.place("glasses", 0.25))
    concepts.until_scale("glasses", 5)
    concepts.until(lambda: concepts.session["glasses"].inverted)
    # A press on the handle alone does nothing.
    concepts.page.wait_for_timeout(500)
    concepts.page.mouse.click(*concepts.place("glasses", 0.25))
    concepts.quiet()
    assert len(concepts.labels) == 2


def test_the_handle_stays_under_the_pointer_before_it_moves(concepts: ListPage) -> None:
    concepts.add("glasses")
    with concepts.dragged("glasses", 0.75):
        concepts.edit(lambda: concepts.session.reweight("glasses", 8))
        concepts.quiet()
        expect(concepts.number("glasses")).to_have_value("5.0")
    # Nothing was moved, so the row shows what the session holds.
    expect(concepts.number("glasses")).to_have_value("8.0")


def test_shift_makes_a_drag_fine(concepts: ListPage) -> None:
    concepts.add("glasses")
    concepts.page.keyboard.down("Shift")
    with concepts.dragged("glasses", 0.75) as move:
        move(0.85)
    concepts.page.keyboard.up("Shift")
    concepts.until_scale("glasses", 5.2)


def test_a_double_click_restores_the_presets_value(with_presets: ListPage) -> None:
    concepts = with_presets
    concepts.add("glasses")
    concepts.number("glasses").fill("9")
    concepts.number("glasses").press("Enter")
    concepts.until_scale("glasses", 9)
    concepts.page.mouse.dblclick(*concepts.place("glasses", 0.1))
    concepts.until_scale("glasses", 4)
    concepts.quiet()
    # The value of the first click is not an entry of its own.
    states = [entry.state for entry in concepts.session.history][1:]
    assert [one.concept("glasses").scale for one in states] == [4, 9, 4]
    expect(concepts.number("glasses")).to_have_value("4.0")
    # On the handle, at another value.
    concepts.number("glasses").fill("8")
    concepts.number("glasses").press("Enter")
    concepts.until_scale("glasses", 8)
    concepts.page.mouse.dblclick(*concepts.place("glasses", 0.9))
    concepts.until_scale("glasses", 4)
    assert len(concepts.session.history) == 6


def test_a_pointer_that_is_cancelled_ends_the_drag(concepts: ListPage) -> None:
    concepts.add("glasses")
    with concepts.dragged("glasses", 0.75) as move:
        move(0.9)
        concepts.page.evaluate("document.querySelector('.sega-slider').releasePointerCapture(1)")
        concepts.until_scale("glasses", 8)
        concepts.until(lambda: concepts.heard[-1] is False)
        move(0.5)
        concepts.quiet()
    assert concepts.session["glasses"].scale == 8


def test_a_touch_scrolls_or_moves(concepts: ListPage) -> None:
    concepts.add("glasses")
    x, y = concepts.place("glasses", 0.25)
    touch = """([kind, x, y]) => document.querySelector(".sega-slider").dispatchEvent(
        new PointerEvent(kind, { pointerId: 7, pointerType: "touch", isPrimary: true, button: 0,
        clientX: x, clientY: y, bubbles: true, cancelable: true }))"""
    # Capture needs a real pointer.
    concepts.page.evaluate(
        """() => Object.assign(Element.prototype, {
            setPointerCapture() {}, hasPointerCapture: () => true })"""
    )
    for kind in ("pointerdown", "pointercancel"):
        concepts.page.evaluate(touch, [kind, x, y])
    concepts.quiet()
    assert len(concepts.labels) == 1
    concepts.page.wait_for_timeout(500)
    for kind in ("pointerdown", "pointerup"):
        concepts.page.evaluate(touch, [kind, x, y])
    concepts.until(lambda: concepts.session["glasses"].inverted)
    assert concepts.session["glasses"].scale == 5


# Keys and numbers.


def test_keys_move_a_slider(concepts: ListPage) -> None:
    concepts.add("glasses")
    slider = concepts.slider("glasses")
    for key, value in (
        ("ArrowRight", "5.1"),
        ("Shift+ArrowLeft", "5.09"),
        ("PageUp", "6.09"),
        ("End", "10.0"),
        ("Home", f"{MINUS}10.0"),
    ):
        slider.press(key)
        expect(concepts.number("glasses")).to_have_value(value)
    concepts.until(lambda: concepts.session["glasses"].inverted)
    # JupyterLab leaves the keys to the slider.
    expect(slider).to_have_attribute("data-lm-suppress-shortcuts", "true")


def test_a_key_that_is_held_is_one_entry(concepts: ListPage) -> None:
    concepts.add("glasses")
    concepts.slider("glasses").focus()
    concepts.heard.clear()
    for _ in range(20):
        concepts.page.keyboard.down("ArrowRight")
        concepts.page.wait_for_timeout(10)
    assert {*concepts.heard} == {True}
    concepts.page.keyboard.up("ArrowRight")
    concepts.until_scale("glasses", 7)
    concepts.until(lambda: concepts.heard[-1] is False)
    assert concepts.labels[1:] == ["glasses: scale 5 -> 7"]
    # After a pause, keys are another entry.
    concepts.page.wait_for_timeout(800)
    concepts.page.keyboard.press("ArrowLeft")
    concepts.until(lambda: len(concepts.labels) == 3)


def test_a_number_beyond_the_range_is_taken_with_a_say(concepts: ListPage) -> None:
    concepts.add("glasses")
    number = concepts.number("glasses")
    number.fill(f"{MINUS}12,5")
    number.press("Enter")
    expect(concepts.page.get_by_text("beyond ±10")).to_be_visible()
    assert (concepts.session["glasses"].scale, concepts.session["glasses"].inverted) == (12.5, True)
    expect(concepts.slider("glasses")).to_have_attribute("min", "-15")
    concepts.slider("glasses").press("End")
    expect(number).to_have_value("15.0")
    # A double-click restores the usual range.
    concepts.page.mouse.dblclick(*concepts.place("glasses", 0.5))
    expect(concepts.slider("glasses")).to_have_attribute("max", "10")
    expect(concepts.page.get_by_text("beyond")).to_be_hidden()


def test_answers_that_come_late_do_not_keep_the_range_wide(concepts: ListPage) -> None:
    concepts.add("glasses")
    number = concepts.number("glasses")
    middle = concepts.place("glasses", 0.5)
    number.fill("12")
    number.press("Enter")
    expect(concepts.slider("glasses")).to_have_attribute("max", "15")
    concepts.slider("glasses").press("End")
    concepts.page.mouse.dblclick(*middle)
    expect(concepts.slider("glasses")).to_have_attribute("max", "10")
    expect(number).to_have_value("5.0")


def test_a_number_that_is_none_is_not_applied(concepts: ListPage) -> None:
    concepts.add("glasses")
    number = concepts.number("glasses")
    number.fill("four")
    expect(number).to_have_attribute("aria-invalid", "true")
    # Values from elsewhere do not overwrite what is typed.
    concepts.edit(lambda: concepts.session.reweight("glasses", 6))
    concepts.quiet()
    expect(number).to_have_value("four")
    number.press("Escape")
    expect(number).to_have_value("6.0")
    number.fill("four")
    number.blur()
    expect(number).to_have_value("6.0")
    number.fill("7")
    number.blur()
    concepts.until_scale("glasses", 7)
    number.press("ArrowUp")
    concepts.until_scale("glasses", 7.1)
    assert len(concepts.labels) == 4


def test_details_take_no_value_outside_their_limits(concepts: ListPage) -> None:
    concepts.add("glasses")
    concepts.button("Details of glasses").click()
    for field, typed, value in (("threshold", "2", "0.999"), ("warm-up", "99", "5")):
        concepts.number("glasses", field).fill(typed)
        concepts.number("glasses", field).press("Enter")
        expect(concepts.number("glasses", field)).to_have_value(value)
    concepts.until(lambda: concepts.session["glasses"].warmup == 5)
    assert concepts.session["glasses"].threshold == 0.999


def test_the_native_slider_can_be_moved_by_other_tools(concepts: ListPage) -> None:
    concepts.add("glasses")
    concepts.slider("glasses").fill("7.5")
    concepts.until_scale("glasses", 7.5)
    assert len(concepts.labels) == 2


# A slow kernel.


class Slow:
    """Holds the messages of a page until a test lets them through.

    Attributes:
        held: the messages that wait.
    """

    def __init__(self, concepts: ListPage) -> None:
        self.comm = concepts.list.comm
        self.deliver = self.comm.handle_msg
        self.held: list[dict[str, Any]] = []
        self.comm.handle_msg = self.held.append

    def deliver_held(self, order: Callable[[list[Any]], list[Any]] = list) -> None:
        """Deliver the messages that wait; those that follow wait too."""
        held = order(self.held)
        self.held.clear()
        for message in held:
            self.deliver(message)

    def let_through(self) -> None:
        """Deliver the messages that follow at once."""
        self.comm.handle_msg = self.deliver


@pytest.mark.parametrize(
    "order", [list, lambda held: held[::-1], lambda held: held[1::2] + held[::2]]
)
def test_a_drag_under_load_is_one_entry(
    concepts: ListPage, order: Callable[[list[Any]], list[Any]]
) -> None:
    concepts.add("glasses")
    slow = Slow(concepts)
    with concepts.dragged("glasses", 0.75) as move:
        for step in range(12):
            move(0.75 + step / 60)
            concepts.page.wait_for_timeout(30)
        move(0.9)
    expect(concepts.number("glasses")).to_have_value("8.0")
    # Fewer messages than moves, and the last one says so.
    assert 4 < len(slow.held) < 14
    content = [one["content"]["data"]["content"] for one in slow.held]
    assert [one["end"] for one in content] == [False] * (len(content) - 1) + [True]
    # Until the end is answered, the handle stays where the user left it.
    concepts.edit(lambda: None)
    concepts.quiet()
    expect(concepts.number("glasses")).to_have_value("8.0")
    slow.deliver_held(order)
    slow.let_through()
    concepts.until_scale("glasses", 8)
    concepts.quiet()
    assert concepts.labels == ["glasses added", "glasses: scale 5 -> 8"]
    expect(concepts.number("glasses")).to_have_value("8.0")
    # The row shows the session's values again.
    concepts.edit(concepts.session.undo)
    expect(concepts.number("glasses")).to_have_value("5.0")


def test_the_answer_to_an_earlier_drag_does_not_move_the_handle(concepts: ListPage) -> None:
    concepts.add("glasses")
    slow = Slow(concepts)
    with concepts.dragged("glasses", 0.75) as move:
        move(0.9)
    concepts.until(lambda: len(slow.held) == 2)
    first = [*slow.held]
    with concepts.dragged("glasses", 0.9) as move:
        move(0.6)
    concepts.until(lambda: len(slow.held) == 4)
    second = slow.held[2:]
    slow.deliver_held(lambda held: first)
    assert concepts.session["glasses"].scale == 8
    concepts.quiet()
    expect(concepts.number("glasses")).to_have_value("2.0")
    slow.held.extend(second)
    slow.deliver_held()
    concepts.quiet()
    expect(concepts.number("glasses")).to_have_value("2.0")
    assert concepts.labels[1:] == ["glasses: scale 5 -> 8", "glasses: scale 8 -> 2"]


def test_a_refused_value_resets_the_slider_and_ends_the_drag(concepts: ListPage) -> None:
    concepts.add("glasses")
    concepts.button("Details of glasses").click()
    # Set by code, and not shown yet.
    concepts.session.update("glasses", cooldown=3)
    slider = concepts.slider("glasses", "warm-up")
    box = slider.bounding_box()
    assert box is not None
    mouse, y = concepts.page.mouse, box["y"] + 12
    mouse.move(box["x"] + 7 + (box["width"] - 14) / 5, y)
    mouse.down()
    mouse.move(box["x"] + box["width"], y)
    expect(concepts.page.get_by_role("alert")).to_have_text(
        "“glasses” ends at model call 3, so its warm-up can be 0 to 3."
    )
    expect(concepts.number("glasses", "warm-up")).to_have_value("1")
    mouse.move(box["x"] + box["width"] / 2, y)
    mouse.up()
    concepts.quiet()
    expect(concepts.number("glasses", "warm-up")).to_have_value("1")
    assert concepts.session["glasses"].warmup == 1
    slider.press("ArrowRight")
    concepts.until(lambda: concepts.session["glasses"].warmup == 2)


# How it looks.


@pytest.mark.parametrize("width", [1200, 420, 300])
@pytest.mark.parametrize("count", [0, 3, 12])
def test_it_looks_right(with_presets: ListPage, scheme: Any, width: int, count: int) -> None:
    concepts = with_presets
    concepts.page.emulate_media(color_scheme=scheme)
    concepts.page.set_viewport_size({"width": width, "height": 900})
    for number in range(count):
        concepts.session.add(f"a long concept {number}")
    concepts.list.refresh()
    if count:
        concepts.button("Details of a long concept 1").click()
        expect(concepts.slider("a long concept 1", "threshold")).to_be_attached()
    assert concepts.stage.violations() == []
    scrolls = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not concepts.page.evaluate(scrolls)
    concepts.stage.picture(f"concepts-{scheme}-{width}-{count}")
