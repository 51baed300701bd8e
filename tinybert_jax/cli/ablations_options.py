"""The options of `python -m experiments.ablations`: those of `glue`, and what is compared."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tinybert_jax.cli import glue_options
from tinybert_jax.cli.glue_options import PAPERS_STUDENT
from tinybert_jax.settings import AT_LEAST_1, SEED

Table = Literal["paper-2", "paper-3", "paper-4", "ours"]
TABLES: tuple[Table, ...] = ("paper-2", "paper-3", "paper-4", "ours")
VariantName = Literal[
  "without-general",
  "without-task",
  "without-augmentation",
  "without-embedding",
  "without-prediction",
  "without-attention",
  "without-hidden",
  "without-layers",
  "uniform-map",
  "top-map",
  "bottom-map",
  "inherited",
  "random-start",
  "relations",
  "float32",
  "bfloat16",
  "trimmed-vocabulary",
  "whole-vocabulary",
]
_STAGES: tuple[glue_options.Stage, ...] = ("augmented", "teacher", "intermediate", "prediction")


@dataclasses.dataclass(frozen=True)
class Options(glue_options.Options):
  """Train variants of a distillation on GLUE's tasks, each with one thing left out or changed: the paper's Tables 2, 3
  and 4, and ours. Writes tables with means and spreads over seeds, and a picture.

  python -m experiments.ablations --tasks cola rte --seeds 0 1 2 --pretrained ./bert --student ./general-tinybert

  The base, which all variants are compared with, is the run of `glue` that the other options describe. What variants
  have in common is made once. The same command goes on where it stopped.
  """

  task: tyro.conf.SuppressFixed[tyro.conf.Fixed[str]] = ""
  stages: tyro.conf.SuppressFixed[tyro.conf.Fixed[tuple[glue_options.Stage, ...]]] = _STAGES
  seed: tyro.conf.SuppressFixed[tyro.conf.Fixed[int]] = 0
  prediction_targets: tyro.conf.SuppressFixed[tyro.conf.Fixed[Literal["teacher", "labels"]]] = "teacher"
  recipe: tyro.conf.SuppressFixed[tyro.conf.Fixed[Literal["paper", "small-data"]]] = "paper"
  minutes: tyro.conf.SuppressFixed[tyro.conf.Fixed[float]] = 30.0
  student_width: tyro.conf.SuppressFixed[tyro.conf.Fixed[int | None]] = None
  leaderboard: tyro.conf.SuppressFixed[tyro.conf.Fixed[bool]] = False
  zip: tyro.conf.SuppressFixed[tyro.conf.Fixed[bool]] = False
  student: str = PAPERS_STUDENT
  """Preset (tinybert-4l-312d, tinybert-6l-768d, bert-base), config.json, model directory or hub id, such as
  huawei-noah/TinyBERT_General_4L_312D."""
  out: Path = Path("runs/ablations")
  """Folder for everything that the command writes; the tables and the picture are directly in it."""
  tasks: tuple[str, ...] = ("cola", "mrpc", "rte", "sts-b")
  """Tasks of GLUE: cola, sst-2, mrpc, sts-b, qqp, mnli, qnli, rte, wnli."""
  seeds: Annotated[tuple[int, ...], SEED] = (0,)
  """Random seeds; with several the tables tell means and standard deviations."""
  tables: tuple[Table, ...] = TABLES
  """Tables to make."""
  variants: tuple[VariantName, ...] = ()
  """Make these variants alone, of whichever table."""
  list: bool = False
  """Say which variants there are, and end."""
  trimmed_to: Annotated[int, AT_LEAST_1] = 8000
  """Tokens of the student in the variant trimmed-vocabulary, see --vocabulary."""
