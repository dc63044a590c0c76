"""The delay after a slider has stopped."""

from __future__ import annotations

from sega_widgets import EditPanel
from sega_widgets.debouncer import Debouncer

from .fakes import HandTimer, add


def test_only_the_last_trigger_calls(timers: list[HandTimer]) -> None:
    calls: list[str] = []
    debouncer = Debouncer(lambda: calls.append("called"))
    debouncer.trigger()
    first = timers[0]
    debouncer.trigger()
    assert len(timers) == 1
    first.ring()  # Its time was up when it was cancelled.
    assert calls == []
    timers[0].ring()
    assert calls == ["called"]


def test_a_cancelled_trigger_does_not_call(timers: list[HandTimer]) -> None:
    calls: list[str] = []
    debouncer = Debouncer(lambda: calls.append("called"))
    debouncer.trigger()
    timer = timers[0]
    debouncer.cancel()
    timer.ring()
    assert (calls, timers) == ([], [])


def test_moving_on_restarts_the_delay_and_an_edit_ends_it(
    panel: EditPanel, timers: list[HandTimer]
) -> None:
    add(panel, "glasses")
    for value in (6.0, 7.0, 8.0):
        panel.concepts.row("glasses").scale.value = value
    assert len(timers) == 1
    panel.concepts.row("glasses").invert.click()
    assert timers == []
