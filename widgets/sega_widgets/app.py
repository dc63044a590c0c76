"""`open_panel`: what the page of `sega-session app` shows."""

from __future__ import annotations

from rich.console import Console

from sega_session import EditSession
from sega_session.cli.loading import load_quietly
from sega_session.models.presets import recommended_or_published

from .messages import Messages
from .panel import EditPanel


def open_panel(
    *,
    file: str | None = None,
    model: str | None = None,
    prompt: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> EditPanel | Messages:
    """A panel on a saved session or on a new one; where that fails, a message that says why.

    Args:
        file: a file that a session was saved to; None: a new session of `prompt` and `seed`.
        model: a checkpoint in diffusers' layout, a directory or a Hugging Face hub id; None: the
            embedded one.
        prompt: what a new session's picture shows; None: a portrait that suits the checkpoint.
        seed: a new session's seed; None: one that suits the checkpoint.
        device: where the model runs; None: CUDA if there is any.
        dtype: the model's precision, "float16" for example; None: float16 on CUDA, else float32.
    """
    try:
        # In a notebook, a console's progress would be a part of the page.
        pipeline = load_quietly(Console(quiet=True, force_jupyter=False), model, device, dtype)
        if file is not None:
            panel = EditPanel(EditSession.load(file, pipeline))
            panel.view.files.file.value = file
            return panel
        settings = recommended_or_published(pipeline)
        session = EditSession(
            pipeline,
            settings.prompt if prompt is None else prompt,
            seed=settings.seed if seed is None else seed,
            guidance_scale=settings.guidance_scale,
        )
        return EditPanel(session)
    except Exception as error:  # the page would say no more than that there was one
        message = Messages()
        message.error(error)
        return message
