"""Classification of tokens: a tag for each word, such as the names of entities that it belongs to."""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import optax
import pyarrow as pa
import scipy.special
from jaxtyping import Array, Float

from tinybert_jax.data.batches import row_length
from tinybert_jax.data.ragged import Ragged
from tinybert_jax.distillation.losses import WeightedSum, prediction_loss, weighted_sum
from tinybert_jax.models.encoder import Batch
from tinybert_jax.models.heads import TOKENS
from tinybert_jax.models.token_layout import find_layout
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.tasks import entity_metrics
from tinybert_jax.tasks.classification import Classification
from tinybert_jax.tasks.tags import OUTSIDE, entities, scheme_of
from tinybert_jax.tasks.word_windows import pieces_of, room_of, windows_of

STRIDE = 128  # tokens that the windows of a long text share


class TaggedTexts:
  """What a model says of texts: the logits of each word.

  Attributes:
    words: of each text.
    logits: of the words.
  """

  def __init__(self, words: Sequence[Sequence[str]], logits: Ragged):
    self.words, self.logits = words, logits

  def __len__(self) -> int:
    return len(self.words)

  def __getitem__(self, texts: Sequence[int]) -> "TaggedTexts":
    return TaggedTexts([self.words[text] for text in texts], self.logits[texts])


@dataclasses.dataclass(frozen=True)
class Tokens:
  """A tag for each word, by a softmax over the logits of the word's first piece.

  A text is a list of words. A long one has several token rows, which overlap. Each word counts in one of them, where
  most of the text is around it: there its first piece has the class in `token_labels`, and the weight 1 in
  `token_weights`. All other tokens have the weight 0. Rows also have the number of the text, its words in the first of
  its rows; and for `columns`, where the pieces of the words that count begin in the row, and their characters.

  Attributes:
    name: of the data set.
    labels: tags in the order of the logits.
    stride: tokens that the rows of a long text share.
  """

  name: str
  labels: tuple[str, ...]
  stride: int = STRIDE
  kind = "tokens"
  head = TOKENS
  problem_type = None
  label_columns = ("token_labels",)

  @property
  def has_entities(self) -> bool:
    """Whether the tags say entities; plain ones do where one is "O", of words that are in none."""
    return OUTSIDE in self.labels or scheme_of(self.labels) != "plain"

  @property
  def main_metric(self) -> str:
    return "f1" if self.has_entities else "accuracy"

  @property
  def ranked_by(self) -> tuple[str, ...]:
    return (self.main_metric,)

  def tokenize(self, tokenizer: Tokenizer, rows: datasets.Dataset, max_length: int) -> datasets.Dataset:
    """Returns the token rows of `rows`, whose columns are `words`, and `label` with the numbers of their tags.

    Without words there is `text`, whose words are what white space parts.
    """
    room, layout = room_of(tokenizer, max_length), find_layout(tokenizer)
    before, after = len(layout.before), len(layout.after)
    raw = None if "words" in rows.column_names else rows["text"][:]
    texts = rows["words"][:] if raw is None else [text.split() for text in raw]
    labels = rows["label"][:] if "label" in rows.column_names else None
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS if labels or name != "token_labels"}
    for number, (words, pieces) in enumerate(zip(texts, pieces_of(tokenizer, texts), strict=True)):
      of_piece = np.asarray(pieces.words)
      is_first = np.diff(of_piece, prepend=-1) != 0
      for window in windows_of(pieces.words, room, min(self.stride, room // 2)):
        first, last = window.own
        begin, end = np.searchsorted(of_piece, (first, last)).tolist()
        end = min(end, window.last)
        weights = np.zeros(before + window.last - window.first + after, int)
        offset = before - window.first
        weights[begin + offset : end + offset] = is_first[begin:end]
        columns["input_ids"].append(layout.row(pieces.ids[window.first : window.last])[0])
        columns["token_weights"].append(weights)
        columns["text"].append(number)
        columns["words"].append([] if window.first else words)
        columns["begin"].append(begin + offset)
        columns["raw"].append("" if raw is None or window.first else raw[number])
        shift = 0 if raw is None else _shifts(raw[number])[of_piece[begin:end]]
        columns["starts"].append(np.asarray(pieces.starts[begin:end], int) + shift)
        columns["ends"].append(np.asarray(pieces.ends[begin:end], int) + shift)
        if labels:
          classes = np.zeros(len(weights), int)
          classes[weights > 0] = labels[number][first:last]
          columns["token_labels"].append(classes)
    return datasets.Dataset.from_dict(columns, features=datasets.Features({name: _COLUMNS[name] for name in columns}))

  def label_loss(self, logits: Array, batch: Batch) -> WeightedSum:
    error = optax.softmax_cross_entropy_with_integer_labels(logits, batch["token_labels"])
    return weighted_sum(error, _weights(batch))

  def target_loss(
    self, logits: Array | np.ndarray, targets: Array | np.ndarray, batch: Batch, temperature: float = 1.0
  ) -> WeightedSum:
    """Returns the soft cross-entropy of Equation 10 for each first piece of a word."""
    return prediction_loss(logits, targets, _weights(batch), temperature=temperature)

  def combine_targets(self, logits: list[Ragged], weights: tuple[float, ...]) -> Ragged:
    """Returns the logarithm of the weighted mean of the probabilities; one teacher's logits as they are."""
    values = self._classes.combine_targets([each.values for each in logits], weights)
    return Ragged(values, logits[0].lengths)

  def joined(self, logits: Ragged, rows: datasets.Dataset) -> TaggedTexts:
    """Returns the logits of each text's words."""
    return TaggedTexts([words for words in rows["words"][:] if words], _of_words(logits.values, rows))

  def truth(self, rows: datasets.Dataset) -> Ragged | None:
    """Returns the classes of each text's words."""
    return _of_words(_flat(rows, "token_labels"), rows) if "token_labels" in rows.column_names else None

  def tags(self, outputs: TaggedTexts) -> list[list[str]]:
    """Returns the most probable tag of each word of each text."""
    return self._named(Ragged(outputs.logits.values.argmax(-1), outputs.logits.lengths))

  def score(self, outputs: TaggedTexts, truth: Ragged) -> dict[str, float]:
    return self._score(self._named(truth), self.tags(outputs))

  def agreement(self, outputs: TaggedTexts, others: TaggedTexts) -> float:
    """Returns the share of words with the same tag."""
    return float(np.mean(outputs.logits.values.argmax(-1) == others.logits.values.argmax(-1)))

  def disagreement(self, outputs: TaggedTexts, others: TaggedTexts) -> Float[np.ndarray, " N"]:
    """Returns for each text the probability that the models give otherwise, summed over words of other tags."""
    apart = self._classes.disagreement(outputs.logits.values, others.logits.values)
    return np.add.reduceat(apart, outputs.logits.starts)

  def details(self, outputs: Mapping[str, TaggedTexts], truth: Ragged) -> dict[str, Any]:
    wanted = self._named(truth)
    counts = np.bincount(truth.values, minlength=len(self.labels))
    most = OUTSIDE if self.has_entities and OUTSIDE in self.labels else self.labels[int(counts.argmax())]
    constant = [[most] * len(tags) for tags in wanted]
    given = {name: self.tags(said) for name, said in outputs.items()}
    per_class = {name: self._per_class(wanted, tags) for name, tags in given.items()}
    return {"majority": {**self._score(wanted, constant), "label": most}, "per_class": per_class}

  def answers(self, outputs: TaggedTexts) -> list[dict[str, Any]]:
    """Returns the entities of each text, their words and type; of tags without entities all words with their tags."""
    return [
      {"answer": self._in_words(words, tags)} for words, tags in zip(outputs.words, self.tags(outputs), strict=True)
    ]

  def written(self, text: Mapping[str, Any]) -> list[str]:
    return self._in_words(text["words"], [self.labels[number] for number in text["label"]])

  def columns(self, logits: Ragged, rows: datasets.Dataset) -> dict[str, pa.Array]:
    """Returns the tags of each text's words; and where tags say entities, these as transformers' pipeline has them."""
    outputs = self.joined(logits, rows)
    found = {"prediction": pa.array(self.tags(outputs), pa.list_(pa.string()))}
    if self.has_entities:
      found["entities"] = pa.array(self._groups(outputs.words, logits, rows), pa.list_(_ENTITY))
    return found

  def _groups(
    self, texts: Sequence[Sequence[str]], logits: Ragged, rows: datasets.Dataset
  ) -> list[list[dict[str, Any]]]:
    """Returns the entities of each text as `aggregation_strategy="simple"` groups them: by all pieces of all words."""
    found: list[list[dict[str, Any]]] = [[] for _ in texts]
    before: tuple[int, str] = (-1, "")  # the text and the type of the piece before
    scores: list[float] = []
    for number, row in enumerate(rows.select_columns(["text", "begin", "starts", "ends"])):
      own = logits[number][row["begin"] :][: len(row["starts"])]
      probabilities = scipy.special.softmax(own, -1)
      for values, start, end in zip(probabilities, row["starts"], row["ends"], strict=True):
        tag = self.labels[int(values.argmax())]
        letter, kind = (tag[0], tag[2:]) if tag.startswith(("B-", "I-")) else ("I", tag)
        groups = found[row["text"]]
        if (row["text"], kind) != before or letter == "B":
          scores = []
          groups.append({"entity_group": tag.split("-", 1)[-1], "start": start})
        scores.append(float(values.max()))
        groups[-1] |= {"end": end, "score": float(np.mean(scores))}
        before = (row["text"], kind)
    raw = [text for text, words in zip(rows["raw"][:], rows["words"][:], strict=True) if words]
    shown = [given or " ".join(words) for given, words in zip(raw, texts, strict=True)]
    return [
      [{**group, "word": text[group["start"] : group["end"]]} for group in groups if group["entity_group"] != OUTSIDE]
      for text, groups in zip(shown, found, strict=True)
    ]

  @functools.cached_property
  def _classes(self) -> Classification:
    """Single words as rows of a classification."""
    return Classification(self.name, self.labels)

  def _named(self, classes: Ragged) -> list[list[str]]:
    names = Ragged(np.asarray(self.labels, object)[classes.values], classes.lengths)
    return [names[text].tolist() for text in range(len(names))]

  def _score(self, wanted: list[list[str]], given: list[list[str]]) -> dict[str, float]:
    if self.has_entities:
      return entity_metrics.entity_scores(wanted, given)
    per_tag = [scores for scores in self._per_class(wanted, given).values() if scores["support"]]
    pairs = [
      one == other for ours, theirs in zip(wanted, given, strict=True) for one, other in zip(ours, theirs, strict=True)
    ]
    return {"accuracy": float(np.mean(pairs)), "macro_f1": float(np.mean([scores["f1"] for scores in per_tag]))}

  def _per_class(self, wanted: list[list[str]], given: list[list[str]]) -> dict[str, dict[str, Any]]:
    if self.has_entities:
      return entity_metrics.entity_scores_per_type(wanted, given)
    return entity_metrics.word_scores_per_tag(wanted, given, self.labels)

  def _in_words(self, words: Sequence[str], tags: Sequence[str]) -> list[str]:
    if not self.has_entities:
      return [f"{word} ({tag})" for word, tag in zip(words, tags, strict=True)]
    return [f"{' '.join(words[first : last + 1])} ({kind})" for kind, first, last in entities(tags)]


_NUMBERS = datasets.List(datasets.Value("int32"))
_COLUMNS = {
  "input_ids": _NUMBERS,
  "token_weights": datasets.List(datasets.Value("int8")),
  "token_labels": _NUMBERS,
  "text": datasets.Value("int64"),
  "words": datasets.List(datasets.Value("string")),
  "raw": datasets.Value("string"),
  "begin": datasets.Value("int32"),
  "starts": _NUMBERS,
  "ends": _NUMBERS,
}
_ENTITY = pa.struct(
  {"entity_group": pa.string(), "score": pa.float32(), "word": pa.string(), "start": pa.int32(), "end": pa.int32()}
)


def _shifts(text: str) -> np.ndarray:
  """Returns how much further each word begins in a text than where there is one space between words."""
  words = list(re.finditer(r"\S+", text))
  lengths = [len(word[0]) + 1 for word in words]
  return np.asarray([word.start() for word in words]) - (np.cumsum(lengths) - lengths)


def _weights(batch: Batch) -> Any:
  """Returns the weight of each token, B×L."""
  weights = batch["token_weights"].astype(np.float32)
  return weights * batch["example_weight"][:, None] if "example_weight" in batch else weights


def _of_words(values: np.ndarray, rows: datasets.Dataset) -> Ragged:
  """Returns the values of the tokens that count, by text; rows are in the order of texts and words."""
  weights = Ragged(_flat(rows, "token_weights") > 0, row_length(rows))
  counts = np.add.reduceat(weights.values.astype(np.int64), weights.starts)
  texts = np.asarray(rows["text"][:])
  lengths = np.bincount(texts, weights=counts).astype(np.int64)
  return Ragged(values[weights.values], lengths)


def _flat(rows: datasets.Dataset, name: str) -> np.ndarray:
  """Returns the numbers of a column of lists behind each other."""
  return rows.select_columns(name).with_format("arrow")[:][name].combine_chunks().flatten().to_numpy()
