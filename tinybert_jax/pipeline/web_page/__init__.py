"""A folder with one page that runs a classifier in a browser, by transformers.js."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinybert_jax.choices import AS_FOUND, Reading
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import read_json
from tinybert_jax.models.encoder import SequenceClassifier, count_parameters
from tinybert_jax.models.finished import Finished, load_finished
from tinybert_jax.models.pretrained import load_tokenizer, local_directory
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.models.tokenizers import FILES
from tinybert_jax.pipeline import export
from tinybert_jax.pipeline.calibration import Calibration
from tinybert_jax.pipeline.export import Exported
from tinybert_jax.settings import NOT_NEGATIVE, check_number
from tinybert_jax.tasks.own_task import check_class_names, kind_of_model

_HERE = Path(__file__).parent
_PACKAGE, _SETTINGS, _CONFIG = "package.json", "settings.json", "config.json"
_STATIC = ("index.html", "page.css", "page.js", "worker.js", _PACKAGE)
_MODEL = "model"  # the folder of the model in that of the page


def export_page(
  model: str | Path,
  out: str | Path,
  *,
  calibrate: str | Path | Sequence[str | Path] = (),
  text: str | None = None,
  pair: str | None = None,
  label: str | Sequence[str] = (),
  reading: Reading = AS_FOUND,
  max_loss: float = 0.5,
) -> Exported:
  """Writes a page that runs a classifier of texts in a browser, as 8-bit integers, and returns what was written.

  Its folder has the page, the model, and a `package.json` by which `npm install` fetches transformers.js. The page
  loads nothing from elsewhere. It shows a class with its probability, several labels, or a number, as the model's
  configuration says; and two fields where the rows of `calibrate` have two texts.

  Args:
    model: directory or hub id of the classifier.
    out: a new folder, or that of a page of an export before.
    calibrate, text, pair, label, reading, max_loss: as of `export_model`.

  Raises:
    InputError: as of `export_model`, a model that is no classifier of texts, or other files in the folder.
    OSError: the disk is full, or cannot be written.
  """
  check_number("max_loss", max_loss, NOT_NEGATIVE)
  sources = export.measured_on(model, calibrate, text, pair, label, reading, "--web")
  source, folder = local_directory(model), Path(out)
  _check_folder(folder)
  finished = load_finished(model)
  _check_can_show(finished, str(model))
  measured = export.read_measured(model, finished, sources)
  made, chosen = export.make(model, finished, measured, max_loss)
  # Outer folders come first: where writing fails, each removes what it made, and no more.
  files = {name: (_HERE / name).read_bytes() for name in _STATIC}
  files[_SETTINGS] = _settings(finished, measured, len(made[export.INTEGERS]))
  files[f"{_MODEL}/{_CONFIG}"] = (source / _CONFIG).read_bytes()
  files |= {f"{_MODEL}/{name}": content for name, content in _tokenizer_files(load_tokenizer(model)).items()}
  files |= {f"{_MODEL}/{name}": made[name] for name in (export.INTEGERS, export.TRIED)}
  export.write(folder, files, None, [f"{_MODEL}/{name}" for name in FILES if (folder / _MODEL / name).is_file()])
  return Exported(folder, {name: len(content) for name, content in files.items()}, chosen)


def _check_can_show(finished: Finished, name: str) -> None:
  """Raises InputError where a page has no way of showing what a model says.

  Args:
    finished: the model.
    name: its directory or hub id.
  """
  if finished.model_class is not SequenceClassifier:
    raise InputError(
      f"{name}: --web shows what a classifier of texts says, and this is a {finished.model_class.__name__}; export it "
      "without --web, and call it from a page of your own"
    )
  check_class_names(finished.loaded.config, name, "correct id2label in its config.json")
  kind_of_model(finished.loaded.config, name)


def _check_folder(folder: Path) -> None:
  """Raises InputError where something else stands there than the page of an export before."""
  if folder.exists() and not folder.is_dir():
    raise InputError(f"{folder}: a file stands there, and --web writes a folder; give --out another name")
  if folder.is_dir() and any(folder.iterdir()) and not _is_ours(folder):
    raise InputError(f"{folder}: has other files in it, and --web writes a page; give --out a new folder")


def _settings(finished: Finished, measured: Calibration, size: int) -> bytes:
  """Returns what the page is told of the model; `size` is that of its file in bytes."""
  config = finished.loaded.config
  settings: dict[str, Any] = {
    "kind": kind_of_model(config, ""),
    "labels": list(config.labels),
    "pair": measured.has_pairs,
    "max_length": measured.max_length,
    "layers": config.num_hidden_layers,
    "width": config.hidden_size,
    "parameters": count_parameters(finished.loaded.params),
    "bytes": size,
  }
  return (json.dumps(settings, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _tokenizer_files(tokenizer: Tokenizer) -> dict[str, bytes]:
  """Returns a tokenizer's files; transformers.js needs a tokenizer.json, whatever the model's directory has."""
  with tempfile.TemporaryDirectory() as folder:
    tokenizer.save_pretrained(folder)
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.name in FILES}


def _is_ours(folder: Path) -> bool:
  """Returns whether an export before wrote the page in a folder."""
  path = folder / _PACKAGE
  try:
    return path.is_file() and read_json(path).get("name") == read_json(_HERE / _PACKAGE)["name"]
  except InputError:
    return False
