"""The options of `python -m experiments.squad`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tinybert_jax.choices import Hosts, StudentFrom
from tinybert_jax.cli.options import DtypeOption, HostOptions
from tinybert_jax.pipeline.distil_settings import Stage
from tinybert_jax.settings import AT_LEAST_1, LENGTH, RATE, SEED


@dataclasses.dataclass(frozen=True)
class Options:
  """Distil a model that answers SQuAD's questions, with the paper's settings (TinyBERT, Appendix: SQuAD).

  python -m experiments.squad --pretrained bert-base-uncased --student ./general-tinybert --data ./squad --version 1.1
  """

  pretrained: str | None = None
  """Model directory or hub id of an encoder. It is fine-tuned first; then it is the teacher."""
  teacher: str | None = None
  """Model directory or hub id of a model that is fine-tuned on SQuAD already, in place of --pretrained."""
  student: str = "tinybert-4l-312d"
  """Student to begin with: preset, config.json, model directory or hub id. The paper's are general TinyBERTs."""
  student_from: StudentFrom | None = None
  """teacher: make the student's first weights from the teacher's."""
  data: Path | None = None
  """Folder with train-v1.1.json and dev-v1.1.json, or those of version 2.0. Default: the hub's rajpurkar/squad."""
  version: Literal["1.1", "2.0"] = "1.1"
  """SQuAD's version; in 2.0 some questions have no answer."""
  out: Path = Path("runs/squad")
  """Folder for everything that the run writes; each version has a folder there."""
  stages: tuple[Stage, ...] = ("teacher", "intermediate", "prediction", "evaluate")
  """Stages to run. The stage labels trains the same student on the labels alone, to compare with."""
  teacher_epochs: Annotated[int, AT_LEAST_1] = 3
  """Passes of fine-tuning --pretrained."""
  teacher_learning_rate: Annotated[float, RATE] = 3e-5
  """Peak learning rate of the teacher."""
  intermediate_epochs: Annotated[int, AT_LEAST_1] = 5
  """Passes of intermediate distillation (the paper's)."""
  intermediate_learning_rate: Annotated[float, RATE] = 5e-5
  """Its peak learning rate (the paper's)."""
  prediction_epochs: Annotated[int, AT_LEAST_1] = 3
  """Passes of prediction distillation (the paper's)."""
  prediction_learning_rate: Annotated[float, RATE] = 3e-5
  """Its peak learning rate (the paper's)."""
  batch_size: Annotated[int, AT_LEAST_1] = 16
  """Rows in a batch (the paper's)."""
  max_length: Annotated[int, LENGTH] = 384
  """Tokens of a question and a part of its text."""
  doc_stride: Annotated[int, AT_LEAST_1] = 128
  """Tokens that the parts of a text share."""
  max_query_length: Annotated[int, AT_LEAST_1] = 64
  """Tokens that a question is cut to."""
  max_answer_length: Annotated[int, AT_LEAST_1] = 30
  """The most tokens of an answer."""
  null_threshold: float = 0.0
  """How much the score of no answer has to be above the best answer's, for version 2.0. metrics.json tells the best."""
  max_train_examples: Annotated[int | None, AT_LEAST_1] = None
  """Take only this many questions to train on, for a trial."""
  half_targets: bool = False
  """Keep the teacher's predictions in half precision."""
  seed: Annotated[int, SEED] = 0
  """Random seed."""
  dtype: DtypeOption = "auto"
  hosts: HostOptions = dataclasses.field(default_factory=Hosts)
  debug: bool = False
  """Show the traceback of an error."""
