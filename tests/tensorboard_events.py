"""Reads TensorBoard event files without TensorBoard: TFRecords of protocol buffers."""

import struct

from tensorboardX.proto import event_pb2


def read_scalars(directory) -> dict[str, dict[int, float]]:
  """Returns every scalar in a directory's event files: tag to step to value."""
  scalars = {}
  for path in sorted(directory.glob("events.out.tfevents.*")):
    data = path.read_bytes()
    while data:
      (length,) = struct.unpack("<Q", data[:8])
      event = event_pb2.Event.FromString(data[12 : 12 + length])
      data = data[12 + length + 4 :]
      for value in event.summary.value:
        scalars.setdefault(value.tag, {})[event.step] = value.simple_value
  return scalars
