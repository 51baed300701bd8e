"""Kinds of task: their labels, losses, targets and metrics."""
