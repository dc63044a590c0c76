"""Open the session that a command works on, and edit it: the options that such commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from attrs import frozen
from cyclopts import Parameter

from ..errors import (
    InvalidValueError,
    SegaSessionError,
    SessionFormatError,
    UnknownConceptError,
)
from ..saving import check_carried, read_document, read_provenance
from ..state import History, Scene
from .options import (
    Addition,
    Setting,
    parse_addition,
    parse_setting,
    parse_size,
    parsed,
    repeated,
)
from .output import about

if TYPE_CHECKING:
    from ..models import Preset, Recommended
    from ..session import EditSession

OnCall = Callable[[int, int], None]
"""It is called with the number of model calls done, and with their total."""


@Parameter(name="*")
@frozen(kw_only=True)
class SceneOptions:
    """The settings of the image before any edit."""

    photo: Annotated[
        Path | None, Parameter(help="A photograph to begin from, instead of a file.")
    ] = None
    prompt: Annotated[
        str | None,
        Parameter(
            help="What the image shows. Default: the file's, none for a photograph, or what suits "
            "the checkpoint."
        ),
    ] = None
    negative_prompt: Annotated[
        str | None,
        Parameter(help="What the image is not to show. Default: the file's, or none."),
    ] = None
    seed: Annotated[
        int | None,
        Parameter(help="The seed of the noise. Default: the file's, or one that suits."),
    ] = None
    size: Annotated[
        tuple[int, int] | None,
        parsed(
            parse_size,
            "SIZE",
            "SIDE or WIDTHxHEIGHT in pixels. Default: the file's, or the checkpoint's.",
        ),
    ] = None
    steps: Annotated[
        int | None,
        Parameter(help="Steps of the scheduler. Default: the file's, or the checkpoint's."),
    ] = None
    guidance_scale: Annotated[
        float | None,
        Parameter(
            help="How closely the prompt is followed. Default: the file's, or the checkpoint's."
        ),
    ] = None

    def given(self) -> dict[str, Any]:
        """Return what was given, as arguments of `EditSession`."""
        height, width = self.size or (None, None)
        arguments = {
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "seed": self.seed,
            "height": height,
            "width": width,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance_scale,
        }
        return {name: one for name, one in arguments.items() if one is not None}


@Parameter(name="*")
@frozen(kw_only=True)
class EditOptions:
    """The edits, in the order in which they are made; each option can be repeated."""

    remove: Annotated[
        list[str] | None,
        Parameter(negative="", metavar="NAME", help="Remove a concept of the file."),
    ] = None
    add: Annotated[
        list[Addition] | None,
        repeated(
            parse_addition,
            "NAME[:SCALE]",
            "Add a concept, with the checkpoint's recommended settings; a scale below 0 steers "
            "away from it. “NAME instead of OTHER” leads from one to the other.",
        ),
    ] = None
    set: Annotated[
        list[Setting] | None,
        repeated(
            parse_setting,
            "NAME.FIELD=VALUE",
            "Change a concept, as in glasses.threshold=0.9; also momentum_scale=VALUE and "
            "momentum_beta=VALUE.",
        ),
    ] = None


OPTIONS: Mapping[str, str] = {
    "prompt": "--prompt",
    "negative_prompt": "--negative-prompt",
    "seed": "--seed",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance-scale",
    "height": "--size: height",
    "width": "--size: width",
    "height and width": "--size",
    "the number of seeds": "--seed: the number of seeds",
    "photograph": "--photo",
    "mode of the photograph": "--photo: the mode",
}
"""The options for the values that errors name."""


@contextmanager
def as_options(names: Mapping[str, str] = OPTIONS) -> Iterator[None]:
    """Raise errors about values with the names of their options.

    Args:
        names: the options by the values' names in errors; others keep theirs.

    Raises: what the block raises, or SegaSessionError instead.
    """
    try:
        yield
    except InvalidValueError as error:
        option = names.get(error.what)
        if option is None:
            raise
        raise SegaSessionError(f"{option}{str(error).removeprefix(error.what)}") from error


def is_image(file: Path) -> bool:
    """Return whether a file is taken for an image, and not for a session."""
    return file.suffix.lower() == ".png"


def read_file(file: Path) -> tuple[Scene, History]:
    """Return the scene and the history of a session's file, or of an image's only edit.

    Raises:
        SessionFormatError: the file holds neither, or the image lacks tensors it was made with.
        SessionFileError: the file cannot be read.
    """
    if not is_image(file):
        if (guess_type(file.name)[0] or "").startswith("image/"):
            raise SessionFormatError(
                f"{file} holds no session; allowed: a session's file, or a PNG file that "
                "sega-session wrote. A photograph is given to sega-session edit as --photo."
            )
        document = read_document(file)
        return document.scene, document.history
    made, _ = read_provenance(file)
    check_carried(made)
    return made.scene, History().commit(made.state, "from an image")


def count_images(file: Path | None, seed: int | None) -> int:
    """Return the number of images of a command, before its model is loaded.

    Args:
        file: the file that it begins from; None: there is none.
        seed: the seed that it is given; None: the file's are used.
    """
    if file is None:
        return 1
    with about(file):
        scene, _ = read_file(file)
    # All photographs of a batch get the same seed.
    return 1 if seed is not None and scene.photograph is None else len(scene.seeds)


def open_file(file: Path, pipeline: Any) -> EditSession:
    """Return the session of an image, or of a session's file and the edits in its journal."""
    from ..session import EditSession

    begin = EditSession.from_image if is_image(file) else EditSession.recover
    with about(file):
        return begin(file, pipeline)


def open_session(
    file: Path | None,
    scene: SceneOptions,
    pipeline: Any,
    settings: Recommended,
    on_call: OnCall,
) -> EditSession:
    """Return the session of a file with another scene, of a photograph, or a new one.

    Args:
        file: a session's file or an image; None: there is none.
        scene: what was given; it changes the file's scene.
        pipeline: the pipeline of the session.
        settings: what suits the pipeline, for what was not given.
        on_call: called while a photograph is inverted.
    """
    from ..session import EditSession

    given = scene.given()
    callback = watch(on_call)
    if file is not None:
        session = open_file(file, pipeline)
        if not given:
            return session
        with as_options():
            return session.another(**given, callback_on_step_end=callback)
    with as_options():
        if scene.photo is not None:
            return EditSession.from_photo(
                scene.photo, pipeline, callback_on_step_end=callback, **given
            )
        defaults = {
            "prompt": settings.prompt,
            "seed": settings.seed,
            "guidance_scale": settings.guidance_scale,
        }
        return EditSession(pipeline, **{**defaults, **given})


def watch(on_call: OnCall) -> Callable[..., None]:
    """Return a callback for renders that counts model calls."""
    return lambda session, call, *_: on_call(call + 1, session.num_calls)


def apply_edits(session: EditSession, edits: EditOptions, settings: Recommended) -> None:
    """Make edits, each of which is an entry of the history.

    Args:
        session: the session.
        edits: the edits.
        settings: the recommended settings of concepts.

    Raises:
        SegaSessionError: an edit is refused; the message names it.
    """
    for name in edits.remove or ():
        with _of_option(f"--remove {name}"):
            _remove(session, name, settings)
    for one in edits.add or ():
        with _of_option(f"--add {one.text}"):
            prompt, arguments = _addition(session, one, settings)
            session.add(prompt, **arguments)
    for setting in edits.set or ():
        with _of_option(f"--set {setting.text}"):
            if setting.concept is not None:
                session.update(setting.concept, **{setting.field: setting.value})
            else:
                session.momentum(**{setting.field.removeprefix("momentum_"): setting.value})


def _addition(
    session: EditSession, one: Addition, settings: Recommended
) -> tuple[str, dict[str, Any]]:
    """Return the arguments of `EditSession.add`."""
    preset = _find_preset(settings, one.name, one.opposite)
    arguments: dict[str, Any] = {"opposite": one.opposite}
    if preset is not None:
        arguments = preset.arguments(session.num_calls)
    if one.scale is not None:
        away = one.scale < 0 or arguments.get("inverted", False)
        arguments |= {"scale": abs(one.scale), "inverted": away}
    return one.name, arguments


def _find_preset(settings: Recommended, name: str, opposite: str | None) -> Preset | None:
    """Return the recommended settings of a concept; None: nothing is recommended for it.

    Args:
        settings: the checkpoint's recommendations.
        name: the concept's words.
        opposite: the words that it is measured against; None: any, and rather none.
    """
    tables = (settings.concepts, settings.removals, settings.opposites)
    found = [table[name] for table in tables if name in table]
    return next((one for one in found if opposite in (None, one.opposite)), None)


def _remove(session: EditSession, name: str, settings: Recommended) -> None:
    try:
        session.remove(name)
    except UnknownConceptError as error:
        absent = [words for words, one in settings.removals.items() if one.opposite == name]
        if not absent:
            raise
        raise SegaSessionError(
            f"the edits have no concept {name!r}. To remove what the image itself shows: "
            f"--add {absent[0]!r}."
        ) from error


@contextmanager
def _of_option(option: str) -> Iterator[None]:
    """Raise errors with the option that they are about."""
    try:
        yield
    except SegaSessionError as error:
        raise SegaSessionError(f"{option}: {error}") from error
