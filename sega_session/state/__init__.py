"""Values that a user edits, their history, and pure functions on them."""

from .edits import Concept, EditState, Scene
from .history import Entry, History

__all__ = ["Concept", "EditState", "Entry", "History", "Scene"]
