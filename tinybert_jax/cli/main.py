"""The program `tinybert-jax`: one command a module."""

import sys

from tinybert_jax.cli import command_line

COMMANDS = {
  "distil": "a student of your own classifier, on your own data",
  "predict": "labels and probabilities for a file of texts",
  "general": "a general student from raw text (the paper's first stage)",
  "glue": "a GLUE task from a pretrained BERT to a distilled student",
  "augment": "texts again, with some of their words replaced",
  "mlm": "a masked language model from an encoder, for augment",
  "export": "a model as ONNX, whole or of 8-bit integers, and as StableHLO",
  "search": "the shape of a student that keeps most quality in a budget of time and size",
  "trim": "a model again with fewer tokens, those of your texts",
}


def main() -> None:
  """Runs the command that the first argument names, with the others as its options."""
  arguments = sys.argv[1:]
  if not arguments or arguments[0] in ("-h", "--help"):
    with command_line.quiet_when_unread():
      print(_help())
    sys.exit(0 if arguments else 2)
  name = arguments[0]
  if name == "--version":
    from tinybert_jax import __version__

    print(f"tinybert-jax {__version__}")
    return
  if name not in COMMANDS:
    print(f"{name}: no such command; there are {', '.join(COMMANDS)}", file=sys.stderr)
    sys.exit(2)
  command_line.run_command(name, f"tinybert-jax {name}", arguments[1:])


def _help() -> str:
  lines = [f"  {name:9} {what}" for name, what in COMMANDS.items()]
  return "\n".join(
    [
      "usage: tinybert-jax COMMAND [OPTIONS]",
      "",
      "Distil a BERT into a small, fast student.",
      "",
      *lines,
      "",
      "tinybert-jax COMMAND --help explains every option of a command.",
    ]
  )


if __name__ == "__main__":
  main()
