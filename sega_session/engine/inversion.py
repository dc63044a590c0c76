"""The inversion of photographs: from latents of a photograph to the residuals of every call.

Edit-friendly inversion (Huberman-Spiegelglas et al., "An Edit Friendly DDPM Noise Space", CVPR
2024, arXiv 2304.06140) draws the latents before each model call from the photograph directly, each
with noise of its own. All predictions at them are therefore independent of each other, and are
evaluated in a few large batches.

The paper divides by the sampler's variance to find the noise that leads from each of these latents
to the next. Here the residual is stored: the next latents minus those that the sampler steps to.
That needs no division, so every sampler can be used, deterministic ones too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..models import Origin, Sampler, draw_further_noise
from .job import Job, at_latents, wanted
from .predictions import ROWS


def draw_latents(image: Tensor, sampler: Sampler, origin: Origin) -> Tensor:
    """Draw the latents of photographs before each model call, and append their own.

    Args:
        image: the photographs' latents, ``(images, channels, height, width)``.
        sampler: its calls have the noise levels.
        origin: noise for the first call, and the generators of further noise.

    Returns:
        ``(calls + 1, images, channels, height, width)``.
    """
    drawn = [sampler.add_noise(image, origin.noise, 0)]
    for call in range(1, sampler.calls):
        drawn.append(sampler.add_noise(image, draw_further_noise(origin), call))
    return torch.stack([*drawn, image])


def find_residuals(job: Job, latents: Tensor) -> Tensor:
    """Return the residual of every call, and record latents and predictions.

    Args:
        job: the unedited render at its first call.
        latents: those of `draw_latents`.

    Returns:
        ``(calls, images, channels, height, width)``.
    """
    walk, images = job.walk, latents.shape[1]
    nothing = torch.zeros_like(latents[0])
    found = []
    while walk.call < walk.calls:
        at_once = max(1, ROWS // (images * len(walk.needed)))
        calls = range(walk.call, min(walk.call + at_once, walk.calls))
        # How latents are scaled as the model's input is known only to a scheduler at that call.
        ahead = walk.fork()
        requests = []
        for call in calls:
            ahead.place(latents[call])
            requests += wanted(ahead, walk.trajectory.names[call], ahead.needed)
            ahead.advance(dict.fromkeys(ahead.needed, nothing))
        evaluated = job.source.evaluate(requests)
        for call in calls:
            timestep, name = walk.timestep, walk.trajectory.names[call]
            walk.place(latents[call])
            job.record()
            walk.advance(at_latents(evaluated, name))
            found.append(latents[call + 1] - walk.latents)
            job.on_step(call, timestep, latents[call + 1])
    walk.place(latents[-1])
    job.record()
    return torch.stack(found)
