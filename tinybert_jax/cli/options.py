"""The options of where and how a command computes, which command lines have in common."""

from typing import Annotated

import tyro

from tinybert_jax.choices import Hosts, Precision
from tinybert_jax.distillation.term_choice import TermOptions

HostOptions = Annotated[Hosts, tyro.conf.arg(name=""), tyro.conf.FlagCreatePairsOff]
IntermediateOptions = Annotated[TermOptions, tyro.conf.arg(name="")]
DtypeOption = Annotated[
  Precision,
  tyro.conf.arg(
    help="Type of the inputs of matrix products; sums are float32. auto: bfloat16 on TPUs, on GPUs of "
    "compute capability 8.0 or more, and on CPUs with avx512_bf16 or amx_bf16, which multiply it about twice as fast; "
    "float32 elsewhere."
  ),
]
