"""A small masked language model with random weights, its tokenizer, and word vectors."""

import jax
import numpy as np
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from tinybert_jax.augmentation.masked_words import MaskedWords
from tinybert_jax.augmentation.word_vectors import WordVectors
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import MaskedLanguageModel, initialize
from tinybert_jax.models.pretrained import save_pretrained

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]"]
NOUNS = [
  "fox", "dog", "cat", "bird", "house", "garden", "river", "stone", "window", "bread", "water", "teacher", "letter",
]  # fmt: skip
VERBS = ["sees", "eats", "jumps", "walks", "reads", "writes", "builds", "breaks", "opens", "likes"]
OTHERS = ["the", "a", "of", "and", "quick", "brown", "lazy", "green", "very", ".", ",", "!", "-", "'", "1", "hello"]
PIECES = ["##s", "##ness", "##ing", "##ly"]
VOCABULARY = SPECIAL + NOUNS + VERBS + OTHERS + PIECES
CONFIG = EncoderConfig(
  vocab_size=len(VOCABULARY) + 3,  # some models have more rows than their tokenizer words
  hidden_size=16,
  num_hidden_layers=2,
  num_attention_heads=2,
  intermediate_size=32,
  max_position_embeddings=64,
)
# Words of several pieces (foxs, quickness, reading) and more.
VECTOR_WORDS = ("foxs", "quickness", "reading", "wolves", "speed", "writing", "fox", "zebra", "hello", "dogs", "stones")


def make_tokenizer():
  tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
  tokenizer.normalizer = normalizers.BertNormalizer()
  tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  tokenizer.decoder = decoders.WordPiece()
  tokenizer.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
  )
  return transformers.BertTokenizer(tokenizer_object=tokenizer)


def make_model(scale=1.0):
  """Returns the module and parameters that tell words well apart."""
  model = MaskedLanguageModel(CONFIG)
  params = initialize(model, jax.random.key(0), kernels="glorot")
  table = params["encoder"]["embeddings"]["word_embeddings"]
  table["embedding"] = scale * jax.random.normal(jax.random.key(1), table["embedding"].shape)
  return model, params


def make_vectors():
  vectors = np.random.default_rng(0).normal(size=(len(VECTOR_WORDS), 8)).astype(np.float32)
  return WordVectors(VECTOR_WORDS, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def write_model(directory):
  _, params = make_model()
  save_pretrained(directory, CONFIG, params, tokenizer=make_tokenizer())
  return str(directory)


def write_vectors(path):
  vectors = make_vectors()
  lines = [f"{word} {' '.join(map(str, vector))}" for word, vector in zip(vectors.words, vectors.vectors, strict=True)]
  path.write_text("\n".join(lines) + "\n")
  return path


def write_text(rng, words):
  """Returns a sentence of random words, some of several pieces, some with a capital, with punctuation between them."""
  stems = [*NOUNS, *VERBS, "quickness", "foxs", "reading", "the", "very", "zebra", "unknown", "a1"]
  chosen = [str(rng.choice(stems)) for _ in range(words)]
  chosen = [
    word.capitalize() if rng.random() < 0.2 else word.upper() if rng.random() < 0.1 else word for word in chosen
  ]
  return "".join(word + str(rng.choice([" ", " ", " ", ", ", "  ", " - ", "! "])) for word in chosen)


def make_masked(**options):
  """Returns `MaskedWords` of that model, five candidates a word."""
  return MaskedWords(*make_model(), make_tokenizer(), **({"number": 5, "max_length": 48} | options))


def write_sentences(number=24, longest=8):
  """Returns sentences of one to `longest` words."""
  rng = np.random.default_rng(0)
  return [write_text(rng, int(words)) for words in rng.integers(1, longest + 1, number)]
