"""Options, schedule, averaged weights and checkpoints of the training scripts.

Training is bounded by wall time rather than by steps, and the learning rate follows a cosine over
that time. A slow phase costs samples, but the schedule always reaches its end.
"""

import argparse
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

WARM_UP = 0.02
"""Share of the time in which the learning rate rises from zero."""

FLOOR = 0.02
"""The learning rate at the end, as a share of its peak."""


def parser(description: str, *, minutes: float) -> argparse.ArgumentParser:
    """Return a parser with the options that all training scripts have."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--workdir", type=Path, default=Path(__file__).parent / "work")
    result.add_argument("--minutes", type=float, default=minutes, help="wall time to train for")
    result.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads")
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--device", default="cpu")
    return result


def prepare(args: argparse.Namespace) -> torch.device:
    """Apply the common options; return the device."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    return torch.device(args.device)


def autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16)


def save_atomically(value: object, path: Path) -> None:
    """Write `value` so that `path` always holds either the old or the new checkpoint."""
    partial = path.with_name(path.name + ".tmp")
    torch.save(value, partial)
    partial.replace(path)


def to_pixels(images: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Turn uint8 (batch, H, W, 3) into float32 (batch, 3, H, W) in [-1, 1]."""
    pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
    return pixels.contiguous().float() / 127.5 - 1


class Averaged:
    """An exponential moving average of the weights of a module."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.count = 0
        self.weights = {name: p.detach().clone() for name, p in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self.count += 1
        # Early averages must not contain the initial weights.
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        state = module.state_dict()
        floating = [name for name, p in self.weights.items() if p.is_floating_point()]
        torch._foreach_lerp_(
            [self.weights[name] for name in floating], [state[name] for name in floating], 1 - decay
        )


class Run:
    """A training run that stops on time and continues where it was interrupted.

    >>> run = Run("vae", {"vae": vae}, groups, args)  # doctest: +SKIP
    >>> for progress in run.steps():  # doctest: +SKIP
    ...     run.update({"loss": loss(progress)})

    Args:
        name: The checkpoint is saved as ``<workdir>/<name>.pt``.
        modules: The trained modules, by name.
        groups: Parameter groups for AdamW; the ``lr`` of each is its peak.
        args: The common options.
        betas: The betas of AdamW.
        decay: The decay of the averaged weights.
        save_every: Seconds between checkpoints.
    """

    def __init__(
        self,
        name: str,
        modules: Mapping[str, nn.Module],
        groups: list[dict[str, Any]],
        args: argparse.Namespace,
        *,
        betas: tuple[float, float] = (0.9, 0.98),
        decay: float = 0.998,
        save_every: float = 180,
    ) -> None:
        self.path = args.workdir / f"{name}.pt"
        self.modules = dict(modules)
        self.seconds = 60 * args.minutes
        self.save_every = save_every
        self.averaged = {key: Averaged(module, decay) for key, module in modules.items()}
        self.optimizer = torch.optim.AdamW(groups, betas=betas, weight_decay=0.01, fused=True)
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.elapsed = 0.0
        self.step = 0
        self._metrics: dict[str, float] = {}
        if self.path.exists():
            self._load()
        # A resumed run must not repeat the samples of its first minutes.
        self.rng = np.random.default_rng([args.seed, self.step])
        torch.manual_seed(args.seed + self.step)

    def steps(self) -> Iterator[float]:
        """Yield the elapsed share of the time until it is over; then save."""
        begin = time.monotonic() - self.elapsed
        saved = logged = self.elapsed
        while (elapsed := time.monotonic() - begin) < self.seconds:
            self.elapsed = elapsed
            progress = elapsed / self.seconds
            self._set_learning_rate(progress)
            yield progress
            self.step += 1
            if elapsed - logged >= 20:
                self._log()
                logged = elapsed
            if elapsed - saved >= self.save_every:
                self.save()
                saved = elapsed
        self.elapsed = self.seconds
        self.save()
        self.use_averaged()

    def update(self, losses: Mapping[str, torch.Tensor]) -> None:
        """Make one optimizer step on the sum of `losses`."""
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        self.optimizer.step()
        for key, module in self.modules.items():
            self.averaged[key].update(module)
        self.note({name: float(loss.detach()) for name, loss in losses.items()})

    def note(self, metrics: Mapping[str, float]) -> None:
        """Add `metrics` to the running means of the log."""
        for name, value in metrics.items():
            previous = self._metrics.get(name, value)
            self._metrics[name] = previous + 0.02 * (value - previous)

    def save(self) -> None:
        state = {
            "modules": {key: module.state_dict() for key, module in self.modules.items()},
            "averaged": {key: average.weights for key, average in self.averaged.items()},
            "count": {key: average.count for key, average in self.averaged.items()},
            "optimizer": self.optimizer.state_dict(),
            "elapsed": self.elapsed,
            "step": self.step,
            "metrics": self._metrics,
        }
        save_atomically(state, self.path)

    def use_averaged(self) -> None:
        """Put the averaged weights into the modules, for evaluation."""
        for key, module in self.modules.items():
            module.load_state_dict(self.averaged[key].weights)
            module.eval()

    def _load(self) -> None:
        state = torch.load(self.path, weights_only=True)
        for key, module in self.modules.items():
            module.load_state_dict(state["modules"][key])
            average = self.averaged[key]
            average.count = state["count"][key]
            for name, weight in state["averaged"][key].items():
                average.weights[name].copy_(weight)
        self.optimizer.load_state_dict(state["optimizer"])
        self.elapsed, self.step = state["elapsed"], state["step"]
        self._metrics = state["metrics"]

    def _set_learning_rate(self, progress: float) -> None:
        cosine = FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))
        factor = min(1.0, progress / WARM_UP) * cosine
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = max(factor, 1e-3) * peak

    def _log(self) -> None:
        metrics = "  ".join(f"{name} {value:.4f}" for name, value in self._metrics.items())
        print(f"{self.elapsed / 60:6.1f} min  step {self.step:6d}  {metrics}", flush=True)


def load_averaged(path: Path, name: str) -> dict[str, torch.Tensor]:
    """Return the averaged weights of module `name` of a run's checkpoint."""
    state: dict[str, dict[str, torch.Tensor]] = torch.load(
        path, map_location="cpu", weights_only=True
    )["averaged"]
    return state[name]
