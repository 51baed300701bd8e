"""Fingerprints of models and rows: equal for equal content, so that what was made from them can be trusted."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import datasets
import jax
import numpy as np
import pyarrow as pa

from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.tokenizer_type import Tokenizer


def of_text(text: str) -> str:
  """Returns the fingerprint of a text: 32 hexadecimal digits, as all here."""
  return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def of_params(params: Mapping[str, Any]) -> str:
  """Returns the fingerprint of a tree of arrays: of its names, shapes, types and values."""
  digest = hashlib.blake2b(digest_size=16)
  for path, leaf in jax.tree.leaves_with_path(params):
    value = np.ascontiguousarray(leaf)
    digest.update(f"{jax.tree_util.keystr(path)} {value.shape} {value.dtype};".encode())
    digest.update(value.data)
  return digest.hexdigest()


def of_model(config: EncoderConfig, params: Mapping[str, Any]) -> str:
  """Returns the fingerprint of a model: of its shape, settings, label names and parameters."""
  return of_text(f"{config} {of_params(params)}")


def of_tokenizer(tokenizer: Tokenizer) -> str:
  """Returns the fingerprint of a tokenizer: of its vocabulary and rules, not of what it was last called with."""
  rules = json.loads(tokenizer.backend_tokenizer.to_str())
  kept = {name: value for name, value in rules.items() if name not in ("truncation", "padding")}
  return of_text(json.dumps(kept))


def of_rows(rows: datasets.Dataset) -> str:
  """Returns the fingerprint of a data set: of its columns' names and values, in order of rows.

  It reads ten thousand rows at a time, and so serves data sets larger than memory.
  """
  digest = hashlib.blake2b(digest_size=16)
  for name in sorted(rows.column_names):
    digest.update(f"{name};".encode())
    for part in rows.select_columns(name).with_format("arrow").iter(batch_size=10_000):
      _add(digest, part[name])
  return digest.hexdigest()


def _add(digest: Any, column: pa.ChunkedArray) -> None:
  column = column.combine_chunks()
  if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
    digest.update(np.ascontiguousarray(column.value_lengths().to_numpy(zero_copy_only=False)).data)
    column = column.flatten()
  if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
    texts = [text.encode() for text in column.to_pylist()]
    digest.update(np.asarray([len(text) for text in texts]).data)
    digest.update(b"".join(texts))
  else:
    digest.update(np.ascontiguousarray(column.to_numpy(zero_copy_only=False)).data)
