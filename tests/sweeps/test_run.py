"""Sweeps in this process: images, costs, going on, failures, and the same bytes again."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from diffusers import EulerDiscreteScheduler
from PIL import Image

from sega_session import EditSession, InvalidValueError, SessionFileError, Sweep, run_sweep
from sega_session.models import Request
from sega_session.saving import read_provenance
from sega_session.scripts.operations import Add, Disable, Protect, Remove, Reweight
from sega_session.state import data_url
from sega_session.sweeps import SceneSettings, SweepEdit, Unit, UnitResult, finished_images
from sega_session.sweeps.in_process import run_here
from sega_session.testing import FakeModel

from .support import EDITS, STEPS, files_of, images_of, session_of, small_sweep, table_of


class Killed(BaseException):
    """Ends a sweep as a signal does: nothing may catch it."""


def test_the_images_are_those_of_sessions(tmp_path: Path) -> None:
    model, sweep = FakeModel(), small_sweep()
    result = run_sweep(sweep, tmp_path, pipeline=model)
    rows = table_of(tmp_path)
    assert [(one["prompt"], one["seed"], one["edit"]) for one in rows] == [
        (prompt, seed, edit.name)
        for prompt in sweep.prompts
        for seed in ("3", "4", "5")
        for edit in EDITS
    ]
    for row in rows:
        render = session_of(model, row, EDITS).render()
        image = Image.open(tmp_path / row["file"])
        assert np.array_equal(np.asarray(image), np.asarray(render.image))
        assert read_provenance(tmp_path / row["file"]) == (render.provenance(), 0)
        again = EditSession.from_image(tmp_path / row["file"], model).render()
        assert np.array_equal(np.asarray(image), np.asarray(again.image))
        assert (row["mode"], row["exact"], row["error"]) == ("exact", "true", "")
        assert row["file"] == f"images/{row['digest'][:2]}/{row['digest']}.png"
    assert result.images == len(rows) == sweep.num_images == 18
    assert len(images_of(tmp_path)) == 18


def test_nothing_is_evaluated_twice(tmp_path: Path) -> None:
    model, sweep = FakeModel(), small_sweep()
    results: list[UnitResult] = []
    result = run_sweep(sweep, tmp_path, pipeline=model, callback_on_unit_end=results.append)
    rows = table_of(tmp_path)
    assert result.evaluations == model.rows == sum(int(one["evaluations"]) for one in rows)
    assert model.rows == sum(one.evaluations for one in results)
    assert [one.images for one in results] == [6, 3, 6, 3]
    scratch = sum(
        session_of(FakeModel(), one, EDITS).render(output_type="latent").evaluations for one in rows
    )
    session = EditSession(FakeModel(), "a cat", seed=3, num_inference_steps=STEPS)
    costs = []
    for edit in EDITS:
        for operation in edit.operations:
            if isinstance(operation, Add) and operation.prompt not in session:
                session.add(operation.prompt, scale=operation.scale)
        costs.append(session.render(output_type="latent").evaluations)
    assert [int(one["evaluations"]) for one in rows] == costs * 6
    assert 6 * sum(costs) == model.rows < scratch


def test_a_finished_sweep_is_left_as_it_is(tmp_path: Path) -> None:
    model, sweep = FakeModel(), small_sweep()
    first = run_sweep(sweep, tmp_path, pipeline=model)
    before, rows, calls = files_of(tmp_path), model.rows, model.calls
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in before}
    again = run_sweep(sweep, tmp_path, pipeline=model)
    assert files_of(tmp_path) == before
    assert (model.rows, model.calls) == (rows, calls)
    assert (again.units, again.evaluations, again.images) == (0, 0, 18)
    assert (again.table, again.sheets) == (first.table, first.sheets)
    kept = {name for name in before if not name.startswith(("table", "sheets"))}
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in kept} == {
        name: times[name] for name in kept
    }


def test_nothing_is_loaded_for_a_finished_sweep(tmp_path: Path) -> None:
    loads = []

    def load() -> FakeModel:
        loads.append(1)
        return FakeModel()

    sweep = small_sweep(prompts=["a cat"])
    assert finished_images(sweep, tmp_path) == 0
    for _ in range(2):
        run_sweep(sweep, tmp_path, load=load)
    assert len(loads) == 1
    assert finished_images(sweep, tmp_path) == sweep.num_images
    assert finished_images(small_sweep(prompts=["a cow"]), tmp_path) == 0


def test_a_sweep_goes_on_after_a_kill_at_any_call(tmp_path: Path) -> None:
    sweep = small_sweep(prompts=["a cat"], edits=EDITS[:2])
    whole = FakeModel()
    run_sweep(sweep, tmp_path / "whole", pipeline=whole)
    wanted = {name: files_of(tmp_path / "whole")[name] for name in images_of(tmp_path / "whole")}
    rows = [{**row, "seconds": "", "evaluations": ""} for row in table_of(tmp_path / "whole")]
    for kill in range(whole.calls):
        out = tmp_path / str(kill)
        left = kill

        def count(_: Sequence[Request]) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed

        model = FakeModel(on_evaluate=count)
        with pytest.raises(Killed):
            run_sweep(sweep, out, pipeline=model)
        finished = len(table_of(out))
        assert finished in (0, 4)
        there = images_of(out)
        times = {name: (out / name).stat().st_mtime_ns for name in there}
        model.on_evaluate = None
        run_sweep(sweep, out, pipeline=model)
        files = files_of(out)
        assert {name: files[name] for name in images_of(out)} == wanted
        assert {name: (out / name).stat().st_mtime_ns for name in there} == times
        assert [{**row, "seconds": "", "evaluations": ""} for row in table_of(out)] == rows
        # At most the unit that was killed is evaluated again.
        assert model.rows <= 2 * whole.rows - STEPS * 2 * finished


def test_images_that_are_there_are_not_rendered_again(tmp_path: Path) -> None:
    model = FakeModel()
    run_sweep(small_sweep(), tmp_path, pipeline=model)
    rows, there = model.rows, images_of(tmp_path)
    # Other units, but the same images.
    run_sweep(small_sweep(seeds_together=3), tmp_path, pipeline=model)
    assert (model.rows, images_of(tmp_path)) == (rows, there)
    assert {one["evaluations"] for one in table_of(tmp_path)} == {"0"}
    run_sweep(small_sweep(edits=EDITS[:2]), tmp_path, pipeline=model)
    assert model.rows == rows
    assert len(table_of(tmp_path)) == 12
    more = (*EDITS, SweepEdit("strong", (Add(prompt="glasses", scale=9),)))
    run_sweep(small_sweep(edits=more), tmp_path, pipeline=model)
    assert len(images_of(tmp_path) - there) == 6


@pytest.mark.parametrize(
    "changes",
    [
        {"prompts": ["a cow"]},
        {"seeds": "6-8"},
        {"scene": {"num_inference_steps": 5}},
        {"scene": {"guidance_scale": 3}},
        {"scene": {"height": 20}},
        {"scene": {"width": 20}},
        {"scene": {"negative_prompt": "blurred"}},
        {"scene": {"eta": 0.5}},
        {"scene": {"guidance_rescale": 0.5}},
        {"edits": [SweepEdit("x", (Add(prompt="glasses", scale=7),))]},
        {"edits": [SweepEdit("x", (Add(prompt="glasses", scale=6, inverted=True),))]},
    ],
)
def test_a_changed_sweep_reuses_nothing_wrong(tmp_path: Path, changes: dict[str, Any]) -> None:
    sweep = small_sweep(edits=EDITS[1:2])
    if "scene" in changes:
        changes = {"scene": evolve(sweep.scene, **changes["scene"])}
    model = FakeModel()
    run_sweep(sweep, tmp_path, pipeline=model)
    there, rows = images_of(tmp_path), model.rows
    run_sweep(evolve(sweep, **changes), tmp_path, pipeline=model)
    assert model.rows > rows
    assert not {one["file"] for one in table_of(tmp_path)} & there


def test_another_model_reuses_nothing(tmp_path: Path) -> None:
    sweep = small_sweep(prompts=["a cat"])
    run_sweep(sweep, tmp_path, pipeline=FakeModel())
    there = images_of(tmp_path)
    run_sweep(sweep, tmp_path, pipeline=FakeModel(EulerDiscreteScheduler()))
    assert not {one["file"] for one in table_of(tmp_path)} & there


def test_a_mask_counts_with_its_pixels(tmp_path: Path) -> None:
    def masked(value: int) -> Sweep:
        mask = data_url(np.full((1, 8, 8), value, np.uint8))
        operations = (Add(prompt="glasses", mask=mask), Protect(mask=mask))
        return small_sweep(prompts=["a cat"], edits=[SweepEdit("masked", operations)])

    model = FakeModel()
    run_sweep(masked(255), tmp_path, pipeline=model)
    there, rows = images_of(tmp_path), model.rows
    run_sweep(masked(128), tmp_path, pipeline=model)
    assert model.rows > rows
    assert not {one["file"] for one in table_of(tmp_path)} & there


def test_a_failing_edit_is_recorded_and_tried_again(tmp_path: Path) -> None:
    edits = [*EDITS, SweepEdit("wrong", (Reweight(name="beard", scale=3.0),)), EDITS[0]]
    edits[-1] = SweepEdit("unedited again")
    sweep, model = small_sweep(edits=edits), FakeModel()
    result = run_sweep(sweep, tmp_path, pipeline=model)
    assert (result.images, result.errors, result.units) == (24, 6, 4)
    assert result.error.startswith("operation 0: reweight: name is 'beard'; allowed: no name")
    failed = [one for one in table_of(tmp_path) if one["error"]]
    assert [one["edit"] for one in failed] == ["wrong"] * 6
    assert all(
        (one["file"], one["mode"], one["exact"], one["digest"]) == ("", "", "", "")
        for one in failed
    )
    before, rows = files_of(tmp_path), model.rows
    again = run_sweep(sweep, tmp_path, pipeline=model)
    assert (model.rows, again.units) == (rows, 4)
    assert files_of(tmp_path) == before  # with the costs that were recorded


def test_a_failing_unit_is_recorded_and_tried_again(tmp_path: Path) -> None:
    sweep, fails = small_sweep(), True

    def fail(requests: Sequence[Request]) -> None:
        if fails and model.encoded.count("a dog"):
            raise RuntimeError("the device\nis gone")

    model = FakeModel(on_evaluate=fail)
    result = run_sweep(sweep, tmp_path, pipeline=model)
    assert (result.images, result.errors) == (9, 9)
    assert result.error == r"RuntimeError: the device\nis gone"
    fails = False
    result = run_sweep(sweep, tmp_path, pipeline=model)
    assert (result.images, result.errors, result.units) == (18, 0, 2)

    results: list[UnitResult] = []
    odd = small_sweep(scene=SceneSettings(num_inference_steps=STEPS, height=17))
    result = run_sweep(odd, tmp_path, pipeline=model, callback_on_unit_end=results.append)
    assert (result.images, result.errors, result.sheets) == (0, 18, result.sheets)
    assert {one.error for one in results} == {"height is 17; allowed: a multiple of 2 pixels."}
    assert {one["error"] for one in table_of(tmp_path)} == {one.error for one in results}
    assert sum(one.errors for one in results) == 18


def test_a_damaged_record_counts_as_none(tmp_path: Path) -> None:
    model, sweep = FakeModel(), small_sweep(prompts=["a cat"], seeds_together=3)
    run_sweep(sweep, tmp_path, pipeline=model)
    (record,) = (tmp_path / "units").rglob("*.json")
    whole, rows = record.read_text(), model.rows
    for damaged in (
        "",
        whole[:-3],
        whole.replace('"format_version":1', '"format_version":9'),
        whole.replace('"modes":["exact",', '"modes":['),
        whole.replace('"digests":["', '"digests":["/etc/'),
    ):
        assert damaged != whole
        record.write_text(damaged)
        assert run_sweep(sweep, tmp_path, pipeline=model).units == 1
        assert model.rows == rows
        assert len(table_of(tmp_path)) == 9


@pytest.mark.parametrize("mode", ["preview", "replay", "anchored"])
def test_approximate_images_say_so(tmp_path: Path, mode: Any) -> None:
    edits = [
        SweepEdit("glasses", (Add(prompt="glasses", scale=6),)),
        SweepEdit("muted", (Add(prompt="glasses"), Disable(name="glasses"))),
        SweepEdit("none", (Add(prompt="glasses"), Remove(name="glasses"))),
    ]
    model = FakeModel()
    scene = SceneSettings(num_inference_steps=20)
    sweep = small_sweep(prompts=["a cat"], seeds_together=1, edits=edits, scene=scene, mode=mode)
    result = run_sweep(sweep, tmp_path, pipeline=model)
    rows = table_of(tmp_path)
    assert result.evaluations == model.rows == sum(int(one["evaluations"]) for one in rows)
    for row in rows:
        session = EditSession(model, "a cat", seed=int(row["seed"]), num_inference_steps=20)
        session.render(output_type="latent")
        if row["edit"] == "glasses":
            session.add("glasses", scale=6)
        render = session.render(mode)
        image = Image.open(tmp_path / row["file"])
        assert np.array_equal(np.asarray(image), np.asarray(render.image))
        assert row["mode"] == ("exact" if render.exact else render.mode)
        assert row["exact"] == str(render.exact).lower()
        made, _ = read_provenance(tmp_path / row["file"])
        assert made.mode == row["mode"]
    # An exact sweep shares the exact images only.
    there = images_of(tmp_path)
    run_sweep(evolve(sweep, mode="exact"), tmp_path, pipeline=model)
    assert len(images_of(tmp_path) - there) == sum(one["exact"] == "false" for one in rows)


def test_a_sweep_that_is_ended_leaves_its_table(tmp_path: Path) -> None:
    def end(result: UnitResult) -> None:
        if result.index == 1:
            raise KeyboardInterrupt

    sweep = small_sweep()
    with pytest.raises(KeyboardInterrupt):
        run_sweep(sweep, tmp_path, pipeline=FakeModel(), callback_on_unit_end=end)
    assert [one["seed"] for one in table_of(tmp_path)] == [*"333444555"]
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_table_is_in_the_order_of_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = small_sweep()
    run_sweep(sweep, tmp_path / "a", pipeline=FakeModel())

    def backwards(sweep: Sweep, units: Iterable[Unit], *rest: Any) -> Iterator[UnitResult]:
        yield from run_here(sweep, [*units][::-1], *rest)

    monkeypatch.setattr("sega_session.sweeps.run.run_here", backwards)
    run_sweep(sweep, tmp_path / "b", pipeline=FakeModel())
    for one, other in zip(table_of(tmp_path / "a"), table_of(tmp_path / "b"), strict=True):
        assert {**one, "seconds": ""} == {**other, "seconds": ""}


def test_the_sheets_are_those_of_this_sweep(tmp_path: Path) -> None:
    model = FakeModel()
    long = run_sweep(small_sweep(seeds=range(20)), tmp_path, pipeline=model)
    assert [one.name for one in long.sheets] == ["0001.png", "0002.png", "0003.png", "0004.png"]
    mine = tmp_path / "sheets" / "mine.png"
    mine.write_bytes(b"")
    short = run_sweep(small_sweep(seeds=range(16)), tmp_path, pipeline=model)
    assert [one.name for one in short.sheets] == ["0001.png", "0002.png"]
    assert {*(tmp_path / "sheets").iterdir()} == {*short.sheets, mine}


def test_several_may_use_one_folder(tmp_path: Path) -> None:
    sweep = small_sweep(seeds=range(6))
    models = [FakeModel() for _ in range(3)]
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(run_sweep, sweep, tmp_path, pipeline=model) for model in models]
        results = [one.result() for one in runs]
    assert [(one.images, one.errors) for one in results] == [(36, 0)] * 3
    assert len(table_of(tmp_path)) == len(images_of(tmp_path)) == 36
    assert not [name for name in files_of(tmp_path) if "/." in name]
    for name in images_of(tmp_path):
        with Image.open(tmp_path / name) as image:
            image.load()


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    sweep = small_sweep()
    for other in ({"workers": 1}, {"ray_address": "auto"}, {"load": FakeModel}):
        arguments: dict[str, Any] = other
        with pytest.raises(InvalidValueError, match="pipeline is 'FakeModel'; allowed: None with"):
            run_sweep(sweep, tmp_path, pipeline=FakeModel(), **arguments)
    (tmp_path / "taken").write_text("")
    with pytest.raises(SessionFileError, match=r"taken' cannot be created: File exists"):
        run_sweep(sweep, tmp_path / "taken", pipeline=FakeModel())


def test_a_folder_that_cannot_be_written_ends_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("")
    with pytest.raises(SessionFileError, match="cannot be created"):
        run_sweep(small_sweep(), tmp_path, pipeline=FakeModel())
    assert table_of(tmp_path) == []


def test_a_warning_does_not_end_a_sweep(tmp_path: Path) -> None:
    sweep = small_sweep(edits=[SweepEdit("weak", (Add(prompt="glasses", scale=0.0),))])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        result = run_sweep(sweep, tmp_path, pipeline=FakeModel())
    assert (result.images, result.errors) == (6, 0)
    assert "scale is 0" in str(seen[0].message)


def test_a_result_prints_in_one_line(tmp_path: Path) -> None:
    result = run_sweep(small_sweep(prompts=["a cat"]), tmp_path, pipeline=FakeModel())
    assert repr(result) == (
        f"<SweepResult 9 images, 0 failed, 2 units and {result.evaluations} evaluations now: "
        f"{tmp_path / 'table.csv'}>"
    )
