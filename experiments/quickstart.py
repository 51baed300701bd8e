"""Distil a real BERT into a small, fast student, start to end on a laptop: teacher, two stages, report."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any

import datasets

from experiments import demo_data
from tinybert_jax.cli import command_line
from tinybert_jax.cli.options import DtypeOption
from tinybert_jax.distillation.layer_map import LayerMap, layer_map
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import count_parameters
from tinybert_jax.models.pretrained import Pretrained, load_tokenizer
from tinybert_jax.pipeline import evaluation, report, task, teachers
from tinybert_jax.pipeline.cards import Data, Origin
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.pipeline.targets import Targets
from tinybert_jax.pipeline.task_run import Recipes, TaskRows, TaskRun
from tinybert_jax.settings import AT_LEAST_1, LENGTH, RATE, SEED, Bound, check
from tinybert_jax.tasks.classification import Classification
from tinybert_jax.training import precision
from tinybert_jax.training.fit import Recipe
from tinybert_jax.training.hosts import describe

LABELLED = Bound(above=0, most=1)
STAGES = ("teacher", "intermediate", "prediction", "labels", "prediction_only")


@dataclasses.dataclass(frozen=True)
class Options:
  """Fine-tune MiniLM (6 layers x 384) on a few labelled Reuters documents, distil it into a student an
  eighth of its size over many unlabelled ones, and measure both on the test split of Reuters R8.

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
  student_width: Annotated[int, AT_LEAST_1] = 84
  """Hidden size of the student, a multiple of its 12 heads; its feed-forward layers are four times as wide."""
  intermediate_epochs: Annotated[int, AT_LEAST_1] = 1
  """Passes of the first stage, which distils embeddings, hidden states and attention scores, over all documents."""
  prediction_epochs: Annotated[int, AT_LEAST_1] = 4
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


def main(options: Options) -> None:
  """Runs all stages, and writes what came of them."""
  check(options)
  datasets.disable_progress_bars()
  encoder = demo_data.encoder_directory()
  tokenizer = load_tokenizer(encoder)
  data = demo_data.few_labels(
    tokenizer, options.labelled_share, options.max_length, options.max_train_examples, options.seed
  )
  # Few steps, so BERT's epsilon would damp the smallest gradients for most of them; few lengths, so few programs.
  run = TaskRun(
    Classification("Reuters R8", data.labels, metrics=("accuracy", "macro_f1"), match_logits=True),
    TaskRows(data.transfer_texts, data.labelled, data.transfer, {"dev": data.dev}),
    tokenizer,
    options.max_length,
    options.out,
    options.seed,
    evaluations=6,
    log_every=10,
    dtype=precision.choose(options.dtype).dtype,
    origin=Origin((demo_data.ENCODER,), data=Data("Reuters R8"), license="apache-2.0", language="en"),
  )
  start = teachers.with_pretrained(str(encoder), run.task, tokenizer, options.seed)
  student = teachers.with_new_classifier(student_config(start.config, options), None, run.task, options.seed)
  layers = uniform_layers(student.config, start.config)
  announce(options, data, start, student)
  if (options.out / "stages").is_dir():
    print(f"note      {options.out / 'stages'} is of version 0.1, which this version does not go on with")
  with only_run(options.out):
    metrics = run_stages(options, run, data, start, student, layers)
  print("\n" + report.table(metrics))
  print("\n" + _setting(metrics))
  print(
    f"The run took {metrics['seconds'] / 60:.1f} minutes. The student is in {options.out / 'student'}; open "
    f"{options.out / report.PAGE} for pictures.\nUse it: tinybert-jax predict --model {options.out / 'student'} "
    "--data FILE --out FILE"
  )


def run_stages(
  options: Options, run: TaskRun, data: demo_data.Data, start: Pretrained, student: Pretrained, layers: LayerMap
) -> dict[str, Any]:
  """Returns what `metrics.json` holds, after the stages of distillation and two students to compare with."""
  about = f"tinybert_jax's quickstart: Reuters R8 topics, documents cut to {options.max_length} tokens"
  how = recipes(options, data)
  teacher = task.make_teacher(run, start, how.teacher, f"The teacher of {about}.")
  targets = Targets(run, [teacher])
  intermediate = task.make_intermediate(
    run, teacher, student, layers, how.intermediate, f"A student of {about}; no classifier yet."
  )
  prediction = task.make_prediction(run, targets, intermediate, how.prediction, f"The student of {about}.")
  # What distillation is up against, and what its first stage adds: the same student from the same start, for as many
  # steps, on the labels alone, and by the second stage alone.
  labels = task.make_labels(run, student, how.labels, f"The student of {about}, trained on the labels alone.")
  epochs = options.intermediate_epochs + options.prediction_epochs
  recipe = dataclasses.replace(how.prediction[0], epochs=epochs)
  only = task.make_prediction(
    run,
    targets,
    student,
    (recipe,),
    f"The student of {about}, without its first stage.",
    name="prediction_only",
  )
  counts = {name: len(getattr(data, name)) for name in ("labelled", "transfer", "dev", "test")}
  return evaluation.evaluate(
    run,
    evaluation.Models([teacher], prediction, {"labels alone": labels, "prediction stage alone": only}, fresh=student),
    {"test": data.test},
    data.test_texts,
    evaluation.About(command_line.command(), command_line.as_json(options), counts, STAGES),
  )


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


def announce(options: Options, data: demo_data.Data, teacher: Pretrained, student: Pretrained) -> None:
  """Prints what the run will do."""
  teacher_size, student_size = count_parameters(teacher.params), count_parameters(student.params)
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
