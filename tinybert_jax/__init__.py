"""TinyBERT in JAX: distil a BERT into a small, fast student."""

__version__ = "0.1.0"
