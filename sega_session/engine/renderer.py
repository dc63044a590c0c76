"""`Renderer`: renders the images of an edit state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from attrs import field, frozen
from torch import Tensor
from tqdm import tqdm

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
from ..sega import Guider, Key, Trajectory, semantic_guidance
from ..state import BatchPlan, EditState, Exact, Mode, Pixels
from .conditionings import Conditionings
from .exact import plan_exact, run_exact
from .inversion import draw_latents, find_residuals
from .job import Denoised, Job, OnStep, Strategy, at_latents, wanted
from .masks import Masks
from .photograph import Inversion, Photograph
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
class Task:
    """A render that is about to begin.

    Attributes:
        target: what it renders.
        recording: the render that it starts from; for an exact one, its own.
        mode: the mode that is possible.
        kept: the tensors that stay recorded while it runs, in reverse order of later eviction.
        planned: the evaluations to come; for a tolerance, an upper bound.
    """

    target: Trajectory
    recording: Recording
    mode: Mode
    kept: tuple[Key, ...]
    planned: int


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
        masks: those that states name.
        store: recorded latents and predictions.
        batch_plan: the batching of conditions.
        first: the first call that edits may change.
        photograph: what renders begin from, inverted; None: they begin from noise.
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
    masks: Masks
    store: TrajectoryStore
    batch_plan: BatchPlan
    first: int = 0
    photograph: Photograph | None = None
    rendered: set[EditState] = field(factory=set)

    @property
    def calls(self) -> int:
        """Model calls of a render."""
        return self.sampler.calls

    @property
    def inversion(self) -> Inversion | None:
        """The inversion of the photographs that renders begin from."""
        return None if self.photograph is None else self.photograph.inversion

    def initial_noise(self) -> Tensor:
        """Return the noise that renders start from, before the sampler scales it."""
        if self.noise is not None:
            return self.noise
        return draw_noise(self.spec, self.seeds, self.shape)

    def trajectory(self, state: EditState) -> Trajectory:
        """Return the trajectory of a state: the recipe and the names of each call."""
        return Trajectory.of(state, self.calls, self.first)

    def plan(self, state: EditState, mode: Mode, reference: EditState | None) -> int:
        """Count the evaluations of a render before it runs; for a tolerance, an upper bound.

        What the render finds recorded when it begins stays recorded while it runs, so that no
        eviction adds to them.

        Args: as for `render`.
        """
        return self._prepare(state, mode, reference).planned

    @torch.no_grad()
    def render(
        self,
        state: EditState,
        mode: Mode,
        reference: EditState | None,
        output_type: OutputType,
        watch: Callable[[Any], OnStep],
        *,
        progress: bool = True,
    ) -> Rendered:
        """Render a state.

        Args:
            state: the state to render.
            mode: the mode to use if possible.
            reference: the state whose recorded render all modes except exact start from. If it
                is not recorded, or ``state`` itself is, the images are exact.
            output_type: the type of the images.
            watch: given a progress bar, returns the function to call at every step.
            progress: False hides the progress bar.

        Raises:
            NotFiniteError: the latents overflowed.
            OutOfMemoryError: the memory does not suffice for one condition of one image.
        """
        task = self._prepare(state, mode, reference)
        with self._progress_bar(task, shown=progress) as bar:
            done, evaluations = self._denoise(task, watch(bar))
        check_finite("latents", done.latents)
        if done.exact:
            self.rendered.add(state)
        with memory_for("the images' decoding", done.latents.device):
            decoded = self.model.decode(done.latents, output_type)
        mode = Exact() if done.exact else task.mode
        return Rendered(decoded, done.latents, mode, done.exact, done.error, evaluations)

    @torch.no_grad()
    def invert(self, pixels: Pixels, watch: Callable[[Any], OnStep]) -> tuple[Inversion, int]:
        """Invert photographs. The unedited render is recorded by it.

        Args:
            pixels: 8-bit, ``(images, height, width, 3)``.
            watch: given a progress bar, returns the function to call for every model call.

        Returns:
            The inversion, and the evaluations.

        Raises:
            NotFiniteError: the photographs' latents overflowed.
            OutOfMemoryError: the memory does not suffice for one condition of one image.
            UnsupportedPipelineError: the model does not encode images.
        """
        target = self.trajectory(EditState())
        shown = torch.from_numpy(pixels.copy()).to(self.spec.device).permute(0, 3, 1, 2)
        with memory_for("the photographs' encoding", self.spec.device):
            image = self.model.encode_image(shown.float() / 255)
        origin = start_from(self.spec, self.seeds, self.shape, self.noise)
        latents = draw_latents(image, self.sampler, origin)
        with (
            self.model.progress_bar(self.calls) as bar,
            self.store.record(target.names[-1]) as recorder,
        ):
            source = self._source(recorder)
            residuals = find_residuals(Job(self._walk(target), source, watch(bar)), latents)
        check_finite("latents", residuals)
        self.rendered.add(EditState())
        return Inversion(target.names, latents, residuals), source.evaluations

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
        recording = self._recorded(state)
        predictions = (recording.predictions(call) for call in range(self.calls))
        recipe = self.trajectory(part).recipe
        guidance = list(semantic_guidance(recipe, self.guider, predictions))
        given = self.guider.sem_guidance
        if part is state and given is not None:
            guidance = [one + other for one, other in zip(guidance, given, strict=False)]
        return guidance

    @torch.no_grad()
    def expected_guidance(
        self, state: EditState, part: EditState, at: Sequence[int]
    ) -> tuple[list[Tensor], int]:
        """Return the guidance that a state's concepts would add to another state's render.

        Args:
            state: a state whose exact render is recorded.
            part: a state of concepts that need not be in it, without momentum.
            at: the model calls to evaluate; their predictions are evaluated together.

        Returns:
            The guidance at each of the calls, and the evaluations.

        Raises: as `guidance` does.
        """
        recording = self._recorded(state)
        steps = self.trajectory(part).recipe.steps
        target = recording.trajectory
        with self.store.record(target.names[-1], list(recording.keys())) as recorder:
            source = self._source(recorder)
            walk = self._walk(target, self._unedited(source) if target.is_confined else ())
            requests = []
            while walk.call < walk.calls:
                if walk.call in at:
                    conditions = self.guider.needed(steps[walk.call])
                    requests += wanted(walk, target.names[walk.call], conditions)
                walk.advance(recording.predictions(walk.call))
            found = source.evaluate(requests)
        guidance = [
            self.guider.semantic(at_latents(found, target.names[call]), steps[call].applied)
            for call in at
        ]
        return guidance, source.evaluations

    def _prepare(self, state: EditState, mode: Mode, reference: EditState | None) -> Task:
        """Return what a render will do, given what is recorded now."""
        target, own = self.trajectory(state), self._recording(state)
        if self._photographed(target) is not None or target.final in self.store:
            return Task(target, own, Exact(), tuple(own.keys()), planned=0)
        # Not evicted meanwhile: the unedited render, the one that this one starts from, and what
        # this one will find recorded.
        base = self._recording(EditState())
        kept = list(base.keys()) if base.trajectory.final in self.store else []
        recording = own if reference is None else self._recording(reference)
        if reference is None or mode == Exact() or not recording.is_complete(self.store):
            mode, recording = Exact(), own
        else:
            kept += recording.keys()
        keys = list(self._strategy(mode).plan(target, recording))
        if target.is_confined and not self._has_unedited(base.trajectory):
            before = plan_exact(base.trajectory, self.guider, self.calls)
            keys = list(dict.fromkeys([*before, *keys]))
        planned = len(self.seeds) * sum(key not in self.store for key in keys)
        return Task(target, recording, mode, (*kept, *keys), planned)

    def _denoise(self, task: Task, on_step: OnStep) -> tuple[Denoised, int]:
        """Return the final latents, and the evaluations."""
        target, recording = task.target, task.recording
        final = target.names[-1]
        if task.mode != Exact():
            final = recording.estimated_from(final, str(task.mode))
            recording = recording.load(self.store)
        with self.store.record(final, task.kept) as recorder:
            known = self._photographed(target)
            if known is None:
                known = recorder.find([target.final]).get(target.final)
            if known is not None:
                return Denoised(known.clone(), exact=True), 0
            source = self._source(recorder)
            unedited = self._unedited(source) if target.is_confined else ()
            job = Job(self._walk(target, unedited), source, on_step)
            job.record()
            done = self._strategy(task.mode).run(job, recording)
            return done, job.source.evaluations

    def _progress_bar(self, task: Task, *, shown: bool) -> AbstractContextManager[Any]:
        """Return the model's bar, or a hidden one, as where there is nothing to wait for."""
        silent: AbstractContextManager[Any] = tqdm(total=self.calls, disable=True)
        return self.model.progress_bar(self.calls) if shown and task.planned else silent

    def _strategy(self, mode: Mode) -> Strategy:
        return strategy_of(mode, self.sampler.signal_and_noise)

    def _walk(self, target: Trajectory, unedited: Sequence[Tensor] | Tensor = ()) -> Walk:
        run = self.sampler.start(start_from(self.spec, self.seeds, self.shape, self.noise))
        return Walk(run, target, self.guider, self.model, unedited, self.inversion)

    def _source(self, recorder: Recorder) -> PredictionSource:
        return PredictionSource(self.model, self.conditionings, recorder, self.batch_plan)

    def _photographed(self, target: Trajectory) -> Tensor | None:
        """Return the photographs' own latents if a trajectory ends at them, else None."""
        inversion = self.inversion
        if inversion is None or target.names[-1] != inversion.names[-1]:
            return None
        return inversion.latents[-1]

    def _has_unedited(self, trajectory: Trajectory) -> bool:
        """Return whether all latents of the unedited trajectory are at hand."""
        return self.inversion is not None or all(
            key in self.store for key in trajectory.all_latents()
        )

    def _unedited(self, source: PredictionSource) -> Sequence[Tensor] | Tensor:
        """Return the latents of the unedited render; evaluate it if they are not recorded."""
        if self.inversion is not None:
            return self.inversion.latents
        trajectory = self.trajectory(EditState())
        if self._has_unedited(trajectory):
            return list(source.recorder.find(trajectory.all_latents()).values())
        walk = self._walk(trajectory)
        latents = [walk.latents]
        job = Job(walk, source, lambda call, timestep, after: latents.append(after))
        job.record()
        run_exact(job, self.calls)
        self.rendered.add(EditState())
        return latents

    def _recorded(self, state: EditState) -> Recording:
        """Return a state's complete recording. Raises InvalidValueError."""
        recording = self._recording(state)
        if not recording.is_complete(self.store):
            raise InvalidValueError(
                "cache_bytes",
                self.store.info.max_bytes,
                "enough for all predictions of this render, and of those rendered since",
                "Start a session with more, or with spill_bytes=, and render() there.",
            )
        return recording.load(self.store)

    def _recording(self, state: EditState) -> Recording:
        """Return the names of a state's render, recorded or not."""
        return Recording(self.trajectory(state), self.guider)
