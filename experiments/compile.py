"""The step of general distillation compiled for TPUs that are not there: `python -m experiments.compile`."""

import dataclasses
import functools
import importlib.util
import json
import os
import re
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import Sharding

from tinybert_jax.choices import AttentionForm
from tinybert_jax.cli import command_line
from tinybert_jax.cli.options import IntermediateOptions
from tinybert_jax.distillation import objectives
from tinybert_jax.distillation.layer_map import layer_map
from tinybert_jax.distillation.term_choice import TermOptions
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig, load_config
from tinybert_jax.models.encoder import Encoder, parameter_shapes, rounded_once
from tinybert_jax.models.fused_attention import MAX_LENGTH
from tinybert_jax.pipeline import students
from tinybert_jax.training import optim, steps


class Chip(NamedTuple):
  """The published peaks of a chip: bfloat16 FLOP/s, bytes of memory moved a second, and bytes of memory."""

  flops: float
  bandwidth: float
  memory: float


# From the vendor's pages on each generation.
CHIPS = {
  "v4": Chip(275e12, 1228e9, 32e9),
  "v5e": Chip(197e12, 819e9, 16e9),
  "v5p": Chip(459e12, 2765e9, 95e9),
  "v6e": Chip(918e12, 1640e9, 32e9),
}
# Read by libtpu as it loads. It would ask the cloud which machine this is, and wait; its lock keeps two programs off a
# chip, and compiling takes no chip. The type is of the machine that is not there; what is compiled for is the topology.
_ENVIRONMENT = {
  "TPU_SKIP_MDS_QUERY": "1",
  "TPU_WORKER_HOSTNAMES": "localhost",
  "TPU_ACCELERATOR_TYPE": "v5e-4",
  "TPU_LOG_DIR": "disabled",
  "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_COLLECTIVE = re.compile(rf" = (.*?) ({'|'.join(COLLECTIVES)})(-start|-done)?\(")
_SHAPE = re.compile(r"\b([a-z]+)(\d*)\w*\[([\d,]*)\]")


@dataclasses.dataclass(frozen=True)
class Options:
  """Compile the step of general distillation for TPUs, with none there, and print what a step costs each of them.

  Nothing is run on a TPU. The compiler counts the FLOPs and the bytes of its program, and the roofline divides them by
  the chip's published peaks: it bounds the speed from above, and is no measurement of it. It leaves out the time of
  the collectives, of the vector unit and of reading the data.
  """

  topology: str = "v5e:4x4"
  """Chips and their arrangement: v5e:2x2 to v5e:16x16, v4:2x2x1, v5p:2x2x1, v6e:2x2 and the like."""
  chips: int | None = None
  """Number of chips of the topology to compile for; by default all."""
  teacher: str = "bert-base"
  """Shape of the teacher: a preset, a config.json, or a directory that holds one."""
  student: str = "tinybert-4l-312d"
  """Shape of the student: a preset, a config.json, or a directory that holds one."""
  batch_size: int = 256
  """Sequences in the batch of one chip."""
  max_length: int = 128
  """Tokens in a sequence."""
  dtype: Literal["bfloat16", "float32"] = "bfloat16"
  """Type of the inputs of matrix products."""
  dropout: bool = True
  """Compile the student with dropout, as in a run."""
  intermediate: IntermediateOptions = dataclasses.field(default_factory=TermOptions)
  attention: AttentionForm = "plain"
  """How attention is computed. fused: by kernels that keep the scores on the chip."""
  shard_params: bool = False
  """Split parameters and optimizer state over the chips."""
  accumulate: int = 1
  """Micro-batches that a chip's batch is computed in."""
  json: Path | None = None
  """File for the figures."""
  hlo: Path | None = None
  """File for the text of the compiled program."""
  debug: bool = False
  """Show the traceback of an error."""


def main(options: Options) -> None:
  """Compiles, prints the figures, and writes the files asked for."""
  check(options)
  devices, chip = find_devices(options)
  start = time.monotonic()
  compiled = lower(options, devices).compile()
  seconds = time.monotonic() - start
  text = compiled.as_text()
  figures = {
    "chips": len(devices),
    "compile_seconds": round(seconds, 1),
    **costs(compiled),
    "collectives": collectives(text),
  }
  figures["roofline"] = roofline(figures["flops"], figures["bytes_accessed"], options.batch_size, chip)
  print(describe(options, figures, chip))
  if options.json:
    options.json.write_text(
      json.dumps({"options": command_line.as_json(options), **figures}, indent=2) + "\n", encoding="utf-8"
    )
  if options.hlo:
    options.hlo.write_text(text, encoding="utf-8")


def check(options: Options) -> None:
  """Raises InputError for a size below 1 or too long for the kernels, an unknown chip, or where libtpu is missing."""
  for name in ("chips", "batch_size", "max_length", "accumulate"):
    value = getattr(options, name)
    if value is not None and value < 1:
      raise InputError(f"--{name.replace('_', '-')} {value}: it must be at least 1")
  if options.attention == "fused" and options.max_length > MAX_LENGTH:
    raise InputError(f"--max-length {options.max_length}: --attention fused takes {MAX_LENGTH} tokens at most")
  if options.topology.partition(":")[0] not in CHIPS:
    raise InputError(f"--topology {options.topology}: no known chip; it is one of {', '.join(CHIPS)}, as in v5e:4x4")
  for file in (options.json, options.hlo):
    if file and not file.parent.is_dir():
      raise InputError(f"{file}: there is no folder {file.parent}")
  if importlib.util.find_spec("libtpu") is None:
    raise InputError("libtpu, the compiler for TPU, is not installed; pip install 'tinybert_jax[tpu]' brings it")


def find_devices(options: Options) -> tuple[list[jax.Device], Chip]:
  """Returns the devices to compile for, which need not exist, and their kind of chip."""
  for variable, value in _ENVIRONMENT.items():
    os.environ.setdefault(variable, value)
  name = options.topology.partition(":")[0]
  jax.config.update("jax_platforms", "cpu")
  try:
    topology = topologies.get_topology_desc(
      topology_name=options.topology,
      platform="tpu",
      chip_config_name="megacore" if name == "v4" else "default",  # the two cores of a v4 chip as one device
    )
  except jax.errors.JaxRuntimeError as error:
    reason = str(error).splitlines()[0]
    raise InputError(f"--topology {options.topology}: libtpu has no such arrangement ({reason})") from error
  devices = list(topology.devices)
  if options.chips and options.chips > len(devices):
    raise InputError(f"--chips {options.chips}: {options.topology} has {len(devices)}")
  return devices[: options.chips], CHIPS[name]


def lower(options: Options, devices: list[jax.Device]) -> jax.stages.Lowered:
  """Returns the step that `experiments.general` runs, traced for those devices; nothing is allocated."""
  dtype = jnp.dtype(options.dtype)
  student, teacher = (Encoder(_config(name, options), dtype, dtype) for name in (options.student, options.teacher))
  try:
    layers = layer_map("uniform", student.config.num_hidden_layers, teacher.config.num_hidden_layers)
  except ValueError as error:
    raise InputError(f"--student {options.student}: {error}") from error
  terms = students.choose_terms(options.student, options.intermediate, student.config, teacher.config)
  if options.batch_size % options.accumulate:
    raise InputError(f"--batch-size {options.batch_size}: no multiple of --accumulate {options.accumulate}")
  rows = options.batch_size * len(devices)
  optimizer = optim.adamw(optim.schedule(1e-4, 1000))
  mesh = steps.data_mesh(devices)
  state = jax.eval_shape(lambda: _state(student, teacher.config, optimizer))
  sharding = steps.state_sharding(state, mesh, "sharded" if options.shard_params else "replicated")
  loss_fn = objectives.intermediate_distillation(
    student, teacher, layers, attention=options.attention, **terms._asdict()
  )
  update = steps.make_update(loss_fn, optimizer, dropout=options.dropout, accumulate=options.accumulate)
  frozen = jax.eval_shape(functools.partial(rounded_once, teacher), parameter_shapes(teacher))
  tokens = jax.ShapeDtypeStruct((rows, options.max_length), jnp.int32)
  batch = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), tokens)
  batch["example_weight"] = jax.ShapeDtypeStruct((rows,), jnp.float32)
  return steps.mesh_update(update, mesh, sharding).lower(
    jax.tree.map(_placed, state, sharding),
    jax.tree.map(lambda leaf: _placed(leaf, steps.replicated(mesh)), frozen),
    jax.tree.map(lambda leaf: _placed(leaf, steps.batch_sharding(mesh)), batch),
  )


def _config(name: str, options: Options) -> EncoderConfig:
  config = load_config(name)
  if options.max_length > config.longest:
    raise InputError(f"--max-length {options.max_length}: {name} has positions for {config.longest} tokens")
  return config


def _state(student: Encoder, teacher: EncoderConfig, optimizer: Any) -> steps.TrainState:
  params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), parameter_shapes(student))
  projections = objectives.initialize_projections(student.config, teacher, jax.random.key(0))
  return steps.create_state({**params, "projections": projections}, optimizer, steps.random_key(0))


def _placed(leaf: jax.ShapeDtypeStruct, sharding: Sharding) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def costs(compiled: jax.stages.Compiled) -> dict[str, Any]:
  """Returns what the compiler says of the program of one chip: FLOPs, and bytes accessed and of memory.

  The bytes accessed are those of every instruction's operands and results, wherever they lie: what is copied to the
  chip's fast memory ahead of its use counts again where it is used.
  """
  cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
  return {
    "flops": cost["flops"],
    "bytes_accessed": cost["bytes accessed"],
    "memory": {
      "arguments": memory.argument_size_in_bytes,
      "temporaries": memory.temp_size_in_bytes,
      "outputs": memory.output_size_in_bytes,
      "donated": memory.alias_size_in_bytes,  # outputs that take the place of arguments
    },
  }


def collectives(text: str) -> dict[str, dict[str, int]]:
  """Returns number and bytes of results of each kind of collective in a program's text, of kinds that are there.

  A collective in two halves, -start and -done, counts once; one in a loop does too.
  """
  found: dict[str, dict[str, int]] = {}
  for shape, kind, half in _COLLECTIVE.findall(text):
    if half == "-start":
      continue  # its shape may hold the operands as well
    entry = found.setdefault(kind, {"number": 0, "bytes": 0})
    entry["number"] += 1
    entry["bytes"] += _bytes(shape)
  return found


def _bytes(shape: str) -> int:
  """Returns the bytes of a shape or a tuple of shapes such as `(f32[8,128]{1,0}, bf16[4]{0})`, without padding."""
  total = 0
  for name, bits, sizes in _SHAPE.findall(shape):
    number = 1
    for size in filter(None, sizes.split(",")):
      number *= int(size)
    total += number * (1 if name == "pred" else int(bits) // 8)
  return total


def roofline(flops: float, bytes_accessed: float, sequences: int, chip: Chip) -> dict[str, float]:
  """Returns milliseconds that FLOPs and bytes need at the chip's peaks, and sequences a second and chip at the larger.

  Args:
    flops: of one chip's program.
    bytes_accessed: likewise.
    sequences: that a chip takes in a step.
    chip: its peaks.
  """
  flop_seconds, byte_seconds = flops / chip.flops, bytes_accessed / chip.bandwidth
  return {
    "flops_ms": 1e3 * flop_seconds,
    "bytes_ms": 1e3 * byte_seconds,
    "sequences_per_second": sequences / max(flop_seconds, byte_seconds),
  }


def describe(options: Options, figures: dict[str, Any], chip: Chip) -> str:
  """Returns the figures in words."""
  memory = {name: f"{value / 1e9:.2f}" for name, value in figures["memory"].items()}
  named = (f"{v['number']} {kind} of {v['bytes'] / 1e6:.1f} MB" for kind, v in figures["collectives"].items())
  bound = figures["roofline"]
  return (
    f"{options.teacher} -> {options.student}, {options.dtype}, {'with' if options.dropout else 'without'} dropout, "
    f"{options.attention} attention; "
    f"{options.topology}, {figures['chips']} chip(s), {options.batch_size} rows of {options.max_length} tokens each, "
    f"compiled in {figures['compile_seconds']:.0f} s\n"
    "A step of each chip:\n"
    f"  memory       {memory['arguments']} GB of arguments, {memory['temporaries']} GB of temporaries, "
    f"{memory['outputs']} GB of outputs ({memory['donated']} GB in the arguments' place); "
    f"the chip has {chip.memory / 1e9:.0f} GB\n"
    f"  work         {figures['flops'] / 1e12:.2f} TFLOP, {figures['bytes_accessed'] / 1e9:.1f} GB accessed\n"
    f"  collectives  {', '.join(named) or 'none'}\n"
    f"  roofline     {bound['flops_ms']:.1f} ms for the FLOPs, {bound['bytes_ms']:.1f} ms for the bytes: "
    f"at most {bound['sequences_per_second']:,.0f} sequences/s and chip\n"
    "Nothing ran on a TPU: the roofline is a bound from published peaks, not a speed."
  )


if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.compile")
