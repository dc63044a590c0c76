"""The identity of a model: what images depend on besides the scene and the edits."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen


@frozen
class ModelIdentity:
    """The digests and settings that distinguish one pipeline from another.

    Attributes:
        digest: the digest of all components together.
        components: the digest of each component, by its name.
        dtype: the precision of latents and predictions, "float16" for example.
        sampler: the name of the scheduler's class.
    """

    digest: str
    components: Mapping[str, str]
    dtype: str
    sampler: str
