"""ONNX models, run by onnxruntime."""

from collections.abc import Mapping

import numpy as np

from tinybert_jax.errors import InputError


class Session:
  """An ONNX model that is ready to run, on the CPU.

  Attributes:
    inputs: the names of what it reads.
  """

  def __init__(self, model: bytes, threads: int = 0):
    """Args:
      model: the file's content.
      threads: that it computes with; 0 for one a core.

    Raises:
      InputError: an onnxruntime that cannot run it, such as one that lacks an operator.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3  # errors, which are raised too
    try:
      self._session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common but this
      reason = str(error).splitlines()[0]
      raise InputError(f"onnxruntime {onnxruntime.__version__} cannot run the exported model ({reason})") from error
    self.inputs = tuple(each.name for each in self._session.get_inputs())

  def __call__(self, batch: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Returns the model's outputs for a batch, of which it takes what it reads; segments are 0 where there are none."""
    ids = batch["input_ids"]
    missing = {"token_type_ids": np.zeros_like(ids), "attention_mask": np.ones_like(ids)}
    read = {name: np.asarray({**missing, **batch}[name], np.int64) for name in self.inputs}
    return self._session.run(None, read)
