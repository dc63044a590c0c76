"""A sweep's values, its file in TOML, and what is refused."""

from __future__ import annotations

import json
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from sega_session import EditSession, InvalidValueError, ScriptError, Sweep, anchored
from sega_session.scripts import Script, ScriptScene
from sega_session.scripts import operations as ops
from sega_session.state import MASK_PREFIX
from sega_session.sweeps import SceneSettings, SweepEdit
from sega_session.sweeps.units import units_of
from sega_session.testing import FakeModel

from .support import EDITS, small_sweep

ROOT = Path(__file__).parents[2]

FULL = """
prompts = ["a cat", "a dog"]
seeds = "3-5"
seeds_together = 2
mode = { every = 5 }
model = "some/model"
dtype = "float16"

[scene]
negative_prompt = "blurred"
num_inference_steps = 20
guidance_scale = 3

[[edits]]
name = "unedited"

[[edits]]
name = "glasses"
operations = [
    { op = "add", prompt = "glasses", scale = 6, cooldown = 9 },
    { op = "update", name = "glasses", fields = { threshold = 0.5 } },
    { op = "transaction", label = "both", operations = [{ op = "momentum", scale = 0 }] },
]
"""


def load(folder: Path, text: str) -> Sweep:
    path = folder / "sweep.toml"
    path.write_text(text)
    return Sweep.load(path)


def test_a_file_says_what_a_sweep_is(tmp_path: Path) -> None:
    assert load(tmp_path, FULL) == Sweep(
        prompts=["a cat", "a dog"],
        seeds=[3, 4, 5],
        seeds_together=2,
        mode=anchored(every=5),
        model="some/model",
        dtype="float16",
        scene=SceneSettings(negative_prompt="blurred", num_inference_steps=20, guidance_scale=3.0),
        edits=[
            SweepEdit("unedited"),
            SweepEdit(
                "glasses",
                (
                    ops.Add(prompt="glasses", scale=6.0, cooldown=9),
                    ops.Update(name="glasses", fields=ops.Fields(threshold=0.5)),
                    ops.Transaction(label="both", operations=(ops.Momentum(scale=0.0),)),
                ),
            ),
        ],
    )


def test_the_settings_of_scenes_are_those_of_scripts() -> None:
    own = {one.name: one.default for one in attrs.fields(SceneSettings)}
    scripts = {one.name: one.default for one in attrs.fields(ScriptScene)}
    for name in ("prompt", "seeds", "photograph"):
        del scripts[name]
    assert own == scripts


def test_units_are_groups_of_seeds_of_a_prompt() -> None:
    sweep = small_sweep(seeds=[5, 3, 4])
    units = list(units_of(sweep))
    assert [(one.index, one.prompt, one.seeds) for one in units] == [
        (0, "a cat", (5, 3)),
        (1, "a cat", (4,)),
        (2, "a dog", (5, 3)),
        (3, "a dog", (4,)),
    ]
    assert (sweep.num_units, sweep.num_images) == (4, 18)
    assert repr(sweep) == "<Sweep 2 prompts x 3 seeds x 3 edits: 18 images in 4 units>"
    assert len({one.key for one in units}) == 4
    assert pickle.loads(pickle.dumps((sweep, units))) == (sweep, units)
    assert len(pickle.dumps(units[0])) < 300


def test_a_key_depends_on_all_that_images_do() -> None:
    sweep = small_sweep()
    changed: list[dict[str, Any]] = [
        {"edits": EDITS[:2]},
        {"edits": EDITS[::-1]},
        {"scene": SceneSettings(num_inference_steps=5)},
        {"mode": "preview"},
        {"mode": anchored(every=3)},
        {"model": "another"},
        {"dtype": "float16"},
        {"prompts": ["a cow"]},
        {"seeds": [7, 8]},
        {"seeds_together": 3},
    ]
    keys = [next(iter(units_of(attrs.evolve(sweep, **one)))).key for one in [{}, *changed]]
    keys.append(next(iter(units_of(sweep, "digest"))).key)
    assert len({*keys}) == len(keys)
    # More prompts and seeds leave the keys of those before as they are.
    more = small_sweep(prompts=["a cat", "a dog", "a cow"], seeds="3-9")
    assert keys[0] == next(iter(units_of(more))).key


def test_a_script_is_applied_as_it_ends(tmp_path: Path) -> None:
    session = EditSession(FakeModel(), "a cat", num_inference_steps=20)
    session.add("hat")
    session.branch("other")
    session.add("glasses", scale=6)
    session.checkout(1)
    session.add("beard", inverted=True)
    session.add("scarf")
    session.undo()
    session.render()
    session.script().save(tmp_path / "edit.json")
    sweep = load(
        tmp_path,
        'prompts = ["a dog"]\nseeds = [1]\nscene.num_inference_steps = 20\n'
        '[[edits]]\nname = "a"\nscript = "edit.json"\n',
    )
    (edit,) = sweep.edits
    assert edit.operations == (
        ops.Add(prompt="hat", warmup=4),
        ops.Add(prompt="beard", warmup=4, inverted=True),
    )
    other = EditSession(FakeModel(), "a dog", num_inference_steps=20)
    for one in edit.operations:
        assert isinstance(one, ops.Add)
        other.add(one.prompt, inverted=one.inverted)
    assert other.state == session.state


def test_scripts_may_render_branch_and_redo(tmp_path: Path) -> None:
    glasses, hat, beard = (ops.Add(prompt=one) for one in ("glasses", "hat", "beard"))
    script = Script(
        ScriptScene(prompt="a cat"),
        (
            glasses,
            ops.Branch(name="with a hat"),
            hat,
            ops.Render(output="hat.png"),
            ops.Expect(at_most=10**6),
            ops.Undo(),
            ops.Redo(),
            ops.Checkout(target=0),
            beard,
            ops.Checkout(target="with a hat"),
            ops.Save(output="a.safetensors"),
        ),
    )
    script.save(tmp_path / "edit.json")
    text = 'prompts = ["a"]\nseeds = [1]\nedits = [{name = "a", script = "edit.json"}]\n'
    assert load(tmp_path, text).edits[0].operations == (glasses, hat)


def test_masks_become_text(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 200, np.uint8)).save(tmp_path / "left.png")
    text = """
    prompts = ["a"]
    seeds = [1]
    [[edits]]
    name = "inline"
    operations = [
        { op = "add", prompt = "hat", mask = "left.png" },
        { op = "update", name = "hat", fields = { mask = "left.png" } },
        { op = "transaction", label = "x", operations = [{ op = "protect", mask = "left.png" }] },
    ]
    """
    add, update, transaction = load(tmp_path, text).edits[0].operations
    assert isinstance(add, ops.Add)
    assert isinstance(update, ops.Update)
    assert isinstance(transaction, ops.Transaction)
    assert str(add.mask).startswith(MASK_PREFIX)
    (protect,) = transaction.operations
    assert isinstance(protect, ops.Protect)
    assert add.mask == update.fields.mask == protect.mask
    script = Script(ScriptScene(prompt="a cat"), (ops.Add(prompt="hat", mask="left.png"),))
    script.save(tmp_path / "edit.json")
    text = 'prompts = ["a"]\nseeds = [1]\nedits = [{name = "a", script = "edit.json"}]\n'
    (again,) = load(tmp_path, text).edits[0].operations
    assert again == add


START = 'prompts = ["a"]\nseeds = [1]\n'
EDIT = '[[edits]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'prompts' is missing."),
        ("prompts = ", "the file is not TOML: Invalid value (at end of document)."),
        (START, "'edits' is missing."),
        (START + "seeds = [2]\n" + EDIT, "the file is not TOML: Cannot overwrite a value"),
        (START + "edits = []", "edits is 0; allowed: 1 to 1000 edits in a list."),
        (START + "edits = 3", "edits: 3 is not a list."),
        (START + "edits = [3]", "edits[0]: 3 is not an object."),
        (START + "colour = 1\n" + EDIT, "'colour' is unknown; allowed: prompts, seeds,"),
        (START + EDIT + EDIT, "the names of edits is 'a'; allowed: each of them once."),
        (START + EDIT + "colour = 1", "edits[0]: 'colour' is unknown; allowed: name, operations,"),
        (START + EDIT + "operations = 3", "edits[0].operations: 3 is not a list."),
        (
            START + EDIT + 'operations = [{ op = "render" }]',
            "edits[0].operations[0].op: 'render' is not one of 'add', 'remove',",
        ),
        (
            START + EDIT + 'operations = [{ op = "add", prompt = "x", scale = -1 }]',
            "edits[0].operations[0]: scale is -1.0; allowed: a finite number, at least 0.",
        ),
        (
            START + EDIT + 'operations = [{ op = "add", prompt = "x", scale = nan }]',
            "edits[0].operations[0]: scale is nan; allowed: a finite number, at least 0.",
        ),
        (
            START + EDIT + 'operations = [{ op = "add", prompt = 1979-05-27 }]',
            "edits[0].operations[0].prompt: datetime.date(1979, 5, 27) is not text.",
        ),
        (
            START + EDIT + 'operations = []\nscript = "a.json"',
            "edits[0]: allowed: 'operations' or 'script', not both.",
        ),
        (START + EDIT + "script = 3", "edits[0].script: 3 is not text."),
        (START + EDIT + 'script = "b.json"', "b.json' cannot be read: No such file or directory."),
        (START + EDIT + 'script = "../b.json"', "edits[0]: script '../b.json' leads out of "),
        (START + EDIT + 'script = "a.json"', "a.json: the text is not JSON"),
        (
            START + EDIT + 'script = "50.json"',
            "edits[0]: script was made for 50 steps, which its warm-ups count, and the scene of "
            "the sweep does not say; allowed: the same number.",
        ),
        (
            START + "scene.num_inference_steps = 20\n" + EDIT + 'script = "50.json"',
            "and the sweep has 20; allowed: the same number.",
        ),
        (
            START + EDIT + 'script = "lost.json"',
            "operation 1: checkout: the history has no entry 7; allowed: 0 to 1.",
        ),
        (
            START + EDIT + 'operations = [{ op = "protect", mask = "a.json" }]',
            "edits[0]: mask is 'data:image/png;base64,",
        ),
        (
            START + EDIT + 'operations = [{ op = "protect", mask = "/etc/a.png" }]',
            "edits[0]: mask '/etc/a.png' leads out of ",
        ),
        (START.replace("[1]", '"5-3"') + EDIT, "seeds is (); allowed: at least one integer,"),
        (START.replace("[1]", '"3"') + EDIT, "seeds is '3'; allowed: at least one integer,"),
        (START.replace("[1]", '"0-1000000"') + EDIT, "allowed: at most 1000000 of them."),
        (START.replace("[1]", "[1, 2, 1]") + EDIT, "seeds is 1; allowed: each of them once."),
        (START.replace("[1]", "[-1]") + EDIT, "seed is -1; allowed: an integer, at least 0"),
        (START.replace("[1]", "[true]") + EDIT, "seeds[0]: True is not an integer."),
        (START.replace('"a"', '"a", "a"') + EDIT, "prompts is 'a'; allowed: each of them once."),
        (START.replace('"a"', "") + EDIT, "prompts is (); allowed: at least one text in a list."),
        (START + "seeds_together = 0\n" + EDIT, "seeds_together is 0; allowed: an integer, at"),
        (START + 'mode = "fast"\n' + EDIT, "mode: 'fast' is not one of"),
        (START + "mode = { every = 0 }\n" + EDIT, "mode: every is 0; allowed: an integer,"),
        (START + "scene = { prompt = 'a' }\n" + EDIT, "scene: 'prompt' is unknown; allowed: neg"),
        (START + "scene = { eta = 2 }\n" + EDIT, "scene: eta is 2.0; allowed: a finite number"),
        (START + 'dtype = "int8"\n' + EDIT, "dtype: 'int8' is not one of 'float32',"),
        (f"{'a.' * 40_000}a = 1", "a key has a hundred parts or more, joined by dots."),
        ('"a" . ' * 200 + "a = 1", "a key has a hundred parts or more, joined by dots."),
        (f"a = {'[' * 100_000}", "values are nested too deep; allowed: some hundred levels."),
        (f"a = [{'[],' * 250_000}]", "colons and opening brackets; allowed, those in texts"),
        (f"a = {'9' * 5_000}", "the file is not TOML: Exceeds the limit"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text("no JSON")
    Script(ScriptScene(prompt="a", num_inference_steps=50), ()).save(tmp_path / "50.json")
    lost = Script(ScriptScene(prompt="a"), (ops.Add(prompt="hat"), ops.Checkout(target=7)))
    lost.save(tmp_path / "lost.json")
    with pytest.raises(ScriptError) as error:
        load(tmp_path, text)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'sweep.toml'}: ")
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"sweep\.toml' cannot be read: it has more than 4194304"):
        load(tmp_path, f"# {'x' * 2**22}")
    with pytest.raises(ScriptError, match=r"'nowhere\.toml' cannot be read: No such file"):
        Sweep.load("nowhere.toml")
    path: Any = 3
    with pytest.raises(InvalidValueError, match="path is 3; allowed: a path"):
        Sweep.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": "a cat"}, r"prompts is 'a cat'; allowed: at least one text in a list\."),
        ({"prompts": [3]}, r"prompts is 3; allowed: text\."),
        ({"seeds": 3}, r"seeds is 3; allowed: at least one integer, or a range"),
        ({"seeds": range(10**9)}, r"seeds is range\(0, 1000000000\); allowed: at most 1000000"),
        ({"seeds": ["a"]}, r"seed is 'a'; allowed: an integer"),
        ({"edits": EDITS[0]}, r"edits is SweepEdit\(.*\); allowed: 1 to 1000 edits in a list\."),
        ({"edits": ["glasses"]}, r"edits is 'glasses'; allowed: a SweepEdit each\."),
        ({"mode": "fast"}, r"mode is 'fast'; allowed: one of 'exact'"),
        ({"model": ""}, r"model is ''; allowed: text, not empty\."),
        ({"dtype": "int8"}, r"dtype is 'int8'; allowed: one of 'float32'"),
        (
            {"seeds": range(9_000), "seeds_together": 5_000},
            r"seeds_together is 5000; allowed: at most 3333 with 3 edits, 10000 images in a unit\.",
        ),
    ],
)
def test_wrong_values_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        small_sweep(**changes)


def test_an_edit_has_a_name_in_one_line() -> None:
    with pytest.raises(InvalidValueError, match=r"name is 'a\\nb'; allowed: text in one line"):
        SweepEdit("a\nb")


PLACES = st.integers(0, len(FULL))
TOKENS = st.sampled_from([*'[]{}="\n.,', "[[edits]]", "nan", "-1", "1e999", "0x" + "f" * 50, "''"])


@given(PLACES, PLACES, TOKENS | st.text(max_size=5))
@example(0, len(FULL), "")
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int, text: str
) -> None:
    damaged = FULL[:start] + text + FULL[start + length % 20 :]
    check_read_or_refused(tmp_path_factory.getbasetemp() / "damaged.toml", damaged)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from(["prompts", "seeds", "seeds_together", "edits", "scene", "mode"]), VALUES)
def test_any_value_of_a_key_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any
) -> None:
    document = {"prompts": ["a"], "seeds": [1], "edits": [{"name": "a"}], key: value}
    # JSON's values are TOML's too, except for null and its names of infinity.
    text = "\n".join(f"{name} = {_toml(one)}" for name, one in document.items())
    check_read_or_refused(tmp_path_factory.getbasetemp() / "values.toml", text)


def check_read_or_refused(path: Path, text: str) -> None:
    path.write_bytes(text.encode(errors="surrogatepass"))
    with suppress(ScriptError):
        assert Sweep.load(path).num_images > 0


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


def test_the_published_sweeps_are_valid() -> None:
    paths = sorted((ROOT / "examples" / "sweeps").glob("*.toml"))
    assert [one.name for one in paths] == ["portraits.toml"]
    for path in paths:
        assert Sweep.load(path).num_images <= 48
