"""`Limits`: what a script may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from ..errors import ScriptError, shorten
from ..state.fields import as_int, check_integer, checked_by

if TYPE_CHECKING:
    from ..state import Scene


def _limit(default: int) -> int:
    validator = checked_by(check_integer, at_least=1)
    limit: int = field(default=default, converter=as_int, validator=validator)
    return limit


@frozen(kw_only=True)
class Limits:
    """The largest amounts that a script may ask for; raise one for a script that you trust.

    >>> EditSession.run("long.json", pipeline, limits=Limits(operations=5_000))

    Attributes:
        operations: operations, those in transactions included.
        evaluations: evaluations of all its renders together; see `Render.evaluations`.
        pixels: pixels of all images of one render together: width * height * seeds.
        seeds: seeds of the scene.

    Raises:
        InvalidValueError: a limit is no integer, or less than 1.
    """

    operations: int = _limit(1_000)
    evaluations: int = _limit(100_000)
    pixels: int = _limit(2**24)
    seeds: int = _limit(64)

    def check(self, name: str, asked: int) -> None:
        """Raise ScriptError if a script asks for more than the limit of this name."""
        allowed = getattr(self, name)
        if asked > allowed:
            raise ScriptError(
                f"the script asks for {shorten(asked)} {name}; allowed: {allowed}. If you trust "
                f"the script, allow more: Limits({name}=...), --max-{name} of the command."
            )

    def check_scene(self, scene: Scene) -> None:
        """Raise ScriptError if a session's scene is larger than allowed."""
        self.check("seeds", len(scene.seeds))
        self.check("pixels", scene.width * scene.height * len(scene.seeds))


DEFAULT_LIMITS = Limits()
"""The limits of scripts, unless others are given."""
