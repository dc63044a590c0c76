"""`EditSession`: the thin mutable shell around frozen states and pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, get_args

import torch
from torch import Tensor

from . import edits, inputs
from .denoisers import OutputType, denoiser_for
from .edits import Concept, EditState, Scene
from .errors import (
    InvalidValueError,
    NoEffectWarning,
    warn_caller,
)
from .recipe import conditioning_key, make_recipe, prompt_key
from .render import (
    UNCOND,
    BatchPlan,
    Branches,
    Render,
    StepCallback,
    denoise,
    planned_evaluations,
    watch,
)
from .trajectory import TrajectoryStore


class EditSession:
    """One picture (or a batch, one a seed) and the concepts that edit it.

    The session fixes the scene and the initial latents. Edits (`add`, `remove`, `reweight`,
    `invert`, `update`, `enable`, `disable`, `momentum`) only change `state`; `render` draws it,
    and takes no prediction twice: what was evaluated at the same latents before is reused.

    The pipeline is used as it is and never changed. Its models must not change during the session
    (LoRA weights, for example): recorded predictions would not be theirs any more.

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
        cache_bytes: how much memory recorded predictions may take, on the pipeline's device; the
            least recently used leave first and are evaluated again when needed. One branch of a
            512-pixel image takes 32 KB a step in half precision.
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
        cache_bytes: int = 2**30,
        batch_plan: BatchPlan = "together",
    ) -> None:
        self._denoiser = denoiser_for(pipeline)
        self._device_and_dtype = (self._denoiser.device, self._denoiser.dtype)
        default_height, default_width = self._denoiser.default_size() or (None, None)
        self._scene = Scene(
            prompt=prompt,
            negative_prompt=negative_prompt,
            seeds=seed,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            height=default_height if height is None else height,
            width=default_width if width is None else width,
            eta=eta,
        )
        self._shape = (
            len(self.scene.seeds),
            *self._denoiser.latents_shape(self.scene.height, self.scene.width),
        )
        scheduler = self._denoiser.fresh_scheduler(self.scene.num_inference_steps)
        self._num_calls = len(scheduler.timesteps)
        self._noise = inputs.own_noise(latents, self._shape, self._denoiser)
        guidance = inputs.own_guidance(sem_guidance, self.num_calls, self._shape, self._denoiser)
        text = prompt_key(self.scene.prompt)
        self._conditionings = {
            UNCOND: self._denoiser.encode(self.scene.negative_prompt, negative=True),
            text: self._denoiser.encode(self.scene.prompt),
        }
        self._branches = Branches(self._conditionings, text, self.scene.guidance_scale, guidance)
        inputs.check_choice("batch_plan", batch_plan, get_args(BatchPlan))
        self._batch_plan = batch_plan
        self._store = TrajectoryStore(cache_bytes)
        self._state = EditState()

    # ---- what is edited ----

    @property
    def scene(self) -> Scene:
        """What is fixed for the session."""
        return self._scene

    @property
    def num_calls(self) -> int:
        """Model calls of a render; warm-up and cool-down count these.

        Some schedulers (PNDM, Heun) call the model more often than `num_inference_steps`.
        """
        return self._num_calls

    @property
    def latents_shape(self) -> tuple[int, int, int, int]:
        """Seeds, channels, height and width of the latents."""
        return self._shape

    @property
    def state(self) -> EditState:
        """The current edit state, a frozen value."""
        return self._state

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts, in the order they were added."""
        return self._state.concepts

    def __repr__(self) -> str:
        names = ", ".join(concept.name for concept in self.concepts) or "none"
        return f"<EditSession {self.scene.prompt!r}, seeds {self.scene.seeds}, concepts: {names}>"

    # ---- edits ----

    def add(
        self,
        prompt: str = "",
        name: str | None = None,
        scale: float = 5.0,
        threshold: float = 0.9,
        warmup: int = 10,
        cooldown: int | None = None,
        weight: float = 1.0,
        inverted: bool = False,
        *,
        prompt_embeds: Tensor | None = None,
    ) -> None:
        """Add a concept; the ranges are those of `Concept`.

        Args:
            prompt: the concept in words. With ``prompt_embeds`` it is only a label.
            name: how to refer to the concept; None: its prompt.
            scale: strength of the direction, >= 0.
            threshold: share of latent entries left alone, 0 <= threshold < 1.
            warmup: first model call at which it is applied.
            cooldown: first model call at which it is no longer applied; None: never.
            weight: share among several concepts, >= 0.
            inverted: steer away from the concept.
            prompt_embeds: the text encoder's output instead of words, ``(tokens, width)``,
                ``(1, tokens, width)``, or ``(seeds, tokens, width)`` for one a seed in order.

        Raises:
            DuplicateConceptError: the name is taken.
            InvalidValueError: a value is outside its range.

        Warns:
            PromptTruncatedWarning: the end of the prompt does not fit the text encoder.
            NoEffectWarning: the warm-up outlasts the render.
        """
        conditioning, digest = None, None
        if prompt_embeds is not None:
            conditioning = self._denoiser.condition(prompt_embeds, len(self.scene.seeds))
            digest = inputs.digest(prompt_embeds)
            if not prompt and name is None:
                raise InvalidValueError(
                    "name", name, "text, not empty", "Embeddings need one: pass name=."
                )
        elif not isinstance(prompt, str) or not prompt.strip():
            raise InvalidValueError("prompt", prompt, "text, not empty", "Or pass prompt_embeds=.")
        concept = Concept(
            name=prompt if name is None else name,
            prompt=prompt,
            embedding=digest,
            scale=scale,
            threshold=threshold,
            warmup=warmup,
            cooldown=cooldown,
            weight=weight,
            inverted=inverted,
        )
        state = edits.add(self._state, concept)
        if conditioning is not None:
            self._conditionings[conditioning_key(concept)] = conditioning
        self._edit(state)

    def remove(self, name: str) -> None:
        """Take a concept out. Raises UnknownConceptError."""
        self._edit(edits.remove(self._state, name))

    def reweight(
        self, name: str, *, scale: float | None = None, weight: float | None = None
    ) -> None:
        """Change a concept's scale, its weight, or both; None keeps what is set.

        Raises:
            UnknownConceptError: no concept has this name.
            InvalidValueError: a value is outside its range.
        """
        given = {"scale": scale, "weight": weight}
        self.update(name, **{field: value for field, value in given.items() if value is not None})

    def invert(self, name: str) -> None:
        """Turn a concept's direction around. Raises UnknownConceptError."""
        self.update(name, inverted=not self._state.concept(name).inverted)

    def enable(self, name: str) -> None:
        """Let a muted concept act again. Raises UnknownConceptError."""
        self.update(name, enabled=True)

    def disable(self, name: str) -> None:
        """Mute a concept, as if removed, and keep its settings. Raises UnknownConceptError."""
        self.update(name, enabled=False)

    def update(self, name: str, /, **fields: Any) -> None:
        """Change any of a concept's fields (see `Concept`), its name and prompt included.

        Raises:
            UnknownConceptError: no concept has this name.
            DuplicateConceptError: the new name is taken.
            InvalidValueError: an unknown field, or a value outside its range.
        """
        self._edit(edits.update(self._state, name, **fields))

    def momentum(self, *, scale: float | None = None, beta: float | None = None) -> None:
        """Set momentum's scale (0 to 1, 0 is off), its decay beta (0 <= beta < 1), or both.

        A new session has diffusers' values, 0.1 and 0.4. With momentum on, concepts are evaluated
        during their warm-up too, because momentum builds up there.

        Raises:
            InvalidValueError: a value is outside its range.
        """
        self._edit(edits.momentum(self._state, scale=scale, beta=beta))

    def _edit(self, state: EditState) -> None:
        """Adopt ``state`` once everything it needs is at hand; until then nothing has changed."""
        inputs.check_unmoved(self._denoiser, *self._device_and_dtype)
        for concept in state:
            if conditioning_key(concept) not in self._conditionings:
                self._conditionings[conditioning_key(concept)] = self._denoiser.encode(
                    concept.prompt
                )
            if concept.warmup >= self.num_calls and concept not in self._state.concepts:
                warn_caller(
                    f"{concept.name!r} has no effect: warmup is {concept.warmup}, and a render "
                    f"has only {self.num_calls} model calls. Lower warmup.",
                    NoEffectWarning,
                )
        self._state = state

    # ---- rendering ----

    def plan(self) -> int:
        """How many evaluations `render` would take now; see `Render.evaluations`."""
        recipe = make_recipe(self._state, self.num_calls)
        return planned_evaluations(recipe, self._branches, self._store, len(self.scene.seeds))

    @torch.no_grad()
    def render(
        self,
        *,
        output_type: OutputType = "pil",
        callback_on_step_end: StepCallback | None = None,
    ) -> Render:
        """Draw the current state: SEGA as computed from scratch, up to float rounding.

        A U-Net's row changes in its last bits with the size of the batch it is in, so a render
        that reuses recorded predictions equals one from scratch up to that rounding, or, with
        ``batch_plan="canonical"``, to the last bit.

        Args:
            output_type: "pil", "np" (``(seeds, height, width, 3)`` in [0, 1]), "pt"
                (``(seeds, 3, height, width)``) or "latent".
            callback_on_step_end: called after each model call as ``callback(session, call,
                timestep, {"latents": latents})``; it looks on, at a copy, and may return the same
                dict or None. Raising from it cancels the render. It is not called where the
                state's final latents are recorded already.

        Raises:
            InvalidValueError: an unknown output type, or the callback returned other latents.
            NotFiniteError: the latents overflowed.
            UnsupportedPipelineError: the pipeline was moved or cast since the session began.
        """
        inputs.check_unmoved(self._denoiser, *self._device_and_dtype)
        inputs.check_choice("output_type", output_type, get_args(OutputType))
        scheduler, start, step_arguments = inputs.start(
            self._denoiser, self.scene, self._shape, self._noise
        )
        with self._denoiser.progress_bar(self.num_calls) as bar:
            latents, evaluations = denoise(
                self._denoiser,
                scheduler,
                start,
                make_recipe(self._state, self.num_calls),
                self._branches,
                self._store,
                step_arguments,
                watch(self, bar, callback_on_step_end),
                self._batch_plan,
            )
            bar.update(self.num_calls - bar.n)
        inputs.check_finite(latents)
        decoded = self._denoiser.decode(latents, output_type)
        return Render(decoded.images, latents, evaluations, decoded.nsfw_content_detected)
