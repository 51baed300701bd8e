"""Texts again, with some of their words replaced (Algorithm 1 of arXiv:1909.10351)."""
