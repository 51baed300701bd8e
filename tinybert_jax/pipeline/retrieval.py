"""Retrieval by embeddings: all passages of a table ranked for each of its queries, by teacher and student."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np
from jaxtyping import Float

from tinybert_jax.data.ranked import Ranked
from tinybert_jax.pipeline.stages import Finished
from tinybert_jax.pipeline.task_run import TaskRun
from tinybert_jax.tasks import rankings
from tinybert_jax.tasks.embeddings import Embeddings
from tinybert_jax.training.evaluate import predict


def measure(models: Mapping[str, Finished], read: Mapping[str, TaskRun], ranked: Ranked) -> dict[str, Any]:
  """Returns the number of queries and passages, and each model's metrics of retrieval by its name.

  They are nDCG@10 and MRR@10 where the table has scores, of which those above 0 are relevant. Of models other than
  `teacher` there is also how far they rank as it does, see `rankings.agreement`.

  Args:
    models: that embed the texts.
    read: the run as each of them reads it; its task says what is put before queries and passages.
    ranked: queries with passages; every query is to find its own among those of all.
  """
  passages = list(dict.fromkeys(text for texts in ranked.passages for text in texts))
  gains = None if ranked.scores is None else _gains(ranked, passages)
  scores = {name: _scores(finished, read[name], name, ranked.queries, passages) for name, finished in models.items()}
  found: dict[str, Any] = {"queries": len(ranked.queries), "passages": len(passages), **{name: {} for name in models}}
  for name, by_query in scores.items():
    if gains is not None:
      found[name] |= rankings.score(by_query, gains)
    if name != "teacher" and "teacher" in scores:
      found[name] |= rankings.agreement(by_query, scores["teacher"])
  return found


def _scores(
  finished: Finished, run: TaskRun, name: str, queries: Sequence[str], passages: Sequence[str]
) -> list[Float[np.ndarray, " P"]]:
  """Returns the cosine of each passage with each query."""
  if not isinstance(run.task, Embeddings):
    raise TypeError(f"{type(run.task).__name__}: texts are retrieved by embeddings")
  vectors = []
  for texts, prompt in ((queries, run.task.prompts[0]), (passages, run.task.prompts[-1])):
    rows = datasets.Dataset.from_dict({"text": [prompt + text for text in texts]})
    tokens = run.task.without_prompts().tokenize(run.tokenizer, rows, run.max_length)
    found = predict(finished.model, finished.params, tokens, name=name).astype(np.float64)
    vectors.append(found / np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-12))
  return list(vectors[0] @ vectors[1].T)


def _gains(ranked: Ranked, passages: Sequence[str]) -> list[Float[np.ndarray, " P"]]:
  """Returns what each passage is worth for each query; a passage of another query is worth nothing."""
  places = {text: place for place, text in enumerate(passages)}
  gains = []
  for texts, scores in zip(ranked.passages, ranked.scores or (), strict=True):
    of_query = np.zeros(len(passages))
    for text, score in zip(texts, scores, strict=True):
      of_query[places[text]] = max(of_query[places[text]], score)
    gains.append(of_query)
  return gains
