"""The heads of students that inherit, against least squares by numpy."""

import dataclasses

import jax
import numpy as np
from small_sentences import CONFIG

from tinybert_jax.distillation.inherited_sentences import with_head
from tinybert_jax.models.encoder import Encoder, initialize, parameter_shapes
from tinybert_jax.models.pretrained import Pretrained
from tinybert_jax.models.sentence_encoder import SentenceEncoder
from tinybert_jax.models.sentence_head import DenseLayer, SentenceHead


def test_a_narrow_students_first_layer_is_the_teachers_behind_the_best_fit_of_their_states():
  config = dataclasses.replace(CONFIG, sentence=SentenceHead(("mean", "cls"), (DenseLayer(5, "tanh"), "normalize")))
  student = dataclasses.replace(config.resized(1, 12), sentence=config.sentence.of_student(12, 5))
  teacher = Pretrained(config, initialize(SentenceEncoder(config), jax.random.key(0)), ())
  encoder = initialize(Encoder(student), jax.random.key(1))
  batch = {"input_ids": np.random.default_rng(0).integers(1, 7, (40, 9)), "attention_mask": np.ones((40, 9), np.int32)}
  batch["attention_mask"][::3, 6:] = 0
  made = with_head(teacher, student, encoder, [batch])

  tokens = batch["attention_mask"] > 0
  ours, theirs = (
    np.asarray(jax.jit(Encoder(each).apply)({"params": params}, batch).hidden_states[-1], np.float64)[tokens]
    for each, params in ((student, encoder), (config, teacher.params["encoder"]))
  )
  best, *_ = np.linalg.lstsq(
    np.column_stack([ours, np.ones(len(ours))]), theirs, rcond=1e-6
  )  # after LayerNorm they sum to 0
  first = teacher.params["dense_0"]
  fitted = np.column_stack([ours, np.ones(len(ours))]) @ best
  # What both layers make of a text of one token, by its mean and its first token; the fit is damped a little.
  found = np.tile(ours, 2) @ made["dense_0"]["kernel"] + made["dense_0"]["bias"]
  expected = np.tile(fitted, 2) @ first["kernel"] + first["bias"]
  np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())
  shapes = parameter_shapes(SentenceEncoder(student))
  assert jax.tree.map(np.shape, made) == jax.tree.map(lambda leaf: leaf.shape, shapes)

  # Of the teacher's width, it has the teacher's layer as it is; without one, it needs none.
  same = with_head(teacher, dataclasses.replace(config, num_hidden_layers=1), teacher.params["encoder"], [batch])
  np.testing.assert_array_equal(same["dense_0"]["kernel"], first["kernel"])
  assert set(with_head(teacher, CONFIG, encoder, [batch])) == {"encoder"}
