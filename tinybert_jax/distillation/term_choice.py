"""Which terms the intermediate loss has, by what weights, and which layer and heads its relations are of."""

import dataclasses
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from tinybert_jax.distillation.terms import INTERMEDIATE, TERMS, TermName
from tinybert_jax.errors import InputError
from tinybert_jax.settings import AT_LEAST_1, NOT_NEGATIVE, check_number

if TYPE_CHECKING:
  from tinybert_jax.models.config import EncoderConfig

WITHOUT_HEADS = "embedding hidden relations"  # terms for models of unequal head counts
_TEACHER_HEAD = 16  # a relation head's width in MiniLMv2's teachers: 48 heads of 768, 64 of 1024


@dataclasses.dataclass(frozen=True)
class TermOptions:
  """What intermediate distillation compares."""

  terms: tuple[TermName, ...] = INTERMEDIATE
  """Terms of the loss of intermediate distillation. The paper's: embedding, hidden (states), attention (scores).
  relations: MiniLMv2's of queries, keys and values, free in head counts. distribution, value_relation: MiniLM's.
  cosine: DistilBERT's, of the last hidden states. pooled: PKD's, of the first token's."""
  term_weights: tuple[str, ...] = ()
  """Weights of terms in the loss, as in hidden=1 attention=0.5. Default: 1."""
  relation_layer: Annotated[int | None, AT_LEAST_1] = None
  """The teacher's layer for relations, distribution and value_relation; the student's is its last. Default: the last;
  of more than 12 layers, the last before their last eighth: 21 of 24."""
  relation_heads: Annotated[int | None, AT_LEAST_1] = None
  """Heads that relations split queries, keys and values into. Default: the most that divide both widths and are at
  least 16 wide in the teacher."""


class TermChoice(NamedTuple):
  """The terms of a loss, which go with its models.

  Attributes:
    terms: in the order of `TERMS`; none of the weight 0.
    term_weights: of the terms whose weight is not 1.
    relation_layer: the teacher's layer of the terms that need queries, keys and values; None without such terms.
    relation_heads: of the term `relations`; None without it.
  """

  terms: tuple[TermName, ...] = INTERMEDIATE
  term_weights: Mapping[TermName, float] = {}
  relation_layer: int | None = None
  relation_heads: int | None = None

  def as_inputs(self) -> dict[str, Any]:
    """Returns what the fingerprint of a stage has of this: what is not as in the paper."""
    return {name: value for name, value in self._asdict().items() if value != self._field_defaults[name]}

  def in_words(self) -> str:
    """Returns the terms as people write them: "embeddings, hidden states × 0.5 and attention scores"."""
    *most, last = map(self._term_in_words, self.terms)
    return f"{', '.join(most)} and {last}" if most else last

  def _term_in_words(self, name: TermName) -> str:
    words, weight = TERMS[name].words, self.term_weights.get(name, 1.0)
    if name == "relations":
      words += f" of {self.relation_heads} head{'s' * (self.relation_heads != 1)}"
    if TERMS[name].needs == "qkv":
      words += f" in the teacher's layer {self.relation_layer}"
    return words if weight == 1 else f"{words} × {weight:g}"


PAPERS_TERMS = TermChoice()


def choose_terms(
  student: "EncoderConfig",
  teacher: "EncoderConfig",
  *,
  terms: Sequence[str] = INTERMEDIATE,
  term_weights: Mapping[TermName, float] | Sequence[str] = (),
  relation_layer: int | None = None,
  relation_heads: int | None = None,
) -> TermChoice:
  """Returns the terms of a loss with what nobody gave decided.

  Args:
    student: its shape.
    teacher: its shape.
    terms: names in `TERMS`.
    term_weights: by the term's name, or texts such as "hidden=0.5"; default 1.
    relation_layer: see `TermOptions`.
    relation_heads: likewise.

  Raises:
    InputError: terms, weights, a layer or heads that cannot be.
  """
  weights = check_terms(terms, term_weights)
  chosen = tuple(name for name in TERMS if weights.get(name, 0) > 0)
  needs = {TERMS[name].needs for name in chosen}
  layer = heads = None
  if "qkv" in needs:
    layer = _layer(relation_layer, teacher.num_hidden_layers)
  elif relation_layer is not None:
    among = ", ".join(name for name, term in TERMS.items() if term.needs == "qkv")
    raise InputError(f"--relation-layer {relation_layer}: it is of the terms {among}, none of which is chosen")
  if "relations" in chosen:
    heads = _heads(relation_heads, student.hidden_size, teacher.hidden_size)
  elif relation_heads is not None:
    raise InputError(f"--relation-heads {relation_heads}: they are of the term relations, which is not chosen")
  return TermChoice(chosen, {name: weights[name] for name in chosen if weights[name] != 1}, layer, heads)


def check_terms(
  terms: Sequence[str], term_weights: Mapping[TermName, float] | Sequence[str] = ()
) -> dict[TermName, float]:
  """Returns the weight of each term; InputError for terms and weights that cannot be."""
  terms = (terms,) if isinstance(terms, str) else terms
  names = [name for name in TERMS if name in terms]
  if unknown := [term for term in terms if term not in TERMS]:
    raise InputError(f"--terms {' '.join(map(str, unknown))}: no such term; there are {', '.join(TERMS)}")
  if not names:
    raise InputError(f"--terms names no term; there are {', '.join(TERMS)}")
  weights = dict.fromkeys(names, 1.0)
  for name, weight in _pairs(term_weights):
    if name not in names:
      raise InputError(f"--term-weights {name}={weight:g}: the term is not among --terms {' '.join(names)}")
    weights[name] = weight
  if not any(weights.values()):
    raise InputError("--term-weights: all terms have the weight 0; at least one needs more")
  return weights


def check_heads(
  student_name: str, terms: Iterable[TermName], student: "EncoderConfig", teacher: "EncoderConfig"
) -> None:
  """Raises InputError for terms that compare attention heads one by one, where the models have not as many.

  Args:
    student_name: for the error.
    terms: of the loss.
    student: its shape.
    teacher: its shape.
  """
  by_head = next((name for name in terms if TERMS[name].by_head), None)
  if by_head and student.num_attention_heads != teacher.num_attention_heads:
    raise InputError(
      f"--student {student_name}: {student.num_attention_heads} attention heads, and the teacher has "
      f"{teacher.num_attention_heads}; {TERMS[by_head].words} are compared head by head, so both need as many; "
      f"--terms {WITHOUT_HEADS} goes without"
    )


def default_relation_layer(layers: int) -> int:
  """Returns the teacher's layer of relations: the last; of more than 12, the last before their last eighth.

  MiniLMv2 takes the last of BERT-base's 12 layers, and the 21st of BERT-large's 24.
  """
  return layers if layers <= 12 else layers - layers // 8


def default_relation_heads(student_width: int, teacher_width: int) -> int:
  """Returns the most relation heads that divide both widths and are at least 16 wide in the teacher, or 1.

  For students of half their width or more this is MiniLMv2's 48 for BERT-base and 64 for BERT-large.
  """
  most = max(1, teacher_width // _TEACHER_HEAD)
  return max(number for number in _common_divisors(student_width, teacher_width) if number <= most)


def _layer(given: int | None, layers: int) -> int:
  if given is None:
    return default_relation_layer(layers)
  check_number("--relation-layer", given, AT_LEAST_1, whole=True)
  if given > layers:
    raise InputError(f"--relation-layer {given}: the teacher has layers 1 to {layers}")
  return int(given)


def _heads(given: int | None, student_width: int, teacher_width: int) -> int:
  if given is None:
    return default_relation_heads(student_width, teacher_width)
  check_number("--relation-heads", given, AT_LEAST_1, whole=True)
  divisors = _common_divisors(student_width, teacher_width)
  if given not in divisors:
    raise InputError(
      f"--relation-heads {given}: the number must divide the widths of student and teacher, {student_width} and "
      f"{teacher_width}, as {', '.join(map(str, divisors))} {'do' if len(divisors) > 1 else 'does'}"
    )
  return int(given)


def _common_divisors(a: int, b: int) -> list[int]:
  common = math.gcd(a, b)
  return [number for number in range(1, common + 1) if common % number == 0]


def _pairs(term_weights: Mapping[TermName, float] | Sequence[str]) -> list[tuple[Any, float]]:
  """Returns names and weights; InputError for what is none."""
  if isinstance(term_weights, Mapping):
    pairs: list[tuple[Any, Any]] = list(term_weights.items())
  else:
    pairs = [_parsed(text) for text in term_weights]
  names = [name for name, _ in pairs]
  for name, weight in pairs:
    if not isinstance(weight, numbers.Real) or not NOT_NEGATIVE.holds(float(weight)):
      raise InputError(f"--term-weights {name}={weight}: it must be a number {NOT_NEGATIVE}")
    if names.count(name) > 1:
      raise InputError(f"--term-weights {name}: the term is there twice")
  return [(name, float(weight)) for name, weight in pairs]


def _parsed(text: str) -> tuple[str, float]:
  name, _, number = str(text).partition("=")
  try:
    return name.strip(), float(number)
  except ValueError as error:
    raise InputError(f"--term-weights {text}: it must be a term and a number, such as hidden=0.5") from error
