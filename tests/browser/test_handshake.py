"""The page of `sega-session app` refuses the websockets on which Voilà hangs."""

from __future__ import annotations

import base64
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from sega_session.cli.page_connection import PROTOCOL

from .app import running_app


@pytest.fixture
def page(tmp_path: Path) -> Iterator[str]:
    """Start `sega-session app`, and return the address of the page."""
    with running_app(tmp_path) as app:
        yield app.url


def handshake(url: str, kernel: str, protocol: str | None) -> bytes:
    """Offer a websocket to a kernel; return the first line of the answer."""
    address, token = url.split("/?token=")
    host = address.removeprefix("http://")
    lines = [
        f"GET /api/kernels/{kernel}/channels?session_id=test&token={token} HTTP/1.1",
        *(f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade"),
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        *([] if protocol is None else [f"Sec-WebSocket-Protocol: {protocol}"]),
    ]
    name, port = host.split(":")
    with socket.create_connection((name, int(port)), timeout=60) as one:
        one.sendall("\r\n".join([*lines, "", ""]).encode())
        return one.recv(4096).partition(b"\r\n")[0]


def test_a_websocket_must_offer_the_subprotocol(page: str) -> None:
    with urlopen(page, timeout=120) as answer:
        match = re.search(r'pageWatch\("([0-9a-f-]{36})"\)', answer.read().decode())
    assert match is not None
    for refused in (None, "", "another", f"{PROTOCOL}x"):
        assert handshake(page, match[1], refused) == b"HTTP/1.1 400 Bad Request"
    for accepted in (PROTOCOL, f"another, {PROTOCOL}"):
        assert handshake(page, match[1], accepted) == b"HTTP/1.1 101 Switching Protocols"
