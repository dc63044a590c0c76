"""Train the classifier that reads the attributes of a portrait, for the evaluation.

The training data are clean drawings, drawings decoded by the autoencoder, and blurred and noisy
ones, because the edges of generated images are softer than those of drawings.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from attributes import NAMES
from data import SHARD, load_data
from torch.nn import functional
from train_text import AttributeHead
from train_vae import load_vae
from training import Run, autocast, load_averaged, parser, prepare, to_pixels

RECONSTRUCTED = 6_000
"""Images that are also used as the autoencoder decodes them."""


class Classifier(torch.nn.Module):
    """Four strided convolutions and one linear layer: the faces are aligned, positions matter."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, 24, 48, 96, 128)
        layers: list[torch.nn.Module] = []
        for before, after in pairwise(channels):
            convolution = torch.nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
            layers += [convolution, torch.nn.BatchNorm2d(after), torch.nn.ReLU()]
        self.features = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Dropout(0.2))
        self.head = AttributeHead(channels[-1] * 8 * 8)

    def loss(self, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean loss on float (batch, 3, 128, 128) and int64 (batch, attributes)."""
        return self.head.loss(self.features(pixels), labels)

    @torch.no_grad()
    def predict(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return labels int64 (batch, attributes), -1 for what is not visible."""
        return self.head.predict(self.features(pixels))

    @torch.no_grad()
    def probability(self, pixels: torch.Tensor, name: str, values: tuple[str, ...]) -> torch.Tensor:
        """Return the probability that an attribute has one of these values: float (batch,)."""
        return self.head.probability(self.features(pixels), name, values)


def roughen(pixels: torch.Tensor) -> torch.Tensor:
    """Blur, recolour or add noise to (batch, 3, H, W) in [-1, 1], the same for the whole batch."""
    if torch.rand(()) < 0.5:
        scale = float(0.4 + 0.5 * torch.rand(()))
        small = functional.interpolate(pixels, scale_factor=scale, mode="bilinear", antialias=True)
        pixels = functional.interpolate(small, size=pixels.shape[-2:], mode="bilinear")
    if torch.rand(()) < 0.5:
        tint = 0.06 * torch.randn(len(pixels), 3, 1, 1, device=pixels.device)
        pixels = pixels + tint + 0.04 * torch.randn_like(pixels)
    return pixels


@torch.no_grad()
def redraw(moments: torch.Tensor, vae_path: Path, device: torch.device) -> torch.Tensor:
    """Decode slightly disturbed latents: uint8 (count, 3, 128, 128)."""
    vae = load_vae(vae_path).to(device)
    images = []
    for chunk in moments.split(50):
        mean = chunk.to(device).float()[:, :4]
        disturbed = mean + 0.05 * mean.std() * torch.randn_like(mean)
        with autocast(device):
            decoded = vae.decode(disturbed).sample
        images.append(((decoded.float().clamp(-1, 1) + 1) * 127.5).round().byte().cpu())
    return torch.cat(images)


def accuracies(classifier: Classifier, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the accuracy for each attribute: float (attributes,)."""
    predicted = torch.cat([classifier.predict(chunk) for chunk in pixels.split(100)])
    return (predicted == labels).float().mean(dim=0)


def main() -> None:
    args = parser(__doc__.splitlines()[0], minutes=5).parse_args()
    device = prepare(args)
    images, all_labels = load_data(args.workdir)
    labels = torch.from_numpy(all_labels.astype(np.int64))
    moments = torch.load(args.workdir / "latents.pt", weights_only=True)["moments"]
    known = np.concatenate([np.arange(RECONSTRUCTED), np.arange(len(images) - SHARD, len(images))])
    redrawn = redraw(moments[torch.from_numpy(known)], args.workdir / "vae.pt", device)

    classifier = Classifier().to(device)
    groups = [{"params": list(classifier.parameters()), "lr": 2e-3}]
    run = Run("classifier", {"classifier": classifier}, groups, args)
    for _ in run.steps():
        picks = run.rng.integers(len(images) - SHARD, size=48)
        extra = torch.from_numpy(run.rng.integers(RECONSTRUCTED, size=48))
        drawn = to_pixels(images[picks], device)
        soft = redrawn[extra].to(device).float() / 127.5 - 1
        pixels = roughen(torch.cat([drawn, soft]))
        target = torch.cat([labels[torch.from_numpy(picks)], labels[extra]]).to(device)
        run.update({"cross-entropy": classifier.loss(pixels, target)})

    target = labels[-SHARD:].to(device)
    clean = accuracies(classifier, to_pixels(images[-SHARD:], device), target)
    soft = accuracies(classifier, redrawn[-SHARD:].to(device).float() / 127.5 - 1, target)
    print(f"{'held-out accuracy':18s} drawn  redrawn")
    for name, on_clean, on_soft in zip(NAMES, clean.tolist(), soft.tolist(), strict=True):
        print(f"{name:18s} {on_clean:.4f} {on_soft:.4f}")


def load_classifier(path: Path) -> Classifier:
    classifier = Classifier()
    classifier.load_state_dict(load_averaged(path, "classifier"))
    return classifier.eval()


if __name__ == "__main__":
    main()
