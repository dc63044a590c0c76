"""Faults for tools/mutation.py: each is one small change of the code, and none of its words."""

from __future__ import annotations

import textwrap

import pytest

from tools.mutants import Mutant, mutants_of


def faults(code: str) -> list[Mutant]:
    return mutants_of("a.py", textwrap.dedent(code))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x = a < b", {"x = (a <= b)"}),
        ("x = a is not b", {"x = (a is b)"}),
        ("x = a and b or c", {"x = ((a and b) and c)", "x = (a or b) or c"}),
        ("x = a * b", {"x = (a / b)"}),
        ("x = ψ + a", {"x = (ψ - a)"}),
        ("x = a & b", {"x = (a | b)"}),
        ("x = 3", {"x = 4", "x = 2"}),
        ("x = 0.5", {"x = 1.5", "x = (-0.5)"}),
        ("x = True", {"x = False"}),
        ("x = not a", {"x = a"}),
        ("x = -a", {"x = a"}),
        ("x = a[-1]", {"x = a[0]", "x = a[1]", "x = a[-2]", "x = a[-0]"}),
        ("x = a[b:c]", {"x = a[:c]", "x = a[b:]"}),
        ("x = f(a, b, c=d)", {"x = f(b, a, c=d)"}),
        ("x = min(a)", {"x = max(a)"}),
        ("x = a if b else c", {"x = a if (not b) else c"}),
        ("x += a", {"x -= a", "pass"}),
        ("x.y = a", {"pass"}),
        ("f(a)", {"pass"}),
        ("raise ValueError(3)", {"pass"}),
        ("def f(a: int = 3) -> int: pass", {"def f(a: int = 4) -> int: pass"}),
        ("def f(): return a", {"def f(): return None"}),
        ("for a in b: break", {"for a in b: continue"}),
    ],
)
def test_one_piece_is_changed(line: str, expected: set[str]) -> None:
    found = faults(line)
    assert expected <= {one.after for one in found}
    assert {one.before for one in found} == {line}
    for one in found:
        compile(one.source, "a.py", "exec")


@pytest.mark.parametrize(
    "code",
    [
        '"""Text."""',
        "import a",
        'x = f"{a + 1}"',
        'x = "a" + b',
        "x: Literal[1]",
        "X: TypeAlias = A | B",
        "def f(a: A | B) -> C | D: pass",
        "def __repr__(self): return 1 + 1",
        "class A(TypedDict):\n    a: int = 1",
        "if TYPE_CHECKING:\n    a = 1",
        "def f(): return None",
        "x = zip(a, strict=True)",
    ],
)
def test_what_nothing_computes_with_is_left_alone(code: str) -> None:
    assert faults(code) == []


def test_a_fault_knows_its_lines_and_its_place() -> None:
    found = faults(
        """
        LIMIT = 1

        class A:
            def f(self, x):
                if (
                    x < self.y
                ):
                    g(
                        x > 0
                    )
        """
    )
    where = {(one.after, one.where, one.in_function, one.first, one.last) for one in found}
    assert {
        ("LIMIT = 2", "", False, 2, 2),
        ("(x <= self.y)", "A.f", True, 6, 8),
        ("(x >= 0)", "A.f", True, 9, 11),
    } <= where
