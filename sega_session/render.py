"""`Render`: finished images, their provenance, and their cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import field, frozen
from torch import Tensor

from .engine import OnStep
from .errors import InvalidValueError
from .files import file_errors
from .models import ImageType
from .saving import Provenance, image_paths, png_text
from .state import EditState


@frozen(eq=False)
class Render:
    """A finished batch of images, their provenance, and their cost.

    Attributes:
        images: one per seed, in the requested `output_type`.
        latents: the final latents, ``(images, channels, height / factor, width / factor)``, on the
            session's device.
        evaluations: the evaluations that this render made. Each is one condition (the prompt, the
            empty prompt or one concept) at one model call for one image. 0 if all were recorded.
        mode: the mode of the images, in words: "exact", "anchored(every=5)", "replay" or "preview".
        exact: SEGA as computed from scratch: nothing was estimated or replayed.
        error_estimate: for each image the estimated distance of the latents from the exact ones,
            root mean square, where the latents' own spread is about 1. It ranks renders, and is
            usually within a factor of 3. None for exact images, for a replay, and for an edit so
            late that no estimate could be compared with a prediction.
        state: the state that was rendered.
        before: the state whose exact render the estimates started from; if `exact`, the state of
            the exact render before. None for a session's first render.
        nsfw_content_detected: whether the pipeline's safety checker flagged each image; None: it
            has no checker.
        provenance: returns the provenance that `save` writes into files. The first call reads the
            model's weights for their digest, which can take seconds.
    """

    images: ImageType
    latents: Tensor
    evaluations: int
    mode: str
    exact: bool
    error_estimate: tuple[float, ...] | None
    state: EditState
    before: EditState | None
    provenance: Callable[[], Provenance] = field(repr=False)
    nsfw_content_detected: list[bool] | None = None

    @property
    def image(self) -> Any:
        """The first image."""
        return self.images[0]

    def save(self, path: str | Path, *, metadata: bool = True) -> tuple[Path, ...]:
        """Write the images to PNG files with their provenance; see `EditSession.from_image`.

        Args:
            path: for example "smile.png"; several images get numbers: "smile-0.png".
            metadata: False writes the pixels only.

        Returns:
            The paths of the files.

        Raises:
            InvalidValueError: the path does not end in .png, or the images are not PIL's.
            SessionFileError: a file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise InvalidValueError(
                "path", str(path), "a file name that ends in .png", "For others: image.save()."
            )
        if not isinstance(self.images, list):
            kind = type(self.images).__name__
            raise InvalidValueError("images", kind, "PIL images", 'Render with output_type="pil".')
        targets = image_paths(path, len(self.images))
        for index, (target, image) in enumerate(zip(targets, self.images, strict=True)):
            text = png_text(self.provenance(), index) if metadata else None
            with file_errors(target, "cannot be written"):
                image.save(target, pnginfo=text)
        return targets


StepCallback = Callable[[Any, int, Tensor, dict[str, Tensor]], "dict[str, Tensor] | None"]
"""``callback(session, call, timestep, {"latents": latents})``, as diffusers' pipelines call it."""


def watch_steps(owner: object, bar: Any, callback: StepCallback | None) -> OnStep:
    """Return a function that advances the bar and calls ``callback`` with a copy of the latents.

    Raises:
        InvalidValueError: ``callback`` is not callable, or, when called, returns other latents.
    """
    if callback is not None and not callable(callback):
        raise InvalidValueError("callback_on_step_end", callback, "a function, or None")

    def on_step(call: int, timestep: Tensor, latents: Tensor) -> None:
        bar.update()
        if callback is None:
            return
        shown = latents.clone()
        given = {"latents": shown}
        returned = callback(owner, call, timestep, given)
        if not (returned is None or returned is given) or given["latents"] is not shown:
            raise InvalidValueError(
                "callback_on_step_end's result",
                type(returned).__name__,
                "None, or the dict it was given, as it was",
                "A state has one image; for other latents start a session with latents=.",
            )

    return on_step
