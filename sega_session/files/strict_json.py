"""Read and write frozen values as JSON, strictly: nothing is guessed, coerced or ignored.

Python's own parser accepts NaN and keeps the last of two equal keys. The files read here are
untrusted, so both are errors, and every error says where it is.

A *kind* is bool, int, float, str, None, a `Literal`, ``tuple[X, ...]``, ``Mapping[str, X]``, an
attrs class, or a union of kinds that have different JSON types. A union may hold several attrs
classes, which are all JSON objects, if each has a tag: a class variable ``op``, written as a key.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import cache
from itertools import chain
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, overload

import attrs

from ..errors import InvalidValueError, shorten

T = TypeVar("T")
Path = tuple[str | int, ...]
Migration = Callable[[dict[str, Any]], dict[str, Any]]
"""A function from the fields of one format version to those of the next."""

TAG = "op"
"""The class variable, and the JSON key, that distinguishes the classes of a union."""

MAX_VALUES = 10**6
MAX_PARTS = 5 * 10**5
"""The most values in JSON that is parsed, and the most of them that take up to 300 bytes of memory
each: lists, objects and their keys. A caller may set other limits."""

MAX_MESSAGE = 400
"""The longest problem that a message quotes, in characters."""

MAX_DIGITS = 300
"""The longest integer that is read; any integer of this length fits into a float."""

UNION = (Union, UnionType)
"""The origins of unions, as ``Optional[X]`` and as ``X | None``."""

_SIMPLE: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
    str: ((str,), "text"),
    NoneType: ((NoneType,), "null"),
}
"""The Python types that each simple kind is read from, and its name in messages."""

_SCALARS = frozenset({bool, int, float, str, NoneType})
"""The Python types of values that hold no others."""

_NO_MIGRATIONS: Mapping[int, Migration] = MappingProxyType({})


class Unset(Enum):
    """The default of a field that is left out of the JSON, where null has another meaning."""

    UNSET = "unset"


class StrictError(ValueError):
    """A value in a document is wrong. Readers convert it to their own typed error.

    Attributes:
        problem: the error without its place.
        path: the keys and indices that lead to the wrong value.
    """

    def __init__(self, problem: str, path: Path = ()) -> None:
        if len(problem) > MAX_MESSAGE:
            problem = f"{problem[: MAX_MESSAGE // 2]} ... {problem[-MAX_MESSAGE // 2 :]}"
        self.problem, self.path = problem, path
        super().__init__(f"{format_path(path)}: {problem}" if path else problem)


def format_path(path: Path) -> str:
    """Return a path as text, for example ``concepts[0].scale``."""
    simple = [isinstance(one, str) and one.isidentifier() and len(one) < 60 for one in path]
    parts = [
        f".{p}" if is_name else f"[{shorten(p)}]" for p, is_name in zip(path, simple, strict=True)
    ]
    return "".join(parts).removeprefix(".")


def parse(text: str | bytes, *, max_values: int = MAX_VALUES, max_parts: int = MAX_PARTS) -> Any:
    """Parse JSON.

    Args:
        text: the JSON; bytes are UTF-8, with or without a byte order mark.
        max_values, max_parts: limits that `check_bounds` checks before anything is parsed.

    Returns:
        Dicts, lists, texts, numbers, bools and None.

    Raises:
        StrictError: the text is not JSON or not UTF-8, has a duplicate key, a number that is not
            finite or too large, is nested too deep, or exceeds a limit.
    """
    try:
        text = text if isinstance(text, str) else text.decode("utf-8-sig")
        check_bounds(text, max_values, max_parts)
        return json.loads(
            text,
            parse_constant=_parse_finite,
            parse_float=_parse_finite,
            parse_int=_parse_integer,
            object_pairs_hook=_unique_keys,
        )
    except RecursionError:
        raise StrictError("values are nested too deep; allowed: some hundred levels") from None
    except UnicodeDecodeError as error:
        raise StrictError(f"the text is not UTF-8: {error.reason}, byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise StrictError(f"the text is not JSON: {error}") from None


def check_bounds(text: str, max_values: int, max_parts: int) -> None:
    """Raise StrictError if JSON may have more values, or more parts, than allowed.

    Punctuation is counted without parsing, and that in texts counts too.

    Args:
        text: the JSON.
        max_values: the most values.
        max_parts: the most lists, objects and keys.
    """
    parts = text.count("[") + text.count("{") + text.count(":")
    values = text.count(",") + parts
    for count, allowed, what in (
        (parts, max_parts, "colons and opening brackets"),
        (values, max_values, "commas, colons and opening brackets"),
    ):
        if count > allowed:
            raise StrictError(f"it has {count} {what}; allowed, those in texts included: {allowed}")


def check_version(
    document: object, version: int, migrations: Mapping[int, Migration] = _NO_MIGRATIONS
) -> dict[str, Any]:
    """Return a parsed document without its ``format_version``, migrated if it is older.

    Args:
        document: parsed JSON.
        version: the version that the document is returned in.
        migrations: for each older version that is still read, a function that returns a document
            of the next version. It gets and returns the document without ``format_version``.

    Raises:
        StrictError: the document is not an object, or its version is missing or not supported.
    """
    if type(document) is not dict:
        raise StrictError(f"{shorten(document)} is not an object")
    found = document.get("format_version")
    oldest = min(migrations, default=version)
    if type(found) is not int or not oldest <= found <= version:
        supported = f"version {version}" if oldest == version else f"versions {oldest} to {version}"
        if type(found) is int and found > version:
            hint = "Read it with a newer sega-session: pip install --upgrade sega-session"
        else:
            hint = "The document was not written by sega-session"
        raise StrictError(
            f"format_version is {shorten(found)}; this release reads {supported}. {hint}"
        )
    migrated = {key: value for key, value in document.items() if key != "format_version"}
    for older in range(found, version):
        migrated = migrations[older](migrated)
    return migrated


@overload
def structure(value: Any, kind: type[T], path: Path = ()) -> T: ...
@overload
def structure(value: Any, kind: Any, path: Path = ()) -> Any: ...
def structure(value: Any, kind: Any, path: Path = ()) -> Any:
    """Build a value of a kind from parsed JSON.

    Args:
        value: what `parse` returned, or a part of it.
        kind: the kind to build; see the module's docstring.
        path: the place of ``value`` in its document, for messages.

    Raises:
        StrictError: the JSON does not describe such a value; has the path of the first error.
        TypeError: ``kind`` cannot be read from JSON.
    """
    types, name = _json_types(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if type(value) not in types or (origin is Literal and value not in arguments):
        raise StrictError(f"{shorten(value)} is not {name}", path)
    if origin in UNION:
        return structure(value, _choose_member(value, kind, path), path)
    if origin is tuple:
        return _structure_list(value, arguments[0], path)
    if origin is Mapping:
        return {
            _check_text(k, path): structure(v, arguments[1], (*path, k)) for k, v in value.items()
        }
    if type(value) is dict:
        return _structure_object(value, kind, path)
    if type(value) is str:
        return _check_text(value, path)
    return float(value) if kind is float else value


def unstructure(value: Any, *, omit_defaults: bool = False) -> Any:
    """Return a value as dicts, lists and simple values, which `structure` reads back.

    Args:
        value: a value of any kind.
        omit_defaults: leave out fields that equal their default.
    """
    if type(value) in _SCALARS:
        return value
    if attrs.has(type(value)):
        found = {TAG: tag_of(type(value))} if tag_of(type(value)) else {}
        for attribute in attrs.fields(type(value)):
            one = getattr(value, attribute.name)
            if one is not Unset.UNSET and not (omit_defaults and one == attribute.default):
                found[attribute.name] = unstructure(one, omit_defaults=omit_defaults)
        return found
    if isinstance(value, tuple):
        if {*map(type, value)} <= _SCALARS:
            return list(value)
        return [unstructure(one, omit_defaults=omit_defaults) for one in value]
    if isinstance(value, Mapping):
        return {key: unstructure(one, omit_defaults=omit_defaults) for key, one in value.items()}
    return value


def dump(value: object, *, indent: int | None = None, omit_defaults: bool = False) -> str:
    """Return a value as JSON. Raises ValueError for NaN and infinity."""
    found = unstructure(value, omit_defaults=omit_defaults)
    separators = (",", ":") if indent is None else None
    return json.dumps(
        found, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False
    )


def members_of(union: Any) -> list[Any]:
    """Return the kinds in a union, without `Unset`."""
    return [kind for kind in get_args(union) if kind is not Unset]


@cache
def kinds_of(kind: type) -> dict[str, Any]:
    """Return the kind of each field of an attrs class, by the field's name."""
    hints = get_type_hints(kind)
    return {attribute.name: hints[attribute.name] for attribute in attrs.fields(kind)}


def tag_of(kind: type) -> str | None:
    """Return the tag of a class, or None if it has none."""
    tag = getattr(kind, TAG, None)
    return tag if isinstance(tag, str) else None


def _parse_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise StrictError(f"{text:.40} is not a finite number")
    return number


def _parse_integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise StrictError(f"an integer has {len(text)} digits; allowed: {MAX_DIGITS}")
    return int(text)


def _unique_keys(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise StrictError(f"the key {shorten(key)} is there twice")
        found[key] = value
    return found


def _check_text(value: str, path: Path) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        problem = f"{shorten(value)} is not text: it holds half a character"
        raise StrictError(problem, path) from None
    return value


@cache
def _json_types(kind: Any) -> tuple[tuple[type, ...], str]:
    """Return the Python types that a kind is read from, and its name in messages."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if origin in UNION:
        types, names = zip(*map(_json_types, members_of(kind)), strict=True)
        return tuple(chain(*types)), " or ".join(dict.fromkeys(names))
    if origin is Literal:
        return tuple(map(type, arguments)), f"one of {', '.join(map(repr, arguments))}"
    if origin is tuple and arguments[1:] == (...,):
        return (list,), "a list"
    if origin is Mapping or attrs.has(kind):
        return (dict,), "an object"
    raise TypeError(f"{kind} cannot be read from JSON")


@cache
def _simple_types(kind: Any) -> frozenset[type]:
    """Return the Python types of a kind's values that are read as they are."""
    if get_origin(kind) in UNION:
        return frozenset(chain.from_iterable(map(_simple_types, members_of(kind))))
    return frozenset({kind} & _SCALARS)


def _is_simple(values: list[Any], kind: Any) -> bool:
    """Return whether a list's values are all read as they are; lists may be long."""
    found = {*map(type, values)}
    if not found <= _simple_types(kind):
        return False
    try:
        "".join(one for one in values if type(one) is str).encode()
    except UnicodeEncodeError:
        return False
    return True


def _choose_member(value: Any, kind: Any, path: Path) -> Any:
    """Return the member of a union that a value is read as."""
    fitting = [member for member in members_of(kind) if type(value) in _json_types(member)[0]]
    return fitting[0] if len(fitting) == 1 else _choose_tagged(value, fitting, path)


def _choose_tagged(value: dict[str, Any], kinds: list[type], path: Path) -> type:
    """Return the one of several classes that an object's tag names."""
    tags = {tag_of(kind): kind for kind in kinds}
    allowed = ", ".join(map(repr, tags))
    if TAG not in value:
        raise StrictError(f"{TAG!r} is missing; allowed: {allowed}", path)
    tag = value[TAG]
    if type(tag) is not str or tag not in tags:
        raise StrictError(f"{shorten(tag)} is not one of {allowed}", (*path, TAG))
    return tags[tag]


def _structure_list(value: list[Any], kind: Any, path: Path) -> tuple[Any, ...]:
    if _is_simple(value, kind):
        return tuple(value)
    return tuple(structure(one, kind, (*path, index)) for index, one in enumerate(value))


def _structure_object(value: dict[str, Any], kind: type, path: Path) -> Any:
    """Build a value of an attrs class, reporting InvalidValueError with its path."""
    kinds, given = kinds_of(kind), dict(value)
    if tag_of(kind):
        _choose_tagged(value, [kind], path)
        del given[TAG]
    for key in given:
        if key not in kinds:
            raise StrictError(f"{shorten(key)} is unknown; allowed: {', '.join(kinds)}", path)
    for attribute in attrs.fields(kind):
        if attribute.default is attrs.NOTHING and attribute.name not in given:
            raise StrictError(f"{attribute.name!r} is missing", path)
    found = {key: structure(one, kinds[key], (*path, key)) for key, one in given.items()}
    try:
        return kind(**found)
    except InvalidValueError as error:
        raise StrictError(str(error).removesuffix("."), path) from None
