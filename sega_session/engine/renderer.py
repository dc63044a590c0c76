"""`Renderer`: renders the images of an edit state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from attrs import field, frozen
from torch import Tensor

from ..errors import InvalidValueError
from ..models import (
    Decoded,
    DiffusionModel,
    LatentsShape,
    ModelSpec,
    OutputType,
    Sampler,
    check_finite,
    draw_noise,
    start_from,
)
from ..sega import Guider, Trajectory, semantic_guidance
from ..state import BatchPlan, EditState, Exact, Mode
from .conditionings import Conditionings
from .job import Denoised, Job, OnStep
from .predictions import PredictionSource, memory_for
from .recording import Recording
from .store import Recorder, TrajectoryStore
from .strategies import strategy_of
from .walk import Walk


@frozen(eq=False)
class Rendered:
    """Finished images, how they were made, and what they cost.

    Attributes:
        decoded: the images.
        latents: the final latents.
        mode: the mode that made them; exact where nothing was estimated or replayed.
        exact: nothing was estimated or replayed.
        error: see `Denoised.error`.
        evaluations: conditions evaluated, see `Render.evaluations`.
    """

    decoded: Decoded
    latents: Tensor
    mode: Mode
    exact: bool
    error: Tensor | None
    evaluations: int


@frozen(eq=False)
class Renderer:
    """Renders the edit states of one scene, and evaluates no prediction twice.

    Attributes:
        model: evaluates and decodes.
        spec: of the model when the session began.
        sampler: goes from noise to latents.
        seeds: one per image.
        shape: of the latents.
        noise: initial noise that the user gave; None: it is drawn from the seeds.
        guider: turns predictions into guidance.
        conditionings: of every condition that states name.
        store: recorded latents and predictions.
        batch_plan: the batching of conditions.
        rendered: the states that were rendered exactly. Of any other, the store need not be asked.
    """

    model: DiffusionModel
    spec: ModelSpec
    sampler: Sampler
    seeds: tuple[int, ...]
    shape: LatentsShape
    noise: Tensor | None
    guider: Guider
    conditionings: Conditionings
    store: TrajectoryStore
    batch_plan: BatchPlan
    rendered: set[EditState] = field(factory=set)

    @property
    def calls(self) -> int:
        """Model calls of a render."""
        return self.sampler.calls

    def initial_noise(self) -> Tensor:
        """Return the noise that renders start from, before the sampler scales it."""
        if self.noise is not None:
            return self.noise
        return draw_noise(self.spec, self.seeds, self.shape)

    def trajectory(self, state: EditState) -> Trajectory:
        """Return the trajectory of a state: the recipe and the names of each call."""
        return Trajectory.of(state, self.calls)

    def plan(self, state: EditState, mode: Mode, reference: EditState | None) -> int:
        """Count the evaluations of a render before it runs; for a tolerance, an upper bound.

        Args: as for `render`.
        """
        target = self.trajectory(state)
        if target.final in self.store:
            return 0
        recording = self._recording(state if reference is None else reference)
        if reference is None or not recording.is_complete(self.store):
            mode = Exact()
        strategy = strategy_of(mode, self.sampler.signal_and_noise)
        keys = strategy.plan(target, recording)
        return len(self.seeds) * sum(key not in self.store for key in keys)

    @torch.no_grad()
    def render(
        self,
        state: EditState,
        mode: Mode,
        reference: EditState | None,
        output_type: OutputType,
        watch: Callable[[Any], OnStep],
    ) -> Rendered:
        """Render a state.

        Args:
            state: the state to render.
            mode: the mode to use if possible.
            reference: the state whose recorded render all modes except exact start from. If it
                is not recorded, or ``state`` itself is, the images are exact.
            output_type: the type of the images.
            watch: given a progress bar, returns the function to call at every step.

        Raises:
            NotFiniteError: the latents overflowed.
            OutOfMemoryError: the memory does not suffice for one condition of one image.
        """
        with self.model.progress_bar(self.calls) as bar:
            on_step = watch(bar)
            mode, done, evaluations = self._denoise(state, mode, reference, on_step)
            bar.update(self.calls - bar.n)
        check_finite("latents", done.latents)
        if done.exact:
            self.rendered.add(state)
        with memory_for("the images' decoding", done.latents.device):
            decoded = self.model.decode(done.latents, output_type)
        mode = Exact() if done.exact else mode
        return Rendered(decoded, done.latents, mode, done.exact, done.error, evaluations)

    @torch.no_grad()
    def guidance(self, state: EditState, part: EditState) -> list[Tensor]:
        """Return the guidance that ``part`` of a recorded state adds at each call.

        For the whole state it includes the guidance that the session was given.

        Args:
            state: a state whose exact render is recorded.
            part: the same state, or one of `edits.only`.

        Raises:
            InvalidValueError: a part of the render has been evicted.
        """
        recording = self._recording(state).load(self.store)
        if recording is None:
            raise InvalidValueError(
                "cache_bytes",
                self.store.info.max_bytes,
                "enough for all predictions of this render, and of those rendered since",
                "Start a session with more, and render() there.",
            )
        predictions = (recording.predictions(call) for call in range(self.calls))
        recipe = self.trajectory(part).recipe
        guidance = list(semantic_guidance(recipe, self.guider, predictions))
        given = self.guider.sem_guidance
        if part is state and given is not None:
            guidance = [one + other for one, other in zip(guidance, given, strict=False)]
        return guidance

    def _denoise(
        self, state: EditState, mode: Mode, reference: EditState | None, on_step: OnStep
    ) -> tuple[Mode, Denoised, int]:
        """Return the mode that was possible, the final latents, and the evaluations."""
        target = self.trajectory(state)
        if target.final in self.store:
            with self.store.record(target.names[-1]) as recorder:
                [latents] = recorder.find([target.final]).values()
                return mode, Denoised(latents.clone(), exact=True), 0
        recording = None
        if reference is not None and mode != Exact():
            recording = self._recording(reference).load(self.store)
        # Not evicted: the unedited render, and the one that this one starts from.
        kept = [self.trajectory(EditState()).names[-1]]
        if recording is None:
            mode, name, recording = Exact(), target.names[-1], self._recording(state)
        else:
            kept.append(recording.trajectory.names[-1])
            name = recording.estimated_from(target.names[-1], str(mode))
        with self.store.record(name, kept) as recorder:
            job = self._job(target, recorder, on_step)
            job.record()
            done = strategy_of(mode, self.sampler.signal_and_noise).run(job, recording)
            return mode, done, job.source.evaluations

    def _job(self, target: Trajectory, recorder: Recorder, on_step: OnStep) -> Job:
        run = self.sampler.start(start_from(self.spec, self.seeds, self.shape, self.noise))
        walk = Walk(run, target, self.guider, self.model)
        source = PredictionSource(self.model, self.conditionings, recorder, self.batch_plan)
        return Job(walk, source, on_step)

    def _recording(self, state: EditState) -> Recording:
        """Return the names of a state's render, recorded or not."""
        return Recording(self.trajectory(state), self.guider)
