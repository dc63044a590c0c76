"""The bar on top of a panel: prompt, seed and settings of its image, and photographs."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Event, Thread
from typing import Any

from anywidget import AnyWidget
from attrs import Factory, frozen
from traitlets import Bool, Dict, Float, Int, Unicode

from sega_session import (
    EditSession,
    InvalidValueError,
    ModelMismatchError,
    SegaSessionError,
    SegaSessionWarning,
    SessionFormatError,
)
from sega_session.errors import redirect_warnings, warn_caller
from sega_session.render import StepCallback
from sega_session.saving import read_provenance
from sega_session.session import Carried

from .component import Handler, handle_messages
from .front_end import script, style
from .guard import Guard

Alone = Callable[[], AbstractContextManager[object]]
"""A function that returns a block in which nothing else uses the pipeline."""

Make = Callable[[StepCallback], EditSession]
"""A function that begins a session, and passes its argument as ``callback_on_step_end``."""

MAX_BYTES = 50 * 2**20
"""The size of the largest photograph file."""

SHORT_SEEDS = 1_000_000
"""Seeds that a panel draws are below this, so that they are short to read."""

OTHER_MODEL = "{} was made with another model, so it was opened as a photograph."

NOT_CARRIED = (
    "{} was made with a photograph, a mask or embeddings, which are not in it, so it was opened as "
    "a photograph. The session's own file has all of them."
)

LABELS = {
    "guidance_scale": "The guidance scale",
    "height": "The height",
    "num_inference_steps": "The number of steps",
    "prompt": "The prompt",
    "seed": "The seed",
    "the number of seeds": "The number of seeds",
    "width": "The width",
}
"""The panel's names of a scene's fields."""


def new_seeds(count: int) -> tuple[int, ...]:
    """Return different random seeds that are short to read."""
    seeds: dict[int, None] = {}
    while len(seeds) < count:
        seeds[secrets.randbelow(SHORT_SEEDS)] = None
    return tuple(seeds)


class SceneBar(AnyWidget):
    """The fields of a session's scene, and buttons that begin sessions.

    A new session begins on a thread of its own, since a photograph is inverted first.

    Args:
        session: the session whose scene is shown.
        guard: the guard of the panel.
        begin: continues with a new session.
        explore: opens the explorer; None: there is no button for it.
        alone: entered while a session begins; a panel stops rendering inside.
    """

    _esm = script("scene")
    _css = style("scene")
    scene = Dict().tag(sync=True)
    edited = Bool().tag(sync=True)
    explores = Bool().tag(sync=True)
    busy = Unicode().tag(sync=True)
    progress = Float().tag(sync=True)
    max_bytes = Int(MAX_BYTES).tag(sync=True)

    def __init__(
        self,
        session: EditSession,
        guard: Guard,
        begin: Callable[[EditSession], object],
        *,
        explore: Callable[[], object] | None = None,
        alone: Alone = nullcontext,
    ) -> None:
        super().__init__(explores=explore is not None)
        self._session = session
        self._guard = guard
        self._begin = begin
        self._alone = alone
        self._upload = _Upload("", 0)
        self._cancelled = Event()
        self._thread: Thread | None = None
        self._explore = explore
        handlers: dict[str, Handler] = {
            "generate": self._generate,
            "draw": self._draw,
            "photo": self._begin_upload,
            "part": self._add_part,
            "cancel": self._cancelled.set,
            "explore": self.explore,
        }
        handle_messages(self, guard, handlers)
        self.refresh()

    def refresh(self) -> None:
        """Show the session's scene, and whether it has edits."""
        session = self._session
        scene, (height, width) = session.scene, session.size
        self.scene = {
            "prompt": scene.prompt,
            "negative": scene.negative_prompt,
            "seeds": ", ".join(map(str, scene.seeds)),
            "steps": f"{scene.num_inference_steps}",
            "guidance": f"{scene.guidance_scale:.10g}",
            "width": f"{width}",
            "height": f"{height}",
            "factor": height // session.latents_shape[2],
            "photograph": scene.photograph is not None,
        }
        self.edited = bool(session.concepts)

    def explore(self) -> None:
        """Open the explorer, if there is one."""
        if self._explore is not None:
            self._explore()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until a session has begun, or was refused; return False if the time was up."""
        if self._thread is not None:
            self._thread.join(timeout)
            return not self._thread.is_alive()
        return True

    def close(self) -> None:
        """Cancel what is being begun, and close the widget."""
        self._cancelled.set()
        super().close()

    def _generate(self, *, seeds: str, **fields: Any) -> None:
        """Begin a session of the values in the fields."""
        self._begin_another(_parse_seeds(seeds), **fields)

    def _draw(self, *, seeds: str, **fields: Any) -> None:
        """Begin a session of the values in the fields, but of as many new seeds."""
        self._begin_another(new_seeds(len(seeds.split(","))), **fields)

    def _begin_another(
        self,
        seeds: tuple[int, ...],
        *,
        prompt: str,
        negative: str,
        steps: str,
        guidance: str,
        width: str,
        height: str,
        keep: bool,
    ) -> None:
        session = self._session
        size = _whole("height", height), _whole("width", width)
        settings: dict[str, Any] = {
            "prompt": prompt,
            "negative_prompt": negative,
            "seed": seeds[0] if len(seeds) == 1 else seeds,
            "num_inference_steps": _whole("num_inference_steps", steps),
            "guidance_scale": _number("guidance_scale", guidance),
        }
        if size != session.size:
            if keep and session.state.masks:
                raise SegaSessionError(
                    "The edits have masks, which fit this size only. Keep the size, remove the "
                    "masks, or turn off Keep edits."
                )
            settings |= {"height": size[0], "width": size[1]}
        edits: Carried = "state" if keep else "none"
        text = "Generating" if session.scene.photograph is None else "Reading the photograph"
        self._start(
            text,
            lambda on_step: session.another(edits=edits, callback_on_step_end=on_step, **settings),
        )

    def _begin_upload(self, *, name: str, size: int) -> None:
        """Prepare for the parts of a file. Raises SegaSessionError if it is too large."""
        if size > MAX_BYTES:
            raise SegaSessionError(
                f"{name} has {size / 2**20:.0f} MB, and a photograph can have up to "
                f"{MAX_BYTES / 2**20:.0f}. Save it smaller, for example as JPEG."
            )
        self._upload = _Upload(name, size)

    def _add_part(self, *, buffers: list[memoryview]) -> None:
        """Add a part of a file; with the last one, begin a session of it."""
        upload = self._upload
        for one in buffers:
            upload.content.extend(one)
        if len(upload.content) >= upload.size:
            self._upload = _Upload("", 0)
            self._start("Reading the photograph", lambda on_step: self._open(upload, on_step))

    def _open(self, upload: _Upload, on_step: StepCallback) -> EditSession:
        """Begin a session of an image file: continue one of our own, or invert a photograph."""
        session = self._session
        pipeline, cache, scene = session.pipeline, session.cache, session.scene
        budgets: Any = {
            "cache_bytes": cache.max_bytes,
            "spill_bytes": cache.max_spilled_bytes,
            "batch_plan": session.batch_plan,
        }
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"photograph{Path(upload.name).suffix}")
            path.write_bytes(upload.content)
            if _is_own(path):
                try:
                    return EditSession.from_image(path, pipeline, **budgets)
                except ModelMismatchError:
                    warn_caller(OTHER_MODEL.format(upload.name), SegaSessionWarning)
                except SessionFormatError:
                    warn_caller(NOT_CARRIED.format(upload.name), SegaSessionWarning)
            try:
                return EditSession.from_photo(
                    path,
                    pipeline,
                    num_inference_steps=scene.num_inference_steps,
                    height=scene.height,
                    width=scene.width,
                    clip_skip=scene.clip_skip,
                    eta=scene.eta,
                    callback_on_step_end=on_step,
                    **budgets,
                )
            except InvalidValueError as error:
                raise SegaSessionError(
                    f"{upload.name} cannot be used as a photograph; allowed: {error.allowed}. "
                    "Save it as PNG or JPEG, and try again."
                ) from error

    def _start(self, text: str, make: Make) -> None:
        """Begin a session on a thread, unless another is being begun."""
        if self.busy:
            return
        self._cancelled.clear()
        self.progress, self.busy = 0.0, text
        self._thread = Thread(target=self._work, args=(make,), name="sega-begin")
        self._thread.start()

    def _work(self, make: Make) -> None:
        """Begin a session, and continue with it; show errors and warnings."""
        heard: list[Warning] = []
        failure: Exception | None = None
        session: EditSession | None = None
        try:
            with self._alone(), redirect_warnings(heard.append):
                session = make(self._advance)
        except _CancelledError:
            pass
        except Exception as error:
            failure = error

        def finish() -> None:
            self.busy = ""
            if failure is not None:
                raise in_panel_words(failure)
            if session is not None:
                self.send({"kind": "reset"})
                self._begin(session)
            for one in heard:
                self._guard.messages.error(one)

        self._guard.run(finish)

    def _advance(self, session: Any, call: int, *_: Any) -> None:
        """Show the progress of an inversion. Raises _CancelledError to end it."""
        if self._cancelled.is_set():
            raise _CancelledError
        self.progress = (call + 1) / session.num_calls


@frozen
class _Upload:
    """A file that a page sends in parts."""

    name: str
    size: int
    content: bytearray = Factory(bytearray)


class _CancelledError(Exception):
    """The user cancelled what was being begun."""


def _is_own(path: Path) -> bool:
    """Return whether an image file says which session made it."""
    try:
        read_provenance(path)
    except SegaSessionError:
        return False
    return True


def _parse_seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(one) for one in text.split(","))
    except ValueError:
        raise SegaSessionError("The seed must be a whole number, or several with commas.") from None


def _whole(field: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SegaSessionError(f"{LABELS[field]} must be a whole number.") from None


def _number(field: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SegaSessionError(f"{LABELS[field]} must be a number.") from None


def in_panel_words(error: Exception) -> Exception:
    """Return an error about a scene's field as one that calls the field as the panel does."""
    if isinstance(error, InvalidValueError) and error.what in LABELS:
        return SegaSessionError(f"{LABELS[error.what]} must be {error.allowed}.")
    return error
