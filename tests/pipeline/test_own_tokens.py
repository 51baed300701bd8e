"""One's own words and tags: every layout gives the same rows, and what is wrong is told with its row."""

import json

import datasets
import pytest

from tinybert_jax.errors import InputError
from tinybert_jax.pipeline import own_tokens
from tinybert_jax.pipeline.distil_settings import Sources
from tinybert_jax.pipeline.own_tables import Known
from tinybert_jax.tasks.tokens import Tokens

WORDS = [["Ada", "Byron", "met", "Eve"], ["in", "Rome"]]
IOB2 = [["B-PER", "I-PER", "O", "B-PER"], ["O", "B-LOC"]]
NAMES = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
NEW = Known("tokens", None)


def write(path, words=WORDS, tags=IOB2):
  if path.suffix == ".conll":
    texts = (
      "\n".join(f"{one} x {tag}" for one, tag in zip(*text, strict=True)) for text in zip(words, tags, strict=True)
    )
    path.write_text("\n\n".join(texts) + "\n")
  elif path.suffix == ".parquet":
    number = {name: place for place, name in enumerate(NAMES)}
    kinds = {
      "tokens": datasets.List(datasets.Value("string")),
      "ner_tags": datasets.List(datasets.ClassLabel(names=list(NAMES))),
    }
    values = {"tokens": words, "ner_tags": [[number[tag] for tag in text] for text in tags]}
    datasets.Dataset.from_dict(values, features=datasets.Features(kinds)).to_parquet(path)
  else:
    path.write_text(
      "".join(json.dumps({"words": one, "tags": two}) + "\n" for one, two in zip(words, tags, strict=True))
    )
  return str(path)


def read(path, known=NEW, **options):
  notes = []
  return own_tokens.read_train(Sources(train=(path,), **options), known, notes), notes


@pytest.mark.parametrize("suffix", [".conll", ".jsonl", ".parquet"])
def test_columns_lines_and_lists_give_the_same_rows(tmp_path, suffix):
  made, notes = read(write(tmp_path / f"train{suffix}"))
  assert set(made.names) == set(NAMES) and made.names[0] == "O" and made.kind == "tokens"
  rows = made.rows.rows
  assert rows["words"][:] == WORDS and rows["text"][0] == "Ada Byron met Eve" and rows["index"][:] == ["0", "1"]
  assert [[made.names[number] for number in text] for text in rows["label"]] == IOB2
  assert "words in the column" in notes[-1] and "tags in the column" in notes[-1]
  unlabelled = own_tokens.read_unlabelled(
    Sources(unlabelled=(str(tmp_path / f"train{suffix}"),)), "tokens", NAMES, made.columns, []
  )
  assert unlabelled.rows["words"][:] == WORDS and "label" not in unlabelled.rows.column_names


@pytest.mark.parametrize(
  ("tags", "kind"),
  [
    ([["I-PER", "I-PER", "O", "I-PER"], ["O", "I-LOC"]], "IOB1"),
    ([["B-PER", "E-PER", "O", "S-PER"], ["O", "S-LOC"]], "BIOES"),
    ([["B-PER", "L-PER", "O", "U-PER"], ["O", "U-LOC"]], "BIOES"),
  ],
)
def test_other_schemes_become_the_same_classes(tmp_path, tags, kind):
  made, notes = read(write(tmp_path / "train.jsonl", tags=tags))
  assert made.names == NAMES and f"tags of 2 texts are {kind}; the model's are IOB2" in notes[-1]
  assert [[NAMES[number] for number in text] for text in made.rows.rows["label"]] == IOB2
  bioes = ("O", "B-PER", "I-PER", "E-PER", "S-PER", "S-LOC", "B-LOC", "I-LOC", "E-LOC")
  made, _ = read(write(tmp_path / "train.jsonl", tags=tags), Known("tokens", bioes))  # a teacher's
  assert [bioes[number] for number in made.rows.rows["label"][0]] == ["B-PER", "E-PER", "O", "S-PER"]


def test_plain_tags_stay_and_numbers_are_named_by_the_teacher(tmp_path):
  made, _ = read(write(tmp_path / "a.jsonl", tags=[["NOUN", "NOUN", "VERB", "NOUN"], ["ADP", "NOUN"]]))
  assert made.names == ("ADP", "NOUN", "VERB")
  made, _ = read(write(tmp_path / "b.jsonl", tags=[[1, 2, 0, 1], [0, 0]]), Known("tokens", ("O", "B-X", "I-X")))
  assert made.names == ("O", "B-X", "I-X") and made.rows.rows["label"][:] == [[1, 2, 0, 1], [0, 0]]


def test_entities_marked_by_characters_are_the_same_rows(tmp_path):
  path = tmp_path / "marked.jsonl"
  texts = {"Ada Byron met Eve": [(0, 9, "PER"), (14, 17, "PER")], "in Rome": [(3, 7, "LOC")]}
  rows = [
    {"text": text, "entities": [dict(zip(("start", "end", "label"), each, strict=True)) for each in marked]}
    for text, marked in texts.items()
  ]
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  made, notes = read(str(path))
  assert made.rows.rows["words"][:] == WORDS and "tags in the column entities" in notes[-1]
  assert [[made.names[number] for number in text] for text in made.rows.rows["label"]] == IOB2
  path.write_text('{"text": "no one", "entities": []}\n')
  with pytest.raises(InputError, match="no word has a tag of an entity"):
    own_tokens.read_measured((str(path),), Sources(), made.columns, Tokens("t", made.names), [])


def test_numbered_tags_have_the_names_of_a_file_and_doubtful_ones_a_note(tmp_path):
  (tmp_path / "names.txt").write_text("\n".join(NAMES))
  numbers = [[NAMES.index(tag) for tag in text] for text in IOB2]
  path = write(tmp_path / "a.jsonl", tags=numbers)
  made, _ = read(path, label_names=tmp_path / "names.txt")
  assert [[made.names[number] for number in text] for text in made.rows.rows["label"]] == IOB2
  assert "numbers without names" in read(path)[1][-1]
  mixed = write(tmp_path / "b.jsonl", tags=[["B-PER", "PER", "O", "O"], ["O", "O"]])
  assert "'B-PER' says a position in an entity, and 'PER' none" in read(mixed)[1][-1]
  for wrong in (-100, 9):  # the first is what libraries write for pieces that do not count
    with pytest.raises(InputError, match=f"row 2: the tag {wrong}"):
      read(write(tmp_path / "c.jsonl", tags=[numbers[0], [0, wrong]]), label_names=tmp_path / "names.txt")
  with pytest.raises(InputError, match="the tag -100, and numbers are from 0 on"):
    read(write(tmp_path / "c.jsonl", tags=[numbers[0], [0, -100]]))


@pytest.mark.parametrize(
  ("words", "tags", "problem"),
  [
    (WORDS, [IOB2[0][:3], IOB2[1]], "row 1: 4 words and 3 tags, and each word needs one"),
    ([WORDS[0], []], [IOB2[0], []], "row 2: an empty text"),
    ([WORDS[0], ["in", " "]], IOB2, "row 2: word 2 is empty"),
    ([WORDS[0], ["in", None]], IOB2, "row 2: .* in the column words, and a list of words is needed"),
    (WORDS, [IOB2[0], ["O", ""]], "row 2: an empty tag; words in no entity have the tag O"),
    (WORDS, [["O"] * 4, ["O"] * 2], "all tags are 'O'"),
    (WORDS, [["O"] * 4, None], "row 2: None in the column tags, and a list of tags is needed"),
  ],
)
def test_what_is_wrong_is_told_with_its_row(tmp_path, words, tags, problem):
  with pytest.raises(InputError, match=problem):
    read(write(tmp_path / "a.jsonl", words, tags))


def test_tags_that_a_model_does_not_have_and_columns_that_are_not_there(tmp_path):
  path = write(tmp_path / "a.jsonl")
  with pytest.raises(InputError, match="row 2: the tag 'B-LOC' is none of the model's"):
    own_tokens.read_measured((path,), Sources(), None, Tokens("t", ("O", "B-PER", "I-PER")), [])
  with pytest.raises(InputError, match=r"--label ner: .* has no such column; it has words, tags"):
    read(path, label=("ner",))
  numbered = write(tmp_path / "c.conll")
  with pytest.raises(InputError, match="all tags are 'x'"):
    read(numbered, label=("1",))
