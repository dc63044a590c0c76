"""Run the code of docs/speed.md in order, without compiling."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from sega_session import load_avatars

PAGE = Path(__file__).parents[2] / "docs" / "speed.md"


def run_python(example: Example) -> None:
    exec(compile(example.parsed, f"docs/speed.md, line {example.line}", "exec"), example.namespace)


@mock.patch.object(UNet2DConditionModel, "compile_repeated_blocks", autospec=True)
def test_the_blocks_run(compiled: mock.Mock) -> None:
    document = Document.parse(str(PAGE), CodeBlockParser("python", run_python), SkipParser())
    vae = load_avatars().vae
    blocks = len(vae.config.block_out_channels)
    torch.manual_seed(1)
    # In the place of one that is downloaded.
    document.namespace["tiny"] = AutoencoderTiny(
        encoder_block_out_channels=(8,) * blocks,
        decoder_block_out_channels=(8,) * blocks,
        num_encoder_blocks=(1,) * blocks,
        num_decoder_blocks=(1,) * blocks,
        latent_channels=vae.config.latent_channels,
    ).eval()
    for example in document.examples():
        example.evaluate()
    compiled.assert_called_once_with(document.namespace["pipeline"].unet)
    assert document.namespace["preview"].size == document.namespace["image"].size
    assert document.namespace["session"].render().evaluations == 0
