"""Distil a real BERT into a small, fast student, start to end on a laptop: teacher, two stages, report."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import datasets

from experiments import demo_data
from tinybert_jax.cli import command_line
from tinybert_jax.cli.options import DtypeOption
from tinybert_jax.data import fingerprint
from tinybert_jax.distillation.layer_map import LayerMap, layer_map
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier, count_parameters
from tinybert_jax.models.pretrained import Pretrained, load_tokenizer
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.models.vocabulary import Trimmed, trim_config
from tinybert_jax.pipeline import dev_file, evaluation, inheritance, report, task, teachers, trimming
from tinybert_jax.pipeline.cards import Data, Origin
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.pipeline.stages import Finished
from tinybert_jax.pipeline.targets import Targets
from tinybert_jax.pipeline.task_run import Recipes, TaskRows, TaskRun
from tinybert_jax.settings import AT_LEAST_1, LENGTH, RATE, SEED, Bound, check
from tinybert_jax.tasks.classification import Classification
from tinybert_jax.training import precision
from tinybert_jax.training.fit import Recipe
from tinybert_jax.training.hosts import describe

LABELLED = Bound(above=0, most=1)
STAGES = ("teacher", "inherited", "intermediate", "prediction", "labels", "prediction_only")


@dataclasses.dataclass(frozen=True)
class Options:
  """Fine-tune MiniLM (6 layers x 384) on a few labelled Reuters documents, distil it into a student a twentieth of its
  size over many documents without labels, and measure both on the test split of Reuters R8.

  The same command again goes on where it stopped.
  """

  out: Path = Path("runs/quickstart")
  """Folder for everything that the run writes."""
  seed: Annotated[int, SEED] = 0
  """Random seed for the choice of documents, the initialisation, the order of the rows and dropout."""
  labelled_share: Annotated[float, LABELLED] = 0.1
  """Share of the training documents whose labels are used; the teacher labels the others for the student."""
  max_length: Annotated[int, LENGTH] = 64
  """Tokens that a document is cut to."""
  teacher_epochs: Annotated[int, AT_LEAST_1] = 6
  """Passes of fine-tuning the teacher over the labelled documents."""
  teacher_batch_size: Annotated[int, AT_LEAST_1] = 16
  """Documents in a batch of the teacher."""
  teacher_learning_rate: Annotated[float, RATE] = 1e-4
  """The teacher's peak learning rate."""
  student_layers: Annotated[int, AT_LEAST_1] = 2
  """Layers of the student; the teacher's 6 must be a multiple."""
  student_width: Annotated[int, AT_LEAST_1] = 96
  """Hidden size of the student, a multiple of its 12 heads; its feed-forward layers are twice as wide."""
  vocabulary: Annotated[int, AT_LEAST_1] = 8000
  """The most tokens that the student has: those that the training documents have most often, all special tokens and
  all single characters."""
  intermediate_epochs: Annotated[int, AT_LEAST_1] = 1
  """Passes of the first stage, which distils embeddings, hidden states and attention scores, over all documents."""
  prediction_epochs: Annotated[int, AT_LEAST_1] = 2
  """Passes of the second stage, which distils the logits, over all documents."""
  student_batch_size: Annotated[int, AT_LEAST_1] = 32
  """Documents in a batch of the student."""
  student_learning_rate: Annotated[float, RATE] = 1e-3
  """The student's peak learning rate, in both stages."""
  max_train_examples: Annotated[int | None, AT_LEAST_1] = None
  """Take only this many training documents, for a trial."""
  dtype: DtypeOption = "auto"
  debug: bool = False
  """Show the traceback of an error."""


class Setup(NamedTuple):
  """The demo before any training.

  Attributes:
    data: the documents in the teacher's tokens.
    teaching: the task as the teacher reads it.
    run: the task as the student reads it.
    test: the documents to measure on, likewise.
    trimmed: the student's vocabulary.
    start: the teacher before it is fine-tuned.
    student: the student's shape, with random parameters.
    layers: the teacher's layer for each of the student's.
  """

  data: demo_data.Data
  teaching: TaskRun
  run: TaskRun
  test: datasets.Dataset
  trimmed: Trimmed
  start: Pretrained
  student: Pretrained
  layers: LayerMap


def main(options: Options) -> None:
  """Runs all stages, and writes what came of them."""
  check(options)
  datasets.disable_progress_bars()
  setup = prepare(options)
  announce(options, setup)
  if (options.out / "stages").is_dir():
    print(f"note      {options.out / 'stages'} is of version 0.1, which this version does not go on with")
  with only_run(options.out):
    metrics = run_stages(options, setup)
  print("\n" + report.table(metrics))
  print("\n" + _setting(metrics))
  print(
    f"The run took {metrics['seconds'] / 60:.1f} minutes. The student is in {options.out / 'student'}; open "
    f"{options.out / report.PAGE} for pictures.\nUse it: tinybert-jax predict --model {options.out / 'student'} "
    "--data FILE --out FILE"
  )


def prepare(options: Options) -> Setup:
  """Returns documents and models that go together."""
  encoder = demo_data.encoder_directory()
  tokenizer = load_tokenizer(encoder)
  data = _data(options, tokenizer)
  teaching = TaskRun(
    Classification("Reuters R8", data.labels, metrics=("accuracy", "macro_f1"), match_logits=True),
    _rows(data),
    tokenizer,
    options.max_length,
    options.out,
    options.seed,
    evaluations=6,
    log_every=10,
    dtype=precision.choose(options.dtype).dtype,
    origin=Origin((demo_data.ENCODER,), data=Data("Reuters R8"), license="apache-2.0", language="en"),
  )
  start = teachers.with_pretrained(str(encoder), teaching.task, tokenizer, options.seed)
  shape = student_config(start.config, options)
  layers = uniform_layers(shape, start.config)
  padding = [start.config.pad_token_id]
  trimmed = trimming.of_rows(tokenizer, data.transfer_texts, [data.test_texts], options.vocabulary, padding)
  read = _data(options, trimmed.tokenizer)
  run = teaching.read_by(_rows(read), trimmed.tokenizer, options.max_length)
  student = teachers.with_new_classifier(trim_config(shape, trimmed), None, run.task, options.seed)
  return Setup(data, teaching, run, read.test, trimmed, start, student, layers)


def run_stages(options: Options, setup: Setup) -> dict[str, Any]:
  """Returns what `metrics.json` holds, after the stages of distillation and two students to compare with."""
  about = f"tinybert_jax's quickstart: Reuters R8 topics, documents cut to {options.max_length} tokens"
  how, run, student, layers = recipes(options, setup.data), setup.run, setup.student, setup.layers
  teacher = task.make_teacher(setup.teaching, setup.start, how.teacher, f"The teacher of {about}.")
  reading = trimming.teacher_of(teacher, setup.trimmed)
  start = inheritance.make_start(run, reading, student, layers, f"The student of {about}, before its training.")
  targets = Targets(setup.teaching, [teacher])
  intermediate = task.make_intermediate(
    run, reading, start, layers, how.intermediate, f"A student of {about}, after its first stage."
  )
  prediction = task.make_prediction(run, targets, intermediate, how.prediction, f"The student of {about}.")
  # What distillation is up against: the same shape on the labels alone, for as many steps, with weights made from the
  # encoder as it was pretrained.
  encoder = trimming.teacher_of(_as_pretrained(setup), setup.trimmed)
  alone = inheritance.make_start(
    run, encoder, student, layers, f"A student of {about}, made without its teacher.", name="labels_start"
  )
  labels = task.make_labels(run, alone, how.labels, f"The student of {about}, trained on the labels alone.")
  # And what its first stage adds: the same start and as many steps of the second stage alone.
  epochs = options.intermediate_epochs + options.prediction_epochs
  recipe = dataclasses.replace(how.prediction[0], epochs=epochs)
  only = task.make_prediction(
    run, targets, start, (recipe,), f"The student of {about}, without its first stage.", name="prediction_only"
  )
  counts = {name: len(getattr(setup.data, name)) for name in ("labelled", "transfer", "dev", "test")}
  others = {"labels alone": labels, "prediction stage alone": only}
  dev_file.write(options.out, run.task, setup.data.dev_texts)
  return evaluation.evaluate(
    run,
    evaluation.Models([teacher], prediction, others, fresh=start.pretrained(), reading=reading),
    {"test": setup.test},
    setup.data.test_texts,
    evaluation.About(command_line.command(), command_line.as_json(options), counts, STAGES),
    teacher_splits={"test": setup.data.test},
  )


def _data(options: Options, tokenizer: Tokenizer) -> demo_data.Data:
  return demo_data.few_labels(
    tokenizer,
    options.labelled_share,
    options.max_length,
    options.max_train_examples,
    options.seed,
  )


def _rows(data: demo_data.Data) -> TaskRows:
  return TaskRows(data.transfer_texts, data.labelled, data.transfer, {"dev": data.dev})


def _as_pretrained(setup: Setup) -> Finished:
  """Returns the teacher before it is fine-tuned, as a stage that is finished."""
  config, params = setup.start[:2]
  model = SequenceClassifier(config, setup.run.dtype)
  return Finished(model, params, fingerprint.of_model(config, params), {})


def recipes(options: Options, data: demo_data.Data) -> Recipes:
  """Returns how the stages train; the labels alone for as many steps as both stages of distillation."""
  student = Recipe(
    options.prediction_epochs, options.student_batch_size, options.student_learning_rate, eps=1e-8, buckets=2
  )
  steps = (options.intermediate_epochs + options.prediction_epochs) * batches(data.transfer, student.batch_size)
  passes = math.ceil(steps / batches(data.labelled, student.batch_size))
  return Recipes(
    teacher=Recipe(
      options.teacher_epochs, options.teacher_batch_size, options.teacher_learning_rate, eps=1e-8, buckets=2
    ),
    intermediate=dataclasses.replace(student, epochs=options.intermediate_epochs),
    prediction=(student,),
    labels=dataclasses.replace(student, epochs=passes),
  )


def batches(rows: datasets.Dataset, batch_size: int) -> int:
  """Returns the number of batches in one pass."""
  return math.ceil(len(rows) / batch_size)


def student_config(teacher: EncoderConfig, options: Options) -> EncoderConfig:
  """Returns the student's shape: the teacher's heads and labels, fewer and narrower layers.

  It has no dropout: so small a student underfits before it overfits.
  """
  return dataclasses.replace(
    teacher,
    num_hidden_layers=options.student_layers,
    hidden_size=options.student_width,
    intermediate_size=2 * options.student_width,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
  )


def announce(options: Options, setup: Setup) -> None:
  """Prints what the run will do."""
  data, teacher_size = setup.data, count_parameters(setup.start.params)
  student_size = count_parameters(setup.student.params)
  teacher_steps = options.teacher_epochs * batches(data.labelled, options.teacher_batch_size)
  once = batches(data.transfer, options.student_batch_size)
  print(f"devices   {describe()}")
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


def uniform_layers(student: EncoderConfig, teacher: EncoderConfig) -> LayerMap:
  """Returns the uniform layer map; InputError where the option does not allow one."""
  try:
    return layer_map("uniform", student.num_hidden_layers, teacher.num_hidden_layers)
  except ValueError as error:
    raise InputError(f"--student-layers {student.num_hidden_layers}: {error}") from error


def _setting(metrics: dict[str, Any]) -> str:
  """Returns the sentence that says who saw which labels."""
  data = metrics["data"]
  return (
    f"Teacher, and student on labels alone, learnt from {data['labelled']:,} labelled documents; the distilled student "
    f"from what the teacher says of {data['transfer']:,}, and from no label. {data['dev']:,} others chose each one's "
    "best step."
  )


if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.quickstart")
