"""Measure the cost of an edit on a CUDA device, at the size of Stable Diffusion 1.5.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --compile    # also the U-Net under torch.compile, with CUDA graphs

The U-Net and the text encoder have the configuration of SD 1.5 and random weights, which are as
fast as trained ones and need no download. The VAE is small, and nothing is decoded. The benchmark
renders one image of 512 pixels in half precision, with 50 steps, warm-up 10 and 3 concepts.

The seconds are compared with P1 and P0 as in speed.py. The benchmark also counts the copies from
the device to the host between the first and the last model call of an exact render. There must be
none, because each would make the host wait. P0 makes some, which shows that the count works.
Writes results/gpu.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import attrs
import speed
import torch
from attrs import frozen
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from rich.console import Console
from torch.profiler import profile, supported_activities
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from sega_session import EditSession

STEPS, CONCEPTS, REPETITIONS = 50, 3, 3

Prepared = TypeVar("Prepared")
Result = TypeVar("Result")


@frozen
class Row:
    """One operation.

    Attributes:
        seconds: The median.
        of_p1: The ratio of the median seconds to those of P1 on 3 concepts.
        of_p0: The ratio of the median seconds to those of P0 on 3 concepts.
        peak_bytes: The peak memory of all tensors, the models' weights included.
    """

    operation: str
    mode: str
    evaluations: int | None
    seconds: float
    of_p1: float | None
    of_p0: float | None
    peak_bytes: int


def random_pipeline(unet: UNet2DConditionModel, **text: int) -> StableDiffusionPipeline:
    """Build a pipeline with random weights around a U-Net; the tokenizer knows single letters.

    Args:
        unet: The U-Net.
        text: Settings of the text encoder; by default those of SD 1.5.
    """
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{x}</w>" for x in letters)]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    sizes = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, **text}
    config = CLIPTextConfig(
        num_hidden_layers=12,
        max_position_embeddings=77,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **sizes,
    )
    vae = AutoencoderKL(
        block_out_channels=(8,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=512,
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(config).eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def copies_to_host(unet: torch.nn.Module, calls: int, render: Callable[[], Any]) -> int:
    """Count the copies to the host between the first and the last of ``calls`` model calls."""
    profiler = profile(activities=supported_activities())
    made: list[None] = []

    def before(*_: Any) -> None:
        made.append(None)
        if len(made) == 1:
            torch.cuda.synchronize()
            profiler.start()

    def after(*_: Any) -> None:
        if len(made) == calls:
            torch.cuda.synchronize()
            profiler.stop()

    hooks = unet.register_forward_pre_hook(before), unet.register_forward_hook(after)
    try:
        render()
    finally:
        for hook in hooks:
            hook.remove()
    if len(made) != calls:
        raise RuntimeError(f"{len(made)} model calls, expected {calls}")
    return sum("Memcpy DtoH" in event.name for event in profiler.events() or ())


def measured(
    prepare: Callable[[], Prepared], render: Callable[[Prepared], Result]
) -> tuple[float, int, Result]:
    """Return the median seconds, the peak bytes and the last result; the first run is a warm-up."""
    seconds: list[float] = []
    for _ in range(1 + REPETITIONS):
        prepared = prepare()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        result = render(prepared)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]), torch.cuda.max_memory_allocated(), result


def rows(pipeline: Any, reference: Any, steps: int) -> list[Row]:
    """Measure P1, P0 and the operations that are compared with them."""
    uncached = speed.opened(pipeline, CONCEPTS, steps, cache_bytes=0)
    p1, p1_bytes, p1_run = measured(lambda: uncached, rendering(pipeline, speed.nothing, "exact"))
    p0, p0_bytes, _ = measured(
        lambda: reference, lambda given: speed.run_reference(given, CONCEPTS, steps)
    )
    cold = speed.opened(pipeline, CONCEPTS, steps)
    fewer, before = (speed.opened(pipeline, count, steps) for count in (CONCEPTS - 1, CONCEPTS))
    for session in (fewer, before):
        session.render(output_type="latent")
    reweight = speed.update(scale=7)
    found = [
        Row("P1", "exact", p1_run.evaluations, p1, 1.0, p1 / p0, p1_bytes),
        Row("P0", "exact", (2 + CONCEPTS) * steps, p0, p0 / p1, 1.0, p0_bytes),
    ]
    for name, start, edit, mode in (
        ("first render", cold, speed.nothing, "exact"),
        ("add", fewer, speed.add, "exact"),
        ("reweight", before, reweight, "exact"),
        ("reweight", before, reweight, "anchored"),
        ("reweight", before, reweight, "preview"),
    ):
        seconds, peak, run = measured(start.copy, rendering(pipeline, edit, mode))
        found.append(Row(name, mode, run.evaluations, seconds, seconds / p1, seconds / p0, peak))
    return found


def rendering(pipeline: Any, edit: speed.Edit, mode: str) -> Callable[[EditSession], speed.Sample]:
    """Return a function that makes an edit in a session and renders it."""
    return lambda session: speed.run(pipeline, session, (edit,), mode)


def compiled_rows(pipeline: Any, steps: int) -> list[Row]:
    """Measure the first render before and after compiling the U-Net, which stays compiled.

    A model call has five rows with 3 concepts, and one without concepts and guidance.
    """
    one = EditSession(pipeline, speed.PROMPT, num_inference_steps=steps, guidance_scale=1)
    five = speed.opened(pipeline, CONCEPTS, steps)
    found: list[Row] = []
    for how in ("eager", "compiled"):
        if how == "compiled":
            pipeline.unet.compile(mode="reduce-overhead", dynamic=False)
        for batch, cold in ((1, one), (5, five)):
            seconds, peak, render = measured(
                cold.copy,
                lambda session: session.render(output_type="latent"),
            )
            name = f"first render, batch of {batch}, {how}"
            found.append(Row(name, "exact", render.evaluations, seconds, None, None, peak))
    return found


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--compile", action="store_true", help="also time torch.compile; takes minutes"
    )
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("needs a CUDA device")
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
    pipeline = random_pipeline(unet).to("cuda", torch.float16)
    reference = speed.reference_pipeline(pipeline)
    cold = speed.opened(pipeline, CONCEPTS, STEPS)
    cold.copy().render(output_type="latent")
    copies = {
        "ours": copies_to_host(unet, STEPS, lambda: cold.render(output_type="latent")),
        "P0": copies_to_host(unet, STEPS, lambda: speed.run_reference(reference, CONCEPTS, STEPS)),
    }
    found = rows(pipeline, reference, STEPS)
    if arguments.compile:
        found += compiled_rows(pipeline, STEPS)
    device = torch.cuda.get_device_properties(0)
    results = {
        "machine": {**speed.machine(), "gpu": device.name, "gpu_bytes": device.total_memory},
        "copies_to_host": copies,
        "rows": [attrs.asdict(row) for row in found],
    }
    Console().print(speed.table(found), "copies to the host:", copies)
    output = Path(__file__).parent / "results" / "gpu.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=1) + "\n")
    if copies["ours"] or not copies["P0"]:
        sys.exit("copies to the host: expected none of ours, and some of P0")


if __name__ == "__main__":
    main()
