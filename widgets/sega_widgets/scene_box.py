"""What a picture begins with: the prompt, the seed and what else is fixed for a session."""

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
    """Shows a session's scene, and begins another.

    Args:
        session: whose scene is shown.
        guard: shared by the parts of a panel.
        begin: goes on with a new session.
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
            tooltip="What the picture shows; Enter begins a new picture",
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
            description="New picture",
            tooltip="Begin a session with this prompt and seed; this one stays to go back to",
        )
        self.more = ToggleButton(
            description="More",
            tooltip="Show negative prompt, steps and guidance scale",
            layout=Layout(width="5em"),
        )
        self.negative = Text(
            continuous_update=False,
            description="Negative prompt",
            tooltip="What the picture should not show",
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
            tooltip="How closely the picture follows the prompt, 0 or more",
            style=label,
            layout=narrow,
        )
        head = HBox(
            [self.prompt, self.seeds, self.new, self.more], layout=Layout(flex_flow="row wrap")
        )
        self._fold = HBox(
            [self.negative, self.steps, self.guidance],
            layout=Layout(flex_flow="row wrap", display="none"),
        )
        self.new.on_click(lambda _: guard.act(self._new))
        self.more.observe(lambda _: self._unfold(), "value")
        super().__init__([head, self._fold])
        self.add_class(FORM)
        self.show()

    def show(self) -> None:
        """Set the fields to the session's scene."""
        scene = self._session.scene
        self.prompt.value, self.negative.value = scene.prompt, scene.negative_prompt
        self.seeds.value = ", ".join(map(str, scene.seeds))
        self.steps.value, self.guidance.value = scene.num_inference_steps, scene.guidance_scale

    def _new(self) -> None:
        scene = attrs.evolve(
            self._session.scene,
            prompt=self.prompt.value,
            negative_prompt=self.negative.value,
            seeds=self._seeds(),
            num_inference_steps=self.steps.value,
            guidance_scale=self.guidance.value,
        )
        self._begin(self._session.another(scene))
        # What was typed is the new session's.
        self.show()

    def _seeds(self) -> tuple[int, ...]:
        try:
            return tuple(int(one) for one in self.seeds.value.split(","))
        except ValueError:
            raise InvalidValueError(
                "Seed", self.seeds.value, "a whole number, or several with commas"
            ) from None

    def _unfold(self) -> None:
        self._fold.layout.display = "" if self.more.value else "none"
