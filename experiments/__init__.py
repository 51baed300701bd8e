"""Command lines over the library."""

import os

# Before transformers is imported: that PyTorch is not there is no news to a JAX program.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
