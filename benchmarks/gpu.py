"""Measure the cost of an edit on a CUDA device, at the sizes of Stable Diffusion 1.5 and XL.

    python benchmarks/gpu.py                        # meant to take at most 6 minutes
    python benchmarks/gpu.py --compile              # also SD 1.5 compiled, with CUDA graphs
    python benchmarks/gpu.py --device cpu --tiny --output gpu.json    # tries the benchmark itself

The networks have the published configurations and random weights in half precision, which are as
fast as trained ones and need no download. The VAE is small, and nothing is decoded. Renders have
one image of the model's own size and 3 concepts; an edit begins in a copy of a rendered session.

- P1 is our own loop without a cache, P0 diffusers' `SemanticStableDiffusionPipeline`, which there
  is for Stable Diffusion 1.5 only, and *plain* the pipeline's own call, without concepts.
- The peak memory of P1 and of a first render tells what recording one render takes.
- Between the first model call and the last of an exact render, the host must wait for the device
  nowhere. This is counted twice: as synchronising operations, by torch's own debug mode, and as
  copies to the host, by the profiler. P0 makes some, which shows that both counts work.

Writes results/gpu.json and gpu.md.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import speed
import torch
from attrs import frozen
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from rich.console import Console
from torch.profiler import profile, supported_activities
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from sega_session import EditSession

CONCEPTS = 3
SYNCHRONISES = "called a synchronizing CUDA operation"
"""The begin of torch's warning, see `torch.cuda.set_sync_debug_mode`."""

Prepared = TypeVar("Prepared")
Result = TypeVar("Result")


@frozen
class Size:
    """The size of a model, and of its measurement.

    Attributes:
        name: of the model.
        unet: its U-Net's configuration.
        texts: the configuration of each text encoder; with two of them the pipeline is SDXL's.
        steps: of each render.
        repetitions: of each operation, after a first run that is not counted.
    """

    name: str
    unet: Mapping[str, Any]
    texts: Sequence[Mapping[str, int]]
    steps: int
    repetitions: int


CLIP_L = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "projection_dim": 768,
}
BIG_G = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_attention_heads": 20,
    "num_hidden_layers": 32,
    "projection_dim": 1280,
}
XL_BLOCKS = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
}
SIZES = (
    Size("SD 1.5", {"sample_size": 64, "cross_attention_dim": 768}, (CLIP_L,), 50, 3),
    Size(
        "SDXL",
        {
            "sample_size": 128,
            "cross_attention_dim": 768 + 1280,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 1280 + 6 * 256,
            **XL_BLOCKS,
        },
        (CLIP_L, BIG_G),
        20,
        2,
    ),
)

TINY_CLIP = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "projection_dim": 16,
}
TINY_BLOCKS = {
    "sample_size": 8,
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}
TINY = (
    Size("tiny SD 1.5", {"cross_attention_dim": 16, **TINY_BLOCKS}, (TINY_CLIP,), 10, 1),
    Size(
        "tiny SDXL",
        {
            "cross_attention_dim": 32,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 16 + 6 * 8,
            **TINY_BLOCKS,
        },
        (TINY_CLIP, TINY_CLIP),
        10,
        1,
    ),
)


@frozen
class Row:
    """One operation.

    Attributes:
        of_p1: The ratio of the median seconds to those of P1 on 3 concepts; of `plain` for a
            render without concepts.
        of_p0: The ratio of the median seconds to those of P0 on 3 concepts.
        peak_bytes: The peak memory of all tensors, the models' weights included; 0 on the CPU.
    """

    model: str
    operation: str
    mode: str
    concepts: int
    evaluations: int
    seconds: speed.Spread
    of_p1: float | None
    of_p0: float | None
    peak_bytes: int


@frozen
class Waits:
    """The host's waits for the device between the first and the last model call of a render.

    Attributes:
        synchronisations: Operations that wait; None on the CPU.
        copies_to_host: Copies from the device to the host.
    """

    model: str
    loop: str
    synchronisations: int | None
    copies_to_host: int


def random_pipeline(size: Size, device: str, dtype: torch.dtype) -> Any:
    """Build a pipeline with random weights; its tokenizers know single letters."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{x}</w>" for x in letters)]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    configs = [
        CLIPTextConfig(
            max_position_embeddings=77,
            vocab_size=len(tokenizer),
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **text,
        )
        for text in size.texts
    ]
    # On the device itself: drawing billions of weights takes minutes on the host.
    with torch.device(device):
        parts = {
            "vae": AutoencoderKL(
                block_out_channels=(8,) * 4,
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                latent_channels=4,
                norm_num_groups=2,
            ),
            "unet": UNet2DConditionModel(**size.unet).to(dtype).eval(),
            "text_encoder": CLIPTextModel(configs[0]).eval(),
        }
        if len(configs) > 1:
            parts["text_encoder_2"] = CLIPTextModelWithProjection(configs[1]).eval()
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
    )
    pipeline: Any
    if len(configs) > 1:
        pipeline = StableDiffusionXLPipeline(
            tokenizer=tokenizer,
            tokenizer_2=tokenizer,
            scheduler=scheduler,
            add_watermarker=False,
            **parts,
        )
    else:
        pipeline = StableDiffusionPipeline(
            tokenizer=tokenizer,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
            **parts,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device, dtype)


def synchronise(device: str) -> None:
    """Wait for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


@contextmanager
def between_calls(
    unet: torch.nn.Module, calls: int, begin: Callable[[], object], end: Callable[[], object]
) -> Iterator[None]:
    """Call ``begin`` before the first model call and ``end`` after the last of ``calls``."""
    made: list[None] = []

    def before(*_: Any) -> None:
        made.append(None)
        if len(made) == 1:
            begin()

    def after(*_: Any) -> None:
        if len(made) == calls:
            end()

    hooks = unet.register_forward_pre_hook(before), unet.register_forward_hook(after)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    if len(made) != calls:
        raise RuntimeError(f"{len(made)} model calls, expected {calls}")


def copies_to_host(unet: Any, calls: int, device: str, render: Callable[[], object]) -> int:
    """Count the copies to the host between the first and the last model call of a render."""
    profiler = profile(activities=supported_activities())

    def begin() -> None:
        synchronise(device)
        profiler.start()

    def end() -> None:
        synchronise(device)
        profiler.stop()

    with between_calls(unet, calls, begin, end):
        render()
    return sum("Memcpy DtoH" in event.name for event in profiler.events() or ())


def synchronisations(
    unet: Any, calls: int, device: str, render: Callable[[], object]
) -> int | None:
    """Count the operations between the first and the last model call that wait for the device."""

    def debug(mode: str) -> None:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode(mode)

    try:
        with (
            warnings.catch_warnings(record=True) as caught,
            between_calls(unet, calls, lambda: debug("warn"), lambda: debug("default")),
        ):
            warnings.simplefilter("always")
            render()
    finally:
        debug("default")
    found = sum(SYNCHRONISES in str(one.message) for one in caught)
    return found if device == "cuda" else None


def waits(pipeline: Any, reference: Any, size: Size, device: str) -> Iterator[Waits]:
    """Count the waits of our loop, and of P0 if there is one."""
    cold = speed.opened(pipeline, CONCEPTS, size.steps)
    loops: dict[str, Callable[[], object]] = {
        "ours": lambda: cold.copy().render(output_type="latent")
    }
    if reference is not None:
        loops["P0"] = lambda: speed.run_reference(reference, CONCEPTS, size.steps)
    for loop, render in loops.items():
        # The first render does what happens once.
        render()
        waited = synchronisations(pipeline.unet, size.steps, device, render)
        copies = copies_to_host(pipeline.unet, size.steps, device, render)
        yield Waits(size.name, loop, waited, copies)


def check(waited: Sequence[Waits]) -> None:
    """Exit with an error unless only P0 waits for the device."""
    for one in waited:
        ours = one.loop == "ours"
        if ours is bool(one.synchronisations) or ours is bool(one.copies_to_host):
            sys.exit(f"{one}: expected no waits of ours, and some of P0")


def measured(
    prepare: Callable[[], Prepared],
    render: Callable[[Prepared], Result],
    repetitions: int,
    device: str,
) -> tuple[speed.Spread, int, Result]:
    """Return the seconds, the peak bytes and the last result; the first run is a warm-up."""
    seconds: list[float] = []
    for _ in range(1 + repetitions):
        prepared = prepare()
        synchronise(device)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        result = render(prepared)
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    return speed.spread(seconds[1:]), peak, result


def plain_call(pipeline: Any, steps: int) -> speed.Sample:
    """Render without concepts by the pipeline's own call."""
    start = time.perf_counter()
    pipeline(
        speed.PROMPT,
        generator=torch.Generator().manual_seed(1),
        num_inference_steps=steps,
        guidance_scale=5,
        output_type="latent",
    )
    return speed.Sample(time.perf_counter() - start, 2 * steps, steps, (0,))


def rendering(pipeline: Any, edit: speed.Edit, mode: str) -> Callable[[EditSession], speed.Sample]:
    """Return a function that makes an edit in a session and renders it."""
    return lambda session: speed.run(pipeline, session, (edit,), mode)


def rows(pipeline: Any, reference: Any, size: Size, device: str) -> Iterator[Row]:
    """Measure `plain`, P1, P0 if there is one, and the operations that are compared with them."""
    steps = size.steps

    def measure(prepare: Callable[[], Any], render: Callable[[Any], speed.Sample]) -> Any:
        return measured(prepare, render, size.repetitions, device)

    def row(found: Any, operation: str, mode: str, p1: float, p0: float | None) -> Row:
        seconds, peak, run = found
        of_p0 = None if p0 is None else seconds.median / p0
        return Row(
            size.name,
            operation,
            mode,
            run.rendered[-1],
            run.evaluations,
            seconds,
            seconds.median / p1,
            of_p0,
            peak,
        )

    first = rendering(pipeline, speed.nothing, "exact")
    plain = measure(lambda: pipeline, lambda given: plain_call(given, steps))
    yield row(plain, "plain", "exact", plain[0].median, None)
    unedited = speed.opened(pipeline, 0, steps)
    yield row(measure(unedited.copy, first), "first render", "exact", plain[0].median, None)
    uncached = speed.opened(pipeline, CONCEPTS, steps, cache_bytes=0)
    of_p1 = measure(lambda: uncached, first)
    p1, p0 = of_p1[0].median, None
    if reference is not None:
        of_p0 = measure(
            lambda: reference, lambda given: speed.run_reference(given, CONCEPTS, steps)
        )
        p0 = of_p0[0].median
        yield row(of_p0, "P0", "exact", p1, p0)
    yield row(of_p1, "P1", "exact", p1, p0)
    cold = speed.opened(pipeline, CONCEPTS, steps)
    yield row(measure(cold.copy, first), "first render", "exact", p1, p0)
    fewer, before = (speed.opened(pipeline, count, steps) for count in (CONCEPTS - 1, CONCEPTS))
    for session in (fewer, before):
        session.render(output_type="latent")
    reweight = speed.update(scale=7)
    for name, start, edit, mode in (
        ("add", fewer, speed.add, "exact"),
        ("reweight", before, reweight, "exact"),
        ("reweight", before, reweight, "anchored"),
        ("reweight", before, reweight, "preview"),
    ):
        yield row(measure(start.copy, rendering(pipeline, edit, mode)), name, mode, p1, p0)


def compiled_rows(pipeline: Any, size: Size, device: str) -> Iterator[Row]:
    """Measure the first render before and after compiling the U-Net, which stays compiled.

    A model call has five rows with 3 concepts, and one without concepts and guidance.
    """
    one = EditSession(pipeline, speed.PROMPT, num_inference_steps=size.steps, guidance_scale=1)
    five = speed.opened(pipeline, CONCEPTS, size.steps)
    for how in ("eager", "compiled"):
        if how == "compiled":
            pipeline.unet.compile(mode="reduce-overhead", dynamic=False)
        for batch, cold in ((1, one), (5, five)):
            seconds, peak, run = measured(
                cold.copy, rendering(pipeline, speed.nothing, "exact"), size.repetitions, device
            )
            name = f"first render, batch of {batch}, {how}"
            yield Row(
                *(size.name, name, "exact", len(cold.concepts), run.evaluations),
                *(seconds, None, None, peak),
            )


def page(found: Sequence[Row], waited: Sequence[Waits], machine: str) -> str:
    """Return the results as Markdown tables."""

    def cells(*values: object) -> str:
        texts = ("" if value is None else str(value) for value in values)
        return f"| {' | '.join(texts)} |"

    def ratio(value: float | None) -> str | None:
        return None if value is None else f"{value:.1%}"

    lines = [
        f"On {machine}. Seconds are a median, with the smallest and the largest. A render with",
        "concepts is compared with P1 and P0, one without concepts with *plain*, the own call of",
        "the pipeline.",
        "",
        "| model | operation | mode | concepts | seconds | of P1 or plain | of P0 | peak GB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(
            cells(
                *(one.model, one.operation, one.mode, one.concepts, one.seconds),
                *(ratio(one.of_p1), ratio(one.of_p0), f"{one.peak_bytes / 1e9:.2f}"),
            )
            for one in found
        ),
        "",
        "Waits of the host between the first and the last model call of a render:",
        "",
        "| model | loop | synchronisations | copies to the host |",
        "| --- | --- | --- | --- |",
        *(cells(one.model, one.loop, one.synchronisations, one.copies_to_host) for one in waited),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="measure models of a few weights")
    parser.add_argument(
        "--compile", action="store_true", help="also time torch.compile; takes minutes"
    )
    parser.add_argument("--output", type=Path, help="the JSON file to write")
    arguments = parser.parse_args()
    device = arguments.device
    output = arguments.output or Path(__file__).parent / "results" / "gpu.json"
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("needs a CUDA device; --device cpu --tiny tries the benchmark without one")
    dtype = torch.float16 if device == "cuda" else torch.float32

    found: list[Row] = []
    waited: list[Waits] = []
    for size in TINY if arguments.tiny else SIZES:
        pipeline = random_pipeline(size, device, dtype)
        has_p0 = isinstance(pipeline, StableDiffusionPipeline)
        reference = speed.reference_pipeline(pipeline) if has_p0 else None
        waited += waits(pipeline, reference, size, device)
        found += rows(pipeline, reference, size, device)
        if arguments.compile and has_p0:
            found += compiled_rows(pipeline, size, device)
    gpu = torch.cuda.get_device_properties(0) if device == "cuda" else None
    described = {} if gpu is None else {"gpu": gpu.name, "gpu_bytes": gpu.total_memory}
    results = {
        "device": described,
        "rows": [attrs.asdict(row) for row in found],
        "waits": [attrs.asdict(one) for one in waited],
    }
    speed.write(output, results)
    output.with_suffix(".md").write_text(
        page(found, waited, speed.machine()["cpu"] if gpu is None else gpu.name)
    )
    Console().print(speed.table(found), speed.table(waited))
    if gpu is not None:
        check(waited)


if __name__ == "__main__":
    main()
