"""Smaller vocabularies: the pieces that texts have, and all that other texts need to be read."""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util
from jaxtyping import Int
from tokenizers import Tokenizer as Rust

from tinybert_jax.errors import InputError
from tinybert_jax.models import vocabulary_rules
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.tokenizer_type import Tokenizer, tokens_by_id

_AT_ONCE = 10_000  # texts; a tokenizer's own result takes some hundred times the memory of its text
_PLACEHOLDER = re.compile(r"[\[<].+[\]>]|madeupword\d+")  # names such as [unused7], which no text has


class Trimmed(NamedTuple):
  """A tokenizer of fewer tokens.

  Attributes:
    tokenizer: the new one.
    kept: the former id of each new one.
  """

  tokenizer: Tokenizer
  kept: Int[np.ndarray, " V"]


class Change(NamedTuple):
  """How a smaller vocabulary reads texts.

  Attributes:
    texts: how many there are.
    changed: of these, the ones that have other tokens now.
    tokens: of all texts, by the former vocabulary.
    tokens_now: by the new one.
    unknown: tokens for unknown words, by the former vocabulary.
    unknown_now: by the new one.
  """

  texts: int
  changed: int
  tokens: int
  tokens_now: int
  unknown: int
  unknown_now: int

  @property
  def share(self) -> float:
    """The share of texts with other tokens."""
    return self.changed / max(1, self.texts)


def count_pieces(tokenizer: Tokenizer, texts: Iterable[str]) -> Int[np.ndarray, " V"]:
  """Returns how often texts have each token, by its id; special tokens around them are not counted."""
  counts = np.zeros(len(tokens_by_id(tokenizer)), np.int64)
  for ids in _encoded(tokenizer, texts):
    counts += np.bincount(ids, minlength=len(counts))
  return counts


def trim_tokenizer(
  tokenizer: Tokenizer,
  counts: Int[np.ndarray, " V"],
  *,
  size: int | None = None,
  min_count: int | None = None,
  also: Sequence[int] = (),
) -> Trimmed:
  """Returns a tokenizer with the pieces that occur most, and all special tokens, single characters and bytes.

  A text whose pieces are all kept has the same pieces. A text without unknown words has none with the new vocabulary
  either. The order of the ids stays.

  Args:
    tokenizer: a fast one: WordPiece, BPE or Unigram.
    counts: see `count_pieces`.
    size: the most tokens that are kept: those that occur most often, and where fewer occur, the tokenizer's next ones.
    min_count: keep those that occur so often; one of the two is given.
    also: ids that are kept in any case.

  Raises:
    InputError: a tokenizer that cannot be trimmed, or a `size` that is too small for what is always kept.
  """
  if (size is None) == (min_count is None):
    raise InputError("give either a size of the vocabulary or the least count of a piece")
  backend = tokenizer.backend_tokenizer
  rules, tokens = json.loads(backend.to_str()), tokens_by_id(tokenizer)
  vocabulary_rules.check_kind(rules)
  wanted = vocabulary_rules.always_kept(rules, lambda text: _is_whole(backend, text))
  always = {tokens[number] for number in {*tokenizer.all_special_ids, *also} if number < len(tokens)}
  kept = {token for token in wanted | always if token is not None}
  if size is not None and len(kept) > size:
    raise InputError(
      f"a vocabulary of {size:,} tokens: its special tokens, single characters and bytes are {len(kept):,}, and all of "
      "them are kept"
    )
  parts = vocabulary_rules.merge_parts(rules)
  for number in np.argsort(-counts, kind="stable"):
    token = tokens[number]
    if min_count is not None and counts[number] < min_count:
      break
    if token is None or token in kept or (not counts[number] and _PLACEHOLDER.fullmatch(token)):
      continue
    more = (parts(token) | {token}) - kept
    if size is None or len(kept) + len(more) <= size:
      kept |= more
  return _trimmed(tokenizer, rules, kept)


def measure_change(tokenizer: Tokenizer, trimmed: Trimmed, texts: Sequence[str]) -> Change:
  """Returns how a trimmed tokenizer reads texts, beside the tokenizer before."""
  before, now = list(_encoded(tokenizer, texts)), list(_encoded(trimmed.tokenizer, texts))
  changed = sum(not np.array_equal(trimmed.kept[new], old) for old, new in zip(before, now, strict=True))
  unknown = [
    sum(int(np.sum(ids == side.unk_token_id)) for ids in rows)
    for side, rows in ((tokenizer, before), (trimmed.tokenizer, now))
  ]
  return Change(len(texts), changed, sum(map(len, before)), sum(map(len, now)), unknown[0], unknown[1])


def check_same(tokenizer: Tokenizer, trimmed: Trimmed, texts: Sequence[str]) -> None:
  """Raises InputError where a text whose pieces are all kept is read as others, which no known tokenizer does."""
  is_kept = np.zeros(len(tokens_by_id(tokenizer)), bool)
  is_kept[trimmed.kept] = True
  for text, old, new in zip(texts, _encoded(tokenizer, texts), _encoded(trimmed.tokenizer, texts), strict=True):
    if is_kept[old].all() and not np.array_equal(trimmed.kept[new], old):
      raise InputError(f"its tokenizer cannot be trimmed: {text[:60]!r} would have other pieces, though all are kept")


def trim_config(config: EncoderConfig, trimmed: Trimmed) -> EncoderConfig:
  """Returns the configuration of a model with the trimmed vocabulary.

  Raises:
    InputError: the model counts positions from the id of its padding token, and that would change.
  """
  at = {int(old): new for new, old in enumerate(trimmed.kept)}
  new = dataclasses.replace(config, vocab_size=len(trimmed.kept), pad_token_id=at[config.pad_token_id])
  if config.padding_position != new.padding_position:  # of a RoBERTa, which counts positions from the id of its padding
    raise InputError(
      f"the padding token's id would become {new.pad_token_id} from {config.pad_token_id}, and the model counts its "
      "positions from there; only a tokenizer whose special tokens come first can be trimmed"
    )
  return new


def trim_params(params: Mapping[str, Any], trimmed: Trimmed) -> dict[str, Any]:
  """Returns the parameters of a model with the rows of the trimmed vocabulary: word embeddings, and a masked language
  model's bias.
  """
  flat = traverse_util.flatten_dict(dict(params), sep="/")
  for path, value in flat.items():
    if path == "bias" or path.endswith("word_embeddings/embedding"):
      flat[path] = np.asarray(value)[trimmed.kept]
  return traverse_util.unflatten_dict(flat, sep="/")


def from_rules(tokenizer: Tokenizer, rules: str) -> Trimmed:
  """Returns a trimmed tokenizer again from its JSON, `backend_tokenizer.to_str()`.

  Args:
    tokenizer: that it was trimmed from.
    rules: the JSON.
  """
  from transformers import PreTrainedTokenizerFast  # seconds to import, which no one else need wait for

  settings = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
  if "do_lower_case" in tokenizer.init_kwargs:  # that somebody decided on case
    settings["do_lower_case"] = tokenizer.init_kwargs["do_lower_case"]
  new = PreTrainedTokenizerFast(
    tokenizer_object=Rust.from_str(rules),
    model_max_length=tokenizer.model_max_length,
    padding_side=tokenizer.padding_side,
    extra_special_tokens=list(tokenizer.extra_special_tokens),
    **settings,
  )
  new.model_input_names = list(tokenizer.model_input_names)
  numbers = tokenizer.get_vocab()
  return Trimmed(new, np.array([numbers[token] for token in tokens_by_id(new) if token is not None]))


def _trimmed(tokenizer: Tokenizer, rules: dict[str, Any], kept: set[str]) -> Trimmed:
  numbers, own = tokenizer.get_vocab(), vocabulary_rules.pieces(rules)
  # Added tokens that the model does not have get the last ids, as the library numbers them.
  ordered = sorted(kept, key=lambda token: (token not in own, numbers[token]))
  trimmed = from_rules(tokenizer, json.dumps(vocabulary_rules.trimmed(rules, ordered)))
  if tokens_by_id(trimmed.tokenizer) != ordered:
    raise InputError(
      "its tokenizer cannot be trimmed: the tokenizers library numbers the tokens that are kept otherwise"
    )
  return trimmed


def _encoded(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterable[Int[np.ndarray, " L"]]:
  texts = list(texts)
  for start in range(0, len(texts), _AT_ONCE):
    for ids in tokenizer(texts[start : start + _AT_ONCE], add_special_tokens=False, verbose=False)["input_ids"]:
      yield np.asarray(ids, np.int64)


def _is_whole(backend: Rust, text: str) -> bool:
  """Whether a tokenizer leaves a text as it is and in one word."""
  if backend.normalizer is not None and backend.normalizer.normalize_str(text) != text:
    return False
  return backend.pre_tokenizer is None or len(backend.pre_tokenizer.pre_tokenize_str(text)) == 1
