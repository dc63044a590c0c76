"""Write a pipeline as one file in the layout of Stable Diffusion's authors.

The names are not written down here: diffusers converts all names that such a file may have, and
what it makes of them is read backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_utils import (
    DIFFUSERS_TO_LDM_MAPPING,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from safetensors.torch import save_file
from torch import Tensor, nn

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
"""The beginnings of the names of the three networks' tensors."""

BLOCKS, LAYERS = range(12), range(3)
"""More blocks and layers than any pipeline of the tests has."""


def save_single_file(pipeline: Any, path: Path, *, parts: Iterable[str] = (UNET, VAE, TEXT)) -> Any:
    """Write the networks of a Stable Diffusion pipeline to one file, and return the pipeline."""
    tensors: dict[str, Tensor] = {}
    if UNET in parts:
        names = _original_names(pipeline.unet, convert_ldm_unet_checkpoint, UNET, _unet_names())
        tensors |= {names[one]: value for one, value in pipeline.unet.state_dict().items()}
    if VAE in parts:
        names = _original_names(pipeline.vae, convert_ldm_vae_checkpoint, VAE, _vae_names())
        for one, value in pipeline.vae.state_dict().items():
            # The authors' VAE has convolutions where diffusers' has linear layers.
            linear = "attentions" in one and value.ndim == 2
            tensors[names[one]] = value[:, :, None, None] if linear else value
    if TEXT in parts:
        for one, value in pipeline.text_encoder.state_dict().items():
            tensors[f"{TEXT}text_model.{one.removeprefix('text_model.')}"] = value
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return pipeline


def _original_names(
    network: nn.Module,
    convert: Callable[..., dict[str, Tensor]],
    prefix: str,
    candidates: Iterable[str],
) -> dict[str, str]:
    """Return the authors' name of each tensor of a network, by diffusers' name."""
    config: Any = network.config
    names = [prefix + one for one in dict.fromkeys(candidates)]
    marks = {name: torch.tensor([index]) for index, name in enumerate(names)}
    converted = convert(marks, config=config)
    return {one: names[int(converted[one])] for one in network.state_dict()}


def _unet_names() -> Iterable[str]:
    yield from DIFFUSERS_TO_LDM_MAPPING["unet"]["layers"].values()
    parts = ("in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3")
    resnet = [*parts, "skip_connection"]
    inner = [f"attn{n}.{p}" for n, p in product((1, 2), ("to_q", "to_k", "to_v", "to_out.0"))]
    inner += ["ff.net.0.proj", "ff.net.2", "norm1", "norm2", "norm3"]
    attention = ["norm", "proj_in", "proj_out", *(f"transformer_blocks.0.{p}" for p in inner)]
    blocks = [f"{side}_blocks.{i}" for side, i in product(("input", "output"), BLOCKS)]
    layers = [f"{block}.0.{part}" for block, part in product(blocks, [*resnet, "op"])]
    layers += [f"{block}.1.{part}" for block, part in product(blocks, attention)]
    layers += [f"output_blocks.{i}.2.conv" for i in BLOCKS]
    layers += [f"middle_block.{i}.{part}" for i, part in product((0, 2), resnet)]
    layers += [f"middle_block.1.{part}" for part in attention]
    yield from _weights_and_biases(layers)


def _vae_names() -> Iterable[str]:
    yield from DIFFUSERS_TO_LDM_MAPPING["vae"].values()
    resnet = ["norm1", "conv1", "norm2", "conv2", "nin_shortcut"]
    layers = []
    for side, way, sample in (("encoder", "down", "downsample"), ("decoder", "up", "upsample")):
        blocks = [f"{way}.{i}.block.{j}" for i, j in product(LAYERS, LAYERS)]
        blocks += [f"mid.block_{i}" for i in (1, 2)]
        layers += [f"{side}.{block}.{part}" for block, part in product(blocks, resnet)]
        layers += [f"{side}.mid.attn_1.{part}" for part in ("norm", "q", "k", "v", "proj_out")]
        layers += [f"{side}.{way}.{i}.{sample}.conv" for i in LAYERS]
    yield from _weights_and_biases(layers)


def _weights_and_biases(layers: Iterable[str]) -> Iterable[str]:
    return (f"{layer}.{kind}" for layer, kind in product(layers, ("weight", "bias")))
