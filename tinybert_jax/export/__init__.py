"""Finished models as files for other programs, ONNX and StableHLO; needs the extra `onnx`."""

from tinybert_jax.export.installed import check_installed

check_installed()  # in a sentence, where the modules here would say that there is no such module
