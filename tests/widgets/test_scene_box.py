"""Sessions of another prompt or seed."""

from __future__ import annotations

import pytest
from sega_widgets import EditPanel

from .fakes import add


def test_another_prompt_is_another_session(panel: EditPanel) -> None:
    first = panel.view
    add(panel, "glasses")
    scene = first.scene
    scene.prompt.value, scene.seeds.value, scene.steps.value = "a dog", "3, 4", 5
    scene.guidance.value, scene.negative.value = 6.0, "blurry"
    scene.new.click()
    found = panel.session.scene
    assert (found.prompt, found.seeds, found.num_inference_steps) == ("a dog", (3, 4), 5)
    assert (found.guidance_scale, found.negative_prompt) == (6, "blurry")
    assert not panel.session.concepts
    assert panel.view.image.caption.text == "exact"
    titles = [title for title, _ in panel.sessions.options]
    assert titles == ["1: a cat, seed 0", "2: a dog, seed 3, 4"]
    assert panel.view.files.file.value == "session-2.safetensors"
    assert panel.session.pipeline is first.session.pipeline
    panel.sessions.value = 0
    assert panel.view is first
    # The fields show the first session's scene again.
    assert (first.scene.prompt.value, first.scene.seeds.value) == ("a cat", "0")
    add(panel, "beard")
    assert [concept.name for concept in panel.session.concepts] == ["glasses", "beard"]
    assert [len(view.session.concepts) for view in panel.views] == [2, 0]


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("seeds", "eight", "Seed is"),
        ("seeds", "-1", "seed"),
        ("seeds", "", "Seed is"),
        ("steps", 0, "num_inference_steps is 0; allowed"),
        ("guidance", -1.0, "guidance_scale is -1.0; allowed"),
    ],
)
def test_a_scene_that_is_refused_changes_nothing(
    panel: EditPanel, field: str, text: object, message: str
) -> None:
    getattr(panel.view.scene, field).value = text
    panel.view.scene.new.click()
    assert "Not done" in panel.messages.value
    assert message in panel.messages.value
    assert len(panel.views) == 1
