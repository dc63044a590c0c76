"""Write the trained models as a Stable Diffusion directory that diffusers loads.

The UNet and the autoencoder are stored in half precision. The text encoder is not: transformers
loads a model in its stored precision and diffusers in float32 by default, and a pipeline of mixed
precisions fails.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import studio
import torch
from concepts import ADDITIONS, ANYONE, OPPOSITES, REMOVALS
from diffusers import StableDiffusionPipeline
from train_text import load_text_encoder, load_tokenizer
from train_unet import build_scheduler, load_unet
from train_vae import load_vae

from sega_session import files as strict
from sega_session.models import PRESETS_FILE, PRESETS_VERSION, Preset, Recommended

SEED = 8
"""The seed of the first image of demonstrations."""


def build_pipeline(workdir: Path) -> StableDiffusionPipeline:
    """Assemble the averaged weights of the last checkpoints in `workdir`."""
    tokenizer = load_tokenizer(workdir)
    # Prefer the newest run.
    runs = (workdir / f"{name}.pt" for name in ("longer", "refined", "unet"))
    unet = next(path for path in runs if path.exists())
    vae = load_vae(workdir / "vae.pt")
    latents = torch.load(workdir / "latents.pt", weights_only=True, mmap=True)
    vae.register_to_config(scaling_factor=latents["scaling_factor"])
    return StableDiffusionPipeline(
        vae=vae.half(),
        text_encoder=load_text_encoder(unet, "encoder", tokenizer),
        tokenizer=tokenizer,
        unet=load_unet(unet).half(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )


def write_vocabulary(directory: Path) -> None:
    """Add ``vocab.json`` and ``merges.txt``, from which older transformers load a CLIPTokenizer."""
    model = json.loads((directory / "tokenizer.json").read_text("utf-8"))["model"]
    vocabulary = json.dumps(model["vocab"], ensure_ascii=False)
    (directory / "vocab.json").write_text(vocabulary + "\n", "utf-8")
    lines = ["#version: 0.2", *(" ".join(merge) for merge in model["merges"])]
    (directory / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")


def write_recommended(directory: Path) -> None:
    """Add the settings that the evaluation measures."""
    additions, removals, opposites = (
        {
            edit.concept: Preset(
                scale=edit.scale,
                threshold=edit.threshold,
                warmup=edit.warmup,
                opposite=edit.opposite,
            )
            for edit in edits
        }
        for edits in (ADDITIONS, REMOVALS, OPPOSITES)
    )
    found = Recommended(
        prompt=ANYONE,
        seed=SEED,
        guidance_scale=studio.GUIDANCE_SCALE,
        concepts=additions,
        removals=removals,
        opposites=opposites,
    )
    document = {
        "format_version": PRESETS_VERSION,
        **strict.unstructure(found, omit_defaults=True),
    }
    (directory / PRESETS_FILE).write_text(strict.dump(document, indent=2) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, default=Path(__file__).parent / "work")
    parser.add_argument("--target", type=Path, default=studio.TARGET)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary) / "checkpoint"
        build_pipeline(args.workdir).save_pretrained(directory)
        write_vocabulary(directory / "tokenizer")
        write_recommended(directory)
        # Copy without file modes: safetensors files are written with mode 0600.
        shutil.copytree(directory, args.target, dirs_exist_ok=True, copy_function=shutil.copyfile)
    size = sum(path.stat().st_size for path in args.target.rglob("*") if path.is_file())
    print(f"{args.target}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
