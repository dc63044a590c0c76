"""Check that a change of code changes no bit of an image, with digests of random edit walks.

    python tools/walks.py record walks.json   # before the change
    python tools/walks.py check walks.json    # after it, on the same machine

A walk opens a session with `batch_plan="canonical"`, edits, moves through the history, saves, loads
and renders in every mode. Its record has, for each render, a digest of the latents, the mode, and
the planned and actual evaluations. Digests are valid on one machine, because other processors round
differently.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sega_session import EditSession, anchored
from sega_session.errors import SegaSessionError
from tests.support.pipelines import SCHEDULERS, tiny_stable_diffusion

WALKS = 200
MOVES = 14
PROMPTS = ("hat", "beard", "smile", "a b c")
MODES: tuple[Any, ...] = (
    "exact",
    "exact",
    "preview",
    "replay",
    "anchored",
    anchored(every=2),
    anchored(every=1),
    anchored(tolerance=0.1),
    anchored(tolerance=0.5),
)


def open_session(rng: random.Random) -> EditSession:
    """Open a session with a random scheduler, scene and budget."""
    pipeline = tiny_stable_diffusion(
        scheduler=SCHEDULERS[rng.choice(list(SCHEDULERS))](),
        prediction_type=rng.choice(("epsilon", "epsilon", "v_prediction")),
        dtype=rng.choice((torch.float32, torch.float32, torch.float32, torch.bfloat16)),
    )
    return EditSession(
        pipeline,
        "a portrait",
        negative_prompt=rng.choice(("", "b")),
        seed=rng.choice((3, [1, 2])),
        num_inference_steps=rng.choice((6, 9, 12)),
        guidance_scale=rng.choice((0.5, 1.0, 5.0, 7.5)),
        eta=rng.choice((0.0, 0.5)),
        cache_bytes=rng.choice((2**26, 2**26, 2**26, 60_000)),
        spill_bytes=rng.choice((0, 2**16)),
        batch_plan="canonical",
    )


def move(session: EditSession, rng: random.Random) -> None:
    """Make one random edit, or check out a random entry of the history."""
    names = [concept.name for concept in session.concepts]
    kind = rng.choice(("add", "add", "change", "change", "history", "momentum"))
    if kind == "add" and len(names) < len(PROMPTS):
        session.add(
            rng.choice([prompt for prompt in PROMPTS if prompt not in names]),
            scale=rng.choice((0.0, 3.0, 6.5)),
            threshold=rng.choice((0.0, 0.9, 0.95)),
            warmup=rng.choice((0, 2, 4, 5)),
            cooldown=rng.choice((None, None, 6)),
            weight=rng.choice((0.5, 1.0)),
            inverted=rng.random() < 0.3,
        )
    elif kind == "change" and names:
        name = rng.choice(names)
        match rng.choice(("scale", "invert", "threshold", "remove", "mute")):
            case "scale":
                session.reweight(name, scale=rng.choice((1.0, 4.0, 7.0)))
            case "invert":
                session.invert(name)
            case "threshold":
                session.update(name, threshold=rng.choice((0.5, 0.8)))
            case "remove":
                session.remove(name)
            case "mute":
                session.update(name, enabled=not session.state.concept(name).enabled)
    elif kind == "momentum":
        session.momentum(scale=rng.choice((0.0, 0.1, 0.4)), beta=rng.choice((0.0, 0.4, 0.6)))
    elif kind == "history" and len(session.history) > 1:
        session.checkout(rng.randrange(len(session.history)))


def walk(number: int, folder: Path) -> list[list[Any]]:
    """Run a walk. Return for each render its mode, digest, and planned and actual evaluations."""
    rng = random.Random(number)
    session = open_session(rng)
    made: list[list[Any]] = []
    for _ in range(MOVES):
        move(session, rng)
        if rng.random() < 0.15:
            path = folder / "walk.safetensors"
            session.save(path, include=rng.choice(("all", "base", "state")))
            session = EditSession.load(path, session.pipeline, cache_bytes=2**26)
        mode = rng.choice(MODES)
        planned = session.plan(mode)
        try:
            render = session.render(mode, output_type="latent")
        except SegaSessionError as error:
            made.append([str(mode), type(error).__name__, planned, 0])
            continue
        bits = render.latents.contiguous().view(torch.uint8).numpy().tobytes()
        told = f"{render.error_estimate}".encode()
        digest = hashlib.sha256(bits + told).hexdigest()[:16]
        made.append([render.mode, digest, planned, render.evaluations])
    return made


def main() -> int:
    """Record the walks, or compare them with a record; return 1 if any differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=("record", "check"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--walks", type=int, default=WALKS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        made = [walk(number, Path(folder)) for number in range(arguments.walks)]
    if arguments.action == "record":
        arguments.file.write_text(json.dumps(made))
        print(f"{len(made)} walks, {sum(map(len, made))} renders recorded")
        return 0
    wanted = json.loads(arguments.file.read_text())[: len(made)]
    other = [number for number, (a, b) in enumerate(zip(made, wanted, strict=True)) if a != b]
    latents = [n for n in other if [r[:2] for r in made[n]] != [r[:2] for r in wanted[n]]]
    print(f"{len(made)} walks, {sum(map(len, made))} renders: {len(other)} differ, ", end="")
    print(f"{len(latents)} of them in latents: {other[:10]}")
    return bool(other)


if __name__ == "__main__":
    sys.exit(main())
