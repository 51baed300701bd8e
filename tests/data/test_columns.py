import datasets
import pytest

from tinybert_jax.data.columns import Columns, choose_columns, text_rows
from tinybert_jax.errors import InputError

REVIEWS = ["a fine film indeed", "dull and far too long", "I loved all of it", "never again, please"]


def table(**columns):
  return datasets.Dataset.from_dict(columns)


def chosen(rows, **options):
  found = choose_columns(rows, where="train.csv", **options)
  assert all(note.startswith("train.csv: ") for note in found.notes)
  return found[:3]


def refused(rows, **options):
  with pytest.raises(InputError) as raised:
    choose_columns(rows, where="train.csv", **options)
  assert "\n" not in str(raised.value)
  return str(raised.value)


@pytest.mark.parametrize(
  "names",
  [
    ("text", "label"),
    ("sentence", "labels"),
    ("review", "sentiment"),
    ("content", "stars"),
    ("Text", "Class"),
    ("text", "emotions"),
  ],
)
def test_well_known_names_are_taken(names):
  rows = table(**{names[1]: ["1", "0", "1", "0"], "id": REVIEWS, names[0]: REVIEWS})
  assert chosen(rows) == (names[0], None, (names[1],))


@pytest.mark.parametrize(
  "pair",
  [
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question", "answer"),
    ("text_a", "text_b"),
    ("query", "passage"),
  ],
)
def test_well_known_pairs_are_taken(pair):
  rows = table(idx=[0, 1, 2, 3], **{pair[0]: REVIEWS, pair[1]: REVIEWS[::-1]}, label=[0, 1, 0, 1])
  assert chosen(rows) == (*pair, ("label",))
  assert chosen(rows, text=pair[0]) == (pair[0], None, ("label",))
  assert chosen(rows, pair=pair[1], text=pair[0]) == (*pair, ("label",))


def test_the_second_text_alone_names_the_first_only_where_one_makes_sense():
  others = {"text": REVIEWS, "answer": REVIEWS[::-1], "label": ["a", "b", "a", "b"]}
  assert chosen(table(**others), pair="answer") == ("text", "answer", ("label",))
  assert chosen(table(question=REVIEWS, **others), pair="answer") == ("question", "answer", ("label",))
  assert "which column has the texts: text, body could? Give --text" in refused(
    table(body=REVIEWS, **others), pair="answer"
  )


def test_an_answer_of_yes_and_no_is_no_pair():
  rows = table(question=REVIEWS, passage=REVIEWS[::-1], answer=[True, False, True, True])
  assert chosen(rows) == ("question", "passage", ("answer",))


def test_the_only_column_of_texts_is_taken_and_noted():
  rows = table(user_id=["u1", "u2", "u3", "u4"], kommentar=REVIEWS, stimmung=["gut", "schlecht", "gut", "gut"])
  found = choose_columns(rows, where="train.csv")
  assert found[:3] == ("kommentar", None, ("stimmung",))
  assert found.notes == (
    "train.csv: texts in the column kommentar, the only column of texts",
    "train.csv: labels in the column stimmung, the only one that could have them",
  )


def test_texts_of_scripts_without_spaces_are_texts():
  rows = table(plot=["この映画は良い", "とても長い映画", "二度と見ない"], verdict=["a", "b", "a"])
  assert chosen(rows) == ("plot", None, ("verdict",))


def test_texts_beside_the_text_are_noted():
  found = choose_columns(table(title=REVIEWS, content=REVIEWS, label=[0, 1, 0, 1]), where="train.csv")
  assert found.text == "content" and "not read are the texts in title" in found.notes[0]
  assert chosen(table(title=REVIEWS, label=[0, 1, 0, 1]))[0] == "title"


def test_what_is_named_is_taken_without_a_note():
  rows = table(a=REVIEWS, b=REVIEWS, x=["0", "1", "1", "0"], y=["1", "1", "0", "0"])
  assert choose_columns(rows, text="b", label="x") == Columns("b", None, ("x",), ())
  assert choose_columns(rows, text="a", pair="b", label=("x", "y")) == Columns("a", "b", ("x", "y"), ())
  assert choose_columns(rows, text="a", has_label=False, label=("gone",)) == Columns("a", None, (), ())


def test_an_open_choice_lists_the_columns_and_the_option():
  rows = table(one=REVIEWS, two=REVIEWS[::-1], label=[0, 1, 0, 1])
  message = refused(rows)
  assert "one, two could" in message and "--text" in message and "--pair" in message
  assert "one ('a fine film indeed')" in message and "label (0)" in message
  message = refused(table(text=REVIEWS, x=["0", "1", "1", "0"], y=["1", "1", "0", "0"]))
  assert "x, y could" in message and "--label, all of them for several labels at once" in message
  assert "score, stars could" in refused(table(text=REVIEWS, stars=[1, 2, 1, 3], score=[1, 2, 1, 2]))
  assert "Give --label" in refused(table(text=REVIEWS))
  assert "Give --text" in refused(table(label=[0, 1]))


def test_a_column_that_is_not_there_lists_those_that_are():
  rows = table(text=REVIEWS, label=[0, 1, 0, 1])
  for option, name in (("text", "review"), ("pair", "second"), ("label", "class")):
    message = refused(rows, **{option: name})
    assert (
      message.startswith(f"--{option} {name}: train.csv has no such column; it has text (") and "label (0)" in message
    )
  assert "the same column as --text" in refused(rows, text="text", label="text")


def test_numbers_are_texts_only_when_named():
  rows = table(text=["12", "7", "3.5", None], label=["a", "b", "a", "b"])
  assert "the column text holds numbers" in refused(rows) and "--text text" in refused(rows)
  found = choose_columns(rows, text="text", where="train.csv")
  assert "train.csv: the column text holds numbers, which are taken as texts" in found.notes
  assert text_rows(rows, found).rows["text"][:] == ["12", "7", "3.5"]
  whole = table(n=[1, 2], label=["a", "b"])
  assert text_rows(whole, choose_columns(whole, text="n")).rows["text"][:] == ["1", "2"]
  late = table(text=["1"] * 300 + ["a word"], label=["a", "b"] * 150 + ["a"])
  assert chosen(late)[0] == "text"


def test_lists_and_objects_are_no_texts():
  assert "train.csv, row 2: the column text holds lists" in refused(table(text=[None, ["a"]], label=[0, 1]))
  assert "row 1: the column text holds objects" in refused(table(text=[{"a": "b"}], label=[0]), text="text")
  assert "row 1: the column text holds bytes" in refused(table(text=[b"a"], label=[0]))


@pytest.mark.parametrize("name", ["id", "idx", "Unnamed: 0", "", "__index_level_0__", "review_id", "reviewId", "guid"])
def test_numbers_of_rows_are_neither_text_nor_label(name):
  rows = table(**{name: [5, 3, 9, 4], "words": REVIEWS})
  assert "which column has the labels?" in refused(rows)
  assert chosen(table(**{name: REVIEWS, "words": REVIEWS, "label": [0, 1, 0, 1]})) == ("words", None, ("label",))


def test_a_column_that_counts_the_rows_is_no_label():
  rows = table(nr=["7", "8", "9", "10", "11"], words=[*REVIEWS, "one more of them"])
  assert "which column has the labels?" in refused(rows)
  rows = table(label=["0", "1", "2", "3", "4"], words=[*REVIEWS, "one more of them"])
  assert chosen(rows) == ("words", None, ("label",))


def test_rows_without_text_are_left_out_and_counted():
  rows = table(text=["a", None, " \n", "b", ""], label=["x", "y", "x", "y", None])
  found = text_rows(rows, Columns("text", None, ("label",), ()), "train.csv")
  assert found.rows.to_list() == [{"index": "0", "text": "a"}, {"index": "3", "text": "b"}]
  assert found.labels == ["x", "y"]
  assert found.notes == ("train.csv: 3 rows without a text are left out, first row 2",)
  with pytest.raises(InputError, match="no row has a text in text"):
    text_rows(table(text=[None, " "]), Columns("text", None, (), ()))


def test_pairs_need_both_and_several_labels_come_by_column():
  rows = table(a=["x", "y", None], b=["p", "", "q"], l1=[0, 1, 1], l2=[1, 1, 0])
  found = text_rows(rows, Columns("a", "b", ("l1", "l2"), ()), "t")
  assert found.rows.to_list() == [{"index": "0", "text": "x", "pair": "p"}]
  assert found.labels == {"l1": [0], "l2": [1]} and "2 rows without a text or its pair" in found.notes[0]
  assert text_rows(rows, Columns("a", None, (), ())).labels is None


def test_classes_that_the_table_names_come_by_name():
  classes = datasets.ClassLabel(names=["no", "yes"])
  features = datasets.Features(text=datasets.Value("string"), label=classes, tags=datasets.List(classes))
  rows = datasets.Dataset.from_dict(
    {"text": ["a", "b", "c"], "label": [1, 0, -1], "tags": [[0, 1], [], [-1]]}, features=features
  )
  assert text_rows(rows, Columns("text", None, ("label",), ())).labels == ["yes", "no", None]
  assert text_rows(rows, Columns("text", None, ("tags",), ())).labels == [["no", "yes"], [], [None]]


def test_not_a_number_is_no_text():
  rows = table(review=[float("nan"), 1.5])
  assert "the column review holds numbers, where texts are needed" in refused(rows, has_label=False)
  found = text_rows(rows, choose_columns(rows, text="review", has_label=False))
  assert found.rows["text"][:] == ["1.5"] and "1 row without a text is left out, first row 1" in found.notes[0]
