"""Networks compiled in the ways of docs/speed.md, before a session and midway.

Dynamo runs as for any backend, but the graphs run as they are: generating code takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sega_session import EditSession
from sega_session.models import as_model, identify
from tests.support.families import FAMILIES, Family, size_of

# Importing torch's compiler warns.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

KINDS = [family for family in FAMILIES if family.name in ("Stable Diffusion 1, 2", "FLUX.1-dev")]


def network(pipeline: Any) -> str:
    """Return the name of the network that predicts."""
    return "unet" if hasattr(pipeline, "unet") else "transformer"


def wrap(pipeline: Any) -> None:
    compiled = torch.compile(getattr(pipeline, network(pipeline)), backend="eager")
    setattr(pipeline, network(pipeline), compiled)


def in_place(pipeline: Any) -> None:
    getattr(pipeline, network(pipeline)).compile(backend="eager")


def repeated_blocks(pipeline: Any) -> None:
    getattr(pipeline, network(pipeline)).compile_repeated_blocks(backend="eager")


def begin(pipeline: Any) -> EditSession:
    height, width = size_of(pipeline) or (None, None)
    session = EditSession(pipeline, "a b c", num_inference_steps=6, height=height, width=width)
    session.render(output_type="latent")
    return session


def edited(session: EditSession) -> list[torch.Tensor]:
    """Return the latents of an edit in two modes; its batches have different numbers of rows."""
    # Without a threshold, at which rounding can decide whether an entry counts.
    session.add("hat", warmup=2, threshold=0)
    modes = ("preview", "exact")
    return [session.render(mode, output_type="latent").latents for mode in modes]


@pytest.mark.parametrize("family", KINDS, ids=str)
@pytest.mark.parametrize("compile_network", [wrap, in_place, repeated_blocks])
def test_a_session_goes_on_with_a_compiled_network(
    family: Family, compile_network: Callable[[Any], None]
) -> None:
    pipeline = family.build()
    expected, identity = edited(begin(pipeline)), identify(as_model(pipeline))
    session = begin(pipeline)
    compile_network(pipeline)
    for found in (edited(session), edited(begin(pipeline))):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert identify(as_model(pipeline)) == identity
