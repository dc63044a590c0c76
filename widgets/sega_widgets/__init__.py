"""Jupyter widgets for `sega_session`: see `EditPanel`."""

from __future__ import annotations

from .compare import CompareView
from .concepts import ConceptList
from .history_view import HistoryView
from .panel import EditPanel
from .progress import Progress
from .worker import RenderWorker

__all__ = [
    "CompareView",
    "ConceptList",
    "EditPanel",
    "HistoryView",
    "Progress",
    "RenderWorker",
]
