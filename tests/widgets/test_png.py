"""Heat maps over images."""

from __future__ import annotations

import PIL.Image
import torch
from sega_widgets.png import overlay_heat_map


def test_heat_has_the_colour_and_the_rest_is_pale() -> None:
    image = PIL.Image.new("RGB", (16, 16), "#204060")
    heat = torch.zeros(4, 4)
    heat[:, :2] = 1
    found = overlay_heat_map(image, heat, "#d55e00")
    hot, cold = (found.getpixel((x, 8)) for x in (2, 14))
    assert isinstance(hot, tuple)
    assert isinstance(cold, tuple)
    assert hot[0] - hot[2] > 120
    assert max(cold) - min(cold) < 20
