"""Names of tensors: of the Flax modules here, and of the files that Hugging Face and others write."""

import re
from collections.abc import Collection, Mapping

import jax
import numpy as np

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import (
  Encoder,
  MaskedLanguageModel,
  Model,
  SequenceClassifier,
  SpanClassifier,
  TokenClassifier,
  parameter_shapes,
)
from tinybert_jax.models.families import Family
from tinybert_jax.models.family_names import BUFFERS, Names
from tinybert_jax.models.parameters import LOGITS

# What the name of each class ends with in transformers.
CLASSES: dict[type, str] = {
  Encoder: "Model",
  SequenceClassifier: "ForSequenceClassification",
  MaskedLanguageModel: "ForMaskedLM",
  TokenClassifier: "ForTokenClassification",
  SpanClassifier: "ForQuestionAnswering",
}
# The class of a model by the layer of its parameters that gives the logits.
OF_LAYER: dict[str, type[Model]] = dict(zip(LOGITS, (SequenceClassifier, TokenClassifier, SpanClassifier), strict=True))
_LEAVES = {"kernel": "weight", "embedding": "weight", "scale": "weight", "bias": "bias"}
# What torch.compile, FSDP and activation checkpointing put between the parts of a name.
_WRAPPERS = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_LAYER = re.compile(r"layers_(\d+)/(.+)")


def architecture(family: Family, model_class: type[Model]) -> str:
  """Returns the name of a model's class in transformers, such as "BertForMaskedLM"."""
  return family.class_prefix + CLASSES[model_class]


def name_table(config: EncoderConfig, model_class: type[Model]) -> dict[str, str]:
  """Returns the Hugging Face name of every parameter of a model, by Flax path.

  A tensor that holds several parameters here has a name with the part's in brackets, see `split`.
  """
  paths = (
    "/".join(key.key for key in path) for path, _ in jax.tree.leaves_with_path(parameter_shapes(model_class(config)))
  )
  return {path: _file_name(path, config.family.names, model_class) for path in paths}


def bare_names(names: Collection[str], source: str, family: Family) -> dict[str, str]:
  """Returns the bare name of each tensor of a file, by its name there.

  Bare names have no `bert.` or what the family has in its place, and no prefix of a wrapper (`module.`, `_orig_mod.`,
  `model.`, `0.auto_model.`), and `weight` and `bias` in place of `gamma` and `beta`.

  Args:
    names: the names in the file.
    source: the file, for errors.
    family: of the model.

  Raises:
    InputError: several encoders in one file.
  """
  base, anchor = family.names.base, family.names.anchor
  unwrapped = {name: _WRAPPERS.sub("", name) for name in names}
  prefixes = sorted({name.removesuffix(anchor) for name in unwrapped.values() if f".{name}".endswith(f".{anchor}")})
  outer = sorted({prefix.removesuffix(base) for prefix in prefixes})
  if len(outer) > 1:
    raise InputError(
      f"{source}: holds {len(outer)} encoders ({', '.join(repr(prefix) for prefix in prefixes[:10])} before the names "
      "of their tensors); save one of them alone"
    )
  prefix = outer[0] if outer else ""
  return {name: _bare(inner.removeprefix(prefix), base) for name, inner in unwrapped.items()}


def split(tensors: Mapping[str, np.ndarray], names: Names) -> dict[str, np.ndarray]:
  """Returns tensors with each fused one as its parts: `Wqkv.weight` as `Wqkv[query].weight` and so on."""
  result = dict(tensors)
  for module, parts in names.fused.items():
    for name in [name for name in result if f".{module}." in f".{name}"]:
      if result[name].ndim and result[name].shape[0] % len(parts) == 0:
        whole = result.pop(name)
        for part, value in zip(parts, np.split(whole, len(parts)), strict=True):
          result[name.replace(f"{module}.", f"{module}[{part}].")] = value
  return result


def joined(tensors: Mapping[str, np.ndarray], names: Names) -> dict[str, np.ndarray]:
  """Returns tensors with the parts of fused ones put together; the inverse of `split`."""
  result = dict(tensors)
  for module, parts in names.fused.items():
    for first in [name for name in result if f"{module}[{parts[0]}]." in name]:
      pieces = [result.pop(first.replace(f"[{parts[0]}]", f"[{part}]")) for part in parts]
      result[first.replace(f"[{parts[0]}]", "")] = np.concatenate(pieces)
  return result


def optional_group(path: str) -> str | None:
  """Returns the part of a model that a file may lack as a whole, by Flax path: pooler, classifier or head."""
  if "pooler/" in path:
    return "pooler"
  if path.startswith(("pre_classifier/", "pre_classifier_norm/")):
    return "pre_classifier"
  if (first := path.split("/")[0]) in OF_LAYER:
    return OF_LAYER[first].__name__
  return MaskedLanguageModel.__name__ if path.startswith(("transform/", "transform_norm/")) or path == "bias" else None


def may_be_ignored(name: str, family: Family, model_class: type[Model], *, is_named: bool) -> bool:
  """Returns whether a model may leave a tensor of its file unread, by bare name.

  The bare encoder ignores everything outside itself. A head ignores other heads, but no further parts of its own
  kind, which would change what it computes.

  Args:
    name: of the tensor.
    family: of the model.
    model_class: the model asked for.
    is_named: whether the configuration names that very class, so that nothing else in the file belongs to it.
  """
  names = family.names
  if name.startswith((*BUFFERS, "pooler.", *names.unread)):
    return True
  if name.startswith(_first_parts((*names.body.values(), *names.layer.values()))):
    return False
  own = _head(names, model_class)
  if name in names.tied and model_class is MaskedLanguageModel:
    return True
  if own and name.startswith(_own_parts(own)):
    return name in names.tied
  return model_class is Encoder or is_named or name.startswith(names.heads)


def _head(names: Names, model_class: type[Model]) -> Mapping[str, str]:
  """Returns the modules of a head, by Flax path; none of the bare encoder."""
  heads: dict[type, Mapping[str, str]] = {
    SequenceClassifier: names.classifier,
    MaskedLanguageModel: names.masked,
    TokenClassifier: names.tokens,
    SpanClassifier: names.spans,
  }
  return heads.get(model_class, {})


def _file_name(path: str, names: Names, model_class: type[Model]) -> str:
  heads = _head(names, model_class)
  module, _, leaf = path.rpartition("/")
  if path in heads:
    return heads[path]
  if module in heads:
    return f"{heads[module]}.{_LEAVES[leaf]}"
  base = "" if model_class is Encoder else names.base
  module = module.removeprefix("" if model_class is Encoder else "encoder/")
  if found := _LAYER.fullmatch(module):
    return f"{base}{names.layer[found[2]].format(i=found[1])}.{_LEAVES[leaf]}"
  return f"{base}{names.body[module]}.{_LEAVES[leaf]}"


def _first_parts(modules: Collection[str]) -> tuple[str, ...]:
  return tuple(sorted({f"{module.split('.')[0]}." for module in modules} - {"pooler."}))


def _own_parts(head: Mapping[str, str]) -> tuple[str, ...]:
  """Returns what the names of a head's tensors begin with, such as "cls.predictions."."""
  modules = [module for module in head.values() if not module.startswith("pooler.")]
  return tuple(
    ".".join(module.split(".")[:2] if module.startswith("cls.") else module.split(".")[:1]) + "." for module in modules
  )


def _bare(name: str, base: str) -> str:
  for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
    if name.endswith(old):
      name = name.removesuffix(old) + new
  return name.removeprefix(base)
