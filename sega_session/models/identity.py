"""The identity of a model: a value that tells models apart."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen


@frozen
class ModelIdentity:
    """The identity of a model, which images depend on besides the scene.

    Attributes:
        digest: of all components.
        components: a digest of each, by name.
        dtype: the precision of latents and predictions, "float16" for example.
        sampler: the name of the scheduler's class.
    """

    digest: str
    components: Mapping[str, str]
    dtype: str
    sampler: str
