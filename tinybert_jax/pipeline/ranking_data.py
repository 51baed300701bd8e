"""A run that distils a reranker: its queries with passages, scored by a teacher or by people, and its task."""

from collections.abc import Sequence

import datasets
import numpy as np

from tinybert_jax.data.ranked import Ranked, read_ranked
from tinybert_jax.errors import InputError
from tinybert_jax.models.pretrained import Pretrained
from tinybert_jax.pipeline.dev_split import MOST_DEV, shared_texts
from tinybert_jax.pipeline.distil_settings import Settings, Sources
from tinybert_jax.pipeline.own_data import OwnData
from tinybert_jax.tasks.ranking import Ranking


def check(chosen: Settings) -> None:
  """Raises InputError for settings that do not go with rerankers."""
  given, sources, options = chosen.teachers, chosen.data, chosen.ranking
  if sources.train or "labels" in chosen.stages or given.pretrained or sources.target_columns or not sources.unlabelled:
    raise InputError("--kind ranking learns from scores of a teacher; give queries with passages as --unlabelled alone")
  if not given.teacher and (not chosen.shape.student or chosen.shape.student_from):
    raise InputError(
      "--kind ranking needs a --teacher, or a table with the scores of one and a --student directory to begin with"
    )
  if chosen.augmentation.augment or chosen.threshold != "half" or sources.label_names:
    raise InputError("--kind ranking: passages are not augmented, and have no --threshold or --label-names")
  if options.ranking_loss_weights and len(options.ranking_loss_weights) != len(options.ranking_losses):
    raise InputError(
      f"--ranking-loss-weights: {len(options.ranking_loss_weights)} weights for {len(options.ranking_losses)} losses"
    )
  if not options.ranking_losses or len(set(options.ranking_losses)) < len(options.ranking_losses):
    raise InputError("--ranking-losses: name each of mse, margin and listwise once at most, and at least one")


def load_run(settings: Settings, given: Sequence[Pretrained], name: str) -> OwnData:
  """Returns the data of a run; see `Kind.load`, and `load` for errors."""
  for teacher, model in zip(settings.teachers.teacher, given, strict=True):
    if (classes := model.config.num_labels) != 1:
      raise InputError(
        f"--teacher {teacher}: a classifier of {classes} classes, and a cross-encoder of one score is needed"
      )
  task = Ranking(name, settings.ranking.ranking_losses, settings.ranking.ranking_loss_weights)
  return load(settings.data, task, has_teacher=bool(given), seed=settings.seed)


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
      _check_relevance(table, ", ".join(files), notes)
      measured[name] = _rows(table, range(len(table.queries)), labelled=True)
  if "dev" not in measured:
    number = min(MOST_DEV, max(1, round(sources.dev_share * len(order))))
    if len(order) < 2:
      raise InputError(f"{where}: one query, and some to learn from and one to choose by are needed")
    ordered = np.asarray([len(found.passages[query]) > 1 for query in order])
    if not ordered.any():
      raise InputError(f"{where}: every query has one passage, so there is no order to choose by; give --dev")
    is_held_out = ordered & (np.cumsum(ordered) <= number)
    notes.append(f"dev: {is_held_out.sum():,} of the {len(order):,} queries; --dev gives others")
    held_out, order = np.sort(order[is_held_out]), order[~is_held_out]
    measured["dev"] = _rows(found, held_out, labelled=False)
    dev_targets = None if has_teacher else _targets(found, held_out)
  kept = np.sort(order)
  targets = None if has_teacher else _targets(found, kept)
  transfer = _rows(found, kept, labelled=False)
  for name in measured:
    notes += shared_texts(transfer, measured[name], name)
  return OwnData(task, None, transfer, measured["dev"], measured.get("test"), targets, dev_targets, tuple(notes))


def _read(files: Sequence[str], sources: Sources, notes: list[str]) -> Ranked:
  found = read_ranked(files, sources.reading)
  notes += found.notes
  return found


def _check_relevance(table: Ranked, where: str, notes: list[str]) -> None:
  """Raises InputError where no ranking is better than another, or a passage is less than not relevant."""
  scores = table.scores or []
  for query, of_query in zip(table.queries, scores, strict=True):
    if (of_query < 0).any():
      raise InputError(
        f"{where}, query {query!r:.60}: the score {of_query.min():g}; they say how relevant a passage is, from "
        "0 for not at all"
      )
  telling = sum(bool((of_query > of_query.min()).any()) for of_query in scores)
  if not telling:
    raise InputError(
      f"{where}: no query has passages of different scores, so every order of them is as good; give relevant passages "
      "and others"
    )
  if telling < len(scores):
    notes.append(f"{where}: {len(scores) - telling:,} of {len(scores):,} queries have passages of one score alone")


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
