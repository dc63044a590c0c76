"""`EditSession`: the thin mutable shell around frozen states and pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import RLock
from typing import Any, get_args

import torch
from torch import Tensor

from .engine.predictions import BatchPlan
from .engine.quality import Measurement, measure
from .engine.store import CacheInfo, TrajectoryStore, default_cache_bytes
from .errors import InvalidValueError
from .models import OutputType, denoiser_for, inputs
from .render import Render, Renderer, StepCallback, watch
from .scripts import Script, run_script, script_from_history
from .sega.equations import heat_map
from .sega.guider import UNCOND, Branches
from .sega.recipe import prompt_key
from .session_saving import Saving
from .state import MODES, EditState, Exact, Mode, Scene, as_mode
from .state.edits import only


class EditSession(Saving):
    """One picture (or a batch, one a seed) and the concepts that edit it.

    The session fixes the scene and the initial latents. Edits (`add`, `remove`, `reweight`,
    `invert`, `update`, `enable`, `disable`, `momentum`) only change `state`; `render` draws it,
    and takes no prediction twice: what was evaluated at the same latents before is reused. Every
    state stays in `history`, a tree to walk with `undo`, `redo`, `checkout` and `branch`.

    The pipeline is used as it is and never changed. Its models must not change during the session
    (LoRA weights, for example): recorded predictions would not be theirs any more.

    Renders may be asked for on any thread; they take turns. Edits may go on meanwhile, from one
    thread at a time: each replaces the state that it read.

    >>> session = EditSession(load_avatars(), "a portrait of a woman", seed=7)
    >>> session.add("glasses", scale=6, threshold=0.95)
    >>> session.render().image.show()

    Args:
        pipeline: a `diffusers.StableDiffusionPipeline` (Stable Diffusion 1.x and 2.x).
        prompt: what the picture shows. A prompt longer than the text encoder reads is sliced, as
            in `SemanticStableDiffusionPipeline`, and warned of.
        negative_prompt: replaces the empty text of the unconditional branch.
        seed: one integer, or several for a batch. Noise is drawn on the host, so that a seed
            gives the same noise on every device.
        num_inference_steps: the scheduler's steps, 1 or more.
        guidance_scale: classifier-free guidance, >= 0; values up to 1 turn it off, as in
            diffusers. Concepts apply all the same.
        height, width: pixels, multiples of the VAE's factor; None: what the U-Net was trained for.
        eta: DDIM's noise, 0 to 1; other schedulers ignore it.
        latents: initial noise, standard normal, ``(seeds, channels, height / factor,
            width / factor)``, instead of noise drawn from the seeds.
        sem_guidance: guidance recorded by diffusers' `SemanticStableDiffusionPipeline`, one
            tensor of the latents' shape a model call, added to every render.
        cache_bytes: how much memory recorded latents and predictions may take, on the pipeline's
            device. The least recently drawn renders leave first and are evaluated again when
            needed, never the unedited one or the current one. One branch of a 512-pixel image
            takes 32 KB a step in half precision. None: 1 GiB, on CUDA a quarter of the memory
            that is free now, between 256 MiB and 8 GiB.
        spill_bytes: how much host memory may hold what left the device; 0: none.
        batch_plan: "together" evaluates all branches of a call in one batch. "canonical" evaluates
            each in a batch of its own, so that a picture has the same bits whatever was drawn
            before it; slower where the device is not busy with one branch.

    Raises:
        UnsupportedPipelineError: the pipeline's class, or a model in it, cannot be edited.
        InvalidValueError: a value is outside its range; the message says which.
    """

    def __init__(
        self,
        pipeline: Any,
        prompt: str,
        *,
        negative_prompt: str = "",
        seed: int | Iterable[int] = 0,
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
        height: int | None = None,
        width: int | None = None,
        eta: float = 0.0,
        latents: Tensor | None = None,
        sem_guidance: Sequence[Tensor] | Tensor | None = None,
        cache_bytes: int | None = None,
        spill_bytes: int = 0,
        batch_plan: BatchPlan = "together",
    ) -> None:
        denoiser = denoiser_for(pipeline)
        default_height, default_width = denoiser.default_size() or (None, None)
        scene = Scene(
            prompt=prompt,
            negative_prompt=negative_prompt,
            seeds=seed,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            height=default_height if height is None else height,
            width=default_width if width is None else width,
            eta=eta,
        )
        self._shape = (len(scene.seeds), *denoiser.latents_shape(scene.height, scene.width))
        num_calls = len(denoiser.fresh_scheduler(scene.num_inference_steps).timesteps)
        noise = inputs.own_noise(latents, self._shape, denoiser)
        guidance = inputs.own_guidance(sem_guidance, num_calls, self._shape, denoiser)
        text = prompt_key(scene.prompt)
        conditionings = {
            UNCOND: denoiser.encode(scene.negative_prompt, negative=True),
            text: denoiser.encode(scene.prompt),
        }
        branches = Branches(conditionings, text, scene.guidance_scale, guidance)
        inputs.check_choice("batch_plan", batch_plan, get_args(BatchPlan))
        if cache_bytes is None:
            cache_bytes = default_cache_bytes(denoiser.device)
        store = TrajectoryStore(cache_bytes, spill_bytes)
        renderer = Renderer(
            denoiser, scene, self._shape, noise, branches, store, batch_plan, num_calls
        )
        super().__init__(denoiser, scene, num_calls, conditionings, renderer)
        # One render at a time: what is recorded belongs to the one that began last. A callback
        # may render, so its own thread is let in again.
        self._drawing = RLock()

    @property
    def latents_shape(self) -> tuple[int, int, int, int]:
        """Seeds, channels, height and width of the latents."""
        return self._shape

    @property
    def cache(self) -> CacheInfo:
        """What is recorded: bytes, trajectories, hits."""
        return self._renderer.store.info

    def plan(self, mode: str | Mode = "exact", *, state: EditState | None = None) -> int:
        """How many evaluations `render` would take now; see `Render.evaluations`.

        For ``anchored(tolerance=...)`` it is the most they can be. Raises InvalidValueError.
        """
        state = self.state if state is None else self._other(state)
        return self._renderer.plan(state, as_mode(mode), self._before)

    def render(
        self,
        mode: str | Mode = "exact",
        *,
        state: EditState | None = None,
        output_type: OutputType = "pil",
        callback_on_step_end: StepCallback | None = None,
    ) -> Render:
        """Draw the current state, or another.

        A U-Net's row changes in its last bits with the size of the batch it is in, so an exact
        render that reuses recorded predictions equals one from scratch up to that rounding, or,
        with ``batch_plan="canonical"``, to the last bit.

        The other modes start from the last exact render and take a part of the evaluations; what
        they miss is in benchmarks/results. Where there is no exact render to start from, or the
        state's own is recorded, the picture is exact, and `Render.mode` says so.

        Args:
            mode: "exact", `anchored(every=...)` or `anchored(tolerance=...)` ("anchored" is
                every 5), "replay" or "preview".
            state: what to draw instead of the current state: one of `history`, or one made by the
                functions in `sega_session.edits`. The history stays as it is, and so does what
                estimates start from.
            output_type: "pil", "np" (``(seeds, height, width, 3)`` in [0, 1]), "pt"
                (``(seeds, 3, height, width)``) or "latent".
            callback_on_step_end: called after each model call as ``callback(session, call,
                timestep, {"latents": latents})``; it looks on, at a copy, and may return the same
                dict or None. Raising from it cancels the render. It is not called where the
                state's final latents are recorded already.

        Raises:
            InvalidValueError: an unknown mode or output type, or the callback returned other
                latents.
            NotFiniteError: the latents overflowed.
            OutOfMemoryError: there is no memory for one branch of one image.
            UnsupportedPipelineError: the pipeline was moved or cast since the session began.
        """
        if state is not None:
            state, before = self._other(state), self._before
            return self._draw(state, as_mode(mode), before, output_type, callback_on_step_end)
        return self._render(self.state, as_mode(mode), output_type, callback_on_step_end)

    def stream(
        self,
        *,
        output_type: OutputType = "pil",
        callback_on_step_end: StepCallback | None = None,
    ) -> Iterator[Render]:
        """Draw the current state better and better: preview, anchored, exact.

        Each picture reuses what those before it evaluated at the same latents. The first exact
        one is the last. Leaving the loop cancels what is left, and raising from the callback
        cancels at once; edits made meanwhile are for the next stream.

        Args: as for `render`. Raises: as `render` does.
        """
        state = self.state
        for name in ("preview", "anchored", "exact"):
            picture = self._render(state, MODES[name], output_type, callback_on_step_end)
            yield picture
            if picture.exact:
                return

    @torch.no_grad()
    def measure(self, render: Render) -> Measurement:
        """Compare a render of this session with the exact one of the same state, drawn for that.

        Raises: as `render` does.
        """
        exact = self._draw(render.state, Exact(), None, "latent")
        before = self._draw(render.before or render.state, Exact(), None, "latent")
        found, wanted, unedited = (
            torch.as_tensor(self._denoiser.decode(one.latents, "pt").images)
            for one in (render, exact, before)
        )
        return measure(found, wanted, unedited, exact.evaluations + before.evaluations)

    def sem_guidance(self, concept: str | None = None) -> list[Tensor]:
        """The concepts' guidance at each model call, as the exact render of this state has it.

        It is what diffusers' `SemanticStableDiffusionPipeline` takes as ``sem_guidance``, and
        `EditSession` too: one tensor of the latents' shape a call, in the latents' precision, on
        their device. The state is drawn exactly first, unless it has been.

        Args:
            concept: only this one's part, its share of the momentum included; None: all, with
                the guidance that the session was given. The parts add up to the whole.

        Raises:
            UnknownConceptError: no concept has this name.
            InvalidValueError: `cache_bytes` is too small for one whole render.
        """
        state = self.state
        part = state if concept is None else only(state, concept)
        with self._drawing:
            self._draw(state, Exact(), self._before, "latent")
            return self._renderer.guidance(state, part)

    def heat_map(self, render: Render, concept: str) -> Tensor:
        """Where a concept acts in an exact picture, from what is recorded; evaluates nothing.

        Args:
            render: an exact render of this session.
            concept: the name of a concept in it.

        Returns:
            ``(seeds, height / factor, width / factor)`` in float32 on the session's device: the
            root mean square of the concept's guidance over model calls and channels, each
            image's largest value 1. All 0 where the concept has no effect.

        Raises:
            UnknownConceptError: the picture has no such concept.
            InvalidValueError: the picture is not exact, or what led to it is not recorded any more.
        """
        if not render.exact:
            raise InvalidValueError("render", render.mode, '"exact"', "Render exactly first.")
        part = only(render.state, concept)
        with self._drawing:
            return heat_map(self._renderer.guidance(render.state, part))

    def script(self) -> Script:
        """The history as a script, which makes the same history again: see `run`.

        Raises:
            ScriptError: a concept is defined by embeddings, which a script does not hold.
        """
        return script_from_history(self.scene, self._history)

    @classmethod
    def run(
        cls, script: Script | str | Path, pipeline: Any, folder: str | Path = ".", **arguments: Any
    ) -> EditSession:
        """Run a scripted edit history, to the bit the same every time.

        Args:
            script: a `Script`, or the path of one's file.
            folder: where the pictures and files go that its operations write.
            arguments: `cache_bytes`, `spill_bytes` and `batch_plan`, as for a new session.

        Returns:
            The session, where the script left it.

        Raises:
            ScriptError: the script is not valid, or an operation failed; it names which.
        """
        script = script if isinstance(script, Script) else Script.load(script)
        session = cls.of_scene(script.scene, pipeline, **arguments)
        for _ in run_script(script, session, Path(folder)):
            pass
        return session

    def _render(
        self,
        state: EditState,
        mode: Mode,
        output_type: OutputType,
        callback: StepCallback | None,
    ) -> Render:
        """Draw a state; an exact picture is what estimates start from next."""
        with self._drawing:
            picture = self._draw(state, mode, self._before, output_type, callback)
            if picture.exact:
                self._before = state
                if picture.evaluations:
                    self._quiet()
            return picture

    def _draw(
        self,
        state: EditState,
        mode: Mode,
        before: EditState | None,
        output_type: OutputType,
        callback: StepCallback | None = None,
    ) -> Render:
        self._check_unmoved()
        inputs.check_choice("output_type", output_type, get_args(OutputType))
        with self._drawing:
            return self._renderer.render(
                state, mode, before, output_type, lambda bar: watch(self, bar, callback)
            )
