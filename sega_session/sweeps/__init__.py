"""Sweeps: prompts x seeds x edits, rendered in units that share a cache, in a folder of results.

A `Sweep` says what is rendered, and `run_sweep` renders it: in this process, or with Ray. A unit is
a group of seeds of one prompt with all edits. Its images and its record are whole or not there at
all, so a sweep that was killed goes on where it stopped; the table and the contact sheets are made
from the records. Other packages import from here only.
"""

import lazy_loader

# Reading a sweep's file does not need torch, which takes seconds to import.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
