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
from tinybert_jax.train import TrainResult, train

Stage = Callable[..., TrainResult]


@dataclasses.dataclass(frozen=True)
class Options:
  """Fine-tune MiniLM (6 layers x 384) on Reuters R8 topics, distil it into a student a seventh of its size
  or less, and measure both on the test split.

  The same command again goes on where it stopped.
  """

  out: Path = Path("runs/quickstart")
  """Folder for everything that the run writes."""
  seed: int = 0
  """Of the dev split, the initialisation, the order of the rows and dropout."""
  max_length: int = 64
  """Tokens that a document is cut to."""
  batch_size: int = 32
  """Documents in a batch."""
  teacher_epochs: int = 2
  """Passes of fine-tuning the teacher."""
  teacher_learning_rate: float = 2e-4
  """Its peak learning rate."""
  student_layers: int = 3
  """Layers of the student; the teacher's 6 must be a multiple."""
  student_width: int = 84
  """Hidden size of the student, a multiple of its 12 heads; its feed-forward layers are four times as wide."""
  intermediate_epochs: int = 1
  """Passes of the first stage, which distils embeddings, hidden states and attention scores."""
  prediction_epochs: int = 5
  """Passes of the second stage, which distils the logits."""
  student_learning_rate: float = 1e-3
  """The student's peak learning rate, in both stages."""
  max_train_examples: int | None = None
  """Take only so many training documents, for a trial."""
  debug: bool = False
  """Show the traceback of an error."""


class Data(NamedTuple):
  """R8 as token rows with labels; `dev` is a tenth of the training split."""

  train: datasets.Dataset
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
  with stopwatch(options.out) as seconds:
    encoder = demo_data.encoder_directory()
    tokenizer = load_tokenizer(encoder)
    data = load_data(tokenizer, options)
    pretrained = load_pretrained(encoder, SequenceClassifier, labels=data.labels, seed=options.seed)
    teacher = SequenceClassifier(pretrained.config)
    student = SequenceClassifier(student_config(pretrained.config, options))
    layers = uniform_layers(student.config, teacher.config)
    fresh = initialize(student, jax.random.key(options.seed), kernels="glorot")
    announce(options, data, pretrained.params, fresh)
    stage = functools.partial(run_stage, options, data)
    passes = options.intermediate_epochs + options.prediction_epochs

    tuned = stage("teacher", teacher, pretrained.params, distill.fine_tuning(teacher), options.teacher_epochs)
    intermediate = distil_intermediate(stage, options, student, fresh, teacher, tuned.params, layers)
    logits = stored(options.out / "stages" / "teacher_logits.npy", lambda: predict(teacher, tuned.params, data.train))
    rows = data.train.add_column("teacher_logits", list(logits))
    prediction_loss = distill.prediction_distillation(student, objective="logits")
    distilled = stage("prediction", student, intermediate.params, prediction_loss, options.prediction_epochs, rows=rows)
    # What distillation is up against, and what its first stage adds: the same student from the same start, for as
    # many passes, on the labels alone, and by the second stage alone.
    labels_only = stage("labels_only", student, fresh, distill.fine_tuning(student), passes)
    prediction_only = stage("prediction_only", student, fresh, prediction_loss, passes, rows=rows)

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
  """Returns R8, its training split cut in nine tenths to train on and one to select by."""
  train_split, test_split = demo_data.reuters_r8("train"), demo_data.reuters_r8("test")
  labels = tuple(sorted(set(train_split.labels)))
  rows = {
    name: tokenize(
      tokenizer, split.texts, max_length=options.max_length, labels=[labels.index(label) for label in split.labels]
    )
    for name, split in (("train", train_split), ("test", test_split))
  }
  order = np.random.default_rng(options.seed).permutation(len(rows["train"]))[: options.max_train_examples]
  dev_size = -(-len(order) // 10)
  return Data(
    train=rows["train"].select(order[dev_size:]),
    dev=rows["train"].select(order[:dev_size]),
    test=rows["test"],
    labels=labels,
    test_texts=test_split.texts,
  )


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
  steps_per_epoch = -(-len(data.train) // options.batch_size)
  epochs = {
    "teacher": options.teacher_epochs,
    "intermediate": options.intermediate_epochs,
    "prediction": options.prediction_epochs,
    "labels only": options.intermediate_epochs + options.prediction_epochs,
  }
  print(f"devices   {', '.join(str(device) for device in jax.devices())}")
  print(f"data      {len(data.train)} documents to train on, {len(data.dev)} to select by, {len(data.test)} to test")
  ratio = teacher_size / student_size
  print(f"models    teacher {teacher_size:,} parameters, student {student_size:,}: {ratio:.1f} times smaller")
  print(f"steps     {', '.join(f'{name} {number * steps_per_epoch}' for name, number in epochs.items())}")
  print(f"writes    {options.out}", flush=True)


def run_stage(
  options: Options,
  data: Data,
  name: str,
  model: SequenceClassifier,
  params: distill.Params,
  loss_fn: distill.LossFn,
  epochs: int,
  *,
  rows: datasets.Dataset | None = None,
  teacher_params: distill.Params | None = None,
  select: bool = True,
) -> TrainResult:
  """Returns the result of training `model` from `params` for `epochs`; with `select`, the best on dev."""
  rows = data.train if rows is None else rows
  learning_rate = options.teacher_learning_rate if name == "teacher" else options.student_learning_rate
  source = BatchSource(
    rows,
    batch_size=options.batch_size,
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
) -> TrainResult:
  """Returns the student after the first stage, without the projections that it trained with."""
  projections = distill.initialize_projections(student.config, teacher.config, jax.random.key(options.seed + 1))
  result = stage(
    "intermediate",
    student,
    {**params, "projections": projections},
    distill.intermediate_distillation(student, teacher, layers),
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
