"""The progress line on a page."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect
from sega_widgets.progress import FurtherProgress, Idle, Progress, Report
from sega_widgets.progress_view import ProgressView

from .stage import Stage

BEGUN = Progress("preview", fraction=0.05, marks=(0.12,), seconds_left=8.0, seconds=9.0)
HALF = Progress("exact", refining=True, fraction=0.5, marks=(0.12,), seconds_left=4.0, seconds=9.0)
REPORTS: dict[str, Report] = {
    "begun": BEGUN,
    "half": HALF,
    "moving": Progress("preview"),
    "further": FurtherProgress(3, 7, 0.45),
    "uncounted": FurtherProgress(3),
    "exact": Idle("exact", 156, 1.23),
    "stopped": Idle("stopped"),
}


def ignore() -> None:
    pass


def shown(stage: Stage, report: Report) -> ProgressView:
    view = ProgressView(ignore, ignore)
    view.show(report)
    stage.show(view)
    return view


def bar(stage: Stage) -> Locator:
    return stage.page.get_by_role("progressbar", name="Rendering")


@pytest.mark.parametrize("width", [1200, 420, 300])
def test_each_report_is_accessible_and_nothing_jumps(stage: Stage, scheme: str, width: int) -> None:
    # A button appears slowly, and a text that is half transparent has no contrast.
    stage.page.emulate_media(
        color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce"
    )
    stage.page.set_viewport_size({"width": width, "height": 200})
    view = shown(stage, Idle("exact"))
    line = stage.page.locator(".sega-progress")
    before = line.bounding_box()
    for name, report in REPORTS.items():
        view.show(report)
        expect(stage.page.get_by_title(view.text, exact=True)).to_have_text(view.text)
        assert line.bounding_box() == before
        assert stage.page.evaluate("document.documentElement.scrollWidth") <= width
        assert stage.violations() == [], name


def test_the_bar_tells_how_far_it_is(stage: Stage) -> None:
    view = shown(stage, HALF)
    expect(bar(stage)).to_have_attribute("aria-valuenow", "50")
    expect(stage.page.get_by_title("Refining · about 4 s")).to_be_visible()
    assert stage.page.locator(".sega-progress-mark").count() == 1
    view.show(Idle("exact", 156, 1.23))
    expect(bar(stage)).to_have_count(0)
    expect(stage.page.get_by_title("Exact · 1.2 s · 156 evaluations")).to_be_visible()


def test_cancel_and_render(stage: Stage) -> None:
    acts: list[str] = []
    view = ProgressView(lambda: acts.append("cancel"), lambda: acts.append("render"))
    view.show(HALF)
    stage.show(view)
    cancel = stage.page.get_by_role("button", name="Cancel")
    render = stage.page.get_by_role("button", name="Render")
    expect(render).to_be_hidden()
    cancel.focus()
    stage.page.keyboard.press("Enter")
    assert acts == ["cancel"]
    view.show(Idle("stopped"))
    # The focus stays at its place, so that Enter renders again.
    expect(render).to_be_focused()
    expect(cancel).to_be_hidden()
    stage.page.keyboard.press("Enter")
    assert acts == ["cancel", "render"]
    view.show(HALF)
    expect(cancel).to_be_focused()
    view.show(Idle("exact"))
    expect(stage.page.locator(".sega-progress-line")).to_be_focused()


@pytest.mark.parametrize("report", [Idle("exact"), Idle("preview"), Progress("preview")])
def test_there_is_no_button_without_a_use(stage: Stage, report: Report) -> None:
    view = shown(stage, report)
    expect(stage.page.get_by_title(view.text)).to_be_visible()
    expect(stage.page.get_by_role("button")).to_have_count(0)


def test_a_stop_is_announced_and_the_numbers_are_not(stage: Stage) -> None:
    view = shown(stage, HALF)
    status = stage.page.get_by_role("status")
    expect(status).to_be_empty()
    view.show(Idle("stopped"))
    expect(status).to_have_text("Stopped")
    assert stage.page.locator("[aria-live], [role=status], [role=alert]").count() == 1
