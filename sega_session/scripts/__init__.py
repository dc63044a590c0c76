"""Edit histories as JSON: read and checked, run on a session, and written from a session's history.

A `Script` is a scene and operations on it, each a frozen value of `operations`. `run_script` runs
it within `Limits`, and `script_from_history` makes one from a history. Other packages import from
here, not from the modules. ``python -m sega_session.scripts.schema`` prints the JSON Schema.
"""

from . import operations
from .limits import DEFAULT_LIMITS, Limits
from .outputs import path_inside
from .runner import OperationResult, Session, run_script
from .script import Script, ScriptPhotograph, ScriptScene
from .writer import photograph_files, script_from_history

__all__ = [
    "DEFAULT_LIMITS",
    "Limits",
    "OperationResult",
    "Script",
    "ScriptPhotograph",
    "ScriptScene",
    "Session",
    "operations",
    "path_inside",
    "photograph_files",
    "run_script",
    "script_from_history",
]
