"""One pure update of the training state, and its three compiled forms: jit, jit over a mesh, and pmap."""

import functools
from collections.abc import Callable
from typing import Any, Literal

import flax
import jax
import jax.numpy as jnp
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from tinybert_jax.distillation.objectives import LossFn, Params
from tinybert_jax.models.encoder import Batch
from tinybert_jax.settings import Bound, check_number

AXIS = "data"
Metrics = dict[str, Array]


class TrainState(flax.struct.PyTreeNode):
  """What a step changes, and all that a run needs to go on.

  Attributes:
    step: updates so far, skipped ones included.
    params: the student's parameters, with the distillation's projections where the loss has them.
    opt_state: of the optimizer.
    key: the run's random key; a step folds its number in.
  """

  # Arrays; but JAX builds the same tree of shapes, shardings and the like.
  step: Any
  params: Any
  opt_state: Any
  key: Any


Update = Callable[[TrainState, Params, Batch], tuple[TrainState, Metrics]]


def create_state(params: Params, optimizer: optax.GradientTransformation, key: Array) -> TrainState:
  """Returns the state before the first step; it owns copies, so that donating it harms no other tree."""
  params = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), params)
  return TrainState(step=jnp.zeros((), jnp.int32), params=params, opt_state=optimizer.init(params), key=jnp.copy(key))


def random_key(seed: int) -> Array:
  """Returns the run's key, of the generator threefry, which every device runs on its own part of an array.

  The chip's own generator (`rbg`) is not divided so: each TPU of a mesh would draw the bits of all of them, and its
  work in a step would grow with their number (docs/scaling.md). On a CPU `rbg` was two to four times slower besides
  (`experiments.benchmark --suite dropout`, JAX 0.10).

  Raises:
    InputError: a seed that is no whole number from 0 to 2³² − 1.
  """
  check_number("seed", seed, Bound(least=0, most=2**32 - 1), whole=True)
  return jax.random.key(seed, impl="threefry2x32")


def make_update(
  loss_fn: LossFn,
  optimizer: optax.GradientTransformation,
  *,
  accumulate: int = 1,
  dropout: bool = True,
  axis_name: str | None = None,
) -> Update:
  """Returns update(state, teacher_params, batch) -> (state, metrics), pure and not compiled.

  The loss is the whole batch's: the terms' weights are added up over devices and micro-batches before
  anything is divided, so any split gives the same gradient.

  Args:
    loss_fn: from `distill`.
    optimizer: from `optim`, or any optax transformation.
    accumulate: micro-batches that the batch is computed in, to save memory; it must divide the batch.
    dropout: whether the student drops.
    axis_name: of the mapped axis that the batch is split over, inside `pmap` or `shard_map`.

  The metrics are `loss`, each term's mean by its name, `grad_norm`, and `skipped` and `skipped_in_a_row`,
  the updates left out because a gradient was not finite.
  """

  def over_devices(tree):
    return jax.lax.psum(tree, axis_name) if axis_name else tree

  def update(state: TrainState, teacher_params: Params, batch: Batch) -> tuple[TrainState, Metrics]:
    step_key = jax.random.fold_in(state.key, state.step)
    if axis_name:
      step_key = jax.random.fold_in(step_key, jax.lax.axis_index(axis_name))

    def loss(params, part, index, weights=None):
      terms = loss_fn(params, teacher_params, part, jax.random.fold_in(step_key, index) if dropout else None)
      if weights is None:
        weights = over_devices(_weights(terms))
      means = {name: term._replace(weight=weights[name]).mean() for name, term in terms.items()}
      return sum(means.values()), means

    gradient = jax.grad(loss, has_aux=True)
    if accumulate == 1:
      grads, means = gradient(state.params, batch, 0)
    else:
      parts, indices = _micro_batches(batch, accumulate), jnp.arange(accumulate)
      # Only the weights are read here, so the compiler leaves the models out of it.
      weights_of = jax.vmap(lambda part: _weights(loss_fn(state.params, teacher_params, part, None)))
      weights = over_devices(jax.tree.map(jnp.sum, weights_of(parts)))

      def add(total, part_and_index):
        return jax.tree.map(jnp.add, total, gradient(state.params, *part_and_index, weights)), None

      zeros = jax.tree.map(jnp.zeros_like, (state.params, weights))
      (grads, means), _ = jax.lax.scan(add, zeros, (parts, indices))
    grads, means = over_devices((grads, means))

    with jax.named_scope("optimizer"):  # which a profile shows
      updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    metrics = {"loss": sum(means.values()), **means, "grad_norm": optax.tree.norm(grads)}
    for name, counter in (("skipped", "total_notfinite"), ("skipped_in_a_row", "notfinite_count")):
      metrics[name] = optax.tree.get(opt_state, counter, jnp.zeros((), jnp.int32))
    with jax.named_scope("optimizer"):
      params = optax.apply_updates(state.params, updates)
    return state.replace(step=state.step + 1, params=params, opt_state=opt_state), metrics

  return update


def jit_update(update: Update) -> Update:
  """Returns the update compiled for one device; the state is donated."""
  return jax.jit(update, donate_argnums=0)


def mesh_update(update: Update, mesh: Mesh, sharding: Any) -> Update:
  """Returns the update compiled over a mesh; the state is donated and keeps its sharding.

  Place the state by `jax.device_put(state, sharding)`, the teacher by `replicated(mesh)` and batches by
  `batch_sharding(mesh)`. The numbers are those of one device, up to the order of sums.

  Args:
    update: from `make_update`, without an axis name.
    mesh: with the axis "data".
    sharding: of the state, from `state_sharding`.
  """

  def over_mesh(*arguments):
    # Kernels look here for the mesh, for the compiler does not divide their rows (`fused_attention`).
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
      return update(*arguments)

  return jax.jit(over_mesh, donate_argnums=0, out_shardings=(sharding, replicated(mesh)))


def pmap_update(make: Callable[..., Update], **options: Any) -> Update:
  """Returns the pmapped update, every argument with a leading device axis; the state is donated.

  Args:
    make: `functools.partial(make_update, loss_fn, optimizer)`, given the axis name here.
    **options: further arguments of `make_update`.
  """
  return jax.pmap(make(axis_name=AXIS, **options), axis_name=AXIS, donate_argnums=0)


def data_mesh(devices: list[jax.Device] | None = None) -> Mesh:
  """Returns a mesh of one axis, "data", over `devices`, by default all."""
  devices = devices or jax.devices()
  return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of what every device holds whole."""
  return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of a batch: rows over the devices."""
  return NamedSharding(mesh, PartitionSpec(AXIS))


def state_sharding(state: TrainState, mesh: Mesh, params: Literal["replicated", "sharded"] = "replicated") -> Any:
  """Returns the sharding of every leaf of a state.

  Args:
    state: or its shapes.
    mesh: with the axis "data".
    params: "sharded" spreads parameters and optimizer state over the devices as well, each leaf along its
      longest axis that the number of devices divides; a leaf with none stays whole.
  """

  def shard(leaf):
    axes = [axis for axis, size in enumerate(leaf.shape) if size % mesh.size == 0 and size]
    if params == "replicated" or not axes:
      return replicated(mesh)
    longest = max(axes, key=lambda axis: leaf.shape[axis])
    return NamedSharding(mesh, PartitionSpec(*[None] * longest, AXIS))

  return jax.tree.map(shard, state)


def replicate(tree: Any, devices: list[jax.Device] | None = None) -> Any:
  """Returns `tree` with a leading device axis, one copy a device: how pmap takes it."""
  devices = devices or jax.local_devices()
  sharding = NamedSharding(data_mesh(devices), PartitionSpec(AXIS))
  stack = jax.jit(
    functools.partial(jax.tree.map, lambda x: jnp.broadcast_to(x, (len(devices), *x.shape))), out_shardings=sharding
  )
  return stack(tree)


def unreplicate(tree: Any) -> Any:
  """Returns the first device's copy of a tree from `replicate`."""
  return jax.tree.map(lambda leaf: leaf[0], tree)


def split_batch(batch: Batch, devices: int) -> Batch:
  """Returns a batch of arrays devices × rows/devices × …: how pmap takes it."""
  return jax.tree.map(lambda x: x.reshape(devices, x.shape[0] // devices, *x.shape[1:]), batch)


def _weights(terms: dict) -> dict[str, Float[Array, ""]]:
  return {name: term.weight for name, term in terms.items()}


def _micro_batches(batch: Batch, parts: int) -> Batch:
  """Returns a batch of arrays parts × rows/parts × …, row r in part r mod parts.

  Striding keeps every part spread over all devices where rows are sharded in blocks.
  """

  def split(x):
    if x.shape[0] % parts:
      raise ValueError(f"a batch of {x.shape[0]} rows cannot be split into {parts} micro-batches")
    return jnp.swapaxes(x.reshape(x.shape[0] // parts, parts, *x.shape[1:]), 0, 1)

  return jax.tree.map(split, batch)
