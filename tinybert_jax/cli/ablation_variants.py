"""What `experiments.ablations` compares: each variant is a run of `glue` with some of its options replaced."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tinybert_jax.cli import glue_options
from tinybert_jax.cli.ablations_options import Table, VariantName
from tinybert_jax.distillation.terms import TERMS, TermName

BASE = "base"
PAPERS_BASE = (
  75.6  # TinyBERT4 on dev: the average of MNLI-m, MNLI-mm, MRPC and CoLA, as of all numbers of the paper here
)


class Facts(NamedTuple):
  """What of a base's models and device a variant depends on.

  Attributes:
    shape: the preset or `config.json` of the student's shape, without weights.
    has_weights: whether the base's student brings weights, from general distillation.
    layer_maps: the maps that fit the two models, by name, as numbers such as "2,4,6".
  """

  shape: str
  has_weights: bool
  layer_maps: Mapping[str, str]


# Options that a variant replaces in those of the base; or why there is no such variant of it.
Change = Mapping[str, Any] | str


class Variant(NamedTuple):
  """A row of a table.

  Attributes:
    table: that it is in.
    words: what it is called there.
    change: what it replaces, from the base's options, those of all variants, and what these depend on.
    paper: the paper's average for it; None where the paper has none.
    stage: whose score on dev counts.
  """

  table: Table
  words: str
  change: Callable[[glue_options.Options, int, Facts], Change]
  paper: float | None = None
  stage: glue_options.Stage = "prediction"


def _without_general(base: glue_options.Options, _: int, facts: Facts) -> Change:
  if not facts.has_weights:
    return f"--student {base.student} has no weights of general distillation"
  return {"student": facts.shape, "student_from": "random"}


def _without_augmentation(base: glue_options.Options, *_: Any) -> Change:
  return {"augment": False, "no_augment": True} if base.augment else "the base is not augmented"


def _without_terms(*left_out: TermName) -> Callable[[glue_options.Options, int, Facts], Change]:
  def change(base: glue_options.Options, *_: Any) -> Change:
    lacks = [TERMS[name].words for name in left_out if name not in base.intermediate.terms]
    kept = tuple(name for name in base.intermediate.terms if name not in left_out)
    if lacks:
      return f"the base does not compare {' and '.join(lacks)}"
    if not kept:
      return "the base compares nothing else"
    return _of_terms(base, kept)

  return change


def _relations(base: glue_options.Options, *_: Any) -> Change:
  if "relations" in base.intermediate.terms:
    return "the base compares relations itself"
  kept = tuple(name for name in base.intermediate.terms if name not in ("attention", "hidden"))
  return _of_terms(base, (*kept, "relations"))


def _of_terms(base: glue_options.Options, terms: tuple[TermName, ...]) -> Change:
  weights = tuple(text for text in base.intermediate.term_weights if text.partition("=")[0].strip() in terms)
  return {"intermediate": dataclasses.replace(base.intermediate, terms=terms, term_weights=weights)}


def _layer_map(name: str) -> Callable[[glue_options.Options, int, Facts], Change]:
  def change(_: glue_options.Options, __: int, facts: Facts) -> Change:
    if name not in facts.layer_maps:
      return "no such map fits the two models' numbers of layers"
    return {"layer_map": facts.layer_maps[name]}

  return change


def _start(student_from: str) -> Callable[[glue_options.Options, int, Facts], Change]:
  return lambda _, __, facts: {"student": facts.shape, "student_from": student_from}


def _trimmed(base: glue_options.Options, tokens: int, _: Facts) -> Change:
  return f"the base has --vocabulary {base.vocabulary} itself" if base.vocabulary else {"vocabulary": tokens}


def _set(**options: Any) -> Callable[[glue_options.Options, int, Facts], Change]:
  return lambda *_: options


VARIANTS: dict[VariantName, Variant] = {
  "without-general": Variant("paper-2", "without general distillation", _without_general, 72.5),
  "without-task": Variant(
    "paper-2", "without task distillation", _set(stages=("teacher", "labels")), 68.5, stage="labels"
  ),
  "without-augmentation": Variant("paper-2", "without augmented data", _without_augmentation, 68.4),
  "without-embedding": Variant("paper-3", "without the embedding loss", _without_terms("embedding"), 74.1),
  "without-prediction": Variant(
    "paper-3", "without the prediction loss", _set(prediction_targets="labels", sweep=False), 73.5
  ),
  "without-attention": Variant("paper-3", "without the attention loss", _without_terms("attention"), 71.0),
  "without-hidden": Variant("paper-3", "without the hidden loss", _without_terms("hidden"), 72.9),
  "without-layers": Variant("paper-3", "without attention and hidden", _without_terms("attention", "hidden"), 56.3),
  "uniform-map": Variant("paper-4", "uniform layer map", _layer_map("uniform"), 75.6),
  "top-map": Variant("paper-4", "top layer map", _layer_map("top"), 70.9),
  "bottom-map": Variant("paper-4", "bottom layer map", _layer_map("bottom"), 71.3),
  "inherited": Variant("ours", "first weights from the teacher", _start("teacher")),
  "random-start": Variant("ours", "random first weights", _start("random")),
  "relations": Variant("ours", "relations for attention and hidden", _relations),
  "float32": Variant("ours", "products of float32", _set(dtype="float32")),
  "bfloat16": Variant("ours", "products of bfloat16", _set(dtype="bfloat16")),
  "trimmed-vocabulary": Variant("ours", "smaller vocabulary", _trimmed),
  "whole-vocabulary": Variant("ours", "whole vocabulary", _set(vocabulary=None)),
}
TITLES: dict[Table, str] = {
  "paper-2": "Table 2 of the paper: the stages",
  "paper-3": "Table 3 of the paper: the losses",
  "paper-4": "Table 4 of the paper: the layer map",
  "ours": "Ours",
}
# What a row's words do not tell.
NOTES: dict[str, str] = {
  "without-task": "trains the base's student on the labels alone, by the options of the stage labels of `glue`",
  "without-prediction": "distils the layers as the base does, and learns the labels in the stage prediction",
  "without-layers": "compares embeddings alone in the intermediate stage",
  "inherited": "has the base's student in shape, its first weights made from the fine-tuned teacher's",
  "relations": "compares MiniLMv2's relations in place of hidden states and attention scores",
  "float32": "has all stages in that format, the teacher's too",
  "bfloat16": "has all stages in that format, the teacher's too",
  "trimmed-vocabulary": "has a student of the tokens that the training texts have most often (--trimmed-to)",
}


def settings_of(name: VariantName, base: glue_options.Options, tokens: int, facts: Facts) -> glue_options.Options | str:
  """Returns the options of a variant's run; or, in words, why there is no such variant of this base.

  Args:
    name: of the variant.
    base: options, all of whose defaults are decided; see `ablations.decided`.
    tokens: of a smaller vocabulary.
    facts: on the base's models.

  A variant that would be the base itself is none.
  """
  change = VARIANTS[name].change(base, tokens, facts)
  if isinstance(change, str):
    return change
  made = dataclasses.replace(base, **change)
  return "it is the base itself" if made == base else made


def listed() -> str:
  """Returns the variants in words, table by table."""
  lines = [f"{BASE:22} the run of `glue` that the options describe; all others are compared with it"]
  for table, title in TITLES.items():
    lines += ["", f"{title} (--tables {table})"]
    for name, variant in VARIANTS.items():
      if variant.table == table:
        note = f"; it {NOTES[name]}" if name in NOTES else ""
        lines.append(f"  {name:20} {variant.words}{note}")
  return "\n".join(lines)
