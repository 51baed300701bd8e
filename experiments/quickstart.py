"""Distil a real BERT into a small, fast student, start to end on a laptop: teacher, two stages, report."""

import contextlib
import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import datasets
import jax
import numpy as np
from transformers import PreTrainedTokenizerBase

from experiments import command_line, demo_data, report
from tinybert_jax import distill, optim, steps
from tinybert_jax.config import EncoderConfig
from tinybert_jax.data.batches import BatchSource, bucket_lengths, row_length, tokenize
from tinybert_jax.errors import InputError
from tinybert_jax.evaluate import compare_costs, predict
from tinybert_jax.layer_map import LayerMap, layer_map
from tinybert_jax.metrics import accuracy
from tinybert_jax.model import SequenceClassifier, count_parameters, initialize
from tinybert_jax.pretrained import load_pretrained, load_tokenizer, save_pretrained
from tinybert_jax.train import Every, TrainResult, train

Stage = Callable[..., TrainResult]


@dataclasses.dataclass(frozen=True)
class Options:
  """Fine-tune MiniLM (6 layers x 384) on a few labelled Reuters documents, distil it into a student an
  eighth of its size over many unlabelled ones, and measure both on the test split of Reuters R8.

  The same command again goes on where it stopped.
  """

  out: Path = Path("runs/quickstart")
  """Folder for everything that the run writes."""
  seed: int = 0
  """Of the choice of documents, the initialisation, the order of the rows and dropout."""
  labelled_share: float = 0.1
  """Share of the training documents whose labels are used; the teacher labels the others for the student."""
  max_length: int = 64
  """Tokens that a document is cut to."""
  teacher_epochs: int = 6
  """Passes of fine-tuning the teacher over the labelled documents."""
  teacher_batch_size: int = 16
  """Documents in a batch of the teacher's."""
  teacher_learning_rate: float = 1e-4
  """The teacher's peak learning rate."""
  student_layers: int = 2
  """Layers of the student; the teacher's 6 must be a multiple."""
  student_width: int = 84
  """Hidden size of the student, a multiple of its 12 heads; its feed-forward layers are four times as wide."""
  intermediate_epochs: int = 1
  """Passes of the first stage, which distils embeddings, hidden states and attention scores, over all documents."""
  prediction_epochs: int = 4
  """Passes of the second stage, which distils the logits, over all documents."""
  student_batch_size: int = 32
  """Documents in a batch of the student's."""
  student_learning_rate: float = 1e-3
  """The student's peak learning rate, in both stages."""
  max_train_examples: int | None = None
  """Take only so many training documents, for a trial."""
  debug: bool = False
  """Show the traceback of an error."""


class Data(NamedTuple):
  """R8 as token rows with labels, and the texts of the test split.

  `labelled` and `dev` are parts of the training split with nothing in common; `transfer` is all of it but `dev`,
  and its labels are not read.
  """

  labelled: datasets.Dataset
  transfer: datasets.Dataset
  dev: datasets.Dataset
  test: datasets.Dataset
  labels: tuple[str, ...]
  test_texts: list[str]


def main(options: Options) -> None:
  written = options.out / "summary.json"
  if written.is_file() and (summary := json.loads(written.read_text()))["options"] == command_line.as_json(options):
    print(report.table(summary))
    print(f"\nThese results were in {options.out} already; remove it, or give another --out, to run again.")
    return
  datasets.disable_progress_bars()
  with stopwatch(options.out) as seconds:
    encoder = demo_data.encoder_directory()
    tokenizer = load_tokenizer(encoder)
    data = load_data(tokenizer, options)
    pretrained = load_pretrained(encoder, SequenceClassifier, labels=data.labels, kernels="glorot", seed=options.seed)
    teacher = SequenceClassifier(pretrained.config)
    student = SequenceClassifier(student_config(pretrained.config, options))
    layers = uniform_layers(student.config, teacher.config)
    fresh = initialize(student, jax.random.key(options.seed), kernels="glorot")
    announce(options, data, pretrained.params, fresh)
    stage = functools.partial(run_stage, options, data)
    student_steps = (options.intermediate_epochs + options.prediction_epochs) * batches(
      data.transfer, options.student_batch_size
    )

    tuned = stage(
      "teacher", teacher, pretrained.params, distill.fine_tuning(teacher), data.labelled, options.teacher_epochs
    )
    intermediate = distil_intermediate(stage, options, student, fresh, teacher, tuned.params, layers, data.transfer)
    logits = stored(
      options.out / "stages" / "teacher_logits.npy", lambda: predict(teacher, tuned.params, data.transfer)
    )
    rows = data.transfer.add_column("teacher_logits", list(logits))
    prediction_loss = distill.prediction_distillation(student, objective="logits")
    distilled = stage("prediction", student, intermediate.params, prediction_loss, rows, options.prediction_epochs)
    # What distillation is up against, and what its first stage adds: the same student from the same start, for as
    # many steps, on the labels alone, and by the second stage alone.
    passes = -(-student_steps // batches(data.labelled, options.student_batch_size))
    labels_only = stage("labels_only", student, fresh, distill.fine_tuning(student), data.labelled, passes)
    passes = options.intermediate_epochs + options.prediction_epochs
    prediction_only = stage("prediction_only", student, fresh, prediction_loss, rows, passes)

    print("measuring on the test split", flush=True)
    models = {"teacher": (teacher, tuned.params), "student": (student, distilled.params)}
    sides = {name: measure(model, params, data) for name, (model, params) in models.items()}
    for name, cost in compare_costs(models).items():
      sides[name] |= cost._asdict()
    for name, (model, params) in models.items():
      about = (
        f"The {name} of tinybert_jax's quickstart: Reuters R8 topics of documents cut to {options.max_length} tokens."
      )
      save_pretrained(options.out / name, model.config, params, tokenizer=tokenizer, description=about)
    summary = {
      "options": command_line.as_json(options),
      "documents": {"labelled": len(data.labelled), "in all": len(data.transfer), "test": len(data.test)},
      **sides,
      "retention": sides["student"]["accuracy"] / sides["teacher"]["accuracy"],
      "times_smaller": sides["teacher"]["parameters"] / sides["student"]["parameters"],
      "times_faster": sides["teacher"]["latency_ms"] / sides["student"]["latency_ms"],
      "student_without_distillation_accuracy": measure(student, labels_only.params, data)["accuracy"],
      "student_prediction_stage_only_accuracy": measure(student, prediction_only.params, data)["accuracy"],
      "seconds": seconds(),
    }
  stages = {"teacher": tuned, "intermediate": intermediate, "prediction": distilled, "labels_only": labels_only}
  histories = {name: result.history for name, result in stages.items()}
  report.write(options.out, summary, histories, models, tokenizer, data.test_texts[0], layers)
  written.write_text(json.dumps(summary, indent=2) + "\n")
  print(report.table(summary))
  print(f"\nThe student is in {options.out / 'student'}; open {options.out / 'report.html'} for pictures.")


def load_data(tokenizer: PreTrainedTokenizerBase, options: Options) -> Data:
  """Returns R8: the training split less a twentieth to select by, a share of it labelled, and the test split."""
  if not 0 < options.labelled_share <= 1:
    raise InputError(f"--labelled-share {options.labelled_share}: it must be above 0 and at most 1")
  train_split, test_split = demo_data.reuters_r8("train"), demo_data.reuters_r8("test")
  labels = tuple(sorted(set(train_split.labels)))
  train_rows, test_rows = (
    tokenize(
      tokenizer, split.texts, max_length=options.max_length, labels=[labels.index(label) for label in split.labels]
    )
    for split in (train_split, test_split)
  )
  rng = np.random.default_rng(options.seed)
  order = rng.permutation(len(train_rows))[: options.max_train_examples]
  classes = np.asarray(train_rows["labels"])
  dev = sample_by_class(order, classes, 0.05, rng)
  transfer = np.setdiff1d(order, dev)
  labelled = sample_by_class(transfer, classes, options.labelled_share, rng)
  return Data(
    labelled=train_rows.select(labelled),
    transfer=train_rows.select(transfer),
    dev=train_rows.select(dev),
    test=test_rows,
    labels=labels,
    test_texts=test_split.texts,
  )


def sample_by_class(rows: np.ndarray, classes: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
  """Returns `share` of the rows of each class, at least four (or all there are)."""
  parts = [rng.permutation(rows[classes[rows] == c]) for c in np.unique(classes[rows])]
  return np.concatenate([part[: max(4, round(share * len(part)))] for part in parts])


def batches(rows: datasets.Dataset, batch_size: int) -> int:
  """Returns the number of batches in one pass."""
  return -(-len(rows) // batch_size)


def student_config(teacher: EncoderConfig, options: Options) -> EncoderConfig:
  """Returns the student's shape: the teacher's vocabulary, heads and labels, fewer and narrower layers.

  It has no dropout: so small a student underfits before it overfits.
  """
  return dataclasses.replace(
    teacher,
    num_hidden_layers=options.student_layers,
    hidden_size=options.student_width,
    intermediate_size=4 * options.student_width,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
  )


def announce(options: Options, data: Data, teacher_params: distill.Params, student_params: distill.Params) -> None:
  """Prints what the run will do."""
  teacher_size, student_size = count_parameters(teacher_params), count_parameters(student_params)
  teacher_steps = options.teacher_epochs * batches(data.labelled, options.teacher_batch_size)
  once = batches(data.transfer, options.student_batch_size)
  print(f"devices   {', '.join(str(device) for device in jax.devices())}")
  print(
    f"data      {len(data.labelled)} labelled documents of {len(data.transfer)}, {len(data.dev)} to select by, "
    f"{len(data.test)} to test"
  )
  ratio = teacher_size / student_size
  print(f"models    teacher {teacher_size:,} parameters, student {student_size:,}: {ratio:.1f} times smaller")
  print(
    f"steps     teacher {teacher_steps}, intermediate {options.intermediate_epochs * once}, prediction "
    f"{options.prediction_epochs * once}; for comparison, labels alone and prediction alone "
    f"{(options.intermediate_epochs + options.prediction_epochs) * once} each"
  )
  print(f"writes    {options.out}", flush=True)


def run_stage(
  options: Options,
  data: Data,
  name: str,
  model: SequenceClassifier,
  params: distill.Params,
  loss_fn: distill.LossFn,
  rows: datasets.Dataset,
  epochs: int,
  *,
  teacher_params: distill.Params | None = None,
  select: bool = True,
) -> TrainResult:
  """Returns the result of training `model` from `params` for `epochs`; with `select`, the best on dev."""
  is_teacher = name == "teacher"
  learning_rate = options.teacher_learning_rate if is_teacher else options.student_learning_rate
  source = BatchSource(
    rows,
    batch_size=options.teacher_batch_size if is_teacher else options.student_batch_size,
    lengths=bucket_lengths(row_length(rows), number=2),
    epochs=epochs,
    seed=options.seed,
    pad_id=model.config.pad_token_id,
  )
  optimizer = optim.adamw(optim.schedule(learning_rate, len(source)))

  def evaluate(params: distill.Params) -> dict[str, float]:
    params = {name: value for name, value in params.items() if name != "projections"}
    return accuracy(predict(model, params, data.dev), np.asarray(data.dev["labels"]))

  return train(
    options.out / "stages" / name,
    steps.jit_update(steps.make_update(loss_fn, optimizer)),
    steps.create_state(params, optimizer, steps.random_key(options.seed)),
    teacher_params or {},
    source,
    evaluate=evaluate if select else None,
    best_metric="accuracy" if select else None,
    every=Every(log=10, evaluate=max(1, len(source) // 6)),
    config=command_line.as_json(options),
    title=name,
  )


def distil_intermediate(
  stage: Stage,
  options: Options,
  student: SequenceClassifier,
  params: distill.Params,
  teacher: SequenceClassifier,
  teacher_params: distill.Params,
  layers: LayerMap,
  rows: datasets.Dataset,
) -> TrainResult:
  """Returns the student after the first stage, without the projections that it trained with."""
  projections = distill.initialize_projections(student.config, teacher.config, jax.random.key(options.seed + 1))
  result = stage(
    "intermediate",
    student,
    {**params, "projections": projections},
    distill.intermediate_distillation(student, teacher, layers),
    rows,
    options.intermediate_epochs,
    teacher_params=teacher_params,
    select=False,
  )
  return result._replace(params={name: value for name, value in result.params.items() if name != "projections"})


def uniform_layers(student: EncoderConfig, teacher: EncoderConfig) -> LayerMap:
  """Returns the uniform layer map; InputError where the option does not allow one."""
  try:
    return layer_map("uniform", student.num_hidden_layers, teacher.num_hidden_layers)
  except ValueError as error:
    raise InputError(f"--student-layers {student.num_hidden_layers}: {error}") from error


def stored(path: Path, compute: Callable[[], np.ndarray]) -> np.ndarray:
  """Returns the array in the file `path`, computed and written first where it is not there."""
  if not path.is_file():
    new = path.with_suffix(".new.npy")
    np.save(new, compute())
    new.replace(path)
  return np.load(path)


def measure(model: SequenceClassifier, params: distill.Params, data: Data) -> dict[str, float]:
  """Returns size, and accuracy on the test split, which nothing before has seen."""
  scores = accuracy(predict(model, params, data.test), np.asarray(data.test["labels"]))
  return {**scores, "parameters": count_parameters(params)}


@contextlib.contextmanager
def stopwatch(out: Path) -> Iterator[Callable[[], float]]:
  """Gives a function that tells the seconds since the block began, earlier runs into `out` that broke off added."""
  path, start = out / "stages" / "seconds.json", time.perf_counter()
  before = json.loads(path.read_text()) if path.is_file() else 0.0

  def seconds() -> float:
    return before + time.perf_counter() - start

  try:
    yield seconds
  finally:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(seconds()))


if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.quickstart")
