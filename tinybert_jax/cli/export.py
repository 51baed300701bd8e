"""`tinybert-jax export --model DIR`: a finished model as ONNX and StableHLO."""

from tinybert_jax.cli.export_options import Options
from tinybert_jax.pipeline.export import export_model
from tinybert_jax.settings import check


def main(options: Options) -> None:
  """Exports, and prints what lies where."""
  check(options)
  done = export_model(
    options.model,
    options.out,
    int8=options.int8,
    fp16=options.fp16,
    stablehlo=options.stablehlo,
    calibrate=options.calibrate,
    text=options.text,
    pair=options.pair,
    label=options.label,
    reading=options.reading,
    max_loss=options.max_loss,
  )
  for name, size in done.files.items():
    print(f"{done.directory / name}  {size / 1e6:.1f} MB")
  if done.chosen is not None:
    print(f"The 8-bit integers that are kept: {done.chosen.kept.name}")
