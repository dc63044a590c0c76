"""The history and the messages, in a browser."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import PIL.Image
import pytest
from ipywidgets import VBox
from playwright.sync_api import Locator, expect
from sega_widgets import HistoryView
from sega_widgets.guard import Guard
from sega_widgets.messages import Messages

from sega_session import EditSession
from sega_session.errors import NoEffectWarning, SegaSessionError
from sega_session.testing import FakeModel

from .stage import Stage

SCROLLED = "list => [list.scrollTop, window.scrollY]"


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    PIL.Image.new("RGB", (72, 72), colour).save(file, "PNG")
    return file.getvalue()


class Shown:
    """A history on a stage."""

    def __init__(self, stage: Stage, fill: Callable[[EditSession], None], pin: Any = None) -> None:
        self.stage, self.page = stage, stage.page
        self.session = EditSession(FakeModel(), "a portrait", num_inference_steps=6)
        fill(self.session)
        self.messages = Messages()
        self.view = HistoryView(self.session, lambda moving: None, Guard(self.messages), pin=pin)
        stage.show(VBox([self.view, self.messages]))
        expect(self.rows.first).to_be_attached()

    @property
    def list(self) -> Locator:
        return self.page.get_by_role("tree", name="Entries")

    @property
    def rows(self) -> Locator:
        return self.page.get_by_role("treeitem")

    def row(self, name: str) -> Locator:
        return self.page.get_by_role("treeitem", name=name)

    @property
    def current(self) -> Locator:
        return self.page.locator("[role=treeitem][aria-current=true]")

    def refresh(self) -> None:
        self.view.refresh()
        self.page.evaluate("stagePoll()")


def forks(session: EditSession) -> None:
    """Make a fork at entry 1: "hat" after "glasses", and "beard" with "smile"."""
    session.add("glasses", warmup=1)
    session.add("hat", warmup=1)
    session.undo()
    session.add("beard", warmup=1)
    session.add("smile", warmup=1)
    session.branch("cheerful")


def many(count: int) -> Callable[[EditSession], None]:
    def fill(session: EditSession) -> None:
        session.add("glasses", warmup=1)
        for number in range(count - 2):
            session.reweight("glasses", scale=6 + number % 7 + number / 1000)

    return fill


def test_entries_are_rows_of_a_tree(stage: Stage) -> None:
    shown = Shown(stage, forks)
    expect(shown.rows).to_have_text(
        ["unedited", "glasses added", "hat added", "beard added", "smile added cheerful"]
    )
    levels = shown.rows.evaluate_all("rows => rows.map((row) => row.ariaLevel)")
    assert levels == ["1", "1", "2", "2", "2"]
    expect(shown.current).to_have_accessible_name("smile added, cheerful, you are here")
    shown.row("hat added").click()
    expect(shown.current).to_contain_text("hat added")
    assert shown.session.history.current == 2
    assert stage.violations() == []


def test_undo_and_redo_say_what_they_do(stage: Stage) -> None:
    shown = Shown(stage, forks)
    undo = shown.page.get_by_role("button", name="Undo")
    redo = shown.page.get_by_role("button", name="Redo")
    expect(undo).to_have_attribute("title", "Undo: smile added (Ctrl+Z)")
    expect(redo).to_be_disabled()
    undo.click()
    expect(redo).to_have_attribute("title", "Redo: smile added (Ctrl+Shift+Z)")
    undo.click()
    undo.click()
    expect(undo).to_be_disabled()
    expect(undo).to_be_focused()
    assert shown.session.history.current == 0


def test_the_present_entry_is_scrolled_into_view_and_the_page_is_not(stage: Stage) -> None:
    shown = Shown(stage, many(60))
    stage.page.add_style_tag(content="body { padding-bottom: 2000px; }")
    expect(shown.current).to_have_attribute("data-key", "59")
    expect(shown.current).to_be_in_viewport()
    bottom, page = shown.list.evaluate(SCROLLED)
    assert bottom > 1000
    assert page == 0
    shown.session.checkout(3)
    shown.refresh()
    expect(shown.current).to_be_in_viewport()
    top, page = shown.list.evaluate(SCROLLED)
    assert 0 < top < 200
    assert page == 0


def test_keys_move_the_focus_and_go_to_an_entry(stage: Stage) -> None:
    shown = Shown(stage, forks)
    keyboard = shown.page.keyboard
    shown.page.get_by_role("button", name="Redo").focus()
    keyboard.press("Tab")
    expect(shown.row("smile added")).to_be_focused()
    keyboard.press("Home")
    expect(shown.row("unedited")).to_be_focused()
    keyboard.press("ArrowDown")
    keyboard.press("Enter")
    expect(shown.current).to_contain_text("glasses added")
    expect(shown.row("glasses added")).to_be_focused()
    # The focus goes along with the present entry.
    shown.session.undo()
    shown.refresh()
    expect(shown.row("unedited")).to_be_focused()
    keyboard.press("End")
    keyboard.press("ArrowLeft")
    expect(shown.row("glasses added")).to_be_focused()
    keyboard.press("ArrowLeft")
    expect(shown.rows).to_have_count(2)
    expect(shown.row("glasses added")).to_have_attribute("aria-expanded", "false")
    keyboard.press("ArrowRight")
    expect(shown.rows).to_have_count(5)
    keyboard.press("ArrowRight")
    expect(shown.row("hat added")).to_be_focused()
    assert shown.session.history.current == 0


def test_a_fork_is_folded_until_the_session_goes_inside(stage: Stage) -> None:
    shown = Shown(stage, forks)
    shown.page.get_by_role("button", name="Fold what follows").click()
    expect(shown.rows).to_have_count(2)
    expect(shown.row("glasses added")).to_contain_text("3 folded")
    assert shown.session.history.current == 4
    shown.session.checkout(2)
    shown.refresh()
    expect(shown.current).to_contain_text("hat added")
    expect(shown.rows).to_have_count(5)


def test_a_branch_is_named_and_renamed(stage: Stage) -> None:
    shown = Shown(stage, forks)
    row = shown.row("hat added")
    row.hover()
    row.get_by_role("button", name="Begin a branch here").click()
    field = shown.page.get_by_role("textbox", name="Name of the branch")
    field.fill("cheerful")
    field.press("Enter")
    expect(shown.page.get_by_role("alert")).to_contain_text("Choose another name")
    expect(field).to_be_focused()
    field.fill("with hat")
    field.press("Enter")
    expect(field).to_have_count(0)
    expect(row).to_contain_text("with hat")
    expect(row).to_be_focused()
    shown.row("smile added").get_by_text("cheerful").dblclick()
    field = shown.page.get_by_role("textbox", name="New name of cheerful")
    expect(field).to_have_value("cheerful")
    field.press_sequentially("happy")
    field.press("Enter")
    expect(shown.row("smile added")).to_contain_text("happy")
    assert dict(shown.session.history.branches) == {"happy": 4, "with hat": 2}
    shown.row("smile added").press("F2")
    field = shown.page.get_by_role("textbox", name="New name of happy")
    field.fill("not kept")
    field.press("Escape")
    expect(field).to_have_count(0)
    assert "happy" in shown.session.history.branches


def test_an_entry_is_pinned_and_unpinned(stage: Stage) -> None:
    pins: list[tuple[int | None, str]] = []
    shown = Shown(stage, forks, lambda number, title: pins.append((number, title)))
    row = shown.row("hat added")
    row.hover()
    row.get_by_role("button", name="Compare with this").click()
    expect(row).to_have_accessible_name("hat added, compared with")
    expect(row.get_by_role("button", name="Compare with this")).to_have_attribute(
        "aria-pressed", "true"
    )
    shown.row("beard added").press("p")
    expect(shown.row("beard added")).to_have_accessible_name("beard added, compared with")
    shown.row("beard added").press("p")
    expect(shown.page.locator(".sega-history-pinned:visible")).to_have_count(0)
    assert pins == [(2, "hat added"), (3, "beard added"), (None, "")]


def test_long_histories_are_filtered(stage: Stage) -> None:
    shown = Shown(stage, many(12))
    search = shown.page.get_by_role("searchbox", name="Filter the history")
    expect(search).to_be_hidden()
    shown.session.add("red hat", warmup=1)
    shown.session.branch("main")
    shown.refresh()
    search.fill("hat")
    expect(shown.rows).to_have_count(1)
    expect(shown.page.get_by_text("1 of 13")).to_be_visible()
    search.fill("MAI")
    expect(shown.rows).to_have_count(1)
    search.fill("moon")
    expect(shown.page.get_by_text("No entry has “moon”.")).to_be_visible()
    search.press("Escape")
    expect(shown.rows).to_have_count(13)
    assert stage.violations() == []


def test_thumbnails_come_once_and_show_that_they_are_rough(stage: Stage) -> None:
    shown = Shown(stage, forks)
    images = shown.page.locator(".sega-history-thumbnail img")
    states = [entry.state for entry in shown.session.history]
    shown.view.set_thumbnail(states[1], picture("red"), exact=True)
    shown.view.set_thumbnail(states[2], picture("blue"), exact=False)
    expect(images.nth(2)).to_have_attribute("src", re.compile("^data:image/png"))
    loaded = "images => images.map((one) => one.naturalWidth)"
    assert images.evaluate_all(loaded) == [0, 72, 72, 0, 0]
    expect(shown.page.get_by_title("An approximate image")).to_have_count(1)
    # Another page gets all of them.
    shown.stage.show(shown.view)
    expect(images.nth(2)).to_have_attribute("src", re.compile("^data:image/png"))


def test_only_rows_that_change_are_touched(stage: Stage) -> None:
    shown = Shown(stage, many(60))
    shown.page.evaluate(
        """() => {
            window.touched = new Set();
            const rowOf = (target) => target.closest?.("[role=treeitem]") ?? target;
            new MutationObserver((all) => {
                for (const { target } of all) touched.add(rowOf(target));
            }).observe(document.querySelector("[role=tree]"), {
                subtree: true, childList: true, attributes: true, characterData: true,
            });
        }"""
    )
    with shown.session.gesture("drag"):
        shown.session.reweight("glasses", scale=3)
    shown.refresh()
    expect(shown.rows).to_have_count(61)
    shown.page.evaluate("touched.clear()")
    with shown.session.gesture("drag"):
        shown.session.reweight("glasses", scale=2)
    shown.refresh()
    expect(shown.current).to_contain_text("→ 2")
    assert shown.page.evaluate("touched.size") == 1


def test_messages_are_announced_and_leave(stage: Stage) -> None:
    shown = Shown(stage, forks)
    page, messages = shown.page, shown.messages
    notes = page.locator(".sega-messages [role=status]")
    alerts = page.get_by_role("alert")
    page.clock.install()
    messages.note("Saved: a.safetensors")
    messages.error(NoEffectWarning("scale is 0"))
    messages.error(SegaSessionError("no <b>room</b>"))
    page.evaluate("stagePoll()")
    expect(notes).to_contain_text("Saved: a.safetensors")
    expect(notes).to_contain_text("This does not change the image")
    expect(alerts).to_contain_text("This was not doneno <b>room</b>")
    page.clock.run_for(5000)
    expect(notes).to_contain_text("Saved")
    page.get_by_text("Saved").hover()
    page.clock.run_for(20000)
    expect(notes).to_contain_text("Saved")
    page.mouse.move(0, 0)
    page.clock.run_for(6100)
    expect(notes).not_to_contain_text("Saved")
    expect(notes).to_contain_text("This does not change the image")
    alerts.get_by_role("button", name="Dismiss").click()
    expect(alerts).to_be_empty()
    page.clock.run_for(100)
    assert [one["kind"] for one in messages.toasts] == ["warning"]


def test_an_offer_undoes(stage: Stage) -> None:
    shown = Shown(stage, forks)
    Guard(shown.messages).offer("“smile” added", "Undo", shown.view.undo)
    toasts = shown.page.locator(".sega-messages")
    toasts.get_by_role("button", name="Undo").click()
    expect(shown.current).to_contain_text("beard added")
    expect(toasts.locator(".sega-toast")).to_have_count(0)


def test_a_message_alone_on_a_page_is_seen(stage: Stage) -> None:
    messages = Messages()
    messages.error(SegaSessionError("no model"))
    stage.show(messages)
    box = stage.page.locator(".sega-toast").bounding_box()
    assert box is not None
    assert box["y"] >= 0


@pytest.mark.parametrize("width", [1200, 420, 300])
def test_the_looks(stage: Stage, scheme: str, width: int) -> None:
    shown = Shown(stage, forks, lambda number, title: None)
    stage.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    stage.page.set_viewport_size({"width": width, "height": 800})
    for number, colour in enumerate(("tan", "salmon", "skyblue", "khaki", "plum")):
        state = shown.session.history[number].state
        shown.view.set_thumbnail(state, picture(colour), exact=number % 2 == 0)
    shown.row("hat added").press("p")
    expect(shown.row("hat added, compared with")).to_be_attached()
    shown.messages.note("Saved: a.safetensors")
    shown.messages.offer("“hat” removed", "Undo", lambda: None)
    shown.messages.error(SegaSessionError("no room for “another” word"))
    expect(shown.page.get_by_role("alert")).to_contain_text("no room")
    assert stage.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert stage.violations() == []
    stage.picture(f"history-{scheme}-{width}")
