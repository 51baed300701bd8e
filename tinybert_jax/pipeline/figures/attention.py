"""Maps of attention probabilities."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tinybert_jax.pipeline.figures.picture import picture, plain


class AttentionMaps(NamedTuple):
  """Attention probabilities of one head on one text, side by side.

  Attributes:
    tokens: of the text.
    probabilities: of each model, by its name: a map for each pair of layers.
    layers: the numbers of each model's layers, by its name.
    head: its number, from 1.
  """

  tokens: Sequence[str]
  probabilities: Mapping[str, Float[np.ndarray, "layers query key"]]
  layers: Mapping[str, Sequence[int]]
  head: int


def attention_maps(path: Path, maps: AttentionMaps) -> None:
  """Draws the maps: a row for each pair of layers, a column for each model; from each token (down) to each (across).

  The maps of a row have one scale.

  Args:
    path: of the PNG.
    maps: of one text.
  """
  names = [plain(token, 12) for token in maps.tokens]
  rows = len(next(iter(maps.probabilities.values())))
  side = max(1.7, 0.19 * len(names))
  with picture(path, rows, len(maps.probabilities), (side, side + 0.3), sharex=True, sharey=True, grid=False) as (
    _,
    axes,
  ):
    for number in range(rows):
      brightest = max(float(np.max(each[number])) for each in maps.probabilities.values())
      for column, (model, probabilities) in enumerate(maps.probabilities.items()):
        axis = axes[number * len(maps.probabilities) + column]
        axis.imshow(probabilities[number], cmap="magma", vmin=0, vmax=brightest)
        axis.set_title(f"{plain(model)}\nlayer {maps.layers[model][number]}", fontsize="small")
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize="small")
        axis.set_yticks(range(len(names)), names, fontsize="small")
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
