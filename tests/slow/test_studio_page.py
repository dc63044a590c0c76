"""Run the code of docs/studio.md in order, and use the parts that it makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.markdown import DOCS, parse_page, run_page
from tests.widgets.fakes import send


def test_the_parts_work_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    document = parse_page(DOCS / "studio.md")
    run_page(document)
    found = document.namespace
    found["panel"].close()
    session, worker = found["session"], found["worker"]
    with worker:
        send(found["concepts"], {"kind": "add", "text": "glasses"})
        worker.wait()
        assert [one["title"] for one in found["concepts"].concepts] == ["glasses"]
        assert found["history"].newest["label"] == "glasses added"
        assert found["history"].thumbnails[session.state].exact
        edited = found["images"].after
        assert edited != found["images"].before
        send(found["history"], {"kind": "undo"})
        worker.wait()
        assert found["concepts"].concepts == []
        assert found["images"].after == found["images"].before
