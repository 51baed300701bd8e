"""How a student is called."""

import dataclasses

from tinybert_jax.models.config import PRESETS, EncoderConfig, family_defaults
from tinybert_jax.pipeline import students

NAME = "tinybert-4l-312d"


def test_a_preset_of_fewer_layers_is_called_by_the_shape_that_it_has():
  three = dataclasses.replace(PRESETS[NAME], num_hidden_layers=3)
  assert students.in_words(NAME, three) == "3 layers x 312 (tinybert-4l-312d)"


def test_a_shape_brings_no_weights(tmp_path):
  (tmp_path / "config.json").write_text("{}")
  assert [students.begins_with(name) for name in (None, NAME, str(tmp_path / "config.json"))] == [None] * 3
  assert students.begins_with("huawei-noah/TinyBERT_General_4L_312D") == "huawei-noah/TinyBERT_General_4L_312D"


def test_a_preset_of_a_teacher_of_another_family_has_the_presets_shape_and_is_of_that_family():
  sizes = {"vocab_size": 99, "hidden_size": 24, "num_attention_heads": 3, "labels": ("a", "b", "c")}
  roberta = EncoderConfig(**{**family_defaults("roberta"), **sizes})
  student = students.of_preset(NAME, 3, roberta)
  preset = PRESETS[NAME]
  assert (student.model_type, student.vocab_size, student.pad_token_id) == ("roberta", 99, 1)
  for name in ("hidden_size", "num_attention_heads", "intermediate_size", "labels"):
    assert getattr(student, name) == getattr(preset, name)
  assert students.in_words(NAME, student) == "3 layers x 312 of RoBERTa (tinybert-4l-312d)"
  # A gated layer has three matrices, so the family's own ratio of widths.
  modern = EncoderConfig(**{**family_defaults("modernbert"), **sizes, "pad_token_id": 0})
  assert students.of_preset(NAME, None, modern).intermediate_size == 468
  electra = EncoderConfig(**{**family_defaults("electra"), **sizes})
  assert students.of_preset(NAME, None, electra).embedding_size == 128


def test_of_a_teacher_of_bert_a_preset_takes_the_vocabulary_alone():
  teacher = EncoderConfig(vocab_size=99, pad_token_id=3, hidden_size=24, num_attention_heads=3, type_vocab_size=1)
  assert students.of_preset(NAME, None, teacher) == dataclasses.replace(PRESETS[NAME], vocab_size=99, pad_token_id=3)
