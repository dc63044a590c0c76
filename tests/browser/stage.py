"""Show widgets of this process in a browser, without Jupyter and without a kernel.

A test edits through the page, and reads the session beside it. The page fetches the widgets'
messages while the test waits in a call of Playwright.
"""

from __future__ import annotations

import base64
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import ipywidgets.comm
from comm.base_comm import BaseComm
from ipywidgets import Widget
from playwright.sync_api import Page

from .pages import SCREENSHOTS

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"

# A part on its own has no page around it.
FIND_VIOLATIONS = """async () => {
    const off = { enabled: false };
    const rules = { region: off, "page-has-heading-one": off };
    const { violations } = await axe.run(document.body, { rules });
    return violations.flatMap(({ id, nodes }) =>
        nodes.map((node) => `${id}: ${node.html.slice(0, 200)} ${node.failureSummary}`));
}"""

HTML = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Stage</title><style>
:root { color-scheme: light dark; }
body { margin: 0; padding: 16px; background: light-dark(#fff, #15171c); }
</style></head><body></body></html>"""


class Stage:
    """A page with one widget on it.

    Args:
        page: an empty page.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self._outgoing: deque[dict[str, Any]] = deque()
        self._comms: dict[str, StageComm] = {}
        self._lock = threading.Lock()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "console",
            lambda one: self.errors.append(one.text) if one.type == "error" else None,
        )
        page.expose_function("stageReceive", self._receive)
        page.expose_function("stageSend", self._send)
        page.set_content(HTML)
        page.add_script_tag(path=Path(__file__).with_name("stage.js"))

    @contextmanager
    def open(self) -> Iterator[None]:
        """Connect the widgets that are made inside the block to the page."""

        def connect(**options: Any) -> StageComm:
            return StageComm(stage=self, **options)

        with mock.patch.object(ipywidgets.comm, "create_comm", connect):
            yield

    def show(self, widget: Widget) -> None:
        """Show a widget that was made while the stage was open."""
        self.page.evaluate("stagePoll()")
        self.page.evaluate("id => stageShow(id)", widget.model_id)

    def picture(self, name: str) -> None:
        """Save a picture of the whole page, to be looked at."""
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def violations(self) -> list[str]:
        """Return what axe-core finds wrong with the page's accessibility."""
        self.page.add_script_tag(path=AXE)
        found: list[str] = self.page.evaluate(FIND_VIOLATIONS)
        return found

    def publish(self, message: dict[str, Any]) -> None:
        """Queue a message for the page, from any thread."""
        self._outgoing.append(message)

    def register(self, one: StageComm) -> None:
        """Deliver the page's messages to this comm, too."""
        self._comms[one.comm_id] = one

    def _receive(self) -> list[dict[str, Any]]:
        messages = []
        while self._outgoing:
            messages.append(self._outgoing.popleft())
        return messages

    def _send(self, comm_id: str, data: dict[str, Any], buffers: list[str]) -> None:
        message = {
            "content": {"comm_id": comm_id, "data": data},
            "buffers": [memoryview(base64.b64decode(one)) for one in buffers],
        }
        self._comms[comm_id].handle_msg(message)


class StageComm(BaseComm):
    """The connection of one widget to a stage."""

    def __init__(self, *, stage: Stage, **options: Any) -> None:
        self._stage = stage
        super().__init__(**options)
        stage.register(self)

    def publish_msg(
        self,
        msg_type: str,
        data: Any = None,
        metadata: Any = None,
        buffers: Any = None,
        **_: Any,
    ) -> None:
        """Queue a message for the page."""
        encoded = [base64.b64encode(bytes(one)).decode() for one in buffers or ()]
        self._stage.publish(
            {"id": self.comm_id, "type": msg_type, "data": data or {}, "buffers": encoded}
        )
