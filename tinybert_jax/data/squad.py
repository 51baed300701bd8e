"""Questions on texts, with answers that stand in the text: SQuAD's JSON of both versions, and its rows on the hub."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tinybert_jax.choices import AS_FOUND, Reading
from tinybert_jax.data.compression import split_name
from tinybert_jax.data.folders import Wanted, find_files
from tinybert_jax.data.sources import open_bytes, reading
from tinybert_jax.data.tables import read_table
from tinybert_jax.errors import InputError

_WANTED = Wanted(lambda path: split_name(path)[0] == ".json", "not SQuAD's JSON", "no .json files")
_COLUMNS = ("question", "context")


class Question(NamedTuple):
  """A question on a text.

  Attributes:
    id: its name.
    question: itself.
    context: the text.
    answers: texts of all answers; none where the text does not answer it, None where answers are not given.
    starts: where each begins in the text; -1 where it stands in several places, of which none is marked.
    article: that the text is from, or the text's own beginning.
  """

  id: str
  question: str
  context: str
  answers: tuple[str, ...] | None
  starts: tuple[int, ...]
  article: str


def read_questions(where: Sequence[str | Path], notes: list[str], how: Reading = AS_FOUND) -> list[Question]:
  """Returns the questions of SQuAD's files, or of tables and hub data sets with its columns.

  An answer whose mark does not fit its text is found again where the text has it once.

  Args:
    where: files, globs or directories of SQuAD's JSON, or tables with the columns `question`, `context`, and perhaps
      `answers` with lists of `text` and `answer_start`, `id` and `title`.
    notes: gets a sentence on marks that were wrong.
    how: text files are read.

  Raises:
    InputError: another layout, an empty question or text, or an answer that its text does not have; it names the
      question.
  """
  name, found = ", ".join(map(str, where)), list[Question]()
  repaired = lost = 0
  for file, place, row in _rows(where, notes, how):
    question, fixed, unmarked = _checked(row, f"{file}, {place}")
    repaired, lost = repaired + fixed, lost + unmarked
    found.append(question)
  if not found:
    raise InputError(f"{name}: no question")
  if repaired:
    notes.append(f"{name}: {repaired:,} answers are not where their marks say, and are in their text once: put right")
  if lost:
    notes.append(f"{name}: {lost:,} answers are not where their marks say, and are in their text several times")
  return found


def _rows(where: Sequence[str | Path], notes: list[str], how: Reading) -> Any:
  """Yields for each question the file, what it is called there, and its columns."""
  files: list[Path] = []
  for source in where:
    try:
      found, said = find_files(source, _WANTED)
    except InputError:
      found, said = [], []
    files, notes[:] = files + found, notes + said
  contents = [(file, _json(file)) for file in files]
  if not files or not all(isinstance(content, dict) and "data" in content for _, content in contents):
    table = read_table(where, how)
    notes += table.notes
    missing = [column for column in _COLUMNS if column not in table.rows.column_names]
    if missing:
      has = ", ".join(table.rows.column_names)
      raise InputError(f"{', '.join(map(str, where))}: no column {' and no '.join(missing)}; it has {has}")
    for number, row in enumerate(table.rows, start=1):
      yield ", ".join(map(str, where)), f"row {number}", row
    return
  for file, content in contents:
    try:
      yield from ((file, f"question {row['id']}", row) for row in _of_articles(content["data"]))
    except (KeyError, TypeError, AttributeError) as error:
      raise InputError(
        f"{file}: not SQuAD's layout (data, paragraphs, context, qas, question); missing or wrong is {error}"
      ) from error


def _json(file: Path) -> Any:
  def content() -> Any:
    with open_bytes(file) as raw:
      text = raw.read()
    try:
      yield json.loads(text)
    except (ValueError, RecursionError) as error:
      if text.lstrip()[:1] == b"{" and b"\n{" in text:
        yield None  # an object a line, which is a table
        return
      raise InputError(f"{file}: cannot be read as JSON ({error})") from error

  return next(iter(reading(file, content)))


def _of_articles(articles: Any) -> Any:
  for number, article in enumerate(articles):
    for paragraph in article["paragraphs"]:
      for asked in paragraph["qas"]:
        answers = [] if asked.get("is_impossible") else asked.get("answers")
        yield {
          "id": str(asked["id"]),
          "title": str(article.get("title", f"article {number + 1}")),
          "question": asked["question"],
          "context": paragraph["context"],
          "answers": None
          if answers is None
          else {"text": [one["text"] for one in answers], "answer_start": [one["answer_start"] for one in answers]},
        }


def _checked(row: Any, place: str) -> tuple[Question, int, int]:
  """Returns a question, how many of its marks were put right, and how many could not be."""
  for name in _COLUMNS:
    if not isinstance(row[name], str) or not row[name].strip():
      raise InputError(f"{place}: {row[name]!r:.40} as {name}, and a text is needed")
  context, article = row["context"], row.get("title") or row["context"][:200]
  answers = row.get("answers")
  if answers is None:
    return Question(str(row.get("id", "")), row["question"], context, None, (), article), 0, 0
  try:
    marked = list(zip(answers["text"], answers["answer_start"], strict=True))
    marked = [(str(text), int(start)) for text, start in marked]
  except (KeyError, TypeError, ValueError) as error:
    raise InputError(
      f"{place}: its answers are {answers!r:.80}, and lists of text and answer_start are needed"
    ) from error
  repaired = lost = 0
  starts = []
  for text, start in marked:
    if not text.strip():
      raise InputError(f"{place}: an empty answer; a question without one has an empty list")
    if start < 0 or context[start : start + len(text)] != text:
      times = context.count(text)
      if not times:
        raise InputError(f"{place}: the answer {text!r:.60} does not stand in its text")
      start = context.find(text) if times == 1 else -1
      repaired, lost = repaired + (times == 1), lost + (times > 1)
    starts.append(start)
  texts = tuple(text for text, _ in marked)
  return Question(str(row.get("id", "")), row["question"], context, texts, tuple(starts), article), repaired, lost
