"""The terms of the loss by name: what each is called and needs. Logs keep the names, pictures and reports show them."""

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

TermName = Literal[
  "embedding", "hidden", "attention", "relations", "distribution", "value_relation", "cosine", "pooled"
]


class Term(NamedTuple):
  """A term of the intermediate loss; `intermediate_terms` has its function.

  Attributes:
    words: what people call it.
    needs: of the models: hidden states; attention scores of all layers; queries, keys and values of one layer.
    by_head: whether it compares attention heads one by one, so that both models need as many.
    parts: what its keys in a log end in, where they are no layers.
  """

  words: str
  needs: Literal["hidden_states", "scores", "qkv"]
  by_head: bool = False
  parts: tuple[str, ...] = ()


TERMS: dict[TermName, Term] = {
  "embedding": Term("embeddings", "hidden_states"),
  "hidden": Term("hidden states", "hidden_states"),
  "attention": Term("attention scores", "scores", by_head=True),
  "relations": Term("relations", "qkv", parts=("queries", "keys", "values")),
  "distribution": Term("attention distributions", "qkv", by_head=True),
  "value_relation": Term("value relation", "qkv", by_head=True),
  "cosine": Term("cosines", "hidden_states"),
  "pooled": Term("first tokens", "hidden_states"),
}
INTERMEDIATE: tuple[TermName, ...] = ("embedding", "hidden", "attention")  # the paper's
_WORDS = {**{str(name): term.words for name, term in TERMS.items()}, "masked": "masked tokens"}
_TERM_OF_PART = {f"{name}_{part}": str(name) for name, term in TERMS.items() for part in term.parts}
# What a row of a log has beside the terms: an update's other numbers, the loop's, and the score of an evaluation.
NOT_TERMS = frozenset(
  {"step", "epoch", "loss", "grad_norm", "learning_rate", "skipped", "skipped_in_a_row", "seconds", "score"}
)
HELD_OUT = "held_out_"  # before the names of losses on held-out text


def keys_by_term(keys: Iterable[str]) -> dict[str, list[str]]:
  """Returns the keys of each term, by the term's name: `hidden` has `hidden_1`, `hidden_2`, … in the layers' order.

  The terms of the intermediate loss come first, in the order of `TERMS`.
  """
  found: dict[str, list[str]] = {}
  for key in dict.fromkeys(keys):
    if key not in NOT_TERMS and not key.startswith(HELD_OUT):
      found.setdefault(_TERM_OF_PART.get(key) or re.sub(r"_\d+$", "", key), []).append(key)
  in_order = [*(str(term) for term in TERMS if term in found), *(term for term in found if term not in TERMS)]
  return {term: sorted(found[term], key=lambda key: _place(term, key)) for term in in_order}


def in_words(term: str) -> str:
  """Returns a term's name as people write it; one's own terms keep theirs."""
  return _WORDS.get(term, term.replace("_", " "))


def _place(term: str, key: str) -> tuple[int, int, str]:
  """Returns what sorts the keys of a term: its parts as they are declared, layers by number."""
  parts = [f"{term}_{part}" for part in TERMS[term].parts] if term in TERMS else []
  return (parts.index(key) if key in parts else 0, len(key), key)
