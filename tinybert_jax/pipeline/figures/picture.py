"""A figure of panels with this project's colours and letters, saved as a PNG that stays legible on a phone."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinybert_jax.models.directories import make_directory
from tinybert_jax.pipeline.metric_names import words

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

TEACHER, STUDENT, PLAIN = "#4063a8", "#d9742b", "#8a8a8a"

# Tried in this order after DejaVu, which has no Chinese, Japanese, Korean, Devanagari or Thai.
_MORE_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS")


@contextlib.contextmanager
def picture(
  path: Path,
  rows: int,
  columns: int,
  size: tuple[float, float],
  *,
  grid: bool = True,
  sharex: bool = False,
  sharey: bool = False,
) -> Iterator[tuple["Figure", list["Axes"]]]:
  """Gives a figure and its axes in reading order, and saves it; `size` is of one panel, in inches."""
  import matplotlib
  from matplotlib import font_manager
  from matplotlib.figure import Figure  # not pyplot, which would choose a screen and keep state

  installed = set(font_manager.get_font_names())
  settings: dict[Any, Any] = {
    "font.family": ["DejaVu Sans", *(name for name in _MORE_FONTS if name in installed)],
    "font.size": 11,
    "axes.titlesize": "medium",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": grid,
    "grid.alpha": 0.3,
    "legend.fontsize": "small",
  }
  with matplotlib.rc_context(settings), warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a box in its place is enough
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey).ravel().tolist()
    yield figure, axes
    for axis in axes:
      if not axis.has_data():
        axis.remove()
    make_directory(path.parent)
    figure.savefig(path, dpi=150, facecolor="white", bbox_inches="tight", pad_inches=0.06)


def named(name: str) -> str:
  return plain(words(name))


def plain(text: Any, most: int = 40) -> str:
  """Returns the text shortened, and without matplotlib's mathematics between dollar signs."""
  text = " ".join(str(text).split())
  return (text if len(text) <= most else text[: most - 1] + "…").replace("$", r"\$")
