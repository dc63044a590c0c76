"""The progress bar and its buttons."""

from __future__ import annotations

from sega_widgets import EditPanel, Progress

from .fakes import worker_of


def test_progress_and_cancel(panel: EditPanel) -> None:
    view = panel.view.progress
    assert view.cancel.disabled
    worker_of(panel).progress(Progress("exact", 3, 6, 12.4))
    assert (view.bar.value, view.bar.max) == (3, 6)
    assert view.text.value == "exact: 3 of 6, 12 s left"
    view.cancel.click()
    assert worker_of(panel).cancels == 1
    worker_of(panel).progress(Progress("exact", 0, 6, None))
    assert view.text.value == "exact: 0 of 6"
    worker_of(panel).progress(None)
    assert (view.cancel.disabled, view.bar.layout.display) == (True, "none")
    view.render.click()
    assert worker_of(panel).posts[-1] is False
