"""What tells one model from another, as a value."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen


@frozen
class ModelIdentity:
    """What a session's images depend on besides its scene.

    Attributes:
        digest: of all components.
        components: a digest of each, by name.
        dtype: the precision of latents and predictions, "float16" for example.
        sampler: the scheduler's class.
    """

    digest: str
    components: Mapping[str, str]
    dtype: str
    sampler: str
