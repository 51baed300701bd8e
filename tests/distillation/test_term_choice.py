import dataclasses
import math

import pytest

from tinybert_jax.distillation import term_choice
from tinybert_jax.distillation.term_choice import TermChoice, TermOptions, choose_terms
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import PRESETS

BASE, SMALL = PRESETS["bert-base"], PRESETS["tinybert-4l-312d"]
LARGE = dataclasses.replace(
  BASE, num_hidden_layers=24, hidden_size=1024, num_attention_heads=16, intermediate_size=4096
)
HALF = dataclasses.replace(BASE, num_hidden_layers=6, hidden_size=384)


def test_the_papers_terms_are_the_default_and_change_no_fingerprint():
  choice = choose_terms(SMALL, BASE, **dataclasses.asdict(TermOptions()))
  assert choice == TermChoice() and choice.as_inputs() == {}
  assert choice.in_words() == "embeddings, hidden states and attention scores"
  same = choose_terms(SMALL, BASE, terms=("attention", "embedding", "hidden"), term_weights=["hidden=1"])
  assert same == choice
  assert choose_terms(SMALL, BASE, **choice._asdict()) == choice


@pytest.mark.parametrize(
  ("student", "teacher", "layer", "heads"),
  [(HALF, BASE, 12, 48), (HALF, LARGE, 21, 64), (SMALL, BASE, 12, 24), (SMALL, LARGE, 21, 8)],
)
def test_layer_and_heads_of_relations_are_minilmv2s_where_the_widths_allow(student, teacher, layer, heads):
  choice = choose_terms(student, teacher, terms=("relations",))
  assert (choice.relation_layer, choice.relation_heads) == (layer, heads)
  assert choose_terms(student, teacher, **choice._asdict()) == choice


def test_what_is_not_as_in_the_paper_is_in_the_fingerprint():
  choice = choose_terms(
    HALF, BASE, terms=("relations", "hidden", "cosine"), term_weights=["relations=2", "cosine=0"], relation_layer=10
  )
  assert choice.as_inputs() == {
    "terms": ("hidden", "relations"),
    "term_weights": {"relations": 2.0},
    "relation_layer": 10,
    "relation_heads": 48,
  }
  assert choice.in_words() == "hidden states and relations of 48 heads in the teacher's layer 10 × 2"
  assert choose_terms(HALF, BASE, terms=("distribution",)).relation_heads is None


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"terms": ("hidden", "hiden")}, "--terms hiden: no such term; there are embedding, hidden, attention, relations"),
    ({"terms": ()}, "--terms names no term"),
    ({"term_weights": ["hidden"]}, "--term-weights hidden: it must be a term and a number, such as hidden=0.5"),
    ({"term_weights": ["hidden=a"]}, "--term-weights hidden=a: it must be"),
    ({"term_weights": ["hidden=-1"]}, "--term-weights hidden=-1.0: it must be a number at least 0"),
    ({"term_weights": {"hidden": math.nan}}, "--term-weights hidden=nan: it must be a number at least 0"),
    ({"term_weights": ["hidden=inf"]}, "--term-weights hidden=inf: it must be"),
    ({"term_weights": ["cosine=1"]}, "--term-weights cosine=1: the term is not among --terms embedding hidden"),
    ({"term_weights": ["hidden=1", "hidden=2"]}, "--term-weights hidden: the term is there twice"),
    ({"terms": ("hidden",), "term_weights": ["hidden=0"]}, "all terms have the weight 0"),
    ({"relation_layer": 3}, "--relation-layer 3: it is of the terms relations, distribution, value_relation, none"),
    ({"relation_heads": 3}, "--relation-heads 3: they are of the term relations, which is not chosen"),
    ({"terms": ("relations",), "relation_layer": 13}, "--relation-layer 13: the teacher has layers 1 to 12"),
    ({"terms": ("relations",), "relation_layer": 0}, "--relation-layer 0: it must be a whole number at least 1"),
    (
      {"terms": ("relations",), "relation_heads": 48},
      "--relation-heads 48: the number must divide the widths of student and teacher, 312 and 768, as "
      "1, 2, 3, 4, 6, 8, 12, 24 do",
    ),
  ],
)
def test_what_cannot_be_is_one_sentence(options, message):
  with pytest.raises(InputError) as error:
    choose_terms(SMALL, BASE, **options)
  assert message in str(error.value)


def test_unequal_heads_propose_terms_that_have_none():
  student = dataclasses.replace(HALF, num_attention_heads=6)
  with pytest.raises(
    InputError, match="6 attention heads, and the teacher has 12; attention scores are compared head "
  ):
    term_choice.check_heads("small", ("hidden", "attention"), student, BASE)
  with pytest.raises(InputError, match="so both need as many; --terms embedding hidden relations goes without"):
    term_choice.check_heads("small", ("distribution",), student, BASE)
  term_choice.check_heads("small", ("embedding", "hidden", "relations"), student, BASE)
  term_choice.check_heads("small", ("attention",), HALF, BASE)
