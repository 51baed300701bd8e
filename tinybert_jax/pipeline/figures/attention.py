"""Maps of attention probabilities."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tinybert_jax.pipeline.figures.picture import picture, plain

AttentionRow = tuple[str, Float[np.ndarray, "heads query key"], int]


def attention_maps(path: Path, rows: Sequence[AttentionRow], tokens: Sequence[str]) -> None:
  """Draws attention probabilities of the first four heads, a row of maps for each model.

  Args:
    path: of the PNG.
    rows: of each model its name, its probabilities of one text, and the number of the layer that they are from.
    tokens: of the text.
  """
  heads = min(4, *(len(probabilities) for _, probabilities, _ in rows))
  names = [plain(token, 12) for token in tokens]
  side = max(2.2, 0.17 * len(tokens))
  size = (side, side + 0.2)
  with picture(path, len(rows), heads, size, sharex=True, sharey=True, grid=False) as (_, axes):
    for row, (name, probabilities, layer) in enumerate(rows):
      shown = np.asarray(probabilities, np.float32)[:heads]
      for head in range(heads):
        axis = axes[row * heads + head]
        axis.imshow(shown[head], cmap="magma", vmin=0, vmax=shown.max())
        axis.set_title(f"{plain(name)}, layer {layer}, head {head + 1}", fontsize="small")
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize="x-small")
        axis.set_yticks(range(len(names)), names, fontsize="x-small")
        axis.tick_params(length=0)
