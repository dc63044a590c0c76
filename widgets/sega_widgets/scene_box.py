"""The prompt, the seed and the other values that are fixed for a session."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from ipywidgets import (
    Button,
    FloatText,
    HBox,
    IntText,
    Layout,
    Text,
    ToggleButton,
    VBox,
)

from sega_session import EditSession
from sega_session.errors import InvalidValueError

from .access import FORM
from .guard import Guard


class SceneBox(VBox):
    """The fields of a session's scene, and a button that starts a session of another scene.

    Args:
        session: the session whose scene is shown.
        guard: the guard of the panel.
        begin: continues with a new session.
    """

    def __init__(
        self, session: EditSession, guard: Guard, begin: Callable[[EditSession], None]
    ) -> None:
        self._session = session
        self._begin = begin
        narrow, label = Layout(width="11em"), {"description_width": "initial"}
        self.prompt = Text(
            continuous_update=False,
            description="Prompt",
            tooltip="What the image shows; Enter starts a new image",
            style=label,
            layout=Layout(flex="1 1 16em", width="auto"),
        )
        self.seeds = Text(
            continuous_update=False,
            description="Seed",
            tooltip="A whole number, or several with commas for a batch",
            style=label,
            layout=narrow,
        )
        self.new = Button(
            description="New image",
            tooltip="Start a session with this prompt and seed; this one stays available",
        )
        self.more = ToggleButton(
            description="More",
            tooltip="Show negative prompt, steps and guidance scale",
            layout=Layout(width="5em"),
        )
        self.negative = Text(
            continuous_update=False,
            description="Negative prompt",
            tooltip="What the image should not show",
            style=label,
            layout=Layout(flex="1 1 16em", width="auto"),
        )
        self.steps = IntText(
            description="Steps",
            tooltip="The scheduler's steps, 1 or more",
            style=label,
            layout=narrow,
        )
        self.guidance = FloatText(
            step=0.5,
            description="Guidance scale",
            tooltip="How closely the image follows the prompt, 0 or more",
            style=label,
            layout=narrow,
        )
        head = HBox(
            [self.prompt, self.seeds, self.new, self.more], layout=Layout(flex_flow="row wrap")
        )
        self._details = HBox(
            [self.negative, self.steps, self.guidance],
            layout=Layout(flex_flow="row wrap", display="none"),
        )
        self.new.on_click(lambda _: guard.run(self._start))
        self.more.observe(lambda _: self._show_details(), "value")
        super().__init__([head, self._details])
        self.add_class(FORM)
        self.refresh()

    def refresh(self) -> None:
        """Set the fields to the session's scene."""
        scene = self._session.scene
        self.prompt.value, self.negative.value = scene.prompt, scene.negative_prompt
        self.seeds.value = ", ".join(map(str, scene.seeds))
        self.steps.value, self.guidance.value = scene.num_inference_steps, scene.guidance_scale

    def _start(self) -> None:
        scene = self._session.scene
        # Embeddings stand for the words that they were shown with.
        given = (scene.prompt_embedding, scene.negative_embedding)
        same = (scene.prompt == self.prompt.value, scene.negative_prompt == self.negative.value)
        embeddings = [one if kept else None for one, kept in zip(given, same, strict=True)]
        scene = attrs.evolve(
            scene,
            prompt=self.prompt.value,
            negative_prompt=self.negative.value,
            prompt_embedding=embeddings[0],
            negative_embedding=embeddings[1],
            seeds=self._parse_seeds(),
            num_inference_steps=self.steps.value,
            guidance_scale=self.guidance.value,
        )
        self._begin(self._session.another(scene, edits="none"))
        # The new session has its own fields; these show the old scene again.
        self.refresh()

    def _parse_seeds(self) -> tuple[int, ...]:
        try:
            return tuple(int(one) for one in self.seeds.value.split(","))
        except ValueError:
            raise InvalidValueError(
                "Seed", self.seeds.value, "a whole number, or several with commas"
            ) from None

    def _show_details(self) -> None:
        self._details.layout.display = "" if self.more.value else "none"
