"""Labels that are numbers of classes, whose names are in a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinybert_jax.data.text_lines import is_blank, text_lines
from tinybert_jax.errors import InputError
from tinybert_jax.tasks.label_names import number_of


def read_names(path: Path) -> tuple[str, ...]:
  """Returns the class names in a text file, one a line, in the order of their numbers.

  Raises:
    InputError: no such file, a name that stands there twice, or fewer than two.
  """
  if not path.is_file():
    raise InputError(f"--label-names {path}: no such file; a text file with a class name a line is needed")
  names = [line.text.strip() for line in text_lines(path) if line.text is not None and not is_blank(line.text)]
  if twice := next((name for name in names if names.count(name) > 1), None):
    raise InputError(f"--label-names {path}: the name {twice!r} stands there twice")
  if len(names) < 2:
    raise InputError(f"--label-names {path}: {len(names)} names; at least two classes are needed")
  return tuple(names)


def by_number(
  cells: Any, names: Sequence[str], kind: str | None, separator: str | None, where: str, rows: Sequence[Any]
) -> list[Any]:
  """Returns the names of labels that are numbers: one, or a list where a row may have several; None of an empty cell.

  Args:
    cells: of the column of labels: numbers, lists of numbers, or texts such as "2,27".
    names: of the classes, by their numbers.
    kind: of task; by default several labels where a cell has several.
    separator: between the numbers in a text; by default a comma.
    where: what the table is called in errors.
    rows: numbers of the rows in the table, from 0.

  Raises:
    InputError: several columns, or something else than a number of a class, with its row.
  """
  if isinstance(cells, Mapping):
    raise InputError(f"{where}: --label-names names the numbers in one column of labels, and there are {len(cells)}")
  found: list[list[str] | None] = []
  for row, cell in zip(rows, cells, strict=True):
    if cell is None or (isinstance(cell, str) and not cell.strip()):
      found.append(None)
      continue
    parts = cell if isinstance(cell, list) else str(cell).split(separator or ",")
    numbers = [number_of(part) for part in parts]
    for part, number in zip(parts, numbers, strict=True):
      if number is None or not number.is_integer() or not 0 <= number < len(names):
        raise InputError(
          f"{where}, row {int(row) + 1}: the label {part!r:.40}, and the number of a class is needed, 0 to "
          f"{len(names) - 1}, as --label-names has {len(names)}"
        )
    found.append([names[int(number)] for number in numbers if number is not None])
  if kind == "multi_label" or (kind is None and any(row is not None and len(row) > 1 for row in found)):
    return found
  several = next((place for place, row in enumerate(found) if row is not None and len(row) > 1), None)
  if several is not None:
    raise InputError(f"{where}, row {int(rows[several]) + 1}: several labels, and --kind {kind} takes one")
  return [None if row is None else row[0] for row in found]
