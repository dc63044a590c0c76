"""The masks of a session, as pixels and at the size of its latents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..models import LatentsShape, ModelSpec
from ..state import Mask, MaskSource, Pixels, Scene, mask_of, read_mask


class Masks(Mapping[str, Tensor]):
    """Masks by digest, ``(1 or images, 1, height, width)`` at the latents' size, 0 to 1.

    Args:
        scene: the size of the images, and their number.
        shape: of the latents.
        spec: the model's device and precision.
    """

    def __init__(self, scene: Scene, shape: LatentsShape, spec: ModelSpec) -> None:
        self._scene = scene
        self._size = shape[2:]
        self._spec = spec
        self._pixels: dict[str, Pixels] = {}
        self._found: dict[str, Tensor] = {}

    def __getitem__(self, digest: str) -> Tensor:
        return self._found[digest]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def add(self, source: MaskSource) -> Mask:
        """Keep a user's mask. Return its name, a concept's ``mask``. Raises InvalidValueError."""
        scene = self._scene
        pixels = read_mask(source, scene.height, scene.width, len(scene.seeds))
        mask = mask_of(pixels)
        self.restore(mask.digest, pixels)
        return mask

    def restore(self, digest: str, pixels: Pixels) -> None:
        """Add a mask from a file, or another session, under the digest that it has there."""
        self._pixels[digest] = pixels
        shares = torch.from_numpy(pixels.copy())[:, None].float() / 255
        # The average of the pixels that each latent entry stands for.
        small = adaptive_avg_pool2d(shares, self._size)
        self._found[digest] = small.to(self._spec.device, self._spec.dtype)

    def restore_all(self, other: Masks) -> None:
        """Add all masks of another session with this scene."""
        for digest, pixels in other.all_pixels().items():
            self.restore(digest, pixels)

    def pixels(self, digest: str) -> Pixels:
        """Return the pixels of a mask that was added."""
        return self._pixels[digest]

    def all_pixels(self) -> dict[str, Pixels]:
        """Return the pixels of all masks, by digest."""
        return dict(self._pixels)
