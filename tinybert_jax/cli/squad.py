"""`python -m experiments.squad`: SQuAD v1.1 or v2.0 with the paper's settings, by the stages of `distil`."""

from tinybert_jax.cli import distil, distil_options
from tinybert_jax.cli.squad_options import Options
from tinybert_jax.errors import InputError
from tinybert_jax.pipeline.distil_settings import Settings
from tinybert_jax.settings import check, from_flat

_HUB = {"1.1": "rajpurkar/squad", "2.0": "rajpurkar/squad_v2"}
_NOT_OF_DISTIL = ("data", "version", "batch_size", "hosts", "debug")


def main(options: Options) -> None:
  """Distils, and prints the results; see `distil.main`."""
  check(options)
  if (options.pretrained is None) == (options.teacher is None):
    raise InputError("who teaches? Give --pretrained (fine-tuned here) or --teacher (fine-tuned already), one of them")
  distil.main(distil_options.Options(settings(options), options.hosts, options.debug))


def settings(options: Options) -> Settings:
  """Returns the run of `distil` that the options ask for."""
  flat = {name: value for name, value in vars(options).items() if name not in _NOT_OF_DISTIL and value is not None}
  files = _splits(options)
  if options.teacher:
    flat["teacher"] = (options.teacher,)
    del flat["teacher_epochs"], flat["teacher_learning_rate"]
  sizes = {f"{stage}_batch_size": options.batch_size for stage in ("teacher", "intermediate", "prediction")}
  out = options.out / f"v{options.version}"
  return from_flat(Settings, {**flat, **sizes, "kind": "spans", "train": files[0], "dev": files[1], "out": out})


def _splits(options: Options) -> tuple[str, str]:
  """Returns where the questions to train on and to measure on are."""
  if options.data is None:
    name = _HUB[options.version]
    return f"{name}::train", f"{name}::validation"
  files = [options.data / f"{split}-v{options.version}.json" for split in ("train", "dev")]
  if missing := [str(file) for file in files if not file.is_file()]:
    raise InputError(f"{' and '.join(missing)}: no such file; --data is the folder with SQuAD's files of that version")
  return str(files[0]), str(files[1])
