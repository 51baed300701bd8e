"""General distillation: the stage that makes a general student, and its losses on held-out text."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import jax
import jax.numpy as jnp
import numpy as np

from tinybert_jax.choices import AttentionForm
from tinybert_jax.data import fingerprint
from tinybert_jax.data.batches import BatchSource, bucket_lengths, row_length
from tinybert_jax.distillation import inherited, objectives
from tinybert_jax.distillation.layer_map import LayerMap
from tinybert_jax.distillation.losses import WeightedSum
from tinybert_jax.distillation.term_choice import PAPERS_TERMS, TermChoice
from tinybert_jax.distillation.terms import HELD_OUT, keys_by_term
from tinybert_jax.models.encoder import Encoder, rounded_once
from tinybert_jax.models.model_card import ModelCard
from tinybert_jax.models.pretrained import Pretrained
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline import cards, inheritance, stages
from tinybert_jax.pipeline.cards import Origin
from tinybert_jax.pipeline.stages import Made
from tinybert_jax.training import fit as training
from tinybert_jax.training.fit import Recipe
from tinybert_jax.training.hosts import say
from tinybert_jax.training.loop import Every, TrainResult

_SELDOM = 50  # steps at least between two evaluations or checkpoints by default, which take longer than a step
HELD_OUT_ROWS = 2048  # that the losses are measured on, at most


@dataclasses.dataclass(frozen=True)
class Sequences:
  """Training rows, held-out rows or None, and the fingerprint of both."""

  training: datasets.Dataset
  held_out: datasets.Dataset | None
  fingerprint: str


@dataclasses.dataclass(frozen=True)
class Settings:
  """How a general student trains.

  Attributes:
    recipe: of the training.
    max_length: tokens in a sequence.
    seed: random seed for projections, order of sequences and dropout.
    dtype: of the inputs of matrix products.
    attention: how attention is computed.
    terms: of the loss.
    log_every: steps between two rows of the log.
    evaluate_every: steps between measuring the held-out losses; by default a twentieth of the run, from 50 to 5,000.
    checkpoint_every: steps between checkpoints; by default a twentieth of the run, from 50 to 1,000.
    inherits: whether the student's first weights are made from the teacher's.
  """

  recipe: Recipe
  max_length: int = 128
  seed: int = 0
  dtype: Any = jnp.float32
  attention: AttentionForm = "plain"
  terms: TermChoice = PAPERS_TERMS
  log_every: int = 20
  evaluate_every: int | None = None
  checkpoint_every: int | None = None
  inherits: bool = False


def make_student(
  folder: Path,
  teacher: Pretrained,
  student: Pretrained,
  layers: LayerMap,
  sequences: Sequences,
  settings: Settings,
  tokenizer: Tokenizer,
  about: str,
  origin: Origin,
) -> None:
  """Sees to it that `folder` holds the general student: trains it, goes on with that, or finds it there.

  The folder is a Hugging Face directory with the log of its training in `training/`. Of several processes all call it.

  Args:
    folder: of the student.
    teacher: an encoder that is not fine-tuned.
    student: to start from.
    layers: the teacher's layer for each of the student's.
    sequences: of packed text.
    settings: how the student trains.
    tokenizer: of both, saved with the student.
    about: a sentence for the model card.
    origin: what models and text are called where they came from, for the card too.

  Raises:
    InputError: the folder holds something else.
    RunStopped: Ctrl-C, SIGTERM, or too many skipped updates; the state is saved before.
  """

  def make(work: Path) -> Made:
    result = _fit(work, teacher, student, layers, sequences, settings)
    held_out = {name: value for row in result.history for name, value in row.items() if name.startswith(HELD_OUT)}
    kept = {"rows": len(sequences.training), **held_out}
    return Made(student.config, {name: jax.device_get(result.params[name]) for name in student.params}, kept)

  made_from = inputs(teacher, student, layers, sequences, settings)

  def card(kept: Mapping[str, Any], seconds: float) -> ModelCard:
    return cards.of_stage(folder.parent, made_from, kept, seconds, origin, split="held out")

  stages.build_model(folder, made_from, make, tokenizer, about, card)


def _fit(
  directory: Path,
  teacher: Pretrained,
  student: Pretrained,
  layers: LayerMap,
  sequences: Sequences,
  settings: Settings,
) -> TrainResult:
  recipe = settings.recipe
  model, teacher_model = (Encoder(each.config, settings.dtype) for each in (student, teacher))
  steps = recipe.total_steps(len(sequences.training))
  say(f"steps    {steps:,}, {-(-len(sequences.training) // recipe.batch_size):,} in a pass over the text")
  if settings.inherits:
    batches = inheritance.sample(sequences.training, seed=settings.seed, pad_id=student.config.pad_token_id)
    student = student._replace(params=inherited.inherit(teacher, student.config, layers, batches))
    projections = inherited.fit_projections(teacher, student, layers, batches)
  else:
    key = jax.random.key(settings.seed + 1)
    projections = objectives.initialize_projections(student.config, teacher.config, key)
  distillation = functools.partial(
    objectives.intermediate_distillation, model, teacher_model, layers, **settings.terms._asdict()
  )
  evaluate = None
  if sequences.held_out is not None:
    number = len(sequences.held_out)  # evenly spread over all sources of text
    rows = sequences.held_out.select(np.linspace(0, number - 1, min(number, HELD_OUT_ROWS)).astype(int))
    # In one length and one shape: the losses are sums over tokens, which neither padding nor batches change.
    fixed = BatchSource(
      rows,
      batch_size=recipe.batch_size // recipe.accumulate,
      lengths=(settings.max_length,),
      shuffle=False,
      pad_id=student.config.pad_token_id,
      process=jax.process_index(),
      processes=jax.process_count(),
    )
    # By plain attention: it is computed outside the update, which tells the kernels of the mesh.
    evaluate = held_out_losses(distillation(), fixed)
  twentieth = math.ceil(steps / 20)
  return training.fit(
    directory,
    distillation(attention=settings.attention),
    {**student.params, "projections": projections},
    sequences.training,
    recipe,
    seed=settings.seed,
    pad_id=student.config.pad_token_id,
    lengths=buckets(sequences.training, settings.max_length, recipe.batch_size),
    teacher_params=rounded_once(teacher_model, teacher.params),
    evaluate=evaluate,
    every=Every(
      log=settings.log_every,
      evaluate=settings.evaluate_every or min(max(twentieth, _SELDOM), 5000),
      checkpoint=settings.checkpoint_every or min(max(twentieth, _SELDOM), 1000),
    ),
    title="general",
  )


def held_out_losses(loss_fn: objectives.LossFn, batches: BatchSource) -> training.Evaluate:
  """Returns the function of the parameters that gives their losses without dropout, means over all of `batches`."""
  terms = jax.jit(lambda params, teacher_params, batch: loss_fn(params, teacher_params, batch, None))

  def evaluate(params: objectives.Params, teacher_params: objectives.Params, place: Callable) -> dict[str, float]:
    # Fetched at the end, so that the device has the next batch before its result of this one is read.
    parts = jax.device_get([terms(params, teacher_params, place(batch)) for batch in batches])
    means = {
      f"{HELD_OUT}{name}": float(sum((part[name] for part in parts), WeightedSum(np.zeros(()), np.zeros(()))).mean())
      for name in parts[0]
    }
    return {f"{HELD_OUT}loss": sum(means.values()), **means}

  return evaluate


def inputs(
  teacher: Pretrained, student: Pretrained, layers: LayerMap, sequences: Sequences, settings: Settings
) -> dict[str, Any]:
  """Returns what a run's numbers depend on, which are not how it is laid out over devices."""
  recipe = settings.recipe
  return {
    "task": "general",
    "stage": "model",
    "teacher": fingerprint.of_model(teacher.config, teacher.params),
    "student": fingerprint.of_model(student.config, student.params),
    "sequences": sequences.fingerprint,
    "layer_map": layers,
    **settings.terms.as_inputs(),
    "batch_size": recipe.batch_size,
    "epochs": recipe.epochs if recipe.steps is None else None,
    "steps": recipe.steps,
    "dtype": jnp.dtype(settings.dtype).name,
    "learning_rate": recipe.learning_rate,
    "warmup": recipe.warmup,
    "decay": recipe.decay,
    "seed": settings.seed,
    **({"student_from": f"teacher, method {inherited.METHOD}"} if settings.inherits else {}),
  }


def buckets(rows: datasets.Dataset, max_length: int, batch_size: int) -> tuple[int, ...]:
  """Returns the lengths to pad to: packed text is mostly of full length, so few are worth a program."""
  sample = row_length(rows)[:: max(1, len(rows) // 100_000)]
  lengths = bucket_lengths(sample, number=1 if len(rows) < 20 * batch_size else 3)
  return (*(length for length in lengths if length < max_length), max_length)


def by_term(losses: Mapping[str, float]) -> str:
  """Returns the last losses summed over the layers, in words: those on held-out text where there are any."""
  prefix = HELD_OUT if f"{HELD_OUT}loss" in losses else ""
  own = {name.removeprefix(prefix): value for name, value in losses.items() if name.startswith(prefix)}
  terms = keys_by_term(own)
  in_order = sorted(terms, key=lambda term: (term not in own, term))  # those of single layers come last
  return ", ".join(f"{term} {sum(own[key] for key in terms[term]):.4f}" for term in in_order)
