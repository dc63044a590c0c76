"""The denoising loop: recorded predictions where there are any, the model where there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from attrs import frozen
from torch import Tensor

from .denoisers import Conditioning, Denoiser, ImageType
from .errors import InvalidValueError
from .guidance import (
    concept_guidance,
    text_guidance,
    update_momentum,
    weighted_sum,
    with_momentum,
)
from .recipe import Recipe, StepRecipe, Term
from .trajectory import FINAL, Key, TrajectoryStore, latent_keys

UNCOND = "uncond"


@frozen(eq=False)
class Render:
    """A finished picture, and what it cost.

    Attributes:
        images: one an edited seed, in the `output_type` that was asked for.
        latents: the final latents, ``(batch, channels, height / factor, width / factor)``, on the
            session's device.
        evaluations: branch-steps evaluated by this render: one branch of one model call for one
            image each. 0 where everything was recorded before.
        nsfw_content_detected: the pipeline's safety checker's verdict for each image, or None.
    """

    images: ImageType
    latents: Tensor
    evaluations: int
    nsfw_content_detected: list[bool] | None = None

    @property
    def image(self) -> Any:
        """The first image."""
        return self.images[0]


@frozen(eq=False)
class Branches:
    """What the branches of a session's renders are.

    Attributes:
        conditionings: by key: `UNCOND`, the scene's prompt, and every concept.
        text: key of the scene's prompt.
        guidance_scale: of the text; up to 1, classifier-free guidance is off.
        sem_guidance: recorded guidance that is added at each call, ``(calls or more, batch,
            channels, height, width)``, or None.
    """

    conditionings: Mapping[str, Conditioning]
    text: str
    guidance_scale: float
    sem_guidance: Tensor | None = None

    def needed(self, step: StepRecipe) -> tuple[str, ...]:
        """Keys of the branches that one model call needs, each once."""
        concepts = step.conditionings
        uncond = (UNCOND,) if self.guidance_scale > 1 or concepts else ()
        return tuple(dict.fromkeys((*uncond, self.text, *concepts)))


BatchPlan = Literal["together", "canonical"]
"""How many branches one model call evaluates: all that are missing, or always one.

A row's last bits depend on the size of the batch that it is evaluated in. Under "canonical" that
size is always the number of images, so a result has the same bits whatever was recorded before.
"""

OnStep = Callable[[int, Tensor, Tensor], None]
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


def denoise(
    denoiser: Denoiser,
    scheduler: Any,
    latents: Tensor,
    recipe: Recipe,
    branches: Branches,
    store: TrajectoryStore,
    step_kwargs: Mapping[str, Any],
    on_step: OnStep,
    batch_plan: BatchPlan = "together",
) -> tuple[Tensor, int]:
    """Run SEGA from the initial latents to the final ones.

    A scheduler keeps state, so no call is skipped: where predictions are recorded, it is driven
    through them, which costs elementwise work only.

    Args:
        scheduler: fresh, its timesteps set; used up by this.
        latents: the initial latents, already scaled by the scheduler's ``init_noise_sigma``.
        store: where predictions are looked up and recorded.
        step_kwargs: further arguments for ``scheduler.step``.
        on_step: called after each model call with its number, timestep and new latents.
        batch_plan: how many branches are evaluated at once.

    Returns:
        The final latents and the branch-steps evaluated.
    """
    keys = latent_keys(recipe)
    final = store.get(Key(keys[-1], FINAL))
    if final is not None:
        return final.clone(), 0

    timesteps = scheduler.timesteps.to(latents.device)
    momentum = torch.zeros_like(latents)
    evaluations = 0
    for call, step in enumerate(recipe.steps):
        timestep = scheduler.timesteps[call]
        model_input = scheduler.scale_model_input(latents, timestep)
        wanted = [Key(keys[call], branch) for branch in branches.needed(step)]
        predictions = {key.branch: found for key in wanted if (found := store.get(key)) is not None}
        missing = [key for key in wanted if key.branch not in predictions]
        at_once = 1 if batch_plan == "canonical" else len(missing) or 1
        for first in range(0, len(missing), at_once):
            group = missing[first : first + at_once]
            conditionings = [branches.conditionings[key.branch] for key in group]
            taken = denoiser.predict(model_input, timesteps[call], conditionings)
            for key, prediction in zip(group, taken, strict=True):
                predictions[key.branch] = prediction
                store.put(key, prediction)
        evaluations += len(missing) * len(latents)
        noise, momentum = guide(predictions, step, recipe, branches, call, momentum)
        latents = scheduler.step(noise, timestep, latents, **step_kwargs).prev_sample
        on_step(call, timestep, latents)
    store.put(Key(keys[-1], FINAL), latents)
    return latents, evaluations


def planned_evaluations(
    recipe: Recipe, branches: Branches, store: TrajectoryStore, images: int
) -> int:
    """The branch-steps that `denoise` would evaluate now for so many images."""
    keys = latent_keys(recipe)
    if Key(keys[-1], FINAL) in store:
        return 0
    wanted = (
        Key(latents, branch)
        for latents, step in zip(keys, recipe.steps, strict=False)
        for branch in branches.needed(step)
    )
    return images * sum(key not in store for key in wanted)


def guide(
    predictions: Mapping[str, Tensor],
    step: StepRecipe,
    recipe: Recipe,
    branches: Branches,
    call: int,
    momentum: Tensor,
) -> tuple[Tensor, Tensor]:
    """One call's predictions -> the guided prediction (Eq. 3) and the next call's momentum."""

    def total(terms: Sequence[Term]) -> Tensor:
        if not terms:
            return torch.zeros_like(momentum)
        uncond = predictions[UNCOND]
        return weighted_sum(
            [
                concept_guidance(uncond, predictions[t.conditioning], t.scale, t.threshold)
                for t in terms
            ],
            [t.weight for t in terms],
        )

    text = predictions[branches.text]
    if branches.guidance_scale > 1:
        base = predictions[UNCOND]
        guidance = text_guidance(base, text, branches.guidance_scale)
    else:
        base, guidance = text, torch.zeros_like(text)

    if recipe.momentum_scale:
        fed = with_momentum(total(step.feeding), momentum, recipe.momentum_scale)
        momentum = update_momentum(momentum, fed, recipe.momentum_beta)
    guidance = guidance + (fed if step.momentum_applied else total(step.applied))
    if branches.sem_guidance is not None:
        guidance = guidance + branches.sem_guidance[call]
    return base + guidance, momentum
