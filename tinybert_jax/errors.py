"""The errors that command lines print as one sentence, without a traceback."""


class InputError(ValueError):
  """Bad input from outside: a file, an option, a model or a data set that does not fit.

  The message is one sentence that names the file, row or option, says what is wrong and what would be
  right.
  """


class RunStopped(RuntimeError):
  """A run that ended before its end, interrupted or diverged; the message says what is kept and how to go on.

  Of several processes all meet it together.
  """


class Diverged(RunStopped):
  """A run that ended because its gradients were not finite; it ends so again with the same options."""


class WorkerKilled(RuntimeError):
  """A process that worked for this one was killed; the message says what is kept and how to go on."""


class UnfinishedError(InputError):
  """A model whose head, or the pooler below it, is fresh noise, where one is needed that is used as it is."""
