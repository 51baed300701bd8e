"""A run's results for people: lines for the terminal, and one self-contained page with pictures."""

from tinybert_jax.pipeline.report.advice import advice
from tinybert_jax.pipeline.report.claims import sentence, summary, warning
from tinybert_jax.pipeline.report.page import PAGE, write
from tinybert_jax.pipeline.report.results_text import table

__all__ = ["PAGE", "advice", "sentence", "summary", "table", "warning", "write"]
