"""Render images with and without edits, and read their attributes."""

import argparse
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np
import torch
from concepts import ANYONE, Edit
from numpy.typing import NDArray
from train_classifier import load_classifier
from training import autocast

from sega_session import EditSession, load_pipeline

HERE = Path(__file__).parent
FIGURES = HERE / "figures"
TARGET = HERE.parents[1] / "sega_session" / "avatars" / "checkpoint"

STEPS = 50
GUIDANCE_SCALE = 5.0
BATCH = 8
"""Images rendered together: on a CPU, larger batches do not fit its cache and are slower."""

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

    def render_prompt(
        self, prompt: str, seeds: Sequence[int], edits: Sequence[Edit] = ()
    ) -> Images:
        """Render a prompt with edits: float (seeds, 128, 128, 3) in [0, 1]."""
        images = []
        for first in range(0, len(seeds), BATCH):
            session = self.session(prompt, seeds[first : first + BATCH])
            add(session, *edits)
            images.append(self.render(session))
        return np.concatenate(images)

    def render(self, session: EditSession) -> Images:
        """Render a session: float (seeds, 128, 128, 3) in [0, 1].

        The networks compute in bfloat16, as in training. This halves the time, and the result is
        about 40 dB from the image in float32.
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
        """Return the classifier's probability that the edit succeeded: (count,)."""
        return torch.cat(
            [
                self._classifier.probability(chunk, edit.attribute, edit.target)
                for chunk in _chunks(images)
            ]
        ).numpy()

    def base(
        self, edits: Sequence[Edit], seeds: range, prompt: str = ANYONE
    ) -> tuple[list[int], Images, Labels]:
        """Return the seeds that all edits apply to, with their base images and labels."""
        if (prompt, seeds) not in self._bases:
            images = self.render_prompt(prompt, seeds)
            self._bases[prompt, seeds] = images, self.read(images)
        images, labels = self._bases[prompt, seeds]
        mask = np.ones(len(labels), dtype=bool)
        for edit in edits:
            mask &= edit.applies_to(labels)
        chosen = [seed for seed, applies in zip(seeds, mask, strict=True) if applies]
        return chosen, images[mask], labels[mask]


def add(session: EditSession, *edits: Edit) -> None:
    """Add edits to a session."""
    for edit in edits:
        session.add(
            edit.concept,
            scale=edit.scale,
            threshold=edit.threshold,
            warmup=round(edit.warmup * STEPS),
            opposite=edit.opposite,
        )


def _chunks(images: Images) -> Sequence[torch.Tensor]:
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() * 2 - 1
    chunks: Sequence[torch.Tensor] = pixels.split(64)
    return chunks


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options of the measuring scripts."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--workdir", type=Path, default=HERE / "work")
    result.add_argument("--checkpoint", type=Path, default=TARGET)
    result.add_argument("--processes", type=int, default=2)
    result.add_argument("--threads", type=int, default=1, help="of each process")
    result.add_argument("--device", default="cpu")
    return result


_studio: Studio  # one per worker process, set by _open


def _open(args: argparse.Namespace) -> None:
    global _studio  # noqa: PLW0603 - a multiprocessing initializer has no other place for state
    _studio = Studio(args)


def workers(args: argparse.Namespace) -> Pool:
    """Start processes with one studio each."""
    return get_context("spawn").Pool(args.processes, initializer=_open, initargs=(args,))


def of_this_worker() -> Studio:
    return _studio
