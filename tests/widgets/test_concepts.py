"""The list of concepts: adding, sliders, inverting and removing."""

from __future__ import annotations

import pytest
from sega_widgets import ConceptList, EditPanel
from sega_widgets.concept_row import COLOURS

from sega_session import EditSession

from .fakes import Clock, add


def test_a_concept_is_added_by_text(panel: EditPanel) -> None:
    add(panel, "glasses", "a beard")
    assert [concept.name for concept in panel.session.concepts] == ["glasses", "a beard"]
    assert panel.concepts.text.value == ""
    assert [one.scale.description for one in panel.concepts.rows] == ["glasses", "a beard"]
    assert [one.name for one in panel.concepts.rows] == ["glasses", "a beard"]
    assert [one.colour for one in panel.concepts.rows] == list(COLOURS[:2])
    # The default warm-up, 10, would leave none of 6 model calls.
    assert panel.session.concepts[0].warmup == 1
    add(panel, "   ")
    assert len(panel.session.history) == 3


def test_a_name_that_is_taken_is_refused_and_stays_to_be_corrected(panel: EditPanel) -> None:
    add(panel, "glasses", "glasses")
    assert "Not done" in panel.messages.value
    assert "no other concept has" in panel.messages.value
    assert panel.concepts.text.value == "glasses"
    add(panel, "beard")
    assert panel.messages.value == ""
    assert len(panel.session.concepts) == 2


def test_a_row_is_found_by_its_concepts_name(panel: EditPanel) -> None:
    add(panel, "glasses", "beard")
    assert panel.concepts.row("beard") is panel.concepts.rows[1]
    with pytest.raises(KeyError):
        panel.concepts.row("hat")


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
    glasses = panel.concepts.row("glasses")
    for value in (2.0, 0.0, -3.0):
        glasses.scale.value = value
        assert panel.session.concepts[0].scale == abs(value)
    assert panel.session.concepts[0].inverted
    assert len(panel.session.history) == 3
    glasses.scale.value = 0.0
    assert panel.session.concepts[0].inverted
    glasses.scale.value = 1.0
    assert not panel.session.concepts[0].inverted


def test_invert_disable_and_remove(panel: EditPanel) -> None:
    add(panel, "glasses")
    glasses = panel.concepts.row("glasses")
    glasses.invert.click()
    assert glasses.scale.value == -5
    glasses.enabled.value = False
    assert not panel.session.concepts[0].enabled
    glasses.remove.click()
    assert panel.session.concepts == ()
    assert panel.concepts.rows == ()
    labels = [entry.label for entry in panel.session.history]
    assert labels[2:] == ["glasses inverted", "glasses disabled", "glasses removed"]
    # A late event of a slider that was removed.
    glasses.scale.value = 3.0
    assert panel.messages.value == ""
    assert len(panel.session.history) == len(labels)


def test_more_shows_threshold_and_warm_up(panel: EditPanel) -> None:
    add(panel, "glasses")
    glasses = panel.concepts.row("glasses")
    assert glasses.details.layout.display == "none"
    glasses.more.value = True
    assert glasses.details.layout.display == ""
    glasses.threshold.value = 0.95
    glasses.warmup.value = 3
    concept = panel.session.concepts[0]
    assert (concept.threshold, concept.warmup) == (0.95, 3)


def test_ranges_widen_for_values_set_by_code(panel: EditPanel) -> None:
    panel.session.add("glasses", scale=30, threshold=0.999, warmup=0, inverted=True)
    panel.refresh()
    glasses = panel.concepts.row("glasses")
    assert (glasses.scale.value, glasses.threshold.value) == (-30, 0.999)
    assert len(panel.session.history) == 2


def test_a_value_that_the_page_rounds_is_no_edit(panel: EditPanel) -> None:
    panel.session.add("glasses", scale=5.123, threshold=0.9, warmup=1)
    panel.refresh()
    glasses = panel.concepts.row("glasses")
    panel.messages.note("Loaded")
    glasses.threshold.value = 0.9000000000000001
    glasses.scale.value = 5.1
    assert len(panel.session.history) == 2
    assert "Loaded" in panel.messages.value
    glasses.scale.value = 5.2000000000000002
    assert panel.session.concepts[0].scale == 5.2


def test_a_refused_value_is_reset(panel: EditPanel) -> None:
    panel.session.add("glasses", warmup=1, cooldown=3)
    panel.refresh()
    glasses = panel.concepts.row("glasses")
    glasses.warmup.value = 5
    assert "cooldown is 3" in panel.messages.value
    assert glasses.warmup.value == 1
    assert len(panel.session.history) == 2


def test_a_list_without_a_panel_shows_its_own_errors(session: EditSession) -> None:
    concepts = ConceptList(session, lambda moving: None)
    concepts.text.value = "glasses"
    concepts.text.value = "glasses"
    assert "Not done" in concepts.children[-1].value


def test_a_concept_shows_its_opposite_and_keeps_it(panel: EditPanel) -> None:
    panel.session.add("no glasses", opposite="glasses", warmup=0)
    panel.refresh()
    row = panel.concepts.row("no glasses")
    assert row.scale.description == "no glasses ↔ glasses"
    assert "negative values lead to the opposite" in row.scale.tooltip
    row.scale.value = 2.0
    row.invert.click()
    concept = panel.session["no glasses"]
    assert (concept.scale, concept.inverted, concept.opposite) == (2, True, "glasses")
    panel.session.update("no glasses", opposite=None)
    panel.refresh()
    assert row.scale.description == "no glasses"
    assert "negative values steer away from it" in row.scale.tooltip
