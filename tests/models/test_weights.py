"""Files of weights that are written in other ways, against transformers' own reading of the plain one."""

import json
import re
import shutil

import flax.serialization
import jax
import numpy as np
import pytest
import torch
import transformers
from flax import traverse_util
from safetensors.torch import load_file, save_file

from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import Encoder, MaskedLanguageModel, SequenceClassifier, apply_head
from tinybert_jax.models.pretrained import load_pretrained

SMALL = {
  "vocab_size": 13, "hidden_size": 4, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 6,
  "max_position_embeddings": 8, "num_labels": 3, "initializer_range": 0.3,
}  # fmt: skip
IDS = np.array([[2, 5, 7, 3]])


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
  """A classifier's directory, its tensors, and the logits that transformers computes with it."""
  torch.manual_seed(0)
  model = transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL)).eval()
  directory = tmp_path_factory.mktemp("plain")
  model.save_pretrained(directory)
  with torch.no_grad():
    logits = model(torch.tensor(IDS)).logits.numpy()
  return directory, load_file(directory / "model.safetensors"), logits


@pytest.fixture
def write(plain, tmp_path):
  """A function that writes the directory anew, with other tensors or under another name of file."""

  def write(tensors=None, file="model.safetensors", config=None):
    shutil.rmtree(tmp_path / "model", ignore_errors=True)
    (tmp_path / "model").mkdir()
    hf = json.loads((plain[0] / "config.json").read_text()) | (config or {})
    (tmp_path / "model" / "config.json").write_text(json.dumps(hf))
    if isinstance(tensors, bytes):
      (tmp_path / "model" / file).write_bytes(tensors)
    elif file.endswith(".bin"):
      torch.save(tensors, tmp_path / "model" / file)
    elif tensors is not None:
      save_file(tensors, tmp_path / "model" / file)
    return tmp_path / "model"

  return write


def logits(directory, model_class=SequenceClassifier):
  loaded = load_pretrained(directory, model_class, finished=True)
  return jax.jit(lambda params: apply_head(model_class(loaded.config), params, {"input_ids": IDS}))(loaded.params)


@pytest.mark.parametrize(
  "change",
  [
    lambda name: f"module.{name}",
    lambda name: f"_orig_mod.{name}",
    lambda name: f"module._orig_mod.{name}",
    lambda name: f"model.{name}",
    lambda name: f"model.{name}".replace("bert.", ""),
    lambda name: name.replace("bert.", "0.auto_model."),
    lambda name: name.replace("layer.1.", "layer.1._checkpoint_wrapped_module."),
  ],
)
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_prefixes_of_wrappers_are_taken_off(plain, write, change, file):
  tensors = {change(name): value for name, value in plain[1].items()}
  np.testing.assert_allclose(logits(write(tensors, file)), plain[2], atol=1e-6)


def test_a_state_dict_inside_a_checkpoint(plain, write):
  for value in (
    {"state_dict": plain[1], "epoch": 3},
    {"model": {f"module.{name}": tensor for name, tensor in plain[1].items()}, "best": 0.5},
    {"model_state_dict": plain[1]},
    {"module": plain[1], "ds_version": "0.1"},
    {"net": {"weights": plain[1]}},
  ):
    np.testing.assert_allclose(logits(write(value, "pytorch_model.bin")), plain[2], atol=1e-6)
  with pytest.raises(InputError, match=r"pytorch_model\.bin: not a readable .*holds a list"):
    load_pretrained(write([1], "pytorch_model.bin"))


def test_shards_of_bin_files(plain, write):
  names = sorted(plain[1])
  shards = {f"pytorch_model-0000{i + 1}-of-00002.bin": names[i::2] for i in range(2)}
  directory = write()
  for file, own in shards.items():
    torch.save({name: plain[1][name] for name in own}, directory / file)
  weight_map = {name: file for file, own in shards.items() for name in own}
  (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
  np.testing.assert_allclose(logits(directory), plain[2], atol=1e-6)
  (directory / "pytorch_model-00002-of-00002.bin").unlink()
  with pytest.raises(InputError, match=r"00002-of-00002\.bin: missing, and pytorch_model\.bin\.index\.json names it"):
    load_pretrained(directory)


def test_flax_files(plain, write):
  """As transformers 4 wrote them: kernels are transposed, scales and embeddings have names of their own."""
  flat = {}
  for name, tensor in plain[1].items():
    path, kind = name.rsplit(".", 1)
    value = tensor.numpy()
    if kind == "weight":
      kind = "scale" if path.endswith("LayerNorm") else "embedding" if path.endswith("_embeddings") else "kernel"
    flat[f"{path}.{kind}"] = value.T if kind == "kernel" else value
  tree = traverse_util.unflatten_dict(flat, sep=".")
  for value in (tree, {"params": tree}):
    data = flax.serialization.msgpack_serialize(value)
    np.testing.assert_allclose(logits(write(data, "flax_model.msgpack")), plain[2], atol=1e-6)
  with pytest.raises(InputError, match=r"flax_model\.msgpack: not a readable file of Flax weights"):
    load_pretrained(write(data[:100], "flax_model.msgpack"))


@pytest.mark.parametrize("second", [False, True])
def test_every_name_of_a_shared_tensor(tmp_path, second):
  torch.manual_seed(0)
  model = transformers.BertForMaskedLM(transformers.BertConfig(**SMALL)).eval()
  model.cls.predictions.bias.data += torch.randn(13)
  model.save_pretrained(tmp_path)
  tensors = load_file(tmp_path / "model.safetensors")
  moved = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
  }
  for name, shared in moved.items():
    tensors[name] = tensors[shared].clone() if second else tensors.pop(shared)
  save_file(tensors, tmp_path / "model.safetensors")
  with torch.no_grad():
    theirs = model(torch.tensor(IDS)).logits.numpy()
  np.testing.assert_allclose(logits(tmp_path, MaskedLanguageModel), theirs, atol=1e-5)
  if second:
    tensors["cls.predictions.decoder.bias"] += 1
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"decoder\.bias: other than cls\.predictions\.bias"):
      load_pretrained(tmp_path, MaskedLanguageModel)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_named(plain, write, value):
  name = "bert.encoder.layer.1.output.dense.weight"
  tensors = plain[1] | {name: plain[1][name].clone()}
  tensors[name][0, 0] = value
  with pytest.raises(InputError, match=r"encoder\.layer\.1\.output\.dense\.weight: 1 of 24 numbers are not finite"):
    load_pretrained(write(tensors))
  tensors = {name: tensor.double() for name, tensor in plain[1].items()}
  tensors[name][0, 0] = 1e300  # too large for float32
  with pytest.raises(InputError, match="1 of 24 numbers are not finite"):
    load_pretrained(write(tensors))


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_numbers_that_are_no_weights_are_refused(plain, write, file):
  def retyped(dtype):
    return {name: (tensor * 20).to(dtype) for name, tensor in plain[1].items()}

  with pytest.raises(InputError, match=r"holds (F8_E4M3|float8_e4m3fn) numbers; weights must be float32"):
    load_pretrained(write(retyped(torch.float8_e4m3fn), file))
  with pytest.raises(InputError, match="int8 numbers, and floating-point ones are needed"):
    load_pretrained(write(retyped(torch.int8), file))


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_point_numbers_of_every_width_are_read(plain, write, file, dtype):
  tensors = {name: tensor.to(dtype) for name, tensor in plain[1].items()}
  loaded = load_pretrained(write(tensors, file))
  kernel = loaded.params["layers_1"]["output"]["kernel"]
  assert kernel.dtype == np.float32
  np.testing.assert_array_equal(kernel.T, tensors["bert.encoder.layer.1.output.dense.weight"].float().numpy())


@pytest.mark.parametrize(
  ("index", "message"),
  [
    ({"metadata": {}}, "no weight_map from tensors to files"),
    ({"weight_map": ["a"]}, "no weight_map from tensors to files"),
    ({"weight_map": {"a": 1}}, "no weight_map from tensors to files"),
    ({"weight_map": {"a": "../model.safetensors"}}, "shards must lie beside the index"),
  ],
)
def test_damaged_indices(write, index, message):
  directory = write()
  (directory / "model.safetensors.index.json").write_text(json.dumps(index))
  with pytest.raises(InputError, match=rf"model\.safetensors\.index\.json: .*{message}"):
    load_pretrained(directory)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin", "flax_model.msgpack", "config.json"])
def test_a_pointer_of_git_lfs_is_called_what_it_is(write, file):
  pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 440473133\n"
  with pytest.raises(InputError, match=rf"{re.escape(file)}: a pointer of Git LFS"):
    load_pretrained(write(pointer, file))


def test_an_error_of_a_bin_file_gives_no_dangerous_advice(write):
  with pytest.raises(InputError) as error:
    load_pretrained(write(b"not weights", "pytorch_model.bin"))
  assert "weights_only" not in str(error.value)


def test_the_same_tensor_twice(plain, write):
  bare = {name.removeprefix("bert."): tensor.clone() for name, tensor in plain[1].items()}
  np.testing.assert_allclose(logits(write(plain[1] | bare)), plain[2], atol=1e-6)
  bare["pooler.dense.bias"] += 1
  with pytest.raises(InputError, match=r"pooler\.dense\.bias: twice, as bert\.pooler\.dense\.bias and as pooler"):
    load_pretrained(write(plain[1] | bare))
  both = {f"{side}.{name}": tensor for side in ("query", "document") for name, tensor in plain[1].items()}
  with pytest.raises(InputError, match=r"holds 2 encoders \('document\.bert\.', 'query\.bert\.'"):
    load_pretrained(write({name: tensor.clone() for name, tensor in both.items()}))


def test_heads_beside_the_encoder(plain, write):
  """A head that the model asked for does not have matters to nothing but a head of the same kind."""
  more = plain[1] | {"linear.weight": torch.zeros(4, 4), "qa_outputs.weight": torch.zeros(2, 4)}
  np.testing.assert_allclose(logits(write(more)), plain[2], atol=1e-6)
  load_pretrained(write(more, config={"architectures": ["HF_ColBERT"]}), Encoder)
  with pytest.raises(InputError, match=r"linear\.weight: unexpected"):
    load_pretrained(write(more, config={"architectures": ["MyModel"]}), SequenceClassifier)
  other = {name: tensor for name, tensor in plain[1].items() if not name.startswith("classifier")}
  other |= {"classifier.dense.weight": torch.zeros(4, 4), "classifier.out_proj.weight": torch.zeros(3, 4)}
  with pytest.raises(InputError, match=r"classifier\.dense\.weight: unexpected"):
    load_pretrained(write(other), SequenceClassifier)
  adapter = {"bert.encoder.layer.0.adapter.down.weight": torch.zeros(2, 4)}
  with pytest.raises(InputError, match=r"encoder\.layer\.0\.adapter\.down\.weight: unexpected"):
    load_pretrained(write(plain[1] | adapter))


def test_an_error_lists_at_most_ten_tensors(plain, write):
  few = {name: tensor for name, tensor in plain[1].items() if "encoder.layer" not in name}
  with pytest.raises(InputError, match="; and 22 more") as error:
    load_pretrained(write(few))
  assert str(error.value).count("missing") == 10


def test_half_a_head_is_missing_and_not_drawn(plain, write):
  few = {name: tensor for name, tensor in plain[1].items() if name != "classifier.bias"}
  with pytest.raises(InputError, match=r"classifier\.bias: missing, shape \(3,\) needed"):
    load_pretrained(write(few), SequenceClassifier)


def test_what_a_finished_model_lacks_is_named(plain, write):
  bert = {name: tensor for name, tensor in plain[1].items() if name.startswith("bert.")}
  bare = {name: tensor for name, tensor in bert.items() if "pooler" not in name}
  assert load_pretrained(write(bare), SequenceClassifier).initialized
  with pytest.raises(InputError, match="no classifier in its weights, so it is not a finished BertForSequenceClass"):
    load_pretrained(write(bert), SequenceClassifier, finished=True)
  with pytest.raises(InputError, match="no classifier and no pooler in its weights"):
    load_pretrained(write(bare), SequenceClassifier, finished=True)
  with pytest.raises(InputError, match="no masked language model's head in its weights"):
    load_pretrained(write(bert), MaskedLanguageModel, finished=True)
  assert load_pretrained(write(bare), Encoder, finished=True).initialized == ("pooler/bias", "pooler/kernel")


def test_weights_of_other_formats_are_named(write):
  directory = write()
  (directory / "tf_model.h5").write_text("x")
  with pytest.raises(InputError, match=r"no weights there .*tf_model\.h5 is not read, so save the model"):
    load_pretrained(directory)


def test_any_change_of_a_byte_is_a_model_or_one_sentence(plain, write):
  """Fuzz in small: bytes of the file, its header and the configuration changed or cut off."""
  data, rng = (plain[0] / "model.safetensors").read_bytes(), np.random.default_rng(0)
  text = (plain[0] / "config.json").read_bytes()
  for _ in range(60):
    weights, config = bytearray(data), bytearray(text)
    target = config if rng.random() < 0.5 else weights
    end = len(config) if target is config else rng.choice([16, 4000, len(weights)])
    for _ in range(rng.integers(1, 4)):
      target[rng.integers(end)] = rng.integers(256)
    if rng.random() < 0.2:
      del target[rng.integers(len(target)) :]
    directory = write(bytes(weights))
    (directory / "config.json").write_bytes(config)
    try:
      loaded = load_pretrained(directory, SequenceClassifier)
      assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(loaded.params))
    except InputError as error:
      assert str(directory) in str(error)
