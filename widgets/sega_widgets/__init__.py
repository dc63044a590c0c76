"""Jupyter widgets for `sega_session`. This release holds none yet."""
