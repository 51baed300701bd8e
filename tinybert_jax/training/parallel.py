"""A training step laid out over all devices, of one process or several: over a mesh, sharded, or by pmap."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tinybert_jax.choices import Form
from tinybert_jax.data.batches import NumpyBatch
from tinybert_jax.distillation.objectives import Params
from tinybert_jax.models.encoder import Batch
from tinybert_jax.training import steps
from tinybert_jax.training.steps import AXIS, TrainState, Update


def data_parallel(
  make: Callable[..., Update], state: TrainState, teacher_params: Params, batch_size: int, form: Form = "mesh"
) -> tuple[Update, TrainState, Params, Callable[[NumpyBatch], Batch]]:
  """Returns the compiled update, its placed state and teacher, and what places a batch: on all devices there are.

  In one process: on one device where the batch cannot be divided among all of them. Of several, all call it with the
  same arguments, and each places its own rows of a batch, as `BatchSource` gives them.

  Args:
    make: `functools.partial(make_update, loss_fn, optimizer)`, with further options of `make_update`.
    state: from `create_state`.
    teacher_params: handed to the update.
    batch_size: rows in a batch, all processes' together.
    form: see `Form`.

  Raises:
    ValueError: several processes, or pmap, and a batch that cannot be divided among all devices.
  """
  devices = jax.device_count()
  if jax.process_count() == 1 and form != "pmap" and (devices == 1 or batch_size % devices):
    return steps.jit_update(make()), state, jax.device_put(teacher_params), jax.device_put
  if batch_size % devices:
    raise ValueError(f"a batch of {batch_size} rows cannot be divided among {devices} devices")
  mesh = steps.data_mesh()
  sharding = steps.state_sharding(state, mesh, "sharded" if form == "sharded" else "replicated")
  update = _pmapped(make, mesh) if form == "pmap" else steps.mesh_update(make(), mesh, sharding)
  state = jax.tree.map(_place_leaf, state, sharding)
  teacher_params = jax.tree.map(lambda leaf: _place_leaf(leaf, steps.replicated(mesh)), teacher_params)
  return update, state, teacher_params, functools.partial(place_rows, mesh)


def place_rows(mesh: Mesh, batch: NumpyBatch) -> Batch:
  """Returns a batch over the devices of a mesh, put together from the rows that each process gives."""
  return {
    name: jax.make_array_from_process_local_data(steps.batch_sharding(mesh), np.asarray(value))
    for name, value in batch.items()
  }


def gather(tree: Any) -> Any:
  """Returns a tree of arrays over one mesh with every leaf whole on each device; of several processes all call it."""
  leaves = jax.tree.leaves(tree)
  if all(leaf.is_fully_replicated for leaf in leaves):
    return tree
  mesh = next(leaf.sharding.mesh for leaf in leaves if not leaf.is_fully_replicated)
  return jax.jit(lambda leaves: leaves, out_shardings=steps.replicated(mesh))(tree)


def local(tree: Any) -> Any:
  """Returns a tree whose arrays are whole on every device, as arrays of this process alone."""

  def own(leaf: Any) -> Any:
    return leaf.addressable_data(0) if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable else leaf

  return jax.tree.map(own, tree)


def mapped_axis() -> str | None:
  """Returns the name of the axis that a batch is split over, where this is traced inside a pmapped update; else None.

  Losses that compare the rows of a batch with each other gather them over it.
  """
  try:
    jax.lax.axis_index(AXIS)
  except NameError:  # what JAX raises for an axis that is not bound
    return None
  return AXIS


def _place_leaf(leaf: Any, sharding: NamedSharding) -> jax.Array:
  """Returns a leaf that every process has, as one array over the devices of all; no word goes between them."""
  if jax.process_count() == 1:
    return jax.device_put(leaf, sharding)
  if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    return jax.random.wrap_key_data(_place_leaf(jax.random.key_data(leaf), sharding), impl=jax.random.key_impl(leaf))
  whole = np.asarray(leaf)
  return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])


def _pmapped(make: Callable[..., Update], mesh: Mesh) -> Update:
  """Returns the pmapped update of a state without a device axis, so that a run goes on in any form.

  A pmap of several processes sees its own process's devices alone, so arrays change their mesh, not their place.
  """
  local = steps.data_mesh(list(mesh.local_devices))
  mapped = jax.pmap(
    make(axis_name=AXIS), axis_name=AXIS, in_axes=(None, None, 0), out_axes=(None, None), donate_argnums=0
  )

  def update(state: TrainState, teacher_params: Params, batch: Batch) -> tuple[TrainState, dict]:
    rows = jax.tree.map(functools.partial(_on, local, PartitionSpec(AXIS)), batch)
    state, teacher_params = jax.tree.map(functools.partial(_on, local, PartitionSpec()), (state, teacher_params))
    results = mapped(state, teacher_params, steps.split_batch(rows, local.size))
    return jax.tree.map(functools.partial(_on, mesh, PartitionSpec()), results)

  return update


def _on(mesh: Mesh, spec: PartitionSpec, array: jax.Array) -> jax.Array:
  """Returns an array whose pieces stay where they are, of another mesh with the same local devices."""
  if jax.process_count() == 1:
    return array
  pieces = [piece.data for piece in array.addressable_shards]
  shape = array.shape
  if spec != PartitionSpec():
    shape = (sum(piece.shape[0] for piece in pieces), *shape[1:])
  return jax.make_array_from_single_device_arrays(shape, NamedSharding(mesh, spec), pieces)
