"""What of a session goes into files: session files, their journals, and text in PNG files.

A `Snapshot` is a session between memory and a file. `read_document` and `read_provenance` read what
a file says of itself, and need no torch. Other packages import from here only.
"""

import lazy_loader

# Torch takes seconds to import, and `sega-session info` needs none of it.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
