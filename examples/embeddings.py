"""A sentence encoder of half its teacher's layers, learnt from sentences without any label.

Run it:  python examples/embeddings.py $(python -m experiments.demo_data)
Time:    two to four minutes on two CPU cores, offline after `make demo`. Another teacher is given by its directory, one
         of sentence-transformers, or hub id. Give your own texts in place of the made-up ones.
"""

import itertools
import sys
from pathlib import Path

import jax
import numpy as np

from tinybert_jax import SentenceEncoder, distil_task, load_sentence_encoder, load_tokenizer

TEACHER = sys.argv[1] if len(sys.argv) > 1 else "sentence-transformers/all-MiniLM-L6-v2"
OUT = Path("runs/embeddings_example")
WHO = "The bank|My neighbour|A small child|The orchestra|Her old teacher|The goalkeeper|A young doctor|The captain"
DID = "bought|lost|found|described|repaired|painted|forgot|admired|sold|carried"
WHAT = "a red bicycle|the last ticket|an old piano|some fresh bread|the broken window|a letter|two boats|the answer"
SENTENCES = [
  "The bank raised its interest rate.",
  "Borrowing money became more expensive.",
  "She sat by the river and watched the boats.",
  "Small ships passed her on the water.",
]


def embed(directory, texts):
  """Returns an array of texts x width."""
  model, tokenizer = load_sentence_encoder(directory), load_tokenizer(directory)
  batch = tokenizer(texts, padding=True, truncation=True, max_length=16, return_tensors="np")
  encoder = SentenceEncoder(model.config)
  return np.asarray(jax.jit(encoder.apply)({"params": model.params}, dict(batch)).logits)


texts = [
  f"{who} {did} {what}." for who, did, what in itertools.product(*(each.split("|") for each in (WHO, DID, WHAT)))
]
OUT.mkdir(parents=True, exist_ok=True)
(OUT / "texts.txt").write_text("\n".join(texts))
metrics = distil_task(
  OUT,
  kind="embeddings",
  teacher=TEACHER,
  unlabelled=OUT / "texts.txt",
  student_from="teacher",  # its first weights
  student_layers=max(1, load_sentence_encoder(TEACHER).config.num_hidden_layers // 2),
  student_width=load_sentence_encoder(TEACHER).config.hidden_size,
  intermediate_epochs=2,
  prediction_epochs=4,
)
print(f"mean cosine of both models' embeddings of a held-out sentence: {metrics['agreement']:.3f}")
for name, directory in (("teacher", TEACHER), ("student", OUT / "student")):
  vectors = embed(directory, SENTENCES)
  print(f"similarities by the {name}\n", (vectors @ vectors.T).round(2))
print(f"The student is a directory of sentence-transformers: {OUT / 'student'}")
