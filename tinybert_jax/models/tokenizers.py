"""Tokenizers of model directories, each probed once for what it does."""

import codecs
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import read_json
from tinybert_jax.models.hub import local_directory
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.models.weights import check_file

INPUT_NAMES = ["input_ids", "token_type_ids", "attention_mask"]
# Files that a tokenizer of one kind leaves beside those of another, which would be read in their place.
FILES = (
  "tokenizer.json",
  "tokenizer_config.json",
  "vocab.txt",
  "vocab.json",
  "merges.txt",
  "added_tokens.json",
  "special_tokens_map.json",
  "spiece.model",
  "sentencepiece.bpe.model",
)
# Any of these sets is a whole tokenizer.
_WHOLE = (
  ("tokenizer.json",),
  ("vocab.txt",),
  ("vocab.json", "merges.txt"),
  ("spiece.model",),
  ("sentencepiece.bpe.model",),
)
# Letters with and without case and accents, punctuation, CJK, and a character that hardly any vocabulary has.
_FEWEST_USED = 0.9  # of a model's embeddings
_WORDS = 50  # of the vocabulary that a tokenizer is tried on
_ALL_KINDS = "The Café, naïvely: 中文 COSTS €3.50…"
_PROBES = ("The quick Café, don't!", "日本語のテキスト です。", "a\u2603b \U0001f9ff", "")


def load_tokenizer(name: str | os.PathLike) -> Tokenizer:
  """Returns the tokenizer of a directory or hub id, checked: what it does not do right is an error here.

  It is a fast one; transformers' BertJapaneseTokenizer is turned into one where that gives the same tokens. It always
  gives `token_type_ids`, which transformers 5 leaves out for most classes.

  Raises:
    InputError: no tokenizer there, a damaged one, or one that does not fit: special tokens without a name or without
      their place in a text, two tokens of one id, token ids beyond the model's embeddings, or lower-casing by default
      though the vocabulary has words in capitals.
  """
  directory = local_directory(name)
  if not has_tokenizer(directory):
    raise InputError(f"{directory}: no tokenizer.json and no vocab.txt; put the model's tokenizer files there")
  for file in FILES:
    if (directory / file).is_file():
      check_file(directory / file)
  path = directory / "vocab.txt"
  if path.is_file() and path.read_bytes().startswith(codecs.BOM_UTF8):
    raise InputError(f"{path}: begins with a byte order mark, which makes its first token another; save it without")
  hf = read_json(directory / "config.json")
  tokenizer = _fast(directory, _read(directory, hf))
  tokenizer.model_input_names = list(INPUT_NAMES)
  _check_special_tokens(directory, tokenizer)
  _check_words(directory, tokenizer)
  _check_case(directory, tokenizer)
  # Configurations of BERT may leave the number of segments out; other kinds that name none have none.
  _check_segments(directory, tokenizer, hf.get("type_vocab_size", 2 if hf.get("model_type", "bert") == "bert" else 0))
  if isinstance(hf.get("vocab_size"), int):
    check_fits(directory, tokenizer, hf["vocab_size"])
  return tokenizer


def has_tokenizer(directory: Path) -> bool:
  """Whether a model directory has a tokenizer of its own."""
  return any(all((directory / file).is_file() for file in files) for files in _WHOLE)


def in_words(tokenizer: Tokenizer) -> str:
  """Returns what kind of tokenizer it is and how many tokens it has, such as "WordPiece of 30,522 tokens"."""
  return f"{type(tokenizer.backend_tokenizer.model).__name__} of {len(tokenizer.get_vocab()):,} tokens"


def read_alike(one: Tokenizer, other: Tokenizer) -> bool:
  """Whether two tokenizers read every text as the same tokens, as far as a vocabulary and a text of all kinds tell."""
  return one.get_vocab() == other.get_vocab() and one(_ALL_KINDS)["input_ids"] == other(_ALL_KINDS)["input_ids"]


def check_fits(name: str | os.PathLike, tokenizer: Tokenizer, vocab_size: int) -> None:
  """Raises InputError where a tokenizer has a token for which a model of `vocab_size` embeddings has none.

  It warns where the model has embeddings for many more tokens: a few fill up a matrix, but so many are another's.
  """
  vocabulary = tokenizer.get_vocab()
  token = max(vocabulary, key=vocabulary.__getitem__)
  if len(vocabulary) > vocab_size:
    raise InputError(
      f"{name}: its tokenizer has {len(vocabulary)} tokens, and the model only {vocab_size}; they are not of the same "
      "model"
    )
  if vocabulary[token] >= vocab_size:
    raise InputError(
      f"{name}: its tokenizer's token {token!r} has the id {vocabulary[token]}, and the model has embeddings for ids "
      f"below {vocab_size} only; they are not of the same model"
    )
  if len(vocabulary) < _FEWEST_USED * vocab_size:
    warnings.warn(
      f"{name}: its tokenizer has {len(vocabulary):,} tokens, and the model embeddings for {vocab_size:,}; right only "
      "if it was trained so",
      stacklevel=3,
    )


def _read(directory: Path, hf: Mapping[str, Any]) -> Tokenizer:
  from transformers import AutoTokenizer, BertConfig  # seconds to import, which no one else need wait for

  options = {}
  if hf.get("model_type", "bert") == "bert":  # TinyBERT's released configurations have no model_type
    options["config"] = BertConfig.from_dict({"tokenizer_class": hf.get("tokenizer_class")})
  try:
    return AutoTokenizer.from_pretrained(directory, **options)
  except Exception as error:  # its readers raise whatever a damaged file makes of them
    reason = " ".join(str(error).split())[:200]
    raise InputError(f"{directory}: its tokenizer's files cannot be read ({reason})") from error


def _fast(directory: Path, tokenizer: Tokenizer) -> Tokenizer:
  """Returns a tokenizer written in Rust, which packing and augmentation need; the same tokens as the one given."""
  if tokenizer.is_fast:
    return tokenizer
  kind = type(tokenizer).__name__
  if kind == "BertJapaneseTokenizer" and getattr(tokenizer, "word_tokenizer_type", None) == "basic":
    fast = _fast_japanese(tokenizer)
    if fast is not None and all(fast(text)["input_ids"] == tokenizer(text)["input_ids"] for text in _PROBES):
      return fast
  words = getattr(tokenizer, "word_tokenizer_type", None)
  raise InputError(
    f"{directory}: its tokenizer, {kind}{f' with {words}' if words else ''}, is written in Python, and a fast one is "
    "needed (a tokenizer.json)"
  )


def _fast_japanese(tokenizer: Tokenizer) -> Tokenizer | None:
  """Returns transformers' BertJapaneseTokenizer of basic words as a fast tokenizer; None for pieces it cannot cut."""
  from tokenizers import Tokenizer as Rust
  from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
  from transformers import PreTrainedTokenizerFast

  if tokenizer.subword_tokenizer_type != "wordpiece":
    return None
  rust = Rust(models.WordPiece(dict(tokenizer.vocab), unk_token=str(tokenizer.unk_token), max_input_chars_per_word=100))
  rust.normalizer = normalizers.BertNormalizer(
    clean_text=True, handle_chinese_chars=False, strip_accents=None, lowercase=tokenizer.lower_case
  )
  rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  rust.decoder = decoders.WordPiece()
  cls, sep = tokenizer.cls_token, tokenizer.sep_token
  rust.post_processor = processors.TemplateProcessing(
    single=f"{cls}:0 $A:0 {sep}:0",
    pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
    special_tokens=[(cls, tokenizer.cls_token_id), (sep, tokenizer.sep_token_id)],
  )
  names = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
  return PreTrainedTokenizerFast(
    tokenizer_object=rust,
    model_max_length=tokenizer.model_max_length,
    **{name: getattr(tokenizer, name) for name in names},
  )


def _check_special_tokens(directory: Path, tokenizer: Tokenizer) -> None:
  """Raises InputError where a text would lack its first or last token, or an unknown word its own."""
  needed = {name: getattr(tokenizer, name) for name in ("cls_token", "sep_token", "unk_token")}
  unnamed = [name for name, token in needed.items() if token is None]
  if unnamed:
    raise InputError(
      f"{directory}: its tokenizer names no {' and no '.join(unnamed)}; put them into tokenizer_config.json, such as "
      '{"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}'
    )
  if not (directory / "tokenizer.json").is_file() and not (directory / "added_tokens.json").is_file():
    # transformers adds what vocab.txt lacks, with ids for which the model has no trained embeddings.
    known = tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False)
    lacking = [str(token) for token in needed.values() if str(token) not in known]
    if lacking:
      raise InputError(f"{directory / 'vocab.txt'}: no line {' and no line '.join(lacking)}; a BERT needs them")
    if tokenizer.mask_token is not None and str(tokenizer.mask_token) not in known:
      tokenizer.mask_token = None
  _check_names(directory, tokenizer)
  seen: dict[int, str] = {}
  for token, number in tokenizer.get_vocab().items():
    if number in seen:
      two = " and ".join(map(repr, sorted((seen[number], token))))
      raise InputError(f"{directory}: its tokenizer has the id {number} for two tokens, {two}")
    seen[number] = token
  try:
    encoded = [tokenizer(text, verbose=False)["input_ids"] for text in _PROBES]
    pair = tokenizer(*_PROBES[:2], verbose=False)["input_ids"]
  except Exception as error:  # tokenizers raises nothing more special
    raise InputError(f"{directory}: its tokenizer cannot read every text ({error})") from error
  cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
  first, second = encoded[:2]
  in_order = pair[: len(first)] == first and pair[-len(second) + 1 :] == second[1:]
  if not in_order or not all(len(row) >= 2 and row[0] == cls and row[-1] == sep for row in encoded):
    raise InputError(
      f"{directory}: its tokenizer does not put {tokenizer.cls_token} before and {tokenizer.sep_token} after a text; "
      "give its tokenizer.json the post-processor of BERT"
    )


def _check_names(directory: Path, tokenizer: Tokenizer) -> None:
  """Raises InputError where one token has two of the roles that a model tells apart."""
  roles: dict[int, str] = {}
  for name in ("cls_token", "sep_token", "unk_token", "mask_token"):
    token = getattr(tokenizer, name)
    number = getattr(tokenizer, f"{name}_id")
    if number in roles:
      raise InputError(f"{directory}: its tokenizer has {token!r} as {roles[number]} and as {name}; give each its own")
    if number is not None:
      roles[number] = name


def _check_words(directory: Path, tokenizer: Tokenizer) -> None:
  """Raises InputError where a tokenizer knows few words of its vocabulary, as one of another kind of model does."""
  path = directory / "vocab.txt"
  if path.is_file() and not (directory / "tokenizer.json").is_file():  # which such a one does not even read
    vocabulary = path.read_text(encoding="utf-8", errors="replace").split()
  else:
    vocabulary = list(tokenizer.get_vocab())
  words = sorted(token.lstrip("▁Ġ") for token in vocabulary if not token.startswith("##"))
  words = [word for word in words if word.isalpha() and word == word.lower()]
  words = words[:: max(1, len(words) // _WORDS)]
  encoded = [tokenizer(word, add_special_tokens=False, verbose=False)["input_ids"] for word in words]
  unknown = [word for word, ids in zip(words, encoded, strict=True) if not ids or tokenizer.unk_token_id in ids]
  if 2 * len(unknown) > len(words):
    raise InputError(
      f"{directory}: its tokenizer, {type(tokenizer).__name__}, does not know the words of its own vocabulary, such as "
      f"{max(unknown, key=len)!r}; tokenizer_config.json must name the class that the vocabulary is of"
    )


def _check_segments(directory: Path, tokenizer: Tokenizer, segments: Any) -> None:
  """Warns where both texts of a pair are of one segment, and the model has two."""
  encoded = tokenizer(*_PROBES[:2], return_token_type_ids=True, verbose=False)
  if isinstance(segments, int) and segments > 1 and not any(encoded["token_type_ids"]):
    warnings.warn(
      f"{directory}: its tokenizer puts both texts of a pair into segment 0, and the model has {segments}; right "
      "only if it was trained so",
      stacklevel=3,
    )


def _check_case(directory: Path, tokenizer: Tokenizer) -> None:
  """Refuses lower-casing that nobody asked for where the vocabulary has capitals; warns where it was asked for."""
  normalizer = tokenizer.backend_tokenizer.normalizer
  if normalizer is None or "A" in normalizer.normalize_str("A"):
    return
  special = set(tokenizer.all_special_tokens)
  words = [
    token
    for token in tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False)
    if token not in special and not token.startswith(("[", "<"))
  ]
  capitals = sorted(word for word in words if any(letter.isupper() for letter in word) and word != word.lower())
  if 100 * len(capitals) < len(words) or not capitals:
    return
  example = max(capitals, key=len)
  sentence = (
    f"{directory}: its tokenizer turns texts to lower case, and {len(capitals):,} of its {len(words):,} tokens have "
    f"capitals, such as {example!r}, so that they are never used"
  )
  config = directory / "tokenizer_config.json"
  if config.is_file() and "do_lower_case" in read_json(config):
    warnings.warn(f'{sentence}; {{"do_lower_case": false}} in tokenizer_config.json keeps case', stacklevel=3)
    return
  raise InputError(f'{sentence}; put {{"do_lower_case": false}} into tokenizer_config.json, or true if it is meant')


def write_settings(directory: Path, longest: int, segments: int = 2) -> None:
  """Completes a saved tokenizer's settings: the model's longest input, and the inputs that it needs.

  With them `truncation=True` cuts texts that the model is too short for, and pairs keep their segments. Models of fewer
  than two `segments` are given none.
  """
  path = directory / "tokenizer_config.json"
  if not path.is_file():
    return
  settings = read_json(path)
  length = settings.get("model_max_length")
  if not isinstance(length, int | float) or length > longest:
    settings["model_max_length"] = longest
  settings["model_input_names"] = [name for name in INPUT_NAMES if segments > 1 or name != "token_type_ids"]
  path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
