"""Messages of the package, in which Python is what to do next, are said in words of commands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sega_session
from sega_session import Limits, Scene, anchored
from sega_session.cli.words import PYTHON, QUOTED, WORDS, in_words
from sega_session.errors import OutOfMemoryError, SegaSessionError
from sega_session.models import as_model
from sega_session.state import History, as_mode, idle_reasons
from sega_session.state.values import Concept

PACKAGE = Path(sega_session.__file__).parent


def value(part: ast.expr) -> str:
    """Return a part of a text, or what may be there."""
    if isinstance(part, ast.FormattedValue):
        return "'x'" if part.conversion == ord("r") else "x"
    return str(ast.literal_eval(part))


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield the texts in a module, with something in the place of each value in them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(map(value, node.values))


def test_every_pattern_is_of_a_message() -> None:
    found = [
        text
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] != "cli"
        for text in texts(ast.parse(path.read_text()))
    ]
    for pattern in WORDS:
        assert any(re.search(pattern, text) for text in found), pattern


def test_no_words_are_python() -> None:
    for words in WORDS.values():
        assert PYTHON.search(QUOTED.sub("", words)) is None


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("x is 1; allowed: 2. Call f(x).", "x is 1; allowed: 2."),
        (
            "x is 1; allowed: 2. Pass y=None. Or leave it out.",
            "x is 1; allowed: 2. Or leave it out.",
        ),
        ("x is 1; allowed: 2. Render.save writes images.", "x is 1; allowed: 2."),
        ("x is 'a. F(b)? c=d'; allowed: 'e. g(h)'. Try 2.", None),
        ("x is \"a. F(b)? it's c=d\"; allowed: 2. Its models' own: 'f(x)'. See a.b.", None),
        ("f(x) is 1; allowed: 2.", None),
        ("eta=0.5 has no effect: DDIM(x) does not use it. Set eta to 0, or use DDIM.", None),
        ("no sentence", None),
        ("", None),
        ("One. Two (2) words, a.png: 3 x 4. Three!", None),
    ],
)
def test_sentences_in_python_are_left_out(message: str, words: str | None) -> None:
    assert in_words(message) == (message if words is None else words)


def failures() -> Iterator[tuple[str, str]]:
    """Yield messages, and the end of each in words."""

    def message(act: object) -> str:
        with pytest.raises(SegaSessionError) as raised:
            act()  # type: ignore[operator]
        return str(raised.value)

    yield (
        message(lambda: as_mode("exactly")),
        ("allowed: one of 'exact', 'anchored', 'replay', 'preview'. Did you mean 'exact'?"),
    )
    yield message(anchored), "is (None, None); allowed: exactly one of the two."
    yield message(lambda: History()[3]), "allowed: 0 to 0. sega-session info shows them."
    yield (
        message(lambda: Limits(seeds=1).check("seeds", 3)),
        ("allowed: 1. If you trust the script, allow more with --max-seeds."),
    )
    yield (
        message(lambda: Scene(prompt="", height=8, width=8, skip=0.5)),
        ("skip is 0.5; allowed: 0 where the images are made from noise."),
    )
    yield message(lambda: as_model(3)), "StableDiffusionXLPipeline, ZImagePipeline."
    yield (
        str(OutOfMemoryError("cuda", "a prediction")),
        ("Choose a smaller size, fewer seeds, or --dtype float16."),
    )
    idle = Concept(name="a", prompt="a", scale=0, weight=0)
    yield " ".join(idle_reasons(idle, 50)), "scale is 0. Raise scale. weight is 0. Raise weight."


def test_what_to_do_next_is_said_in_words() -> None:
    for message, words in failures():
        found = in_words(message)
        assert found.endswith(words), found
        assert PYTHON.search(QUOTED.sub("", found)) is None
