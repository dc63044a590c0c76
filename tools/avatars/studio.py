"""Draws pictures with and without edits, and reads their attributes."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from concepts import ANYONE, Edit
from numpy.typing import NDArray
from train_classifier import load_classifier
from training import autocast

from sega_session import EditSession, load_pipeline

STEPS = 50
GUIDANCE_SCALE = 5.0
BATCH = 32

Images = NDArray[np.float32]
Labels = NDArray[np.int64]


class Studio:
    """A pipeline and a classifier.

    Args:
        args: ``checkpoint``, ``workdir``, ``device`` and ``threads``.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        torch.set_num_threads(args.threads)
        self.pipeline: Any = load_pipeline(args.checkpoint, device=args.device)
        self.pipeline.set_progress_bar_config(disable=True)
        self._classifier = load_classifier(args.workdir / "classifier.pt")
        self.workdir: Path = args.workdir
        self._bases: dict[tuple[str, range], tuple[Images, Labels]] = {}

    def session(self, prompt: str, seeds: Sequence[int], **arguments: Any) -> EditSession:
        return EditSession(
            self.pipeline,
            prompt,
            seed=seeds,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE_SCALE,
            **arguments,
        )

    def draw(self, prompt: str, seeds: Sequence[int], edits: Sequence[Edit] = ()) -> Images:
        """Return float (seeds, 128, 128, 3) in [0, 1]."""
        images = []
        for first in range(0, len(seeds), BATCH):
            session = self.session(prompt, seeds[first : first + BATCH])
            with edited(session, edits):
                images.append(self.render(session))
        return np.concatenate(images)

    def render(self, session: EditSession) -> Images:
        """Draw a session: float (seeds, 128, 128, 3) in [0, 1].

        The networks compute in bfloat16, as they did in training: half the time, and about 40 dB
        from the picture in float32.
        """
        with autocast(self.pipeline.device):
            images: Images = np.asarray(session.render(output_type="np").images)
        return images

    @torch.no_grad()
    def read(self, images: Images) -> Labels:
        """Classify (count, 128, 128, 3) in [0, 1]: int64 (count, attributes)."""
        return torch.cat([self._classifier.predict(chunk) for chunk in _chunks(images)]).numpy()

    @torch.no_grad()
    def confidence(self, images: Images, edit: Edit) -> NDArray[np.float32]:
        """The classifier's probability of the edit's success: (count,)."""
        return torch.cat(
            [
                self._classifier.probability(chunk, edit.attribute, edit.target)
                for chunk in _chunks(images)
            ]
        ).numpy()

    def base(
        self, edits: Sequence[Edit], seeds: range, prompt: str = ANYONE
    ) -> tuple[list[int], Images, Labels]:
        """The seeds that all the edits, if any, apply to, with their base images and labels."""
        if (prompt, seeds) not in self._bases:
            images = self.draw(prompt, seeds)
            self._bases[prompt, seeds] = images, self.read(images)
        images, labels = self._bases[prompt, seeds]
        mask = np.ones(len(labels), dtype=bool)
        for edit in edits:
            mask &= edit.applies_to(labels)
        chosen = [seed for seed, applies in zip(seeds, mask, strict=True) if applies]
        return chosen, images[mask], labels[mask]


@contextmanager
def edited(session: EditSession, edits: Sequence[Edit]) -> Iterator[None]:
    """A session with edits, which are gone again afterwards."""
    for edit in edits:
        session.add(
            edit.concept,
            scale=edit.scale,
            threshold=edit.threshold,
            warmup=round(edit.warmup * STEPS),
            inverted=edit.inverted,
        )
    yield
    for edit in edits:
        session.remove(edit.concept)


def _chunks(images: Images) -> Sequence[torch.Tensor]:
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() * 2 - 1
    chunks: Sequence[torch.Tensor] = pixels.split(64)
    return chunks
