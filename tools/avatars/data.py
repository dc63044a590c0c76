"""Render the data set: DiceBear avataaars portraits and their attribute labels.

Writes ``images.npy``, uint8 (count, 128, 128, 3), and ``labels.npy``, int8 (count, attributes), to
the work directory. Shards that already exist are not rendered again.

The avataaars style keeps hats and hair in one slot, so that a hat always replaces the hair. Here
hats have their own slot, drawn over the hair; otherwise "add a hat" could not keep the hair.
"""

import argparse
import copy
import io
import json
import re
from functools import cache, partial
from importlib.resources import files
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import resvg_py
from attributes import dicebear_options, sample_portrait, to_labels
from dicebear import Avatar, Style
from numpy.typing import NDArray
from PIL import Image

SIZE = 128
"""Pixels along each edge."""

SHARD = 1000
"""Images in a shard; the last shard is the held-out set."""

_VIEW_BOX = "22 0 236 236"  # the head fills the frame, always in the same position
_HATS = ("hat", "winterHat03")


@cache
def load_style() -> Style:
    """Return the avataaars style with hats as a separate component, drawn after the hair."""
    definition = json.loads(files("dicebear_styles").joinpath("avataaars.json").read_text("utf-8"))
    definition = copy.deepcopy(definition)
    hair = definition["components"]["top"]
    variants = {name: hair["variants"][name] for name in _HATS}
    definition["components"]["hat"] = {**hair, "probability": 0, "variants": variants}
    elements = definition["canvas"]["elements"]
    position = next(i for i, element in enumerate(elements) if element["name"] == "top")
    elements.insert(position + 1, {**elements[position], "name": "hat"})
    return Style(definition)


def render(options: dict[str, object]) -> NDArray[np.uint8]:
    """Render one portrait: uint8 (SIZE, SIZE, 3)."""
    svg = Avatar(load_style(), options).to_string()
    svg = re.sub(r'viewBox="[^"]*"', f'viewBox="{_VIEW_BOX}"', svg, count=1)
    png = resvg_py.svg_to_bytes(svg_string=svg, width=SIZE, height=SIZE)
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"))


def render_shard(index: int, *, seed: int, directory: Path) -> Path:
    """Render shard `index` unless it exists; its content depends on `seed` and `index` alone."""
    path = directory / f"{index:05d}.npz"
    if path.exists():
        return path
    rng = np.random.default_rng([seed, index])
    portraits = [sample_portrait(rng) for _ in range(SHARD)]
    images = np.stack([render(dicebear_options(portrait, rng)) for portrait in portraits])
    labels = np.stack([to_labels(portrait) for portrait in portraits])
    partial_path = path.with_suffix(".tmp.npz")
    np.savez(partial_path, images=images, labels=labels)
    partial_path.replace(path)
    return path


def load_data(workdir: Path) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Return all images and labels; the last `SHARD` of them are held out of training."""
    return np.load(workdir / "images.npy"), np.load(workdir / "labels.npy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, default=Path(__file__).parent / "work")
    parser.add_argument("--count", type=int, default=30_000, help=f"a multiple of {SHARD}")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    shards = args.workdir / "shards"
    shards.mkdir(parents=True, exist_ok=True)
    work = partial(render_shard, seed=args.seed, directory=shards)
    with get_context("spawn").Pool(args.processes) as pool:
        paths = pool.map(work, range(args.count // SHARD), chunksize=1)
    parts = [np.load(path) for path in paths]
    np.save(args.workdir / "images.npy", np.concatenate([part["images"] for part in parts]))
    np.save(args.workdir / "labels.npy", np.concatenate([part["labels"] for part in parts]))


if __name__ == "__main__":
    main()
