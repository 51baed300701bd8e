"""Sphinx builds the site from the Markdown pages here and the docstrings of the library: `make docs`."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

import tinybert_jax

project = "tinybert_jax"
author = "the authors of tinybert_jax"
project_copyright = author
version = release = tinybert_jax.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
default_role = "code"  # what the docstrings have in single backticks

html_theme = "furo"
html_title = f"tinybert_jax {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True


def skip_bare_fields(_app: Sphinx, _what: str, _name: str, member: Any, skip: bool, _options: Any) -> bool | None:
  """Returns True for a named tuple's field, which the docstring of its class explains."""
  return True if (getattr(member, "__doc__", None) or "").startswith("Alias for field number") else None


def shorten_arrays(_app: Sphinx, doctree: nodes.document) -> None:
  """Has the signatures say `Array` where JAX's class has a longer name inside."""
  for text in list(doctree.findall(nodes.Text)):
    if "jaxlib._jax.Array" in text:
      text.parent.replace(text, nodes.Text(text.replace("jaxlib._jax.Array", "Array")))


def setup(app: Sphinx) -> None:
  """Registers the two."""
  app.connect("autodoc-skip-member", skip_bare_fields)
  app.connect("doctree-read", shorten_arrays)
