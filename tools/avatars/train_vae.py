"""Train the autoencoder: 128x128 pixels to 16x16x4 latents and back."""

from pathlib import Path

import numpy as np
import torch
from data import SHARD, load_data
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from training import Run, autocast, load_averaged, parser, prepare, save_atomically, to_pixels

CROP = 64
"""Pixels along each edge of the crops of the first phase."""

FULL_FRAMES = 0.6
"""Share of the time after which whole images follow the crops.

Crops are cheap and teach shapes and colours; the group norms then have to see the statistics of
whole images.
"""


def build_vae() -> AutoencoderKL:
    block_out_channels = (16, 32, 64, 128)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=block_out_channels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=128,
    )


class ReconstructionLoss(nn.Module):
    """An L1 loss with more weight on edges, slopes, area means and colour differences.

    Plain L1 is dominated by flat areas: it learns their shapes early and their colours late.
    """

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compare two float (batch, 3, H, W) tensors in [-1, 1]."""
        error = output - target
        horizontal = target.diff(dim=-1).abs().mean(1, keepdim=True)
        vertical = target.diff(dim=-2).abs().mean(1, keepdim=True)
        edges = functional.pad(horizontal, (0, 1)) + functional.pad(vertical, (0, 0, 0, 1))
        pixel = (error.abs() * (1 + 2 * edges)).mean()
        slope = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        area = functional.avg_pool2d(error, 8).abs().mean()
        chroma = (error[:, :2] - error[:, 1:]).abs().mean()
        return pixel + 0.5 * slope + area + 1.5 * chroma


def random_crops(
    images: NDArray[np.uint8], count: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Crop `count` squares of CROP pixels from random images."""
    picks = rng.integers(len(images), size=count)
    corners = rng.integers(images.shape[1] - CROP + 1, size=(count, 2))
    return np.stack(
        [images[i, y : y + CROP, x : x + CROP] for i, (y, x) in zip(picks, corners, strict=True)]
    )


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    """Encode and decode float (batch, 3, 128, 128) in [-1, 1]."""
    with autocast(pixels.device):
        latents = vae.encode(pixels).latent_dist.mode()
        decoded: torch.Tensor = vae.decode(latents).sample
        return decoded.float().clamp(-1, 1)


@torch.no_grad()
def encode(vae: AutoencoderKL, images: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Return mean and log-variance of the unscaled latents: float16 (count, 8, 16, 16)."""
    parts = []
    for chunk in np.array_split(images, max(1, len(images) // 100)):
        with autocast(device):
            parts.append(vae.encode(to_pixels(chunk, device)).latent_dist.parameters.half().cpu())
    return torch.cat(parts)


def psnr(output: torch.Tensor, target: torch.Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB of tensors in [-1, 1], over all pixels."""
    return float(10 * torch.log10(4 / functional.mse_loss(output, target)))


def main() -> None:
    args = parser(__doc__.splitlines()[0], minutes=22).parse_args()
    device = prepare(args)
    images, _ = load_data(args.workdir)
    train, held_out = images[:-SHARD], images[-SHARD:]

    vae = build_vae().to(device)
    criterion = ReconstructionLoss()
    groups = [{"params": list(vae.parameters()), "lr": 2e-3}]
    run = Run("vae", {"vae": vae}, groups, args)
    for progress in run.steps():
        if progress < FULL_FRAMES:
            batch = random_crops(train, 16, run.rng)
        else:
            batch = train[run.rng.integers(len(train), size=8)]
        pixels = to_pixels(batch, device)
        with autocast(device):
            posterior = vae.encode(pixels).latent_dist
            output = vae.decode(posterior.sample()).sample
        reconstruction = criterion(output.float(), pixels)
        divergence = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
        run.update({"reconstruction": reconstruction, "kl": 2e-4 * divergence.float()})

    target = to_pixels(held_out[:500], device)
    output = torch.cat([reconstruct(vae, chunk) for chunk in target.split(100)])
    print(f"held-out PSNR: {psnr(output, target):.2f} dB")

    latents = encode(vae, images, device)
    scaling_factor = 1 / float(latents[:2000, :4].float().std())
    save_atomically(
        {"moments": latents, "scaling_factor": scaling_factor}, args.workdir / "latents.pt"
    )
    print(f"scaling factor: {scaling_factor:.4f}")


def load_vae(path: Path) -> AutoencoderKL:
    """Return the trained autoencoder, with the decoder of train_decoder.py if it exists."""
    vae = build_vae()
    vae.load_state_dict(load_averaged(path, "vae"))
    refined = path.with_name("decoder.pt")
    if refined.exists():
        vae.decoder.load_state_dict(load_averaged(refined, "decoder"))
    return vae.eval()


if __name__ == "__main__":
    main()
