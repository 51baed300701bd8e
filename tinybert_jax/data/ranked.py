"""Queries with passages, from JSON lines, Parquet and the other tables that hold lists."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinybert_jax.data.tables import AS_FOUND, Reading, read_table
from tinybert_jax.errors import InputError


class Ranked(NamedTuple):
  """Queries, each with its passages.

  Attributes:
    queries: texts, each once.
    passages: of each query, one or more, each once.
    scores: of each query's passages, from people or from a teacher; None where the file has none.
    notes: sentences on what was put together or left out.
  """

  queries: list[str]
  passages: list[list[str]]
  scores: list[np.ndarray] | None
  notes: tuple[str, ...]


def read_ranked(where: Sequence[str | Path], reading: Reading = AS_FOUND) -> Ranked:
  """Returns the queries of tables with the columns `query`, `passages` and perhaps `scores`.

  A line of JSON is `{"query": "…", "passages": ["…", "…"], "scores": [1, 0]}`. In place of `passages` there may be
  `positive` and `negative`, each a text or a list of texts; their scores are 1 and 0.

  Rows of the same query are put together, as triples with one negative each want it. A passage that a query has twice
  is taken once, with the highest of its scores.

  Raises:
    InputError: no such table or columns, or a row whose cells are of another kind or number; it names the row.
  """
  table, name = read_table(where, reading), ", ".join(map(str, where))
  rows, columns = table.rows, set(table.rows.column_names)
  is_triples = {"positive", "negative"} <= columns
  if "query" not in columns or not (is_triples or "passages" in columns):
    raise InputError(
      f"{name}: the columns query and passages (or positive and negative) are needed; it has "
      f"{', '.join(rows.column_names)}"
    )
  has_scores = is_triples or "scores" in columns
  found: dict[str, dict[str, float]] = {}  # the scores of each query's passages
  times = 0  # that a passage is given
  for number, row in enumerate(rows, start=1):
    line = f"{name}, row {number}"
    query = _texts(row["query"], f"{line}: query")
    if len(query) != 1:
      raise InputError(f"{line}: {len(query)} queries, and one is needed")
    if is_triples:
      sides = [_texts(row[side], f"{line}: {side}") for side in ("positive", "negative")]
      passages, scores = sides[0] + sides[1], np.repeat([1.0, 0.0], [len(side) for side in sides])
    else:
      passages = _texts(row["passages"], f"{line}: passages")
      scores = _numbers(row["scores"], len(passages), line) if has_scores else np.zeros(len(passages))
    of_query = found.setdefault(query[0], {})
    times += len(passages)
    for passage, score in zip(passages, scores.tolist(), strict=True):
      of_query[passage] = max(score, of_query.get(passage, score))
  if not found:
    raise InputError(f"{name}: no rows")
  notes = list(table.notes)
  if more := len(rows) - len(found):
    notes.append(f"{name}: {more:,} of {len(rows):,} rows have a query that stood before, and are put together with it")
  if more := times - sum(map(len, found.values())):
    notes.append(f"{name}: {more:,} passages stood before for the same query; their highest scores are taken")
  given = [np.asarray(list(scores.values()), np.float64) for scores in found.values()]
  return Ranked(list(found), [list(scores) for scores in found.values()], given if has_scores else None, tuple(notes))


def _texts(cell: Any, where: str) -> list[str]:
  texts = [cell] if isinstance(cell, str) else cell
  if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
    raise InputError(f"{where}: {cell!r:.40}, and a text or a list of texts is needed")
  if any(not text.strip() for text in texts):
    raise InputError(f"{where}: an empty text")
  return texts


def _numbers(cell: Any, passages: int, where: str) -> np.ndarray:
  values = cell if isinstance(cell, list) else [cell]
  if not all(isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value) for value in values):
    raise InputError(f"{where}: scores are {cell!r:.40}, and a list of finite numbers is needed")
  if len(values) != passages:
    raise InputError(f"{where}: {len(values)} scores for {passages} passages")
  return np.asarray(values, np.float64)
