"""`Render`: finished images, their provenance, and their cost."""

from __future__ import annotations

import base64
import html
import io
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias
from weakref import ref

from attrs import Factory, frozen
from torch import Tensor

from .engine import OnStep
from .errors import InvalidValueError, ModelChangedError, SegaSessionError
from .files import file_errors
from .models import ImageType, ModelGlance, ModelIdentity, as_model, changes, glance, identify
from .saving import Provenance, image_paths, png_text
from .state import EditState, Scene
from .state.fields import check_path

MeasuredAgainst: TypeAlias = Literal["unconditional", "prompt"]
"""The prediction that concepts are measured against; see `Render.measured_against`."""

Quality: TypeAlias = Literal["exact", "close", "rough"]
"""A word for the distance of images from the exact ones; see `Render.quality`."""

ROUGH = 0.015
"""The error estimate from which on images are called rough; see benchmarks/NOTES.md."""

SHOWN = 320
"""The longer side in pixels, at most, of each image of a batch in a notebook."""


class ModelReference:
    """The model of a session, which it identifies without keeping it alive.

    A digest of gigabytes of weights takes seconds, so it is computed when it is first asked for,
    or when the reference is pickled. A pickled one holds the identity only.

    Args:
        pipeline: the pipeline or model that the session was given.
        begun: the model at a glance, as it rendered.
    """

    def __init__(self, pipeline: Any, begun: ModelGlance) -> None:
        self._pipeline: ref[Any] | None = ref(pipeline)
        self._begun = begun
        self._identity: ModelIdentity | None = None

    def identity(self) -> ModelIdentity:
        """Return the model's identity.

        Raises:
            InvalidValueError: the pipeline is gone, and was not identified before.
            ModelChangedError: it was changed, and not identified before.
            UnsupportedPipelineError: its weights are not in memory.
        """
        if self._identity is None:
            pipeline = None if self._pipeline is None else self._pipeline()
            if pipeline is None:
                raise InvalidValueError(
                    "metadata",
                    True,
                    "False, because the pipeline that made this render is gone and its weights "
                    "were not identified before",
                    "Save renders while their pipeline is there, or pass metadata=False.",
                )
            self._identity = self._identify(pipeline)
        return self._identity

    def prepare(self, pipeline: Any) -> None:
        """Identify the pipeline before it goes, unless it was changed or cannot be identified."""
        if self._identity is None:
            with suppress(SegaSessionError):
                self._identity = self._identify(pipeline)

    def _identify(self, pipeline: Any) -> ModelIdentity:
        model = as_model(pipeline)
        now = glance(model)
        if now != self._begun:
            raise ModelChangedError(changes(self._begun, now))
        return identify(model)

    def __getstate__(self) -> dict[str, Any]:
        # The images are worth keeping without it; `Render.save` says what is missing.
        with suppress(SegaSessionError):
            self.identity()
        return {"_pipeline": None, "_begun": {}, "_identity": self._identity}


@frozen(eq=False)
class MadeBy:
    """The session that made a render, in small values.

    Attributes:
        scene: the session's scene.
        given: the tensors that the session was given, see `Provenance.given`.
        model: identifies the session's model.
        measured_against: see `Render.measured_against`.
        token: tells sessions apart, and one session before and after its model changed.
    """

    scene: Scene
    given: tuple[str, ...]
    model: ModelReference
    measured_against: MeasuredAgainst
    token: str = Factory(lambda: secrets.token_hex(8))


@frozen(eq=False, repr=False)
class Render:
    """A finished batch of images, their provenance, and their cost.

    In a notebook it shows the images, their mode and their cost. It can be pickled, and keeps
    neither the session nor its pipeline alive.

    Attributes:
        images: one per seed, in the requested `output_type`.
        latents: the final latents, ``(images, channels, height / factor, width / factor)``, on the
            session's device.
        evaluations: the evaluations that this render made. Each is one condition (the prompt, the
            empty prompt or one concept) at one model call for one image. 0 if all were recorded.
        mode: the mode of the images, in words: "exact", "anchored(tolerance=0.1)", "replay" or
            "preview".
        exact: SEGA as computed from scratch: nothing was estimated or replayed.
        error_estimate: for each image the estimated distance of the latents from the exact ones,
            root mean square, where the latents' own spread is about 1. It ranks renders; in
            benchmarks/results/fidelity.csv 62% of the previews and 94% of the renders with a
            tolerance of 0.1 are within a factor of 4. See also `quality`. None for exact images,
            for a replay, and for an edit so late that no estimate could be compared with a
            prediction.
        state: the state that was rendered.
        before: the state whose exact render the estimates started from; if `exact`, the state of
            the exact render before. None for a session's first render.
        nsfw_content_detected: whether the pipeline's safety checker flagged each image; None: it
            has no checker.
        made_by: the session that made it.
    """

    images: ImageType
    latents: Tensor
    evaluations: int
    mode: str
    exact: bool
    error_estimate: tuple[float, ...] | None
    state: EditState
    before: EditState | None
    made_by: MadeBy
    nsfw_content_detected: list[bool] | None = None

    def __repr__(self) -> str:
        return f"<Render {self._summary()}>"

    def _repr_html_(self) -> str | None:
        """Return the images and a caption for notebooks; None unless they are PIL's."""
        if not isinstance(self.images, list):
            return None
        return html_figure(self.images, self.made_by.scene, self._summary())

    def _summary(self) -> str:
        """Return mode, quality, number and size of the images, and cost."""
        scene = self.made_by.scene
        images = _counted(len(self.latents), "image")
        return (
            f"{self.mode}{self._quality()}, {images} {scene.width}x{scene.height}, "
            f"{_counted(self.evaluations, 'evaluation')}"
        )

    def _quality(self) -> str:
        if self.exact:
            return ""
        if self.error_estimate is None:
            return ", approximate, error not estimated"
        word = "rough" if self.quality == "rough" else "approximate"
        return f", {word}, about {100 * max(self.error_estimate):.2g}% off"

    @property
    def quality(self) -> Quality | None:
        """A word for the distance of the images from the exact ones, derived from the estimates.

        "exact"; "rough" where an image's error estimate suggests that it is below 30 dB, so that
        an eye sees the difference from the exact image; else "close". None: no error was
        estimated.

        It is a guess. On the embedded model it finds 97% of the previews below 30 dB, and calls
        76% of the others rough too (benchmarks/results/fidelity.md, recommended settings). It
        finds few of the rare anchored renders below 30 dB, which became another face from an error
        too small to be measured; see benchmarks/NOTES.md.
        """
        if self.exact:
            return "exact"
        if self.error_estimate is None:
            return None
        return "rough" if max(self.error_estimate) >= ROUGH else "close"

    def provenance(self) -> Provenance:
        """Return the provenance that `save` writes into files.

        The first call reads the model's weights for their digest, which can take seconds.

        Raises:
            InvalidValueError: the pipeline is gone, and no call was made before.
            UnsupportedPipelineError: its weights are not in memory.
        """
        model = self.made_by.model.identity()
        return Provenance(
            scene=self.made_by.scene,
            state=self.state,
            mode=self.mode,
            sampler=model.sampler,
            model=model.digest,
            given=self.made_by.given,
        )

    @property
    def measured_against(self) -> MeasuredAgainst:
        """The definition of the concepts' directions, which is the model's.

        "unconditional": a concept's prediction is compared with the unconditional one, as in
        SEGA. "prompt": the model is guidance-distilled and has no unconditional prediction; a
        concept is stated in the prompt's context, "prompt, concept", and compared with the prompt
        alone. A concept with an opposite is compared with that, stated in the same way.
        """
        return self.made_by.measured_against

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
            InvalidValueError: the path does not end in .png, the images are not PIL's, or there
                is no metadata to write, because the pipeline is gone; see `provenance`.
            SessionFileError: a file cannot be written.
        """
        path = check_path("path", path)
        if path.suffix.lower() != ".png":
            raise InvalidValueError(
                "path", str(path), "a file name that ends in .png", "For others: image.save()."
            )
        if not isinstance(self.images, list):
            kind = type(self.images).__name__
            raise InvalidValueError("images", kind, "PIL images", 'Render with output_type="pil".')
        provenance = self.provenance() if metadata else None
        targets = image_paths(path, len(self.images))
        for index, (target, image) in enumerate(zip(targets, self.images, strict=True)):
            text = None if provenance is None else png_text(provenance, index)
            with file_errors(target, "cannot be written"):
                image.save(target, pnginfo=text)
        return targets


def html_figure(images: Sequence[Any], scene: Scene, caption: str) -> str:
    """Return images with a caption for notebooks; several are a grid, each with its seed.

    Args:
        images: of PIL. Several are shown with at most `SHOWN` pixels a side.
        scene: the scene that they show.
        caption: the text below.
    """
    alt = html.escape(scene.prompt)
    cells = []
    for image, seed in zip(images, scene.seeds, strict=True):
        shown = image.copy()
        label = ""
        if len(images) > 1:
            shown.thumbnail((SHOWN, SHOWN))
            label = f"<div>seed {seed}</div>"
        cells.append(f'<div><img alt="{alt}" src="{_data_url(shown)}">{label}</div>')
    grid = "display: flex; flex-wrap: wrap; gap: 8px; margin-bottom: 4px"
    return (
        f'<figure style="margin: 0"><div style="{grid}">{"".join(cells)}</div>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _data_url(image: Any) -> str:
    """Return an image as the address of a PNG file that contains itself."""
    file = io.BytesIO()
    image.save(file, format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


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
