"""Names of a loss's terms: the objectives give them, logs keep them, pictures and reports show them."""

import re
from collections.abc import Iterable

INTERMEDIATE = ("embedding", "hidden", "attention")  # the paper's, of intermediate distillation
_WORDS = {
  "embedding": "embeddings",
  "hidden": "hidden states",
  "attention": "attention scores",
  "masked": "masked tokens",
}
# What a row of a log has beside the terms: an update's other numbers, the loop's, and the score of an evaluation.
NOT_TERMS = frozenset(
  {"step", "epoch", "loss", "grad_norm", "learning_rate", "skipped", "skipped_in_a_row", "seconds", "score"}
)
HELD_OUT = "held_out_"  # before the names of losses on held-out text


def keys_by_term(keys: Iterable[str]) -> dict[str, list[str]]:
  """Returns the keys of each term, by the term's name: `hidden` has `hidden_1`, `hidden_2`, … in the layers' order.

  The paper's terms come first, in its order.
  """
  terms: dict[str, list[str]] = {}
  for key in dict.fromkeys(keys):
    if key not in NOT_TERMS and not key.startswith(HELD_OUT):
      terms.setdefault(re.sub(r"_\d+$", "", key), []).append(key)
  in_order = [*(term for term in INTERMEDIATE if term in terms), *(term for term in terms if term not in INTERMEDIATE)]
  return {term: sorted(terms[term], key=lambda key: (len(key), key)) for term in in_order}


def in_words(term: str) -> str:
  """Returns a term's name as people write it; one's own terms keep theirs."""
  return _WORDS.get(term, term.replace("_", " "))
