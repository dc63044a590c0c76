"""Frozen values that a user edits, and pure functions on them; nothing here needs torch.

A `Scene` is fixed for a session, an `EditState` holds its concepts at one point, a `History`
is the tree of all states, and a `Mode` says how a state is rendered. `edits` and `fields` are
modules of functions. Other packages import from here, not from the modules.
"""

from . import edits, fields
from .differences import diff, renamed
from .effects import default_warmup, first_call, idle_reasons, rescaled
from .fields import check_line
from .history import Entry, History
from .masks import MASK_PREFIX, Mask, MaskSource, data_url, mask_of, read_mask
from .modes import (
    MODES,
    Anchored,
    Exact,
    Mode,
    ModeName,
    Preview,
    Replay,
    anchored,
    as_mode,
)
from .notebook import html_table
from .photographs import Fit, PhotoSource, photograph_digest, read_photographs
from .pixels import IMAGE_BOMBS, IMAGE_DAMAGE, MAX_SIDE, Pixels
from .timeline import Timeline
from .values import BatchPlan, Concept, EditState, Include, Scene

__all__ = [
    "IMAGE_BOMBS",
    "IMAGE_DAMAGE",
    "MASK_PREFIX",
    "MAX_SIDE",
    "MODES",
    "Anchored",
    "BatchPlan",
    "Concept",
    "EditState",
    "Entry",
    "Exact",
    "Fit",
    "History",
    "Include",
    "Mask",
    "MaskSource",
    "Mode",
    "ModeName",
    "PhotoSource",
    "Pixels",
    "Preview",
    "Replay",
    "Scene",
    "Timeline",
    "anchored",
    "as_mode",
    "check_line",
    "data_url",
    "default_warmup",
    "diff",
    "edits",
    "fields",
    "first_call",
    "html_table",
    "idle_reasons",
    "mask_of",
    "photograph_digest",
    "read_mask",
    "read_photographs",
    "renamed",
    "rescaled",
]
