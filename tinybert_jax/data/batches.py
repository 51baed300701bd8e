"""Ragged token rows to padded batches: a few static lengths, nothing dropped, the same order for the same seed."""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import datasets
import grain
import numpy as np
import pyarrow as pa
from jaxtyping import Float

from tinybert_jax.data.label_column import check_labels, label_array
from tinybert_jax.data.ragged import Ragged
from tinybert_jax.data.token_columns import PER_TOKEN, check_columns, list_lengths
from tinybert_jax.errors import InputError
from tinybert_jax.models.tokenizer_type import wrong_text
from tinybert_jax.settings import AT_LEAST_1, Bound, check_number

NumpyBatch = dict[str, np.ndarray]
_NO_ROWS = "there are no rows to make batches from"
# Columns of a batch besides those of tokens; the last three hold numbers, the last two perhaps several in each row.
_READ = ("input_ids", "group", "labels", "teacher_targets")
# Rows, and characters: a tokenizer's own result takes some hundred times the memory of the tokens.
_TOKENIZED_AT_ONCE, _CHARACTERS_AT_ONCE = 10_000, 1 << 24
_MOST_LENGTHS = 6
_LONGEST_TEXT = 1 << 18  # characters that a tokenizer is given, of which a model reads the first few thousand


def bucket_lengths(
  lengths: Sequence[int] | np.ndarray,
  number: int | None = None,
  multiple: int = 4,
  at_most: int | None = None,
  *,
  passes: float | None = None,
  compiling: int = 0,
) -> tuple[int, ...]:
  """Returns the lengths, in rising order, that rows of these `lengths` pad least to.

  Every one is a multiple of `multiple` (of a larger one where rows are longer than 16 of them), and the last
  holds the longest row; but none is longer than `at_most`.

  Args:
    lengths: of the rows, in tokens.
    number: how many at most; by default one for every 250 rows, up to six: each is a program to compile, which
      few rows do not repay.
    multiple: what they are multiples of.
    at_most: what rows are cut to, or what a model has positions for.
    passes: how often each row is read. Where it is given, and `number` is not, there are as many as pay, six at most.
    compiling: the tokens that could be read in the time that compiling for one more length takes.
  """
  if not len(lengths) or not max(lengths):
    raise InputError(_NO_ROWS if not len(lengths) else "no row has a token")
  if number is None:
    number = _MOST_LENGTHS if passes is not None else min(_MOST_LENGTHS, 1 + len(lengths) // 250)
  longest = int(max(lengths))
  step = multiple * -(-longest // (16 * multiple))
  needed = np.bincount(-(-np.asarray(lengths) // step))  # rows by their length in steps
  choices = range(1, len(needed) - 1)
  shorter = [c for n in range(min(number, len(needed) - 1)) for c in itertools.combinations(choices, n)]

  def padded(cuts):
    ends = [next(cut for cut in (*cuts, len(needed) - 1) if cut >= length) for length in range(len(needed))]
    tokens = int(needed @ np.asarray(ends)) * step
    return (tokens if passes is None else passes * tokens + compiling * len(cuts)), len(cuts)

  last = (len(needed) - 1) * step
  return (*(cut * step for cut in min(shorter, key=padded)), last if at_most is None else min(last, at_most))


class BatchSource:
  """The batches of a whole run by number: a Grain data source.

  Each epoch shuffles the rows, sorts them into buckets of similar length and the batches into random
  order. What does not fill a batch of its bucket goes to the next longer one, so an epoch takes
  ⌈rows/batch_size⌉ batches, and only its last one is filled up, by rows of `example_weight` 0.

  A batch has `input_ids`, `attention_mask` and `example_weight`, and of `labels`, `teacher_targets`, `token_type_ids`
  and other columns called `token_…` those that the data set has. The last have a number for each token, filled up by
  zeros; `teacher_targets` may have a list of numbers for each token too.

  Rows of one number in a column `group` belong together, such as the passages of a query. They stand side by side in
  batches of their longest row's bucket, and only where a batch is full are they divided.
  """

  def __init__(
    self,
    rows: datasets.Dataset,
    *,
    batch_size: int,
    lengths: Sequence[int],
    epochs: int = 1,
    steps: int | None = None,
    seed: int = 0,
    shuffle: bool = True,
    pad_id: int = 0,
    num_labels: int | None = None,
    process: int = 0,
    processes: int = 1,
  ):
    """Args:
      rows: with the column `input_ids` and any of those above.
      batch_size: rows in a batch.
      lengths: of the buckets, rising; see `bucket_lengths`.
      epochs: passes over the rows.
      steps: batches of the run, in place of `epochs`.
      seed: of the shuffling.
      shuffle: or go by rising length, the same in every epoch.
      pad_id: the token that fills up `input_ids`.
      num_labels: the model's, to check the column `labels` by; `training.loop.train` does so in any case.
      process: this process's number, of several that train together.
      processes: how many there are. Each reads its share of the rows of every batch: the rows of the whole batch,
        and so the run's, do not depend on how many share them.

    Raises:
      InputError: no rows, columns that are no tokens or contradict each other, a row longer than the last bucket, a
        label that is missing or no number or no class of the model, targets that are not finite, or a batch that the
        processes cannot share.
    """
    if not len(rows):
      raise InputError(_NO_ROWS)
    check_number("batch_size", batch_size, AT_LEAST_1, whole=True)
    if batch_size % processes:
      raise InputError(f"batches of {batch_size} rows cannot be shared by {processes} processes")
    self._share, self._process = batch_size // processes, process
    self.rows, self.batch_size, self.lengths = rows, batch_size, tuple(lengths)
    self.seed, self.shuffle, self.pad_id = seed, shuffle, pad_id
    check_columns(rows)
    check_labels(rows, num_labels)
    self._read = rows.select_columns([name for name in rows.column_names if name in _READ or _is_per_token(name)])
    row_lengths = row_length(rows)
    if row_lengths.max() > self.lengths[-1]:
      raise InputError(f"a row of {row_lengths.max()} tokens does not fit the longest bucket, {self.lengths[-1]}")
    self._bucket = np.searchsorted(self.lengths, row_lengths)
    self._group: np.ndarray | None = None
    if "group" in rows.column_names:
      _, self._group = np.unique(np.asarray(rows["group"][:]), return_inverse=True)
      longest = np.zeros(self._group.max() + 1, self._bucket.dtype)
      np.maximum.at(longest, self._group, self._bucket)
      self._bucket = longest[self._group]
    self._steps = epochs * self.steps_per_epoch if steps is None else steps
    self._plan = functools.lru_cache(maxsize=2)(self._plan_epoch)

  @property
  def steps_per_epoch(self) -> int:
    return -(-len(self.rows) // self.batch_size)

  def __len__(self) -> int:
    return self._steps

  def __getitem__(self, step: int) -> NumpyBatch:
    epoch, index = divmod(step, self.steps_per_epoch)
    length, indices = self._plan(epoch)[index]
    own = indices[self._process * self._share :][: self._share]
    return pad_batch(self._read[own] if len(own) else self._no_rows(), length, self._share, self.pad_id)

  def first_steps(self) -> dict[int, int]:
    """Returns the number of the run's first batch of each length that it has, in the order of the batches."""
    first: dict[int, int] = {}
    for step, (length, _) in enumerate(self._plan(0)[: self._steps]):
      first.setdefault(length, step)
    return first

  def indices(self, step: int) -> np.ndarray:
    """Returns the numbers of the data set's rows in batch `step`, in their order; all processes' shares."""
    epoch, index = divmod(step, self.steps_per_epoch)
    return self._plan(epoch)[index][1]

  def __iter__(self) -> grain.DatasetIterator[NumpyBatch]:
    """Returns a Grain iterator that reads ahead in a thread, and has `get_state` and `set_state`."""
    return read_ahead(self)

  def _no_rows(self) -> dict[str, Any]:
    """Returns the columns of no rows, in their shape and type, for a share of a batch that is left empty: all processes
    need arrays of the same.
    """
    return {name: np.asarray(column)[:0] for name, column in self._read[[0]].items()}

  def _plan_epoch(self, epoch: int) -> list[tuple[int, np.ndarray]]:
    rng = np.random.default_rng((self.seed, epoch))
    order = rng.permutation(len(self.rows)) if self.shuffle else np.arange(len(self.rows))
    if self.shuffle and self._group is not None:  # the groups in random order, and their rows in theirs
      order = order[np.argsort(rng.permutation(self._group.max() + 1)[self._group[order]], kind="stable")]
    plan, left = [], np.empty(0, np.int64)
    for bucket, length in enumerate(self.lengths):
      left = np.concatenate([left, order[self._bucket[order] == bucket]])
      full = len(left) // self.batch_size * self.batch_size
      plan += [(length, part) for part in left[:full].reshape(-1, self.batch_size)]
      left, longest = left[full:], length
    if len(left):
      plan.append((longest, left))
    return [plan[i] for i in rng.permutation(len(plan))] if self.shuffle else plan


def read_ahead(source: Any) -> grain.DatasetIterator[NumpyBatch]:
  """Returns a Grain iterator over the batches of a source, by number; see `BatchSource.__iter__`."""
  options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=8)
  return iter(grain.MapDataset.source(source).to_iter_dataset(options))


def pad_batch(rows: Mapping[str, Any], length: int, batch_size: int, pad_id: int = 0) -> NumpyBatch:
  """Returns rows as a batch of `batch_size` × `length`, filled up by rows of `example_weight` 0."""
  number = len(rows["input_ids"])
  batch = {
    "input_ids": np.full((batch_size, length), pad_id, np.int32),
    "attention_mask": np.zeros((batch_size, length), np.int32),
    "example_weight": (np.arange(batch_size) < number).astype(np.float32),
  }
  lengths = np.zeros(batch_size, np.int32)
  lengths[:number] = [len(ids) for ids in rows["input_ids"]]
  valid = np.arange(length) < lengths[:, None]
  batch["attention_mask"][valid] = 1
  for name, column in rows.items():
    if name == "input_ids" or _is_per_token(name) or (name == "teacher_targets" and np.ndim(column[:1]) == 3):
      values = np.concatenate([np.asarray(row) for row in column]) if number else column[:, 0]
      batch.setdefault(name, np.zeros((batch_size, length, *values.shape[1:]), _dtype(values)))[valid] = values
    elif name in _READ:
      values = np.asarray(column)
      batch[name] = np.zeros((batch_size, *values.shape[1:]), _dtype(values))
      batch[name][:number] = values
  return batch


def _is_per_token(name: str) -> bool:
  return name.startswith(PER_TOKEN)


def _dtype(values: np.ndarray) -> type:
  return np.int32 if np.issubdtype(values.dtype, np.integer) else np.float32


def tokenize(
  tokenizer: Any,
  texts: Sequence[str],
  pairs: Sequence[str] | None = None,
  *,
  max_length: int,
  labels: Sequence[Any] | None = None,
) -> datasets.Dataset:
  """Returns the rows of `texts` (and `pairs`), cut to `max_length` tokens, as `BatchSource` takes them.

  Of a text no more is read than its first 262,144 characters.

  Raises:
    InputError: no texts, what is no text, or has half of a surrogate pair, labels that no column can hold, with their
      row; another number of pairs or labels, or a `max_length` that leaves no room for text.
  """
  for name, values in (("texts", texts), ("pairs", pairs), ("labels", labels)):
    if isinstance(values, str):
      raise InputError(f"{name} {values!r:.40}: a list is needed, with one for each row")
    if values is not None and len(values) != len(texts):
      raise InputError(f"{name}: {len(values):,} of them, for {len(texts):,} texts")
  if not len(texts):
    raise InputError("texts: none are given")
  sides = 1 if pairs is None else 2
  special = getattr(tokenizer, "num_special_tokens_to_add", lambda pair: 0)(pair=sides == 2)
  check_number("max_length", max_length, Bound(least=special + sides), whole=True)
  try:
    columns: dict[str, list[Any]] = {"text": [_start(text) for text in texts]}
    if pairs is not None:
      columns["pair"] = [_start(text) for text in pairs]
    sizes = [sum(map(len, row)) for row in zip(*columns.values(), strict=True)]
    if labels is not None:
      columns["labels"] = label_array(labels)
    parts = [{name: values[start:end] for name, values in columns.items()} for start, end in _at_once(sizes)]
    return datasets.concatenate_datasets([_tokenize(tokenizer, max_length, **part) for part in parts])
  except (TypeError, AttributeError) as error:
    if not (sentence := wrong_text(texts) or wrong_text(pairs or ())):
      raise
    raise InputError(sentence) from error


def tokenize_rows(tokenizer: Any, rows: datasets.Dataset, max_length: int) -> datasets.Dataset:
  """Returns the token rows of `rows`, whose columns are `text` and any of `pair` and `label`; see `tokenize`."""
  pairs, labels = (rows[name][:] if name in rows.column_names else None for name in ("pair", "label"))
  return tokenize(tokenizer, rows["text"][:], pairs, max_length=max_length, labels=labels)


def _start(text: str) -> str:
  return text if len(text) <= _LONGEST_TEXT else text.lstrip()[:_LONGEST_TEXT]


def _at_once(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
  """Yields the first and the last row, that one excluded, of parts whose texts are tokenized together."""
  start = characters = 0
  for row, size in enumerate(sizes):
    if row > start and (row - start == _TOKENIZED_AT_ONCE or characters + size > _CHARACTERS_AT_ONCE):
      yield start, row
      start, characters = row, 0
    characters += size
  yield start, len(sizes)


def _tokenize(
  tokenizer: Any, max_length: int, text: Sequence[str], pair: Sequence[str] | None = None, **others: Any
) -> datasets.Dataset:
  encoded = tokenizer(text, pair, truncation=True, max_length=max_length, verbose=False)
  columns = {"input_ids": encoded["input_ids"], **others}
  if pair is not None and "token_type_ids" in encoded:  # a single text is segment 0 throughout, the model's default
    columns["token_type_ids"] = encoded["token_type_ids"]
  return datasets.Dataset.from_dict(columns)


def with_teacher_targets(rows: datasets.Dataset, targets: Float[np.ndarray, "N C"] | Ragged) -> datasets.Dataset:
  """Returns the rows with a column `teacher_targets`; memory-mapped rows stay on disk.

  Args:
    rows: token rows.
    targets: of each row, or of each token of each row.

  Raises:
    InputError: another number of targets than rows or tokens, or some that are not finite.
  """
  lengths = targets.lengths if isinstance(targets, Ragged) else None
  values = targets.values if isinstance(targets, Ragged) else targets
  if values.ndim != 2:
    raise InputError(f"targets of the shape {values.shape}: a row of logits is needed for each row")
  if len(targets) != len(rows):
    raise InputError(f"{len(targets):,} targets for {len(rows):,} rows")
  if lengths is not None and (is_other := lengths != row_length(rows)).any():
    row = int(is_other.argmax())
    raise InputError(f"row {row + 1}: {lengths[row]} targets for {row_length(rows)[row]} tokens")
  if not (is_finite := np.isfinite(values).all(axis=-1)).all():
    place = int(is_finite.argmin())
    row = place if lengths is None else int(np.searchsorted(np.cumsum(lengths), place, side="right"))
    raise InputError(
      f"row {row + 1}: the teacher's targets are {values[place].tolist()!s:.60}, which are not all finite"
    )
  column: Any = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
  if lengths is not None:
    column = pa.LargeListArray.from_arrays(np.concatenate([[0], np.cumsum(lengths)]), column)
  return datasets.concatenate_datasets([rows, datasets.Dataset(pa.table({"teacher_targets": column}))], axis=1)


def row_length(rows: datasets.Dataset) -> np.ndarray:
  """Returns the number of tokens in each row."""
  return list_lengths(rows, "input_ids")
