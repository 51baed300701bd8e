"""The stages of task distillation in the best PyTorch, as a run has them: buckets, cached logits of the teacher."""

import functools
import time
from collections.abc import Callable, Iterable, Sequence

import datasets
import numpy as np
import torch
from torch import Tensor

from experiments.benchmark.best_torch import task
from experiments.benchmark.best_torch.model import Classifier, Encoder, Student
from experiments.benchmark.best_torch.training import compile_or_not, make_trainer
from experiments.benchmark.turns import MUCH_FASTER, Stages, wait
from tinybert_jax.data.batches import BatchSource, NumpyBatch, pad_batch, with_teacher_targets
from tinybert_jax.distillation.layer_map import layer_map
from tinybert_jax.models.config import EncoderConfig

_PREDICTED_AT_ONCE = 64  # rows, as in `training.evaluate.predict`
_FIELDS = ("input_ids", "attention_mask", "example_weight", "teacher_targets")


class TaskStages:
  """What a run of task distillation does, in one dtype."""

  def __init__(
    self,
    rows: datasets.Dataset,
    buckets: Sequence[int],
    batch_size: int,
    teacher: EncoderConfig,
    student: EncoderConfig,
    dtype: torch.dtype,
    device: str,
  ):
    """Args:
    rows: token rows.
    buckets: the lengths of batches.
    batch_size: rows in a batch.
    teacher: its shape.
    student: its shape.
    dtype: of the matrix products.
    device: cpu or cuda.
    """
    self.rows, self.buckets, self.batch_size, self.dtype, self.device = rows, buckets, batch_size, dtype, device
    layers = layer_map("uniform", student.num_hidden_layers, teacher.num_hidden_layers)
    self.student = Student(student, teacher.hidden_size).to(device)
    encoder = Encoder(teacher).to(device, dtype).eval()
    self.intermediate = functools.partial(task.intermediate_loss, self.student, encoder, layers, dtype)
    self.classifier, self.labels = Classifier(student).to(device), teacher.num_labels
    self.prediction = functools.partial(task.prediction_loss, self.classifier, dtype)
    self.teacher = Classifier(teacher).to(device, dtype).eval()
    self.logits: Callable[..., Tensor] = self.teacher

  def prepare(self, compiled: bool) -> str:
    """Makes the two stages ready, and returns how they run: compiled or eager."""
    one = self.rows.select([int(np.argmin([len(ids) for ids in self.rows["input_ids"]]))])
    labelled = with_teacher_targets(one, np.zeros((1, self.labels), np.float32))
    examples = [self._tensors(pad_batch(labelled[:], length, self.batch_size)) for length in self.buckets]
    predicted = [self._tensors(pad_batch(one[:], length, _PREDICTED_AT_ONCE))[:2] for length in self.buckets]
    self.train_intermediate, how = make_trainer(
      self.student, self.intermediate, [example[:2] for example in examples], compiled=compiled
    )
    self.train_prediction, _ = make_trainer(self.classifier, self.prediction, examples, compiled=compiled)
    with torch.inference_mode():
      self.logits, _ = compile_or_not(self.teacher, predicted, compiled=compiled, backward=False)
    return how

  def run_intermediate(self) -> None:
    """One epoch."""
    for batch in self._source(self.rows):
      self.train_intermediate(*self._tensors(batch)[:2])
    wait(self.device)

  def run_prediction(self, epochs: int) -> None:
    """The teacher's logits once, and the epochs on them."""
    source = BatchSource(self.rows, batch_size=_PREDICTED_AT_ONCE, lengths=self.buckets, shuffle=False)
    logits = np.empty((len(self.rows), self.labels), np.float32)
    with torch.inference_mode():
      for step, batch in enumerate(source):
        of = source.indices(step)
        logits[of] = self.logits(*self._tensors(batch)[:2])[: len(of)].cpu().numpy()
    for batch in self._source(with_teacher_targets(self.rows, logits), epochs):
      self.train_prediction(*self._tensors(batch))
    wait(self.device)

  def seconds_of_a_step(self) -> float:
    """Returns the seconds that the loss of a long batch and its gradient take, eager."""
    example = self._tensors(pad_batch(self.rows[: self.batch_size], self.buckets[-1], self.batch_size))[:2]
    for _ in range(2):
      start = time.perf_counter()
      self.intermediate(*example).backward()
      wait(self.device)
    return time.perf_counter() - start

  def _source(self, rows: datasets.Dataset, epochs: int = 1) -> Iterable[NumpyBatch]:
    return BatchSource(rows, batch_size=self.batch_size, lengths=self.buckets, epochs=epochs)

  def _tensors(self, batch: NumpyBatch) -> list[Tensor]:
    """Returns ids, mask, weight and, where there are any, targets."""
    ids, mask, *others = (torch.from_numpy(batch[name]).to(self.device) for name in _FIELDS if name in batch)
    return [ids.long(), mask.bool(), *others]


def make_stages(
  rows: datasets.Dataset,
  buckets: Sequence[int],
  batch_size: int,
  teacher: EncoderConfig,
  student: EncoderConfig,
  dtypes: Sequence[str],
  device: str,
  compiled: bool,
  names: tuple[str, str],
  epochs: int,
) -> Stages:
  """Returns the two stages in each dtype, named with dtype and form; a dtype that is much slower is left out.

  Args:
    rows: token rows.
    buckets: the lengths of batches.
    batch_size: rows in a batch.
    teacher: its shape.
    student: its shape.
    dtypes: of the matrix products, to choose from.
    device: cpu or cuda.
    compiled: whether torch.compile is tried.
    names: of the two stages.
    epochs: of the second.
  """
  made = {
    dtype: TaskStages(rows, buckets, batch_size, teacher, student, getattr(torch, dtype), device) for dtype in dtypes
  }
  seconds = {dtype: stages.seconds_of_a_step() for dtype, stages in made.items()}
  found: dict[str, tuple[Callable[[], object], int]] = {}
  for dtype, stages in made.items():
    if seconds[dtype] > MUCH_FASTER * min(seconds.values()):
      continue
    how = stages.prepare(compiled)
    found[f"{names[0]}; {dtype}, {how}"] = stages.run_intermediate, len(rows)
    found[f"{names[1]}; {dtype}, {how}"] = functools.partial(stages.run_prediction, epochs), epochs * len(rows)
  return found
