"""The picture of a session: accuracy, comparison, heat maps, batches, downloads."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import PIL.Image
import pytest
from sega_widgets import CompareView
from sega_widgets.captions import describe_image, measure_accuracy
from sega_widgets.guard import Guard
from sega_widgets.images import ImageView
from sega_widgets.png import encode, overlay_heat_map

from sega_session import EditSession, Render

from .fakes import Model, Notes, new_session, send

COLOURS = {"glasses": "#0072b2", "beard": "#d55e00"}


class Viewer:
    """A view that renders at once what it asks for, as the render thread does later."""

    def __init__(self, session: EditSession) -> None:
        self.session, self.notes = session, Notes()
        self.rerenders = 0
        messages: Any = self.notes
        self.view = ImageView(
            session, Guard(messages), rerender=self.rerender, colour=lambda name: COLOURS[name]
        )

    def rerender(self) -> None:
        self.rerenders += 1
        self.render()

    def render(self, mode: Any = "exact") -> Render:
        """Render the session's state as the render thread does, and show it."""
        render = self.session.render(mode)
        self.view.show(render)
        if (show := self.view.heat_maps()) is not None:
            show()
        if (state := self.view.missing_reference) is not None:
            self.view.show_reference(self.session.render(state=state))
        return render

    def do(self, kind: str, **values: object) -> None:
        """Act as the page does."""
        send(self.view, {"kind": kind, **values})

    @property
    def qualities(self) -> list[str]:
        return [one["quality"] for one in self.view.captions]


@pytest.fixture
def viewer(session: EditSession) -> Viewer:
    return Viewer(session)


def fake_render(**fields: Any) -> Any:
    return SimpleNamespace(**{"exact": False, "mode": "preview", "error_estimate": None, **fields})


@pytest.mark.parametrize(
    ("errors", "quality", "label", "error"),
    [
        ((0.002, 0.25), "rough", "Rough preview", "about 25% off"),
        ((0.25, 0.002), "close", "Close preview", "about 0.2% off"),
        ((0.0, 1.5), "rough", "Rough preview", "about 150% off"),
        ((0.0, 0.00001), "close", "Close preview", "less than 0.01% off"),
        (None, "unknown", "Approximate", "error not known"),
    ],
)
def test_each_image_has_its_own_accuracy(errors: Any, quality: str, label: str, error: str) -> None:
    found = measure_accuracy(fake_render(error_estimate=errors), 1)
    assert (found.quality, found.label, found.error) == (quality, label, error)
    assert error.removeprefix("error ") in found.tip


def test_there_is_nothing_before_the_first_render(viewer: Viewer) -> None:
    view = viewer.view
    assert (view.images, view.captions, view.pngs, view.render) == ([], [], (), None)
    assert view.png() is None
    assert (view.size, view.seeds, view.selected) == ([16, 16], ["0"], 0)


def test_an_image_says_how_it_was_made_and_what_it_shows(viewer: Viewer) -> None:
    render = viewer.render()
    view = viewer.view
    assert view.images == [encode(render.image)] == list(view.pngs)
    assert view.captions[0]["alt"] == "a cat"
    assert viewer.qualities == ["exact"]
    viewer.session.add("glasses", warmup=1)
    view.refresh()
    assert view.earlier
    viewer.render("preview")
    assert viewer.qualities == ["rough"]
    assert view.captions[0]["alt"].startswith("a cat; glasses 5, rough preview, about ")
    assert not view.earlier


def test_a_seed_keeps_all_its_digits(model: Model) -> None:
    assert Viewer(new_session(model, seed=2**63 + 1)).view.seeds == ["9223372036854775809"]


def test_the_image_is_compared_with_the_unedited_one(viewer: Viewer) -> None:
    view = viewer.view
    unedited = viewer.render()
    viewer.session.add("glasses", warmup=1)
    viewer.render()
    assert view.references == []
    viewer.do("look", look="compare")
    assert (view.look, view.reference, view.reference_alt) == ("compare", "Unedited", "a cat")
    assert view.references == [encode(unedited.image)] != view.images
    # The unedited image was rendered before.
    assert viewer.rerenders == 0


def test_a_reference_that_was_not_rendered_is_asked_for(session: EditSession) -> None:
    session.add("glasses", warmup=1)
    viewer = Viewer(session)
    viewer.render()
    assert viewer.view.missing_reference is None
    viewer.do("look", look="compare")
    assert viewer.rerenders == 1
    unedited = session.render(state=session.history[0].state)
    assert unedited.evaluations == 0
    assert viewer.view.references == [encode(unedited.image)]
    assert viewer.view.missing_reference is None
    # The next image is compared with the same.
    viewer.do("look", look="image")
    viewer.do("look", look="compare")
    assert viewer.rerenders == 1


def test_an_entry_of_the_history_can_be_compared_with(viewer: Viewer) -> None:
    view, session = viewer.view, viewer.session
    unedited = viewer.render()
    session.add("glasses", warmup=1)
    pinned = viewer.render()
    view.compare_with(session.state, "2: add glasses")
    assert (view.look, view.reference) == ("compare", "2: add glasses")
    # It is the image that is shown.
    assert (view.references, viewer.rerenders) == ([encode(pinned.image)], 0)
    session.add("beard", warmup=1)
    viewer.render()
    assert view.references == [encode(pinned.image)] != view.images
    assert view.reference_alt == "a cat; glasses 5"
    state = session.history[0].state
    view.compare_with(None)
    assert (view.reference, view.missing_reference) == ("Unedited", None)
    assert view.references == [encode(unedited.image)]
    # An approximate image of the state is not what is compared with.
    session.update("beard", scale=9.0)
    viewer.view.show(session.render("preview"))
    view.compare_with(session.state, "4: beard")
    assert viewer.rerenders == 1
    assert view.references == [encode(session.render().image)]
    assert state != view.missing_reference is None


def test_the_original_is_seen_while_a_button_is_held(session: EditSession) -> None:
    session.add("glasses", warmup=1)
    viewer = Viewer(session)
    viewer.render()
    viewer.do("hold", held=True)
    unedited = [encode(session.render(state=session.history[0].state).image)]
    assert (viewer.view.look, viewer.view.references) == ("image", unedited)
    viewer.do("hold", held=False)
    # It stays on the page for the next time, as long as it is the right one.
    assert viewer.view.references == unedited
    assert viewer.rerenders == 1
    session.add("beard", warmup=1)
    viewer.view.compare_with(session.history[1].state, "glasses")
    viewer.do("look", look="image")
    viewer.view.compare_with(None)
    assert viewer.view.references == []


def test_references_are_forgotten_when_the_model_has_changed(viewer: Viewer) -> None:
    viewer.render()
    viewer.do("look", look="compare")
    assert len(viewer.view.references) == 1
    viewer.session.add("glasses", warmup=1)
    render = viewer.session.render()
    viewer.session.refresh_model()
    render = viewer.session.render()
    viewer.view.show(render)
    assert viewer.view.missing_reference == viewer.session.history[0].state
    assert viewer.view.references == []


def test_a_heat_map_shows_where_a_concept_acts(viewer: Viewer) -> None:
    view, session = viewer.view, viewer.session
    viewer.render()
    viewer.do("look", look="where")
    assert (view.concept, view.note) == ("", "Add a concept to see where it acts")
    session.add("glasses", warmup=1)
    session.add("beard", warmup=1)
    view.refresh()
    assert (view.concepts, view.concept) == (["glasses", "beard"], "glasses")
    assert (view.colour, view.note) == ("#0072b2", "Shown once the image is exact")
    plain = viewer.render("preview")
    assert view.images == [encode(plain.image)]
    render = viewer.render()

    def expected(name: str) -> list[bytes]:
        heat = session.heat_map(render, name)[0]
        return [encode(overlay_heat_map(render.image, heat, COLOURS[name]))]

    assert view.images == expected("glasses") != expected("beard")
    assert (view.note, viewer.rerenders) == ("", 0)
    assert view.captions[0]["alt"] == "a cat; glasses 5; beard 5, coloured where “glasses” acts"
    viewer.do("concept", name="beard")
    assert (view.images, viewer.rerenders) == (expected("beard"), 1)
    assert view.colour == "#d55e00"
    # What was computed once is not computed again, nor after another exact render of the state.
    viewer.do("look", look="image")
    assert view.images == [encode(render.image)]
    viewer.do("look", look="where")
    viewer.render()
    viewer.do("concept", name="glasses")
    assert (view.images, viewer.rerenders) == (expected("glasses"), 1)
    session.remove("beard")
    view.refresh()
    assert view.concept == "glasses"
    # A heat map of an earlier state is not shown with another image.
    viewer.view.show(session.render())
    assert view.images == [encode(session.render().image)]


def test_a_heat_map_that_is_not_recorded_is_reported(model: Model) -> None:
    session = new_session(model, cache_bytes=5000)
    session.add("glasses", warmup=1)
    viewer = Viewer(session)
    render = viewer.render()
    viewer.do("look", look="where")
    assert viewer.view.note == "No longer in memory"
    assert viewer.view.images == [encode(render.image)]
    assert viewer.rerenders == 1
    viewer.do("look", look="image")
    viewer.do("look", look="where")
    assert viewer.rerenders == 1
    assert viewer.notes.errors == []


def test_a_heat_map_that_comes_late_is_not_shown_in_another_look(viewer: Viewer) -> None:
    viewer.session.add("glasses", warmup=1)
    viewer.view.refresh()
    render = viewer.render()
    viewer.view.look = "where"
    late = viewer.view.heat_maps()
    assert late is not None
    viewer.do("look", look="image")
    late()
    assert viewer.view.images == [encode(render.image)]


def test_a_batch_shows_all_images_or_one(model: Model) -> None:
    viewer = Viewer(new_session(model, seed=[3, 4, 5]))
    view = viewer.view
    assert (view.seeds, view.selected) == (["3", "4", "5"], None)
    render = viewer.render()
    pngs = [encode(image) for image in render.images]
    assert view.images == pngs
    assert len({*pngs}) == 3
    assert view.captions[2]["alt"] == "a cat, seed 5"
    viewer.do("select", number=1)
    assert (view.images, [one["alt"] for one in view.captions]) == ([pngs[1]], ["a cat, seed 4"])
    viewer.do("hold", held=True)
    assert view.references == [pngs[1]]
    viewer.do("hold", held=False)
    viewer.do("select", number=2)
    assert view.references == []
    # The PNG file is of the enlarged image.
    png = view.png()
    assert png is not None
    with PIL.Image.open(BytesIO(png)) as found:
        image: Any = render.images[2]
        assert found.tobytes() == image.tobytes()
    viewer.do("select", number=3)
    assert view.selected == 2
    viewer.do("select", number=None)
    assert view.images == pngs
    # A comparison is of one image.
    viewer.do("look", look="compare")
    assert (view.selected, view.references) == (0, [pngs[0]])
    viewer.do("select", number=None)
    assert (view.look, view.images) == ("image", pngs)


def download(viewer: Viewer, monkeypatch: pytest.MonkeyPatch, file: str) -> tuple[Any, bytes]:
    sent: list[tuple[Any, Any]] = []

    def keep(_: object, content: Any, buffers: Any) -> None:
        sent.append((content, buffers))

    monkeypatch.setattr(ImageView, "send", keep)
    viewer.do("download", file=file, token="7")
    [(content, buffers)] = sent
    assert (content["kind"], content["token"]) == ("file", "7")
    return content, b"".join(buffers)


def test_an_image_is_downloaded_with_how_it_was_made(
    viewer: Viewer, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = viewer.render()
    content, data = download(viewer, monkeypatch, "png")
    assert (content["name"], content["type"]) == ("a-cat-seed-0.png", "image/png")
    with PIL.Image.open(BytesIO(data)) as found:
        assert found.tobytes() == render.image.tobytes()
        assert "sega_session" in found.info
    viewer.session.add("glasses", warmup=1)
    viewer.render("preview")
    content, _ = download(viewer, monkeypatch, "png")
    assert content["name"] == "a-cat-preview-seed-0.png"


def test_a_batch_is_downloaded_in_one_file(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = Viewer(new_session(model, seed=[3, 3]))
    render = viewer.render()
    content, data = download(viewer, monkeypatch, "zip")
    assert (content["name"], content["type"]) == ("a-cat.zip", "application/zip")
    with ZipFile(BytesIO(data)) as archive:
        assert archive.namelist() == ["a-cat-1-seed-3.png", "a-cat-2-seed-3.png"]
        for name, image in zip(archive.namelist(), render.images, strict=True):
            with PIL.Image.open(archive.open(name)) as found:
                assert found.tobytes() == image.tobytes()
                assert "sega_session" in found.info
    content, data = download(viewer, monkeypatch, "sheet")
    assert content["name"] == "a-cat-sheet.png"
    with PIL.Image.open(BytesIO(data)) as found:
        assert found.width > 2 * 256


def test_a_download_that_fails_is_reported_and_answered(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, data = download(viewer, monkeypatch, "png")
    assert ("name" in content, data) == (False, b"")
    assert "there is no image yet" in str(viewer.notes.errors)


def test_messages_of_another_version_are_ignored(viewer: Viewer) -> None:
    viewer.render()
    for kind, values in (
        ("look", {"look": "else"}),
        ("concept", {"name": "nobody"}),
        ("select", {"number": -1}),
        ("else", {}),
    ):
        viewer.do(kind, **values)
    assert (viewer.view.look, viewer.view.selected, viewer.notes.errors) == ("image", 0, [])


def test_a_view_works_without_a_guard(session: EditSession) -> None:
    view = ImageView(session, rerender=lambda: None, colour=COLOURS.__getitem__)
    send(view, {"kind": "look", "look": "where"})
    assert view.look == "where"


def test_a_comparison_works_alone() -> None:
    compared = CompareView(before=b"one", after=b"other")
    assert compared.position == 0.5


def test_images_are_described_with_opposites(session: EditSession) -> None:
    session.add("glasses", warmup=0)
    session.add("a crowd", scale=8, warmup=0, inverted=True)
    session.add("smile", scale=4, warmup=0, opposite="sad")
    session.add("old", scale=2, warmup=0, opposite="young", inverted=True)
    words = "a cat; glasses 5; less of a crowd 8; smile instead of sad 4; young instead of old 2"
    assert describe_image("a cat", session.state) == words
    session.disable("old")
    assert describe_image("a cat", session.state) == words.removesuffix("; young instead of old 2")
