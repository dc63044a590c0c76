"""A refused model: the message names what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from sega_session import EditSession
from sega_session.errors import ModelMismatchError
from sega_session.saving import is_same_model, read_document
from sega_session.testing import FakeModel


@pytest.mark.parametrize("field", ["sampler", "digest"])
def test_a_difference_is_always_named(field: str, tmp_path: Path) -> None:
    model = FakeModel()
    path = EditSession(model, "x", num_inference_steps=2).save(tmp_path / "a.safetensors").path
    document = read_document(path)
    changes: dict[str, Any] = {field: "another"}
    other = attrs.evolve(document, model=attrs.evolve(document.model, **changes))
    with pytest.raises(ModelMismatchError, match=rf"What differs: {field}\. Load"):
        is_same_model(other, model, allow_mismatch=False)
