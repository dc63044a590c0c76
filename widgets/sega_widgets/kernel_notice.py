"""Tell the user of a notebook that the kernel behind the panel has ended."""

from __future__ import annotations

from anywidget import AnyWidget
from traitlets import Unicode

from .front_end import script, style


class KernelNotice(AnyWidget):
    """A notice that appears when the kernel has ended, and is nothing before.

    While it is on the page, it also hides what `NotebookOutput` shows in the panel's place.

    Attributes:
        kept: where the work is, in words; "" if nobody keeps it.
        key: the `NotebookOutput.key` of the panel; "" if it has none.
    """

    _esm = script("kernel-notice")
    _css = style("kernel-notice")

    kept = Unicode("").tag(sync=True)
    key = Unicode("").tag(sync=True)
