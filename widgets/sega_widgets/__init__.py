"""Jupyter widgets for `sega_session`: see `EditPanel`."""

import lazy_loader

# Names load their modules on first use: torch takes seconds, and the page shows its steps before.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
