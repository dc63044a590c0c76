"""Questions to the Hugging Face hub that never wait for long."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import errors, hf_hub_download, model_info

SECONDS = 10.0
"""The time to wait for an answer."""


def hub_answers(repository: str, revision: str | None, token: str | None) -> bool:
    """Return whether the hub answers, be it with a refusal, within `SECONDS`.

    Downloads have no limit of time until the first answer: behind a network that drops packets
    they would wait forever. If it does not answer, pass ``local_files_only=True`` to them.

    Raises:
        ValueError: this is no name of a repository.
    """
    try:
        model_info(repository, revision=revision, token=token, timeout=SECONDS)
    except errors.HfHubHTTPError:
        return True
    except (
        errors.OfflineModeIsEnabled,
        # The base of the errors of a connection: httpx's, or httpx2's, by the version.
        errors.HTTPError,  # type: ignore[attr-defined]
    ):
        return False
    return True


def class_on_hub(repository: str, index: str, access: Mapping[str, Any]) -> str:
    """Return the name of the class of a repository's pipeline; "": it cannot be read.

    Args:
        repository: its name.
        index: the name of the file that tells it.
        access: revision, token, and whether to use local files only.
    """
    try:
        path = hf_hub_download(repository, index, **access)
        return str(json.loads(Path(path).read_bytes())["_class_name"])
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        errors.HfHubHTTPError,
        errors.HTTPError,  # type: ignore[attr-defined]
    ):
        return ""  # Loading it will say what is wrong.
