"""The ways to edit photographs that `photos.py` compares, behind one interface."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from attributes import ATTRIBUTES, from_labels
from attrs import frozen
from captions import describe
from concepts import Edit
from diffusers import DPMSolverMultistepScheduler, LEditsPPPipelineStableDiffusion
from numpy.typing import NDArray
from PIL import Image
from studio import BATCH, GUIDANCE_SCALE, STEPS, Images, Labels

from sega_session import EditSession, load_pipeline

SKIP = 0.15
"""Share of the steps, from the noise, that an inversion leaves out."""

Photos = NDArray[np.uint8]
"""``(count, 128, 128, 3)``."""

Arrays = dict[str, NDArray[Any]]


@frozen
class Setting:
    """The strength and the place of an edit.

    Attributes:
        warmup: The model calls before it starts.
        masked: For LEDITS++, whether attention maps confine it too.
        reversed: For LEDITS++, whether a removal leads away from the thing, not to its absence.
    """

    scale: float
    threshold: float
    warmup: int
    masked: bool = False
    reversed: bool = False

    def __str__(self) -> str:
        extra = [name for name in ("masked", "reversed") if getattr(self, name)]
        return ", ".join([f"{self.scale:g} / {self.threshold:g} / {self.warmup}", *extra])


@frozen(eq=False)
class Portraits:
    """Portraits and what they show.

    Attributes:
        images: uint8 ``(count, 128, 128, 3)``.
        labels: int64 ``(count, attributes)``.
        seeds: One for each.
    """

    images: Photos
    labels: Labels
    seeds: Sequence[int]

    def of(self, chosen: NDArray[np.bool_]) -> Portraits:
        """Select some of the portraits."""
        seeds = [seed for seed, one in zip(self.seeds, chosen, strict=True) if one]
        return Portraits(self.images[chosen], self.labels[chosen], seeds)

    def first(self, count: int) -> Portraits:
        """Select the first portraits."""
        return self.of(np.arange(len(self.seeds)) < count)

    def batches(self) -> Iterator[Portraits]:
        """Yield the portraits in batches."""
        for first in range(0, len(self.seeds), BATCH):
            part = slice(first, first + BATCH)
            yield Portraits(self.images[part], self.labels[part], self.seeds[part])


class Editor(Protocol):
    """A way to edit photographs."""

    @property
    def unet(self) -> torch.nn.Module:
        """The U-Net that it calls."""

    def invert(self, photos: Photos, seeds: Sequence[int], skip: float = SKIP) -> None:
        """Invert photographs in one batch; renders are of the last inverted ones."""

    def render(self, edit: Edit | None = None, setting: Setting | None = None) -> Images:
        """Render the photographs with an edit or without: float (count, H, W, 3) in [0, 1]."""


class Sessions:
    """Sessions that begin from photographs."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._session: EditSession

    @property
    def unet(self) -> torch.nn.Module:
        unet: torch.nn.Module = self._pipeline.unet
        return unet

    def invert(self, photos: Photos, seeds: Sequence[int], skip: float = SKIP) -> None:
        self._session = EditSession.from_photo(
            photos, self._pipeline, seed=list(seeds), num_inference_steps=STEPS, skip=skip
        )

    def render(self, edit: Edit | None = None, setting: Setting | None = None) -> Images:
        for concept in self._session.concepts:
            self._session.remove(concept.name)
        if edit is not None and setting is not None:
            self._session.add(
                edit.concept,
                opposite=edit.opposite,
                scale=setting.scale,
                threshold=setting.threshold,
                warmup=setting.warmup,
            )
        return np.asarray(self._session.render(output_type="np").images)


class Ledits:
    """LEDITS++ with its SDE-DPM-Solver++.

    It replaces the attention processors of its U-Net, so it has a pipeline of its own.

    Args:
        checkpoint: The directory of the weights.
        final_sigmas: ``"zero"``, the scheduler's default, or ``"sigma_min"``, with which the last
            step that it renders is the one that it inverted.
    """

    def __init__(self, checkpoint: Path, final_sigmas: str) -> None:
        base: Any = load_pipeline(checkpoint)
        scheduler = DPMSolverMultistepScheduler.from_config(
            base.scheduler.config,
            algorithm_type="sde-dpmsolver++",
            solver_order=2,
            final_sigmas_type=final_sigmas,
        )
        self._pipeline: Any = LEditsPPPipelineStableDiffusion(
            vae=base.vae,
            text_encoder=base.text_encoder,
            tokenizer=base.tokenizer,
            unet=base.unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        self._pipeline.set_progress_bar_config(disable=True)

    @property
    def unet(self) -> torch.nn.Module:
        unet: torch.nn.Module = self._pipeline.unet
        return unet

    def invert(self, photos: Photos, seeds: Sequence[int], skip: float = SKIP) -> None:
        self._pipeline.invert(
            [Image.fromarray(photo) for photo in photos],
            # The skipped steps come on top: together they are STEPS.
            num_inversion_steps=math.ceil(STEPS / (1 + skip)),
            skip=skip,
            generator=torch.Generator().manual_seed(seeds[0]),
        )

    def render(self, edit: Edit | None = None, setting: Setting | None = None) -> Images:
        arguments: dict[str, Any] = {"use_intersect_mask": False}
        if edit is not None and setting is not None:
            away = setting.reversed and edit.opposite is not None
            arguments = {
                "editing_prompt": [edit.opposite if away else edit.concept],
                "reverse_editing_direction": away,
                "edit_guidance_scale": setting.scale,
                "edit_threshold": setting.threshold,
                "edit_warmup_steps": setting.warmup,
                "use_intersect_mask": setting.masked,
            }
        return np.asarray(self._pipeline(output_type="np", **arguments).images)


class Count:
    """The rows and the calls of a U-Net."""

    def __init__(self) -> None:
        self.rows = self.calls = 0

    def add(self, _: Any, arguments: tuple[Any, ...]) -> None:
        """Count a call: a hook of the U-Net."""
        self.rows += len(arguments[0])
        self.calls += 1


@contextmanager
def counted(unet: torch.nn.Module) -> Iterator[Count]:
    """Count the calls of a U-Net and their rows."""
    count = Count()
    hook = unet.register_forward_pre_hook(count.add)
    try:
        yield count
    finally:
        hook.remove()


class Made:
    """The images of edits and what they cost, batch by batch."""

    def __init__(self) -> None:
        self._images: dict[Setting | None, list[Images]] = {}
        self._rows: dict[Setting | None, int] = {}
        self._calls: dict[Setting | None, int] = {}

    def add(self, setting: Setting | None, images: Images, count: Count) -> None:
        """Take a batch of a setting."""
        self._images.setdefault(setting, []).append(images)
        self._rows[setting] = self._rows.get(setting, 0) + count.rows
        self._calls[setting] = count.calls

    def arrays(self) -> Arrays:
        """Return by setting: ``images``, and ``costs``, evaluations per image and calls."""
        images = np.stack([np.concatenate(batches) for batches in self._images.values()])
        rows = np.array([*self._rows.values()]) / images.shape[1]
        return {"images": images, "costs": np.stack([rows, [*self._calls.values()]], axis=1)}


def reconstruct(editor: Editor, portraits: Portraits) -> Arrays:
    """Invert and render all portraits without an edit."""
    images = []
    for part in portraits.batches():
        editor.invert(part.images, part.seeds)
        images.append(editor.render())
    return {"images": np.concatenate(images)}


def edit_all(
    editor: Editor,
    portraits: Portraits,
    edit: Edit,
    settings: Sequence[Setting],
    skip: float = SKIP,
) -> Arrays:
    """Edit all portraits with each setting. Costs are of the edit, without the inversion.

    A later setting may cost less, because sessions reuse what an earlier one evaluated.
    """
    made = Made()
    for part in portraits.batches():
        editor.invert(part.images, part.seeds, skip)
        for setting in settings:
            with counted(editor.unet) as count:
                made.add(setting, editor.render(edit, setting), count)
    return made.arrays()


def reprompt(pipeline: Any, portraits: Portraits, edit: Edit) -> Arrays:
    """Render captions of the portraits as they should become."""
    made = Made()
    for part in portraits.batches():
        pairs = zip(part.labels, part.seeds, strict=True)
        with counted(pipeline.unet) as count:
            result = pipeline(
                [caption(labels, seed, edit) for labels, seed in pairs],
                num_inference_steps=STEPS,
                guidance_scale=GUIDANCE_SCALE,
                generator=[torch.Generator().manual_seed(seed) for seed in part.seeds],
                output_type="np",
            )
        made.add(None, np.asarray(result.images), count)
    return made.arrays()


def caption(labels: NDArray[np.int64], seed: int, edit: Edit) -> str:
    """Return the longest of many captions of a portrait as it should become, with the concept."""
    rng = np.random.default_rng(seed)
    wanted = from_labels(labels.astype(np.int8)) | {edit.attribute: edit.target[0]}
    color = {"facial_hair": "beard_color", "hat": "hat_color"}.get(edit.attribute)
    if color is not None:
        values = next(one.values for one in ATTRIBUTES if one.name == color)
        wanted[color] = None if edit.target == ("none",) else str(rng.choice(values))
    return max((describe(wanted, rng) for _ in range(100)), key=len) + edit.reprompt


@torch.no_grad()
def autoencode(pipeline: Any, photos: Photos) -> Images:
    """Return photographs as the autoencoder encodes and decodes them."""
    vae, processor = pipeline.vae, pipeline.image_processor
    pixels = processor.preprocess([Image.fromarray(photo) for photo in photos])
    scale = vae.config.scaling_factor
    latents = scale * vae.encode(pixels).latent_dist.mode()
    decoded = vae.decode(latents / scale).sample
    return np.asarray(processor.postprocess(decoded, output_type="np"))


def psnr(one: Images, other: Images) -> NDArray[np.float64]:
    """Return the PSNR of each image in dB; infinite where both are equal."""
    error = np.square(one.astype(np.float64) - other).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return np.asarray(-10 * np.log10(error))


def as_images(photos: Photos) -> Images:
    """Return photographs as images in [0, 1]."""
    return np.divide(photos, 255, dtype=np.float32)


def as_photos(images: Images) -> Photos:
    """Round images to 8 bits, as a file of them would."""
    return (images * 255).round().astype(np.uint8)
