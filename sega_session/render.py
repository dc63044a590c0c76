"""From an edit state to a picture, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from attrs import field, frozen
from torch import Tensor

from .engine.denoise import Denoised, Job, OnStep, denoise
from .engine.estimates import Recording
from .engine.planning import planned_evaluations
from .engine.predictions import BatchPlan, PredictionSource, memory_for
from .engine.store import TrajectoryStore
from .engine.walk import Walk
from .errors import InvalidValueError
from .files import file_errors
from .models import Denoiser, ImageType, OutputType, inputs
from .models.fingerprint import model_of
from .saving.png import Provenance, png_text
from .sega.guider import Branches, semantic_guidance
from .sega.recipe import Recipe, make_recipe
from .sega.trajectory import LATENTS, Key, estimated_key, latent_keys
from .state.edits import EditState, Scene
from .state.modes import Exact, Mode


@frozen(eq=False)
class Render:
    """A finished picture, how it was made, and what it cost.

    Attributes:
        images: one an edited seed, in the `output_type` that was asked for.
        latents: the final latents, ``(batch, channels, height / factor, width / factor)``, on the
            session's device.
        evaluations: branch-steps evaluated by this render: one branch of one model call for one
            image each. 0 where everything was recorded before.
        mode: how it was made, in words: "exact", "anchored(every=5)", "replay" or "preview".
        exact: SEGA as computed from scratch; nothing was estimated or replayed.
        error_estimate: for each image the estimated distance of the latents from the exact ones,
            root mean square, where a latent's own spread is about 1; good for ranking, and most
            often within a factor of 3. None for exact pictures, for a replay, and for an edit
            so late that no estimate met a prediction.
        state: what was drawn.
        before: the exact render's state that estimates and replays started from; where `exact`,
            the one before it. None for a session's first.
        nsfw_content_detected: the pipeline's safety checker's verdict for each image, or None.
        provenance: says what made it, as `save` writes it into files; it takes seconds the first
            time, since the model's weights are read for their digest.
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
        """Write the images to PNG files, with what made them: `EditSession.from_image` reads it.

        Args:
            path: "smile.png"; of several images, each gets a number: "smile-0.png".
            metadata: False writes the pixels alone.

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


def watch(owner: object, bar: Any, callback: StepCallback | None) -> OnStep:
    """Move the bar, and show ``callback`` a copy of the latents as diffusers' pipelines would.

    Raises:
        InvalidValueError: ``callback`` cannot be called, or (when it is) gives other latents.
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
                "A state has one picture; for other latents start a session with latents=.",
            )

    return on_step


class Renderer:
    """Draws the edit states of one scene, taking no prediction twice.

    Args:
        noise: the initial latents that the user gave, or None to draw them from the seeds.
        calls: model calls of a render.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        scene: Scene,
        shape: inputs.Shape,
        noise: Tensor | None,
        branches: Branches,
        store: TrajectoryStore,
        batch_plan: BatchPlan,
        calls: int,
    ) -> None:
        self.store = store
        self.noise = noise
        self.branches = branches
        self.batch_plan = batch_plan
        self._denoiser = denoiser
        self._scene = scene
        self._shape = shape
        self._calls = calls

    def initial_latents(self) -> Tensor:
        """What renders start from, before the scheduler scales it."""
        if self.noise is not None:
            return self.noise
        return inputs.draw_noise(self._denoiser, self._shape, inputs.generators(self._scene))

    def plan(self, state: EditState, mode: Mode, before: EditState | None) -> int:
        """How many evaluations `render` would take now; see `Render.evaluations`."""
        recipe = make_recipe(state, self._calls)
        keys = latent_keys(recipe)
        recording = self._recording(before) if before else None
        if recording is not None and not recording.complete:
            recording = None
        images = len(self._scene.seeds)
        return images * planned_evaluations(
            recipe, keys, self.branches, self.store, mode, recording
        )

    @torch.no_grad()
    def render(
        self,
        state: EditState,
        mode: Mode,
        before: EditState | None,
        output_type: OutputType,
        watched: Callable[[Any], OnStep],
    ) -> Render:
        """Draw a state.

        Args:
            before: the state whose recorded render modes other than exact start from. Where it
                is not recorded, or the state itself is, the picture is exact.
            watched: makes of a progress bar what is called at every step.

        Raises:
            NotFiniteError: the latents overflowed.
            OutOfMemoryError: there is no memory for one branch of one image.
        """
        recipe = make_recipe(state, self._calls)
        keys = latent_keys(recipe)
        source = PredictionSource(
            self._denoiser, self.branches.conditionings, self.store, self.batch_plan
        )
        with self._denoiser.progress_bar(self._calls) as bar:
            on_step = watched(bar)
            done = self._final(keys[-1])
            if done is None:
                recording = None
                if before and not isinstance(mode, Exact):
                    recording = self._recording(before).loaded()
                if recording is None:
                    mode = Exact()
                self._begin(keys[-1], mode, recording)
                job = Job(self._walk(recipe), keys, source, on_step)
                done = denoise(job, mode, recording)
            bar.update(self._calls - bar.n)
        inputs.check_finite(done.latents)
        with memory_for("the picture's decoding", done.latents.device):
            decoded = self._denoiser.decode(done.latents, output_type)
        return Render(
            images=decoded.images,
            latents=done.latents,
            evaluations=source.evaluations,
            mode=str(Exact() if done.exact else mode),
            exact=done.exact,
            error_estimate=None if done.error is None else tuple(done.error.tolist()),
            state=state,
            before=before,
            provenance=partial(self._provenance, state, str(Exact() if done.exact else mode)),
            nsfw_content_detected=decoded.nsfw_content_detected,
        )

    @torch.no_grad()
    def guidance(self, state: EditState, part: EditState) -> list[Tensor]:
        """What ``part`` of a recorded state adds to the guidance at each call.

        The whole state's includes the guidance that the session was given.

        Raises:
            InvalidValueError: the budget does not hold the whole render any more.
        """
        recording = self._recording(state).loaded()
        if recording is None:
            raise InvalidValueError(
                "cache_bytes",
                self.store.max_bytes,
                "enough for all predictions of this render, and of those drawn since",
                "Start a session with more, and render() there.",
            )
        taken = (recording.predictions(call) for call in range(self._calls))
        guidance = list(semantic_guidance(make_recipe(part, self._calls), self.branches, taken))
        given = self.branches.sem_guidance
        if part is state and given is not None:
            guidance = [one + other for one, other in zip(guidance, given, strict=False)]
        return guidance

    def _provenance(self, state: EditState, mode: str) -> Provenance:
        model = model_of(self._denoiser)
        given = (("latents", self.noise), ("sem_guidance", self.branches.sem_guidance))
        return Provenance(
            scene=self._scene,
            state=state,
            mode=mode,
            sampler=model.sampler,
            model=model.digest,
            given=tuple(name for name, tensor in given if tensor is not None),
        )

    def _final(self, key: str) -> Denoised | None:
        """The exact picture, if it is recorded."""
        latents = self.store.get(Key(key, LATENTS))
        if latents is None:
            return None
        self.store.hits += 1
        self.store.begin(key)
        return Denoised(latents.clone(), exact=True)

    def _recording(self, state: EditState) -> Recording:
        """The state's render, as far as it is recorded."""
        recipe = make_recipe(state, self._calls)
        return Recording(recipe, latent_keys(recipe), self.branches, self.store)

    def _begin(self, key: str, mode: Mode, recording: Recording | None) -> None:
        """Open the trajectory; what it starts from and the unedited picture's stay."""
        kept = [latent_keys(make_recipe(EditState(), self._calls))[-1]]
        if recording:
            kept.append(recording.keys[-1])
            key = estimated_key(key, recording.keys[-1], str(mode))
        self.store.begin(key, kept)

    def _walk(self, recipe: Recipe) -> Walk:
        scheduler, start, arguments = inputs.start(
            self._denoiser, self._scene, self._shape, self.noise
        )
        return Walk(scheduler, start, recipe, self.branches, arguments)
