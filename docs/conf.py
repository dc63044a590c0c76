"""The settings of Sphinx: `make docs` builds the site into docs/_build/html."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))
import pages

project = "sega-session"
author = "The authors of sega-session"
version = release = version_of(project)
html_title = f"{project} {version}"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

# Markdown.
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

# The notebooks are committed with their outputs, which tests/slow/test_notebooks.py compares.
nb_execution_mode = "off"

# Docstrings. A name in single backticks is a link where it is one.
default_role = "py:obj"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_attr_annotations = False
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

# The pages load nothing from other hosts.
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False


def setup(app: Sphinx) -> None:
    """Bring the pages together before they are read."""
    pages.copy_pages()
    app.connect("source-read", pages.finish_page)
    app.connect("autodoc-process-signature", pages.plain_signature)
