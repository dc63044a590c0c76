"""`EditSession`: the mutable shell around frozen states and pure functions."""

from __future__ import annotations

import html
import logging
import math
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from threading import RLock
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NoReturn,
    Self,
    TypeAlias,
    TypedDict,
    Unpack,
    cast,
    get_args,
)
from weakref import WeakMethod, WeakSet

import attrs
import numpy as np
import torch
from PIL.Image import Image, fromarray
from torch import Tensor

from .calibration import Calibration, Images, measure_changes
from .engine import (
    CacheInfo,
    Conditionings,
    Masks,
    Measurement,
    Photograph,
    Renderer,
    TrajectoryStore,
    acted_on,
    default_cache_bytes,
    feathered,
    measure,
    paste_outside,
)
from .errors import (
    AutosaveWarning,
    FixedSettingError,
    InvalidValueError,
    ModelMismatchError,
    NoEffectWarning,
    ScriptError,
    SegaSessionError,
    shorten,
    warn_caller,
)
from .models import (
    DiffusionModel,
    Embeddings,
    LatentsShape,
    ModelSpec,
    OutputType,
    Sampler,
    SerialModel,
    as_model,
    check_guidance,
    check_spec,
    copy_guidance,
    copy_noise,
    given_embeddings,
    identify,
)
from .render import MadeBy, ModelReference, Render, StepCallback, html_figure, watch_steps
from .saving import (
    SEM_GUIDANCE,
    Autosave,
    Document,
    Saved,
    Snapshot,
    check_carried,
    continues,
    given_noise,
    is_same_model,
    named_embeddings,
    named_masks,
    read_journal,
    read_provenance,
    read_session,
    recover_history,
    restore_recorded,
    session_path,
    take_snapshot,
    write_session,
)
from .scripts import (
    DEFAULT_LIMITS,
    Limits,
    Script,
    ScriptScene,
    path_inside,
    run_script,
    script_from_history,
)
from .sega import Guider, embedding_condition, heat_map
from .state import (
    MAX_SIDE,
    Anchored,
    BatchPlan,
    Concept,
    EditState,
    Exact,
    Fit,
    History,
    Include,
    Mask,
    MaskSource,
    Mode,
    ModeName,
    PhotoSource,
    Pixels,
    Scene,
    Timeline,
    as_mode,
    default_warmup,
    diff,
    edits,
    first_call,
    idle_reasons,
    photograph_digest,
    read_photographs,
    rescaled,
)
from .state.fields import check_choice, check_integer, check_number, check_path

logger = logging.getLogger("sega_session")
"""It tells each render's mode, evaluations and seconds, at the level INFO."""

STREAM: tuple[ModeName, ...] = ("preview", "anchored", "exact")
"""The modes of `EditSession.stream`."""

CALIBRATING: Mode = Anchored(every=5)
"""The mode of `EditSession.calibrate`; see benchmarks/results/calibration.md."""

EXPECTED_CALLS = 8
"""The model calls that `EditSession.expected_heat_map` evaluates."""


class Budgets(TypedDict, total=False):
    """Arguments of `EditSession` that do not change the images: memory and batching."""

    cache_bytes: int | None
    spill_bytes: int
    batch_plan: BatchPlan


PROMPT_EMBEDDINGS = {
    "prompt_embedding": ("prompt_embeds", "pooled_prompt_embeds"),
    "negative_embedding": ("negative_prompt_embeds", "negative_pooled_prompt_embeds"),
}
"""The fields of `Scene` that name embeddings, and the arguments of `EditSession` for these."""


class PromptEmbeddings(TypedDict, total=False):
    """Arguments of `EditSession` for embeddings in place of prompts."""

    prompt_embeds: Tensor | None
    pooled_prompt_embeds: Tensor | None
    negative_prompt_embeds: Tensor | None
    negative_pooled_prompt_embeds: Tensor | None


class Options(Budgets, PromptEmbeddings, total=False):
    """Arguments of `EditSession` besides pipeline and scene."""

    latents: Tensor | None
    sem_guidance: Sequence[Tensor] | Tensor | None
    photograph: Photograph | None
    callback_on_step_end: StepCallback | None


Carried: TypeAlias = Literal["history", "state", "none"]
"""The edits that `EditSession.another` carries over.

"history": all of the history; "state": the current state, as one entry; "none": none.
"""


class Changes(Budgets, total=False):
    """Further arguments of `EditSession.another`: what differs from this session."""

    prompt: str
    negative_prompt: str
    seed: int | Iterable[int] | None
    num_inference_steps: int
    guidance_scale: float
    guidance_rescale: float
    clip_skip: int | None
    height: int
    width: int
    eta: float
    skip: float
    callback_on_step_end: StepCallback | None


class PhotoOptions(Budgets, PromptEmbeddings, total=False):
    """Further arguments of `EditSession.from_photo`."""

    negative_prompt: str
    num_inference_steps: int | None
    guidance_rescale: float
    clip_skip: int | None
    eta: float
    sem_guidance: Sequence[Tensor] | Tensor | None


def prompt_embeddings(scene: Scene, find: Callable[[str], Embeddings | None]) -> PromptEmbeddings:
    """Return the embeddings that a scene names, as arguments of `EditSession`.

    Args:
        scene: the scene.
        find: returns embeddings by their digest.
    """
    options: dict[str, Any] = {}
    for name, (embeds, pooled) in PROMPT_EMBEDDINGS.items():
        digest = getattr(scene, name, None)
        if digest is not None and (found := find(digest)) is not None:
            options |= {embeds: found.prompt_embeds, pooled: found.pooled_prompt_embeds}
    return cast(PromptEmbeddings, options)


def changed_scene(scene: Scene, changes: Mapping[str, Any]) -> Scene:
    """Return a scene with other values in some fields, named as arguments of `EditSession`.

    Embeddings stand for the words that they were given with, so other words replace them.

    Raises:
        InvalidValueError: a value is outside its range.
    """
    fields = dict(changes)
    images = len(scene.seeds)
    if "seed" in fields:
        seed = fields.pop("seed")
        if seed is None:
            seed = [secrets.randbelow(2**32) for _ in range(images)]
        elif scene.photograph is not None and not isinstance(seed, Iterable):
            seed = [seed] * images
        fields["seeds"] = seed
    for words, embedding in (
        ("prompt", "prompt_embedding"),
        ("negative_prompt", "negative_embedding"),
    ):
        if words in fields and fields[words] != getattr(scene, words):
            fields[embedding] = None
    return attrs.evolve(scene, **fields)


def _check_masks(
    history: History, masks: Mapping[str, Pixels], before: Scene, scene: Scene
) -> None:
    """Raise InvalidValueError unless a history's masks fit another scene.

    Args:
        history: the edits.
        masks: the pixels of all masks, by digest.
        before: the scene that the masks were made for.
        scene: the other scene.
    """
    found = [masks[digest] for digest in named_masks(history)]
    hint = 'Pass edits="none", or edits="state" after update(name, mask=None) and protect(None).'
    if found and (scene.height, scene.width) != (before.height, before.width):
        raise InvalidValueError(
            "height and width",
            (scene.height, scene.width),
            f"those of the masks of the edits, {(before.height, before.width)}",
            hint,
        )
    images = max((len(pixels) for pixels in found), default=1)
    if images not in (1, len(scene.seeds)):
        raise InvalidValueError(
            "the number of seeds",
            len(scene.seeds),
            f"{images}, since a mask of the edits has a region for each image",
            hint,
        )


def _photograph_size(spec: ModelSpec, height: int | None, width: int | None) -> tuple[int, int]:
    """Return the size of a session of a photograph. Raises InvalidValueError."""
    default_height, default_width = spec.default_size or (None, None)
    side = partial(check_integer, at_least=1, at_most=MAX_SIDE)
    return (
        side("height", default_height if height is None else height),
        side("width", default_width if width is None else width),
    )


def _check_photograph(photograph: Photograph | None, scene: Scene, latents: Tensor | None) -> None:
    """Raise InvalidValueError unless photographs fit their scene."""
    if photograph is None:
        return
    images, *size, _ = photograph.pixels.shape
    if images != len(scene.seeds):
        raise InvalidValueError(
            "seed", scene.seeds, f"one for all photographs, or {images}, one for each"
        )
    if size != [scene.height, scene.width]:
        raise InvalidValueError(
            "height and width",
            (scene.height, scene.width),
            f"those of the photographs, {tuple(size)}",
            "Begin another session with EditSession.from_photo(session.photographs, ...).",
        )
    if latents is not None:
        raise InvalidValueError(
            "latents", "a tensor", "None with a photograph", "Its noise is drawn from the seeds."
        )


def _is_nearer(render: Render, shown: Render) -> bool:
    """Return whether every image is nearer to the exact one than another render's, as estimated.

    An error that was not estimated is not known to be smaller.
    """
    if render.exact:
        return True
    if render.error_estimate is None or shown.error_estimate is None:
        return False
    pairs = zip(render.error_estimate, shown.error_estimate, strict=True)
    return all(own < others for own, others in pairs)


def _weakly(method: Callable[..., None]) -> Callable[..., None]:
    """Return a function that calls a method of an object without keeping the object alive."""
    reference = WeakMethod(method)

    def call(*arguments: Any) -> None:
        alive = reference()
        if alive is not None:
            alive(*arguments)

    return call


class EditSession:
    """One image (or a batch, one image per seed) and the concepts that edit it.

    The session fixes the scene and the initial latents. Edits (`add`, `remove`, `reweight`,
    `invert`, `update`, `enable`, `disable`, `momentum`, `protect`) only change `state`; `render`
    renders it, and evaluates no prediction twice: predictions evaluated at the same latents are
    reused. Every state stays in `history`, a tree; `undo`, `redo`, `checkout` and `branch` move in
    it.

    The pipeline is never changed. If its weights, adapters or scheduler are changed meanwhile (by
    loading a LoRA, for example), recorded predictions are no longer the model's: what would mix
    them with new ones raises ModelChangedError. Put back what was changed, or call `refresh_model`.

    Any thread may render; renders wait for each other. Edits may be made meanwhile, from one
    thread at a time: each replaces the state that it read.

    >>> session = EditSession(load_avatars(), "a portrait of a woman", seed=7)
    >>> session.add("glasses", scale=6, threshold=0.95)
    >>> session.render().image.show()

    Args:
        pipeline: a pipeline of diffusers: of Stable Diffusion 1 to 3.5, SDXL, LCM, FLUX.1 or
            Z-Image, or of a family that was registered with `sega_session.models.as_model`; or a
            `sega_session.models.DiffusionModel`.
        prompt: a description of the image. What is over the text encoder's limit is cut, as in the
            pipeline, with a warning. For distilled models it is the context of every concept.
        negative_prompt: replaces the empty text of the unconditional prediction.
        prompt_embeds, pooled_prompt_embeds: the prompt's embeddings, with weighted words for
            example, as the pipeline's ``encode_prompt`` returns them, with one row or one per
            seed; ``prompt`` is only a label then. Families with one text encoder have no pooled
            ones.
        negative_prompt_embeds, negative_pooled_prompt_embeds: the negative prompt's.
        seed: one integer, or several for a batch. Noise is drawn on the host, so that a seed
            gives the same noise on every device.
        num_inference_steps: the scheduler's steps, 1 or more; None: the default of the pipeline,
            50 for Stable Diffusion.
        guidance_scale: classifier-free guidance, >= 0; values up to 1 (Z-Image: 0) turn it off, as
            in diffusers. Concepts still apply. None: the default of the pipeline, 7.5 for Stable
            Diffusion.
        guidance_rescale: the share to which guided predictions are rescaled to the standard
            deviation of the prompt's, 0 to 1, against overexposed images; 0.7 is common for
            models with zero terminal SNR.
        clip_skip: last layers of CLIP to leave out, 1 or more; None: none. Anime checkpoints are
            often trained with 1.
        height, width: pixels, multiples of the VAE's factor; None: the model's default size.
        eta: DDIM's noise, 0 to 1; other schedulers ignore it.
        latents: initial noise, standard normal, ``(seeds, channels, height / factor,
            width / factor)``, instead of noise drawn from the seeds.
        sem_guidance: guidance recorded by diffusers' `SemanticStableDiffusionPipeline`, one
            tensor of the latents' shape per model call, added to every render.
        photograph: what the images are made from instead of noise; see `from_photo`.
        skip: the share of the model calls that edits of a photograph leave as they are.
        callback_on_step_end: called while a photograph is inverted, as `render` calls it.
        cache_bytes: the memory for recorded latents and predictions, on the pipeline's device.
            The least recently begun renders are evicted first and evaluated again when needed,
            never, during a render, the unedited one and what that render uses. One condition of a
            512-pixel image needs 32 KB per call in half precision. None: 1 GiB, on CUDA a quarter
            of the memory that is free now, between 256 MiB and 8 GiB.
        spill_bytes: host memory for tensors that `cache_bytes` cannot hold; 0: none. Nothing is
            evaluated again while they fit.
        batch_plan: "together" evaluates all conditions of a call in one batch. "canonical"
            evaluates each in a batch of its own, so that an image has the same bits whatever was
            rendered before it; slower where one condition does not occupy the device.

    Raises:
        UnsupportedPipelineError: the pipeline's class, or a model in it, is not supported.
        InvalidValueError: a value is outside its range.

    Warns:
        PromptTruncatedWarning: the end of a prompt does not fit the text encoder.
        NoEffectWarning: eta is not 0, and the scheduler does not use it.
    """

    def __init__(
        self,
        pipeline: Any,
        prompt: str,
        *,
        negative_prompt: str = "",
        prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
        seed: int | Iterable[int] = 0,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        guidance_rescale: float = 0.0,
        clip_skip: int | None = None,
        height: int | None = None,
        width: int | None = None,
        eta: float = 0.0,
        latents: Tensor | None = None,
        sem_guidance: Sequence[Tensor] | Tensor | None = None,
        photograph: Photograph | None = None,
        skip: float = 0.0,
        callback_on_step_end: StepCallback | None = None,
        cache_bytes: int | None = None,
        spill_bytes: int = 0,
        batch_plan: BatchPlan = "together",
    ) -> None:
        self._pipeline = pipeline
        self._model = SerialModel(as_model(pipeline))
        self._spec = self._model.spec
        default_height, default_width = self._spec.default_size or (None, None)
        default_steps, default_scale = self._spec.default_steps, self._spec.default_guidance_scale
        words = given_embeddings(prompt_embeds, pooled_prompt_embeds, self._spec)
        negative = given_embeddings(
            negative_prompt_embeds, negative_pooled_prompt_embeds, self._spec
        )
        self._scene = scene = Scene(
            prompt=prompt,
            negative_prompt=negative_prompt,
            prompt_embedding=next(iter(words), None),
            negative_embedding=next(iter(negative), None),
            seeds=seed,
            num_inference_steps=(
                default_steps if num_inference_steps is None else num_inference_steps
            ),
            guidance_scale=default_scale if guidance_scale is None else guidance_scale,
            guidance_rescale=guidance_rescale,
            clip_skip=clip_skip,
            height=default_height if height is None else height,
            width=default_width if width is None else width,
            eta=eta,
            photograph=None if photograph is None else photograph_digest(photograph.pixels),
            skip=skip,
        )
        check_guidance(self._spec, scene)
        _check_photograph(photograph, scene, latents)
        shape, sampler = self._shape_and_sampler(self._model)
        noise = copy_noise(latents, shape, self._spec)
        guidance = copy_guidance(sem_guidance, sampler.calls, shape, self._spec)
        check_choice("batch_plan", batch_plan, get_args(BatchPlan))
        if cache_bytes is None:
            cache_bytes = default_cache_bytes(self._spec.device)
        store = TrajectoryStore(cache_bytes, spill_bytes)
        masks = Masks(scene, shape, self._spec)
        self._conditionings = Conditionings(self._model, scene, {**words, **negative})
        self._renderer = Renderer(
            model=self._model,
            spec=self._spec,
            sampler=sampler,
            seeds=scene.seeds,
            shape=shape,
            noise=noise,
            guider=self._guider(self._spec, guidance, self._conditionings, masks),
            conditionings=self._conditionings,
            masks=masks,
            store=store,
            batch_plan=batch_plan,
            first=first_call(scene, sampler.calls),
        )
        self._made_by = self._identification()
        self._renders: WeakSet[Render] = WeakSet()
        self._timeline = Timeline(before=_weakly(self._prepare), after=_weakly(self._note))
        self._autosave: Autosave | None = None
        # The state of the last exact render, which the other modes start from.
        self._reference: EditState | None = None
        # Held by one render at a time. Reentrant, because a callback may render.
        self._rendering = RLock()
        if photograph is not None:
            self._renderer = self._inverted(self._renderer, photograph, callback_on_step_end)
            self._reference = EditState()

    def __repr__(self) -> str:
        names = [one.name if one.enabled else f"{one.name} (muted)" for one in self.concepts]
        seeds = ", ".join(map(str, self.seeds[:3])) + (", ..." if len(self.seeds) > 3 else "")
        begun = "" if self.scene.photograph is None else "from a photograph, "
        return (
            f"<{type(self).__name__} {shorten(self.prompt)}, {begun}"
            f"{'seed' if len(self.seeds) == 1 else 'seeds'} {seeds}, "
            f"concepts: {', '.join(map(shorten, names)) or 'none'}>"
        )

    @torch.no_grad()
    def _repr_html_(self) -> str:
        """Return the last exact image if it is recorded, and the concepts. Evaluates nothing."""
        summary = f"<p>{html.escape(repr(self))}</p>"
        return summary + self._html_of_recorded() + self.state._repr_html_()

    if not TYPE_CHECKING:  # Type checkers know which attributes there are.

        def __setattr__(self, name: str, value: object) -> None:
            if not name.startswith("_"):
                raise FixedSettingError(
                    f"{name!r} of a session cannot be set; allowed: edits by its methods, such as "
                    "add and reweight. For another prompt, seed or size begin another session: "
                    "session.another(prompt=...)."
                )
            super().__setattr__(name, value)

    def __del__(self) -> None:
        # Renders may outlive the session and its pipeline, and are then saved with their metadata.
        renders = getattr(self, "_renders", ())
        if len(renders) and not sys.is_finalizing():
            self._made_by.model.prepare(self._pipeline)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise InvalidValueError(
            "the object to pickle or copy",
            self,
            "its states, history and renders, which are values",
            "For an independent session call copy(); for another process, save() and load().",
        )

    def copy(self) -> Self:
        """Return an independent session in the same state, with the same history.

        Recorded tensors are shared, so nothing is evaluated again, and each session evicts its own.
        The copy does not autosave.

        Raises:
            ModelChangedError: the model was changed since the session began.
        """
        with self._rendering:
            self._model.check_unchanged()
            old = self._renderer
            other = self.from_scene(
                self._scene,
                self._pipeline,
                latents=old.noise,
                sem_guidance=old.guider.sem_guidance,
                photograph=old.photograph,
                **self._prompt_embeddings(self._scene),
                **self._budgets,
            )
            other._adopt(old, self.history, self._reference)  # noqa: SLF001
            return other

    def close(self) -> None:
        """Bring the autosaved file up to date, stop autosaving, and free the recorded tensors.

        At the end of ``with EditSession(...) as session:`` this is called. A closed session can
        still be used; what it needs is evaluated again.

        Warns:
            AutosaveWarning: the file cannot be written, or the model was changed. The edits are in
                the journal.
        """
        with self._rendering:
            self._refresh_autosave()
            self._autosave = None
            self._renderer = attrs.evolve(self._renderer, store=self._renderer.store.emptied())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # A session as a collection of its concepts.

    def __contains__(self, name: object) -> bool:
        return name in self.state

    def __iter__(self) -> Iterator[Concept]:
        return iter(self.concepts)

    def __len__(self) -> int:
        return len(self.concepts)

    def __bool__(self) -> bool:
        # Without this, a session without concepts would count as false.
        return True

    def __getitem__(self, name: str) -> Concept:
        """Return the concept with this name. Raises UnknownConceptError."""
        return self.state.concept(name)

    # Properties.

    @property
    def pipeline(self) -> Any:
        """The pipeline that the session was given."""
        return self._pipeline

    @property
    def scene(self) -> Scene:
        """The prompt, seeds and settings that are fixed for the session."""
        return self._scene

    @property
    def prompt(self) -> str:
        """The text that the image shows."""
        return self.scene.prompt

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each image."""
        return self.scene.seeds

    @property
    def photographs(self) -> list[Image]:
        """The photographs that the images are made from, at their size; empty if there are none."""
        photograph = self._renderer.photograph
        pixels = () if photograph is None else photograph.pixels
        return [fromarray(one) for one in pixels]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images, in pixels."""
        return self.scene.height, self.scene.width

    @property
    def num_calls(self) -> int:
        """Model calls of a render; warm-up and cool-down count these.

        Some schedulers (PNDM, Heun) call the model more often than `num_inference_steps`.
        """
        return self._renderer.calls

    @property
    def latents_shape(self) -> LatentsShape:
        """Seeds, channels, height and width of the latents."""
        return self._renderer.shape

    @property
    def batch_plan(self) -> BatchPlan:
        """The batching of the conditions of a model call: "together" or "canonical"."""
        return self._renderer.batch_plan

    @property
    def cache(self) -> CacheInfo:
        """The size of the recorded tensors, the budgets, and how often tensors were reused."""
        return self._renderer.store.info

    @property
    def state(self) -> EditState:
        """The current edit state, a frozen value."""
        return self._timeline.state

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts, in the order they were added."""
        return self.state.concepts

    @property
    def history(self) -> History:
        """All states so far, a frozen tree: iterate over its entries, or print it."""
        return self._timeline.history

    # Edits. A refused edit changes nothing.

    def add(
        self,
        prompt: str = "",
        name: str | None = None,
        scale: float = 5.0,
        threshold: float = 0.9,
        warmup: int | None = None,
        cooldown: int | None = None,
        weight: float = 1.0,
        inverted: bool = False,
        *,
        opposite: str | None = None,
        mask: MaskSource = None,
        prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
    ) -> None:
        """Add a concept; the ranges are those of `Concept`.

        Args:
            prompt: the concept in words. With ``prompt_embeds`` it is only a label.
            name: how to refer to the concept; None: its prompt.
            scale: strength of the direction, >= 0.
            threshold: share of latent entries left unchanged, 0 <= threshold < 1.
            warmup: first model call at which it is applied; None: after a fifth of them, 10 of 50,
                or a fifth of those after ``skip``.
            cooldown: first model call at which it is no longer applied; None: never.
            weight: share among several concepts, >= 0.
            inverted: steer away from the concept.
            opposite: words that the concept is measured against: "young" for "old". To remove
                something, name it here and its absence in ``prompt``: "no glasses" against
                "glasses". None: the unconditional prediction, as in SEGA.
            mask: the region that it acts in, soft where the mask is grey; None: the whole image. A
                picture or array in black and white of any size (several for a batch), a path, a
                box ``(left, top, right, bottom)``, or a polygon of ``(x, y)``, in fractions of the
                image. The threshold counts inside it.
            prompt_embeds: the text encoder's output instead of words, ``(tokens, width)``,
                ``(1, tokens, width)``, or ``(seeds, tokens, width)`` for one per seed in order.
            pooled_prompt_embeds: its pooled output, ``(1 or seeds, width)``, for families that
                have one.

        Raises:
            DuplicateConceptError: another concept has this name.
            InvalidValueError: a value is outside its range.

        Warns:
            PromptTruncatedWarning: the end of the prompt does not fit the text encoder.
            NoEffectWarning: scale or weight is 0, or no model call is after the warm-up and before
                the cool-down.
        """
        digest = None
        if prompt_embeds is not None:
            embeddings = Embeddings(prompt_embeds, pooled_prompt_embeds)
            digest = self._conditionings.add_embeddings(embeddings)
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
            opposite=opposite,
            mask=None if mask is None else self._renderer.masks.add(mask),
            scale=scale,
            threshold=threshold,
            warmup=(
                default_warmup(self.num_calls, cooldown, self._renderer.first)
                if warmup is None
                else warmup
            ),
            cooldown=cooldown,
            weight=weight,
            inverted=inverted,
        )
        self._edit(edits.add(self.state, concept))

    def remove(self, name: str) -> None:
        """Remove a concept. Raises UnknownConceptError."""
        self._edit(edits.remove(self.state, name))

    def reweight(
        self, name: str, scale: float | None = None, *, weight: float | None = None
    ) -> None:
        """Change a concept's scale, its weight, or both; None keeps the value.

        Raises:
            UnknownConceptError: no concept has this name.
            InvalidValueError: a value is outside its range.
        """
        given = {"scale": scale, "weight": weight}
        self.update(name, **{field: value for field, value in given.items() if value is not None})

    def invert(self, name: str) -> None:
        """Reverse a concept's direction. Raises UnknownConceptError."""
        self.update(name, inverted=not self.state.concept(name).inverted)

    def enable(self, name: str) -> None:
        """Apply a disabled concept again. Raises UnknownConceptError."""
        self.update(name, enabled=True)

    def disable(self, name: str) -> None:
        """Stop applying a concept, and keep its settings. Raises UnknownConceptError."""
        self.update(name, enabled=False)

    def update(self, name: str, /, **fields: Any) -> None:
        """Change any of a concept's fields (see `Concept`), its name and prompt included.

        A ``mask`` is given as to `add`; None removes it.

        Raises:
            UnknownConceptError: no concept has this name.
            DuplicateConceptError: another concept has the new name.
            InvalidValueError: an unknown field, or a value outside its range.
        """
        mask = fields.get("mask")
        if mask is not None and not isinstance(mask, Mask):
            fields["mask"] = self._renderer.masks.add(mask)
        self._edit(edits.update(self.state, name, **fields))

    def momentum(self, *, scale: float | None = None, beta: float | None = None) -> None:
        """Set momentum's scale (0 to 1, 0 is off), its decay beta (0 <= beta < 1), or both.

        A new session has diffusers' values, 0.1 and 0.4. With momentum on, concepts are evaluated
        during their warm-up too, because momentum builds up there.

        Raises:
            InvalidValueError: a value is outside its range.
        """
        self._edit(edits.momentum(self.state, scale=scale, beta=beta))

    def protect(self, mask: MaskSource = None) -> None:
        """Confine all edits to a region: outside it, the latents stay those of the unedited render.

        The unedited render is evaluated once if it is not recorded. The decoded image can differ a
        little near the edge, since the decoder looks beyond it.

        Args:
            mask: the region that may change, as for `add`; soft edges blend. None: the whole image.

        Raises:
            InvalidValueError: the mask is none, or does not fit the images.

        Warns:
            NoEffectWarning: the region is empty, so no edit has an effect.
        """
        region = None if mask is None else self._renderer.masks.add(mask)
        if region is not None and region.share == 0:
            warn_caller(
                "no edit has an effect: the region is empty. Pass another mask, or None for the "
                "whole image.",
                NoEffectWarning,
            )
        self._edit(edits.protect(self.state, region))

    def mask_pixels(self, mask: Mask) -> Pixels:
        """Return the pixels of a mask that a state of this session names.

        Args:
            mask: a concept's `Concept.mask`, or a state's `EditState.region`.

        Returns:
            ``(1 or seeds, height, width)``, uint8, 255 where it acts fully.

        Raises:
            InvalidValueError: no state of this session names it.
        """
        pixels = self._renderer.masks.all_pixels().get(mask.digest)
        if pixels is None:
            raise InvalidValueError("mask", mask, "a mask of this session's states")
        return pixels

    # Moves in the history.

    def undo(self) -> None:
        """Go back to the state before the last edit. Raises HistoryError if there is none."""
        self._timeline.go(self.history.undo())

    def redo(self) -> None:
        """Reverse the last `undo`. Raises HistoryError if there is nothing to redo."""
        self._timeline.go(self.history.redo())

    def checkout(self, target: int | str) -> None:
        """Go to any entry of the history, by its id or by a branch's name.

        By name, the next edit moves the branch along; by id, no branch moves.

        Raises:
            HistoryError: there is no such entry.
        """
        self._timeline.go(self.history.checkout(target))

    def branch(self, name: str) -> None:
        """Begin a branch here; edits move its name along until the session goes elsewhere.

        Raises:
            InvalidValueError: the name is not one line of text, or another branch has it.
        """
        self._timeline.go(self.history.with_branch(name))

    def rename_branch(self, old: str, new: str) -> None:
        """Give a branch another name; it stays where it is.

        Raises:
            HistoryError: there is no branch ``old``.
            InvalidValueError: the new name is not one line of text, or another branch has it.
        """
        self._timeline.go(self.history.with_renamed_branch(old, new))

    def diff(self, before: int | str, after: int | str) -> str:
        """Describe what changed between two entries: "beard: scale 5 -> 8; glasses inverted".

        Raises:
            HistoryError: there is no such entry.
        """
        return diff(self.history[before].state, self.history[after].state)

    def transaction(self, label: str) -> AbstractContextManager[None]:
        """Make several edits one entry of the history; an error undoes all of them.

        >>> with session.transaction("age her"):
        ...     session.add("grey hair")
        ...     session.add("wrinkles", scale=4)

        Raises:
            InvalidValueError: the label is not one line of text.
        """
        return self._timeline.transaction(label)

    def gesture(self, key: str) -> AbstractContextManager[None]:
        """Make the edits of one gesture, such as dragging a slider, one entry of the history.

        Consecutive gestures of the same key are one entry too, so that a caller that receives
        single events can open a gesture for each. Use another key for the next drag of a slider.

        >>> with session.gesture("beard.scale"):
        ...     for scale in (5.5, 6, 6.5):
        ...         session.reweight("beard", scale=scale)
        """
        return self._timeline.gesture(key)

    # Rendering.

    def plan(self, mode: str | Mode = "exact", *, state: EditState | None = None) -> int:
        """Count the evaluations that `render` would make now; see `Render.evaluations`.

        For ``anchored(tolerance=...)`` this is an upper bound, for all others the exact number,
        also where the render evicts tensors from a full cache; with `protect`, it is a lower bound
        if the cache cannot hold the unedited render. Raises InvalidValueError.
        """
        state = self.state if state is None else self._checked(state)
        return self._renderer.plan(state, as_mode(mode), self._reference)

    def render(
        self,
        mode: str | Mode = "exact",
        *,
        state: EditState | None = None,
        output_type: OutputType = "pil",
        keep_outside: bool = False,
        callback_on_step_end: StepCallback | None = None,
        progress: bool = True,
    ) -> Render:
        """Render the current state, or another.

        A U-Net's output changes in its last bits with the size of the batch. An exact render that
        reuses recorded predictions therefore equals one from scratch up to this rounding, and to
        the last bit with ``batch_plan="canonical"``.

        The other modes start from the last exact render and evaluate only some predictions; their
        errors are in benchmarks/results. If there is no exact render to start from, or the
        state's own exact render is recorded, the images are exact, and `Render.mode` is "exact".

        The pipeline's progress bar counts model calls, and is shown only if something is
        evaluated. ``pipeline.set_progress_bar_config(disable=True)`` turns it off.

        Args:
            mode: "exact", `anchored(every=...)` or `anchored(tolerance=...)` ("anchored" is a
                tolerance of 0.1), "replay" or "preview".
            state: the state to render instead of the current one: one of `history`, or one made
                by the functions in `sega_session.state.edits`. Neither the history nor the state
                that estimates start from changes.
            output_type: "pil", "np" (``(seeds, height, width, 3)`` in [0, 1]), "pt"
                (``(seeds, 3, height, width)``) or "latent".
            keep_outside: paste the photograph's own pixels back wherever no edit acts, so that
                they do not change even by the VAE's loss: outside `protect`'s region and the
                masks of the concepts. The edge is softened inside the masks.
            callback_on_step_end: called after each model call as ``callback(session, call,
                timestep, {"latents": latents})`` with a copy of the latents, and may return the
                same dict or None. Raising from it cancels the render. It is not called if the
                state's final latents are recorded.
            progress: False hides the progress bar.

        Raises:
            InvalidValueError: an unknown mode or output type, the callback returned other
                latents, or ``keep_outside`` without a photograph.
            ModelChangedError: the model was changed since the session began.
            NotFiniteError: the latents overflowed.
            OutOfMemoryError: the memory does not suffice for one condition of one image.
            UnsupportedPipelineError: the pipeline was moved or cast since the session began.

        Warns:
            NoEffectWarning: ``keep_outside``, and the edits may change the whole image.
        """
        current = self.state
        edited = None
        if keep_outside:
            edited = self._edited(current if state is None else state, output_type)
        if state is None:
            render = self._render_current(
                current, as_mode(mode), output_type, callback_on_step_end, progress
            )
        else:
            render = self._render(
                self._checked(state),
                as_mode(mode),
                self._reference,
                output_type,
                callback_on_step_end,
                progress,
            )
        return render if edited is None else self._with_outside(render, edited)

    def stream(
        self,
        *,
        modes: Sequence[str | Mode] = STREAM,
        output_type: OutputType = "pil",
        callback_on_step_end: StepCallback | None = None,
        progress: bool = True,
    ) -> Iterator[Render]:
        """Render the current state in up to three modes, each more exact: preview, anchored, exact.

        Each render reuses the predictions that earlier ones evaluated at the same latents. An
        approximate render is left out unless its error estimate is below that of the one before
        for every image. The stream ends with the first exact render. Leaving the loop cancels the
        rest, and raising from the callback cancels at once. Edits made meanwhile do not change the
        stream.

        Args:
            modes: other modes, in the order of their accuracy.
            output_type, callback_on_step_end, progress: as for `render`.

        Raises: as `render` does.
        """
        state = self.state
        shown: Render | None = None
        for mode in [as_mode(one) for one in modes]:
            render = self._render_current(state, mode, output_type, callback_on_step_end, progress)
            if shown is None or _is_nearer(render, shown):
                shown = render
                yield render
            if render.exact:
                return

    def calibrate(self, name: str) -> Calibration:
        """Find the scales in which a concept changes the images of the current state.

        The images without the concept are rendered exactly, unless they are recorded, and those at
        four other scales, up to the concept's scale, approximately. If nothing changes visibly up
        to there, scales up to four times as high are tried. The other concepts apply as they are.
        Neither the history nor the state that estimates start from changes.

        >>> calibration = session.calibrate("glasses")
        >>> session.reweight("glasses", calibration.scale(0.5))

        Args:
            name: the name of a concept with a scale above 0.

        Returns:
            The range, and scales in it whose images look evenly spaced.

        Raises:
            UnknownConceptError: no concept has this name.
            InvalidValueError: the concept does not change the images visibly.

        And as `render` does.
        """
        state = self.state
        concept = state.concept(name)
        reasons = idle_reasons(concept, self.num_calls, self._renderer.first)
        reason = next(reasons, "" if concept.enabled else "it is muted. Call enable() first.")
        if reason:
            raise InvalidValueError(
                "name", name, "a concept that has an effect", f"In this state, {reason}"
            )
        without = edits.update(state, name, scale=0.0)
        evaluations = 0

        def images_at(scale: float) -> Images:
            nonlocal evaluations
            mode = CALIBRATING if scale else Exact()
            at = edits.update(state, name, scale=scale)
            render = self._render(at, mode, without, "np")
            evaluations += render.evaluations
            return cast(Images, render.images)

        with self._rendering:
            scales, changes = measure_changes(images_at, concept.scale)
        return Calibration(concept=name, scales=scales, changes=changes, evaluations=evaluations)

    @torch.no_grad()
    def measure(self, render: Render) -> Measurement:
        """Compare a render of this session with the exact render of its state.

        Exact renders that are not recorded are evaluated for this.

        Raises:
            InvalidValueError: another session made the render, or this one with another model.

        And as `render` does.
        """
        self._check_own(render)
        before_state = render.state if render.before is None else render.before
        exact = self._render(render.state, Exact(), None, "latent")
        before = self._render(before_state, Exact(), None, "latent")
        found, wanted, unedited = (
            torch.as_tensor(self._model.decode(one.latents, "pt").images)
            for one in (render, exact, before)
        )
        return measure(found, wanted, unedited, exact.evaluations + before.evaluations)

    def sem_guidance(self, concept: str | None = None) -> list[Tensor]:
        """Return the concepts' guidance at each model call of this state's exact render.

        Diffusers' `SemanticStableDiffusionPipeline` and `EditSession` accept it as
        ``sem_guidance``: one tensor of the latents' shape per call, in the latents' precision, on
        their device. The state is rendered exactly first, unless it is recorded.

        Args:
            concept: the name of the only concept to include, with its share of the momentum;
                None: all concepts, and the guidance that the session was given. The parts of all
                concepts and the given guidance add up to the whole.

        Raises:
            UnknownConceptError: no concept has this name.
            InvalidValueError: `cache_bytes` is too small for one whole render.
        """
        state = self.state
        part = state if concept is None else edits.only(state, concept)
        with self._rendering:
            self._render(state, Exact(), self._reference, "latent")
            return self._renderer.guidance(state, part)

    def heat_map(self, render: Render, concept: str) -> Tensor:
        """Return a map of where a concept acts in an exact render. Evaluates nothing.

        Args:
            render: an exact render of this session.
            concept: the name of a concept in it.

        Returns:
            ``(seeds, height / factor, width / factor)`` in float32 on the session's device: the
            root mean square of the concept's guidance over model calls and channels, each
            image's largest value 1. All 0 where the concept has no effect.

        Raises:
            UnknownConceptError: the render has no such concept.
            InvalidValueError: the render is not exact, its predictions have been evicted, or
                another session made it, or this one with another model.
        """
        self._check_own(render)
        if not render.exact:
            raise InvalidValueError("render", render.mode, '"exact"', "Render exactly first.")
        part = edits.only(render.state, concept)
        with self._rendering:
            return heat_map(self._renderer.guidance(render.state, part))

    def expected_heat_map(
        self, prompt: str, *, opposite: str | None = None, threshold: float = 0.9
    ) -> Tensor:
        """Return a map of where a concept would act that is not added yet.

        Its predictions are evaluated at the latents of the current state's exact render, at
        `EXPECTED_CALLS` model calls, together in one batch. The state is rendered exactly first,
        unless it is recorded.

        Args:
            prompt, opposite, threshold: as for `add`.

        Returns:
            As `heat_map` does. ``map >= 0.5`` is a ``mask`` for `add`.

        Raises:
            InvalidValueError: a value is outside its range, or `cache_bytes` is too small for one
                whole render.

        And as `render` does.
        """
        first = self._renderer.first
        concept = Concept(
            name=prompt, prompt=prompt, opposite=opposite, threshold=threshold, warmup=first
        )
        part = EditState(concepts=(concept,), momentum_scale=0)
        begin = default_warmup(self.num_calls, None, first)
        calls = np.linspace(begin, self.num_calls - 1, EXPECTED_CALLS).round().astype(int)
        with self._rendering:
            self._prepare(part)
            state = self.state
            self._render(state, Exact(), self._reference, "latent")
            at = sorted({*calls.tolist()})
            guidance, evaluations = self._renderer.expected_guidance(state, part, at)
        logger.info("expected heat map of %r: %d evaluations", prompt, evaluations)
        return heat_map(guidance)

    def heat_mask(
        self, render: Render, concept: str, threshold: float = 0.5
    ) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return the region where a concept acts most, a ``mask`` for `add` or `update`.

        Args:
            render: an exact render of this session.
            concept: the name of a concept in it.
            threshold: the least value of `heat_map` in the region, 0 to 1; the lower, the larger.

        Returns:
            ``(seeds, height / factor, width / factor)``, True inside.

        Raises: as `heat_map` does.
        """
        threshold = check_number("threshold", threshold, at_least=0, at_most=1)
        inside: np.ndarray[Any, np.dtype[np.bool_]] = (
            (self.heat_map(render, concept) >= threshold).cpu().numpy()
        )
        return inside

    # The model.

    def refresh_model(self) -> None:
        """Adopt the pipeline as it is now, after its weights or its scheduler were changed.

        Everything recorded is dropped, and texts are encoded again. Scene, history, embeddings,
        budgets and autosave stay. Another scheduler can have another number of model calls.

        Raises:
            UnsupportedPipelineError: the pipeline is no longer supported.
            InvalidValueError: the scene, or tensors that the session was given, do not fit it.

        Warns:
            NoEffectWarning: the warm-up of a concept ends after the last model call.
            AutosaveWarning: the autosaved file cannot be written.
        """
        with self._rendering:
            old = self._renderer
            model = SerialModel(as_model(self._pipeline))
            shape, sampler = self._shape_and_sampler(model)
            guidance = copy_guidance(old.guider.sem_guidance, sampler.calls, shape, model.spec)
            check_guidance(model.spec, self._scene)
            conditionings = Conditionings(
                model,
                self._scene,
                {
                    digest: self._conditionings.embeddings(digest)
                    for digest in named_embeddings(self._scene, self.history)
                },
            )
            conditionings.prepare(self.state)
            masks = Masks(self._scene, shape, model.spec)
            masks.restore_all(old.masks)
            renderer = attrs.evolve(
                old,
                model=model,
                spec=model.spec,
                sampler=sampler,
                shape=shape,
                noise=copy_noise(old.noise, shape, model.spec),
                guider=self._guider(model.spec, guidance, conditionings, masks),
                conditionings=conditionings,
                masks=masks,
                store=old.store.emptied(),
                first=first_call(self._scene, sampler.calls),
                photograph=None,
                rendered=set(),
            )
            reference = None
            if old.photograph is not None:
                again = Photograph(old.photograph.pixels)
                renderer, reference = self._inverted(renderer, again, None), EditState()
            self._renderer, self._reference = renderer, reference
            self._model, self._spec, self._conditionings = model, model.spec, conditionings
            self._made_by = self._identification()
            self._warn_of_idle(self.state, EditState())
            self._refresh_autosave()

    # Files.

    def save(self, path: str | Path, *, include: Include = "all") -> Saved:
        """Write the session into one safetensors file: scene, history and recorded tensors.

        The old file, if there is one, stays until the new one is complete.

        Args:
            include: the recorded renders to write. "all": those of the whole history; "base":
                only those of the unedited and the current state; "state": none, they are evaluated
                again when needed.

        Returns:
            The file's path, size and number of recorded renders; prints as one line.

        Raises:
            InvalidValueError: the path does not end in ".safetensors".
            ModelChangedError: the model was changed since the session began.
            SessionFileError: the file cannot be written.
            UnsupportedPipelineError: the pipeline's weights are not in memory.
        """
        check_choice("include", include, get_args(Include))
        expect = () if self._autosave is None else (self._autosave.expect,)
        return write_session(session_path(path), self._snapshot(include), *expect)

    def autosave(self, path: str | Path) -> None:
        """Keep a file up to date from now on, so that no edit is lost.

        Every edit is appended to a journal beside the file at once. The file itself, with
        ``include="base"``, is rewritten after every exact render that evaluated something.
        `recover` reads both. If another session or program replaces the file, autosave stops.

        Raises:
            InvalidValueError: the path does not end in ".safetensors".
            SessionFileError: the file cannot be written.

        Warns:
            AutosaveWarning: later, at each edit or render that could not be saved.
        """
        autosave = Autosave(session_path(path), partial(self._snapshot, "base"))
        autosave.save()
        self._autosave = autosave

    @classmethod
    def load(
        cls,
        path: str | Path,
        pipeline: Any,
        *,
        allow_model_mismatch: bool = False,
        cache_bytes: int | None = None,
        spill_bytes: int = 0,
    ) -> Self:
        """Continue a saved session: same history, same current state, nothing to evaluate again.

        Args:
            path: a file that `save` wrote.
            pipeline: the one that the session was made with; its folder does not matter.
            allow_model_mismatch: accept another pipeline; recorded tensors are not loaded then.
            cache_bytes, spill_bytes: as for a new session.

        Raises:
            SessionFormatError: the file is not a session, or is damaged.
            SessionFileError: the file cannot be read.
            ModelMismatchError: the pipeline is another; the message names the parts that differ.

        Warns:
            AutosaveWarning: a journal beside the file has later edits; see `recover`.
        """
        path = check_path("path", path)
        lines = read_journal(path)
        session, document = cls._from_file(
            path,
            pipeline,
            allow_model_mismatch,
            cache_bytes=cache_bytes,
            spill_bytes=spill_bytes,
        )
        if continues(lines, document):
            warn_caller(
                f"{path} has a journal with later edits: EditSession.recover() reads both.",
                AutosaveWarning,
            )
        return session

    @classmethod
    def recover(
        cls,
        path: str | Path,
        pipeline: Any,
        *,
        allow_model_mismatch: bool = False,
        cache_bytes: int | None = None,
        spill_bytes: int = 0,
    ) -> Self:
        """Continue an autosaved session: its file, and the later edits in its journal.

        Args: as for `load`. Raises: as `load` does.

        Warns:
            AutosaveWarning: the journal is damaged; the edits before the damage are recovered.
        """
        path = check_path("path", path)
        lines = read_journal(path)
        session, document = cls._from_file(
            path,
            pipeline,
            allow_model_mismatch,
            cache_bytes=cache_bytes,
            spill_bytes=spill_bytes,
        )
        session._timeline.go(recover_history(path, lines, document))  # noqa: SLF001
        return session

    @classmethod
    def from_image(
        cls,
        image: str | Path | Image,
        pipeline: Any,
        *,
        allow_model_mismatch: bool = False,
        **budgets: Unpack[Budgets],
    ) -> Self:
        """Begin a session with the scene and the concepts of an image that `Render.save` wrote.

        The concepts are one entry of the history.

        Args:
            image: a PNG file, or an image opened from one; of a batch, any of its images.
            pipeline: the one that the image was made with.
            allow_model_mismatch: accept another pipeline, which renders another image.
            budgets: `cache_bytes`, `spill_bytes` and `batch_plan`, as for a new session.

        Raises:
            SessionFormatError: the image has no such metadata, or was made with tensors that it
                does not hold.
            SessionFileError: the file cannot be read.
            ModelMismatchError: the pipeline is another.
        """
        made, _ = read_provenance(image)
        check_carried(made)
        model = identify(as_model(pipeline))
        if made.model != model.digest and not allow_model_mismatch:
            raise ModelMismatchError(
                f"the image was made with model {made.model[:12]} ({made.sampler}), the pipeline "
                f"is {model.digest[:12]} ({model.sampler}); allowed: the same.",
                "Load that one, or pass allow_model_mismatch=True for another image of the same "
                "concepts.",
            )
        session = cls.from_scene(made.scene, pipeline, **budgets)
        with session.transaction("from an image"):
            session._edit(made.state)  # noqa: SLF001
        return session

    @classmethod
    def from_photo(
        cls,
        photo: PhotoSource,
        pipeline: Any,
        prompt: str = "",
        *,
        fit: Fit = "crop",
        skip: float = 0.15,
        seed: int | Iterable[int] = 0,
        height: int | None = None,
        width: int | None = None,
        guidance_scale: float | None = None,
        callback_on_step_end: StepCallback | None = None,
        **options: Unpack[PhotoOptions],
    ) -> Self:
        """Begin a session from a photograph, or from several as a batch.

        The photograph is inverted: encoded by the VAE, and led to noise so that the unedited
        render is the VAE's reconstruction to the bit, at no evaluation. For this every condition of
        the unedited image is evaluated at every model call, all calls together in a few batches.
        Edits start from there; undoing them leads back to the same bits. The inversion's latents
        and residuals, two tensors of the latents' shape for each call, are kept besides
        `cache_bytes`.

        >>> session = EditSession.from_photo("me.jpg", pipeline)
        >>> session.add("glasses", scale=5, threshold=0.95)
        >>> session.render().image.show()

        Args:
            photo: the path of an image file, a PIL image, an array ``(height, width, 3)`` or
                ``(images, height, width, 3)``, a tensor ``(3, height, width)`` or ``(images, 3,
                height, width)``, or a list of such images. Numbers are 8-bit, or from 0 to 1. Files
                are turned as their EXIF orientation says and converted to sRGB.
            pipeline: as for `EditSession`.
            prompt: what the photograph shows; "" is a good default, and costs the fewest
                evaluations.
            fit: how the photograph is brought to the size. "crop": cut at the longer sides; "pad":
                black bars at the shorter ones; "resize": stretched.
            skip: the share of the model calls, from the noise end, that edits leave as they are,
                0 <= skip < 1. The larger it is, the less of the composition an edit can change.
            seed: for the noise of the inversion; one for all photographs, or one for each.
            height, width: pixels, multiples of the VAE's factor; None: the model's default size.
            guidance_scale: as for `EditSession`. None: no guidance of the prompt, the pipeline's
                default for distilled models. The photograph is reproduced under any scale.
            callback_on_step_end: called during the inversion, as `render` calls it. Raising from
                it cancels.
            options: further arguments of `EditSession`, ``num_inference_steps`` among them.

        Raises:
            InvalidValueError: the photograph cannot be read, or a value is outside its range.
            UnsupportedPipelineError: the pipeline is not supported, or does not encode images.
            NotFiniteError: the photograph's latents overflowed.
            OutOfMemoryError: the memory does not suffice for one condition of one image.

        Warns: as `EditSession` does.
        """
        spec = as_model(pipeline).spec
        height, width = _photograph_size(spec, height, width)
        pixels = read_photographs(photo, height, width, fit)
        if guidance_scale is None and not spec.distilled and math.isfinite(spec.unguided_scale):
            guidance_scale = spec.unguided_scale
        return cls(
            pipeline,
            prompt,
            photograph=Photograph(pixels),
            skip=skip,
            seed=seed if isinstance(seed, Iterable) else (seed,) * len(pixels),
            height=height,
            width=width,
            guidance_scale=guidance_scale,
            callback_on_step_end=callback_on_step_end,
            **options,
        )

    @classmethod
    def from_scene(
        cls, scene: Scene | ScriptScene, pipeline: Any, **options: Unpack[Options]
    ) -> Self:
        """Begin a session of a scene.

        Args:
            scene: prompt, seeds and settings.
            pipeline: as for `EditSession`.
            options: further arguments of `EditSession`; embeddings among them, if the scene names
                some.
        """
        if not isinstance(scene, Scene | ScriptScene):
            raise InvalidValueError(
                "scene", scene, "a Scene", 'Begin with EditSession(pipeline, "a prompt").'
            )
        fields = {field.name: getattr(scene, field.name) for field in attrs.fields(type(scene))}
        prompt, seeds = fields.pop("prompt"), fields.pop("seeds")
        if fields.pop("photograph", None) is not None and options.get("photograph") is None:
            raise InvalidValueError(
                "scene",
                scene,
                "one without a photograph, or with photograph=",
                "Begin with EditSession.from_photo(...), or load the session's file.",
            )
        for name, (option, _) in PROMPT_EMBEDDINGS.items():
            if fields.pop(name, None) is not None and options.get(option) is None:
                raise InvalidValueError(
                    "scene",
                    scene,
                    f"one in words, or with {option}=",
                    "Pass the embeddings that it was made with, or load the session's file.",
                )
        return cls(pipeline, prompt, seed=seeds, **fields, **options)

    def another(
        self,
        scene: Scene | None = None,
        *,
        edits: Carried = "history",
        **changes: Unpack[Changes],
    ) -> Self:
        """Begin a session of another scene with the same pipeline, and carry the edits over.

        Where the number of model calls is another, warm-up and cool-down of every concept keep
        their share of it, so that a concept that is applied still is: a warm-up of 10 calls of 50
        is one of 4 of 20. Embeddings that take the place of words are used for the same words
        only. Photographs are inverted again. Latents and guidance that this session was given are
        not used, nothing recorded is shared, and the new session does not autosave.

        >>> session.another(seed=8).render().image.show()

        Args:
            scene: the scene that the changes apply to; None: this session's.
            edits: what is carried over. "history": the whole history; "state": the current state,
                as one entry; "none": nothing.
            changes: fields of the scene, named as for `EditSession`; ``seed=None`` draws random
                seeds, as many as there are images now, and one seed counts for all photographs.
                Also `cache_bytes`, `spill_bytes` and `batch_plan`, by default this session's, and
                ``callback_on_step_end``, called while a photograph is inverted.

        Raises:
            InvalidValueError: a value is outside its range, or masks or embeddings of the edits
                do not fit the images.

        Warns:
            NoEffectWarning: a concept cannot change the image.
        """
        check_choice("edits", edits, get_args(Carried))
        if scene is not None and not isinstance(scene, Scene):
            raise InvalidValueError(
                "scene", scene, "a Scene", "Or pass what changes: another(prompt=...)."
            )
        options: dict[str, Any] = {**self._budgets, "callback_on_step_end": None}
        fields = {name: value for name, value in changes.items() if name not in options}
        options |= {name: value for name, value in changes.items() if name in options}
        scene = changed_scene(self._scene if scene is None else scene, fields)
        own, photograph = self._renderer.photograph, None
        if own is not None and scene.photograph == self._scene.photograph:
            photograph = Photograph(own.pixels)
        history = History()
        if edits != "none":
            history = (
                self.history if edits == "history" else history.commit(self.state, "carried over")
            )
        _check_masks(history, self._renderer.masks.all_pixels(), self._scene, scene)
        other = self.from_scene(
            scene,
            self.pipeline,
            photograph=photograph,
            **self._prompt_embeddings(scene),
            **options,
        )
        other._continue(history, self)  # noqa: SLF001
        return other

    # Scripts.

    def script(self) -> Script:
        """Return the history as a script; `run` makes the same history from it.

        For a session with photographs it names photograph.png beside it, or photograph-0.png and
        so on: save `photographs` there.

        Raises:
            ScriptError: a concept is defined by embeddings, which a script cannot hold.
        """
        return script_from_history(self.scene, self.history, self._renderer.masks.all_pixels())

    @classmethod
    def run(
        cls,
        script: Script | str | Path,
        pipeline: Any,
        folder: str | Path = ".",
        limits: Limits = DEFAULT_LIMITS,
        **budgets: Unpack[Budgets],
    ) -> Self:
        """Run a scripted edit history, with the same bits every time.

        Args:
            script: a `Script`, or the path of a script's file. Photographs and masks are read from
                the file's folder; those of a `Script`, from ``folder``.
            folder: where its operations write images and files. A file in it is replaced by one
                of its name; other sessions' files too, but no other file ending in .safetensors.
            limits: what the script may ask for, such as `Limits(evaluations=...)`.
            budgets: `cache_bytes`, `spill_bytes` and `batch_plan`, as for a new session.

        Returns:
            The session after the script's last operation.

        Raises:
            ScriptError: the script is not valid, asks for more than the limits, or an operation
                failed; the message names it.
        """
        folder = check_path("folder", folder)
        inputs = folder if isinstance(script, Script) else check_path("script", script).parent
        script = script if isinstance(script, Script) else Script.load(script, limits)
        session = cls.from_script(script, pipeline, inputs, limits, **budgets)
        for _ in run_script(script, session, folder, limits, inputs=inputs):
            pass
        return session

    @classmethod
    def from_script(
        cls,
        script: Script,
        pipeline: Any,
        folder: str | Path = ".",
        limits: Limits = DEFAULT_LIMITS,
        **budgets: Unpack[Budgets],
    ) -> Self:
        """Begin a session of a script's scene, without its operations.

        Args:
            script: the script.
            pipeline: as for `EditSession`.
            folder: the folder that photographs are read from; they cannot lead out of it.
            limits: what the script may ask for.
            budgets: `cache_bytes`, `spill_bytes` and `batch_plan`, as for a new session.

        Raises:
            ScriptError: a photograph is another than the script's, or the script asks for more
                than the limits.

        And as `from_scene` and `from_photo` do.
        """
        scene, found = script.scene, script.scene.photograph
        limits.check("seeds", len(scene.seeds))
        if found is None:
            return cls.from_scene(scene, pipeline, **budgets)
        folder = check_path("folder", folder)
        files = [path_inside(folder, one, "photograph") for one in found.files]
        limits.check("seeds", len(files))
        spec = as_model(pipeline).spec
        height, width = _photograph_size(spec, scene.height, scene.width)
        limits.check("pixels", height * width * len(files))
        pixels = read_photographs(files, height, width, found.fit)
        if found.digest is not None and found.digest != (other := photograph_digest(pixels)):
            raise ScriptError(
                f"{', '.join(found.files)} has pixels with the digest {other} at {width} x "
                f"{height}; allowed: {found.digest}. Use the photograph that the script was made "
                "with, or leave its digest out of the script."
            )
        settings = attrs.asdict(scene, filter=lambda field, _: field.name != "photograph")
        seeds = settings.pop("seeds")
        settings |= {"height": height, "width": width, "skip": found.skip}
        seed = seeds[0] if len(seeds) == 1 else seeds
        return cls.from_photo(pixels, pipeline, seed=seed, **settings, **budgets)

    # Private.

    def _html_of_recorded(self) -> str:
        """Return the images of the current state, or else of the last exact render, if recorded."""
        for state in (self.state, self._reference):
            if state is None:
                continue
            key = self._renderer.trajectory(state).final
            latents = self._renderer.store.peek(key)
            if latents is None:
                continue
            caption = "exact"
            if state != self.state:
                caption = f"the last exact image; since then: {diff(state, self.state)}"
            try:
                self._model.check_unchanged()
                decoded = self._model.decode(latents.to(self._spec.device), "pil")
            except SegaSessionError:
                return ""
            return html_figure([*decoded.images], self._scene, caption)
        return ""

    @property
    def _budgets(self) -> Budgets:
        cache = self.cache
        return {
            "cache_bytes": cache.max_bytes,
            "spill_bytes": cache.max_spilled_bytes,
            "batch_plan": self.batch_plan,
        }

    def _prompt_embeddings(self, scene: Scene) -> PromptEmbeddings:
        """Return those embeddings of a scene's prompts that this session has, as arguments."""
        known = self._conditionings

        def find(digest: str) -> Embeddings | None:
            return known.embeddings(digest) if embedding_condition(digest) in known else None

        return prompt_embeddings(scene, find)

    def _edit(self, state: EditState) -> None:
        """Adopt the state after an edit."""
        self._prepare(state)
        self._warn_of_idle(state, self.state)
        self._timeline.commit(state)

    def _prepare(self, state: EditState) -> None:
        """Encode what a state needs. Raises InvalidValueError or ModelChangedError."""
        self._conditionings.prepare(state)
        for mask in state.masks:
            if mask.digest not in self._renderer.masks:
                raise InvalidValueError(
                    "state",
                    mask,
                    "masks that were added to this session",
                    "Add them first: update(name, mask=...), or protect(mask).",
                )

    def _shape_and_sampler(self, model: DiffusionModel) -> tuple[LatentsShape, Sampler]:
        """Return the latents' shape and the sampler of the scene. Raises InvalidValueError."""
        scene = self._scene
        channels, height, width = model.latents_shape(scene.height, scene.width)
        sampler = model.sampler(scene.num_inference_steps, scene.height, scene.width, scene.eta)
        return (len(scene.seeds), channels, height, width), sampler

    def _guider(
        self,
        spec: ModelSpec,
        guidance: Tensor | None,
        conditionings: Conditionings,
        masks: Masks,
    ) -> Guider:
        return Guider(
            self._scene,
            spec.distilled,
            guidance,
            spec.unguided_scale,
            masks,
            conditionings.is_unprompted,
        )

    def _inverted(
        self, renderer: Renderer, photograph: Photograph, callback: StepCallback | None
    ) -> Renderer:
        """Return a renderer that begins from a photograph; invert it unless it is already."""
        if photograph.inversion is None:
            start = time.perf_counter()
            inversion, evaluations = renderer.invert(
                photograph.pixels, lambda bar: watch_steps(self, bar, callback)
            )
            seconds = time.perf_counter() - start
            logger.info("photograph inverted: %d evaluations, %.2f s", evaluations, seconds)
            photograph = attrs.evolve(photograph, inversion=inversion)
        return attrs.evolve(renderer, photograph=photograph)

    def _warn_of_idle(self, state: EditState, before: EditState) -> None:
        """Warn of concepts that cannot change the image, unless they could not before."""
        calls, first = self.num_calls, self._renderer.first
        known = {one.name: {*idle_reasons(one, calls, first)} for one in before}
        for concept in state:
            for reason in idle_reasons(concept, calls, first):
                if reason not in known.get(concept.name, ()):
                    warn_caller(f"{concept.name!r} has no effect: {reason}", NoEffectWarning)

    def _adopt(self, renderer: Renderer, history: History, reference: EditState | None) -> None:
        """Continue as another session of this scene and model, whose records are shared."""
        self._conditionings.restore_all(renderer.conditionings)
        self._renderer.masks.restore_all(renderer.masks)
        self._timeline.go(history)
        store, rendered = renderer.store.copy(), set(renderer.rendered)
        self._renderer = attrs.evolve(self._renderer, store=store, rendered=rendered)
        self._reference = reference

    def _continue(self, history: History, other: EditSession) -> None:
        """Adopt edits of a session of another scene, with the masks and embeddings they name.

        Raises:
            InvalidValueError: the embeddings do not fit the number of images.
        """
        for digest in named_embeddings(self._scene, history):
            self._conditionings.restore_embeddings(digest, other._conditionings.embeddings(digest))
        for digest in named_masks(history):
            self._renderer.masks.restore(digest, other._renderer.masks.pixels(digest))
        calls = other.num_calls, self.num_calls
        if calls[0] != calls[1]:
            history = history.with_states(lambda state: rescaled(state, *calls))
        self._timeline.go(history)
        self._warn_of_idle(self.state, EditState())

    def _checked(self, state: EditState) -> EditState:
        """Return a user's state, ready to be rendered. Raises InvalidValueError."""
        if not isinstance(state, EditState):
            raise InvalidValueError("state", state, "an EditState, such as one of the history's")
        self._prepare(state)
        return state

    def _render_current(
        self,
        state: EditState,
        mode: Mode,
        output_type: OutputType,
        callback: StepCallback | None,
        progress: bool,
    ) -> Render:
        """Render a state; if the render is exact, later estimates start from it."""
        with self._rendering:
            render = self._render(state, mode, self._reference, output_type, callback, progress)
            if render.exact:
                self._reference = state
                if render.evaluations:
                    self._refresh_autosave()
            return render

    def _render(
        self,
        state: EditState,
        mode: Mode,
        reference: EditState | None,
        output_type: OutputType,
        callback: StepCallback | None = None,
        progress: bool = True,
    ) -> Render:
        check_spec(self._model.spec, self._spec)
        check_choice("output_type", output_type, get_args(OutputType))
        with self._rendering:
            self._model.check_unchanged()
            start = time.perf_counter()
            made = self._renderer.render(
                state,
                mode,
                reference,
                output_type,
                lambda bar: watch_steps(self, bar, callback),
                progress=progress,
            )
            seconds = time.perf_counter() - start
        logger.info("%s render: %d evaluations, %.2f s", made.mode, made.evaluations, seconds)
        render = Render(
            images=made.decoded.images,
            latents=made.latents,
            evaluations=made.evaluations,
            mode=str(made.mode),
            exact=made.exact,
            error_estimate=None if made.error is None else tuple(made.error.tolist()),
            state=state,
            before=reference,
            made_by=self._made_by,
            nsfw_content_detected=made.decoded.nsfw_content_detected,
        )
        self._renders.add(render)
        return render

    def _identification(self) -> MadeBy:
        """Return what tells this session, with its present model, from others."""
        tensors = {
            "latents": self._renderer.noise,
            "sem_guidance": self._renderer.guider.sem_guidance,
            **self._prompt_embeddings(self._scene),
        }
        given = tuple(name for name, tensor in tensors.items() if tensor is not None)
        return MadeBy(
            self._scene,
            given,
            ModelReference(self._pipeline, self._model.begun),
            "prompt" if self._spec.distilled else "unconditional",
        )

    def _edited(self, state: EditState, output_type: OutputType) -> Pixels:
        """Return the pixels of a photograph that edits may change, 255 inside.

        Raises:
            InvalidValueError: there is none whose pixels can be pasted outside of them.
        """
        if self._renderer.photograph is None or output_type == "latent":
            raise InvalidValueError(
                "keep_outside",
                True,
                "False for latents, and for images that are not made from a photograph",
                "To keep an image's own pixels outside a region, call protect(mask).",
            )
        trajectory = self._renderer.trajectory(self._checked(state))
        edited = acted_on(trajectory, state.region, self._renderer.masks, self.size)
        if edited.min() == 255:
            warn_caller(
                "keep_outside has no effect: the edits may change the whole image. Give the "
                "concepts masks, or call protect(mask).",
                NoEffectWarning,
            )
        return edited

    def _with_outside(self, render: Render, edited: Pixels) -> Render:
        """Return a render with the photograph's own pixels outside of what may be edited."""
        photograph = self._renderer.photograph
        if photograph is None:
            return render
        images = paste_outside(render.images, photograph.pixels, feathered(edited))
        pasted = attrs.evolve(render, images=images)
        self._renders.add(pasted)
        return pasted

    def _check_own(self, render: Render) -> None:
        """Raise InvalidValueError unless this session made a render with its present model."""
        if not isinstance(render, Render) or render.made_by.token != self._made_by.token:
            raise InvalidValueError(
                "render",
                render,
                "one that this session made, with the model that it has now",
                "Render it here: session.render(state=render.state).",
            )

    def _note(self, history: History) -> None:
        """Write a change of the history to the journal."""
        if self._autosave is not None:
            self._autosave.note(history)

    def _refresh_autosave(self) -> None:
        """Rewrite the autosaved file, unless a transaction is open."""
        if self._autosave is not None and not self._timeline.in_transaction:
            self._autosave.refresh()

    def _snapshot(self, include: Include) -> Snapshot:
        """Return the content of the session's file. Raises ModelChangedError."""
        self._model.check_unchanged()
        return take_snapshot(self._scene, self.history, self._renderer, self._reference, include)

    def _restore(self, snapshot: Snapshot, *, same_model: bool) -> None:
        """Adopt a file's history, and its recorded tensors if the model is the same."""
        document = snapshot.document
        for digest in named_embeddings(document.scene, document.history):
            self._conditionings.restore_embeddings(digest, snapshot.embeddings(digest))
        for digest in document.masks:
            self._renderer.masks.restore(digest, snapshot.mask(digest))
        self._timeline.go(document.history)
        if same_model:
            restore_recorded(snapshot, self._renderer)
            if document.start is not None:
                self._reference = document.history[document.start].state

    @classmethod
    def _from_file(
        cls,
        path: Path,
        pipeline: Any,
        allow_model_mismatch: bool,
        *,
        cache_bytes: int | None,
        spill_bytes: int,
    ) -> tuple[Self, Document]:
        """Return the session in a file, and the file's document."""
        model = as_model(pipeline)
        snapshot = read_session(path, model.spec.device)
        document = snapshot.document
        same_model = is_same_model(document, model, allow_mismatch=allow_model_mismatch)
        photograph = snapshot.photograph
        if photograph is not None and not same_model:
            photograph = Photograph(photograph.pixels)
        # That of a photograph is part of its inversion.
        noise = None
        if photograph is None:
            noise = given_noise(snapshot, model.spec, same_model=same_model)
        session = cls.from_scene(
            document.scene,
            pipeline,
            latents=noise,
            sem_guidance=snapshot.tensor(SEM_GUIDANCE) if document.guidance_calls else None,
            photograph=photograph,
            cache_bytes=cache_bytes,
            spill_bytes=spill_bytes,
            batch_plan=document.batch_plan,
            **prompt_embeddings(document.scene, snapshot.embeddings),
        )
        session._restore(snapshot, same_model=same_model)  # noqa: SLF001
        return session, document
