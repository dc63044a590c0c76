"""Train the text encoder further, then adapt the UNet to it.

After `train_unet.py`, colours are not bound to their parts: "blue hair" also colours the clothes.
More training of the text encoder (`refined_text.pt`) separates them, and a short second run of the
UNet (`refined.pt`) learns to use it. `export.py` prefers the refined weights.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from data import SHARD
from train_text import BATCH, AttributeHead, load_text_encoder, load_tokenizer, reading_loss
from train_unet import Objective, load_unet
from training import Run, load_averaged, parser, prepare


def refine_text(args: argparse.Namespace, device: torch.device) -> None:
    workdir: Path = args.workdir
    labels = np.load(workdir / "labels.npy")[:-SHARD]
    tokenizer = load_tokenizer(workdir)
    encoder = load_text_encoder(workdir / "unet.pt", "encoder", tokenizer).to(device).train()
    head = AttributeHead(encoder.config.hidden_size)
    head.load_state_dict(load_averaged(workdir / "text.pt", "head"))
    head.to(device)
    groups = [
        {"params": list(encoder.parameters()), "lr": 1e-3},
        {"params": list(head.parameters()), "lr": 3e-3},
    ]
    run = Run("refined_text", {"encoder": encoder, "head": head}, groups, args)
    for _ in run.steps():
        picks = run.rng.integers(len(labels), size=BATCH)
        loss = reading_loss(encoder, head, tokenizer, labels[picks], run.rng)
        run.update({"cross-entropy": loss})


def refine_unet(args: argparse.Namespace, device: torch.device) -> None:
    workdir: Path = args.workdir
    objective = Objective(workdir, device)
    encoder = load_text_encoder(workdir / "refined_text.pt", "encoder", objective.tokenizer)
    encoder.to(device).train()
    unet = load_unet(workdir / "unet.pt").to(device).train()
    groups = [
        {"params": list(unet.parameters()), "lr": 4e-4},
        {"params": list(encoder.parameters()), "lr": 1.2e-4},
    ]
    run = Run("refined", {"unet": unet, "encoder": encoder}, groups, args, decay=0.995)
    objective.train(run, unet, encoder)


def main() -> None:
    options = parser(__doc__.splitlines()[0], minutes=11)
    options.add_argument("--text-minutes", type=float, default=5)
    args = options.parse_args()
    device = prepare(args)
    reading = argparse.Namespace(**{**vars(args), "minutes": args.text_minutes})
    refine_text(reading, device)
    refine_unet(args, device)


if __name__ == "__main__":
    main()
