"""Run the code of docs/studio.md in order, and use the parts that it makes."""

from __future__ import annotations

from pathlib import Path

from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from tests.widgets.fakes import send

PAGE = Path(__file__).parents[2] / "docs" / "studio.md"


def run_python(example: Example) -> None:
    exec(compile(example.parsed, f"docs/studio.md, line {example.line}", "exec"), example.namespace)


def test_the_parts_work_together() -> None:
    document = Document.parse(str(PAGE), CodeBlockParser("python", run_python), SkipParser())
    for example in document.examples():
        example.evaluate()
    found = document.namespace
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
