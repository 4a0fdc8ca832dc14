"""Sphinx: ``make docs`` builds the site into ``docs/_build/html``.

What is written by hand lies in the folders; the reference pages are generated here from the
package: the Python ones from ``temzoo.__all__``, the command line's from the commands themselves.
The gallery's scripts lie in ``gallery/``; they are run, and their pages written to ``examples/``.
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
from sphinx_gallery.sorting import ExplicitOrder  # noqa: E402

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
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery", "examples/**/*.ipynb"]
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

# The gallery's pages, in order; one that is not named is an error.
PAGES = (
    "plot_label_encodings.py",
    "plot_label_check.py",
    "plot_augmentation.py",
    "plot_convolution_by_hand.py",
    "plot_mlp_against_dcnn.py",
    "plot_train_a_unet.py",
    "plot_ten_labelled_images.py",
    "plot_masks_and_boxes.py",
    "plot_denoise.py",
    "plot_colour.py",
    "plot_vae_manifold.py",
    "plot_search_for_settings.py",
    "plot_find_particles.py",
    "plot_own_cvat_export.py",
    "plot_scale_bar.py",
    "plot_sizes_in_nm.py",
    "plot_how_sure.py",
    "plot_label_next.py",
    "plot_served_model.py",
    "plot_dask_array.py",
    "hyperspy_in_and_out.py",
)
# ``make docs GALLERY=REGEX`` runs the pages alone whose path matches, and shows the others' code.
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "examples",
    "filename_pattern": r"/plot_",
    "subsection_order": ["gallery/lecture", "gallery/job"],
    "within_subsection_order": ExplicitOrder(PAGES),
    "abort_on_example_error": True,
    "doc_module": ("temzoo",),
    "show_signature": False,
    "write_computation_times": False,
    "capture_repr": ("_repr_html_",),
}

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
html_sidebars = {"index": [], "install": [], "tutorial/index": [], "examples/index": []}


def setup(app):
    """Writes the generated pages before Sphinx looks for pages, and resolves names of temzoo."""
    generate.write_reference(HERE / "reference")
    app.connect("source-read", generate.link_repository)
    app.connect("autodoc-process-docstring", generate.escape)
    app.connect("autodoc-process-signature", generate.without_factories)
    app.connect("missing-reference", generate.resolve)
