"""The training of a general student, and its losses on held-out text."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import datasets
import jax
import jax.numpy as jnp
import numpy as np

from experiments.general.options import Options
from tinybert_jax.data import fingerprint
from tinybert_jax.data.batches import BatchSource, bucket_lengths, row_length
from tinybert_jax.distillation import objectives
from tinybert_jax.distillation.layer_map import LayerMap
from tinybert_jax.distillation.losses import WeightedSum
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Batch, Encoder
from tinybert_jax.models.pretrained import Pretrained
from tinybert_jax.training import optim, steps
from tinybert_jax.training.hosts import say
from tinybert_jax.training.loop import Every, TrainResult, train
from tinybert_jax.training.parallel import Form, data_parallel, gather

HELD_OUT_ROWS = 2048  # that the losses are measured on, at most


@dataclasses.dataclass(frozen=True)
class Sequences:
  """Training rows, held-out rows or None, and the fingerprint of both."""

  training: datasets.Dataset
  held_out: datasets.Dataset | None
  fingerprint: str


def fit(
  options: Options, teacher: Pretrained, student: Pretrained, layers: LayerMap, sequences: Sequences
) -> TrainResult:
  """Returns the result of training `student` on `teacher`, its last parameters whole on every device."""
  dtype = compute_dtype(options)
  model, teacher_model = Encoder(student.config, dtype), Encoder(teacher.config, dtype)
  batch_size = global_batch_size(options)
  batches = functools.partial(
    BatchSource,
    batch_size=batch_size,
    lengths=buckets(options, sequences.training, batch_size),
    pad_id=student.config.pad_token_id,
    process=jax.process_index(),
    processes=jax.process_count(),
  )
  source = batches(sequences.training, epochs=options.epochs, steps=options.steps, seed=options.seed)
  say(f"steps    {len(source):,}, {source.steps_per_epoch:,} in a pass over the text")
  projections = objectives.initialize_projections(student.config, teacher.config, jax.random.key(options.seed + 1))
  distillation = functools.partial(objectives.intermediate_distillation, model, teacher_model, layers)
  loss_fn = distillation(attention=options.attention)
  optimizer = optim.adamw(
    optim.schedule(options.learning_rate, len(source), warmup=options.warmup, decay=options.decay)
  )
  update, state, teacher_params, place = data_parallel(
    functools.partial(steps.make_update, loss_fn, optimizer, accumulate=options.accumulate),
    steps.create_state({**student.params, "projections": projections}, optimizer, steps.random_key(options.seed)),
    teacher.params,
    batch_size,
    parallel_form(options),
  )
  evaluate = None
  if sequences.held_out is not None:
    number = len(sequences.held_out)  # evenly spread over all sources of text
    rows = sequences.held_out.select(np.linspace(0, number - 1, min(number, HELD_OUT_ROWS)).astype(int))
    # In one length and one shape: the losses are sums over tokens, which neither padding nor batches change.
    fixed = batches(rows, batch_size=batch_size // options.accumulate, lengths=(options.max_length,), shuffle=False)
    # By plain attention: it is computed outside the update, which tells the kernels of the mesh.
    evaluate = held_out_losses(distillation(), teacher_params, fixed, place)
  twentieth = math.ceil(len(source) / 20)
  result = train(
    options.out / "training",
    update,
    state,
    teacher_params,
    source,
    evaluate=evaluate,
    every=Every(
      log=options.log_every,
      evaluate=options.evaluate_every or min(twentieth, 5000),
      checkpoint=options.checkpoint_every or min(twentieth, 1000),
    ),
    config=inputs(options, teacher.config, teacher.params, student, layers, sequences, batch_size),
    title="general",
    place=place,
  )
  return result._replace(params=gather(result.params))


def held_out_losses(
  loss_fn: objectives.LossFn, teacher_params: objectives.Params, batches: BatchSource, place: Callable[[Batch], Batch]
) -> Callable[[objectives.Params], Mapping[str, float]]:
  """Returns the function of the parameters that gives their losses without dropout, means over all of `batches`."""
  terms = jax.jit(lambda params, teacher_params, batch: loss_fn(params, teacher_params, batch, None))

  def evaluate(params: objectives.Params) -> dict[str, float]:
    # Fetched at the end, so that the device has the next batch before its result of this one is read.
    parts = jax.device_get([terms(params, teacher_params, place(batch)) for batch in batches])
    means = {
      f"held_out_{name}": float(sum((part[name] for part in parts), WeightedSum(np.zeros(()), np.zeros(()))).mean())
      for name in parts[0]
    }
    return {"held_out_loss": sum(means.values()), **means}

  return evaluate


def inputs(
  options: Options,
  teacher: EncoderConfig,
  teacher_params: objectives.Params,
  student: Pretrained,
  layers: LayerMap,
  sequences: Sequences,
  batch_size: int,
) -> dict[str, Any]:
  """Returns what a run's numbers depend on, which are not how it is laid out over devices."""
  return {
    "teacher": fingerprint.of_model(teacher, teacher_params),
    "student": fingerprint.of_model(student.config, student.params),
    "sequences": sequences.fingerprint,
    "layer_map": layers,
    "batch_size": batch_size,
    "epochs": options.epochs if options.steps is None else None,
    "steps": options.steps,
    "dtype": jnp.dtype(compute_dtype(options)).name,
    **{name: getattr(options, name) for name in ("learning_rate", "warmup", "decay", "seed")},
  }


def buckets(options: Options, rows: datasets.Dataset, batch_size: int) -> tuple[int, ...]:
  """Returns the lengths to pad to: packed text is mostly of full length, so few are worth a program."""
  sample = row_length(rows)[:: max(1, len(rows) // 100_000)]
  lengths = bucket_lengths(sample, number=1 if len(rows) < 20 * batch_size else 3)
  return (*(length for length in lengths if length < options.max_length), options.max_length)


def global_batch_size(options: Options) -> int:
  """Returns the sequences in a batch of all devices; InputError where the devices and parts cannot share them."""
  devices = jax.device_count()
  if options.batch_size_per_device:
    if options.batch_size_per_device % options.accumulate:
      raise InputError(
        f"--batch-size-per-device {options.batch_size_per_device}: it must be a multiple of --accumulate "
        f"({options.accumulate})"
      )
    return options.batch_size_per_device * devices
  size = options.batch_size
  parts = devices * options.accumulate
  if size % parts:
    raise InputError(
      f"--batch-size {size}: it must be a multiple of {parts}, the number of devices ({devices}) times "
      f"--accumulate ({options.accumulate})"
    )
  return size


def parallel_form(options: Options) -> Form:
  """Returns how the devices share the work; InputError for options that contradict each other."""
  if options.shard_params and options.parallel == "pmap":
    raise InputError("--shard-params goes with --parallel mesh: pmap keeps all parameters on every device")
  return "sharded" if options.shard_params else options.parallel


def compute_dtype(options: Options) -> jnp.dtype:
  """Returns the dtype of matrix products."""
  if options.dtype == "auto":
    return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
  return jnp.dtype(options.dtype)


def by_term(losses: Mapping[str, float]) -> str:
  """Returns the last losses summed over the layers, in words: those on held-out text where there are any."""
  kinds = ("embedding", "hidden", "attention")
  prefix = "held_out_" if "held_out_loss" in losses else ""
  sums = {
    kind: sum(value for name, value in losses.items() if name == prefix + kind or name.startswith(f"{prefix}{kind}_"))
    for kind in kinds
  }
  return ", ".join(f"{kind} {value:.4f}" for kind, value in sums.items())
