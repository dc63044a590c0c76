"""`sega-session edit` and `render` do what the same edits in Python do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from diffusers import EulerDiscreteScheduler
from PIL import Image

from sega_session import EditSession
from sega_session.models.loading import AVATARS
from sega_session.models.presets import PRESETS_FILE, Preset, read_presets
from sega_session.testing import FakeModel

from .conftest import Command

SMALL = ("--steps", "4", "--size", "32")


def begin(prompt: str = "a cat", seed: int | list[int] = 7) -> EditSession:
    return EditSession(FakeModel(), prompt, seed=seed, num_inference_steps=4, height=32, width=32)


def same_images(file: str, session: EditSession) -> bool:
    return bool(np.array_equal(np.asarray(Image.open(file)), np.asarray(session.render().image)))


def test_an_edit_is_rendered_and_can_be_edited_again(command: Command, model: FakeModel) -> None:
    done = command(
        *("edit", "--prompt", "a cat", "--seed", "7", *SMALL, "--guidance-scale", "7.5"),
        *("--add", "glasses:4", "--add", "a red hat", "--out", "a.png"),
    )
    assert (done.code, done.err) == (0, "")
    assert done.out == f"a.png: exact, {model.rows} evaluations\n"

    other = begin()
    other.add("glasses", scale=4, threshold=0.975, warmup=1)
    other.add("a red hat")
    read = EditSession.from_image("a.png", FakeModel())
    assert (read.scene, read.state) == (other.scene, other.state)
    assert same_images("a.png", other)

    done = command(
        *("edit", "a.png", "--remove", "a red hat", "--add", "smile:-2", "--prompt", "a dog"),
        *("--set", "glasses.threshold=0.5", "--set", "momentum-scale=0", "--out", "b.png"),
    )
    assert (done.code, done.err) == (0, "")
    other = other.another(prompt="a dog")
    other.remove("a red hat")
    other.add("smile", scale=2, threshold=0.99, warmup=1, inverted=True)
    other.update("glasses", threshold=0.5)
    other.momentum(scale=0)
    assert EditSession.from_image("b.png", FakeModel()).state == other.state
    assert same_images("b.png", other)


def test_a_session_goes_on_with_its_records_and_its_history(
    command: Command, model: FakeModel
) -> None:
    done = command("edit", *SMALL, "--add", "hat", "--out", "a.png", "--save", "a.safetensors")
    assert done.out.splitlines()[1].startswith("a.safetensors: ")
    rows = model.rows
    again = ("edit", "a.safetensors", "--set", "hat.scale=9", "--add", "smile")
    done = command(*again, "--out", "b.png", "--save", "a.safetensors", "--force")
    assert done.out.startswith(f"b.png: exact, {model.rows - rows} evaluations\n")
    assert 0 < model.rows - rows < rows + 4
    labels = [entry.label for entry in EditSession.load("a.safetensors", FakeModel()).history]
    assert labels == ["unedited", "hat added", "smile added", "hat: scale 5 -> 9"]


def test_edits_use_what_the_checkpoint_recommends(
    command: Command, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read_presets(AVATARS / PRESETS_FILE)
    crowd = Preset(scale=8, threshold=0.9, warmup=0.2, inverted=True)
    settings = evolve(settings, removals={**settings.removals, "crowd": crowd})
    monkeypatch.setattr("sega_session.models.recommended_or_published", lambda _: settings)
    names = [
        "smile instead of sad",
        "no glasses:2",
        "hat:-1.5",
        "crowd:3",
        "a: b:1",
        "old instead of young:3",
    ]
    options = [text for name in names for text in ("--add", name)]
    assert command("edit", *SMALL, *options, "--out", "a.png").code == 0
    other = EditSession(
        FakeModel(),
        settings.prompt,
        seed=settings.seed,
        guidance_scale=settings.guidance_scale,
        num_inference_steps=4,
        height=32,
        width=32,
    )
    other.add("smile", **settings.opposites["smile"].arguments(4))
    other.add("no glasses", **{**settings.removals["no glasses"].arguments(4), "scale": 2})
    other.add("hat", **{**settings.concepts["hat"].arguments(4), "scale": 1.5, "inverted": True})
    other.add("crowd", scale=3, threshold=0.9, warmup=1, inverted=True)
    other.add("a: b", scale=1)
    other.add("old", scale=3, opposite="young")
    read = EditSession.from_image("a.png", model)
    assert (read.scene, read.state) == (other.scene, other.state)
    failed = command("edit", "a.png", "--remove", "glasses", "--out", "b.png")
    assert failed.err == (
        "error: --remove glasses: the edits have no concept 'glasses'. To remove what the image "
        "itself shows: --add 'no glasses'.\n"
    )


def test_an_approximate_image_says_so(command: Command, model: FakeModel) -> None:
    session = EditSession(model, "a cat", num_inference_steps=20, height=32, width=32)
    session.add("smile")
    session.render()
    session.save("a.safetensors")
    replayed = ("edit", "a.safetensors", "--set", "smile.scale=9", "--mode", "replay")
    assert command(*replayed, "--out", "a.png").out.startswith("a.png: replay, approximate, ")
    edit = ("edit", "a.safetensors", "--add", "hat", "--out", "a.png", "--force", "--mode")
    rows = model.rows
    done = command(*edit, "preview")
    assert done.out == f"a.png: preview, a rough estimate, {model.rows - rows} evaluations\n"
    assert command(*edit, "anchored").out.startswith("a.png: anchored, a rough estimate, ")
    again = ("edit", "a.png", "--set", "hat.scale=4", "--out", "b.png", "--mode", "preview")
    assert command(*again).out.startswith("b.png: exact, ")


def test_any_entry_of_the_history_is_rendered(command: Command, model: FakeModel) -> None:
    session = begin(seed=[1, 2])
    session.add("hat")
    session.branch("with a hat")
    session.add("smile")
    session.checkout(0)
    session.save("a.safetensors", include="state")
    session.checkout(1)
    for at in ("1", "with a hat"):
        session.checkout(int(at) if at == "1" else at)
        done = command("render", "a.safetensors", "--at", at, "--out", "a.png", "--force")
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith("a-0.png to a-1.png: exact, ")
        assert EditSession.from_image("a-1.png", model).state == session.state
        assert same_images("a-0.png", session)
    session.checkout(0)
    assert command("render", "a.safetensors", "--out", "b.png").code == 0
    assert same_images("b-0.png", session)
    session.checkout(1)
    other = ("render", "a.safetensors", "--at", "1", "--seed", "5", "--out", "c.png")
    assert command(*other).out.startswith("c.png: exact, ")
    assert same_images("c.png", session.another(seed=5))
    for at, message in (
        ("3", "the history has no entry 3; allowed: 0 to 2, 'with a hat'. sega-session info shows"),
        ("with hat", "the history has no entry 'with hat'; allowed: 0 to 2, 'with a hat'. Did you"),
    ):
        failed = command("render", "a.safetensors", "--at", at, "--out", "d.png")
        assert failed.code == 1
        assert failed.err.startswith(f"error: a.safetensors: {message}")


def test_edits_that_are_only_in_a_journal_are_rendered(command: Command, model: FakeModel) -> None:
    session = begin()
    session.autosave("a.safetensors")
    session.add("hat")
    assert command("render", "a.safetensors", "--at", "1", "--out", "a.png").err == ""
    assert same_images("a.png", session)
    edit = ("edit", "a.safetensors", "--add", "smile", "--out", "b.png")
    assert command(*edit, "--save", "a.safetensors", "--force").err == ""
    labels = [entry.label for entry in EditSession.load("a.safetensors", model).history]
    assert labels == ["unedited", "hat added", "smile added"]


def test_a_photograph_is_edited(command: Command, model: FakeModel) -> None:
    Image.linear_gradient("L").convert("RGB").save("me.jpg")
    edit = ("edit", "--photo", "me.jpg", *SMALL, "--add", "hat", "--seed", "3")
    done = command(*edit, "--out", "a.png", "--save", "a.safetensors")
    assert (done.code, done.err) == (0, "")
    other = EditSession.from_photo(
        "me.jpg", FakeModel(), seed=3, num_inference_steps=4, height=32, width=32
    )
    other.add("hat")
    assert same_images("a.png", other)
    assert command("render", "a.safetensors", "--seed", "4", "--out", "b.png").code == 0
    assert same_images("b.png", other.another(seed=4))
    for arguments, message in (
        (
            ("edit", "a.safetensors", "--size", "16"),
            "--size is (16, 16); allowed: those of the photographs, (32, 32). Begin again with the "
            "photograph, as --photo.",
        ),
        (
            ("edit", "a.png"),
            "a.png: the image was made with tensors that it does not carry: the photograph. Save "
            "and load the session's file instead.",
        ),
        (
            ("edit", "me.jpg"),
            "me.jpg holds no session; allowed: a session's file, or a PNG file that sega-session "
            "wrote. A photograph is given to sega-session edit as --photo.",
        ),
        (
            ("edit", "--photo", "a.safetensors"),
            "--photo is 'a.safetensors'; allowed: an image file. A session's file is given without "
            "--photo.",
        ),
    ):
        failed = command(*arguments, "--out", "c.png")
        assert (failed.code, failed.out, failed.err) == (1, "", f"error: {message}\n")


def test_what_a_file_cannot_do_is_said_in_the_words_of_commands(
    command: Command, model: FakeModel
) -> None:
    session = begin()
    session.add("hat", mask=(0, 0, 0.5, 1))
    session.save("a.safetensors")
    Image.new("RGB", (1, 1)).save("me.png")
    Image.new("RGBA", (8, 8)).save("clear.png")
    Path("no.png").write_text("no image")
    edit = ("edit", "a.safetensors")
    for arguments, message in (
        (
            (*edit, "--add", "hat:3"),
            "--add hat:3: name is 'hat'; allowed: a name that no other "
            "concept has. Change that concept, or choose another name.",
        ),
        (
            (*edit, "--remove", "hut"),
            "--remove hut: name is 'hut'; allowed: one of 'hat'. Did you mean 'hat'?",
        ),
        (
            ("edit", *SMALL, "--remove", "hat"),
            "--remove hat: name is 'hat'; allowed: no name, "
            "since the session has no concepts. Add a concept first.",
        ),
        (
            (*edit, "--set", "hat.scale=-2"),
            "--set hat.scale=-2: scale is -2.0; allowed: a finite "
            "number, at least 0. To push the image away from a concept, set its field inverted to "
            "true.",
        ),
        (
            (*edit, "--set", "hat.mask=clear.png"),
            "--set hat.mask=clear.png: mode of the mask is "
            "'RGBA'; allowed: 1, L or RGB, P, I;16, without transparency.",
        ),
        (
            (*edit, "--set", "hat.mask=no.png"),
            "--set hat.mask=no.png: mask is 'no.png'; allowed: an image file of a known format. "
            "Choose a picture in black and white.",
        ),
        (
            (*edit, "--set", "momentum_beta=1"),
            "--set momentum_beta=1: momentum_beta is 1.0; allowed: a finite number, at least 0, "
            "less than 1. At 1 the momentum would stay zero: to turn it off, set its scale to "
            "0.",
        ),
        (
            (*edit, "--size", "16x32"),
            "--size is (32, 16); allowed: those of the masks of the "
            "edits, (32, 32). Keep what the masks were made for, or remove the masks first.",
        ),
        ((*edit, "--steps", "0"), "--steps is 0; allowed: an integer, at least 1, at most 10000."),
        (
            (*edit, "--seed", "-1"),
            "--seed is -1; allowed: an integer, at least 0, less than 2**64.",
        ),
        (
            ("edit", "--size", "31"),
            "--size: height is 31; allowed: a multiple of 2 pixels.",
        ),
        (
            ("edit", "me.png"),
            "me.png does not say what made it: there is no text 'sega_session' in "
            "it. Use the file that sega-session wrote; other programs leave the text out when they "
            "save an image. A photograph is given to sega-session edit as --photo.",
        ),
    ):
        failed = command(*arguments, "--out", "b.png")
        assert (failed.code, failed.out, failed.err) == (1, "", f"error: {message}\n")
    assert not Path("b.png").exists()


def test_another_model_is_refused_with_the_options_to_give(
    command: Command, model: FakeModel
) -> None:
    session = EditSession(FakeModel(EulerDiscreteScheduler()), "a cat", num_inference_steps=4)
    session.render().save("a.png")
    session.save("a.safetensors")
    for name in ("a.png", "a.safetensors"):
        failed = command("edit", name, "--out", "b.png")
        assert failed.code == 1
        assert "; allowed: the same. " in failed.err
        assert failed.err.endswith(
            "Give that checkpoint as --model, and its precision as --dtype.\n"
        )
        assert "pipeline" not in failed.err


def test_wrong_options_are_one_line_and_load_no_model(command: Command) -> None:
    for arguments, message in (
        (("a.png", "--photo", "b.png"), "A file has images of its own: leave out --photo, or"),
        (("--add", "hat:large"), "--add: the scale is 'large'; allowed: a number. A name with a"),
        (("--add", " :3"), "--add: the concept's name is empty in ' :3'; allowed: NAME or NAME:"),
        (("--set", "hat"), "--set: 'hat' is no setting; allowed: NAME.FIELD=VALUE, or FIELD=VALUE"),
        (("--set", "hat.scal=1"), "--set: the field is 'scal'; allowed: one of name, prompt, "),
        (("--set", "scale=1"), "Give the concept, too, as in glasses.scale."),
        (("--set", "hat.scale=big"), "--set: scale is 'big'; allowed: a number."),
        (("--set", "hat.warmup=1.5"), "--set: warmup is '1.5'; allowed: an integer."),
        (("--set", "hat.cooldown=never"), "cooldown is 'never'; allowed: an integer, or none."),
        (("--set", "hat.inverted=-1"), "--set: inverted is '-1'; allowed: true or false."),
        (("--size", "512*512"), "--size: the size is '512*512'; allowed: SIDE or WIDTHxHEIGHT"),
        (("--save", "a.png"), "safetensors"),
        (("--mode", "exactly"), "--mode"),
    ):
        failed = command("edit", *arguments, "--out", "a.png")
        assert (failed.code, failed.out) == (2, "")
        assert failed.err.startswith("error: ")
        assert message in failed.err
        assert failed.err.count("\n") == 1


def test_files_are_checked_before_the_model_is_loaded(command: Command) -> None:
    begin(seed=[1, 2]).save("a.safetensors")
    Path("a-1.png").write_text("precious")
    Path("b.safetensors").write_text("precious")
    edit = ("edit", "a.safetensors", "--model", "nowhere", "--out", "a.png")
    for arguments, message in (
        (edit, "'a-1.png' is there already."),
        ((*edit, "--seed", "1", "--save", "b.safetensors"), "'b.safetensors' is there already."),
        ((*edit, "--seed", "1"), "checkpoint 'nowhere' cannot be loaded"),
        (("render", "a.safetensors", "--out", "a.png"), "'a-1.png' is there already."),
    ):
        failed = command(*arguments)
        assert failed.code == 1
        assert failed.err.startswith(f"error: {message}")


def test_quiet_prints_errors_only(command: Command, model: FakeModel) -> None:
    edit = ("edit", *SMALL, "--add", "glasses:0", "--out", "a.png")
    done = command(*edit, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert Path("a.png").exists()
    failed = command(*edit, "--quiet")
    assert failed.err.startswith("error: 'a.png' is there already.")
    assert "a portrait" not in failed.err
    assert "steps" in command("info", "a.png", "--quiet").out
    done = command(*edit, "--force")
    assert done.out.startswith("a.png: exact, ")
    assert done.err == "warning: 'glasses' has no effect: scale is 0. Raise scale.\n"


def test_a_script_runs_quietly(command: Command, model: FakeModel) -> None:
    Path("edit.json").write_text(
        '{"format_version": 1, "scene": {"prompt": "a cat", "num_inference_steps": 4,'
        ' "height": 32, "width": 32}, "operations": [{"op": "render", "output": "a.png"}]}'
    )
    done = command("run", "edit.json", "--out", "out", "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert Path("out/a.png").exists()
    assert "a.png" in command("run", "edit.json", "--out", "out", "--force").out
