"""Train the UNet to denoise latents, and the text encoder along with it."""

from pathlib import Path

import numpy as np
import torch
from data import SHARD
from diffusers import DDIMScheduler, UNet2DConditionModel
from numpy.typing import NDArray
from torch.nn.attention import SDPBackend, sdpa_kernel
from train_text import captions_for, load_text_encoder, load_tokenizer, tokenize
from training import Run, autocast, load_averaged, parser, prepare
from transformers import CLIPTextModel

BATCH = 64
GAMMA = 5.0
"""Min-SNR's bound: steps with less noise than this count less (Hang et al. 2023)."""


def build_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(64, 128, 192),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=(2, 4, 6),  # diffusers' name for the number of heads, 32 channels each
        norm_num_groups=16,
        cross_attention_dim=128,
    )


def build_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


class Latents:
    """The encoded data set, which samples training latents without noise.

    Args:
        path: The file that train_vae.py wrote.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        saved = torch.load(path, weights_only=True)
        self.moments: torch.Tensor = saved["moments"].to(device)
        self.scaling_factor: float = saved["scaling_factor"]

    def sample(self, picks: NDArray[np.int64]) -> torch.Tensor:
        """Sample scaled latents of the images `picks`: float32 (len(picks), 4, 16, 16)."""
        mean, log_variance = self.moments[torch.from_numpy(picks)].float().chunk(2, dim=1)
        deviation = (0.5 * log_variance.clamp(-30, 20)).exp()
        return (mean + deviation * torch.randn_like(mean)) * self.scaling_factor


class Objective:
    """The loss of a UNet and a text encoder on the encoded data set."""

    def __init__(self, workdir: Path, device: torch.device) -> None:
        self.labels: NDArray[np.int8] = np.load(workdir / "labels.npy")
        self.latents = Latents(workdir / "latents.pt", device)
        self.tokenizer = load_tokenizer(workdir)
        self.scheduler = build_scheduler()
        self.device = device
        signal = self.scheduler.alphas_cumprod.to(device)
        self.weight = (GAMMA * (1 - signal) / signal).clamp(max=1.0)  # min(SNR, GAMMA) / SNR

    def losses(
        self,
        unet: UNet2DConditionModel,
        encoder: CLIPTextModel,
        picks: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> dict[str, torch.Tensor]:
        """Return the weighted and the plain squared error of the predicted noise."""
        clean = self.latents.sample(picks)
        noise = torch.randn_like(clean)
        # Stratified sampling of the steps has less variance than independent sampling.
        count, last = len(picks), len(self.weight) - 1
        strata = torch.arange(count, device=self.device) + torch.rand(count, device=self.device)
        steps = (strata * (last + 1) / count).long().clamp(max=last)
        noisy = self.scheduler.add_noise(clean, noise, steps)
        ids = tokenize(self.tokenizer, captions_for(self.labels[picks], rng)).to(self.device)
        # On a CPU the backward pass of fused attention takes a third of the time of a step.
        with autocast(self.device), sdpa_kernel(SDPBackend.MATH):
            predicted = unet(noisy, steps, encoder(ids).last_hidden_state).sample
        error = (predicted.float() - noise).square().mean(dim=(1, 2, 3))
        return {"min-snr": (self.weight[steps] * error).mean(), "mse": error.mean()}

    def train(self, run: Run, unet: UNet2DConditionModel, encoder: CLIPTextModel) -> None:
        """Train both until the time of the run is over; print their losses on held-out images."""
        for _ in run.steps():
            picks = run.rng.integers(len(self.labels) - SHARD, size=BATCH)
            losses = self.losses(unet, encoder, picks, run.rng)
            run.update({"min-snr": losses["min-snr"]})
            run.note({"mse": float(losses["mse"].detach())})

        held_out = np.arange(len(self.labels) - SHARD, len(self.labels))
        rng = np.random.default_rng(0)
        with torch.no_grad():
            parts = [
                self.losses(unet, encoder, picks, rng)
                for picks in np.array_split(held_out, SHARD // 100)
            ]
        for name in parts[0]:
            print(f"held-out {name}: {float(torch.stack([p[name] for p in parts]).mean()):.5f}")
        print(f"{run.step * BATCH} samples")


def main() -> None:
    options = parser(__doc__.splitlines()[0], minutes=70)
    options.add_argument("--name", default="unet", help="of the checkpoint")
    options.add_argument("--start", help="a finished run to go on from, with a schedule anew")
    options.add_argument("--rate", type=float, default=8e-4, help="the UNet's peak learning rate")
    args = options.parse_args()
    device = prepare(args)
    objective = Objective(args.workdir, device)
    text = args.workdir / f"{args.start or 'text'}.pt"
    encoder = load_text_encoder(text, "encoder", objective.tokenizer).to(device).train()
    unet = load_unet(text) if args.start else build_unet()
    unet = unet.to(device).train()
    groups = [
        {"params": list(unet.parameters()), "lr": args.rate},
        {"params": list(encoder.parameters()), "lr": 0.3 * args.rate},
    ]
    run = Run(args.name, {"unet": unet, "encoder": encoder}, groups, args)
    objective.train(run, unet, encoder)


def load_unet(path: Path) -> UNet2DConditionModel:
    unet = build_unet()
    unet.load_state_dict(load_averaged(path, "unet"))
    return unet.eval()


if __name__ == "__main__":
    main()
