"""What a smaller vocabulary must keep, so that every text that could be read still can; by the kind of tokenizer.

All functions work on the JSON of the `tokenizers` library.
"""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tinybert_jax.errors import InputError

Json = dict[str, Any]
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_KINDS = ("WordPiece", "BPE", "Unigram")


def check_kind(rules: Json) -> None:
  """Raises InputError for a tokenizer whose pieces are not made of smaller ones."""
  kind = rules["model"].get("type")
  if kind not in _KINDS:
    raise InputError(
      f"its tokenizer is a {kind}, which has no smaller pieces for a word that is left out; only "
      f"{', '.join(_KINDS[:-1])} and {_KINDS[-1]} vocabularies can be trimmed"
    )
  if kind == "BPE" and rules["model"].get("dropout"):
    raise InputError("its tokenizer drops merges at random (dropout), so no vocabulary gives the same tokens")


def pieces(rules: Json) -> dict[str, int]:
  """Returns the ids of the model's tokens; those of added tokens are not all among them."""
  vocabulary = rules["model"]["vocab"]
  if isinstance(vocabulary, dict):
    return dict(vocabulary)
  return {token: number for number, (token, _) in enumerate(vocabulary)}


def always_kept(rules: Json, is_whole: Callable[[str], bool]) -> set[str]:
  """Returns the tokens that no text can do without: added tokens, that for unknown words, and single characters.

  And pieces with a character that has no piece of its own, where a text can hold them.

  Args:
    rules: of the tokenizer.
    is_whole: whether the tokenizer leaves a text as it is and in one word.

  Raises:
    InputError: such pieces overlap with others, so that no one can tell what texts need.
  """
  model, tokens = rules["model"], pieces(rules)
  kept = {token["content"] for token in rules.get("added_tokens") or []}
  unknown = model.get("unk_token")
  if model["type"] == "Unigram" and model.get("unk_id") is not None:
    unknown = model["vocab"][model["unk_id"]][0]
  kept |= {unknown} & tokens.keys()
  kept |= {token for token in tokens if len(_bare(model, token)) == 1}
  if model.get("byte_fallback"):
    kept |= {token for token in tokens if _BYTE.fullmatch(token)}
  if model["type"] == "BPE" and not model.get("ignore_merges"):
    return kept  # which begins with single characters always
  alone = {token for token in tokens.keys() - kept if not tokens.keys() >= _characters(model, token)}
  if model["type"] == "WordPiece":
    alone = {token for token in alone if is_whole(_spelled(model, token))}
  if model["type"] != "BPE":
    _check_overlap(model, alone, tokens)
  return kept | alone


def merge_parts(rules: Json) -> Callable[[str], set[str]]:
  """Returns the function that gives the pieces from which a piece of BPE is merged, none for other tokenizers."""
  model = rules["model"]
  if model["type"] != "BPE":
    return lambda token: set()
  ranks = {pair: rank for rank, pair in enumerate(map(_pair, model["merges"]))}

  def parts(token: str) -> set[str]:
    symbols, found = _symbols(model, token), set[str]()
    while True:
      ranked = [(ranks[pair], at) for at, pair in enumerate(itertools.pairwise(symbols)) if pair in ranks]
      if not ranked:
        return found
      _, at = min(ranked)
      symbols[at : at + 2] = [_merged(model, symbols[at], symbols[at + 1])]
      found.add(symbols[at])

  return parts


def trimmed(rules: Json, kept: Sequence[str]) -> Json:
  """Returns the rules with these tokens alone; a token's new id is its place among them.

  Args:
    rules: of the tokenizer.
    kept: first the model's tokens, then added ones that it lacks.
  """
  numbers = {token: number for number, token in enumerate(kept)}
  model = dict(rules["model"])
  if model["type"] == "Unigram":
    if model.get("unk_id") is not None:
      model["unk_id"] = numbers[model["vocab"][model["unk_id"]][0]]
    model["vocab"] = [[token, score] for token, score in model["vocab"] if token in numbers]
  else:
    own = model["vocab"].keys()
    model["vocab"] = {token: number for token, number in numbers.items() if token in own}
  if model["type"] == "BPE":
    model["merges"] = [
      merge for merge in model["merges"] if {*_pair(merge), _merged(model, *_pair(merge))} <= model["vocab"].keys()
    ]
  changed = {**rules, "model": model}
  changed["added_tokens"] = [{**token, "id": numbers[token["content"]]} for token in rules.get("added_tokens") or []]
  changed["post_processor"] = _renumbered(rules.get("post_processor"), numbers)
  if rules.get("padding"):
    changed["padding"] = {**rules["padding"], "pad_id": numbers[rules["padding"]["pad_token"]]}
  return changed


def _renumbered(processor: Any, numbers: Mapping[str, int]) -> Any:
  """Returns a post-processor with the new ids of its special tokens."""
  if not isinstance(processor, dict):
    return processor
  changed = dict(processor)
  if "processors" in processor:
    changed["processors"] = [_renumbered(one, numbers) for one in processor["processors"]]
  for name in ("sep", "cls"):
    if name in processor:
      changed[name] = [processor[name][0], numbers[processor[name][0]]]
  if processor.get("type") == "TemplateProcessing":
    changed["special_tokens"] = {
      name: {**token, "ids": [numbers[each] for each in token["tokens"]]}
      for name, token in processor["special_tokens"].items()
    }
  return changed


def _check_overlap(model: Json, alone: set[str], tokens: Mapping[str, int]) -> None:
  """Raises InputError where another piece may take the beginning of a piece without which its end cannot be read.

  Only one that begins within a word can, and of WordPiece that is one which continues words.
  """
  prefix = model.get("continuing_subword_prefix") or ""
  within = {token: _bare(model, token) for token in sorted(tokens) if token.startswith(prefix)}
  beginnings = {within[token][:end]: token for token in alone & within.keys() for end in range(1, len(within[token]))}
  for other, text in within.items():
    for start in range(1, len(text)):
      if text[start:] in beginnings:
        raise InputError(
          f"its piece {beginnings[text[start:]]!r} has a character that has no piece of its own, and {other!r} may "
          "take a part of it; a vocabulary with pieces for all single characters can be trimmed"
        )


def _characters(model: Json, token: str) -> set[str]:
  """Returns the single-character tokens that spell a piece."""
  prefix, text = model.get("continuing_subword_prefix") or "", _bare(model, token)
  continues = text != token and token.startswith(prefix)
  return {prefix * (continues or at > 0) + character for at, character in enumerate(text)}


def _spelled(model: Json, token: str) -> str:
  """Returns a word that has the piece, behind a letter if it continues words."""
  text = _bare(model, token)
  return text if text == token else f"a{text}"


def _bare(model: Json, token: str) -> str:
  """Returns the characters of a piece, without the mark that it continues or ends a word."""
  prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
  text = token.removeprefix(prefix) or token
  return text.removesuffix(suffix) or text


def _symbols(model: Json, token: str) -> list[str]:
  """Returns the single characters that BPE merges to a piece, with the marks that they have."""
  prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
  text = _bare(model, token)
  continues = bool(prefix) and token.startswith(prefix) and token != text
  symbols = [prefix * (continues or at > 0) + character for at, character in enumerate(text)]
  if suffix and token.endswith(suffix) and symbols:
    symbols[-1] += suffix
  return symbols


def _merged(model: Json, first: str, second: str) -> str:
  return first + second.removeprefix(model.get("continuing_subword_prefix") or "")


def _pair(merge: Any) -> tuple[str, str]:
  first, second = merge.split(" ") if isinstance(merge, str) else merge
  return first, second
