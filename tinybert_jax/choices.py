"""What options choose from: types and defaults that load nothing, so that a command can explain itself at once."""

import dataclasses
from typing import Literal, NamedTuple

# Of the inputs of matrix products; "auto" is what the device multiplies fast, see `training.precision`.
Precision = Literal["auto", "float32", "bfloat16"]
Decay = Literal["linear", "cosine", "constant"]
# "mesh": rows over the devices, everything else on each. "sharded": parameters and optimizer state spread as well.
# "pmap": as "mesh", by `jax.pmap`. All give the same numbers up to the order of sums, but for dropout's bits in pmap.
Form = Literal["mesh", "sharded", "pmap"]
# "plain": by array operations. "fused": by the kernels of `fused_attention`, for TPU; the same numbers up to rounding,
# but for the random bits of dropout.
AttentionForm = Literal["plain", "fused"]
# Of tasks on one's own data.
Kind = Literal["classification", "multi_label", "multi-label", "regression", "tokens", "spans", "embeddings", "ranking"]
# How a classifier's logits are compared with the teacher's: "soft", the paper's cross-entropy of their softmax or
# sigmoid; "logits", the squared error of the numbers themselves.
PredictionLoss = Literal["soft", "logits"]
# How a student's embedding is compared with the teacher's.
EmbeddingLoss = Literal["mse", "cosine", "similarity"]
EMBEDDING_LOSSES: tuple[EmbeddingLoss, ...] = ("cosine", "similarity")
SIMILARITY_TEMPERATURE = 0.05  # of cosines, which are from -1 to 1
# What becomes of a student whose embedding is narrower than its teacher's.
Narrower = Literal["dense", "truncate"]
# How a student's scores of a query's passages are compared with the teacher's.
RankingLoss = Literal["mse", "margin", "listwise"]
RANKING_LOSSES: tuple[RankingLoss, ...] = ("mse", "listwise")
# Where a student's first weights come from, if it has none of its own: made from the teacher's.
StudentFrom = Literal["teacher", "random"]
# What a masked language model reads: the masked sentence alone, or a pair of it and the unmasked one.
Context = Literal["masked", "pair"]

CANDIDATES = 15  # the paper's K
REPLACED = 0.4  # the paper's p_t
MASKED = 0.15  # BERT's share of the tokens


@dataclasses.dataclass(frozen=True)
class Hosts:
  """Where a run computes. Under TPU pods, SLURM and the other launchers that JAX knows, processes find each other; on
  GPUs they are to start a process for each.
  """

  tpu: bool = False
  """Run on TPUs, and end where there are none."""
  gpu: bool = False
  """Run on GPUs, and end where there are none."""
  cpu: bool = False
  """Run on the CPU."""
  coordinator: str | None = None
  """HOST:PORT of the first process, if several run without a launcher. Needs --process-id and --num-processes."""
  process_id: int | None = None
  """Number of this process, from 0."""
  num_processes: int | None = None
  """Number of processes of the run."""
  compile_cache: bool = True
  """Keep compiled programs in the user's cache folder, so that they are not compiled again in the next run."""


class Reading(NamedTuple):
  """How text files are read; None is found out."""

  delimiter: str | None = None
  """Character between the cells of CSV and TSV files. Default: found."""
  quote: str | None = None
  """Character around cells that contain delimiters; '' if quotes are part of the text. Default: found."""
  encoding: str | None = None
  """Encoding of text files, such as cp1252. Default: UTF-8, or what a byte order mark says."""
  header: bool = True
  """The first row of CSV and TSV files has the names of the columns; else they are called 0, 1, …."""


AS_FOUND = Reading()
