"""Render one edit in every mode, side by side, and write modes.png."""

from collections.abc import Callable

from PIL import Image

from sega_session import EditSession, anchored, load_avatars
from sega_session.contact_sheet import Tile, contact_sheet
from sega_session.render import Render

EDITS: dict[str, Callable[[EditSession], None]] = {
    "add a beard": lambda s: s.add("beard", scale=3, threshold=0.95),
    "invert the smile": lambda s: s.invert("smile"),
    "remove the glasses": lambda s: s.remove("glasses"),
}
MODES = ("preview", anchored(every=5), "replay", "exact")


def main() -> Image.Image:
    """Make the contact sheet: one row per edit, with the image before it first."""
    pipeline = load_avatars()
    pipeline.set_progress_bar_config(disable=True)
    tiles: list[Tile] = []
    for label, edit in EDITS.items():
        renders: list[tuple[Render, float]] = []
        for mode in MODES:
            # Each mode has its own session, so that it cannot reuse evaluations of another mode.
            session = EditSession(pipeline, "a portrait of a person", seed=33, guidance_scale=5)
            session.add("glasses", scale=4, threshold=0.95)
            session.add("smile", scale=4, threshold=0.95)
            before = session.render()
            edit(session)
            render = session.render(mode)
            renders.append((render, session.measure(render).psnr[0]))
        tiles.append(Tile(before.image, "before", f"then: {label}"))
        for render, psnr in renders:
            quality = "" if render.exact else f", {psnr:.0f} dB"
            tiles.append(
                Tile(render.image, render.mode, f"{render.evaluations} evaluations{quality}")
            )
    return contact_sheet(tiles, columns=len(MODES) + 1)


if __name__ == "__main__":
    main().save("modes.png")
