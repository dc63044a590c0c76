"""The examples that connect sessions with diffusers and with web frameworks."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, ModularPipeline, StableDiffusionXLAutoBlocks
from fastapi.testclient import TestClient
from PIL import Image

from sega_session import Concept, EditSession, EditState
from sega_session.testing import FakeModel
from tests.support.pipelines import tiny_stable_diffusion
from tests.support.stable_diffusion_xl import tiny_stable_diffusion_xl

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


# A callback for diffusers' pipelines.


@pytest.mark.parametrize("last", [{}, {"set_alpha_to_one": True}])
def test_a_callback_carries_an_edit_into_diffusers_own_loop(last: dict[str, Any]) -> None:
    pipeline = tiny_stable_diffusion()
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, **last)
    scene: dict[str, Any] = {"prompt": "a cat", "guidance_scale": 5, "num_inference_steps": 9}
    session = EditSession(pipeline, seed=[3], **scene)
    unedited = session.render(output_type="latent").latents
    session.add("hat", scale=6, warmup=2)
    edited = session.render(output_type="latent").latents
    assert (edited - unedited).abs().max() > 0.1
    found = pipeline(
        **scene,
        generator=torch.Generator().manual_seed(3),
        output_type="latent",
        callback_on_step_end=example("diffusers_callback")["add_guidance"](session.sem_guidance()),
    ).images
    torch.testing.assert_close(found, edited, rtol=0, atol=1e-4)


def test_a_callback_for_diffusers_is_called_by_sessions(capsys: pytest.CaptureFixture[str]) -> None:
    print_step = example("diffusers_callback")["print_step"]
    session = EditSession(FakeModel(), "a cat", num_inference_steps=3)
    session.render(callback_on_step_end=print_step)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["0", "1", "2"]


# A guider for Modular pipelines.


def modular(pipeline: Any) -> ModularPipeline:
    found = StableDiffusionXLAutoBlocks().init_pipeline()
    found.update_components(**{**pipeline.components, "force_zeros_for_empty_prompt": True})
    found.set_progress_bar_config(disable=True)
    return found


@pytest.mark.parametrize("images", [1, 2])
def test_a_guider_applies_the_recipe_in_modular_pipelines(images: int) -> None:
    names = example("modular_guider")
    concepts = (
        Concept(name="hat", prompt="hat", scale=6, warmup=2, threshold=0.8),
        Concept(name="old", prompt="old", opposite="young", scale=4, warmup=4, inverted=True),
        Concept(name="muted", prompt="beard", enabled=False),
    )
    state = EditState(concepts=concepts, momentum_scale=0.3)
    pipeline = tiny_stable_diffusion_xl()
    seeds = [*range(images)]
    session = EditSession(pipeline, "a cat", seed=seeds, guidance_scale=5, num_inference_steps=8)
    expected = session.render(state=state, output_type="latent").latents
    unedited = session.render(output_type="latent").latents
    assert (expected - unedited).abs().max() > 0.1

    blocks = modular(pipeline)
    guider = names["SemanticGuidance"](state, names["encoder"](blocks), guidance_scale=5)
    blocks.update_components(guider=guider)
    for wanted in (expected, expected):  # A second image begins anew.
        found = blocks(
            prompt="a cat",
            num_inference_steps=8,
            num_images_per_prompt=images,
            height=16,
            width=16,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output="latents",
        )
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


# A web application.


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[TestClient, Any, Clock, FakeModel]]:
    names, clock, model = example("web_app"), Clock(), FakeModel()
    sessions = names["Sessions"](model, tmp_path, most=2, idle_seconds=60, clock=clock)
    with TestClient(names["app_of"](sessions)) as client:
        yield client, sessions, clock, model
    assert len(sessions) == 0


def begin(client: TestClient, **scene: Any) -> str:
    answer = client.post("/sessions", json=scene)
    assert answer.status_code == 200
    return str(answer.json()["token"])


def test_each_visitor_has_a_session(web: Any) -> None:
    client, sessions, _, _ = web
    one, other = begin(client, prompt="a cat", seed=1), begin(client, prompt="a cat", seed=2)
    answer = client.put(f"/sessions/{one}/concepts/hat", json={"scale": 6})
    assert answer.json() == {
        "concepts": {"hat": {"scale": 6.0, "threshold": 0.95}},
        "steps": 2,
        "warnings": [],
    }
    assert client.get(f"/sessions/{other}").json() == {"concepts": {}, "steps": 1}
    client.put(f"/sessions/{one}/concepts/hat", json={"scale": 7})
    for mode, quality in (("exact", "exact"), ("preview", "exact")):
        answer = client.get(f"/sessions/{one}/image", params={"mode": mode})
        assert answer.headers["X-Quality"] == quality
        assert Image.open(BytesIO(answer.content)).size == (16, 16)
    client.put(f"/sessions/{one}/concepts/hat", json={"scale": 8})
    answer = client.get(f"/sessions/{one}/image", params={"mode": "preview"})
    assert answer.headers["X-Mode"] == "preview"
    assert answer.headers["X-Quality"] in ("close", "rough")
    # The changes of one slider in a row are one step.
    assert client.post(f"/sessions/{one}/undo").json() == {"concepts": {}, "steps": 2}
    assert client.post(f"/sessions/{one}/undo").status_code == 422
    assert client.delete(f"/sessions/{one}/concepts/hat").status_code == 422
    assert len(sessions) == 2


def test_an_idle_session_leaves_the_memory_and_comes_back(web: Any) -> None:
    client, sessions, clock, model = web
    token = begin(client)
    client.put(f"/sessions/{token}/concepts/hat", json={"scale": 6})
    image = client.get(f"/sessions/{token}/image")
    assert int(image.headers["X-Evaluations"]) > 0
    clock.now = 60
    sessions.close_idle()
    assert len(sessions) == 1
    clock.now = 61
    sessions.close_idle()
    assert len(sessions) == 0
    rows = model.rows
    again = client.get(f"/sessions/{token}/image")
    assert (again.content, again.headers["X-Evaluations"]) == (image.content, "0")
    assert model.rows == rows
    assert client.post(f"/sessions/{token}/undo").json()["concepts"] == {}


def test_the_session_that_was_idle_longest_makes_room(web: Any) -> None:
    client, sessions, _, _ = web
    tokens = [begin(client, seed=seed) for seed in range(2)]
    client.put(f"/sessions/{tokens[0]}/concepts/hat", json={})
    tokens.append(begin(client, seed=2))
    assert [token in sessions for token in tokens] == [True, False, True]
    assert client.get(f"/sessions/{tokens[1]}").status_code == 200
    assert [token in sessions for token in tokens] == [False, True, True]
    assert client.get(f"/sessions/{tokens[0]}").json()["concepts"].keys() == {"hat"}


def test_a_refusal_says_what_is_allowed(web: Any, tmp_path: Path) -> None:
    client, _, _, _ = web
    token = begin(client)
    answer = client.put(f"/sessions/{token}/concepts/hat", json={"scale": -1})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("scale is -1.0; allowed: ")
    answer = client.put(f"/sessions/{token}/concepts/hat", json={"scale": 0})
    (warning,) = answer.json()["warnings"]
    assert warning.startswith("'hat' has no effect: scale is 0. ")
    assert client.get(f"/sessions/{token}/image", params={"mode": "best"}).status_code == 422
    (tmp_path / "other.safetensors").touch()
    for wrong in ("0" * 32, "other", "..%2Fother", "x"):
        assert client.get(f"/sessions/{wrong}").status_code == 404


def test_the_page_is_served(web: Any) -> None:
    client, _, _, _ = web
    assert "<main>" in client.get("/").text
