"""Files that are read: regular ones only, and not too long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sega_session.errors import SessionFileError
from sega_session.files import open_regular, read_regular

on_posix = pytest.mark.skipif(os.name != "posix", reason="pipes and devices")


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content\r\n")
    assert read_regular(path, 9) == b"content\r\n"
    with open_regular(path) as file:
        assert file.read() == b"content\r\n"


def test_a_longer_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with pytest.raises(SessionFileError, match=r"file' cannot be read: it has more than 6 bytes"):
        read_regular(path, 6)


@on_posix
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for path, reason in {
        tmp_path / "pipe": "it is no regular file",
        tmp_path / "endless": "it is no regular file",
        tmp_path: "Is a directory",
        tmp_path / "none": "No such file",
        tmp_path / "a\0b": "embedded null",
    }.items():
        with pytest.raises(SessionFileError, match=reason) as caught:
            read_regular(path, 10)
        assert str(caught.value).startswith(f"{str(path)!r} cannot be read: ")


@on_posix
def test_a_pipe_that_takes_the_files_place_does_not_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    original = os.stat
    monkeypatch.setattr(os, "stat", lambda path: original(tmp_path / "file"))
    with pytest.raises(SessionFileError, match="it is no regular file"):
        read_regular(tmp_path / "pipe", 10)
