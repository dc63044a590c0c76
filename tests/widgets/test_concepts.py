"""The list of concepts: presets, adding, sliders, masks and removing, by the page's messages."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from sega_widgets import ConceptList
from sega_widgets.concept_row import COLOURS, scale_fields, signed_scale
from sega_widgets.guard import Guard
from sega_widgets.messages import Messages

from sega_session import Concept, EditSession, load_avatars
from sega_session.models import Preset, Recommended, recommended

from .fakes import send

FOUND = Recommended(
    prompt="a cat",
    seed=0,
    guidance_scale=None,
    concepts={
        "glasses": Preset(scale=4, threshold=0.95, warmup=0.5),
        "smile": Preset(scale=7, threshold=0.8, warmup=0),
        "hat": Preset(scale=7, threshold=0.8, warmup=0),
    },
    removals={
        "no glasses": Preset(scale=4, threshold=0.93, warmup=0.5, opposite="glasses"),
        "hat": Preset(scale=3, threshold=0.9, warmup=0, inverted=True),
    },
    opposites={"smile": Preset(scale=3, threshold=0.96, warmup=0.5, opposite="sad")},
)


class Page:
    """A list as its page sees it.

    Attributes:
        heard: what the list reported of each change: whether a slider was moving.
        answers: the messages that the list sent.
    """

    def __init__(self, session: EditSession, **arguments: Any) -> None:
        self.session = session
        self.heard: list[bool] = []
        self.answers: list[dict[str, Any]] = []
        self.list = ConceptList(session, self.heard.append, **arguments)
        self.list.send = self.answers.append
        self._number = 0

    def say(self, kind: str, **values: Any) -> None:
        send(self.list, {"kind": kind, **values})

    def add(self, *texts: str) -> None:
        for text in texts:
            self.say("add", text=text)

    def row(self, name: str) -> dict[str, Any]:
        return next(row for row in self.list.concepts if row["name"] == name)

    def tell(self, kind: str, name: str, **values: Any) -> None:
        self.say(kind, row=self.row(name)["id"], **values)

    def moves(
        self, name: str, *values: float, field: str = "scale", drag: str = "drag"
    ) -> list[dict[str, Any]]:
        """Return the messages of a drag, of which the last is its end."""
        row, messages = self.row(name)["id"], []
        for place, value in enumerate(values, 1):
            self._number += 1
            last = {"number": self._number, "end": place == len(values)}
            one = {"view": "view", "row": row, "field": field, "value": value, "drag": drag}
            messages.append({"kind": "move", **one, **last})
        return messages

    def move(self, *messages: dict[str, Any]) -> None:
        for one in messages:
            send(self.list, one)

    @property
    def labels(self) -> list[str]:
        return [entry.label for entry in self.session.history][1:]


@pytest.fixture
def page(session: EditSession) -> Page:
    return Page(session)


@pytest.fixture
def with_presets(session: EditSession, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setattr("sega_widgets.concepts.recommended", lambda pipeline: FOUND)
    return Page(session)


def number_of(page: Page, label: str) -> int:
    return [one["label"] for one in page.list.presets].index(label)


def pressed(page: Page) -> list[str]:
    return [one["label"] for one in page.list.presets if one["colour"] is not None]


# Adding.


def test_a_concept_is_added_by_text(page: Page) -> None:
    page.add("glasses", "  a   beard ")
    assert [concept.name for concept in page.session.concepts] == ["glasses", "a beard"]
    assert [row["title"] for row in page.list.concepts] == ["glasses", "a beard"]
    assert [page.list.colour(one) for one in ("glasses", "a beard")] == list(COLOURS[:2])
    # The default warm-up, 10, would leave none of 6 model calls.
    assert page.session.concepts[0].warmup == 1
    assert page.answers[0] == {"kind": "added", "text": "glasses", "accepted": True}
    assert page.heard == [False, False]
    page.add("   ")
    assert page.answers[-1]["accepted"] is False
    assert len(page.session.history) == 3


def test_a_name_that_is_taken_is_refused_in_the_panels_words(page: Page) -> None:
    page.add("glasses", "glasses")
    assert page.answers[-1] == {"kind": "added", "text": "glasses", "accepted": False}
    assert page.list.notice == (
        "“glasses” is already in the list. Choose another name, or move its slider."
    )
    page.add("beard")
    assert page.list.notice == ""
    assert len(page.session.concepts) == 2


def test_two_phrases_are_a_direction_from_one_to_the_other(page: Page) -> None:
    page.add("old instead of young", "old instead of tall", "old instead of young")
    first, second = page.session.concepts
    assert (first.name, first.prompt, first.opposite) == ("old", "old", "young")
    # The name is taken, and the words are others.
    assert (second.name, second.prompt) == ("old instead of tall", "old")
    assert [row["title"] for row in page.list.concepts] == [
        "old instead of young",
        "old instead of tall",
    ]
    assert "already in the list" in page.list.notice


def test_a_list_tells_errors_to_its_panel(session: EditSession) -> None:
    messages = Messages()
    page = Page(session, guard=Guard(messages))
    page.add("glasses", "glasses")
    assert "already in the list" in messages.toasts[-1]["detail"]
    assert page.list.notice == ""


def test_colours_are_kept_for_a_name_and_repeat_when_all_are_used(page: Page) -> None:
    page.add(*"abcdefghi")
    assert [row["colour"] for row in page.list.concepts] == [*COLOURS, COLOURS[0]]
    page.tell("remove", "c")
    page.tell("remove", "d")
    assert page.list.colour("c") == COLOURS[2]
    page.session.undo()
    page.list.refresh()
    assert page.row("d")["colour"] == COLOURS[3]
    page.add("new")
    assert page.row("new")["colour"] == COLOURS[2]
    assert page.list.colour("never seen") == COLOURS[0]


# Presets.


def test_no_presets_without_a_recommendation(page: Page) -> None:
    assert page.list.presets == []


def test_presets_apply_their_measured_settings(with_presets: Page) -> None:
    page = with_presets
    assert [(one["group"], one["label"], one["settings"]) for one in page.list.presets] == [
        ("Add", "glasses", "scale 4, threshold .95, warm-up 3"),
        ("Add", "smile", "scale 7, threshold .8, warm-up 0"),
        ("Add", "hat", "scale 7, threshold .8, warm-up 0"),
        ("Remove", "no glasses", "scale 4, threshold .93, warm-up 3"),
        ("Remove", "no hat", "scale -3, threshold .9, warm-up 0"),
        ("Replace", "smile instead of sad", "scale 3, threshold .96, warm-up 3"),
    ]
    for label in ("no glasses", "no hat", "smile instead of sad"):
        page.say("apply", preset=number_of(page, label), apply=True)
    assert pressed(page) == ["no glasses", "no hat", "smile instead of sad"]
    glasses, hat, smile = page.session.concepts
    assert glasses == Concept(
        name="no glasses",
        prompt="no glasses",
        opposite="glasses",
        scale=4,
        threshold=0.93,
        warmup=3,
    )
    assert (hat.prompt, hat.inverted, hat.scale, hat.opposite) == ("hat", True, 3, None)
    assert (smile.name, smile.opposite, smile.scale) == ("smile", "sad", 3)
    titles = [row["title"] for row in page.list.concepts]
    assert titles == ["no glasses", "hat", "smile instead of sad"]
    assert page.row("no glasses")["settings"] == "threshold .93, warm-up 3"


def test_a_pressed_preset_is_removed_again(with_presets: Page) -> None:
    page, number = with_presets, 0
    page.say("apply", preset=number, apply=True)
    assert page.list.presets[number]["colour"] == page.list.colour("glasses")
    # A message that is sent twice, or late, changes nothing.
    page.say("apply", preset=number, apply=True)
    page.say("apply", preset=number, apply=False)
    page.say("apply", preset=number, apply=False)
    assert page.list.presets[number]["colour"] is None
    assert page.labels == ["glasses added", "glasses removed"]
    page.session.undo()
    page.list.refresh()
    assert pressed(page) == ["glasses"]


def test_presets_of_one_name_can_be_applied_together(with_presets: Page) -> None:
    page = with_presets
    for label in ("smile", "smile instead of sad"):
        page.say("apply", preset=number_of(page, label), apply=True)
    assert [one.name for one in page.session.concepts] == ["smile", "smile instead of sad"]
    assert [row["title"] for row in page.list.concepts] == ["smile", "smile instead of sad"]
    assert pressed(page) == ["smile", "smile instead of sad"]
    page.say("apply", preset=number_of(page, "smile"), apply=False)
    assert pressed(page) == ["smile instead of sad"]


def test_the_name_of_a_preset_that_is_typed_applies_it(with_presets: Page) -> None:
    page = with_presets
    page.add("no glasses", "no glasses")
    assert (page.session["no glasses"].opposite, page.session["no glasses"].warmup) == (
        "glasses",
        3,
    )
    assert page.list.notice == (
        "“no glasses” is already in the list. Choose another name, or move its slider."
    )


def test_an_inverted_preset_stays_pressed_unless_its_removal_is_meant(with_presets: Page) -> None:
    page = with_presets
    for label in ("glasses", "hat"):
        page.say("apply", preset=number_of(page, label), apply=True)
        page.tell("invert", label, inverted=True)
    assert pressed(page) == ["glasses", "no hat"]


# Rows.


def test_a_row_has_a_range_and_a_home_from_its_preset(with_presets: Page) -> None:
    page = with_presets
    page.say("apply", preset=number_of(page, "smile"), apply=True)
    page.session.update("smile", scale=20, threshold=0.999)
    page.list.refresh()
    row = page.row("smile")
    assert (row["reach"], row["beyond"]) == (14, "beyond ±14")
    assert row["home"] == {"scale": 7, "threshold": 0.8, "warmup": 0}
    assert row["maxThreshold"] == 0.999
    page.session.update("smile", warmup=1, cooldown=2)
    page.list.refresh()
    page.tell("reset", "smile")
    assert page.row("smile")["beyond"] == ""
    smile = page.session["smile"]
    assert (smile.scale, smile.threshold, smile.warmup, smile.cooldown) == (7, 0.8, 0, 2)
    assert len(page.session.history) == 5


def test_a_reset_that_is_refused_says_so_in_the_panels_words(session: EditSession) -> None:
    session.add("glasses", warmup=3)
    session.update("glasses", warmup=1, cooldown=2)
    page = Page(session)
    page.tell("reset", "glasses")
    assert page.list.notice == "“glasses” ends at model call 2, so its warm-up can be 0 to 2."


def test_the_home_of_another_concept_is_how_it_was_added(session: EditSession) -> None:
    session.add("glasses", scale=2, warmup=1)
    session.remove("glasses")
    session.add("glasses", scale=8, warmup=1, inverted=True)
    session.update("glasses", scale=9)
    page = Page(session)
    assert page.row("glasses")["home"]["scale"] == -8
    assert page.row("glasses")["reach"] == 16


def test_switching_inverting_and_removing(page: Page) -> None:
    page.add("glasses")
    page.tell("invert", "glasses", inverted=True)
    assert (page.row("glasses")["scale"], page.row("glasses")["inverted"]) == (-5, True)
    page.tell("enable", "glasses", enabled=False)
    page.tell("enable", "glasses", enabled=False)
    assert page.row("glasses")["enabled"] is False
    row, late = page.row("glasses")["id"], page.moves("glasses", 3.0)
    page.tell("remove", "glasses")
    assert page.list.concepts == []
    labels = ["glasses added", "glasses inverted", "glasses disabled", "glasses removed"]
    assert page.labels == labels
    # Late messages of a row that was removed, also once another has its name.
    page.add("glasses")
    page.move(*late)
    for kind in ("remove", "reset", "mask"):
        page.say(kind, row=row)
    assert page.labels == [*labels, "glasses added"]
    assert page.list.notice == ""


def test_a_mask_is_edited_elsewhere(session: EditSession) -> None:
    names = list[str]()
    page = Page(session, edit_mask=names.append)
    page.add("glasses")
    assert page.list.maskable
    assert page.row("glasses")["mask"] is None
    page.tell("mask", "glasses")
    assert names == ["glasses"]
    session.update("glasses", mask=(0, 0, 0.5, 0.5))
    page.list.refresh()
    assert page.row("glasses")["mask"] == "25% of the image"
    assert not Page(session).list.maskable


# Drags.


def test_a_drag_is_one_entry_and_the_next_another(page: Page) -> None:
    page.add("glasses")
    page.move(*page.moves("glasses", 5.5, 6.0, 6.5))
    assert page.labels[1:] == ["glasses: scale 5 -> 6.5"]
    assert page.heard[1:] == [True, True, False]
    page.move(*page.moves("glasses", 7.0, 8.0, drag="next"))
    assert page.labels[2:] == ["glasses: scale 6.5 -> 8"]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_drag_is_one_entry_in_whatever_order_its_messages_arrive(
    page: Page, order: tuple[int, ...]
) -> None:
    page.add("glasses")
    messages = page.moves("glasses", 5.5, -6.0, 6.5, 7.0)
    page.move(*[messages[one] for one in order])
    assert page.labels[1:] == ["glasses: scale 5 -> 7"]
    assert page.heard[-1] is False
    (answer,) = [one for one in page.answers if one["kind"] == "settled"]
    assert (answer["number"], answer["refused"], answer["view"]) == (4, False, "view")
    # Nothing follows the end.
    assert page.heard.count(False) == 2


def test_late_messages_of_an_earlier_drag_are_ignored(page: Page) -> None:
    page.add("glasses")
    first = page.moves("glasses", 1.0, 2.0)
    second = page.moves("glasses", 8.0, 9.0, drag="second")
    page.move(first[0], second[0], first[1], second[1])
    assert page.session["glasses"].scale == 9
    assert page.labels[1:] == ["glasses: scale 5 -> 1", "glasses: scale 1 -> 9"]


def test_the_end_of_a_drag_is_heard_if_its_value_was_there_before(page: Page) -> None:
    page.add("glasses")
    page.move(*page.moves("glasses", 6.0, 6.0))
    assert page.heard[1:] == [True, False]
    # Back to where it was: no entry.
    page.move(*page.moves("glasses", 8.0, 6.0, drag="and back"))
    assert page.labels[1:] == ["glasses: scale 5 -> 6"]
    assert page.heard[3:] == [True, False]
    # A drag without a change says nothing, but is answered.
    page.move(*page.moves("glasses", 6.0, drag="none"))
    assert page.heard[5:] == []
    assert page.answers[-1]["kind"] == "settled"


def test_keys_continue_a_gesture_after_its_end(page: Page) -> None:
    page.add("glasses")
    page.move(*page.moves("glasses", 5.1), *page.moves("glasses", 5.2))
    assert page.labels[1:] == ["glasses: scale 5 -> 5.2"]
    page.session.undo()
    page.list.refresh()
    page.move(*page.moves("glasses", 5.3))
    assert page.labels[2:] == ["glasses: scale 5 -> 5.3"]


def test_crossing_zero_inverts(page: Page) -> None:
    page.add("glasses")
    for value in (2.0, 0.0, -3.0, 0.0):
        page.move(*page.moves("glasses", value))
        assert page.session["glasses"].scale == abs(value)
        assert page.session["glasses"].inverted == (len(page.answers) > 3)
    assert len(page.session.history) == 3
    page.move(*page.moves("glasses", 1.0))
    assert not page.session["glasses"].inverted


def test_the_details_are_moved_like_the_scale(page: Page) -> None:
    page.add("glasses")
    page.move(*page.moves("glasses", 0.93, 0.95, field="threshold"))
    page.move(*page.moves("glasses", 2, 3, field="warmup", drag="other"))
    concept = page.session["glasses"]
    assert (concept.threshold, concept.warmup) == (0.95, 3)
    assert page.labels[1:] == ["glasses: threshold 0.9 -> 0.95", "glasses: warmup 1 -> 3"]
    assert page.row("glasses")["settings"] == "threshold .95, warm-up 3"
    assert page.row("glasses")["maxWarmup"] == 5


def test_a_refused_value_ends_the_drag(page: Page) -> None:
    page.session.add("glasses", warmup=1, cooldown=3)
    page.list.refresh()
    assert page.row("glasses")["maxWarmup"] == 3
    messages = page.moves("glasses", 2, 4, 1, 3, field="warmup")
    page.move(*messages[:2])
    assert page.list.notice == "“glasses” ends at model call 3, so its warm-up can be 0 to 3."
    refused = page.answers[-1]
    assert (refused["refused"], refused["number"]) == (True, 2)
    assert page.row("glasses")["warmup"] == 2
    page.move(*messages[2:])
    assert page.session["glasses"].warmup == 2
    assert page.heard == [True, False]
    page.move(*page.moves("glasses", 3, field="warmup", drag="next"))
    assert page.session["glasses"].warmup == 3


def test_two_views_of_a_list_count_their_messages_apart(page: Page) -> None:
    page.add("glasses")
    page.move(*page.moves("glasses", *[5.5] * 9, 6.0))
    (other,) = page.moves("glasses", 7.0, drag="other")
    page.move({**other, "view": "another", "number": 1})
    assert page.session["glasses"].scale == 7


@pytest.mark.parametrize("signed", [3.0, -3.0])
def test_a_signed_scale_is_read_as_it_is_written(signed: float) -> None:
    assert signed_scale(Concept(name="a", prompt="a", **scale_fields(signed))) == signed
    assert "inverted" not in scale_fields(0.0)


def test_the_embedded_checkpoints_presets_are_offered() -> None:
    pipeline = load_avatars(device="cpu")
    found = recommended(pipeline)
    assert found is not None
    session = EditSession(pipeline, found.prompt, num_inference_steps=20)
    page = Page(session)
    labels = [one["label"] for one in page.list.presets]
    assert labels == [
        *found.concepts,
        *found.removals,
        *(f"{prompt} instead of {one.opposite}" for prompt, one in found.opposites.items()),
    ]
    page.say("apply", preset=number_of(page, "not smiling"), apply=True)
    preset = found.removals["not smiling"]
    (concept,) = session.concepts
    assert concept == Concept(
        name="not smiling", prompt="not smiling", **preset.arguments(session.num_calls)
    )
