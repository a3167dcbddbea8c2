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
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "tutorials", "results/*/*.md"]  # tables of studies, which the pages quote
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_google_docstring = True

sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "learn",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "capture_repr": (),
    "show_memory": False,
    "write_computation_times": False,
}

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "freqvision"
html_static_path = ["_static"]
html_css_files = ["page.css"]
