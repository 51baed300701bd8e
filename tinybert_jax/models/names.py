"""Names of tensors: of the Flax modules here, and of the files that Hugging Face and others write."""

import re
from collections.abc import Collection

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Encoder, MaskedLanguageModel, Model, SequenceClassifier

# The table of names: Flax path below "encoder" | Hugging Face name below "bert."; a kernel is a PyTorch
# weight transposed. `{i}` is a layer, counted from 0 on both sides.
_EMBEDDINGS = {
  "embeddings/word_embeddings/embedding": "embeddings.word_embeddings.weight",
  "embeddings/position_embeddings/embedding": "embeddings.position_embeddings.weight",
  "embeddings/token_type_embeddings/embedding": "embeddings.token_type_embeddings.weight",
  "embeddings/layer_norm/scale": "embeddings.LayerNorm.weight",
  "embeddings/layer_norm/bias": "embeddings.LayerNorm.bias",
}
_LAYER = {
  "layers_{i}/attention/query": "encoder.layer.{i}.attention.self.query",
  "layers_{i}/attention/key": "encoder.layer.{i}.attention.self.key",
  "layers_{i}/attention/value": "encoder.layer.{i}.attention.self.value",
  "layers_{i}/attention/output": "encoder.layer.{i}.attention.output.dense",
  "layers_{i}/attention_norm": "encoder.layer.{i}.attention.output.LayerNorm",
  "layers_{i}/intermediate": "encoder.layer.{i}.intermediate.dense",
  "layers_{i}/output": "encoder.layer.{i}.output.dense",
  "layers_{i}/output_norm": "encoder.layer.{i}.output.LayerNorm",
}
_POOLER = {"pooler/kernel": "pooler.dense.weight", "pooler/bias": "pooler.dense.bias"}
_HEADS = {
  Encoder: {},
  SequenceClassifier: {"classifier/kernel": "classifier.weight", "classifier/bias": "classifier.bias"},
  MaskedLanguageModel: {
    "transform/kernel": "cls.predictions.transform.dense.weight",
    "transform/bias": "cls.predictions.transform.dense.bias",
    "transform_norm/scale": "cls.predictions.transform.LayerNorm.weight",
    "transform_norm/bias": "cls.predictions.transform.LayerNorm.bias",
    "bias": "cls.predictions.bias",
  },
}
ARCHITECTURES = {
  Encoder: "BertModel",
  SequenceClassifier: "BertForSequenceClassification",
  MaskedLanguageModel: "BertForMaskedLM",
}

# Second names of shared tensors: a file may hold either or both. By bare name.
TIED = {
  "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
  "cls.predictions.decoder.bias": "cls.predictions.bias",
}

# What torch.compile, FSDP and activation checkpointing put between the parts of a name.
_WRAPPERS = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# Every BERT has this tensor, and a masked language model shares it with nothing.
_ANCHOR = "embeddings.position_embeddings.weight"
# Buffers among the embeddings that are no weights.
_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
# Heads that a file may hold and the model asked for does not read: BERT's pretraining heads, task heads, and the
# projections inside TinyBERT's released students.
_OTHER_HEADS = ("cls.", "classifier.", "qa_outputs.", "fit_dense.", "fit_denses.")


def name_table(config: EncoderConfig, model_class: type[Model]) -> dict[str, str]:
  """Returns the Hugging Face name of every parameter of a model, by Flax path."""
  body = dict(_EMBEDDINGS)
  for i in range(config.num_hidden_layers):
    for path, name in _LAYER.items():
      kinds = {"scale": "weight", "bias": "bias"} if path.endswith("norm") else {"kernel": "weight", "bias": "bias"}
      body |= {f"{path}/{ours}".format(i=i): f"{name}.{theirs}".format(i=i) for ours, theirs in kinds.items()}
  body |= _POOLER
  if model_class is Encoder:
    return body
  return {f"encoder/{path}": f"bert.{name}" for path, name in body.items()} | _HEADS[model_class]


def bare_names(names: Collection[str], source: str) -> dict[str, str]:
  """Returns the bare name of each tensor of a file, by its name there.

  Bare names have no `bert.` and no prefix of a wrapper (`module.`, `_orig_mod.`, `model.`, `0.auto_model.`), and
  `weight` and `bias` in place of `gamma` and `beta`.

  Args:
    names: the names in the file.
    source: the file, for errors.

  Raises:
    InputError: several encoders in one file.
  """
  unwrapped = {name: _WRAPPERS.sub("", name) for name in names}
  prefixes = sorted({name.removesuffix(_ANCHOR) for name in unwrapped.values() if f".{name}".endswith(f".{_ANCHOR}")})
  outer = sorted({prefix.removesuffix("bert.") for prefix in prefixes})
  if len(outer) > 1:
    raise InputError(
      f"{source}: holds {len(outer)} encoders ({', '.join(repr(prefix) for prefix in prefixes[:10])} before the names "
      "of their tensors); save one of them alone"
    )
  prefix = outer[0] if outer else ""
  return {name: _bare(inner.removeprefix(prefix)) for name, inner in unwrapped.items()}


def optional_group(path: str) -> str | None:
  """Returns the part of a model that a file may lack as a whole, by Flax path: pooler, classifier or head."""
  if "pooler/" in path:
    return "pooler"
  return next((model.__name__ for model, head in _HEADS.items() if path in head), None)


def may_be_ignored(name: str, model_class: type[Model], *, is_named: bool) -> bool:
  """Returns whether a model may leave a tensor of its file unread, by bare name.

  The bare encoder ignores everything outside itself. A head ignores other heads, but no further parts of its own
  kind, which would change what it computes.

  Args:
    name: of the tensor.
    model_class: the model asked for.
    is_named: whether the configuration names that very class, so that nothing else in the file belongs to it.
  """
  if name.startswith((*_BUFFERS, "pooler.")):
    return True
  own = {SequenceClassifier: "classifier.", MaskedLanguageModel: "cls.predictions."}.get(model_class)
  if own and name.startswith(own):
    return name in TIED
  if name.startswith(("embeddings.", "encoder.")):
    return False
  return model_class is Encoder or is_named or name.startswith(_OTHER_HEADS)


def _bare(name: str) -> str:
  for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
    if name.endswith(old):
      name = name.removesuffix(old) + new
  return name.removeprefix("bert.")
