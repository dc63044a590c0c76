"""Make small faults in Python code, one at a time: comparisons, constants, removed calls and more.

`mutants_of` lists all faults of a module. Each replaces one piece of the source text and leaves the
rest as it is. Text for people is left alone: docstrings, messages of errors, reprs, f-strings;
so are annotations and imports, which nothing computes with.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from attrs import frozen

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
FOR_PEOPLE = {"__repr__", "__str__", "__rich_repr__", "_repr_html_"}

Functions = ast.FunctionDef | ast.AsyncFunctionDef
Compound = (ast.If, ast.While, ast.For, ast.With, ast.Try, ast.Match, ast.FunctionDef, ast.ClassDef)


@frozen
class Mutant:
    """One fault of a module.

    Attributes:
        path: the module's path, relative to the repository.
        where: the dotted name of the function or class around it; empty in the module itself.
        in_function: the fault runs with the function's body, not with the import.
        first, last: the lines that run it, counted from 1.
        before, after: the changed lines.
        source: the whole changed module.
    """

    path: str
    where: str
    in_function: bool
    first: int
    last: int
    before: str
    after: str
    source: str

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What tells the fault from others, wherever its line moves."""
        return self.path, self.where, self.before, self.after


def mutants_of(path: str, source: str) -> list[Mutant]:
    """Return every fault of a module, in the order of the text."""
    found = []
    for where, in_function, node, span, replacement in _Visitor().changes(ast.parse(source)):
        changed = _replaced(source, node, replacement)
        before, after = _changed_lines(source, changed)
        if before != after:
            found.append(Mutant(path, where, in_function, *span, before, after, changed))
    return found


Span = tuple[int, int]
Change = tuple[str, bool, ast.expr | ast.stmt, Span, str]
"""The place, in_function, the piece to replace, its lines, and the new text."""


class _Visitor:
    """A walk through a module that knows the place it is at."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._in_function = False
        self._span: Span = (0, 0)

    def changes(self, node: ast.AST) -> Iterator[Change]:
        """Yield every change of a node and of the nodes in it."""
        match node:
            case (
                ast.Import()
                | ast.ImportFrom()
                | ast.JoinedStr()
                | ast.If(test=ast.Name("TYPE_CHECKING"))
                | ast.ClassDef(bases=[ast.Name("TypedDict" | "Protocol"), *_])
                | ast.AnnAssign(annotation=ast.Name("TypeAlias"))
            ):
                return
            case ast.ClassDef():
                yield from self._inside(node, node.body)
                return
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from self._function(node)
                return
            case ast.stmt():
                body = getattr(node, "body", None)
                last = body[0].lineno - 1 if isinstance(node, Compound) and body else None
                self._span = (node.lineno, last or node.end_lineno or node.lineno)
        if isinstance(node, ast.expr | ast.stmt):
            for piece, text in _pieces(node):
                yield ".".join(self._names), self._in_function, piece, self._span, text
        if isinstance(node, ast.Raise):
            return
        for child in ast.iter_child_nodes(node):
            if child is not getattr(node, "annotation", None) and not _is_guard(child):
                yield from self.changes(child)

    def _inside(self, node: ast.ClassDef | Functions, body: list[ast.stmt]) -> Iterator[Change]:
        self._names.append(node.name)
        for statement in body:
            yield from self.changes(statement)
        self._names.pop()

    def _function(self, node: Functions) -> Iterator[Change]:
        decorators = {ast.unparse(one) for one in node.decorator_list}
        if node.name in FOR_PEOPLE or "overload" in decorators:
            return
        # Defaults are computed when the function is made.
        self._span = (node.lineno, node.lineno)
        self._names.append(node.name)
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                yield from self.changes(default)
        self._names.pop()
        around, self._in_function = self._in_function, True
        yield from self._inside(node, node.body)
        self._in_function = around


Pieces = Iterator[tuple[ast.expr | ast.stmt, str]]
"""Pieces of code, each with what replaces it."""


def _pieces(node: ast.expr | ast.stmt) -> Pieces:
    """Yield what a node itself can be replaced by."""
    match node:
        case ast.Constant(value=bool(value)):
            yield node, str(not value)
        case ast.Constant(value=int() | float() as value):
            yield node, repr(value + 1)
            yield node, repr(value - 1) if value >= 1 else f"({value - 1!r})"
        case ast.Subscript():
            yield from _subscripts(node)
        case ast.Call():
            yield from _calls(node)
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            # Other tests are changed by their own operators.
            if isinstance(test, ast.Name | ast.Attribute | ast.Call):
                yield test, _text(ast.UnaryOp(ast.Not(), test))
        case ast.stmt():
            yield from _statements(node)
        case _:
            yield from _operators(node)


def _operators(node: ast.expr) -> Pieces:
    match node:
        case ast.Compare(ops=operators):
            for number, operator in enumerate(operators):
                ops = [*operators]
                ops[number] = COMPARISONS[type(operator)]()
                yield node, _text(ast.Compare(node.left, ops, node.comparators))
        case ast.BoolOp(op=ast.And(), values=values):
            yield node, _text(ast.BoolOp(ast.Or(), values))
        case ast.BoolOp(op=ast.Or(), values=values):
            yield node, _text(ast.BoolOp(ast.And(), values))
        case ast.BinOp(op=operator) if not (_is_text(node.left) or _is_text(node.right)):
            if type(operator) in OPERATORS:
                yield node, _text(ast.BinOp(node.left, OPERATORS[type(operator)](), node.right))
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node, _text(node.operand)


def _subscripts(node: ast.Subscript) -> Pieces:
    match node.slice:
        case ast.UnaryOp(ast.USub(), ast.Constant(1)):
            yield node, _text(ast.Subscript(node.value, ast.Constant(0), node.ctx))
        case ast.Constant(0):
            yield node, f"{ast.unparse(node.value)}[-1]"
        case ast.Slice(lower, upper, step):
            slices = [ast.Slice(None, upper, step)] if lower else []
            slices += [ast.Slice(lower, None, step)] if upper else []
            for one in slices:
                yield node, _text(ast.Subscript(node.value, one, node.ctx))


def _statements(node: ast.stmt) -> Pieces:
    match node:
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield node, "return None"
        case ast.Break():
            yield node, "continue"
        case ast.Continue():
            yield node, "break"
        case ast.AugAssign():
            if type(node.op) in OPERATORS:
                other = ast.AugAssign(node.target, OPERATORS[type(node.op)](), node.value)
                yield node, ast.unparse(other)
            yield node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield node, "pass"
        case ast.Expr(value=ast.Constant()):
            pass
        case ast.Expr() | ast.Raise() | ast.Delete():
            yield node, "pass"


def _calls(node: ast.Call) -> Pieces:
    match node:
        case ast.Call(func=ast.Name(name)) if name in FUNCTIONS:
            yield node.func, FUNCTIONS[name]
        case ast.Call(args=[first, second, *others]) if ast.dump(first) != ast.dump(second):
            if not any(isinstance(one, ast.Starred) for one in (first, second)):
                yield node, _text(ast.Call(node.func, [second, first, *others], node.keywords))


def _is_guard(node: ast.AST) -> bool:
    """Return whether a node is the ``strict=True`` of zip, which no right program can notice."""
    return isinstance(node, ast.keyword) and node.arg == "strict"


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


def _text(node: ast.expr) -> str:
    """Return an expression's text, in parentheses where it may stand beside an operator."""
    text = ast.unparse(node)
    simple = isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.Constant)
    return text if simple else f"({text})"


def _replaced(source: str, node: ast.expr | ast.stmt, new: str) -> str:
    """Return a source with a node's text replaced; columns of `ast` count bytes."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    lines = source.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    begin = starts[node.lineno - 1] + node.col_offset
    end = starts[node.end_lineno - 1] + node.end_col_offset
    whole = b"".join(lines)
    return (whole[:begin] + new.encode() + whole[end:]).decode()


def _changed_lines(source: str, changed: str) -> tuple[str, str]:
    """Return the lines that differ, of either text, each joined to one line."""
    old, new = source.splitlines(), changed.splitlines()
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    before, after = (" ".join(line.strip() for line in lines) for lines in (old, new))
    return before, after
