"""The estimates of the time left."""

from __future__ import annotations

import pytest
from sega_widgets.progress import EditProgress, Pace

from .fakes import Clock


def test_a_pace_is_unknown_before_the_first_render() -> None:
    pace = Pace()
    assert pace.per_evaluation("exact") is None
    assert pace.seconds("exact", 10) is None
    pace.add("exact", 0, 1.0, end=1.0)  # It evaluated nothing, so it tells nothing.
    assert pace.per_evaluation("exact") is None


def test_each_mode_has_its_own_pace_and_borrows_that_of_others_before() -> None:
    pace = Pace()
    pace.add("exact", 100, 50.0, end=2.0)
    assert pace.seconds("exact", 10) == 7.0
    assert pace.seconds("preview", 10) == 7.0
    pace.add("preview", 10, 10.0, end=2.0)
    assert pace.seconds("preview", 10) == 12.0
    assert pace.seconds("exact", 10) == 7.0


def test_one_slow_render_does_not_count_nor_do_small_ones() -> None:
    pace = Pace()
    for evaluations, seconds in ((100, 50.0), (100, 5000.0), (100, 50.0), (2, 90.0), (1, 90.0)):
        pace.add("exact", evaluations, seconds, end=0.0)
    assert pace.per_evaluation("exact") == 0.5


def test_a_pace_follows_the_machine() -> None:
    pace = Pace()
    for seconds in [50.0] * 20 + [100.0] * 4:
        pace.add("exact", 100, seconds, end=0.0)
    assert pace.per_evaluation("exact") == 1.0


def test_without_a_pace_the_bar_goes_by_evaluations_and_the_stage_measures_its_own() -> None:
    clock = Clock()
    edit = EditProgress(Pace(), clock, {"preview": 10, "exact": 90}, refining=False)
    edit.begin(10)
    found = edit.progress(10)
    assert (found.stage, found.fraction, found.marks) == ("preview", 0.0, (0.1,))
    assert (found.seconds_left, found.seconds) == (None, None)
    clock.now = 3.0
    found = edit.progress(7)
    assert found.fraction == pytest.approx(0.03)
    assert found.seconds_left == pytest.approx(7.0)


def test_a_stage_that_is_slower_than_before_says_so() -> None:
    clock, pace = Clock(), Pace()
    pace.add("exact", 100, 100.0, end=0.0)
    edit = EditProgress(pace, clock, {"exact": 100}, refining=True)
    edit.begin(100)
    assert edit.progress(100).seconds_left == 100.0
    left = []
    for done in (25, 50, 75):
        clock.now = 3.0 * done
        left.append(edit.progress(100 - done).seconds_left)
    # 225, 150 and 75 seconds are left in truth.
    assert left == pytest.approx([150.0, 350 / 3, 62.5])


def test_the_end_of_a_render_counts_where_decoding_is_slow() -> None:
    clock, pace = Clock(), Pace()
    pace.add("exact", 10, 10.0, end=30.0)
    edit = EditProgress(pace, clock, {"exact": 10}, refining=False)
    edit.begin(10)
    clock.now = 10.0
    found = edit.progress(0)
    assert (found.seconds_left, found.fraction) == (30.0, 0.25)


def test_marks_stay_and_the_bar_never_goes_back() -> None:
    clock, pace = Clock(), Pace()
    pace.add("preview", 10, 10.0, end=0.0)
    pace.add("exact", 10, 10.0, end=0.0)
    edit = EditProgress(pace, clock, {"preview": 10, "exact": 30}, refining=False)
    edit.begin(10)
    clock.now = 10.0
    first = edit.progress(0)
    edit.end(10)
    edit.begin(20)  # The preview has evaluated some of the exact render's predictions.
    second = edit.progress(20)
    edit.progress(10)
    third = edit.progress(15)  # Some were evicted meanwhile.
    assert [one.fraction for one in (first, second, third)] == [0.25, 0.25, 0.625]
    assert {one.marks for one in (first, second, third)} == {(0.25,)}
    assert edit.evaluations == 10
