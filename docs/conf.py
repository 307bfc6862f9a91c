"""The documentation as a site: .venv/bin/sphinx-build docs build/docs (scripts/test does it)."""

from importlib import metadata

project = "jmlp"
release = metadata.version("jmlp")
copyright = "the authors of jmlp"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "jmlp"

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # aliases such as ArrayLike would be expanded over many lines
default_role = "code"  # what single backticks mean in docstrings
