"""`Render`: finished images, what made them, and what they cost."""

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
from .saving import Provenance, png_text
from .state import EditState


@frozen(eq=False)
class Render:
    """A finished batch of images, how it was made, and what it cost.

    Attributes:
        images: one an edited seed, in the `output_type` that was asked for.
        latents: the final latents, ``(images, channels, height / factor, width / factor)``, on the
            session's device.
        evaluations: what this render evaluated: one condition (the prompt, the empty prompt or one
            concept) of one model call for one image each. 0 where all was recorded before.
        mode: how it was made, in words: "exact", "anchored(every=5)", "replay" or "preview".
        exact: SEGA as computed from scratch; nothing was estimated or replayed.
        error_estimate: for each image the estimated distance of the latents from the exact ones,
            root mean square, where a latent's own spread is about 1; good for ranking, and most
            often within a factor of 3. None for exact images, for a replay, and for an edit so
            late that no estimate met a prediction.
        state: what was rendered.
        before: the state whose exact render estimates and replays started from; where `exact`, the
            state of the exact render before it. None for a session's first.
        nsfw_content_detected: the pipeline's safety checker's verdict on each image, or None.
        provenance: returns what made it, as `save` writes it into files. The first call takes
            seconds, since the model's weights are read for their digest.
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
        """Write the images to PNG files that say what made them; see `EditSession.from_image`.

        Args:
            path: "smile.png"; each of several images gets a number: "smile-0.png".
            metadata: False writes the pixels alone.

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
        several = len(self.images) > 1
        written = []
        for index, image in enumerate(self.images):
            target = path.with_stem(f"{path.stem}-{index}") if several else path
            text = png_text(self.provenance(), index) if metadata else None
            with file_errors(target, "cannot be written"):
                image.save(target, pnginfo=text)
            written.append(target)
        return tuple(written)


StepCallback = Callable[[Any, int, Tensor, dict[str, Tensor]], "dict[str, Tensor] | None"]
"""``callback(session, call, timestep, {"latents": latents})``, as diffusers' pipelines call it."""


def watch_steps(owner: object, bar: Any, callback: StepCallback | None) -> OnStep:
    """Return a function that moves the bar and shows ``callback`` a copy of the latents.

    Raises:
        InvalidValueError: ``callback`` cannot be called, or (when it is) returns other latents.
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
