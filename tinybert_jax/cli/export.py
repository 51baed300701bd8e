"""`tinybert-jax export --model DIR`: a finished model as ONNX and StableHLO, or as a page for a browser."""

import shlex
from pathlib import Path
from typing import Any

from tinybert_jax.cli.export_options import Options
from tinybert_jax.errors import InputError
from tinybert_jax.pipeline.export import export_model
from tinybert_jax.pipeline.web_page import export_page
from tinybert_jax.settings import check


def main(options: Options) -> None:
  """Exports, and prints what lies where."""
  check(options)
  measured: dict[str, Any] = {
    name: getattr(options, name) for name in ("calibrate", "text", "pair", "label", "reading", "max_loss")
  }
  if options.web:
    done = export_page(options.model, _page_folder(options), **measured)
  else:
    done = export_model(
      options.model, options.out, int8=options.int8, fp16=options.fp16, stablehlo=options.stablehlo, **measured
    )
  files = {"": sum(done.files.values())} if options.web else done.files
  for name, size in files.items():
    print(f"{done.directory / name}  {size / 1e6:.1f} MB")
  if done.chosen is not None:
    print(f"The 8-bit integers that are kept: {done.chosen.kept.name}")
  if options.web:
    print(
      f"To see the page: cd {shlex.quote(str(done.directory))}; npm install; python -m http.server --bind 127.0.0.1; "
      "it is at http://127.0.0.1:8000 then"
    )


def _page_folder(options: Options) -> Path:
  """Returns where the page is to be; InputError for options that do not go with it."""
  if options.fp16 or options.stablehlo:
    raise InputError("--web writes a page with 8-bit integers alone; export again for --fp16 or --stablehlo")
  if options.out is None:
    raise InputError("--web writes a folder with a page; give --out a new one")
  return options.out
