"""The panel of `sega-session app`; with the embedded checkpoint in tests/cli."""

from __future__ import annotations

import pytest
from sega_widgets import EditPanel
from sega_widgets.app import open_panel

from .fakes import Model


def test_a_checkpoint_that_recommends_nothing_gets_the_documented_example(
    model: Model, inline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sega_widgets.app.load_quietly", lambda *_: model)
    panel = open_panel()
    assert isinstance(panel, EditPanel)
    scene = panel.session.scene
    assert (scene.prompt, scene.seeds) == ("a photo of the face of a woman", (21,))
    assert scene.guidance_scale == model.spec.default_guidance_scale
    panel.close()
    panel = open_panel(prompt="a dog", seed=3)
    assert isinstance(panel, EditPanel)
    assert (panel.session.scene.prompt, panel.session.scene.seeds) == ("a dog", (3,))
    panel.close()
