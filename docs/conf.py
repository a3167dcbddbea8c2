"""Settings of the documentation: `make docs` builds it into docs/_build."""

from importlib.metadata import version as installed_version

project = "freqvision"
author = "the freqvision authors"
copyright = "2026, the freqvision authors"
version = release = installed_version("freqvision")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "gallery/**/*.ipynb", "gallery/**/*.md5"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_google_docstring = True

# The examples take photos or a trained model, so the gallery shows them without running them.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "plot_gallery": False,
    "download_all_examples": False,
}

html_theme = "furo"
html_title = "freqvision"
html_static_path: list[str] = []
