"""What is applied at each model call, on cases small enough to write down."""

from __future__ import annotations

from typing import Any

from sega_session.sega.recipe import Recipe, Term, make_recipe
from sega_session.state import Concept, EditState


def recipe(*concepts: Concept, calls: int = 5, momentum: float = 0.0) -> Recipe:
    return make_recipe(EditState(concepts=concepts, momentum_scale=momentum), calls)


def concept(name: str, **fields: Any) -> Concept:
    return Concept(name=name, prompt=name, **{"warmup": 0, **fields})


def applied(made: Recipe) -> list[dict[str, float]]:
    """For each call, the applied concepts and their weights."""
    return [
        {term.condition.removeprefix("prompt:"): term.weight for term in step.applied}
        for step in made.steps
    ]


def conditions(made: Recipe) -> list[tuple[str, ...]]:
    """For each call, what is evaluated beside the prompts, each once."""
    return [
        tuple(dict.fromkeys(term.condition for term in (*step.feeding, *step.applied)))
        for step in made.steps
    ]


def test_warmup_and_cooldown_count_model_calls() -> None:
    made = recipe(concept("a", warmup=2, cooldown=4))
    assert applied(made) == [{}, {}, {"a": 1}, {"a": 1}, {}]
    assert conditions(made) == [
        *[()] * 2,
        *[("prompt:a",)] * 2,
        (),
    ]


def test_weights_are_normalised_while_only_some_are_warm() -> None:
    made = recipe(
        concept("a", weight=1), concept("b", weight=3, warmup=1), concept("c", weight=2, warmup=3)
    )
    assert applied(made) == [
        {"a": 1},
        {"a": 0.25, "b": 0.75},
        {"a": 0.25, "b": 0.75},
        {"a": 1, "b": 3, "c": 2},
        {"a": 1, "b": 3, "c": 2},
    ]


def test_nothing_is_applied_where_all_warm_concepts_have_cooled() -> None:
    made = recipe(concept("a", cooldown=1), concept("b", warmup=3))
    assert applied(made) == [{"a": 1}, {}, {}, {"b": 1}, {"b": 1}]


def test_a_cooled_concept_counts_as_warm() -> None:
    made = recipe(concept("a", cooldown=1), concept("b", warmup=3), momentum=0.5)
    assert [step.momentum_applied for step in made.steps] == [False] * 3 + [True] * 2


def test_terms_that_are_zero_are_not_evaluated_but_share_the_weights() -> None:
    made = recipe(concept("a"), concept("mute", scale=0), concept("late", warmup=4))
    assert applied(made)[0] == {"a": 0.5}
    assert "prompt:mute" not in conditions(made)[4]
    made = recipe(concept("a"), concept("weightless", weight=0))
    assert applied(made)[0] == {"a": 1}


def test_a_disabled_concept_is_as_if_removed() -> None:
    off = concept("b", warmup=4, enabled=False)
    assert recipe(concept("a"), off, momentum=0.3) == recipe(concept("a"), momentum=0.3)


def test_momentum_is_fed_by_concepts_before_their_warmup() -> None:
    made = recipe(concept("a", warmup=2), momentum=0.5)
    assert conditions(made) == [("prompt:a",)] * 5
    assert [step.momentum_applied for step in made.steps] == [False] * 2 + [True] * 3


def test_momentum_that_cannot_matter_is_off() -> None:
    never_all_warm = recipe(concept("a"), concept("b", warmup=5), momentum=0.5)
    assert never_all_warm.momentum_scale == 0
    assert conditions(never_all_warm)[0] == ("prompt:a",)
    assert recipe(momentum=0.5) == recipe(momentum=0)
    assert recipe(concept("a", scale=0), momentum=0.5) == recipe(concept("a", scale=0))


def test_inverted_concepts_have_a_negative_scale() -> None:
    (term,) = recipe(concept("a", scale=3, inverted=True)).steps[0].applied
    assert term == Term("prompt:a", None, None, scale=-3, threshold=0.9, weight=1)


def test_equal_prompts_are_evaluated_once() -> None:
    twice = (
        Concept(name="x", prompt="a", warmup=0),
        Concept(name="y", prompt="a", warmup=0, threshold=0.5),
    )
    made = recipe(*twice)
    assert conditions(made)[0] == ("prompt:a",)
    assert len(made.steps[0].applied) == 2
