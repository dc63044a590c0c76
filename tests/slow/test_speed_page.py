"""Run the code of docs/speed.md in order, without compiling."""

from __future__ import annotations

from unittest import mock

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel

from sega_session import load_avatars
from tests.support.markdown import DOCS, parse_page, run_page


@mock.patch.object(UNet2DConditionModel, "compile_repeated_blocks", autospec=True)
def test_the_blocks_run(compiled: mock.Mock) -> None:
    document = parse_page(DOCS / "speed.md")
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
    run_page(document)
    compiled.assert_called_once_with(document.namespace["pipeline"].unet)
    assert document.namespace["preview"].size == document.namespace["image"].size
    assert document.namespace["session"].render().evaluations == 0
