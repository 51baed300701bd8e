"""Programs that are compiled while another trains give what the update gives."""

import jax
import numpy as np
import tiny_run

from tinybert_jax.data.batches import BatchSource
from tinybert_jax.distillation.objectives import fine_tuning
from tinybert_jax.models.encoder import SequenceClassifier, initialize
from tinybert_jax.training import steps
from tinybert_jax.training.optim import adamw, schedule
from tinybert_jax.training.parallel import data_parallel
from tinybert_jax.training.programs import Programs


def make(devices=1):
  model = SequenceClassifier(tiny_run.CONFIG)
  source = BatchSource(tiny_run.rows(), batch_size=8, lengths=(8, 16), epochs=1, seed=1)
  optimizer = adamw(schedule(1e-2, len(source)))
  state = steps.create_state(initialize(model, jax.random.key(0)), optimizer, steps.random_key(2))
  loss_fn = fine_tuning(model)
  if devices > 1:
    update, state, _, place = data_parallel(
      lambda **options: steps.make_update(loss_fn, optimizer, **options), state, {}, 8
    )
    return update, state, source, place
  return steps.jit_update(steps.make_update(loss_fn, optimizer)), state, source, jax.device_put


def test_a_run_has_the_same_bits_and_compiles_each_length_once():
  update, state, source, place = make()
  traced = []

  def counted(*arguments):
    traced.append(arguments[2]["input_ids"].shape[-1])
    return update.__wrapped__(*arguments)

  with Programs(jax.jit(counted, donate_argnums=0), source) as programs:
    for batch in source:
      state, _ = programs(state, {}, place(batch))
    assert all(programs.is_ready(place(source[step])) for step in list(source.first_steps().values())[1:])
  assert sorted(traced) == [8, 16]
  plain_update, plain, _, _ = make()
  for batch in source:
    plain, _ = plain_update(plain, {}, place(batch))
  jax.tree.map(np.testing.assert_array_equal, state.params, plain.params)


def test_over_a_mesh_the_batches_keep_their_sharding():
  update, state, source, place = make(devices=8)
  with Programs(update, source) as programs:
    for batch in source:
      state, metrics = programs(state, {}, place(batch))
  assert np.isfinite(metrics["loss"]) and int(state.step) == len(source)


def test_only_lengths_that_the_run_has_are_compiled():
  _, _, source, _ = make()
  lengths = [batch["input_ids"].shape[-1] for batch in source]
  assert source.first_steps() == {length: lengths.index(length) for length in dict.fromkeys(lengths)}
  short = BatchSource(tiny_run.rows(), batch_size=8, lengths=(8, 16), steps=2, seed=1)
  assert list(short.first_steps()) == list(dict.fromkeys(lengths[:2]))
