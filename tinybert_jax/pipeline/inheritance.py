"""Students whose first weights are made from their teacher's, and the sample of texts that this takes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from tinybert_jax.data import fingerprint
from tinybert_jax.data.batches import BatchSource, bucket_lengths, row_length
from tinybert_jax.distillation import inherited, inherited_sentences
from tinybert_jax.distillation.layer_map import LayerMap
from tinybert_jax.models.encoder import Batch
from tinybert_jax.models.pretrained import Pretrained
from tinybert_jax.pipeline.stage_fit import dev_scores
from tinybert_jax.pipeline.stages import Finished, Made, holds_anything
from tinybert_jax.pipeline.task_run import TaskRun

STAGE = "inherited"
_TOKENS, _ROWS = 16_000, 2_048  # of a sample, about and at most
_BATCH = 32


def sample(rows: datasets.Dataset, *, seed: int, pad_id: int, at_most: int | None = None) -> list[Batch]:
  """Returns batches of rows drawn at random, some 16,000 tokens, that weights are fitted on; the same for a seed.

  Args:
    rows: token rows.
    seed: of the draw.
    pad_id: the token that fills up rows.
    at_most: tokens of a row that are read; by default all.
  """
  drawn = rows.select(np.random.default_rng(seed).choice(len(rows), min(_ROWS, len(rows)), replace=False))
  drawn = drawn.select(range(min(len(drawn), 1 + int(np.searchsorted(np.cumsum(row_length(drawn)), _TOKENS)))))
  source = BatchSource(
    drawn.select_columns([name for name in ("input_ids", "token_type_ids") if name in drawn.column_names]),
    batch_size=min(_BATCH, len(drawn)),
    lengths=bucket_lengths(row_length(drawn), number=2, at_most=at_most),
    shuffle=False,
    pad_id=pad_id,
  )
  return [source[step] for step in range(len(source))]


def make_start(
  run: TaskRun, teacher: Finished, student: Pretrained, layers: LayerMap, about: str, *, name: str = STAGE
) -> Finished:
  """Returns the stage `name`: the student before its training, with weights made from the teacher's.

  Args:
    run: the task, on a sample of whose transfer rows the weights are fitted.
    teacher: whose weights they are made from.
    student: its shape, and parameters that are not kept.
    layers: the teacher's that the student's are made from.
    about: a sentence for the model card.
    name: of the stage.

  Raises:
    InputError: a student that this teacher's weights do not make.
  """

  def make(work: Path) -> Made:
    batches = sample(run.rows.transfer, seed=run.seed, pad_id=student.config.pad_token_id)
    params = inherited.inherit(teacher.pretrained(), student.config, layers, batches)
    if student.config.sentence is not None:
      encoder = params.get("encoder", params)
      params = inherited_sentences.with_head(teacher.pretrained(), student.config, encoder, batches)
    return Made(student.config, params, dev_scores(run, run.task.head.module(student.config, run.dtype), params))

  inputs = {
    "teacher": teacher.fingerprint,
    "student": fingerprint.of_text(repr(student.config)),
    "layer_map": layers,
    "method": inherited.METHOD,
  }
  return run.stage(name, run.rows.of_transfer, inputs, make, about, ("teacher",))


def is_enough(folder: Path, named: Sequence[str]) -> bool:
  """Whether prediction distillation follows inherited weights at once.

  That is where the stages of a run name no intermediate distillation, and its folder has none.
  """
  return "intermediate" not in named and not holds_anything(folder / "intermediate")


def projections(run: TaskRun, teacher: Finished, student: Finished, layers: LayerMap) -> dict[str, Any]:
  """Returns the projections of intermediate distillation that fit the student's states to the teacher's best."""
  batches = sample(run.rows.transfer, seed=run.seed, pad_id=student.model.config.pad_token_id)
  return inherited.fit_projections(teacher.pretrained(), student.pretrained(), layers, batches)
