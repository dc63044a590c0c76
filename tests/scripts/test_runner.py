"""Scripts run on sessions, and errors name the operation that failed.

The random walks of tests/state/test_history.py check that every history becomes a script and back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sega_session import EditSession
from sega_session.errors import (
    ModelMismatchError,
    ScriptError,
    SessionFileError,
    SessionFormatError,
)
from sega_session.saving.png import read_provenance
from sega_session.scripts import Limits, Script, run_script
from sega_session.testing import FakeModel
from tests.support.pipelines import SCHEDULERS, tiny_stable_diffusion

SCRIPT = """{
  "format_version": 1,
  "scene": {"prompt": "a portrait", "seeds": [3], "num_inference_steps": 8},
  "operations": [
    {"op": "render", "output": "base.png"},
    {"op": "add", "prompt": "hat", "warmup": 2},
    {"op": "render", "output": "more/hat.png"},
    {"op": "expect", "at_most": 18},
    {"op": "branch", "name": "happy"},
    {"op": "transaction", "label": "cheer up", "operations": [
      {"op": "add", "prompt": "a smile", "name": "smile", "warmup": 2},
      {"op": "update", "name": "hat", "fields": {"threshold": 0.5}}
    ]},
    {"op": "render", "mode": {"every": 3}},
    {"op": "undo"},
    {"op": "invert", "name": "hat"},
    {"op": "checkout", "target": "happy"},
    {"op": "render"},
    {"op": "save", "output": "all.safetensors"}
  ]
}"""


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return tiny_stable_diffusion()


def test_a_script_runs(pipeline: Any, tmp_path: Path) -> None:
    session = EditSession.run(Script.parse(SCRIPT), pipeline, tmp_path)
    written = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*"))
    assert [name for name in written if not name.endswith(".lock")] == [
        "all.safetensors",
        "base.png",
        "more/hat.png",
    ]
    assert str(session.history) == (
        "  0  unedited\n  1  hat added\n├─* 2  cheer up  (happy)\n└─  3  hat inverted"
    )
    # The same edits by hand.
    by_hand = EditSession(pipeline, "a portrait", seed=3, num_inference_steps=8)
    by_hand.add("hat", warmup=2, threshold=0.5)
    by_hand.add("a smile", name="smile", warmup=2)
    render = session.render(output_type="latent")
    assert render.evaluations == 0
    torch.testing.assert_close(
        render.latents, by_hand.render(output_type="latent").latents, rtol=1e-5, atol=1e-4
    )
    loaded = EditSession.load(tmp_path / "all.safetensors", pipeline)
    assert loaded.script() == session.script()
    again = EditSession.run(session.script(), pipeline)
    assert again.history == session.history


def refused(operations: str, message: str, index: int, tmp_path: Path) -> None:
    text = f'{{"format_version": 1, "scene": {{"prompt": "x"}}, "operations": {operations}}}'
    with pytest.raises(ScriptError, match=message) as error:
        EditSession.run(Script.parse(text), FakeModel(), tmp_path)
    assert error.value.index == index


def test_a_failure_names_its_operation(tmp_path: Path) -> None:
    add = '{"op": "add", "prompt": "hat"}'
    render = '{"op": "render"}'
    refused(
        f"[{add}, {add}]", r"^operation 1: add: name is 'hat'; allowed: a name that no", 1, tmp_path
    )
    refused(
        f'[{add}, {{"op": "redo"}}]', "^operation 1: redo: there is nothing to redo", 1, tmp_path
    )
    refused(
        f'[{add}, {render}, {{"op": "expect", "at_most": 3}}]',
        "^operation 2: the render before took 150 evaluations; allowed: at most 3",
        2,
        tmp_path,
    )
    refused('[{"op": "branch", "name": ""}]', "^operation 0", 0, tmp_path)
    refused(
        '[{"op": "checkout", "target": "x"}]',
        "operation 0: checkout: the history has no",
        0,
        tmp_path,
    )
    (tmp_path / "out").symlink_to("/tmp")
    refused('[{"op": "save", "output": "out/a.safetensors"}]', "leads out of", 0, tmp_path)
    (tmp_path / "b.safetensors").mkdir()
    refused('[{"op": "save", "output": "b.safetensors"}]', "and is no file", 0, tmp_path)


def test_outputs_are_checked_before_the_first_render(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    model = FakeModel()
    text = script({"op": "render"}, {"op": "save", "output": "taken/a.safetensors"})
    with pytest.raises(ScriptError, match=r"^operation 1: output .* has no place in"):
        EditSession.run(text, model, tmp_path)
    assert model.rows == 0


def script(*operations: dict[str, Any], **scene: Any) -> Script:
    scene = {"prompt": "x", "num_inference_steps": 4, **scene}
    return Script.parse(json.dumps({"format_version": 1, "scene": scene, "operations": operations}))


@pytest.mark.parametrize("number", [0, 1])
def test_no_image_of_a_batch_leaves_the_folder(number: int, tmp_path: Path) -> None:
    folder, precious = tmp_path / "out", tmp_path / "precious.png"
    folder.mkdir()
    precious.write_bytes(b"precious")
    (folder / f"a-{number}.png").symlink_to(precious)
    model = FakeModel()
    batch = script({"op": "render", "output": "a.png"}, seeds=[1, 2])
    with pytest.raises(ScriptError, match=rf"^operation 0: output 'a-{number}.png' leads out of"):
        EditSession.run(batch, model, folder)
    assert precious.read_bytes() == b"precious"
    assert model.rows == 0

    # The name without a number is not written, and links inside the folder are followed.
    (folder / f"a-{number}.png").unlink()
    (folder / f"a-{number}.png").symlink_to("b.png")
    (folder / "a.png").symlink_to(precious)
    EditSession.run(batch, model, folder)
    assert precious.read_bytes() == b"precious"
    assert read_provenance(folder / "b.png")[1] == number


def test_a_script_replaces_only_sessions(tmp_path: Path) -> None:
    weights, session = tmp_path / "weights.safetensors", tmp_path / "session.safetensors"
    save_file({"weight": torch.ones(2)}, weights)
    before = weights.read_bytes()
    for name in ("weights", "a/weights"):
        (tmp_path / "a").mkdir(exist_ok=True)
        model = FakeModel()
        save = script({"op": "render"}, {"op": "save", "output": f"{name}.safetensors"})
        (tmp_path / f"{name}.safetensors").write_bytes(before)
        with pytest.raises(ScriptError, match=r"^operation 1: output .* is no session that this"):
            EditSession.run(save, model, tmp_path)
        assert (tmp_path / f"{name}.safetensors").read_bytes() == before
        assert model.rows == 0
    twice = script(*[{"op": "save", "output": session.name}] * 2)
    EditSession.run(twice, FakeModel(), tmp_path)
    EditSession.run(twice, FakeModel(), tmp_path)
    assert EditSession.load(session, FakeModel()).scene.prompt == "x"


def test_what_a_script_asks_for_is_limited() -> None:
    render = {"op": "render"}
    for text, limits, message in (
        (script(render, seeds=[*range(65)]), Limits(), "asks for 65 seeds; allowed: 64"),
        (
            script(render, height=8192, width=2056),
            Limits(),
            "asks for 16842752 pixels; allowed: 16777216. If you trust",
        ),
        (script(render, seeds=[*range(8)]), Limits(pixels=999), "pixels; allowed: 999"),
        (
            script(render, num_inference_steps=900, seeds=[*range(60)]),
            Limits(),
            "^operation 0: the script asks for 108000 evaluations; allowed: 100000",
        ),
        (
            script(*[{"op": "undo"}] * 5),
            Limits(operations=4),
            "asks for 5 operations; allowed: 4. If you trust the script, allow more: Limits.oper",
        ),
    ):
        model = FakeModel()
        with pytest.raises(ScriptError, match=message):
            EditSession.run(text, model, limits=limits)
        assert model.rows == 0


def test_evaluations_are_those_of_all_renders() -> None:
    render, add = {"op": "render"}, {"op": "add", "prompt": "hat", "warmup": 0}
    text = script(render, render, add, render)
    model = FakeModel()
    with pytest.raises(ScriptError, match=r"^operation 3: the script asks for 18 evaluations"):
        EditSession.run(text, model, limits=Limits(evaluations=17))
    assert model.rows == 8
    model = FakeModel()
    EditSession.run(text, model, limits=Limits(evaluations=18))
    assert model.rows == 18


def test_a_long_script_runs() -> None:
    adds = [{"op": "add", "prompt": f"concept {one}", "warmup": 0} for one in range(400)]
    session = EditSession.run(script(*adds), FakeModel())
    assert len(session.concepts) == 400


def test_a_failed_transaction_is_taken_back() -> None:
    session = EditSession(FakeModel(), "x", num_inference_steps=4)
    text = (
        '{"format_version": 1, "scene": {"prompt": "x"}, "operations": [{"op": "transaction", '
        '"label": "both", "operations": [{"op": "momentum", "scale": 0}, '
        '{"op": "remove", "name": "hat"}]}]}'
    )
    with pytest.raises(ScriptError, match="operation 0: transaction: name is 'hat'"):
        list(run_script(Script.parse(text), session, Path()))
    assert len(session.history) == 1
    assert session.state.momentum_scale == 0.1


def test_embeddings_do_not_go_into_scripts() -> None:
    session = EditSession(FakeModel(), "x", num_inference_steps=4)
    session.add(name="mine", prompt_embeds=torch.ones(1, 1), warmup=1)
    with pytest.raises(ScriptError, match="'mine' is defined by embeddings, which a script does"):
        session.script()


def test_embeddings_that_replace_words_do_not_go_into_scripts() -> None:
    session = EditSession(FakeModel(), "x", num_inference_steps=4)
    session.add("hat", warmup=1)
    with session.transaction("replace"):
        session.remove("hat")
        session.add("hat", prompt_embeds=torch.ones(1, 1), warmup=1)
    with pytest.raises(ScriptError, match="'hat' is defined by embeddings, which a script does"):
        session.script()


# Images that carry the session that made them.


def test_an_image_restores_its_session(pipeline: Any, tmp_path: Path) -> None:
    session = EditSession(pipeline, "a,\n“b”", seed=[3, 4], num_inference_steps=8, guidance_scale=4)
    session.add("hat", warmup=2, scale=6, inverted=True)
    session.momentum(scale=0.3)
    render = session.render()
    assert [p.name for p in render.save(tmp_path / "a.png")] == ["a-0.png", "a-1.png"]
    made, index = read_provenance(tmp_path / "a-1.png")
    assert (index, made.mode, made.sampler, made.given) == (1, "exact", "DDIMScheduler", ())
    found = EditSession.from_image(tmp_path / "a-1.png", tiny_stable_diffusion())
    assert (found.scene, found.state) == (session.scene, session.state)
    assert torch.equal(found.render(output_type="latent").latents, render.latents)
    assert [entry.label for entry in found.history] == ["unedited", "from an image"]
    other = tiny_stable_diffusion(scheduler=SCHEDULERS["Euler"]())
    with pytest.raises(ModelMismatchError, match=r"DDIMScheduler.*EulerDiscreteScheduler.*allow_"):
        EditSession.from_image(tmp_path / "a-0.png", other)
    assert (
        EditSession.from_image(tmp_path / "a-0.png", other, allow_model_mismatch=True).state
        == session.state
    )


def test_an_image_without_all_its_inputs_is_refused(pipeline: Any, tmp_path: Path) -> None:
    latents = torch.randn(1, 4, 8, 8)
    session = EditSession(pipeline, "x", num_inference_steps=2, latents=latents)
    session.add(name="mine", prompt_embeds=torch.randn(16, 16), warmup=0)
    render = session.render()
    render.save(tmp_path / "a.png")
    with pytest.raises(SessionFormatError, match=r"does not carry: latents, mine\. Save and load"):
        EditSession.from_image(tmp_path / "a.png", pipeline)
    render.save(tmp_path / "b.png", metadata=False)
    with pytest.raises(SessionFormatError, match="does not say what made it"):
        EditSession.from_image(tmp_path / "b.png", pipeline)
    with pytest.raises(
        ValueError, match=r"path is 'a.jpg'; allowed: a file name that ends in .png"
    ):
        render.save("a.jpg")
    with pytest.raises(ValueError, match=r"images is 'Tensor'; allowed: PIL images\. Render"):
        session.render(output_type="pt").save(tmp_path / "c.png")
    with pytest.raises(SessionFileError, match=r"none/a\.png.* cannot be written"):
        render.save(tmp_path / "none" / "a.png")
