"""Train the decoder of the autoencoder further, on whole images; the encoder stays fixed.

The latents do not change, so this can run in parallel with the training of the UNet. `load_vae`
uses the refined decoder if it exists.
"""

import torch
from data import SHARD, load_data
from train_unet import Latents
from train_vae import ReconstructionLoss, load_vae, psnr, reconstruct
from training import Run, autocast, parser, prepare, to_pixels

BATCH = 8


def main() -> None:
    args = parser(__doc__.splitlines()[0], minutes=22).parse_args()
    device = prepare(args)
    images, _ = load_data(args.workdir)
    latents = Latents(args.workdir / "latents.pt", device)

    vae = load_vae(args.workdir / "vae.pt").to(device)
    vae.requires_grad_(False)
    vae.decoder.requires_grad_(True).train()
    criterion = ReconstructionLoss()
    groups = [{"params": list(vae.decoder.parameters()), "lr": 1.2e-3}]
    run = Run("decoder", {"decoder": vae.decoder}, groups, args)
    for _ in run.steps():
        picks = run.rng.integers(len(images) - SHARD, size=BATCH)
        with autocast(device):
            output = vae.decode(latents.sample(picks) / latents.scaling_factor).sample
        run.update({"reconstruction": criterion(output.float(), to_pixels(images[picks], device))})

    vae.eval()
    target = to_pixels(images[-SHARD:][:500], device)
    output = torch.cat([reconstruct(vae, chunk) for chunk in target.split(100)])
    print(f"held-out PSNR: {psnr(output, target):.2f} dB")


if __name__ == "__main__":
    main()
