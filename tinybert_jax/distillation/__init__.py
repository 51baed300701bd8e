"""The losses of distillation, on arrays and on whole models."""
