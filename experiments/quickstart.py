"""Distil a real BERT into a small, fast student, start to end on a laptop: teacher, two stages, report."""

import contextlib
import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import jax
import numpy as np

from experiments import demo_data, report
from tinybert_jax.cli import command_line
from tinybert_jax.data import fingerprint
from tinybert_jax.data.batches import BatchSource, bucket_lengths, row_length, with_teacher_logits
from tinybert_jax.distillation import objectives
from tinybert_jax.distillation.layer_map import LayerMap, layer_map
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig, read_json
from tinybert_jax.models.encoder import SequenceClassifier, count_parameters, initialize
from tinybert_jax.models.pretrained import Pretrained, load_pretrained, load_tokenizer, save_pretrained
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline import stages
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.tasks.metrics import score
from tinybert_jax.training import optim, steps
from tinybert_jax.training.evaluate import compare_costs, predict
from tinybert_jax.training.loop import Every, TrainResult, train


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


class Trained(NamedTuple):
  """The two modules, the layer map between them, and what each stage ended with."""

  teacher: SequenceClassifier
  student: SequenceClassifier
  layers: LayerMap
  stages: dict[str, TrainResult]


def main(options: Options) -> None:
  written = options.out / "summary.json"
  if written.is_file() and (summary := read_json(written)).get("options") == command_line.as_json(options):
    print(report.table(summary))
    print(f"\nThese results were in {options.out} already; remove it, or give another --out, to run again.")
    return
  datasets.disable_progress_bars()
  with only_run(options.out), stopwatch(options.out) as seconds:
    encoder = demo_data.encoder_directory()
    tokenizer = load_tokenizer(encoder)
    data = demo_data.few_labels(
      tokenizer, options.labelled_share, options.max_length, options.max_train_examples, options.seed
    )
    pretrained = load_pretrained(encoder, SequenceClassifier, labels=data.labels, kernels="glorot", seed=options.seed)
    trained = train_all(options, data, pretrained)
    print("measuring on the test split", flush=True)
    summary = measure_all(options, data, trained, tokenizer) | {"seconds": seconds()}
  show_attention = [
    ("teacher", trained.teacher, trained.stages["teacher"].params, trained.layers[-1]),
    ("student after intermediate", trained.student, trained.stages["intermediate"].params, len(trained.layers)),
    ("student after prediction", trained.student, trained.stages["prediction"].params, len(trained.layers)),
  ]
  histories = {name: result.history for name, result in trained.stages.items()}
  report.write(options.out, summary, histories, show_attention, tokenizer, data.test_texts[0])
  written.write_text(json.dumps(summary, indent=2) + "\n")
  print(report.table(summary))
  print(f"\nThe student is in {options.out / 'student'}; open {options.out / 'report.html'} for pictures.")


def train_all(options: Options, data: demo_data.Data, pretrained: Pretrained) -> Trained:
  """Returns the teacher, the student of both stages, and two students to compare it with."""
  teacher = SequenceClassifier(pretrained.config)
  student = SequenceClassifier(student_config(pretrained.config, options))
  layers = uniform_layers(student.config, teacher.config)
  fresh = initialize(student, jax.random.key(options.seed), kernels="glorot")
  announce(options, data, pretrained.params, fresh)
  stage = functools.partial(run_stage, options, data)

  tuned = stage(
    "teacher", teacher, pretrained.params, objectives.fine_tuning(teacher), data.labelled, options.teacher_epochs
  )
  projections = objectives.initialize_projections(student.config, teacher.config, jax.random.key(options.seed + 1))
  intermediate = stage(
    "intermediate",
    student,
    {**fresh, "projections": projections},
    objectives.intermediate_distillation(student, teacher, layers),
    data.transfer,
    options.intermediate_epochs,
    teacher_params=tuned.params,
  )
  logits = stages.stored_logits(
    options.out / "stages" / "teacher_logits.npz",
    f"{fingerprint.of_params(tuned.params)} {fingerprint.of_rows(data.transfer)}",
    lambda: predict(teacher, tuned.params, data.transfer),
  )
  rows = with_teacher_logits(data.transfer, logits)
  match_logits = objectives.prediction_distillation(student, objective="logits")
  prediction = stage("prediction", student, intermediate.params, match_logits, rows, options.prediction_epochs)

  # What distillation is up against, and what its first stage adds: the same student from the same start, for as many
  # steps, on the labels alone, and by the second stage alone.
  epochs = options.intermediate_epochs + options.prediction_epochs
  student_steps = epochs * batches(data.transfer, options.student_batch_size)
  passes = -(-student_steps // batches(data.labelled, options.student_batch_size))
  labels_only = stage("labels_only", student, fresh, objectives.fine_tuning(student), data.labelled, passes)
  prediction_only = stage("prediction_only", student, fresh, match_logits, rows, epochs)
  results = {
    "teacher": tuned,
    "intermediate": intermediate,
    "prediction": prediction,
    "labels_only": labels_only,
    "prediction_only": prediction_only,
  }
  return Trained(teacher, student, layers, results)


def measure_all(options: Options, data: demo_data.Data, trained: Trained, tokenizer: Tokenizer) -> dict[str, Any]:
  """Returns what `summary.json` holds, less the seconds, and saves teacher and student as Hugging Face directories."""

  def accuracy_of(model: SequenceClassifier, stage: str) -> float:
    logits = predict(model, trained.stages[stage].params, data.test)
    return score(["accuracy"], logits, np.asarray(data.test["labels"]))["accuracy"]

  models = {
    "teacher": (trained.teacher, trained.stages["teacher"].params),
    "student": (trained.student, trained.stages["prediction"].params),
  }
  for name, (model, params) in models.items():
    about = f"The {name} of tinybert_jax's quickstart: Reuters R8 topics, documents cut to {options.max_length} tokens."
    save_pretrained(options.out / name, model.config, params, tokenizer=tokenizer, description=about)
  costs = compare_costs(models)
  teacher, student = (
    {"accuracy": accuracy_of(models[name][0], stage), "parameters": count_parameters(models[name][1])}
    | costs[name]._asdict()
    for name, stage in (("teacher", "teacher"), ("student", "prediction"))
  )
  return {
    "options": command_line.as_json(options),
    "documents": {name: len(getattr(data, name)) for name in ("labelled", "transfer", "dev", "test")},
    "teacher": teacher,
    "student": student,
    "retention": student["accuracy"] / teacher["accuracy"],
    "times_smaller": teacher["parameters"] / student["parameters"],
    "times_faster": teacher["latency_ms"] / student["latency_ms"],
    "student_without_distillation_accuracy": accuracy_of(trained.student, "labels_only"),
    "student_prediction_stage_only_accuracy": accuracy_of(trained.student, "prediction_only"),
  }


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


def announce(
  options: Options, data: demo_data.Data, teacher_params: objectives.Params, student_params: objectives.Params
) -> None:
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
    f"{options.prediction_epochs * once}; for comparison, labels alone and prediction alone at least "
    f"{(options.intermediate_epochs + options.prediction_epochs) * once} each"
  )
  print(f"writes    {options.out}", flush=True)


def run_stage(
  options: Options,
  data: demo_data.Data,
  name: str,
  model: SequenceClassifier,
  params: objectives.Params,
  loss_fn: objectives.LossFn,
  rows: datasets.Dataset,
  epochs: int,
  *,
  teacher_params: objectives.Params | None = None,
) -> TrainResult:
  """Returns the result of training `model` from `params` over `rows`: the best on dev.

  The intermediate stage has no logits to judge yet: it gives its last parameters, without the projections.
  """
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
  # Few steps: BERT's epsilon of 1e-6 would damp the smallest gradients for most of them.
  optimizer = optim.adamw(optim.schedule(learning_rate, len(source)), eps=1e-8)

  def evaluate(params: objectives.Params) -> Mapping[str, float]:
    return score(["accuracy"], predict(model, params, data.dev), np.asarray(data.dev["labels"]))

  has_logits = name != "intermediate"
  result = train(
    options.out / "stages" / name,
    steps.jit_update(steps.make_update(loss_fn, optimizer)),
    steps.create_state(params, optimizer, steps.random_key(options.seed)),
    teacher_params or {},
    source,
    evaluate=evaluate if has_logits else None,
    best_metric="accuracy" if has_logits else None,
    every=Every(log=10, evaluate=-(-len(source) // 6)),
    config=command_line.as_json(options),
    title=name,
  )
  return result._replace(params={key: value for key, value in result.params.items() if key != "projections"})


def uniform_layers(student: EncoderConfig, teacher: EncoderConfig) -> LayerMap:
  """Returns the uniform layer map; InputError where the option does not allow one."""
  try:
    return layer_map("uniform", student.num_hidden_layers, teacher.num_hidden_layers)
  except ValueError as error:
    raise InputError(f"--student-layers {student.num_hidden_layers}: {error}") from error


@contextlib.contextmanager
def stopwatch(out: Path) -> Iterator[Callable[[], float]]:
  """Gives a function that tells the seconds since the block began, earlier runs into `out` that broke off added."""
  path, start = out / "stages" / "seconds.json", time.perf_counter()
  before = 0.0
  with contextlib.suppress(OSError, ValueError):  # not there yet, or cut off by a full disk
    before = float(json.loads(path.read_text()))

  def seconds() -> float:
    return before + time.perf_counter() - start

  try:
    yield seconds
  finally:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(seconds()))


if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.quickstart")
