"""Strict JSON: values survive a round trip, and everything else is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from sega_session import files as strict
from sega_session.files import StrictError, Unset
from sega_session.state import Concept, EditState, Scene

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = TEXTS.filter(str.strip)
POSITIVE = st.floats(0, allow_infinity=False)
SHARES = st.floats(0, 1, exclude_max=True)

SCENES = st.builds(
    Scene,
    prompt=TEXTS,
    negative_prompt=TEXTS,
    seeds=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4),
    num_inference_steps=st.integers(1, 1000),
    guidance_scale=POSITIVE,
    height=st.integers(1, 4096),
    width=st.integers(1, 4096),
    eta=SHARES,
)
CONCEPTS = st.builds(
    Concept,
    name=NAMES,
    prompt=NAMES,
    embedding=st.none() | TEXTS,
    scale=POSITIVE,
    threshold=SHARES,
    warmup=st.integers(0, 50),
    cooldown=st.none() | st.integers(50, 100),
    weight=POSITIVE,
    inverted=st.booleans(),
    enabled=st.booleans(),
)
STATES = st.builds(
    EditState,
    concepts=st.lists(CONCEPTS, max_size=3).map(tuple),
    momentum_scale=SHARES,
    momentum_beta=SHARES,
)


@frozen(kw_only=True)
class Circle:
    op: ClassVar = "circle"
    radius: float = 1.0


@frozen(kw_only=True)
class Square:
    op: ClassVar = "square"
    side: float | Literal["unit", 2] = "unit"


@frozen(kw_only=True)
class Drawing:
    shapes: tuple[Circle | Square, ...] = ()
    title: str | None = None
    target: int | str = 0
    sizes: Mapping[str, tuple[int, ...]] = {}
    depth: int | Unset | None = Unset.UNSET


@settings(deadline=None)
@given(st.one_of(STATES, SCENES))
def test_values_come_back(value: EditState | Scene) -> None:
    assert strict.structure(strict.parse(strict.dump(value)), type(value)) == value
    assert strict.structure(strict.parse(strict.dump(value).encode()), type(value)) == value


DRAWING = Drawing(
    shapes=(Square(), Circle(radius=2), Square(side=3.5)), target="x", sizes={"a": (1, 2), "": ()}
)


def test_tags_and_what_is_left_out() -> None:
    full = strict.dump(DRAWING)
    assert full == (
        '{"shapes":[{"op":"square","side":"unit"},{"op":"circle","radius":2},'
        '{"op":"square","side":3.5}],"title":null,"target":"x","sizes":{"a":[1,2],"":[]}}'
    )
    short = strict.dump(DRAWING, omit_defaults=True)
    assert short == (
        '{"shapes":[{"op":"square"},{"op":"circle","radius":2},'
        '{"op":"square","side":3.5}],"target":"x","sizes":{"a":[1,2],"":[]}}'
    )
    for text in (full, short):
        assert strict.structure(strict.parse(text), Drawing) == DRAWING


def test_unset_is_not_null() -> None:
    assert strict.structure({}, Drawing).depth is Unset.UNSET
    assert strict.structure({"depth": None}, Drawing).depth is None
    assert strict.unstructure(Drawing(depth=None), omit_defaults=True) == {"depth": None}


def test_integers_are_numbers() -> None:
    read = strict.structure({"name": "a", "prompt": "b", "scale": 3}, Concept)
    assert (read.scale, type(read.scale)) == (3.0, float)
    assert strict.structure(10**299, float) == 1e299


def test_a_byte_order_mark_is_passed_over() -> None:
    assert strict.parse(b"\xef\xbb\xbf[1]") == [1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("NaN", "NaN is not a finite number"),
        ('{"a": Infinity}', "Infinity is not a finite number"),
        ("[-Infinity]", "-Infinity is not a finite number"),
        ("1e999", "1e999 is not a finite number"),
        ("-1e999", "-1e999 is not a finite number"),
        ("9" * 5000, "an integer has 5000 digits; allowed: 300"),
        ('{"a": 1, "a": 1}', "the key 'a' is there twice"),
        ('[{"b": {"a": 1, "c": 2, "a": 3}}]', "the key 'a' is there twice"),
        ("[" * 100_000, "values are nested too deep"),
        ("[" * 100_000 + "]" * 100_000, "values are nested too deep"),
        ("", "the text is not JSON: Expecting value: line 1 column 1"),
        ("{'a': 1}", "the text is not JSON"),
        ("[1,]", "the text is not JSON"),
        ("[1] 2", "the text is not JSON: Extra data"),
        ("[01]", "the text is not JSON"),
        ('"\n"', "the text is not JSON: Invalid control character"),
        (b"\xff\xfe[\x00]\x00", "the text is not UTF-8: invalid start byte, byte 0"),
        (b'"\xed\xa0\x80"', "the text is not UTF-8"),
    ],
)
def test_no_json(text: str | bytes, problem: str) -> None:
    with pytest.raises(StrictError) as caught:
        strict.parse(text)
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 200


CONCEPT = {"name": "a", "prompt": "b"}
SCENE = {"prompt": "a", "height": 8, "width": 8}


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Concept, {**CONCEPT, "scale": "nan"}, "scale: 'nan' is not a number"),
        (Concept, {**CONCEPT, "scale": True}, "scale: True is not a number"),
        (Concept, {**CONCEPT, "scale": None}, "scale: None is not a number"),
        (Concept, {**CONCEPT, "warmup": 1.9}, "warmup: 1.9 is not an integer"),
        (Concept, {**CONCEPT, "warmup": 1.0}, "warmup: 1.0 is not an integer"),
        (Concept, {**CONCEPT, "warmup": True}, "warmup: True is not an integer"),
        (Concept, {**CONCEPT, "cooldown": 1.5}, "cooldown: 1.5 is not an integer or null"),
        (Concept, {**CONCEPT, "cooldown": False}, "cooldown: False is not an integer or null"),
        (Concept, {**CONCEPT, "inverted": 1}, "inverted: 1 is not true or false"),
        (Concept, {**CONCEPT, "inverted": "no"}, "inverted: 'no' is not true or false"),
        (Concept, {**CONCEPT, "name": 5}, "name: 5 is not text"),
        (Concept, {**CONCEPT, "embedding": []}, "embedding: [] is not text or null"),
        (Concept, {**CONCEPT, "name": "\ud800"}, r"name: '\ud800' is not text: it holds half a"),
        (Concept, {"name": "a"}, "'prompt' is missing"),
        (Concept, {**CONCEPT, "strength": 1}, "'strength' is unknown; allowed: name, prompt, emb"),
        (Concept, {**CONCEPT, "scale": -1}, "scale is -1.0; allowed: a finite number, at least 0"),
        (Concept, {**CONCEPT, "op": "add"}, "'op' is unknown; allowed: name, prompt"),
        (Concept, [], "[] is not an object"),
        (Concept, "name", "'name' is not an object"),
        (Scene, {**SCENE, "seeds": "12"}, "seeds: '12' is not a list"),
        (Scene, {**SCENE, "seeds": {"0": 1}}, "seeds: {'0': 1} is not a list"),
        (Scene, {**SCENE, "seeds": 1}, "seeds: 1 is not a list"),
        (Scene, {**SCENE, "seeds": [1, 2.5]}, "seeds[1]: 2.5 is not an integer"),
        (Scene, {**SCENE, "seeds": [-1]}, "seed is -1; allowed: an integer, at least 0"),
        (
            EditState,
            {"concepts": [CONCEPT, {**CONCEPT, "threshold": 1}]},
            "concepts[1]: threshold is 1.0; allowed: a finite number, at least 0, less than 1",
        ),
        (EditState, {"concepts": [{**CONCEPT, "scale": []}]}, "concepts[0].scale: [] is not a num"),
        (EditState, {"concepts": [CONCEPT, 3]}, "concepts[1]: 3 is not an object"),
        (Drawing, {"shapes": [{}]}, "shapes[0]: 'op' is missing; allowed: 'circle', 'square'"),
        (Drawing, {"shapes": [{"op": "dot"}]}, "shapes[0].op: 'dot' is not one of 'circle', 'squ"),
        (Drawing, {"shapes": [{"op": ["circle"]}]}, "shapes[0].op: ['circle'] is not one of"),
        (Drawing, {"shapes": [{"op": "circle", "side": 1}]}, "shapes[0]: 'side' is unknown"),
        (Circle, {"op": "square"}, "op: 'square' is not one of 'circle'"),
        (Circle, {"radius": 1}, "'op' is missing"),
        (Square, {"op": "square", "side": "x"}, "side: 'x' is not one of 'unit', 2"),
        (Square, {"op": "square", "side": None}, "side: None is not a number or one of 'unit', 2"),
        (Drawing, {"target": True}, "target: True is not an integer or text"),
        (Drawing, {"target": 1.0}, "target: 1.0 is not an integer or text"),
        (Drawing, {"target": None}, "target: None is not an integer or text"),
        (Drawing, {"depth": "unset"}, "depth: 'unset' is not an integer or null"),
        (Drawing, {"sizes": {"a": [1], "b c": [None]}}, "sizes['b c'][0]: None is not an integer"),
        (Drawing, {"sizes": {"\udc00": []}}, r"sizes: '\udc00' is not text"),
        (Drawing, {"sizes": [["a", []]]}, "sizes: [['a', []]] is not an object"),
        (Literal["a", 1], True, "True is not one of 'a', 1"),
        (Literal["a", 1], "b", "'b' is not one of 'a', 1"),
        (Literal["a"], ["a"], "['a'] is not one of 'a'"),
    ],
)
def test_refused(kind: Any, value: object, message: str) -> None:
    with pytest.raises(StrictError) as caught:
        strict.structure(value, kind)
    assert str(caught.value).startswith(message)


def test_messages_stay_short_and_can_be_printed() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    long = "x" * 10**6
    for value in (deep, {**CONCEPT, "name": long + "\ud800"}, {**CONCEPT, long: 1}, [long] * 1000):
        with pytest.raises(StrictError) as caught:
            strict.structure(value, Concept)
        assert len(str(caught.value).encode()) < 500
    with pytest.raises(StrictError) as caught:
        strict.structure({**CONCEPT, "prompt": " " * 10**6}, Concept)
    assert len(str(caught.value)) < 200
    with pytest.raises(StrictError) as caught:
        strict.structure({"sizes": {long: 1}}, Drawing)
    assert len(str(caught.value)) < 200


def test_the_path_is_there_for_readers() -> None:
    with pytest.raises(StrictError) as caught:
        strict.structure({"concepts": [{**CONCEPT, "scale": "5"}]}, EditState)
    assert caught.value.path == ("concepts", 0, "scale")
    assert caught.value.problem == "'5' is not a number"


def test_format_versions() -> None:
    document = {"format_version": 3, "a": 1}
    assert strict.check_version(document, 3) == {"a": 1}
    for found in (2, 4, True, 3.0, "3", None):
        with pytest.raises(StrictError, match="this release reads version 3") as caught:
            strict.check_version({**document, "format_version": found}, 3)
        assert ("newer sega-session" in str(caught.value)) == (found == 4)
        assert ("not written by sega-session" in str(caught.value)) == (found != 4)
    others: list[Any] = [[], None, "format_version"]
    for other in others:
        with pytest.raises(StrictError, match="is not an object"):
            strict.check_version(other, 3)


def test_older_versions_are_migrated_step_by_step() -> None:
    migrations = {
        2: lambda document: {**document, "steps": [*document["steps"], "2 to 3"]},
        3: lambda document: {**document, "steps": [*document["steps"], "3 to 4"]},
    }
    steps = {2: ["2 to 3", "3 to 4"], 3: ["3 to 4"], 4: []}
    for version, expected in steps.items():
        document = {"format_version": version, "steps": []}
        assert strict.check_version(document, 4, migrations) == {"steps": expected}
        assert document == {"format_version": version, "steps": []}
    for wrong in (1, 0, -1, 5, None, 2.0):
        with pytest.raises(StrictError, match=r"this release reads versions 2 to 4\. ") as caught:
            strict.check_version({"format_version": wrong, "steps": []}, 4, migrations)
        assert ("newer sega-session" in str(caught.value)) == (wrong == 5)


@pytest.mark.parametrize("kind", [list[int], tuple[int, int], set, bytes])
def test_other_kinds_are_an_error_of_the_program(kind: Any) -> None:
    with pytest.raises(TypeError, match="cannot be read from JSON"):
        strict.structure([], kind)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_nothing_is_written_that_cannot_be_read(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        strict.dump(Circle(radius=number))


def test_a_million_values_are_read() -> None:
    assert len(strict.parse("[" + "0," * 999_998 + "0]")) == 999_999
    assert strict.parse("9" * 300) == 10**300 - 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "[" + "[[]]," * 800_000 + "0]",
            "it has 1600001 colons and opening brackets",
        ),
        ("[" + "0," * 1_900_000 + "0]", "it has 1900001 commas, colons and opening"),
        ('["' + "[" * 500_000 + '"]', "it has 500001 colons and opening brackets"),
    ],
    ids=["lists", "numbers", "brackets in a text"],
)
def test_much_json_is_refused_before_it_is_parsed(text: str, problem: str) -> None:
    with pytest.raises(StrictError, match=problem):
        strict.parse(text)
    assert strict.parse("[[]]", max_values=2, max_parts=2) == [[]]
    with pytest.raises(StrictError, match="it has 2 commas, colons and opening"):
        strict.parse("[0,0]", max_values=1)


def test_problems_have_a_longest_length() -> None:
    error = StrictError("a" * 10**6 + "z", ("b" * 10**6,))
    assert len(str(error)) < 600
    assert str(error).endswith("z")


def test_long_lists_are_checked_as_short_ones_are() -> None:
    many = [0] * 1000
    assert strict.structure(many, tuple[int, ...]) == tuple(many)
    assert strict.structure([*many, None], tuple[int | None, ...]) == (*many, None)
    assert strict.structure([1, 2.5], tuple[float, ...]) == (1.0, 2.5)
    assert type(strict.structure([1], tuple[float, ...])[0]) is float
    several: list[Any] = [True, 1.0, None, "1", []]
    for wrong in several:
        with pytest.raises(StrictError, match=r"\[1000\]: .* is not an integer"):
            strict.structure([*many, wrong], tuple[int, ...])
    with pytest.raises(StrictError, match="half a character"):
        strict.structure(["a", "\ud83d"], tuple[str, ...])
    # Two halves do not make one character.
    with pytest.raises(StrictError, match="half a character"):
        strict.structure(["\ud83d", "\ude00"], tuple[str, ...])
