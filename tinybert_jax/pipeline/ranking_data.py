"""The data of a run that distils a reranker: queries with passages, with scores of a teacher or of people."""

from collections.abc import Sequence

import datasets
import numpy as np

from tinybert_jax.data.ranked import Ranked, read_ranked
from tinybert_jax.errors import InputError
from tinybert_jax.pipeline.dev_split import MOST_DEV
from tinybert_jax.pipeline.distil_settings import Sources
from tinybert_jax.pipeline.own_data import OwnData
from tinybert_jax.tasks.ranking import Ranking


def load(sources: Sources, task: Ranking, *, has_teacher: bool, seed: int) -> OwnData:
  """Returns the data of a run.

  Args:
    sources: where it is; `unlabelled` has the queries to distil over, `dev` and `test` those with scores to measure by.
    task: of the run.
    has_teacher: whether a model scores the passages to distil over; else the scores in their table are the teacher's.
    seed: random seed for the dev split, and for the queries of a trial.

  Raises:
    InputError: tables that cannot be read, or without scores where they are needed; it names file and row.
  """
  notes: list[str] = []
  found, where = _read(sources.unlabelled, sources, notes), ", ".join(sources.unlabelled)
  if not has_teacher and found.scores is None:
    raise InputError(f"{where}: no scores; give --teacher, a cross-encoder, or a teacher's scores of the passages")
  order = np.random.default_rng(seed).permutation(len(found.queries))
  if most := sources.max_train_examples:
    order = order[:most]
    notes.append(f"a trial: --max-train-examples {most} took a part of the queries")
  dev_targets, measured = None, {}
  for name, files in (("dev", sources.dev), ("test", sources.test)):
    if files:
      table = _read(files, sources, notes)
      if table.scores is None:
        raise InputError(f"{', '.join(files)}: no scores, which say how relevant each passage is to its query")
      measured[name] = _rows(table, range(len(table.queries)), labelled=True)
  if "dev" not in measured:
    number = min(MOST_DEV, max(1, round(sources.dev_share * len(order))))
    if len(order) < 2:
      raise InputError(f"{where}: one query, and some to learn from and one to choose by are needed")
    held_out, order = np.sort(order[:number]), order[number:]
    notes.append(f"dev: {number:,} of the {number + len(order):,} queries; --dev gives others")
    measured["dev"] = _rows(found, held_out, labelled=False)
    dev_targets = None if has_teacher else _targets(found, held_out)
  kept = np.sort(order)
  targets = None if has_teacher else _targets(found, kept)
  transfer = _rows(found, kept, labelled=False)
  return OwnData(task, None, transfer, measured["dev"], measured.get("test"), targets, dev_targets, tuple(notes))


def _read(files: Sequence[str], sources: Sources, notes: list[str]) -> Ranked:
  found = read_ranked(files, sources.reading)
  notes += found.notes
  return found


def _rows(table: Ranked, queries: Sequence[int] | np.ndarray, *, labelled: bool) -> datasets.Dataset:
  """Returns a row for each passage of these queries."""
  columns: dict[str, list] = {"index": [], "text": [], "pair": [], "group": []}
  for query in queries:
    for passage in table.passages[query]:
      for name, value in zip(columns, (int(query), table.queries[query], passage, int(query)), strict=True):
        columns[name].append(value)
  if labelled:
    columns["label"] = _targets(table, queries)[:, 0].tolist()
  return datasets.Dataset.from_dict(columns)


def _targets(table: Ranked, queries: Sequence[int] | np.ndarray) -> np.ndarray:
  """Returns the scores of the passages of these queries, N×1."""
  return np.concatenate([(table.scores or [])[query] for query in queries])[:, None].astype(np.float32)
