"""The class names in a Hugging Face `config.json`."""

import reprlib
from collections.abc import Mapping
from typing import Any

from tinybert_jax.errors import InputError

_MOST_LABELS = 1_000_000


def label_names(hf: Mapping[str, Any], source: str) -> tuple[str, ...]:
  """Returns the class names of a configuration in the order of the logits.

  Raises InputError, naming `source`, where they contradict each other.
  """
  numbers = hf.get("label2id")
  numbers = numbers if isinstance(numbers, Mapping) else {}
  if hf.get("id2label"):
    names = _numbered(hf["id2label"], "id2label", source)
    # Where one was left at its default, the other has other names.
    wrong = [name for index, name in enumerate(names) if str(numbers.get(name, index)) != str(index)]
    if wrong and len(set(names)) == len(names):
      raise InputError(f"{source}: id2label and label2id give {wrong[0]!r} different numbers")
    return names
  if numbers and not hf.get("num_labels"):
    by_index = {str(index): name for name, index in numbers.items()}
    if len(by_index) < len(numbers):
      raise InputError(f"{source}: label2id gives two names one number")
    return _numbered(by_index, "label2id", source)
  number = hf.get("num_labels") or 2
  if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= _MOST_LABELS:
    raise InputError(
      f"{source}: num_labels must be a whole number from 1 to {_MOST_LABELS:,}, not {reprlib.repr(number):.80}"
    )
  return tuple(f"LABEL_{index}" for index in range(number))


def _numbered(by_index: Any, key: str, source: str) -> tuple[str, ...]:
  """Returns the class names in the order of their numbers."""
  try:
    names = {int(index): str(name) for index, name in by_index.items()}
  except (AttributeError, TypeError, ValueError) as error:
    what = "class numbers to names" if key == "id2label" else "names to class numbers"
    raise InputError(f"{source}: {key} must map {what}") from error
  if sorted(names) != list(range(len(names))):
    raise InputError(f"{source}: {key} must number its classes 0 to {len(names) - 1} without a gap")
  return tuple(names[index] for index in range(len(names)))
