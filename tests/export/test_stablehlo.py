"""Exports by `jax.export` with symbolic numbers of texts and tokens, against PyTorch, where positions are relative."""

import jax
import numpy as np
import pytest
import torch
from jax import export
from small_families import make_batch, make_theirs

from tinybert_jax.export.stablehlo import stablehlo
from tinybert_jax.models.encoder import SequenceClassifier
from tinybert_jax.models.pretrained import load_pretrained


@pytest.mark.parametrize("model_type", ["modernbert", "deberta-v2"])
def test_a_reloaded_file_gives_what_transformers_gives(tmp_path, model_type):
  theirs = make_theirs(SequenceClassifier, model_type, 0)
  theirs.save_pretrained(tmp_path)
  config, params, _ = load_pretrained(tmp_path, SequenceClassifier)
  exported = export.deserialize(bytearray(stablehlo(SequenceClassifier(config), params)))
  batch = make_batch(config, "left")
  with torch.no_grad():
    expected = theirs(**{name: torch.tensor(value).long() for name, value in batch.items()}).logits.numpy()
  found = np.asarray(jax.jit(exported.call)(batch))
  assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
