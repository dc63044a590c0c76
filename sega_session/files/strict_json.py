"""JSON in and out of frozen values, read strictly: nothing is guessed, coerced or passed over.

Python's own parser takes NaN and lets the last of two equal keys win. What is read here comes from
files that others wrote, so each of these is an error that says where it is.

A kind of value is bool, int, float, str, None, a `Literal`, ``tuple[X, ...]``, ``Mapping[str, X]``,
an attrs class, or a union of kinds that differ in JSON. Classes that do not differ, each being an
object there, are told apart by a tag: a class variable ``op``, which is written as a key.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import cache
from itertools import chain
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, overload

import attrs

from ..errors import InvalidValueError

T = TypeVar("T")
Path = tuple[str | int, ...]

TAG = "op"
"""The class variable, and key, that tells classes in a union apart."""

MAX_DIGITS = 300
"""Longer integers are refused; any shorter one fits into a float."""

UNION = (Union, UnionType)
"""The origins of unions, as ``Optional[X]`` and as ``X | None``."""

PLAIN: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
    str: ((str,), "text"),
    NoneType: ((NoneType,), "null"),
}
"""What parsed JSON a plain kind is read from, and its name in messages."""


class Unset(Enum):
    """The default of a field that JSON leaves out, where null means something else."""

    UNSET = "unset"


class StrictError(ValueError):
    """What is read is not what it must be. Readers turn it into their own typed error.

    Attributes:
        problem: what is wrong.
        path: the keys and indices that lead there.
    """

    def __init__(self, problem: str, path: Path = ()) -> None:
        self.problem, self.path = problem, path
        super().__init__(f"{spell(path)}: {problem}" if path else problem)


def spell(path: Path) -> str:
    """A path in words: ``concepts[0].scale``."""
    simple = [isinstance(one, str) and one.isidentifier() and len(one) < 60 for one in path]
    parts = [
        f".{p}" if is_name else f"[{shown(p)}]" for p, is_name in zip(path, simple, strict=True)
    ]
    return "".join(parts).removeprefix(".")


def parse(text: str | bytes) -> Any:
    """JSON as plain values.

    Raises:
        StrictError: it is no JSON or no UTF-8, holds a key twice or a number that is none (NaN) or
            too large, or is nested too deep.
    """
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode("utf-8-sig"),
            parse_constant=_finite,
            parse_float=_finite,
            parse_int=_integer,
            object_pairs_hook=_without_doubles,
        )
    except RecursionError:
        raise StrictError("values are nested too deep; allowed: some hundred levels") from None
    except UnicodeDecodeError as error:
        raise StrictError(f"the text is not UTF-8: {error.reason}, byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise StrictError(f"the text is not JSON: {error}") from None


def body(document: Any, version: int) -> dict[str, Any]:
    """What a document holds beside its format_version, which must be this.

    Raises:
        StrictError: the document is no object, or its format_version another or missing.
    """
    if type(document) is not dict:
        raise StrictError(f"{shown(document)} is not an object")
    found = document.get("format_version")
    if type(found) is not int or found != version:
        newer = type(found) is int and found > version
        hint = ". Read it with a newer sega-session: pip install --upgrade sega-session"
        raise StrictError(
            f"format_version is {shown(found)}; this release reads version {version}"
            f"{hint if newer else ''}"
        )
    return {key: value for key, value in document.items() if key != "format_version"}


@overload
def structure(value: Any, kind: type[T], path: Path = ()) -> T: ...
@overload
def structure(value: Any, kind: Any, path: Path = ()) -> Any: ...
def structure(value: Any, kind: Any, path: Path = ()) -> Any:
    """The value of a kind that parsed JSON stands for.

    Raises:
        StrictError: it stands for none, with the path of the first wrong value.
    """
    types, name = _json(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if type(value) not in types or (origin is Literal and value not in arguments):
        raise StrictError(f"{shown(value)} is not {name}", path)
    if origin in UNION:
        return structure(value, _member(value, kind, path), path)
    if origin is tuple:
        return tuple(structure(v, arguments[0], (*path, i)) for i, v in enumerate(value))
    if origin is Mapping:
        return {_text(k, path): structure(v, arguments[1], (*path, k)) for k, v in value.items()}
    if type(value) is dict:
        return _object(value, kind, path)
    if type(value) is str:
        return _text(value, path)
    return float(value) if kind is float else value


def plain(value: Any, *, omit_defaults: bool = False) -> Any:
    """The JSON, as plain values, that `structure` reads back; without defaults where so asked."""
    if attrs.has(type(value)):
        found = {TAG: tag_of(type(value))} if tag_of(type(value)) else {}
        for attribute in attrs.fields(type(value)):
            one = getattr(value, attribute.name)
            if one is not Unset.UNSET and not (omit_defaults and one == attribute.default):
                found[attribute.name] = plain(one, omit_defaults=omit_defaults)
        return found
    if isinstance(value, tuple):
        return [plain(one, omit_defaults=omit_defaults) for one in value]
    if isinstance(value, Mapping):
        return {key: plain(one, omit_defaults=omit_defaults) for key, one in value.items()}
    return value


def dump(value: object, *, indent: int | None = None, omit_defaults: bool = False) -> str:
    """JSON of a value. Raises ValueError for NaN and infinity."""
    found = plain(value, omit_defaults=omit_defaults)
    return json.dumps(found, indent=indent, ensure_ascii=False, allow_nan=False)


def members_of(union: Any) -> list[Any]:
    """The kinds in a union that JSON can hold."""
    return [kind for kind in get_args(union) if kind is not Unset]


@cache
def kinds_of(kind: type) -> dict[str, Any]:
    """The fields of an attrs class, by name, with the kinds of their values."""
    hints = get_type_hints(kind)
    return {attribute.name: hints[attribute.name] for attribute in attrs.fields(kind)}


def tag_of(kind: type) -> str | None:
    """What tells a class from others in a union; None: nothing."""
    tag = getattr(kind, TAG, None)
    return tag if isinstance(tag, str) else None


_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 60
_repr.maxlevel = 2
_repr.maxlist = _repr.maxtuple = _repr.maxdict = 4
shown = _repr.repr
"""A value as messages show it: what is large or deep in it is cut."""


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise StrictError(f"{text:.40} is not a finite number")
    return number


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise StrictError(f"an integer has {len(text)} digits; allowed: {MAX_DIGITS}")
    return int(text)


def _without_doubles(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise StrictError(f"the key {shown(key)} is there twice")
        found[key] = value
    return found


def _text(value: str, path: Path) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        problem = f"{shown(value)} is not text: it holds half a character"
        raise StrictError(problem, path) from None
    return value


@cache
def _json(kind: Any) -> tuple[tuple[type, ...], str]:
    """What parsed JSON a kind is read from, and its name in messages."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in PLAIN:
        return PLAIN[kind]
    if origin in UNION:
        types, names = zip(*map(_json, members_of(kind)), strict=True)
        return tuple(chain(*types)), " or ".join(dict.fromkeys(names))
    if origin is Literal:
        return tuple(map(type, arguments)), f"one of {', '.join(map(repr, arguments))}"
    if origin is tuple and arguments[1:] == (...,):
        return (list,), "a list"
    if origin is Mapping or attrs.has(kind):
        return (dict,), "an object"
    raise TypeError(f"{kind} cannot be read from JSON")


def _member(value: Any, kind: Any, path: Path) -> Any:
    """The member of a union that a value is read as."""
    fitting = [member for member in members_of(kind) if type(value) in _json(member)[0]]
    return fitting[0] if len(fitting) == 1 else _tagged(value, fitting, path)


def _tagged(value: dict[str, Any], kinds: list[type], path: Path) -> type:
    """The one of several classes that an object's tag names."""
    tags = {tag_of(kind): kind for kind in kinds}
    allowed = ", ".join(map(repr, tags))
    if TAG not in value:
        raise StrictError(f"{TAG!r} is missing; allowed: {allowed}", path)
    tag = value[TAG]
    if type(tag) is not str or tag not in tags:
        raise StrictError(f"{shown(tag)} is not one of {allowed}", (*path, TAG))
    return tags[tag]


def _object(value: dict[str, Any], kind: type, path: Path) -> Any:
    """The value of an attrs class."""
    kinds, given = kinds_of(kind), dict(value)
    if tag_of(kind):
        _tagged(value, [kind], path)
        del given[TAG]
    for key in given:
        if key not in kinds:
            raise StrictError(f"{shown(key)} is unknown; allowed: {', '.join(kinds)}", path)
    for attribute in attrs.fields(kind):
        if attribute.default is attrs.NOTHING and attribute.name not in given:
            raise StrictError(f"{attribute.name!r} is missing", path)
    found = {key: structure(one, kinds[key], (*path, key)) for key, one in given.items()}
    try:
        return kind(**found)
    except InvalidValueError as error:
        message = str(error).replace(repr(error.value), shown(error.value))
        raise StrictError(message.removesuffix("."), path) from None
