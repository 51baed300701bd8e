"""Metrics of tags: of entities as seqeval has them, and of single words."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tinybert_jax.tasks.tags import entities

Tags = Sequence[Sequence[str]]  # of the words of each text


def entity_scores(truth: Tags, given: Tags) -> dict[str, float]:
  """Returns precision, recall and F1 of entities, micro-averaged; the mean F1 of the types; the accuracy of words.

  An entity counts as found where type, first and last word are the same. What would be divided by 0 is 0.

  Args:
    truth: the tags of each text.
    given: those of a model, as many.
  """
  counts = _counts(truth, given)
  right, said, there = (sum(counter.values()) for counter in counts)
  per_type = entity_scores_per_type(truth, given)
  pairs = [
    (ours, theirs) for one, other in zip(truth, given, strict=True) for ours, theirs in zip(one, other, strict=True)
  ]
  return {
    **_scores(right, said, there),
    "macro_f1": sum(scores["f1"] for scores in per_type.values()) / max(1, len(per_type)),
    "accuracy": sum(ours == theirs for ours, theirs in pairs) / max(1, len(pairs)),
  }


def entity_scores_per_type(truth: Tags, given: Tags) -> dict[str, dict[str, Any]]:
  """Returns precision, recall, F1 and `support`, the number of true entities, of each type in the order of names."""
  right, said, there = _counts(truth, given)
  return {
    kind: {**_scores(right[kind], said[kind], there[kind]), "support": there[kind]}
    for kind in sorted(said.keys() | there.keys())
  }


def word_scores_per_tag(truth: Tags, given: Tags, tags: Iterable[str]) -> dict[str, dict[str, Any]]:
  """Returns the same of each tag, counted in words."""
  pairs = Counter(
    (ours, theirs) for one, other in zip(truth, given, strict=True) for ours, theirs in zip(one, other, strict=True)
  )
  there, said = Counter[str](), Counter[str]()
  for (ours, theirs), number in pairs.items():
    there[ours] += number
    said[theirs] += number
  return {tag: {**_scores(pairs[tag, tag], said[tag], there[tag]), "support": there[tag]} for tag in tags}


def _counts(truth: Tags, given: Tags) -> tuple[Counter[str], Counter[str], Counter[str]]:
  """Returns by type the entities that are found, those that are given, and those that are there."""
  right, said, there = Counter[str](), Counter[str](), Counter[str]()
  for ours, theirs in zip(truth, given, strict=True):
    wanted, found = set(entities(ours)), set(entities(theirs))
    for counter, some in ((right, wanted & found), (said, found), (there, wanted)):
      counter.update(entity.type for entity in some)
  return right, said, there


def _scores(right: int, said: int, there: int) -> dict[str, float]:
  precision, recall = right / said if said else 0.0, right / there if there else 0.0
  f1 = 2 * precision * recall / (precision + recall) if right else 0.0
  return {"precision": precision, "recall": recall, "f1": f1}
