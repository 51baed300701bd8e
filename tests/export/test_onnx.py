"""ONNX models of every family and head against their PyTorch classes in transformers, and what a file is made of."""

import dataclasses

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small_families import CONFIGURATIONS, make_batch, make_theirs

from tinybert_jax.errors import InputError
from tinybert_jax.export.encoder import onnx_model
from tinybert_jax.export.product_inputs import largest_inputs
from tinybert_jax.export.quantization import Quantization
from tinybert_jax.export.session import Session
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import (
  Encoder,
  MaskedLanguageModel,
  SequenceClassifier,
  SpanClassifier,
  TokenClassifier,
)
from tinybert_jax.models.parameters import parameter_shapes
from tinybert_jax.models.pretrained import load_pretrained
from tinybert_jax.models.sentence_encoder import SentenceEncoder
from tinybert_jax.models.sentence_head import DenseLayer, SentenceHead

# Each configuration with the head that reads one token; the other heads where a family has them otherwise.
CASES = [
  ("bert", 0, Encoder),
  ("bert", 1, SequenceClassifier),
  ("bert", 0, MaskedLanguageModel),
  ("bert", 1, TokenClassifier),
  ("bert", 0, SpanClassifier),
  ("modernbert", 0, TokenClassifier),
  *((name, number, SequenceClassifier) for name, given in CONFIGURATIONS.items() for number in range(len(given))),
  *((name, 0, MaskedLanguageModel) for name in ("electra", "modernbert", "deberta-v2")),
]
CONFIG = EncoderConfig(
  vocab_size=50, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48,
  max_position_embeddings=16, layer_norm_eps=1e-5,
)  # fmt: skip


def draw(model, seed=0):
  rng = np.random.default_rng(seed)

  def leaf(path, shape):
    return rng.normal(float(path[-1].key == "scale"), 0.3, shape.shape).astype(np.float32)

  return jax.tree.map_with_path(leaf, parameter_shapes(model))


@pytest.mark.parametrize(("model_type", "number", "model_class"), CASES)
def test_outputs_are_those_of_transformers(tmp_path, model_type, number, model_class):
  theirs = make_theirs(model_class, model_type, number)
  theirs.save_pretrained(tmp_path)
  config, params, _ = load_pretrained(tmp_path, model_class)
  model = onnx_model(config, params, model_class)
  onnx.checker.check_model(model, full_check=True)
  assert {each.domain for each in model.opset_import} == {""} and model.opset_import[0].version == 20
  session = Session(model.SerializeToString())
  assert session.inputs == ("input_ids", "attention_mask", "token_type_ids")[: 2 + (config.type_vocab_size > 1)]
  for side in ("right", "left"):
    batch = make_batch(config, side)
    with torch.no_grad():
      outputs = theirs(**{name: torch.tensor(value).long() for name, value in batch.items()})
    names = [name for name in outputs.keys() if name != "pooler_output"]  # noqa: SIM118, not a dict
    assert [each.name for each in model.graph.output] == names
    for name, found in zip(names, session(batch), strict=True):
      expected = outputs[name].numpy()
      where = batch["attention_mask"] > 0 if expected.shape[:2] == batch["input_ids"].shape else slice(None)
      assert np.abs(found - expected)[where].max() <= 1e-5 * np.abs(expected[where]).max()


def test_texts_may_be_as_long_as_there_are_positions_and_come_in_any_number():
  session = Session(onnx_model(CONFIG, draw(SequenceClassifier(CONFIG)), SequenceClassifier).SerializeToString())
  ids = np.arange(16)[None] + np.ones((5, 1), int)
  whole = session({"input_ids": ids})[0]
  assert whole.shape == (5, 2)
  padded = {"input_ids": np.pad(ids[:1, :7], ((0, 0), (0, 3))), "attention_mask": (np.arange(10) < 7)[None]}
  np.testing.assert_allclose(session(padded)[0], session({"input_ids": ids[:1, :7]})[0], atol=1e-5)


def test_onnxruntime_joins_the_operators_that_it_should(tmp_path):
  params = draw(SequenceClassifier(CONFIG))
  counts = []
  for quantization in (None, Quantization()):
    settings = onnxruntime.SessionOptions()
    settings.optimized_model_filepath, settings.log_severity_level = str(tmp_path / "joined.onnx"), 3
    model = onnx_model(CONFIG, params, SequenceClassifier, quantization=quantization).SerializeToString()
    onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "joined.onnx").graph.node]
    counts.append({name: operators.count(name) for name in operators})
  assert counts[0]["BiasGelu"] == counts[0]["FusedMatMul"] == 2 and "SkipLayerNormalization" not in counts[0]
  # Per layer query, key and value share their rounded input; four other products have one each, and the pooler.
  products = counts[1]["MatMulIntegerToFloat"] + counts[1]["DynamicQuantizeMatMul"]
  assert products == 2 * 6 + 1 and "MatMulInteger" not in counts[1]


def test_integers_are_the_nearest_and_a_quarter_of_the_size():
  config = dataclasses.replace(CONFIG, vocab_size=9000, hidden_size=96, intermediate_size=384)
  params = draw(MaskedLanguageModel(config))
  whole = onnx_model(config, params, MaskedLanguageModel)
  batch = {"input_ids": np.random.default_rng(1).integers(0, 9000, (4, 9))}
  expected = Session(whole.SerializeToString())(batch)[0]
  table = params["encoder"]["embeddings"]["word_embeddings"]["embedding"]
  errors = {}
  for quantization in (Quantization(), Quantization(per_channel=False), Quantization(reduced_range=True)):
    model = onnx_model(config, params, MaskedLanguageModel, quantization=quantization)
    held = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    name = "encoder/embeddings/word_embeddings/embedding"
    integers, scale = held[f"{name} integers"], held[f"{name} scale"]
    assert integers.dtype == np.int8 and name not in held  # once, for the look-up and for the decoder
    assert np.abs(integers * scale - table).max() <= 0.5001 * scale.max()
    assert np.abs(integers).max() == (63 if quantization.reduced_range else 127)
    assert model.ByteSize() < 0.28 * whole.ByteSize()
    errors[quantization] = np.abs(Session(model.SerializeToString())(batch)[0] - expected).mean() / expected.std()
  assert max(errors.values()) < 0.2 and min(errors.values()) < 0.06


def test_kept_weights_stay_as_they_are():
  params = draw(SequenceClassifier(CONFIG))
  kept = onnx_model(CONFIG, params, SequenceClassifier, quantization=Quantization(kept=("encoder/layers_0/",)))
  names = {each.name for each in kept.graph.initializer}
  assert "encoder/layers_0/attention/query/kernel" in names and "encoder/layers_0/output/kernel integers" not in names
  assert "encoder/layers_1/attention/query/kernel integers" in names and "classifier/kernel" in names


def test_half_precision_and_its_limit():
  params = draw(SequenceClassifier(CONFIG))
  batch = {"input_ids": np.arange(1, 9)[None], "attention_mask": (np.arange(8) < 6)[None]}
  whole, half = (onnx_model(CONFIG, params, SequenceClassifier, dtype=dtype) for dtype in (np.float32, np.float16))
  assert half.ByteSize() < 0.7 * whole.ByteSize()
  a, b = (Session(model.SerializeToString())(batch)[0] for model in (whole, half))
  assert 0 < np.abs(a - b).max() < 0.01 * np.abs(a).max() and b.dtype == np.float32


def test_embeddings_of_texts_are_pooled():
  pooling = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
  head = SentenceHead(pooling=pooling, layers=(DenseLayer(10, "tanh"), "normalize"))
  config = dataclasses.replace(CONFIG, sentence=head)
  params = draw(SentenceEncoder(config))
  session = Session(onnx_model(config, params, SentenceEncoder).SerializeToString())
  mask = np.array([[1, 1, 1, 1, 1], [0, 1, 1, 0, 0]])
  ids = np.random.default_rng(0).integers(1, 50, mask.shape)
  states, found = session({"input_ids": ids, "attention_mask": mask})
  for x, row, embedding in zip(states, mask, found, strict=True):
    x = x[row > 0].astype(float)
    places = np.arange(1, len(x) + 1)[:, None]
    vectors = [
      x[0], x.max(0), x.mean(0), x.sum(0) / np.sqrt(len(x)), (x * places).sum(0) / places.sum(), x[-1]
    ]  # fmt: skip
    dense = np.tanh(np.concatenate(vectors) @ params["dense_0"]["kernel"] + params["dense_0"]["bias"])
    np.testing.assert_allclose(embedding, dense / np.linalg.norm(dense), atol=1e-5)


def test_what_cannot_be_written_or_run():
  params = draw(Encoder(CONFIG))
  with pytest.raises(InputError, match="hidden_act 'gone' is not supported"):
    onnx_model(dataclasses.replace(CONFIG, hidden_act="gone"), params, Encoder)
  model = onnx_model(CONFIG, params, Encoder)
  model.graph.node[-1].op_type = "Nothing"
  with pytest.raises(InputError, match=r"onnxruntime [\d.]+ cannot run the exported model \(.*Nothing"):
    Session(model.SerializeToString())


@pytest.mark.parametrize("model_type", ["bert", "deberta-v2"])  # of which DeBERTa reads two inputs by one kernel
def test_balanced_inputs_lose_less_where_one_channel_is_large(tmp_path, model_type):
  make_theirs(SequenceClassifier, model_type, 0).save_pretrained(tmp_path)
  config, params, _ = load_pretrained(tmp_path, SequenceClassifier)
  scale = params["encoder"]["layers_0"]["output_norm"]["scale"]
  scale[3] *= 100  # as pretrained models have it
  batch = make_batch(config, "right")
  whole = Session(onnx_model(config, params, SequenceClassifier).SerializeToString())(batch)[0]
  inputs = largest_inputs(config, params, SequenceClassifier, [batch])
  errors = []
  for quantization in (Quantization(), Quantization(inputs=inputs)):
    model = onnx_model(config, params, SequenceClassifier, quantization=quantization)
    errors.append(np.abs(Session(model.SerializeToString())(batch)[0] - whole).max() / np.abs(whole).max())
  assert inputs["encoder/layers_1/attention/query/kernel"].argmax() == 3 and errors[1] < 0.8 * errors[0]
  rounded = [node for node in model.graph.node if node.op_type == "DynamicQuantizeLinear"]
  assert len({node.input[0] for node in rounded}) == len(rounded)  # query, key and value share theirs
