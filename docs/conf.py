"""Sphinx: ``make docs`` builds the site into ``docs/_build/html``.

What is written by hand lies in the folders; the reference pages are generated here from the
package: the Python ones from ``temzoo.__all__``, the command line's from the commands themselves.

A gallery of examples has its place after the how-to pages: add its extension below and its index
to ``index.md``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent.resolve()
sys.path[:0] = [str(HERE.parent), str(HERE)]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import generate  # noqa: E402

import temzoo  # noqa: E402

project = "temzoo"
author = "the temzoo developers"
copyright = "2026, the temzoo developers"
version = release = temzoo.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = False  # generate.py writes the pages
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
add_module_names = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# Each project's own list of names, and a few of them here for a machine without a network.
intersphinx_timeout = 5
online = () if os.environ.get("TEMZOO_DOCS_OFFLINE") else (None,)
intersphinx_mapping = {
    name: (address, (*online, str(path)))
    for name, (address, path) in generate.inventories(HERE / "_build" / "inventories").items()
}
nitpicky = True
nitpick_ignore_regex = [("py:.*", pattern) for pattern in generate.NOT_DOCUMENTED]

html_theme = "pydata_sphinx_theme"
html_title = "temzoo"
html_static_path = ["_static"]
html_css_files = ["temzoo.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_nav_level": 1,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": {"**": ["page-toc"], "explanation/results": []},
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
html_sidebars = {"index": [], "install": [], "tutorial/index": []}


def setup(app):
    """Writes the generated pages before Sphinx looks for pages, and resolves names of temzoo."""
    generate.write_reference(HERE / "reference")
    app.connect("source-read", generate.link_repository)
    app.connect("autodoc-process-docstring", generate.escape)
    app.connect("autodoc-process-signature", generate.without_factories)
    app.connect("missing-reference", generate.resolve)
