"""The files of a session: session files, their journals, and the provenance in PNG files.

A `Snapshot` is the content of a session's file. `read_document` and `read_provenance` read the
description in a file, and do not import torch. Other packages import from here only.
"""

import lazy_loader

# Importing torch takes seconds, and `sega-session info` does not need it.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
