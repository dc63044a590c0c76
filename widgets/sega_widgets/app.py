"""The panel that the page of `sega-session app` shows."""

from __future__ import annotations

from pathlib import Path

from sega_session import EditSession
from sega_session.models import load_quietly, recommended_or_published

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
    """Open a panel on a saved session or on a new one; its files stay in the current folder.

    Args:
        file: a file that a session was saved to; None: begin a new session.
        model: a checkpoint in diffusers' layout, a directory or a Hugging Face hub id; None: the
            embedded one.
        prompt: a new session's prompt; None: the one that the checkpoint recommends.
        seed: a new session's seed; None: the one that the checkpoint recommends.
        device: where the model runs; None: CUDA if there is any.
        dtype: the model's precision, "float16" for example; None: float16 on CUDA, else float32.

    Returns:
        The panel, or a message with the error if it cannot be opened.
    """
    try:
        pipeline = load_quietly(model, device, dtype)
        if file is not None:
            panel = EditPanel(EditSession.load(file, pipeline), folder=Path.cwd())
            panel.view.files.file.value = _name(Path(file))
            return panel
        return EditPanel(_new_session(pipeline, prompt, seed), folder=Path.cwd())
    except Exception as error:  # The page would show no details of it.
        message = Messages()
        message.error(error)
        return message


def _name(file: Path) -> str:
    """Return a file's path in the current folder; of one elsewhere, the name to save it under."""
    inside = file.is_relative_to(Path.cwd())
    return str(file.relative_to(Path.cwd())) if inside else file.name


def _new_session(pipeline: object, prompt: str | None, seed: int | None) -> EditSession:
    scene = recommended_or_published(pipeline)
    return EditSession(
        pipeline,
        scene.prompt if prompt is None else prompt,
        seed=scene.seed if seed is None else seed,
        guidance_scale=scene.guidance_scale,
    )
